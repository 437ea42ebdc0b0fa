//! Which mutants an error of the compiler is about (`cargo --message-format=json`, as rustc 1.95 writes it).

use crate::mutant::Number;
use crate::rewrite::{Of, Region};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One line of cargo's.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// What it is, such as `compiler-message` or `compiler-artifact`.
    pub reason: String,
    /// The compiler's message.
    pub message: Option<Message>,
    /// What was built.
    pub target: Option<Target>,
    /// The package's manifest.
    pub manifest_path: Option<String>,
    /// The program, where one was built.
    pub executable: Option<String>,
}

/// What was built.
#[derive(Debug, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
}

/// A message of the compiler.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// `error`, `warning`, ...
    pub level: String,
    /// Such as `E0308`.
    pub code: Option<Code>,
    /// The first line.
    pub message: String,
    /// Where.
    pub spans: Vec<Spot>,
    /// As a terminal shows it.
    pub rendered: Option<String>,
}

/// The code of a message.
#[derive(Debug, Deserialize)]
pub struct Code {
    /// Such as `E0308`.
    pub code: String,
}

/// A place that a message shows.
#[derive(Debug, Deserialize)]
pub struct Spot {
    /// From the workspace's root.
    pub file_name: String,
    /// The first byte.
    pub byte_start: usize,
    /// The byte behind the last.
    pub byte_end: usize,
    /// Where the error is, not what explains it.
    pub is_primary: bool,
}

/// What an error means.
#[derive(Debug, PartialEq, Eq)]
pub enum Blame {
    /// These mutants don't compile.
    Mutants(Vec<Number>),
    /// Their switch doesn't, whatever they are.
    Switch(Vec<Number>),
    /// A function that a constant calls has to stay `const`.
    KeepConst(String),
    /// None of these: an error of its own.
    Other,
}

/// Reads an error, given the regions of each file.
pub fn blame(message: &Message, regions: &BTreeMap<String, Vec<Region>>) -> Blame {
    let inner = |spot: &Spot, mutant: bool| {
        let fits = |region: &&Region| {
            region.range.start <= spot.byte_start
                && spot.byte_end <= region.range.end
                && matches!(region.of, Of::Mutant(_)) == mutant
        };
        regions.get(&spot.file_name)?.iter().filter(fits).min_by_key(|region| region.range.len())
    };
    for primary in [true, false] {
        let mut all: Vec<Number> = Vec::new();
        for spot in message.spans.iter().filter(|spot| spot.is_primary == primary) {
            if let Some(Region { of: Of::Mutant(number), .. }) = inner(spot, true) {
                all.push(*number);
            }
        }
        if !all.is_empty() {
            return Blame::Mutants(all);
        }
    }
    if message.code.as_ref().is_some_and(|code| code.code == "E0015")
        && let Some(name) = message.message.split('`').nth(1)
    {
        let name = name.split('(').next().unwrap_or(name);
        let name = name.rsplit("::").find(|part| !part.starts_with('<')).unwrap_or(name);
        return Blame::KeepConst(name.to_owned());
    }
    for spot in message.spans.iter().filter(|spot| spot.is_primary) {
        if let Some(Region { of: Of::Switch(numbers), .. }) = inner(spot, false) {
            return Blame::Switch(numbers.clone());
        }
    }
    Blame::Other
}
