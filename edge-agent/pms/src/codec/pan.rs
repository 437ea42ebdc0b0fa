//! Card numbers are masked before anything else sees the text: free-text fields carry them at some sites.

/// Replaces the digits of whatever looks like a primary account number (13 to 19 digits that pass the Luhn check,
/// with blanks or dashes between them) by `*`, but for the last four.
pub fn mask_card_numbers(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = chars.clone();
    let mut start = 0;
    while start < chars.len() {
        if !chars[start].is_ascii_digit() {
            start += 1;
            continue;
        }
        // A run of digits with single blanks or dashes between them.
        let mut places = vec![start];
        let mut end = start + 1;
        while end < chars.len() {
            if chars[end].is_ascii_digit() {
                places.push(end);
                end += 1;
            } else if matches!(chars[end], ' ' | '-') && chars.get(end + 1).is_some_and(char::is_ascii_digit)
            {
                end += 1;
            } else {
                break;
            }
        }
        mask_run(&chars, &places, &mut masked);
        start = end;
    }
    masked.into_iter().collect()
}

/// Masks every stretch of the run that passes as a card number; a longer one before a shorter one.
fn mask_run(chars: &[char], places: &[usize], masked: &mut [char]) {
    let mut from = 0;
    while from + 13 <= places.len() {
        let longest = (places.len() - from).min(19);
        let hit = (13..=longest).rev().find(|length| luhn(chars, &places[from..from + length]));
        match hit {
            Some(length) => {
                for place in &places[from..from + length - 4] {
                    masked[*place] = '*';
                }
                from += length;
            }
            None => from += 1,
        }
    }
}

fn luhn(chars: &[char], places: &[usize]) -> bool {
    let sum: u32 = places
        .iter()
        .rev()
        .enumerate()
        .map(|(index, place)| {
            let digit = chars[*place].to_digit(10).unwrap_or(0);
            match (index % 2, digit) {
                (0, digit) => digit,
                (_, digit) if digit > 4 => digit * 2 - 9,
                (_, digit) => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_table() {
        for (text, want) in [
            ("pays with 4111 1111 1111 1111", "pays with **** **** **** 1111"),
            ("4111111111111111", "************1111"),
            ("x5500-0000-0000-0004y", "x****-****-****-0004y"),
            ("room 101, stay 12345666", "room 101, stay 12345666"),
            ("123456789012", "123456789012"),
            ("ポ4111111111111111", "ポ************1111"),
        ] {
            assert_eq!(mask_card_numbers(text), want);
        }
    }
}
