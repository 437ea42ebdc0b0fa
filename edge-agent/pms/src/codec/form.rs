//! What is odd about a record, in words: for people who look for the fault at a site, and for tests that say why the
//! bytes of a record would not come out again as they came in.

use super::dictionary::{FieldKind, RecordKind, field_kind, pairs};
use super::record::{Record, breaks_lines, mask_part};
use crate::Charset;
use std::collections::BTreeSet;
use std::fmt;

/// The longest record of the specification, in characters.
const LONGEST: usize = 2_000;

/// Something odd about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: the number of the character in the record's text, from 1.
    pub at: usize,
    /// What it is, and what was expected.
    pub what: String,
    /// True where the record, written again, would differ from what came.
    pub changes_bytes: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}", self.at, self.what)
    }
}

struct Faults(Vec<Fault>);

impl Faults {
    fn form(&mut self, at: usize, what: impl Into<String>) {
        self.0.push(Fault { at, what: what.into(), changes_bytes: true });
    }

    fn remark(&mut self, at: usize, what: impl Into<String>) {
        self.0.push(Fault { at, what: what.into(), changes_bytes: false });
    }
}

/// What is odd about the record whose bytes stood between STX and ETX. No value of a field is repeated in it: values
/// may be personal.
pub fn faults(body: &[u8], charset: Charset) -> Vec<Fault> {
    let mut faults = Faults(Vec::new());
    let text = charset.decode(body);
    if charset.encode(&text) != body {
        faults.form(1, "its bytes are not text in the site's character set: check `charset`");
    }
    let length = text.chars().count();
    if length > LONGEST {
        faults.remark(
            LONGEST,
            format!("it has {length} characters; the longest that is allowed has {LONGEST}"),
        );
    }
    let Some(record) = Record::decode(body, charset) else {
        faults.form(1, "it does not begin with a record's two letters and a `|`: it can't be used");
        return faults.0;
    };
    let mut parts = text.split('|');
    if parts.next().is_some_and(|id| id.chars().count() != 2) {
        faults.form(1, "there are blanks beside the record's two letters");
    }
    if !text.ends_with('|') {
        faults.form(length.max(1), "the last `|` is missing: every field ends with one");
    }
    let kind = RecordKind::of(record.id());
    if kind.is_none() {
        let lower = record.id().chars().any(|c| c.is_ascii_lowercase());
        let hint = if lower { ": ids are capitals" } else { ": it is counted and left alone" };
        faults.remark(1, format!("no record is called `{}`{hint}", record.id()));
    }
    let mut at = 4;
    let mut seen = BTreeSet::new();
    let last = text.split('|').count().saturating_sub(1);
    for (n, part) in text.split('|').enumerate().skip(1) {
        // What follows the last bar is nothing.
        if n == last && part.is_empty() {
            break;
        }
        field(part, at, record.id(), kind, &mut seen, &mut faults);
        at += part.chars().count() + 1;
    }
    for field in kind.into_iter().flat_map(|kind| pairs(kind.mandatory)) {
        // An empty date clears all wake-up calls of a room: only a room is never empty.
        if record.get(field).is_none_or(|value| value.is_empty() && field == "RN") {
            faults.remark(length.max(1), format!("{} wants the field {field}", record.id()));
        }
    }
    if let (Some(arrival), Some(departure)) = (record.filled("GA"), record.filled("GD"))
        && (date(arrival), date(departure)) == (true, true)
        && century(departure) < century(arrival)
    {
        faults.remark(length.max(1), "the departure (GD) is before the arrival (GA)");
    }
    faults.0
}

