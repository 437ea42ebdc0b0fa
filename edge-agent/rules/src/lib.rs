//! The rules of a room as files, and what other rules would have made of a recorded day.
//!
//! Why a crate of its own: the model knows rules as data and no TOML; whoever writes rules wants each fault at its line,
//! and wants to know what a change does before guests do.
//!
//! Terms: the *standard rules* are the product's own; a *day* is a recorded one: the house as it was, and what happened in
//! it; *acts* are what the house did or would have done.
//!
//! Never: files, sockets, clocks; text comes in, text goes out.

mod day;
mod file;
mod replay;

pub use day::{
    Broken, Day, DayError, Header, InForce, MOST_NAMED, MOST_OBSERVATIONS, Strictness, VERSION, line, masked,
};
pub use file::{load, standard};
pub use replay::{Act, Difference, Outcome, compare, replay};
