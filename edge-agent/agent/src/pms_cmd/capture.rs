//! Captures: a line a record, `2026-07-15T10:15:00.123Z PMS> GI|RN101|…|`. Time and direction may be missing, `#` begins a
//! comment; so notes taken by hand are captures, too.

use super::Fault;
use engawa_model::Timestamp;
use engawa_pms::codec::Record;
use engawa_pms::explain::Direction;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

/// The largest capture that is read or written.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// The first line of a capture.
pub(super) const HEAD: &str =
    "# engawa capture of a PMS link, 1; personal fields are pseudonyms; times are UTC";

/// One record of a capture.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The line in the file, from 1.
    pub(super) line: usize,
    pub(super) at: Option<Timestamp>,
    pub(super) direction: Option<Direction>,
    /// The text between STX and ETX.
    pub(super) text: String,
}

impl Entry {
    /// The two letters that name the record, whatever they are.
    pub(super) fn id(&self) -> &str {
        self.text.split('|').next().unwrap_or_default()
    }
}

/// Reads one line; `None` for comments and empty ones.
pub(super) fn entry(line: usize, text: &str) -> Option<Entry> {
    let mut rest = text.trim_end_matches(['\r', '\n']).trim_start_matches(['\u{feff}', ' ', '\t']);
    let at = rest.split_once(' ').and_then(|(first, after)| {
        let at = first.parse::<Timestamp>().ok()?;
        rest = after.trim_start();
        Some(at)
    });
    if rest.is_empty() || rest.starts_with('#') {
        return None;
    }
    let mut direction = None;
    for (mark, is) in [
        ("PMS>", Direction::FromPms),
        ("IFC>", Direction::ToPms),
        ("<", Direction::FromPms),
        (">", Direction::ToPms),
    ] {
        if let Some(after) = rest.strip_prefix(mark) {
            (rest, direction) = (after.strip_prefix(' ').unwrap_or(after), Some(is));
            break;
        }
    }
    // What logs show of STX and ETX.
    let text = rest.trim_start_matches(['\u{2}']).trim_end_matches(['\u{3}']).to_owned();
    Some(Entry { line, at, direction, text })
}

/// Reads a capture.
pub(super) fn load(path: &Path) -> Result<Vec<Entry>, Fault> {
    let wrong = |why: String| Fault::Wrong(format!("{}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(format!("can't be read: {error}")))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(wrong("is a folder; expected a capture, a text with a record a line".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("can't be read: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong(format!("has more than {} MiB; cut it into pieces", MOST_BYTES >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        wrong(format!("byte {at} is not UTF-8; captures are, whatever the link's character set"))
    })?;
    let entries: Vec<_> = text.lines().enumerate().filter_map(|(n, line)| entry(n + 1, line)).collect();
    if entries.is_empty() {
        return Err(wrong("has no records; expected lines such as `PMS> GI|RN101|G#4711|`".to_owned()));
    }
    Ok(entries)
}

/// The text of a record, as it stands between STX and ETX.
pub(super) fn text_of(record: &Record) -> String {
    record.fields().fold(format!("{}|", record.id()), |mut text, (id, value)| {
        // Writing to a String can't fail.
        let _ = write!(text, "{id}{value}|");
        text
    })
}

/// How a direction is written.
pub(super) const fn mark(direction: Direction) -> &'static str {
    match direction {
        Direction::FromPms => "PMS>",
        Direction::ToPms => "IFC>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_hand() {
        for (line, want) in [
            ("2026-07-15T10:15:00Z PMS> GI|RN1|", Some((true, Some(Direction::FromPms), "GI|RN1|"))),
            ("IFC> LA|", Some((false, Some(Direction::ToPms), "LA|"))),
            ("< GO|RN1|\r", Some((false, Some(Direction::FromPms), "GO|RN1|"))),
            ("\u{2}GI|RN1|\u{3}", Some((false, None, "GI|RN1|"))),
            ("# a note", None),
            ("2026-07-15T10:15:00Z # the PMS closed", None),
            ("", None),
        ] {
            let got = entry(1, line);
            let got = got.as_ref().map(|entry| (entry.at.is_some(), entry.direction, entry.text.as_str()));
            assert_eq!(got, want, "{line:?}");
        }
    }
}
