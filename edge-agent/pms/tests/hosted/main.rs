//! Hosted systems played on real sockets: their paging, their limits, their silences; and what the house makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod apaleo;
mod house;
mod import;
mod mews;
mod ohip;
mod vendor;
