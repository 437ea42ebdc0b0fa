//! Reading on behind a fault: each round reads the type from the document, takes the first fault out, and
//! tries again, until the type can be read.
//!
//! Rounds are bounded by [`MAX_ROUNDS`], the text by [`MAX_BYTES`] and its nesting by [`MAX_DOTS`]: a file
//! that reaches a bound gets a fault that says so.

use crate::de::{Error, ErrorKind};
use crate::doc::{Doc, Entry, Kind, Node};
use crate::hole::MAX_GUESSES;
use crate::report::{Fault, Report};
use crate::words;
use serde::de::DeserializeOwned;

/// The most faults (and guesses between them) that one file is searched for.
const MAX_ROUNDS: usize = 1000;

/// The longest text that is read: a configuration of 5,000 devices is a tenth of it.
const MAX_BYTES: usize = 8 << 20;

/// The most dots in one key or header: each nests one table deeper.
const MAX_DOTS: usize = 64;

/// What came of reading a file.
#[derive(Debug)]
pub struct Parsed<T> {
    /// What was read. Where the report has faults, the faulty places are filled with guesses: good for
    /// further checks ([`Doc::fault`] tells guesses from what is written), for nothing else. `None` where
    /// not even that was possible.
    pub value: Option<T>,
    /// The document.
    pub doc: Doc,
    /// The faults so far.
    pub report: Report,
}

/// Reads a file's text as `T`.
///
/// # Errors
/// The report of all faults, in the order of the text.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Report> {
    let parsed = read(file, text);
    match parsed.value {
        Some(value) if parsed.report.is_empty() => Ok(value),
        _ => Err(parsed.report),
    }
}

/// Reads a file's text as `T`, and keeps the document for further checks.
pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Parsed<T> {
    // Editors of another system put a mark before the text. It is replaced so that places stay the same.
    let clean = text.strip_prefix('\u{feff}').map(|rest| format!("   {rest}"));
    let clean = clean.as_deref().unwrap_or(text);
    let mut report = Report::new(file, text);
    if let Some(fault) = too_much(clean) {
        report.push(fault);
        return Parsed { value: None, doc: Doc::empty(), report };
    }
    let (mut doc, faults) = Doc::read(clean);
    let broken: Vec<usize> = faults.iter().map(|fault| report.position(fault).line).collect();
    // After a broken header, keys belong to the wrong section: nothing more can be said of them.
    let lost = broken.iter().any(|&line| {
        clean
            .lines()
            .nth(line - 1)
            .is_none_or(|line| line.trim_start().starts_with('[') || !line.contains('='))
    });
    for fault in faults {
        report.push(fault);
    }
    let mut value = None;
    if !lost {
        let mut found = Vec::new();
        value = search(&mut doc, &mut found);
        for fault in found {
            let line = report.position(&fault.fault).line;
            if broken.is_empty() || !(fault.missing || broken.contains(&line)) {
                report.push(fault.fault);
            }
        }
    }
    if !broken.is_empty() {
        value = None;
    }
    report.sort();
    Parsed { value, doc, report }
}

impl Doc {
    fn empty() -> Self {
        Self { root: Node { span: 0..0, kind: Kind::Table(Vec::new()) } }
    }
}

fn too_much(text: &str) -> Option<Fault> {
    if text.len() > MAX_BYTES {
        return Some(Fault::new(0..0, format!("the file is larger than {} MiB", MAX_BYTES >> 20)));
    }
    let mut start = 0;
    for line in text.split('\n') {
        let keys = line.split(['"', '\'', '#']).next().unwrap_or_default();
        if line.matches('.').count() > MAX_DOTS && keys.matches('.').count() > MAX_DOTS {
            return Some(
                Fault::new(start..start + line.len(), "this key nests too deep")
                    .label(format!("expected at most {MAX_DOTS} dots")),
            );
        }
        start += line.len() + 1;
    }
    None
}

struct Found {
    fault: Fault,
    /// True for a key that isn't there: after a syntax error it may be there all the same.
    missing: bool,
}

