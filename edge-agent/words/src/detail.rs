//! The details of alerts, which are stored in English, in other languages.
//!
//! A detail is found again by its English sentence: `detail-...` in the English catalogue is the sentence, with variables
//! where it differs. So alerts that an older release stored, and those of rules, read the same as new ones. What a house
//! wrote itself, into its own rules, has no catalogue and stays as it is.

use crate::{Arg, Language, Words};
use fluent_bundle::FluentResource;
use fluent_syntax::ast::{Entry, Expression, InlineExpression, PatternElement};
use std::sync::LazyLock;

const PREFIX: &str = "detail-";

/// A sentence with places.
struct Sentence {
    key: String,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Variable(String),
}

/// Read at the first use. The most words first: a sentence with few of its own would fit others, too.
static SENTENCES: LazyLock<Vec<Sentence>> = LazyLock::new(|| {
    // A text with a fault is left out here and found by the tests.
    let source = Language::En.source().to_owned();
    let resource = FluentResource::try_new(source).unwrap_or_else(|(sound, _)| sound);
    let mut all: Vec<Sentence> = resource.entries().filter_map(sentence).collect();
    all.sort_by_key(|sentence| std::cmp::Reverse(sentence.parts.iter().map(Part::own).sum::<usize>()));
    all
});

fn sentence(entry: &Entry<&str>) -> Option<Sentence> {
    let Entry::Message(message) = entry else { return None };
    let key = message.id.name.strip_prefix(PREFIX).map(|_| message.id.name.to_owned())?;
    let part = |element: &PatternElement<&str>| match element {
        PatternElement::TextElement { value } => Some(Part::Text((*value).to_owned())),
        PatternElement::Placeable {
            expression: Expression::Inline(InlineExpression::VariableReference { id }),
        } => Some(Part::Variable(id.name.to_owned())),
        PatternElement::Placeable { .. } => None,
    };
    let parts = message.value.as_ref()?.elements.iter().map(part).collect::<Option<_>>()?;
    Some(Sentence { key, parts })
}

impl Part {
    /// How much of the sentence is its own.
    fn own(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Variable(_) => 0,
        }
    }
}

impl Sentence {
    /// What stands in the places, where `text` is this sentence.
    fn places<'a>(&'a self, text: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let (mut rest, mut found) = (text, Vec::new());
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(own) => rest = rest.strip_prefix(own.as_str())?,
                Part::Variable(name) => {
                    let end = match parts.peek() {
                        Some(Part::Text(next)) => rest.find(next.as_str())?,
                        _ => rest.len(),
                    };
                    let (value, after) = rest.split_at(end);
                    if value.is_empty() {
                        return None;
                    }
                    found.push((name.as_str(), value));
                    rest = after;
                }
            }
        }
        rest.is_empty().then_some(found)
    }
}

impl Words {
    /// The detail of an alert in the reader's language. What no catalogue has, because the house wrote it itself, stays as
    /// it is.
    pub fn detail(&self, english: &str) -> String {
        if self.language() == Language::En {
            return english.to_owned();
        }
        let translated = SENTENCES.iter().find_map(|sentence| {
            let places = sentence.places(english)?;
            let args: Vec<(&str, Arg<'_>)> =
                places.into_iter().map(|(name, value)| (name, Arg::from(value))).collect();
            self.find(&sentence.key, &args)
        });
        translated.unwrap_or_else(|| english.to_owned())
    }

    /// True where the catalogues have this detail.
    pub fn has_detail(english: &str) -> bool {
        SENTENCES.iter().any(|sentence| sentence.places(english).is_some())
    }
}
