//! Plain words for what a parser says, and the nearest known word for a mistyped one.

use crate::doc::{Entry, Kind, Node};
use crate::report::Fault;
use std::ops::Range;

/// The most known keys that a help text lists.
const MAX_LISTED: usize = 16;

/// The known word that `word` was probably meant to be: at most a third of its letters wrong.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let limit = (word.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().replace('-', "_").chars().take(64).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, &x) in a.iter().enumerate() {
        let x = if x == '-' { '_' } else { x };
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut best = (row[j] + 1).min(rows[i][j + 1] + 1).min(rows[i][j] + usize::from(x != y));
            if i > 0 && j > 0 && x == b[j - 1] && (a[i - 1] == y || (a[i - 1] == '-' && y == '_')) {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row[j + 1] = best;
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// `a`, `b`, `c`, in back quotes; a long list is cut.
pub(crate) fn list(words: &[&str]) -> String {
    let mut quoted: Vec<String> = words.iter().take(MAX_LISTED).map(|word| format!("`{word}`")).collect();
    if words.len() > MAX_LISTED {
        quoted.push(format!("and {} more", words.len() - MAX_LISTED));
    }
    quoted.join(", ")
}

/// A fault for an unknown key.
pub(crate) fn unknown_key(entry: &Entry, section: &str, expected: &[&str]) -> (Fault, Option<String>) {
    let fault = Fault::new(entry.key_span.clone(), format!("unknown key `{}`{section}", entry.key));
    match nearest(&entry.key, expected.iter().copied()) {
        Some(known) => (
            fault.label(format!("expected `{known}`")).help(format!("did you mean `{known}`?")),
            Some(known.to_owned()),
        ),
        None if expected.is_empty() => (fault.label("not known here").help("remove it"), None),
        None => {
            let help = format!("remove it, or use one of the keys known here: {}", list(expected));
            (fault.label("not known here"), None).with_help(help)
        }
    }
}

trait WithHelp {
    fn with_help(self, help: String) -> Self;
}

impl WithHelp for (Fault, Option<String>) {
    fn with_help(self, help: String) -> Self {
        (self.0.help(help), self.1)
    }
}

/// A fault for a name that is not one of an enumeration's.
pub(crate) fn unknown_variant(
    span: Range<usize>,
    key: &str,
    found: &str,
    expected: &[&str],
) -> (Fault, Option<String>) {
    let fault = Fault::new(span, format!("`{key}` can't be \"{found}\""));
    let fault = fault.label(format!("expected {}", one_of(expected)));
    match nearest(found, expected.iter().copied()) {
        Some(known) => (fault.help(format!("did you mean \"{known}\"?")), Some(known.to_owned())),
        None => match expected.first() {
            Some(first) => (fault.help(format!("write for example `{key} = \"{first}\"`")), None),
            None => (fault, None),
        },
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [word] => format!("`{word}`"),
        words => format!("one of {}", list(words)),
    }
}

/// A fault for a value of the wrong kind. `expected` is as serde words it.
pub(crate) fn wrong_kind(node: &Node, key: &str, found: &str, expected: &str) -> Fault {
    let want = expectation(expected);
    let is = match &node.kind {
        Kind::Str(text) | Kind::Datetime(text) if text.is_empty() => "an empty text".to_owned(),
        Kind::Str(_) => "a text".to_owned(),
        Kind::Datetime(_) => "a date".to_owned(),
        Kind::Int(int) => format!("{int}"),
        Kind::Float(float) => format!("{float}"),
        Kind::Bool(bool) => format!("{bool}"),
        Kind::Array(_) => "a list".to_owned(),
        Kind::Table(_) => "a section of its own".to_owned(),
        Kind::Hole(_) => found.to_owned(),
    };
    let fault = Fault::new(node.span.clone(), format!("`{key}` must be {want}, but is {is}"))
        .label(format!("expected {want}"));
    match mend(node, key, expected) {
        Some(help) => fault.help(help),
        None => fault,
    }
}

/// Serde's name of a type, in words that an installer knows.
fn expectation(expected: &str) -> String {
    match expected {
        "u8" => "an integer from 0 to 255".to_owned(),
        "u16" => "an integer from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" | "u128" => "an integer of 0 or more".to_owned(),
        "i8" => "an integer from -128 to 127".to_owned(),
        "i16" => "an integer from -32768 to 32767".to_owned(),
        "i32" | "i64" | "isize" | "i128" => "an integer".to_owned(),
        "a nonzero u8" => "an integer from 1 to 255".to_owned(),
        "a nonzero u16" => "an integer from 1 to 65535".to_owned(),
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "an integer of 1 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "str" | "string" | "path string" => "a text in quotes".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        "socket address" => "an address and port".to_owned(),
        "IP address" | "IPv4 address" | "IPv6 address" => "an IP address".to_owned(),
        other if other.starts_with("struct ") || other.starts_with("internally tagged enum ") => {
            "a table".to_owned()
        }
        other => other.to_owned(),
    }
}

fn is_number(expected: &str) -> bool {
    let name = expected.strip_prefix("a nonzero ").unwrap_or(expected);
    name.len() <= 5
        && name.starts_with(['u', 'i', 'f'])
        && name.ends_with(|c: char| c.is_ascii_digit() || c == 'e')
}

/// How to mend a value of the wrong kind.
fn mend(node: &Node, key: &str, expected: &str) -> Option<String> {
    // In a list, the key's name stands for the element: show the value alone.
    let set =
        |value: &str| if key.ends_with(']') { format!("`{value}`") } else { format!("`{key} = {value}`") };
    Some(match (&node.kind, expected) {
        (Kind::Str(text), kind) if is_number(kind) && text.trim().parse::<f64>().is_ok() => {
            format!("take the quotes away: {}", set(text.trim()))
        }
        (Kind::Str(text), "a boolean") => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => format!("write {}", set("true")),
            "false" | "no" | "off" => format!("write {}", set("false")),
            _ => format!("write {} or {}", set("true"), set("false")),
        },
        (Kind::Int(int), "a boolean") => format!("write {}", set(if *int == 0 { "false" } else { "true" })),
        (Kind::Int(int), "a string" | "str" | "string") => {
            format!("put it in quotes: {}", set(&format!("\"{int}\"")))
        }
        (Kind::Float(x), "a string" | "str" | "string") => {
            format!("put it in quotes: {}", set(&format!("\"{x}\"")))
        }
        (Kind::Bool(x), "a string" | "str" | "string") => {
            format!("put it in quotes: {}", set(&format!("\"{x}\"")))
        }
        (Kind::Str(text), "a sequence") => format!("put it in brackets: {}", set(&format!("[\"{text}\"]"))),
        (Kind::Int(int), "a sequence") => format!("put it in brackets: {}", set(&format!("[{int}]"))),
        (Kind::Table(_), "a sequence") => format!("write the header with two brackets: `[[{key}]]`"),
        (Kind::Array(_), kind) if kind.starts_with("struct ") => {
            format!("there is only one of it: write the header with one bracket, `[{key}]`")
        }
        (_, kind) if kind.starts_with("struct ") => {
            format!("write a section `[{key}]` with its keys below it")
        }
        (_, "socket address") => format!("write address and port, such as {}", set("\"127.0.0.1:8480\"")),
        (_, kind) if is_number(kind) => format!("write a number without quotes, such as {}", set("5")),
        _ => return None,
    })
}

