//! What the line is worth, in figures, with a real cloud behind a bad relay.

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use engawa_line::agree::{self, Both};
use engawa_line::fleet::{self, Fleet};
use engawa_line::gateways::{ALARMS, Cloud, Gateway, Memory, TELEMETRY};
use engawa_line::offline;
use engawa_link::Line;
use engawa_relay::Relay;
use engawa_stage::house::{GATEWAY, House, Options};
use engawa_stage::wait;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Measures the line between gateway and cloud.
#[derive(Parser)]
#[command(after_help = "Exit status: 0 where every figure is within its bound, 1 where one is not.

  alarms    an alarm's way while a backlog drains over 10 Mbit/s, over QUIC and over TCP: 99 of 100 below 50 ms
  worst     40 % of the datagrams lost and a round trip of 2 s: alarms beside a backlog, and it goes on
  offline   a house back after an hour, a day, a week: time to its first alarm, and to having caught up
  load      gateways at once at one cloud: handshakes a second, memory for each at the cloud, and how soon
            all are back when it is killed and started (GATEWAYS; 10,000, or 2,000 where
            it is to be quick)
  rollout   a release to a fleet with windows in the zones of its properties, the cloud killed meanwhile: all have it,
            each within its window; and one that fails on a tenth halts in its first ring, and all go back
            (GATEWAYS; 500, or 100 where it is to be quick). Only where it is named")]
struct Cli {
    /// What to measure; without it, everything.
    what: Vec<What>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// How many gateways connect at once.
    #[arg(long, env = "GATEWAYS")]
    gateways: Option<usize>,
    /// A short run: the offline house for an hour and a day only, a smaller backlog, fewer gateways.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum What {
    Alarms,
    Worst,
    Offline,
    Load,
    Rollout,
}

/// How long a gateway may take to connect.
const PATIENCE: Duration = Duration::from_secs(300);

struct Out {
    json: bool,
    missed: bool,
}

impl Out {
    fn tell(&mut self, words: &str, figures: &Value) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{figures}")?
        } else {
            writeln!(out, "{words}")?
        }
        Ok(())
    }

    fn bound(&mut self, what: &str, holds: bool) {
        if !holds {
            self.missed = true;
            eprintln!("missed: {what}");
        }
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut out = Out { json: cli.json, missed: false };
    let all = [What::Alarms, What::Worst, What::Offline, What::Load];
    for what in if cli.what.is_empty() { all.to_vec() } else { cli.what.clone() } {
        let folder = tempfile::Builder::new().prefix("engawa-line-bench-").tempdir()?;
        let measured = match what {
            What::Alarms => alarms(folder.path(), &mut out, cli.quick),
            What::Worst => worst(folder.path(), &mut out),
            What::Offline => house_back(folder.path(), &mut out, cli.quick),
            What::Rollout => {
                rollout(folder.path(), &mut out, cli.gateways.unwrap_or(if cli.quick { 100 } else { 500 }))
            }
            What::Load => {
                let gateways = cli.gateways.unwrap_or(if cli.quick { 2_000 } else { 10_000 });
                load(folder.path(), &mut out, gateways)
            }
        };
        if let Err(error) = measured {
            bail!("{what:?}, logs in {}: {error:#}", folder.keep().display());
        }
    }
    if out.missed { bail!("a figure is not within its bound") } else { Ok(()) }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// The duration that `percent` of the sorted ones do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn alarms(folder: &Path, out: &mut Out, quick: bool) -> anyhow::Result<()> {
    /// Telemetry rows that wait, and how often an alarm comes.
    const EVERY: Duration = Duration::from_millis(40);
    let backlog = if quick { 400_000 } else { 1_500_000 };
    let cloud = Cloud::start(folder)?;
    let runtime = runtime()?;
    for (n, carrier) in ["QUIC", "TCP"].into_iter().enumerate() {
        let relay = Relay::open(cloud.address)?;
        relay.set(|weather| {
            weather.bits_per_second = Some(10_000_000);
            weather.delay = Duration::from_millis(5);
            weather.udp_blocked = carrier == "TCP";
        });
        let identity = cloud.enrol(carrier, 1)?.pop().context("no gateway")?;
        let (took, drained, bytes, left) = runtime.block_on(async {
            let memory = Memory::new(n as u64 + 1);
            memory.write(TELEMETRY, backlog);
            let mut gateway = Gateway::start(Line::from(relay.address().to_string()), identity, &memory);
            gateway.connected().await;
            let began = Instant::now();
            let mut every = tokio::time::interval(EVERY);
            // While there is a backlog, and no longer than a minute: enough alarms for a p99.
            while began.elapsed() < Duration::from_secs(60) {
                every.tick().await;
                let (head, acked) = memory.marks(TELEMETRY);
                if head - acked < 1_000 {
                    break;
                }
                memory.write(ALARMS, 1);
            }
            let (drained, bytes) = (began.elapsed(), relay.bytes());
            let (head, acked) = memory.marks(TELEMETRY);
            while memory.marks(ALARMS).0 != memory.marks(ALARMS).1
                && began.elapsed() < Duration::from_secs(90)
            {
                every.tick().await;
            }
            gateway.stop().await;
            (memory.took(ALARMS), drained, bytes, head - acked)
        });
        let mut sorted = took;
        // The first comes with the handshake's slow start.
        sorted.sort_unstable();
        let (p50, p99, longest) =
            (percentile(&sorted, 50), percentile(&sorted, 99), percentile(&sorted, 100));
        let rows = backlog - left;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (a_second, a_row) = (rows as f64 / drained.as_secs_f64(), bytes as f64 / rows.max(1) as f64);
        out.tell(
            &format!(
                "alarms over {carrier:4} 10 Mbit/s, 10 ms: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms of {} beside {a_second:.0} telemetry rows/s, {a_row:.1} bytes a row both ways",
                ms(p50), ms(p99), ms(longest), sorted.len()
            ),
            &json!({ "bench": "alarms", "carrier": carrier, "p50_ms": ms(p50), "p99_ms": ms(p99), "longest_ms": ms(longest),
                "alarms": sorted.len(), "telemetry_rows_a_second": a_second, "bytes_a_row": a_row }),
        )?;
        out.bound("99 of 100 alarms below 50 ms over 10 Mbit/s", p99 < Duration::from_millis(50));
    }
    Ok(())
}