fn search<T: DeserializeOwned>(doc: &mut Doc, found: &mut Vec<Found>) -> Option<T> {
    for _ in 0..MAX_ROUNDS {
        match T::deserialize(&doc.root) {
            Ok(value) => return Some(value),
            Err(error) => {
                if !step(&mut doc.root, error, found) {
                    return None;
                }
            }
        }
    }
    let fault =
        Fault::new(0..0, "there are too many faults to find them all").help("mend those that are shown");
    found.push(Found { fault, missing: false });
    None
}

/// Records the error's fault and takes it out of the document. False where nothing is left to read.
fn step(root: &mut Node, error: Error, found: &mut Vec<Found>) -> bool {
    let mut path = error.path;
    path.reverse();
    let Some(node) = root.at(&path) else { return give_up(root, found) };
    if let Kind::Hole(guess) = node.kind {
        return next_guess(root, path, guess, found);
    }
    let key = name_of(root, &path);
    match error.kind {
        ErrorKind::Missing(field) => missing(root, &path, &field, found),
        ErrorKind::Unknown { field, expected } => unknown(root, &path, &field, &expected, found),
        ErrorKind::Variant { found: word, expected } => {
            let leaf = find(node, &path, &|node| matches!(&node.kind, Kind::Str(text) if *text == word));
            // No value has this word: it is a key of a table whose keys are words of a list.
            let Some(leaf) = leaf else { return unknown(root, &path, &word, &expected, found) };
            let span = root.at(&leaf).map_or(0..0, |node| node.span.clone());
            let (fault, known) = words::unknown_variant(span, &name_of(root, &leaf), &word, &expected);
            found.push(Found { fault, missing: false });
            match (root.at_mut(&leaf), known) {
                (Some(node), Some(known)) if known != word => {
                    node.kind = Kind::Str(known);
                    true
                }
                _ => dig(root, &path),
            }
        }
        ErrorKind::Type { found: is, expected } => {
            let leaf = find(node, &path, &|node| node.unexpected().to_string() == is).unwrap_or(path);
            let Some(node) = root.at(&leaf) else { return give_up(root, found) };
            let fault = words::wrong_kind(node, &name_of(root, &leaf), &is, &expected);
            found.push(Found { fault, missing: false });
            dig(root, &leaf)
        }
        ErrorKind::Custom(_) if node.has_hole() => hide(root, &path, found),
        ErrorKind::Custom(text) => {
            found.push(Found { fault: words::refused(node, &key, &text), missing: false });
            dig(root, &path)
        }
    }
}

/// Tries another guess in a hole; where none fits, the table around it becomes the hole.
fn next_guess(root: &mut Node, mut path: Vec<usize>, guess: usize, found: &mut Vec<Found>) -> bool {
    if guess + 1 < MAX_GUESSES {
        if let Some(node) = root.at_mut(&path) {
            node.kind = Kind::Hole(guess + 1);
        }
        return true;
    }
    if path.pop().is_none() {
        return give_up(root, found);
    }
    dig(root, &path)
}

fn missing(root: &mut Node, path: &[usize], field: &str, found: &mut Vec<Found>) -> bool {
    let section = name_of(root, path);
    let span = header_of(root, path);
    let Some(Node { kind: Kind::Table(entries), .. }) = root.at_mut(path) else {
        return hide(root, path, found);
    };
    if entries.iter().any(|entry| entry.key == field) || entries.iter().any(is_untold) {
        return hide(root, path, found);
    }
    let place = if path.is_empty() { "the file".to_owned() } else { format!("`{section}`") };
    let fault = Fault::new(span.clone(), format!("{place} lacks `{field}`"))
        .label(format!("expected a key `{field}` here"))
        .help(if path.is_empty() {
            format!("add the section `[{field}]` (or the key `{field} = ...` at the top)")
        } else {
            format!("add a line `{field} = ...`")
        });
    found.push(Found { fault, missing: true });
    let node = Node { span: span.clone(), kind: Kind::Hole(0) };
    entries.push(Entry { key: field.to_owned(), key_span: span, node });
    true
}