/// A type's own complaint about a value.
pub(crate) fn refused(node: &Node, key: &str, complaint: &str) -> Fault {
    let complaint = complaint.trim();
    match complaint {
        "invalid socket address syntax" => {
            Fault::new(node.span.clone(), format!("`{key}` is not an address with a port"))
                .label("expected address:port")
                .help(format!("write address and port, such as `{key} = \"192.168.1.20:502\"`"))
        }
        "invalid IP address syntax" | "invalid IPv4 address syntax" | "invalid IPv6 address syntax" => {
            Fault::new(node.span.clone(), format!("`{key}` is not an IP address"))
                .label("expected an IP address")
                .help(format!("write it as `{key} = \"192.168.1.20\"`"))
        }
        _ => match complaint.split_once("; ") {
            // Types of the house say what is wrong, then how to mend it.
            Some((wrong, help)) => Fault::new(node.span.clone(), format!("`{key}`: {wrong}")).help(help),
            None => Fault::new(node.span.clone(), format!("`{key}`: {complaint}")),
        },
    }
}

/// A fault for text that is not TOML.
pub(crate) fn syntax(text: &str, complaint: &str, span: Range<usize>) -> Fault {
    let line = line_around(text, span.start);
    let (what, expected) = complaint.split_once(", expected ").unwrap_or((complaint, ""));
    let key = line.split('=').next().unwrap_or_default().trim();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    let fault = if what == "duplicate key" {
        Fault::new(span, "this key is there twice").help("remove one of the two")
    } else {
        Fault::new(span, format!("this is not TOML: {what}"))
    };
    let fault = if expected.is_empty() { fault } else { fault.label(format!("expected {expected}")) };
    if fault.help.is_some() {
        return fault;
    }
    let quotes = value.chars().filter(|c| *c == '"').count();
    let bare = !value.is_empty() && value.chars().next().is_some_and(char::is_alphanumeric);
    let help = if line.trim_start().starts_with('[') && line.matches('[').count() != line.matches(']').count()
    {
        "close the header with as many brackets as it was opened with: `[property]`, `[[device]]`".to_owned()
    } else if line.contains(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']) {
        "use straight quotes (\"), not the typographic ones of a word processor".to_owned()
    } else if quotes % 2 == 1 {
        "close the quotes on the same line".to_owned()
    } else if value.contains(',') && bare {
        "write a decimal point, not a comma: `21.5`; texts stand in quotes".to_owned()
    } else if bare {
        format!("texts stand in quotes: `{key} = \"{}\"`", value.trim_matches('"'))
    } else if !line.contains('=') && line.contains(':') {
        "write `key = value`, with an equals sign".to_owned()
    } else {
        "each line is `key = value`, a header in brackets, or a comment after `#`".to_owned()
    };
    fault.help(help)
}

/// The line that holds the byte `at`.
fn line_around(text: &str, at: usize) -> &str {
    let at = text.floor_char_boundary(at);
    let (before, after) = text.split_at(at);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let end = at + after.find(['\n', '\r']).unwrap_or(after.len());
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        let known = ["poll_every", "profile", "unit", "room"];
        for (typed, meant) in [
            ("poll_evry", Some("poll_every")),
            ("poll-every", Some("poll_every")),
            ("porfile", Some("profile")),
            ("Unit", Some("unit")),
            ("rom", Some("room")),
            ("address", None),
            ("", None),
            ("部屋", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }
}
