//! Everything that people read, in their language: one Fluent catalogue for each, in `texts/`, in the binary.
//!
//! Terms: a *text* has a key and, in places, variables (projectfluent.org, syntax 1.0); a *chain* is the order in which
//! languages are tried: the guest's own (`ar-EG`, then `ar`), the house's, English. Every catalogue has every key with
//! the same variables; a test sees to it.
//!
//! Never: files, personal data kept; a key that some language lacks.

mod date;
mod detail;
mod language;
mod money;

pub use date::day;
pub use language::{Direction, Language};
pub use money::amount;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use std::sync::OnceLock;
use unic_langid::LanguageIdentifier;

/// A value that goes into a text.
pub type Arg<'a> = FluentValue<'a>;

type Bundle = FluentBundle<FluentResource>;

/// Each read at its first use, in the order of [`Language::ALL`]: a house speaks two or three of them, and each takes a
/// quarter of a megabyte.
static CATALOGUES: [OnceLock<Bundle>; Language::ALL.len()] = [const { OnceLock::new() }; Language::ALL.len()];

fn catalogue(language: Language) -> Bundle {
    // The tags are constants of this crate; a test parses each.
    let id: LanguageIdentifier = language.tag().parse().unwrap_or_default();
    let mut bundle = Bundle::new_concurrent(vec![id]);
    // A number or a name among letters that run the other way is kept together by isolates (UAX #9); elsewhere they
    // would be characters that nobody sees and every search stumbles over.
    bundle.set_use_isolating(language.direction() == Direction::RightToLeft);
    // A text with a fault is left out here and found by the tests.
    let resource = FluentResource::try_new(language.source().to_owned()).unwrap_or_else(|(sound, _)| sound);
    bundle.add_resource_overriding(resource);
    bundle
}

/// The texts for one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The languages to try; English is the last.
    chain: Vec<Language>,
}

impl Words {
    /// The texts for whoever has these language tags (BCP 47), the best first: the guest's, the house's. Tags without a
    /// catalogue are passed over.
    pub fn of<'a>(tags: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let known = tags.into_iter().flatten().filter_map(Language::of_tag);
        let mut chain: Vec<Language> = Vec::new();
        for language in known.chain([Language::En]) {
            if !chain.contains(&language) {
                chain.push(language);
            }
        }
        Self { chain }
    }

    /// The texts for a browser that sends this `Accept-Language` (RFC 9110, section 12.5.4), else in the house's language.
    pub fn accepted(header: Option<&str>, house: Option<&str>) -> Self {
        let wanted = language::accepted(header.unwrap_or(""));
        Self::of(wanted.iter().map(|tag| Some(tag.as_str())).chain([house]))
    }

    /// The texts in one language.
    pub fn in_language(language: Language) -> Self {
        Self::of([Some(language.tag())])
    }

    /// The language of the texts.
    pub fn language(&self) -> Language {
        // The chain has English at least.
        self.chain.first().copied().unwrap_or(Language::En)
    }

    /// The text `key`, with its variables filled in. A key that there is not is shown itself.
    pub fn text(&self, key: &str, args: &[(&str, Arg<'_>)]) -> String {
        self.find(key, args).unwrap_or_else(|| key.to_owned())
    }

    /// The text `key` without variables.
    pub fn say(&self, key: &str) -> String {
        self.text(key, &[])
    }

    /// The text `key`; `None` where no catalogue has it.
    pub fn find(&self, key: &str, args: &[(&str, Arg<'_>)]) -> Option<String> {
        let args: FluentArgs<'_> = args.iter().map(|(name, value)| (*name, value.clone())).collect();
        self.chain.iter().find_map(|language| {
            let bundle = CATALOGUES.get(language.place())?.get_or_init(|| catalogue(*language));
            let pattern = bundle.get_message(key)?.value()?;
            let mut faults = Vec::new();
            Some(bundle.format_pattern(pattern, Some(&args), &mut faults).into_owned())
        })
    }
}
