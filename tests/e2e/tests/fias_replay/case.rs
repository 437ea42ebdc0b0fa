//! The case files: lines of a word and its text.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// One line that does or demands something.
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) word: String,
    pub(crate) text: String,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) site: BTreeMap<String, String>,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fias")
}

pub(crate) fn load(name: &str) -> Case {
    let text = std::fs::read_to_string(folder().join(format!("{name}.case"))).unwrap();
    let mut case = Case { name: name.to_owned(), site: BTreeMap::new(), steps: vec![] };
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        if word == "site" {
            case.site = pairs(text);
        } else {
            case.steps.push(Step { line: index + 1, word: word.to_owned(), text: text.to_owned() });
        }
    }
    case
}

/// `key=value key="two words"`.
pub(crate) fn pairs(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.rsplit(' ').next().unwrap().to_owned();
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        found.insert(key, value.to_owned());
        rest = tail.trim();
    }
    found
}

/// `seconds`, as virtual time.
pub(crate) fn seconds(text: &str) -> jiff::SignedDuration {
    jiff::SignedDuration::from_millis((text.parse::<f64>().unwrap() * 1000.0) as i64)
}

/// True if the record `sent` has the id and at least the fields of `wanted`.
pub(crate) fn matches(sent: &str, wanted: &str) -> bool {
    let split = |record: &str| -> Vec<String> {
        record.split('|').filter(|field| !field.is_empty()).map(str::to_owned).collect()
    };
    let (sent, wanted) = (split(sent), split(wanted));
    let glob = |field: &str, pattern: &str| match pattern.split_once('*') {
        Some((before, _)) => field.starts_with(before),
        None => field == pattern,
    };
    wanted[0] == "*"
        || (sent[0] == wanted[0]
            && wanted[1..].iter().all(|w| w == "*" || sent[1..].iter().any(|s| glob(s, w))))
}