fn worst(folder: &Path, out: &mut Out) -> anyhow::Result<()> {
    const LONGEST: Duration = Duration::from_secs(300);
    /// More than the line can carry meanwhile.
    const BACKLOG: u64 = 2_000_000;
    /// How often there is an alarm, and how many.
    const EVERY: Duration = Duration::from_secs(2);
    const RAISED: u64 = 30;
    let cloud = Cloud::start(folder)?;
    let relay = Relay::open(cloud.address)?;
    relay.set(|weather| {
        weather.loss = 0.4;
        weather.delay = Duration::from_secs(1);
    });
    let identity = cloud.enrol("worst", 1)?.pop().context("no gateway")?;
    let runtime = runtime()?;
    let (connected, took, rows) = runtime.block_on(async {
        let memory = Memory::new(7);
        memory.write(TELEMETRY, BACKLOG);
        let began = Instant::now();
        let mut gateway = Gateway::start(Line::from(relay.address().to_string()), identity, &memory);
        let connected =
            tokio::time::timeout(LONGEST, gateway.connected()).await.ok().map(|()| began.elapsed());
        let mut every = tokio::time::interval(EVERY);
        for _ in 0..RAISED {
            every.tick().await;
            memory.write(ALARMS, 1);
        }
        while memory.marks(ALARMS).1 < RAISED && began.elapsed() < LONGEST {
            every.tick().await;
        }
        let rows = memory.marks(TELEMETRY).1;
        // Not the good-bye: it would need the same line.
        let _ = tokio::time::timeout(Duration::from_secs(5), gateway.stop()).await;
        (connected, memory.took(ALARMS), rows)
    });
    let mut sorted = took;
    sorted.sort_unstable();
    let seconds = |percent| percentile(&sorted, percent).as_secs_f64();
    let after = connected.map(|at| at.as_secs_f64());
    out.tell(
        &format!(
            "worst line, 40 % lost, 2 s round trip: connected after {}; {} of {RAISED} alarms had their answer after p50 {:.1} s, p90 {:.1} s, longest {:.1} s, beside {rows} rows of a telemetry backlog that fills the line",
            after.map_or("never".to_owned(), |after| format!("{after:.1} s")),
            sorted.len(), seconds(50), seconds(90), seconds(100)
        ),
        &json!({ "bench": "worst", "connected_s": after, "alarms": sorted.len(), "p50_s": seconds(50), "p90_s": seconds(90),
            "longest_s": seconds(100), "telemetry_rows": rows }),
    )?;
    out.bound("telemetry goes on at 40 % loss and 2 s round trip", rows > 0);
    out.bound("every alarm arrives", sorted.len() as u64 == RAISED);
    // One round trip where nothing is lost; half of them lose the alarm or its answer once or twice.
    out.bound(
        "half of the alarms within five round trips",
        percentile(&sorted, 50) <= Duration::from_secs(10),
    );
    Ok(())
}