/// True for a hole that was put in for a key which turned out not to belong into this table.
fn is_untold(entry: &Entry) -> bool {
    matches!(entry.node.kind, Kind::Hole(guess) if guess + 1 >= MAX_GUESSES)
}

fn unknown(root: &mut Node, path: &[usize], field: &str, expected: &[&str], found: &mut Vec<Found>) -> bool {
    let Some(node) = root.at(path) else { return give_up(root, found) };
    let holder = find(
        node,
        path,
        &|node| matches!(&node.kind, Kind::Table(entries) if entries.iter().any(|entry| entry.key == field)),
    );
    let Some(holder) = holder else { return hide(root, path, found) };
    let section = if holder.is_empty() { String::new() } else { format!(" in `{}`", name_of(root, &holder)) };
    let Some(Node { kind: Kind::Table(entries), .. }) = root.at_mut(&holder) else {
        return give_up(root, found);
    };
    let Some(at) = entries.iter().position(|entry| entry.key == field) else { return give_up(root, found) };
    if matches!(entries[at].node.kind, Kind::Hole(_)) {
        return hide(root, path, found);
    }
    let free: Vec<&str> =
        expected.iter().copied().filter(|known| entries.iter().all(|entry| entry.key != **known)).collect();
    let (mut fault, known) = words::unknown_key(&entries[at], &section, &free);
    if known.is_none()
        && let Some(known) = words::nearest(field, expected.iter().copied())
    {
        fault = fault.help(format!("`{known}` is there already: remove this line"));
    }
    found.push(Found { fault, missing: false });
    match known {
        // Reading goes on as if the key had been spelt right, so that its value is looked at too.
        Some(known) => entries[at].key = known,
        None => {
            entries.remove(at);
        }
    }
    true
}

/// Makes a hole without a fault: the error follows from one that is recorded.
fn hide(root: &mut Node, path: &[usize], found: &mut Vec<Found>) -> bool {
    if found.is_empty() { give_up(root, found) } else { dig(root, path) }
}

fn dig(root: &mut Node, path: &[usize]) -> bool {
    match root.at_mut(path) {
        Some(node) if !path.is_empty() => {
            node.kind = Kind::Hole(0);
            true
        }
        _ => false,
    }
}

/// Ends the search; a reading that failed has at least one fault to show for it.
fn give_up(root: &Node, found: &mut Vec<Found>) -> bool {
    if found.is_empty() {
        let fault =
            Fault::new(root.span.start..root.span.start, "the file can't be read as what it should be");
        found.push(Found { fault, missing: false });
    }
    false
}

/// The first node at or under `path` that `is` holds for. Types that buffer what they read (tagged
/// enumerations) report an error at the whole table: this finds the value it speaks of.
fn find(node: &Node, path: &[usize], is: &dyn Fn(&Node) -> bool) -> Option<Vec<usize>> {
    if is(node) {
        return Some(path.to_vec());
    }
    let below = |(i, child): (usize, &Node)| {
        let mut path = path.to_vec();
        path.push(i);
        find(child, &path, is)
    };
    match &node.kind {
        Kind::Array(nodes) => nodes.iter().enumerate().find_map(below),
        Kind::Table(entries) => entries.iter().map(|entry| &entry.node).enumerate().find_map(below),
        _ => None,
    }
}

/// What a person calls the place: its key, with the element's number in a list.
fn name_of(root: &Node, path: &[usize]) -> String {
    let mut name = String::new();
    let mut node = root;
    for &i in path {
        node = match &node.kind {
            Kind::Table(entries) => {
                let Some(entry) = entries.get(i) else { break };
                name.clone_from(&entry.key);
                &entry.node
            }
            Kind::Array(nodes) => {
                let Some(child) = nodes.get(i) else { break };
                name = format!("{name}[{}]", i + 1);
                child
            }
            _ => break,
        };
    }
    name
}

/// The header of the section at `path`, or what stands for it.
fn header_of(root: &Node, path: &[usize]) -> std::ops::Range<usize> {
    root.at(path).map_or(0..0, |node| if path.is_empty() { 0..0 } else { node.span.clone() })
}
