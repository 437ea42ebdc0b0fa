//! `make bench`: the agent beside the raw floor of the Modbus library and beside other programs that do the same work.

use anyhow::Context;
use clap::{Parser, Subcommand};
use engawa_bench::peers::{Load, Peer, Publish};
use engawa_bench::report::Report;
use engawa_bench::run::{self, HELD, Row};
use engawa_bench::sim::field::Sick;
use engawa_bench::{check_in, floor, idle};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Devices behind one TCP address.
const UNITS: usize = 50;
/// The most devices that are tried.
const MOST: usize = 16_000;
/// The search for the highest load that is held ends at this distance.
const STEP: usize = 1000;

/// Measures the agent and its peers: CPU, memory, requests, and the time from a change to MQTT.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Only these tables; all where absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Table>,
    /// Only these programs.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Few programs and one table.
    #[arg(long)]
    quick: bool,
    /// How long each run measures, seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Registers of a device.
    #[arg(long, default_value_t = 20)]
    registers: u16,
    /// Markers set a second; a number that does not divide the polling evenly, so that all phases are met.
    #[arg(long, default_value_t = 47.0)]
    markers: f64,
    /// Where the peers are installed.
    #[arg(long, default_value = "target/peers")]
    installed: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Table {
    /// 200 rooms with a server each, nothing happens.
    Idle,
    /// 200 devices.
    Small,
    /// 8,000 devices.
    Large,
    /// 200 devices of which 21 are sick.
    Sick,
    /// The most devices that the agent holds.
    Highest,
    /// 200 devices, a message for each at each poll.
    Always,
    /// From a check-in on the PMS's socket to the set point on the Modbus wire.
    CheckIn,
}

#[derive(Subcommand)]
enum Part {
    /// Reads with the bare library, for ever: the floor.
    #[command(hide = true)]
    Floor {
        /// Devices of a server.
        units: u8,
        /// Registers of one request.
        registers: u16,
        /// Period, milliseconds.
        period_ms: u64,
        /// The servers.
        servers: Vec<SocketAddr>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(Part::Floor { units, registers, period_ms, servers }) => {
            floor::read(*units, *registers, Duration::from_millis(*period_ms), servers)
        }
        None => bench(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    peers: PathBuf,
    report: Report,
}

fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let here = std::env::current_dir().context("asking for the current folder")?;
    let report = Report { json: std::env::var("JSON").is_ok_and(|json| json == "1") };
    let bench = Bench { arguments, peers: here.join(&arguments.installed), report };
    let wanted = |table: Table| match (&arguments.only[..], arguments.quick) {
        ([], true) => matches!(table, Table::Small | Table::CheckIn),
        ([], false) => true,
        (only, _) => only.contains(&table),
    };
    let small = if arguments.quick {
        &[Peer::Engawa, Peer::Naive][..]
    } else {
        &[Peer::Engawa, Peer::Floor, Peer::Naive, Peer::NodeRed, Peer::Thingsboard]
    };
    if wanted(Table::CheckIn) {
        let count = if arguments.quick { 100 } else { 500 };
        report.check_in(&check_in::measure(100, count)?);
    }
    if wanted(Table::Idle) {
        report.idle(200, arguments.registers, &idle::measure(200, arguments.registers, arguments.seconds)?);
    }
    if wanted(Table::Small) {
        report.title("200 devices, each published when it changes");
        bench.table("small", bench.load(200), small)?;
        report.note("change→MQTT holds the polling's own 0 to 1000 ms; read→MQTT begins with the request that read it");
    }
    if wanted(Table::Large) {
        report.title("8000 devices, each published when it changes");
        bench.table("large", bench.load(8000), &[Peer::Engawa, Peer::Naive, Peer::NodeRed])?;
    }
    if wanted(Table::Sick) {
        report.title(
            "200 devices: 10 dead, 10 that come and go every 5 s, 1 that answers garbage, 179 healthy",
        );
        let load = Load { sick: Sick::Some, ..bench.load(200) };
        let peers: Vec<_> = small.iter().copied().filter(|peer| *peer != Peer::Floor).collect();
        bench.table("sick", load, &peers)?;
    }
    if wanted(Table::Highest) {
        bench.highest()?;
    }
    if wanted(Table::Always) {
        report.title("200 devices, each published at each poll");
        let load = Load { publish: Publish::Always, ..bench.load(200) };
        let peers: Vec<_> = small.iter().copied().filter(|peer| *peer != Peer::Floor).collect();
        bench.table("always", load, &peers)?;
    }
    Ok(())
}

impl Bench<'_> {
    fn load(&self, devices: usize) -> Load {
        Load {
            ports: devices / UNITS,
            units: UNITS,
            registers: usize::from(self.arguments.registers),
            period_ms: 1000,
            markers: self.arguments.markers,
            sick: Sick::None,
            publish: Publish::OnChange,
        }
    }

    fn table(&self, name: &str, load: Load, peers: &[Peer]) -> anyhow::Result<()> {
        let chosen = &self.arguments.peers;
        for peer in peers.iter().filter(|peer| chosen.is_empty() || chosen.contains(peer)) {
            match self.measure(*peer, load) {
                Ok(row) => self.report.row(name, &row),
                // Without the agent there is nothing to compare.
                Err(error) if *peer == Peer::Engawa => return Err(error),
                Err(error) => self.report.absent(name, &peer.to_string(), &format!("{error:#}")),
            }
        }
        Ok(())
    }

    fn measure(&self, peer: Peer, load: Load) -> anyhow::Result<Row> {
        run::measure(peer, load, self.arguments.seconds, Path::new(&self.peers))
    }

    /// The most devices at 1 s of which the agent makes [`HELD`] of all requests: the largest first, then by halves.
    fn highest(&self) -> anyhow::Result<()> {
        self.report
            .title(&format!("The most devices that are polled at {:.0} % of 1 s or better", 100.0 * HELD));
        let mut held: Option<Row> = None;
        let (mut low, mut high, mut tried) = (0, MOST + STEP, MOST);
        while high - low > STEP && tried > 0 {
            let row =
                run::measure(Peer::Engawa, self.load(tried), self.arguments.seconds.min(15), &self.peers)?;
            self.report.row("highest-tried", &row);
            if row.share() >= HELD {
                low = tried;
                held = Some(row);
            } else {
                high = tried;
            }
            tried = (low + high) / 2 / STEP * STEP;
        }
        match held {
            Some(row) => {
                self.report.note(&format!("held: {} devices", row.load.devices()));
                if self.report.json {
                    self.report.row("highest", &row);
                }
            }
            None => self.report.absent("highest", "engawa", &format!("not even {STEP} devices were held")),
        }
        Ok(())
    }
}
