//! Readings of a TOML file that tell the reader everything wrong with it at once.
//!
//! Why: the file is written by the installer in the plant room. One fault a run, in the words of a parser,
//! costs a visit; so every fault comes with its line and column, its place underlined, what was expected,
//! and how to mend it.
//!
//! Terms: a *fault* is one mistake at one place; a *report* holds the faults of one file; a *hole* is a
//! place whose value can't be used (it is faulty, or missing): reading goes on around it, and faults that
//! are only its consequence are not reported.
//!
//! [`parse`] reads a type; [`read`] keeps the document too, so that checks which serde can't do put their
//! faults into the same report.
//!
//! Never: files, sockets, clocks; text comes in, text goes out. No input makes it panic.

mod de;
mod doc;
mod hole;
mod recover;
mod report;
mod words;

pub use doc::{Doc, Path};
pub use recover::{Parsed, parse, read};
pub use report::{Fault, Position, Report};
pub use words::nearest;
