//! One run: broker, subscriber, field and one peer, in a folder of its own; what was measured in its window.

use crate::logs::{self, Markers, Spread, Wire};
use crate::peers::{Load, Peer, Site};
use crate::sim::field::{self, Health, Sick};
use crate::spawn::Program;
use crate::{broker, clock, cost};
use anyhow::Context;
use engawa_stage::process::{self, Running};
use engawa_stage::wait;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a program of the bench may take to come up.
const READY: Duration = Duration::from_secs(20);
/// How long the peer may take until it polls at its full rate. One that does not reach it is measured all the same.
const FULL_RATE: Duration = Duration::from_secs(45);
/// How long it then has to settle, first values published.
const SETTLE: Duration = Duration::from_secs(5);
/// Markers of the last part of the window are not looked at: they may be under way.
const UNDER_WAY: u64 = 3_000_000_000;
/// A load is held when so many of the wanted requests are made.
pub const HELD: f64 = 0.99;
/// Field and subscriber end by themselves after so long, whatever becomes of the bench.
const LONGEST: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whom.
    pub peer: Peer,
    /// With what.
    pub load: Load,
    /// For how long, seconds.
    pub seconds: f64,
    /// CPU time of the peer in the window, seconds.
    pub cpu_s: f64,
    /// The most that the peer had resident since its start, kB.
    pub peak_kb: u64,
    /// Resident at the end, kB.
    pub resident_kb: u64,
    /// On the wire.
    pub wire: Wire,
    /// Messages a second and bytes of one.
    pub heard: (f64, f64),
    /// The way of the markers.
    pub markers: Markers,
    /// How late healthy devices were polled; with sick ones only.
    pub lag: Option<Spread>,
    /// CPU of the field and of the broker, seconds in the window.
    pub others_cpu_s: (f64, f64),
}

impl Row {
    /// CPU time for a register, microseconds.
    pub fn micros_per_register(&self) -> Option<f64> {
        (self.wire.registers > 0.0).then(|| self.cpu_s * 1e6 / (self.wire.registers * self.seconds))
    }

    /// Registers of one request.
    pub fn registers_per_request(&self) -> Option<f64> {
        (self.wire.requests > 0.0).then(|| self.wire.registers / self.wire.requests)
    }

    /// How much of the wanted registers was read.
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    pub fn share(&self) -> f64 {
        self.wire.registers / (self.load.wanted() * self.load.registers as f64)
    }
}

/// Runs one peer under one load, and measures for `seconds`.
///
/// # Errors
/// Something can't be started, or has ended by itself.
pub fn measure(peer: Peer, load: Load, seconds: u32, peers: &Path) -> anyhow::Result<Row> {
    let folder = tempfile::Builder::new().prefix("engawa-bench-").tempdir()?;
    let row = in_folder(peer, load, seconds, peers, folder.path());
    if row.is_err() && std::env::var("KEEP").is_ok_and(|keep| keep == "1") {
        eprintln!("bench: the logs are kept in {}", folder.keep().display());
    }
    row.with_context(|| format!("{peer}, {} devices", load.devices()))
}

