//! What holds up to where: each bound of the house at its last step and at the one after, each condition with its opposite.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod arrivals;
mod charges;
mod climate;
mod commands;
mod conditions;
mod desk;
mod erasure;
mod found;
mod house;
mod links;
mod pace;
mod postings;
mod restored;
mod rule_files;
mod rules;
mod settings;
mod wake_ups;