fn field(
    part: &str,
    at: usize,
    record: &str,
    kind: Option<&RecordKind>,
    seen: &mut BTreeSet<String>,
    faults: &mut Faults,
) {
    if part.chars().count() < 2 {
        faults.form(at, "between two `|` there is no field's two letters: left out");
        return;
    }
    if mask_part(part) != part {
        faults.form(at, "it holds what looks like a card number, which is masked");
    }
    let end = part.char_indices().nth(2).map_or(part.len(), |(end, _)| end);
    let (id, value) = part.split_at(end);
    let odd =
        |c: char| (c.is_control() && !(breaks_lines(id) && matches!(c, '\n' | '\r' | '\u{c}'))) || c == '|';
    if value.chars().any(odd) {
        faults.form(
            at,
            format!("the field {} has a control character, which becomes a blank", id.escape_debug()),
        );
    }
    let Some(kind) = kind else { return };
    if !kind.may_have(id) {
        faults.remark(at, format!("{record} has no field `{}`: it is left alone", id.escape_debug()));
        return;
    }
    if !seen.insert(id.to_owned()) && !kind.may_repeat(id) {
        faults.remark(at, format!("the field {id} comes twice: the first counts"));
    }
    let fault = match field_kind(id) {
        _ if value.is_empty() => return,
        FieldKind::Date if !date(value) => "a date of six digits, YYMMDD: it is taken as unknown",
        FieldKind::Time if !time(value) => "a time of six digits, HHMMSS",
        FieldKind::Number if !number(value) => "a number",
        _ => return,
    };
    faults.remark(at, format!("the field {id} is not {fault}"));
}

/// Comparable with others of its time: the years have two digits.
fn century(date: &str) -> (bool, &str) {
    (date.starts_with(|digit| digit < '7'), date)
}

fn date(text: &str) -> bool {
    crate::link::date(Some(text)).is_some()
}

fn time(text: &str) -> bool {
    let part = |from: usize, most: u8| {
        text.get(from..from + 2).and_then(|part| part.parse::<u8>().ok()).is_some_and(|part| part <= most)
    };
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()) && part(0, 23) && part(2, 59) && part(4, 59)
}

fn number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_is_said_where_it_is() {
        for (body, wanted) in [
            ("GI|RN101|G#1|GSN|", vec![]),
            ("GI|RN101|G#1|GNGuest", vec!["character 20: the last `|` is missing"]),
            ("GI|RN101||X|G#1|", vec!["character 10: between two", "character 11: between two"]),
            ("gi|RN101|", vec!["character 1: no record is called `gi`: ids are capitals"]),
            ("ZZ|RN101|", vec!["character 1: no record is called `ZZ`: it is counted"]),
            ("GI|G#1|", vec!["character 7: GI wants the field RN"]),
            ("GI|RN1|GA261332|", vec!["character 8: the field GA is not a date"]),
            ("GI|RN1|GA261126|GD261124|", vec!["character 25: the departure (GD) is before"]),
            ("DE|DA001005|TI1252001|", vec!["character 13: the field TI is not a time"]),
            ("2781|PTC|", vec!["character 1: it does not begin with a record's two letters"]),
            ("GI|RN1|ZZx|", vec!["character 8: GI has no field `ZZ`"]),
            ("GI|RN1|RN2|", vec!["character 8: the field RN comes twice"]),
            ("GC|RN2|GSN|RO1|GSY|", vec![]),
            ("GI|RN1|GN4111 1111 1111 1111|", vec!["character 8: it holds"]),
            ("XT|RN1|G#1|MI2|MTone\ntwo|", vec![]),
            ("GI|RN1|GNone\ntwo|", vec!["character 8: the field GN has a control character"]),
            ("GI|RN1|GA261126|GD261126|", vec![]),
            // Two digits of a year: from 70 on they are the last century's.
            ("GI|RN1|GA991231|GD000102|", vec![]),
            ("GI|RN1|GA700101|GD000102|", vec![]),
            ("GI|RN1|GA691231|GD700101|", vec!["character 25: the departure (GD) is before"]),
            ("GI|RN1|GA000102|GD991231|", vec!["character 25: the departure (GD) is before"]),
        ] {
            let found: Vec<String> =
                faults(body.as_bytes(), Charset::Utf8).iter().map(Fault::to_string).collect();
            assert_eq!(found.len(), wanted.len(), "{body}: {found:?}");
            for (found, wanted) in found.iter().zip(wanted) {
                assert!(found.starts_with(wanted), "{body}: {found}");
            }
        }
    }

    #[test]
    fn the_longest_record_has_two_thousand_characters() {
        for (length, said) in [(2_000, false), (2_001, true), (2_500, true)] {
            // Characters, not bytes.
            let body = format!("GI|RN1|GN{}|", "ö".repeat(length - 10));
            let found = faults(body.as_bytes(), Charset::Utf8);
            assert_eq!(body.chars().count(), length);
            assert_eq!(found.len(), usize::from(said), "{found:?}");
            assert!(found.iter().all(|fault| fault.at == 2_000 && !fault.changes_bytes), "{found:?}");
        }
    }
}