fn in_folder(peer: Peer, load: Load, seconds: u32, peers: &Path, folder: &Path) -> anyhow::Result<Row> {
    let (broker, port) = broker::start(folder)?;
    let mut listener = listener(port, folder)?;
    let (mut field, servers) = simulator(&load, folder)?;
    let site = Site { load, servers: &servers, broker: port, folder };
    let (programs, stand_ins) = peer.prepare(&site, peers)?;
    let mut helpers = start("stand-in", &stand_ins, folder)?;
    let mut running = start("peer", &programs, folder)?;
    let ids: Vec<_> = running.iter().map(Running::id).collect();
    let (field_id, broker_id) = (field.id(), broker.id());
    let mut all_run = |running: &mut Vec<Running>| {
        running
            .iter_mut()
            .chain(&mut helpers)
            .chain([&mut listener, &mut field])
            .try_for_each(Running::must_run)
    };
    full_rate(peer, &load, folder, || all_run(&mut running))?;
    wait::pause(SETTLE);

    let costs =
        || -> anyhow::Result<_> { Ok((cost::of(&ids)?, cost::of(&[field_id])?, cost::of(&[broker_id])?)) };
    let (from, before) = (clock::nanos(), costs()?);
    wait::pause(Duration::from_secs(u64::from(seconds)));
    let (to, after) = (clock::nanos(), costs()?);
    all_run(&mut running)?;
    let whole = |name: &str| {
        wait::until(name, READY, || {
            let read = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            let last = read.lines().rev().nth(1).and_then(|line| line.split(',').next()?.parse::<u64>().ok());
            Ok(last.filter(|at| *at > to))
        })
    };
    // The logs are a quarter of a second behind at most.
    whole("counts.csv")?;
    whole("heard.csv")?;
    #[allow(clippy::cast_precision_loss, reason = "seconds of a bench")]
    let measured = (to - from) as f64 / 1e9;
    let healthy: Vec<_> =
        (0..load.devices()).filter(|device| field::health(load.sick, *device) == Health::Well).collect();
    let period = u64::from(load.period_ms) * 1_000_000;
    Ok(Row {
        peer,
        load,
        seconds: measured,
        cpu_s: after.0.cpu_s - before.0.cpu_s,
        peak_kb: after.0.peak_kb,
        resident_kb: after.0.resident_kb,
        wire: logs::wire(folder, from, to)?.unwrap_or_default(),
        heard: logs::heard(folder, from, to)?.unwrap_or_default(),
        markers: logs::markers(folder, from, to.saturating_sub(UNDER_WAY).max(from))?,
        lag: match load.sick {
            Sick::None => None,
            Sick::Some => logs::lag(folder, from, to, period, &healthy)?,
        },
        others_cpu_s: (after.1.cpu_s - before.1.cpu_s, after.2.cpu_s - before.2.cpu_s),
    })
}

fn start(name: &str, programs: &[Program], folder: &Path) -> anyhow::Result<Vec<Running>> {
    programs.iter().enumerate().map(|(n, program)| program.start(&format!("{name}-{n}"), folder)).collect()
}

fn listener(port: u16, folder: &Path) -> anyhow::Result<Running> {
    let seconds = LONGEST.as_secs().to_string();
    let arguments = ["--port", &port.to_string(), "--seconds", &seconds, "--out"].map(Into::into);
    let arguments = arguments.into_iter().chain([folder.into()]).collect::<Vec<std::ffi::OsString>>();
    let mut listener =
        Program::new(process::program("engawa-fieldsub")?, arguments).start("listener", folder)?;
    wait::until("the subscriber", READY, || {
        listener.must_run()?;
        Ok(listener.output()?.contains("ready").then_some(()))
    })?;
    Ok(listener)
}

fn simulator(load: &Load, folder: &Path) -> anyhow::Result<(Running, Vec<SocketAddr>)> {
    let mut arguments = vec![
        format!("--ports={}", load.ports),
        format!("--units={}", load.units),
        format!("--registers={}", load.registers),
        format!("--markers={}", load.markers),
        format!("--seconds={}", LONGEST.as_secs()),
        format!("--out={}", folder.display()),
    ];
    if load.sick == Sick::Some {
        arguments.extend(["--sick=some".to_owned(), "--polls".to_owned()]);
    }
    let mut field = Program::new(process::program("engawa-fieldsim")?, arguments).start("field", folder)?;
    let servers = wait::until("the field", READY, || {
        field.must_run()?;
        let output = field.output()?;
        // The whole line, or none of it.
        Ok(output.strip_prefix("ready ").and_then(|rest| rest.strip_suffix('\n')).map(str::to_owned))
    })?;
    let servers =
        servers.split(' ').map(str::parse).collect::<Result<_, _>>().context("the field's addresses")?;
    Ok((field, servers))
}

/// Waits until the peer makes all the requests that are wanted, or until it is clear that it does not.
fn full_rate(
    peer: Peer,
    load: &Load,
    folder: &Path,
    mut all_run: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Sick devices are rightly asked less often.
    let wanted = load.wanted() * if load.sick == Sick::None { HELD } else { 0.8 };
    let deadline = clock::nanos() + u64::try_from(FULL_RATE.as_nanos()).unwrap_or(u64::MAX / 2);
    let mut any = false;
    wait::until(&format!("{peer} to poll"), 2 * FULL_RATE, || {
        all_run()?;
        let now = clock::nanos();
        let requests =
            logs::wire(folder, now.saturating_sub(3_000_000_000), now)?.map_or(0.0, |wire| wire.requests);
        any |= requests > 0.0;
        Ok((requests >= wanted || (any && now > deadline)).then_some(()))
    })
}
