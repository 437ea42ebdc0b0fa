//! Fuzz targets: what comes from outside and is decoded, under inputs that coverage has found.
//!
//! A target is a function that takes any bytes and panics where a promise is broken: not only that nothing crashes, but
//! that a value is right or is marked bad, that an answer is the one that was asked for, that a fault lies within its
//! text. What is right is worked out here a second time, in another way, and compared.
//!
//! - [`rtu`]: an RTU line in virtual time, with a device that is late, cut or noisy.
//! - [`tcp`]: the conversations of a Modbus TCP connection, beside a second reading of the same bytes.
//! - [`mqtt`]: payloads of MQTT devices under profiles that are made up, and are valid.
//! - [`profile`]: the text of a profile; if it is good, its plan of requests, and its registers decoded and written.
//! - [`sparkplug`]: payloads of hosts, and an edge node that is given commands, states and changes in any order.
//! - [`fias`]: the PMS's bytes, frames and records.
//! - [`release`]: manifests of releases, and what is planned and unpacked by them.
//! - [`sync`]: frames of the sync into the machines of both ends, with time and the stores' answers.
//!
//! `run.sh` builds them for libFuzzer and plays each for a minute (`make test`) or as long as is asked (`make soak`). An
//! input that breaks a promise is kept as a file, which `run.sh TARGET FILE` plays again; it belongs into
//! `corpus/TARGET` with the mending, where an ordinary test plays it from then on.
//!
//! That they can fail was seen by breaking what they watch, each time with the seed of `make test`: see `README.md`.

#![allow(clippy::expect_used, reason = "a target panics where a promise is broken")]

pub mod fias;
pub mod modbus;
pub mod mqtt;
pub mod profile;
pub mod release;
pub mod rtu;
pub mod sparkplug;
pub mod sync;
pub mod tcp;

/// A target by the name of its corpus folder.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 8] = [
    ("rtu", rtu::run),
    ("tcp", tcp::run),
    ("mqtt", mqtt::run),
    ("profile", profile::run),
    ("sparkplug", sparkplug::run),
    ("fias", fias::run),
    ("sync", sync::run),
    ("release", release::run),
];
