//! Dictionaries for the compressor: what rows of a gateway look like before the first one has come.
//!
//! A dictionary's file is never changed once a release has carried it, since rows that were compressed with it may be on
//! their way for weeks; a better one gets the next number. Both ends say what they have, and the newest that both have is
//! used. How one is trained: `tests/sync`.

use std::sync::OnceLock;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The dictionaries of this release, newest first.
const FILES: [(u32, &[u8]); 1] = [(1, include_bytes!("dictionaries/1.zdict"))];

/// Level 3 is the library's own default: faster than any line, and within a few per cent of the slow levels here.
pub(crate) const LEVEL: i32 = 3;

static ENCODERS: [OnceLock<EncoderDictionary<'static>>; FILES.len()] =
    [const { OnceLock::new() }; FILES.len()];
static DECODERS: [OnceLock<DecoderDictionary<'static>>; FILES.len()] =
    [const { OnceLock::new() }; FILES.len()];

/// The numbers of the dictionaries of this release, newest first.
pub fn known() -> Vec<u32> {
    FILES.iter().map(|(number, _)| *number).collect()
}

/// The newest dictionary that the other end knows too; 0: none.
pub fn common(theirs: &[u32]) -> u32 {
    FILES.iter().map(|(number, _)| *number).find(|number| theirs.contains(number)).unwrap_or(0)
}

fn place(number: u32) -> Option<usize> {
    FILES.iter().position(|(known, _)| *known == number)
}

/// The dictionary `number` for the compressor. `None`: unknown here. It is prepared when it is wanted first.
pub(crate) fn encoder(number: u32) -> Option<&'static EncoderDictionary<'static>> {
    let at = place(number)?;
    Some(ENCODERS[at].get_or_init(|| EncoderDictionary::copy(FILES[at].1, LEVEL)))
}

/// The dictionary `number` for the decompressor. `None`: unknown here.
pub(crate) fn decoder(number: u32) -> Option<&'static DecoderDictionary<'static>> {
    let at = place(number)?;
    Some(DECODERS[at].get_or_init(|| DecoderDictionary::copy(FILES[at].1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_one_is_used() {
        assert_eq!(common(&[]), 0);
        assert_eq!(common(&[9, 1]), 1);
        assert_eq!(common(&known()), known()[0]);
        assert!(encoder(0).is_none() && decoder(0).is_none() && encoder(9).is_none());
    }

    #[test]
    fn a_file_is_what_it_was() {
        // A row on its way for a week must be readable by the release that comes meanwhile.
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(FILES[0].1);
        assert_eq!((FILES[0].0, FILES[0].1.len(), crc), (1, 12_288, 845_877_839));
    }

    #[test]
    fn what_is_known_is_what_there_are_files_for() {
        assert_eq!(known(), FILES.map(|(number, _)| number));
        assert!(known().into_iter().all(|number| encoder(number).is_some() && decoder(number).is_some()));
    }
}
