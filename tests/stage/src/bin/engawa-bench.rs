//! `make bench`: what an idle agent costs, beside the raw floor of the Modbus library in the same run.
//!
//! The house is idle: nothing changes but what the thermostats measure, so what is left is polling. The floor is a
//! program that does nothing but read the same registers of the same servers at the same rate with the bare library.
#![allow(clippy::print_stdout, reason = "the bench is looked at")]

use anyhow::Context;
use clap::{Parser, Subcommand};
use engawa_stage::process::{self, Running};
use engawa_stage::{figures, wait};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio_modbus::prelude::{Reader, Slave, tcp};

/// How long a program may take until all its connections stand and the first values are in.
const WARM_UP: Duration = Duration::from_secs(8);
/// How long a program may take to come up.
const READY: Duration = Duration::from_secs(60);

/// Measures an idle agent.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Rooms.
    #[arg(long, default_value_t = 200)]
    rooms: u32,
    /// Registers of a room, polled every second in one request.
    #[arg(long, default_value_t = 20)]
    registers: u16,
    /// How long is measured, seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

#[derive(Subcommand)]
enum Part {
    /// Reads with the bare library, for ever: the floor.
    #[command(hide = true)]
    Floor {
        /// Registers of one request.
        registers: u16,
        /// The servers.
        servers: Vec<SocketAddr>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(Part::Floor { registers, servers }) => floor(*registers, servers),
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

/// What was measured of one program.
struct Cost {
    who: &'static str,
    resident_kb: u64,
    most_kb: u64,
    cpu_seconds: f64,
    seconds: f64,
    micros_per_register: f64,
}

fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { rooms, registers, seconds, .. } = *arguments;
    let folder = tempfile::Builder::new().prefix("engawa-bench-").tempdir()?;
    let config = folder.path().join("engawa.toml");
    let path = |name: &str| folder.path().join(name).into_os_string();
    let hotel = [
        "idle".into(),
        "--rooms".into(),
        rooms.to_string().into(),
        "--registers".into(),
        registers.to_string().into(),
        "--config-out".into(),
        config.clone().into_os_string(),
        "--store-dir".into(),
        path("agent"),
        "--api-socket".into(),
        path("engawa.sock"),
        "--api-listen".into(),
        "127.0.0.1:0".into(),
    ];
    let mut hotel = Running::start("hotel", process::program("engawa-hotel")?, hotel.into(), folder.path())?;
    wait::until("the Modbus servers", READY, || {
        hotel.must_run()?;
        Ok(hotel.output()?.contains("ready").then_some(()))
    })?;
    let servers = servers(&config)?;

    let run = vec!["run".into(), config.clone().into_os_string()];
    let mut agent = Running::start("agent", process::program("engawa")?, run, folder.path())?;
    wait::until("every device to be heard", READY, || {
        agent.must_run()?;
        Ok(all_well(&config, rooms).then_some(()))
    })?;
    let engawa = measure("engawa", &mut agent, arguments)?;
    agent.stop()?;

    let mut bare: Vec<std::ffi::OsString> = vec!["floor".into(), registers.to_string().into()];
    bare.extend(servers.iter().map(|server| server.to_string().into()));
    let here = std::env::current_exe().context("finding the running program")?;
    let mut bare = Running::start("floor", here, bare, folder.path())?;
    wait::pause(WARM_UP);
    let floor = measure("tokio-modbus alone", &mut bare, arguments)?;

    if std::env::var("JSON").is_ok_and(|json| json == "1") {
        for cost in [&engawa, &floor] {
            println!(
                "{}",
                json!({ "bench": "idle", "who": cost.who, "rooms": rooms, "registers": registers, "interval_s": 1,
                    "seconds": cost.seconds, "rss_kb": cost.resident_kb, "peak_rss_kb": cost.most_kb,
                    "cpu_s": cost.cpu_seconds, "us_per_register": cost.micros_per_register })
            );
        }
        return Ok(());
    }
    println!(
        "Idle: {rooms} rooms of {registers} registers, polled every second for {seconds} s, Modbus TCP on loopback"
    );
    println!(
        "  {:<20} {:>10} {:>10} {:>12} {:>16}",
        "", "RSS MB", "peak MB", "CPU % of one", "µs CPU/register"
    );
    for cost in [&engawa, &floor] {
        println!(
            "  {:<20} {:>10.1} {:>10.1} {:>12.2} {:>16.2}",
            cost.who,
            megabytes(cost.resident_kb),
            megabytes(cost.most_kb),
            100.0 * cost.cpu_seconds / cost.seconds,
            cost.micros_per_register
        );
    }
    println!("  aim: at most 20 MB resident and 3 µs a register (engawa)");
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

fn measure(who: &'static str, process: &mut Running, arguments: &Arguments) -> anyhow::Result<Cost> {
    process.must_run()?;
    let (began, before) = (Instant::now(), figures::cpu_seconds(process.id())?);
    wait::pause(Duration::from_secs(u64::from(arguments.seconds)));
    process.must_run()?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), figures::cpu_seconds(process.id())? - before);
    let (resident_kb, most_kb) = figures::memory_kb(process.id())?;
    let read = f64::from(arguments.rooms) * f64::from(arguments.registers) * seconds;
    Ok(Cost { who, resident_kb, most_kb, cpu_seconds: cpu, seconds, micros_per_register: cpu * 1e6 / read })
}

/// The servers that the agent's configuration names.
fn servers(config: &Path) -> anyhow::Result<Vec<SocketAddr>> {
    let text = std::fs::read_to_string(config).with_context(|| format!("reading {}", config.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("reading {}", config.display()))?;
    let buses = table.get("bus").and_then(toml::Value::as_array).context("the configuration has no bus")?;
    buses
        .iter()
        .map(|bus| {
            Ok(bus.get("address").and_then(toml::Value::as_str).context("a bus has no address")?.parse()?)
        })
        .collect()
}

/// True once the agent has heard every device.
fn all_well(config: &Path, rooms: u32) -> bool {
    let Ok(engawa) = process::program("engawa") else { return false };
    let arguments = ["devices".into(), "--json".into(), config.as_os_str().to_owned()];
    let listed = process::run(&engawa, arguments).unwrap_or_default();
    listed.matches("\"well\"").count() >= rooms as usize
}

/// Reads for ever, each server once a second, the servers spread over the second.
fn floor(registers: u16, servers: &[SocketAddr]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut readers = tokio::task::JoinSet::new();
        let spread = Duration::from_secs(1) / u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        let start = tokio::time::Instant::now();
        for (n, server) in (0..).zip(servers.iter().copied()) {
            readers.spawn(async move {
                let mut client = tcp::connect_slave(server, Slave(1)).await?;
                let mut ticks = tokio::time::interval_at(start + spread * n, Duration::from_secs(1));
                loop {
                    ticks.tick().await;
                    let words = client.read_holding_registers(0, registers).await??;
                    anyhow::ensure!(words.len() == usize::from(registers), "a short answer");
                }
            });
        }
        // They read for ever: the first that ends has failed, and the figure with it.
        match readers.join_next().await {
            Some(ended) => ended.context("a reader")?,
            None => Ok(()),
        }
    })
}
