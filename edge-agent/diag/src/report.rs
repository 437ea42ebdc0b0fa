//! Faults, and how they are shown.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// The most faults that a report keeps; the rest is counted. Nobody mends more at a sitting.
const MAX_FAULTS: usize = 200;

/// One mistake at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in one line.
    pub message: String,
    /// The bytes of the text to underline.
    pub span: Range<usize>,
    /// What was expected there, beside the underline; may be empty.
    pub label: String,
    /// How to mend it.
    pub help: Option<String>,
    /// Another place that belongs to the matter, and what it is to it: `first used here`.
    pub related: Option<(Range<usize>, String)>,
    /// True where the fault only follows from another one; such a fault is not reported.
    pub(crate) follows: bool,
}

impl Fault {
    /// A fault at these bytes of the text.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            label: String::new(),
            help: None,
            related: None,
            follows: false,
        }
    }

    /// Says what was expected, beside the underline.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at another place too.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }
}

/// A place in a text, as editors count: from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The faults of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file's name, as the reader knows it.
    pub file: String,
    /// The file's text.
    pub text: String,
    /// The faults, in the order of the text once the report is finished.
    pub faults: Vec<Fault>,
    /// Faults beyond the bound, which are only counted.
    pub omitted: usize,
}

impl Report {
    /// A report without faults.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into(), faults: Vec::new(), omitted: 0 }
    }

    /// True where nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Adds a fault, unless it only follows from another one or says the same of the same place again.
    pub fn push(&mut self, mut fault: Fault) {
        fault.span = self.fit(fault.span);
        fault.related = fault.related.map(|(span, label)| (self.fit(span), label));
        if fault.follows || self.faults.iter().any(|f| f.span == fault.span && f.message == fault.message) {
            return;
        }
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    /// Puts the faults into the order of the text.
    pub fn sort(&mut self) {
        self.faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    }

    /// Where a fault is.
    pub fn position(&self, fault: &Fault) -> Position {
        let start = self.fit(fault.span.clone()).start;
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    /// The report for a person: per fault what is wrong, file, line and column, the place underlined, and
    /// how to mend it; the number of faults at the end.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for fault in &self.faults {
            let mut main = AnnotationKind::Primary.span(self.first_line(&fault.span));
            if !fault.label.is_empty() {
                main = main.label(&*fault.label);
            }
            let mut snippet = Snippet::source(&*self.text).path(&*self.file).annotation(main);
            if let Some((span, label)) = &fault.related {
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(self.first_line(span)).label(&**label));
            }
            let mut group = Level::ERROR.primary_title(&*fault.message).element(snippet);
            if let Some(help) = &fault.help {
                group = group.element(Level::HELP.message(&**help));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let count = self.faults.len() + self.omitted;
        let noun = if count == 1 { "fault" } else { "faults" };
        out.push_str(&format!("{}: {count} {noun}", self.file));
        if self.omitted > 0 {
            out.push_str(&format!(", the first {} shown", self.faults.len()));
        }
        out.push('\n');
        out
    }

    /// The nearest span that lies within the text, on character boundaries.
    fn fit(&self, span: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.floor_char_boundary(span.end).max(start);
        start..end
    }

    /// The span cut at the end of its first line: a whole section underlined points at nothing.
    fn first_line(&self, span: &Range<usize>) -> Range<usize> {
        let span = self.fit(span.clone());
        let within = self.text.get(span.clone()).unwrap_or_default();
        let line = within.split('\n').next().unwrap_or_default().trim_end();
        span.start..span.start + line.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}
