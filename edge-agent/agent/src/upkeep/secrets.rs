//! The secrets of a configuration, found in its text whether it can be read or not, so that what is told of its faults does
//! not tell them.
//!
//! Two walls: a fault in the value of a key that holds a secret is told without a word of the parser's; and whatever is told
//! has the values that were found replaced. Both hide too much rather than too little.

use super::mask::{self, SECRET, SHORTEST};
use engawa_diag::{Fault, Report};
use std::ops::Range;

/// What is secret in a text.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// The longest first.
    values: Vec<String>,
    /// Where the values of keys lie that hold secrets, bytes.
    places: Vec<Range<usize>>,
}

impl Secrets {
    /// Those of a text that is TOML, or was meant to be.
    pub(crate) fn of(text: &str) -> Self {
        let mut found = Self { values: mask::secret_values(text), places: vec![] };
        for (at, _) in text.match_indices('=') {
            let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let key = text[line..at].trim_end().rsplit([',', '{', ' ', '\t']).next().unwrap_or_default();
            if mask::is_secret(key.trim_matches(['"', '\''])) {
                let rest = &text[at + 1..];
                let end = end_of_value(rest);
                found.values.extend(words_of(&rest[..end]));
                found.places.push(at + 1..at + 1 + end);
            }
        }
        for (at, _) in text.match_indices("://") {
            let rest = &text[at + 3..];
            let host = rest.find(['/', '?', '#', '"', '\'', '\n', ' ']).unwrap_or(rest.len());
            if let Some(end) = rest[..host].rfind('@') {
                found.values.extend(rest[..end].split(':').map(str::to_owned));
                found.values.push(rest[..end].to_owned());
            }
        }
        found.values.retain(|value| value.chars().count() >= SHORTEST);
        found.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        found.values.dedup();
        found
    }

    /// `text` without them.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| {
            if text.contains(value.as_str()) { text.replace(value.as_str(), SECRET) } else { text }
        })
    }

    /// One fault in a line, without source text: file, line, column, what is wrong, how to mend it.
    pub(crate) fn in_words(&self, report: &Report, fault: &Fault) -> String {
        let place = report.position(fault);
        let at = format!("{}:{}:{}", report.file, place.line, place.column);
        if self.places.iter().any(|place| place.start <= fault.span.end && fault.span.start <= place.end) {
            return format!(
                "{at}: the value of a key that holds a secret is wrong; `engawa check` says what"
            );
        }
        let label = if fault.label.is_empty() { String::new() } else { format!(" ({})", fault.label) };
        let help = fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        self.masked(&format!("{at}: {}{label}{help}", fault.message))
    }
}

/// Where the value ends that `rest` begins with: too late rather than too early.
fn end_of_value(rest: &str) -> usize {
    let value = rest.trim_start_matches([' ', '\t']);
    let before = rest.len() - value.len();
    let line = value.find('\n').unwrap_or(value.len());
    before
        + if let Some(quotes) = ["\"\"\"", "'''"].into_iter().find(|quotes| value.starts_with(quotes)) {
            value[3..].find(quotes).map_or(value.len(), |end| end + 6)
        } else if value.starts_with('[') {
            value.find(']').map_or(value.len(), |end| end + 1).max(line)
        } else {
            line
        }
}

/// A value as it is written, and the words in it: a parser may name either.
fn words_of(value: &str) -> impl Iterator<Item = String> {
    let quotes = |c: char| matches!(c, '"' | '\'');
    let whole = value.trim();
    let words = whole.split([',', '[', ']', '{', '}', '#', '\n']).flat_map(move |part| {
        let part = part.trim();
        [part, part.trim_matches(quotes)].into_iter().chain(part.split(quotes))
    });
    let lines = whole.lines().map(str::trim);
    let all: Vec<String> = [whole, whole.trim_matches(quotes)]
        .into_iter()
        .chain(words)
        .chain(lines)
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| word.trim().to_owned())
        .collect();
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of each fault, where `at` is underlined in `text` and the parser says `message`.
    fn told(text: &str, at: &str, message: &str) -> String {
        let start = text.find(at).unwrap();
        let mut report = Report::new("c.toml", text);
        report.push(Fault::new(start..start + at.len(), message).help(format!("instead of {message}")));
        Secrets::of(text).in_words(&report, &report.faults[0])
    }

    #[test]
    fn no_fault_tells_a_secret() {
        for text in [
            "[[mqtt.user]]\npassword = \"hunter2\"\nname = \"till\"\n",
            "[[mqtt.user]]\npassword = \"hunter2\nname = \"till\"\n",
            "[[mqtt.user]]\n'password'='hunter2' # old: hunter2\nname = \"till\"\n",
            "[mqtt]\nuser = [{ password = \"hunter2\", name = \"till\" }]\n",
            "[mqtt]\npassword = hunter2\nname = \"till\"\n",
            "[mqtt]\ntokens = [\n  \"hunter2\",\n]\nname = \"till\"\n",
            "[mqtt]\nsecret = \"\"\"\nhunter2\nhunter2\"\"\"\nname = \"till\"\n",
            "[mqtt]\nurl = \"mqtts://till:hunter2@broker/x\"\nname = \"till\"\n",
            "[mqtt]\npassword = \"\\u0068unter2\"\nname = \"till\"\n",
        ] {
            // At the secret itself, and where it is named elsewhere.
            for at in ["unter2", "name", "[mqtt"] {
                let at = if at == "[mqtt" && text.starts_with("[[") { "[[mqtt" } else { at };
                let said = told(text, at, "`x` can't be \"hunter2\"");
                assert!(!said.contains("hunter2") && said.starts_with("c.toml:"), "{text}: {said}");
            }
        }
        let said = told("pin = 0x1267\nname = 1\n", "0x1267", "`pin` must be a text, but is 4711");
        assert!(!said.contains("4711") && said.contains("engawa check"), "{said}");
    }

    #[test]
    fn what_is_no_secret_is_told_whole() {
        let text = "password_file = \"/etc/engawa/till\"\npassword = \"hunter2\"\ncomfort_c = 99.0\n";
        let said = told(text, "99.0", "`comfort_c` can't be 99, see /etc/engawa/till");
        assert_eq!(
            said,
            "c.toml:3:13: `comfort_c` can't be 99, see /etc/engawa/till; instead of `comfort_c` can't be 99, see \
             /etc/engawa/till"
        );
        let said = told(text, "password ", "unknown key `password`");
        assert!(said.contains("unknown key `password`"), "the key is told: {said}");
    }
}