fn house_back(folder: &Path, out: &mut Out, quick: bool) -> anyhow::Result<()> {
    let options = Options { rooms: 100, seed: 5, seconds: 60, resync_every_s: 60 };
    let mut house = House::open(folder, &options)?;
    wait::until("the day to end", Duration::from_secs(240), || Ok(house.day_is_over()?.then_some(())))?;
    let both = Both {
        store: folder.join("agent"),
        cloud: house.cloud_dir().join("cloud.db"),
        gateway: GATEWAY.to_owned(),
    };
    let spans = [("1 hour", 3_600), ("1 day", 86_400), ("1 week", 7 * 86_400)];
    for (name, seconds) in spans.into_iter().take(if quick { 2 } else { 3 }) {
        wait::until("gateway and cloud to agree", Duration::from_secs(120), || Ok(both.agree().ok()))?;
        // The line is cut, and the house writes on; the gateway is up and tries to connect when the line comes back.
        house.line.cut(true);
        house.agent.stop()?;
        let rows = offline::fill(&both.store, seconds)?;
        house.agent.start_again()?;
        let edge = both.edge()?;
        let head = |lane: u8| edge.heads.get(&lane).copied().unwrap_or(0);
        let (alarms, telemetry) = (head(offline::ALARMS), head(TELEMETRY));
        wait::until("the agent to be up", Duration::from_secs(60), || Ok(house.status().map(drop)))?;
        // So that the agent is somewhere between two attempts, as it is after long.
        wait::pause(Duration::from_millis(rand::random_range(20_000..40_000)));
        let cloud = agree::open(&both.cloud, None, false)?;
        let mark = |lane: u8| -> anyhow::Result<u64> {
            let sql =
                "SELECT coalesce(max(seq), 0) FROM mark WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3";
            let mark: i64 =
                cloud.query_row(sql, rusqlite::params![GATEWAY, edge.epoch, lane], |row| row.get(0))?;
            Ok(mark.cast_unsigned())
        };
        let bytes = house.line.bytes();
        house.line.cut(false);
        let began = Instant::now();
        wait::until("the alarm", Duration::from_secs(300), || {
            Ok((mark(offline::ALARMS)? >= alarms).then_some(()))
        })?;
        let alarm = began.elapsed();
        wait::until("the rest", Duration::from_secs(900), || {
            Ok((mark(TELEMETRY)? >= telemetry).then_some(()))
        })?;
        let all = began.elapsed();
        let bytes = house.line.bytes() - bytes;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let a_second = rows as f64 / (all - alarm).as_secs_f64().max(1e-3);
        out.tell(
            &format!(
                "back after {name:6} ({rows} rows): first alarm after {:.2} s, caught up after {:.2} s ({a_second:.0} rows/s, {} KiB)",
                alarm.as_secs_f64(), all.as_secs_f64(), bytes >> 10
            ),
            &json!({ "bench": "offline", "offline_s": seconds, "rows": rows, "first_alarm_s": alarm.as_secs_f64(),
                "caught_up_s": all.as_secs_f64(), "bytes": bytes }),
        )?;
    }
    wait::until("gateway and cloud to agree", Duration::from_secs(120), || Ok(both.agree().ok()))?;
    Ok(())
}

