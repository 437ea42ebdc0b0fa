//! An idle hotel: what the agent costs, beside the raw floor of the Modbus library in the same run.
//!
//! The house is idle: nothing changes but what the thermostats measure, so what is left is polling. Each room is a
//! Modbus server of its own, and there is no broker but the agent's. The floor is a program that does nothing but read
//! the same registers of the same servers at the same rate with the bare library.

use crate::peers::{self, engawa};
use crate::spawn::Program;
use crate::{clock, cost};
use anyhow::Context;
use engawa_stage::process::{self, Running};
use engawa_stage::wait;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a program may take until all its connections stand and the first values are in.
const WARM_UP: Duration = Duration::from_secs(8);
/// How long a program may take to come up.
const READY: Duration = Duration::from_secs(60);

/// What was measured of one program.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Whom.
    pub who: &'static str,
    /// Resident at the end, kB.
    pub resident_kb: u64,
    /// The most that was resident, kB.
    pub peak_kb: u64,
    /// CPU time, seconds.
    pub cpu_s: f64,
    /// For how long, seconds.
    pub seconds: f64,
    /// CPU time for a register, microseconds.
    pub micros_per_register: f64,
}

/// Measures agent and floor for `seconds` each, with `rooms` of `registers` polled every second.
///
/// # Errors
/// A program can't be started, or ends by itself.
pub fn measure(rooms: u32, registers: u16, seconds: u32) -> anyhow::Result<[Idle; 2]> {
    let folder = tempfile::Builder::new().prefix("engawa-bench-").tempdir()?;
    let config = folder.path().join("engawa.toml");
    let path = |name: &str| folder.path().join(name).into_os_string();
    let hotel: [std::ffi::OsString; 13] = [
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
    let mut hotel = Program::new(process::program("engawa-hotel")?, hotel).start("hotel", folder.path())?;
    wait::until("the Modbus servers", READY, || {
        hotel.must_run()?;
        Ok(hotel.output()?.contains("ready").then_some(()))
    })?;
    let servers = servers(&config)?;

    let mut agent = engawa::running(&config)?.start("agent", folder.path())?;
    wait::until("every device to be heard", READY, || {
        agent.must_run()?;
        Ok(all_well(&config, rooms).then_some(()))
    })?;
    let engawa = cost_of("engawa", &mut agent, (rooms, registers, seconds))?;
    agent.stop()?;

    let mut bare = vec!["floor".to_owned(), "1".to_owned(), registers.to_string(), "1000".to_owned()];
    bare.extend(servers.iter().map(ToString::to_string));
    let here = std::env::current_exe().context("finding the running program")?;
    let mut bare = Program::new(here, bare).start("floor", folder.path())?;
    wait::pause(WARM_UP);
    let floor = cost_of("tokio-modbus alone", &mut bare, (rooms, registers, seconds))?;

    Ok([engawa, floor])
}

fn cost_of(
    who: &'static str,
    process: &mut Running,
    (rooms, registers, seconds): (u32, u16, u32),
) -> anyhow::Result<Idle> {
    process.must_run()?;
    let (began, before) = (clock::nanos(), cost::of(&[process.id()])?);
    wait::pause(Duration::from_secs(u64::from(seconds)));
    process.must_run()?;
    let after = cost::of(&[process.id()])?;
    #[allow(clippy::cast_precision_loss, reason = "seconds of a bench")]
    let seconds = (clock::nanos() - began) as f64 / 1e9;
    let cpu_s = after.cpu_s - before.cpu_s;
    let micros_per_register = cpu_s * 1e6 / (f64::from(rooms) * f64::from(registers) * seconds);
    let (resident_kb, peak_kb) = (after.resident_kb, after.peak_kb);
    Ok(Idle { who, resident_kb, peak_kb, cpu_s, seconds, micros_per_register })
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
    let Ok(engawa) = peers::agent() else { return false };
    let arguments = ["devices".into(), "--json".into(), config.as_os_str().to_owned()];
    let listed = process::run(&engawa, arguments).unwrap_or_default();
    listed.matches("\"well\"").count() >= rooms as usize
}
