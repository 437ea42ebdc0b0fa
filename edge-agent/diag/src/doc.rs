//! A TOML document with the place of each key and value.
//!
//! Invariant: nodes are only ever replaced by holes, added as holes, or removed; so an index into an
//! array means the same element before and after faults were found.

use crate::report::Fault;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The way to a place in a document: keys and indices from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// The whole document.
    pub fn root() -> Self {
        Self::default()
    }

    /// The value of `key` in the table here.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.into()));
        Self(steps)
    }

    /// Element `index`, from 0, of the array here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{}]", index + 1)?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Str(String),
    Int(i128),
    Float(f64),
    Bool(bool),
    /// A date or time without quotes, as written.
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// Nothing that can be used; the number counts the guesses that were tried in its place.
    Hole(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

/// A document, with the place of each key and value.
#[derive(Clone, Debug)]
pub struct Doc {
    pub(crate) root: Node,
}

impl Doc {
    /// Reads the text; what is not TOML comes back as faults, and the rest is kept.
    pub(crate) fn read(text: &str) -> (Self, Vec<Fault>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        // A list or table that is not closed makes everything after it look wrong: what began it, and that it is not
        // closed, says all. Otherwise the first mistake of a line says why the rest of it is not understood.
        let unclosed = errors.iter().any(|error| error.message().starts_with("unclosed"));
        let mut last_line = None;
        let mut faults = Vec::new();
        for (n, error) in errors.iter().enumerate() {
            let span = error.span().unwrap_or(0..0);
            let line = text.get(..span.start).map(|before| before.matches('\n').count());
            let follows =
                if unclosed { n > 0 && !error.message().starts_with("unclosed") } else { line == last_line };
            last_line = line;
            if !follows {
                faults.push(crate::words::syntax(text, error.message(), span));
            }
        }
        let span = table.span();
        (Self { root: Node { span, kind: convert_table(table.into_inner()) } }, faults)
    }

    /// The bytes of the value at `path`; where there is none, of the nearest place on the way to it.
    pub fn span_of(&self, path: &Path) -> Range<usize> {
        self.walk(path).0
    }

    /// The bytes of the key at `path`; where there is none, of the nearest place on the way to it.
    pub fn key_span_of(&self, path: &Path) -> Range<usize> {
        self.walk(path).1
    }

    /// True where the document has a usable value at `path`.
    pub fn has(&self, path: &Path) -> bool {
        self.walk(path).2 == End::Found
    }

    /// True where the value at `path` is faulty, so that nothing may be concluded from it.
    pub fn is_hole(&self, path: &Path) -> bool {
        self.walk(path).2 == End::Hole
    }

    /// The text at `path`, where it is a string.
    pub fn str_at(&self, path: &Path) -> Option<&str> {
        match &self.find(path)?.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A fault at the value at `path`. A report ignores it where that place is a hole.
    pub fn fault(&self, path: &Path, message: impl Into<String>) -> Fault {
        let (span, _, end) = self.walk(path);
        Fault { follows: end == End::Hole, ..Fault::new(span, message) }
    }

    /// A fault at the key (or section header) at `path`. A report ignores it where that place is a hole.
    pub fn fault_at_key(&self, path: &Path, message: impl Into<String>) -> Fault {
        let (_, span, end) = self.walk(path);
        Fault { follows: end == End::Hole, ..Fault::new(span, message) }
    }

    fn find(&self, path: &Path) -> Option<&Node> {
        path.0.iter().try_fold(&self.root, |node, step| node.child(step).map(|(node, _)| node))
    }

    fn walk(&self, path: &Path) -> (Range<usize>, Range<usize>, End) {
        let mut node = &self.root;
        let mut key = node.span.clone();
        for step in &path.0 {
            if matches!(node.kind, Kind::Hole(_)) {
                return (node.span.clone(), key, End::Hole);
            }
            let Some((child, child_key)) = node.child(step) else {
                return (node.span.clone(), key, End::Absent);
            };
            key = child_key.unwrap_or_else(|| child.span.clone());
            node = child;
        }
        let end = if matches!(node.kind, Kind::Hole(_)) { End::Hole } else { End::Found };
        (node.span.clone(), key, end)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Found,
    Absent,
    Hole,
}

impl Node {
    fn child(&self, step: &Step) -> Option<(&Self, Option<Range<usize>>)> {
        match (&self.kind, step) {
            (Kind::Table(entries), Step::Key(key)) => entries
                .iter()
                .find(|entry| entry.key == *key)
                .map(|entry| (&entry.node, Some(entry.key_span.clone()))),
            (Kind::Array(nodes), Step::Index(index)) => nodes.get(*index).map(|node| (node, None)),
            _ => None,
        }
    }

    /// The node `path` leads to, by positions of entries and elements.
    pub(crate) fn at(&self, path: &[usize]) -> Option<&Self> {
        path.iter().try_fold(self, |node, &i| match &node.kind {
            Kind::Array(nodes) => nodes.get(i),
            Kind::Table(entries) => entries.get(i).map(|entry| &entry.node),
            _ => None,
        })
    }

    /// The node `path` leads to, by positions of entries and elements.
    pub(crate) fn at_mut(&mut self, path: &[usize]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, &i| match &mut node.kind {
            Kind::Array(nodes) => nodes.get_mut(i),
            Kind::Table(entries) => entries.get_mut(i).map(|entry| &mut entry.node),
            _ => None,
        })
    }

    /// True where something in here can't be used.
    pub(crate) fn has_hole(&self) -> bool {
        match &self.kind {
            Kind::Hole(_) => true,
            Kind::Array(nodes) => nodes.iter().any(Self::has_hole),
            Kind::Table(entries) => entries.iter().any(|entry| entry.node.has_hole()),
            _ => false,
        }
    }
}

fn convert(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Str(text.into_owned()),
        // Numbers that don't fit are holes to begin with; `recover` reports them.
        DeValue::Integer(int) => {
            i128::from_str_radix(int.as_str(), int.radix()).map_or(Kind::Hole(0), Kind::Int)
        }
        DeValue::Float(float) => float.as_str().parse().map_or(Kind::Hole(0), Kind::Float),
        DeValue::Boolean(bool) => Kind::Bool(bool),
        DeValue::Datetime(at) => Kind::Datetime(at.to_string()),
        DeValue::Array(values) => Kind::Array(values.into_iter().map(convert).collect()),
        DeValue::Table(table) => convert_table(table),
    };
    Node { span, kind }
}

fn convert_table(table: DeTable<'_>) -> Kind {
    let entries = table.into_iter().map(|(key, value)| Entry {
        key_span: key.span(),
        key: key.into_inner().into_owned(),
        node: convert(value),
    });
    Kind::Table(entries.collect())
}