fn load(folder: &Path, out: &mut Out, count: usize) -> anyhow::Result<()> {
    /// Gateways that connect at once: more would only wait for each other, and come again ever later.
    const AT_ONCE: usize = 128;
    let mut cloud = Cloud::start(folder)?;
    let identities = cloud.enrol("load", count)?;
    let before = cloud.resident_kib()?;
    let runtime = runtime()?;
    let address = cloud.address.to_string();
    let (took, mut gateways) = runtime.block_on(async {
        let began = Instant::now();
        let connecting = identities.into_iter().map(|identity| {
            let line = Line::from(address.clone());
            async move {
                let mut gateway = Gateway::start(line, identity, &Memory::new(1));
                let connected = tokio::time::timeout(PATIENCE, gateway.connected());
                connected.await.context("a gateway is not connected after five minutes")?;
                anyhow::Ok(gateway)
            }
        });
        let gateways = futures::stream::iter(connecting).buffer_unordered(AT_ONCE).try_collect().await?;
        anyhow::Ok::<(Duration, Vec<Gateway>)>((began.elapsed(), gateways))
    })?;
    let after = cloud.resident_kib()?;
    // The cloud is killed, and they all come at once.
    let began = Instant::now();
    let back = runtime.block_on(async {
        let coming_back = gateways.iter_mut().map(|gateway| async {
            gateway.lost().await;
            gateway.connected().await;
        });
        // All of them look from now on: one may be gone and back before its turn came.
        let back = tokio::time::timeout(PATIENCE, futures::future::join_all(coming_back));
        let starting = async { tokio::task::block_in_place(|| cloud.start_again(folder)) };
        let (back, started) = tokio::join!(back, starting);
        started?;
        back.context("not all gateways are back after five minutes")?;
        anyhow::Ok(began.elapsed())
    })?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (a_second, each) =
        (count as f64 / took.as_secs_f64(), after.saturating_sub(before) as f64 / count.max(1) as f64);
    out.tell(
        &format!(
            "{count} gateways at one cloud: {a_second:.0} connected a second ({:.1} s), {each:.1} KiB each at the cloud ({} MiB in all); all back {:.1} s after it was killed and started",
            took.as_secs_f64(), after >> 10, back.as_secs_f64()
        ),
        &json!({ "bench": "load", "gateways": count, "connected_a_second": a_second, "seconds": took.as_secs_f64(),
            "kib_each": each, "cloud_kib": after, "all_back_s": back.as_secs_f64() }),
    )?;
    runtime.block_on(async {
        let stopping: Vec<_> = gateways.into_iter().map(|gateway| tokio::spawn(gateway.stop())).collect();
        for stopped in stopping {
            let _ = stopped.await;
        }
    });
    Ok(())
}

fn rollout(folder: &Path, out: &mut Out, count: usize) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let mut cloud = Cloud::start(folder)?;
    fleet::publish(cloud.dir(), &[("0.2.0", 20), ("0.3.0", 30), ("0.4.0", 40)])?;
    // A day in 48 seconds; three rings of a day at most.
    let asks = Duration::from_secs(2);
    let options = fleet::Options { count, factor: 1_800, asks, rings: vec![10, 30, 100], soak_s: 3, weak: 0 };
    let fleet = Fleet::start(&runtime, &cloud, options)?;
    let healthy = fleet.healthy(&mut cloud, folder)?;
    out.tell(
        &format!(
            "rollout to {count} healthy gateways, the cloud killed and started meanwhile: {} updated, {} of them in their window, {} told more than their rings allowed; {:.0} s ({:.1} days of the fleet's clock); {} questions a second, p50 {:.1} ms, p99 {:.1} ms; cloud {} MiB",
            healthy.updated, healthy.in_window, healthy.too_many, healthy.took.as_secs_f64(), healthy.days,
            healthy.asked_a_second, healthy.p50_ms, healthy.p99_ms, cloud.resident_kib()? >> 10
        ),
        &json!({ "bench": "rollout", "gateways": count, "updated": healthy.updated, "in_window": healthy.in_window,
            "too_many": healthy.too_many, "seconds": healthy.took.as_secs_f64(), "days": healthy.days,
            "questions_a_second": healthy.asked_a_second, "p50_ms": healthy.p50_ms, "p99_ms": healthy.p99_ms }),
    )?;
    out.bound("every gateway is updated", healthy.updated == count);
    out.bound("each within its window", healthy.in_window == healthy.updated);
    out.bound("nobody told beyond the rings", healthy.too_many == 0);
    let sick = fleet.sick(&cloud)?;
    out.tell(
        &format!(
            "rollout that fails on {} of {count}: halted in ring {} after {:.1} s ({:.1} days), {} had their turn, {} confirmed, {} failed; told after the halt: {}; all {} back after {:.1} s\n{}",
            sick.weak, sick.ring, sick.took.as_secs_f64(), sick.days, sick.turns, sick.confirmed, sick.failed, sick.told_late,
            sick.confirmed, sick.back.as_secs_f64(), sick.shown
        ),
        &json!({ "bench": "rollout-halts", "gateways": count, "weak": sick.weak, "ring": sick.ring, "seconds": sick.took.as_secs_f64(),
            "turns": sick.turns, "confirmed": sick.confirmed, "failed": sick.failed, "told_late": sick.told_late,
            "back_s": sick.back.as_secs_f64() }),
    )?;
    out.bound("it halts in the first ring", sick.ring == 0);
    out.bound("nobody is told after the halt", sick.told_late == 0);
    fleet.stop(&runtime);
    Ok(())
}
