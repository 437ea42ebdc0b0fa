//! All mutants of a crate at once: what `cargo mutants` would try one build at a time is compiled in behind a switch.
//!
//! Why: a mutant takes a fraction of a second to run and twelve to compile. Here the compiler runs a few times in all,
//! and a process tries mutant N where the environment says `MUTANT=N`.
//!
//! This library is the pure part: [`rewrite`] makes the switched source, [`blame`] reads what the compiler says to it.

pub mod blame;
pub mod mutant;
pub mod rewrite;
mod sites;
