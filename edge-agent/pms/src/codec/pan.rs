//! Card numbers are masked before anything else sees the text: free-text fields carry them at some sites.

/// The most characters between two digits of one number: ` - `.
const LONGEST_GAP: usize = 3;

fn separates(c: char) -> bool {
    // A control character becomes a blank before anybody sees it.
    c.is_control() || matches!(c, ' ' | '-' | '\u{a0}' | '\u{3000}' | '\u{2010}'..='\u{2015}' | '\u{ff0d}')
}

/// The value of an ASCII or full-width digit.
fn digit(c: char) -> Option<u32> {
    match c {
        '\u{ff10}'..='\u{ff19}' => Some(u32::from(c) - 0xff10),
        _ => c.to_digit(10),
    }
}

/// Replaces the digits of whatever looks like a primary account number (13 to 19 digits that pass the Luhn check,
/// with a few blanks or dashes between them, also full-width as Japanese systems write them) by `*`, but for the last
/// four. What is left is looked at again, so that masking twice is masking once: the last four of one number and what
/// follows may be another. It ends: each look that changes something leaves fewer digits.
pub fn mask_card_numbers(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let masked = mask_once(&text);
        if masked == text {
            return masked;
        }
        text = masked;
    }
}

fn mask_once(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = chars.clone();
    let mut start = 0;
    while start < chars.len() {
        if digit(chars[start]).is_none() {
            start += 1;
            continue;
        }
        // A run of digits with a few blanks or dashes between them.
        let mut places = vec![start];
        let mut end = start + 1;
        while end < chars.len() {
            if digit(chars[end]).is_some() {
                places.push(end);
                end += 1;
                continue;
            }
            let gap = chars[end..].iter().take_while(|c| separates(**c)).count();
            if (1..=LONGEST_GAP).contains(&gap) {
                end += gap;
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
            let digit = digit(chars[*place]).unwrap_or(0);
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
            ("4111  1111  1111  1111", "****  ****  ****  1111"),
            ("4111 - 1111 - 1111 - 1111", "**** - **** - **** - 1111"),
            ("４１１１　１１１１　１１１１　１１１１", "****　****　****　１１１１"),
            ("ポ4111111111111111", "ポ************1111"),
            // More between than one number has, and digits before it that are none of it.
            ("4111    1111    1111    1111", "4111    1111    1111    1111"),
            ("4111 x1111 1111 1111", "4111 x1111 1111 1111"),
            ("4111 ,4111111111111111", "4111 ,************1111"),
            ("0014111111111111111", "001************1111"),
            ("014111111111111111", "01************1111"),
        ] {
            assert_eq!(mask_card_numbers(text), want);
        }
    }
}
