//! `engawa-hotel`: a simulated hotel, as a gateway meets it on the wire.
//!
//! Why a program of its own, without a crate of the gateway in it: it is the other side. What the two agree on is
//! written in the makers' documents and the FIAS specification, not in shared code; a misreading on one side shows.
//!
//! Parts: a day that is known before it begins ([`plan`]), a PMS ([`pms`]), room devices on Modbus ([`modbus`],
//! [`rdf302`], [`intesis`]), sensors and tills on MQTT ([`mqtt`]), and a log of what was played ([`played`]).
//!
//! Terms: *play time* is the time of the simulated day in milliseconds since its beginning; it stands still while
//! the PMS link is down. *Hotel time* is what the hotel's clocks show: a day from noon to noon, in compressed time.
//!
//! Never: listens on, or speaks to, anything but what the command line names; by default loopback.

mod block;
mod cli;
mod clock;
mod configuration;
mod device;
mod fias;
mod house;
mod idle;
mod intesis;
mod modbus;
mod mqtt;
mod outbox;
mod physics;
mod plan;
mod play;
mod played;
mod pms;
mod pms_line;
mod profiles;
mod progress;
mod random;
mod rdf302;
mod rooms;

mod tally;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = cli::Arguments::parse();
    // Standard output is for the one line that says "ready".
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("ENGAWA_HOTEL_LOG"))
        .init();
    match arguments.command {
        cli::Command::Play(options) => play::run(options).await,
        cli::Command::Idle(options) => idle::run(options).await,
    }
}
