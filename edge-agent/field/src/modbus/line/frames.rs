//! RTU frames in a stream of bytes: check sums, lengths, and where an answer begins.
//!
//! An RTU frame has no mark at its beginning, and silences don't survive drivers, USB adapters and TCP. So an answer is
//! looked for by what is known of it: unit, function, number of bytes, and then the check sum over exactly that many.
//! Whole frames of others at the beginning are stepped over, so that nothing inside them is taken for an answer.
//!
//! Pure. Never: time; what silence means is decided in [`super::rtu`].

use super::expect::{Expect, LONGEST_PDU, Length};

/// The longest frame: unit, PDU, check sum (serial line guide V1.02, section 2.5.1.2).
pub(crate) const LONGEST: usize = 1 + LONGEST_PDU + 2;
/// The shortest: an exception.
const SHORTEST: usize = 5;

const CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_MODBUS);

/// Whether the last two bytes are the check sum of those before.
pub(crate) fn sound(frame: &[u8]) -> bool {
    match frame.split_last_chunk::<2>() {
        Some((body, sum)) if body.len() >= 2 => CRC.checksum(body).to_le_bytes() == *sum,
        _ => false,
    }
}

/// The frame of a body.
#[cfg(test)]
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut frame = body.to_vec();
    frame.extend(CRC.checksum(body).to_le_bytes());
    frame
}

/// What is found first in some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The answer, behind so many bytes of noise; its end.
    Answer { noise: usize, end: usize },
    /// A sound frame at the beginning that is not the answer; its end.
    Other(usize),
    /// Nothing yet.
    Nothing,
}

/// Looks into what has come since the line was last silent, or since the frame before.
pub(crate) fn find(bytes: &[u8], expect: Option<&Expect>) -> Found {
    if let Some(expect) = expect
        && answer_at(bytes, expect) == At::Whole
    {
        return Found::Answer { noise: 0, end: end_at(bytes, expect) };
    }
    if let Some(end) = any_frame(bytes) {
        return Found::Other(end);
    }
    let Some(expect) = expect else { return Found::Nothing };
    let places = 1..bytes.len().saturating_sub(SHORTEST - 1);
    for noise in places {
        if bytes[noise] == expect.unit && answer_at(&bytes[noise..], expect) == At::Whole {
            return Found::Answer { noise, end: noise + end_at(&bytes[noise..], expect) };
        }
    }
    Found::Nothing
}

/// What bytes without an answer look like, once nothing follows them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    /// An answer's beginning and length with a wrong check sum.
    Damaged,
    /// An answer's beginning, and less than its length.
    Cut,
    /// Nothing like an answer.
    Noise,
}

/// Judges bytes in which no answer was found.
pub(crate) fn remains(bytes: &[u8], expect: &Expect) -> Remains {
    let mut cut = false;
    for begin in 0..bytes.len() {
        // One byte that is the unit's number says nothing.
        if bytes[begin] != expect.unit || bytes.len() < begin + 2 {
            continue;
        }
        match answer_at(&bytes[begin..], expect) {
            At::Damaged => return Remains::Damaged,
            At::Begun => cut = true,
            At::Whole | At::Not => {}
        }
    }
    if cut { Remains::Cut } else { Remains::Noise }
}

#[derive(Debug, PartialEq, Eq)]
enum At {
    Whole,
    Damaged,
    Begun,
    Not,
}

fn answer_at(bytes: &[u8], expect: &Expect) -> At {
    if bytes.first() != Some(&expect.unit) {
        return At::Not;
    }
    match expect.length(&bytes[1..]) {
        Length::Never => At::Not,
        Length::Unknown => At::Begun,
        Length::Is(length) => match bytes.get(..length + 3) {
            None => At::Begun,
            Some(frame) if sound(frame) && expect.check(frame[0], &frame[1..=length]).is_ok() => At::Whole,
            Some(frame) if sound(frame) => At::Not,
            Some(_) => At::Damaged,
        },
    }
}

