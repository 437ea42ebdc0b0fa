//! `engawa-fieldsim`: a field of devices on Modbus TCP, for measuring whatever polls it.
#![allow(clippy::print_stdout, reason = "it says where it listens")]

use anyhow::ensure;
use clap::Parser;
use engawa_bench::sim::field::{Field, Plan, Sick};
use engawa_bench::sim::serve::Server;
use std::path::PathBuf;
use std::time::Duration;

/// Simulates devices behind Modbus TCP addresses on loopback, on free ports, in one thread.
///
/// Prints "ready" and its addresses. Logs into a folder: counts.csv (ns, requests, registers, exceptions, connections
/// taken, connections open), markers.csv (ns, set or read, device, marker), polls.csv (ns, device), all times of
/// CLOCK_MONOTONIC. Device n is at address n / units with the unit id 1 + n % units.
#[derive(Parser)]
struct Arguments {
    /// TCP addresses.
    #[arg(long, default_value_t = 4)]
    ports: usize,
    /// Devices behind each address.
    #[arg(long, default_value_t = 50)]
    units: usize,
    /// Holding registers of a device.
    #[arg(long, default_value_t = 20)]
    registers: usize,
    /// Markers set a second.
    #[arg(long, default_value_t = 47.0)]
    markers: f64,
    /// Which devices are not well.
    #[arg(long, value_enum, default_value_t = Sick::None)]
    sick: Sick,
    /// Also log each poll of a healthy device.
    #[arg(long)]
    polls: bool,
    /// It ends by itself after so many seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where the logs go.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { ports, units, registers, markers, sick, polls, seconds, out } = Arguments::parse();
    ensure!((1..=247).contains(&units), "--units {units}: an address has 1 to 247 unit ids");
    ensure!((1..=125).contains(&registers), "--registers {registers}: 1 to 125 fit into one request");
    ensure!((1..=4000).contains(&ports), "--ports {ports}: expected 1 to 4000");
    ensure!((0.0..=10_000.0).contains(&markers), "--markers {markers}: expected 0 to 10000 a second");
    let mut field = Field::new(&Plan { ports, units, registers, sick });
    field.tell_polls = polls;
    let server = Server::bind(field, ports, markers, &out)?;
    let addresses: Vec<_> = server.addresses()?.iter().map(ToString::to_string).collect();
    println!("ready {}", addresses.join(" "));
    server.run(Duration::from_secs(seconds))
}
