//! The log of Linux's `dm-log-writes` target, read (drivers/md/dm-log-writes.c, format 1): a superblock, then entries, each
//! in a sector of its own with its data behind it. A write stands in the log from the flush on that made it durable, or at
//! its own place where it went past the cache (FUA).

use std::ops::Range;

/// What every log begins with: "jsfwshr" and a zero.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;
/// The file system said that it was metadata: of no account here.
const METADATA: u64 = 1 << 4;
/// Bytes of an entry before what is written into its sector.
const ENTRY: usize = 32;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Everything that the log has before it is on the disk for good.
    pub flush: bool,
    /// What is written, if anything is.
    pub write: Option<Write>,
    /// A word that whoever did the work has put between its steps.
    pub mark: Option<String>,
}

/// A write to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where on the disk, bytes.
    pub at: usize,
    /// Where in the log what is written stands, bytes.
    pub bytes: Range<usize>,
    /// It was on the disk for good when it was over.
    pub durable: bool,
}

/// Why bytes are no log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The first bytes are none of a log.
    #[error(
        "the log begins with {0:#x}, not with dm-log-writes' mark: is it the log's device that was read?"
    )]
    Magic(u64),
    /// Another format.
    #[error("the log has format {0}, and 1 is what is read here")]
    Version(u64),
    /// A sector that no device has.
    #[error("the log says sectors of {0} bytes")]
    Sector(u32),
    /// It ends before its last entry.
    #[error("the log ends within entry {entry} of {entries}, at byte {at}: make its device larger")]
    Short {
        /// Which entry, from 0 on.
        entry: u64,
        /// How many the log has.
        entries: u64,
        /// Where the bytes end.
        at: usize,
    },
    /// A flag, or an action, that a disk of these tests never gets.
    #[error("entry {entry} of the log has flags {flags:#x}: only writes, flushes and marks are replayed")]
    Flags {
        /// Which entry, from 0 on.
        entry: u64,
        /// Its flags.
        flags: u64,
    },
}

/// Reads a log; the data of its writes stays in `bytes`.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, LogFault> {
    let magic = word(bytes, 0).unwrap_or(0);
    if magic != MAGIC {
        return Err(LogFault::Magic(magic));
    }
    let version = word(bytes, 8).unwrap_or(0);
    if version != 1 {
        return Err(LogFault::Version(version));
    }
    let entries = word(bytes, 16).unwrap_or(0);
    let size = bytes.get(24..28).map_or(0, |four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    if !(512..=65536).contains(&size) || !size.is_power_of_two() {
        return Err(LogFault::Sector(size));
    }
    let sector = size as usize;
    let mut found = Vec::new();
    let mut at = sector;
    for entry in 0..entries {
        let short = || LogFault::Short { entry, entries, at: bytes.len() };
        let header = bytes.get(at..at + sector).ok_or_else(short)?;
        let field = |index: usize| word(header, index * 8).ok_or_else(short);
        let (place, sectors, flags, length) = (field(0)?, field(1)?, field(2)?, field(3)?);
        if flags & (DISCARD | !(FLUSH | FUA | DISCARD | MARK | METADATA)) != 0 {
            return Err(LogFault::Flags { entry, flags });
        }
        at += sector;
        let place =
            usize::try_from(place).ok().and_then(|place| place.checked_mul(sector)).ok_or_else(short)?;
        let length_of_data = usize::try_from(sectors)
            .ok()
            .and_then(|sectors| sectors.checked_mul(sector))
            .ok_or_else(short)?;
        let end = at.checked_add(length_of_data).filter(|end| *end <= bytes.len()).ok_or_else(short)?;
        let mark = (flags & MARK != 0).then(|| {
            let text =
                usize::try_from(length).ok().and_then(|length| header.get(ENTRY..ENTRY.checked_add(length)?));
            String::from_utf8_lossy(text.unwrap_or(&header[ENTRY..]))
                .trim_end_matches(['\0', '\n'])
                .to_owned()
        });
        let write =
            (length_of_data > 0).then_some(Write { at: place, bytes: at..end, durable: flags & FUA != 0 });
        found.push(Entry { flush: flags & FLUSH != 0, write, mark });
        at = end;
    }
    Ok(found)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn sector(words: &[u64], text: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(text);
        bytes.resize(512, 0);
        bytes
    }

    fn log(entries: u64, parts: &[Vec<u8>]) -> Vec<u8> {
        [vec![sector(&[MAGIC, 1, entries, 512], b"")], parts.to_vec()].concat().concat()
    }

    #[test]
    fn writes_flushes_and_marks_are_read_with_their_places() {
        let bytes = log(
            4,
            &[
                sector(&[8, 2, METADATA, 0], b""),
                vec![7; 1024],
                sector(&[0, 0, FLUSH, 0], b""),
                sector(&[0, 0, MARK, 5], b"begun"),
                sector(&[3, 1, FLUSH | FUA, 0], b""),
                vec![9; 512],
            ],
        );
        let entries = read(&bytes).unwrap();
        assert_eq!(entries[0].write, Some(Write { at: 4096, bytes: 1024..2048, durable: false }));
        assert_eq!(entries[1], Entry { flush: true, write: None, mark: None });
        assert_eq!(entries[2].mark.as_deref(), Some("begun"));
        assert_eq!(entries[3].write, Some(Write { at: 1536, bytes: 3584..4096, durable: true }));
        assert!(entries[3].flush);
    }

    #[test]
    fn what_is_no_log_or_half_of_one_is_refused() {
        assert_eq!(read(b""), Err(LogFault::Magic(0)));
        assert_eq!(read(&sector(&[MAGIC, 2, 0, 512], b"")), Err(LogFault::Version(2)));
        assert_eq!(read(&sector(&[MAGIC, 1, 0, 500], b"")), Err(LogFault::Sector(500)));
        let cut = log(1, &[sector(&[8, 2, 0, 0], b""), vec![7; 1023]]);
        assert_eq!(read(&cut), Err(LogFault::Short { entry: 0, entries: 1, at: 2047 }));
        let endless = log(1, &[sector(&[8, u64::MAX, 0, 0], b"")]);
        assert_eq!(read(&endless), Err(LogFault::Short { entry: 0, entries: 1, at: 1024 }));
        assert_eq!(
            read(&log(1, &[sector(&[8, 0, DISCARD, 0], b"")])),
            Err(LogFault::Flags { entry: 0, flags: 4 })
        );
    }
}
