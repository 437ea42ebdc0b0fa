//! Finds markers in messages of any text format.
//!
//! Why by their digits: no program's format has to be known to the bench.

use crate::sim::field::FIRST_MARKER;

/// Calls `found` for each marker in `payload`: a run of exactly five digits from 40000 to 65535 that is no fraction.
pub fn markers(payload: &[u8], mut found: impl FnMut(u16)) {
    let mut at = 0;
    while at < payload.len() {
        if !payload[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let begin = at;
        while at < payload.len() && payload[at].is_ascii_digit() {
            at += 1;
        }
        let fraction = begin > 0 && payload[begin - 1] == b'.';
        if at - begin != 5 || fraction {
            continue;
        }
        let number = payload[begin..at].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if let Some(marker) = u16::try_from(number).ok().filter(|number| *number >= FIRST_MARKER) {
            found(marker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_in_whatever_surrounds_them() {
        let cases: [(&str, &[u16]); 7] = [
            (r#"{"r0":40001,"r1":7}"#, &[40001]),
            ("[65535,12]", &[65535]),
            ("40000", &[40000]),
            (r#"{"value":50000.0,"at":"2026-11-24T20:07:58.12345Z"}"#, &[50000]),
            (r#"{"ts":1764014878123,"r0":39999,"r1":65536}"#, &[]),
            ("0.41234 412345", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let mut all = vec![];
            markers(text.as_bytes(), |marker| all.push(marker));
            assert_eq!(all, expected, "{text}");
        }
    }
}
