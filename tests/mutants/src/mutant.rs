//! A mutant, as `cargo mutants --list --json` names it (cargo-mutants 27).

use serde::Deserialize;

/// The number by which a mutant is switched on: its place in the list, from 1.
pub type Number = u32;

/// What kind of place a mutant changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Genre {
    /// The body of a function becomes a value.
    FnValue,
    /// A binary operator becomes another.
    BinaryOperator,
    /// A unary operator goes.
    UnaryOperator,
    /// An arm of a match goes.
    MatchArm,
    /// A guard of an arm becomes true or false.
    MatchArmGuard,
    /// A field of a struct expression goes, so that the base's is taken.
    StructField,
}

/// A place in a file: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// From a place to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Span {
    /// The first.
    pub start: Place,
    /// The one behind the last.
    pub end: Place,
}

/// One change of the source.
#[derive(Clone, Debug, Deserialize)]
pub struct Mutant {
    /// Its number in the list; not part of what is read.
    #[serde(skip)]
    pub number: Number,
    /// The file, from the workspace's root.
    pub file: String,
    /// What kind of place.
    pub genre: Genre,
    /// Place and change in words; no two are the same.
    pub name: String,
    /// The package that the file belongs to.
    pub package: String,
    /// What comes in the place; empty where something goes.
    pub replacement: String,
    /// What is replaced.
    pub span: Span,
}

/// Reads a list and numbers it from `first`.
///
/// # Errors
/// What is not as cargo-mutants 27 writes it, with line and column.
pub fn read(json: &str, first: Number) -> Result<Vec<Mutant>, serde_json::Error> {
    let mut list: Vec<Mutant> = serde_json::from_str(json)?;
    for (number, mutant) in (first..).zip(&mut list) {
        mutant.number = number;
    }
    Ok(list)
}