fn end_at(bytes: &[u8], expect: &Expect) -> usize {
    match bytes.get(1..).map(|pdu| expect.length(pdu)) {
        Some(Length::Is(length)) => length + 3,
        _ => 0,
    }
}

/// The end of a sound frame of anybody that begins here: an answer, or the request of another master.
fn any_frame(bytes: &[u8]) -> Option<usize> {
    let function = *bytes.get(1)?;
    let counted = |at: usize, head: usize| bytes.get(at).map(|count| head + usize::from(*count) + 2);
    let lengths = match function {
        0x80.. => [Some(5), None],
        1..=4 | 12 | 17 | 23 => [counted(2, 3), Some(8)],
        5 | 6 | 8 | 11 => [Some(8), None],
        15 | 16 => [Some(8), counted(6, 7)],
        22 => [Some(10), None],
        _ => [None, None],
    };
    let is_frame = |length: &usize| *length <= LONGEST && bytes.get(..*length).is_some_and(sound);
    lengths.into_iter().flatten().find(is_frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect() -> Expect {
        Expect::of(1, &[3, 0, 10, 0, 2]).unwrap()
    }

    #[test]
    fn the_check_sum_is_the_one_of_the_guide() {
        // Two frames that every description of Modbus RTU shows.
        assert_eq!(sealed(&[1, 3, 0, 0, 0, 10]), [1, 3, 0, 0, 0, 10, 0xc5, 0xcd]);
        assert!(sound(&[0x11, 3, 0, 0x6b, 0, 3, 0x76, 0x87]));
        assert!(!sound(&[0x11, 3, 0, 0x6b, 0, 3, 0x76, 0x88]));
        assert!(!sound(&[]) && !sound(&[0xff, 0xff]));
    }

    #[test]
    fn an_answer_is_found_where_it_is() {
        let answer = sealed(&[1, 3, 4, 0, 1, 0, 2]);
        let foreign = sealed(&[7, 3, 4, 1, 3, 4, 2]);
        let request = sealed(&[7, 3, 0, 0, 0, 2]);
        let together = |parts: &[&[u8]]| parts.concat();
        for (name, bytes, want) in [
            ("alone", answer.clone(), Found::Answer { noise: 0, end: 9 }),
            ("not whole", answer[..8].to_vec(), Found::Nothing),
            ("behind noise", together(&[&[0, 1, 1, 3], &answer]), Found::Answer { noise: 4, end: 13 }),
            ("behind another's answer", together(&[&foreign, &answer]), Found::Other(9)),
            ("behind another's request", together(&[&request, &answer]), Found::Other(8)),
            ("an exception", sealed(&[1, 0x83, 2]), Found::Answer { noise: 0, end: 5 }),
            ("another count", sealed(&[1, 3, 2, 0, 1]), Found::Other(7)),
            ("nothing", Vec::new(), Found::Nothing),
        ] {
            assert_eq!(find(&bytes, Some(&expect())), want, "{name}");
        }
    }

    #[test]
    fn what_remains_says_what_happened() {
        let mut answer = sealed(&[1, 3, 4, 0, 1, 0, 2]);
        assert_eq!(remains(&answer[..6], &expect()), Remains::Cut);
        answer[4] ^= 1;
        assert_eq!(remains(&answer, &expect()), Remains::Damaged);
        assert_eq!(remains(&[9, 9, 1], &expect()), Remains::Noise);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_into(bytes in proptest::collection::vec(0_u8..8, 0..300)) {
            match find(&bytes, Some(&expect())) {
                Found::Answer { noise, end } => proptest::prop_assert!(noise < end && end <= bytes.len()),
                Found::Other(end) => proptest::prop_assert!(end > 0 && end <= bytes.len()),
                Found::Nothing => { remains(&bytes, &expect()); }
            }
        }
    }
}
