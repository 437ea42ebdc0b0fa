//! The real supervisor with real processes, signals and sockets.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod bad;
mod control;
mod good;
mod kills;
mod stand;
mod stand_in;
