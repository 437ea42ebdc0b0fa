//! A fleet under rollouts: a real cloud, real links, and boxes that ask for their version, "install" it, and write the journal
//! rows that the agent writes. What is simulated is the installation alone; conditions are judged by the agent's own judge, on
//! a clock that runs faster than ours, in the zone of each box's property.

use crate::gateways::{Cloud, Gateway, Memory};
use anyhow::{Context, bail};
use engawa_link::{Line, UpdateLine, updates};
use engawa_protocol::update::UpdateAsk;
use engawa_release::conditions::{Conditions, Facts, Verdict, may_switch};
use engawa_stage::{process, wait};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The lane of the audit, where updates are told of.
const AUDIT: u8 = 4;
/// What the boxes run on.
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
/// Zones of the properties.
const ZONES: [&str; 8] = [
    "Europe/Zurich",
    "Europe/Lisbon",
    "Asia/Tokyo",
    "America/New_York",
    "America/Los_Angeles",
    "Australia/Sydney",
    "Asia/Kolkata",
    "Pacific/Auckland",
];
/// How often a box looks what is next.
const TURN: Duration = Duration::from_millis(40);
/// Questions under way at once, of all boxes: each has a thread.
const QUESTIONS: usize = 64;
/// How long a rollout may take.
const LONGEST: Duration = Duration::from_secs(900);
/// The hours in which boxes may switch, on their property's clocks.
const WINDOW: (i8, i8) = (2, 5);
/// Why versions fail.
const REASONS: [&str; 4] = [
    "the PMS link has been down since the switch",
    "the PMS link has been down since the switch",
    "memory 61 MiB is over the budget of 48 MiB",
    "the journal was not committed for 90 s",
];

/// Makes a repository in the cloud's folder with these versions, as its metadata tell of them. The cloud verifies nothing, and
/// these boxes fetch nothing.
///
/// # Errors
/// The disk's.
pub fn publish(dir: &Path, versions: &[(&str, u64)]) -> anyhow::Result<()> {
    let repository = dir.join("releases");
    std::fs::create_dir_all(repository.join("metadata"))?;
    let mut targets = serde_json::Map::new();
    for (version, number) in versions {
        let folder = format!("engawa/{TRIPLE}/{version}");
        let manifest =
            json!({ "name": "engawa", "version": version, "number": number, "triple": TRIPLE }).to_string();
        let (length, sha256) = (manifest.len(), format!("{number:064x}"));
        std::fs::create_dir_all(repository.join("targets").join(&folder))?;
        std::fs::write(
            repository.join("targets").join(&folder).join(format!("{sha256}.manifest.json")),
            manifest,
        )?;
        let custom = json!({ "version": version, "number": number, "floor": 0, "kind": "application" });
        let target = json!({ "length": length, "hashes": { "sha256": sha256 }, "custom": custom });
        targets.insert(format!("{folder}/manifest.json"), target);
    }
    let file = |name: &str, signed: Value| {
        std::fs::write(
            repository.join("metadata").join(name),
            json!({ "signatures": [], "signed": signed }).to_string(),
        )
    };
    file("1.targets.json", json!({ "_type": "targets", "version": 1, "targets": targets }))?;
    file(
        "1.snapshot.json",
        json!({ "_type": "snapshot", "version": 1, "meta": { "targets.json": { "version": 1 } } }),
    )?;
    file(
        "timestamp.json",
        json!({ "_type": "timestamp", "version": 1, "meta": { "snapshot.json": { "version": 1 } } }),
    )?;
    Ok(())
}

/// A clock that runs faster than ours.
struct Clock {
    begun: Instant,
    at: Timestamp,
    factor: u32,
}

impl Clock {
    fn now(&self) -> Timestamp {
        let passed = self.begun.elapsed() * self.factor;
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::ZERO);
        self.at.checked_add(passed).unwrap_or(self.at)
    }

    fn days(&self, real: Duration) -> f64 {
        real.as_secs_f64() * f64::from(self.factor) / 86_400.0
    }
}

/// What is seen of all boxes.
#[derive(Default)]
struct Seen {
    /// Who was told which version first, and when.
    told: Mutex<Vec<(usize, String, Instant)>>,
    /// Who switched to which version, and the time of day there.
    switched: Mutex<Vec<(usize, String, Time)>>,
    /// How long questions took.
    asked: Mutex<Vec<Duration>>,
    refused: AtomicU64,
    /// The version that every tenth box can't run, once there is one.
    weak: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A box on which every tenth version fails.
struct Box_ {
    n: usize,
    zone: TimeZone,
    memory: Arc<Memory>,
    line: Arc<UpdateLine>,
    clock: Arc<Clock>,
    seen: Arc<Seen>,
    asks: Duration,
    tenth: usize,
    questions: Arc<Semaphore>,
    random: StdRng,
    version: String,
    number: u64,
    last: (String, String, String),
}

/// What a box is at.
struct Job {
    rollout: String,
    version: String,
    number: u64,
    conditions: Conditions,
    step: &'static str,
    until: Instant,
    from: (String, u64),
}

impl Box_ {
    fn row(&self, job: &Job, step: &str, reason: &str) {
        let mut row = json!({ "kind": "update", "rollout": job.rollout, "version": job.version, "number": job.number, "step": step });
        if !reason.is_empty()
            && let Some(row) = row.as_object_mut()
        {
            row.insert("reason".to_owned(), reason.into());
        }
        self.memory.tell(AUDIT, &row);
    }

    fn is_weak(&self, version: &str) -> bool {
        self.n % 10 == self.tenth && self.seen.weak.load(Ordering::Relaxed) && version == "0.4.0"
    }

    async fn ask(&mut self, state: &str) -> Option<engawa_protocol::update::UpdateTold> {
        let ask = UpdateAsk {
            version: self.version.clone(),
            number: self.number,
            slot: "a".to_owned(),
            triple: TRIPLE.to_owned(),
            hardware: "board-1".to_owned(),
            state: state.to_owned(),
            last_rollout: self.last.0.clone(),
            last_outcome: self.last.1.clone(),
            last_reason: self.last.2.clone(),
            ..UpdateAsk::default()
        };
        let place = Arc::clone(&self.questions).acquire_owned().await.ok()?;
        let line = Arc::clone(&self.line);
        let began = Instant::now();
        let told = tokio::task::spawn_blocking(move || (line.told(ask), place)).await.ok()?.0;
        match told {
            Ok(told) => {
                locked(&self.seen.asked).push(began.elapsed());
                Some(told)
            }
            // The cloud is away: later.
            Err(_) => {
                self.seen.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// At some time before half of the time between two questions has passed.
    fn soon(&mut self) -> Instant {
        Instant::now() + self.asks.mul_f64(self.random.random_range(0.1..0.5))
    }

    async fn run(mut self) {
        let mut job: Option<Job> = None;
        let mut ask_at = self.soon();
        let mut turn = tokio::time::interval(TURN);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let switched = job.as_ref().is_some_and(|job| matches!(job.step, "switching" | "trial"));
            if Instant::now() >= ask_at && !switched {
                let state = job.as_ref().map_or("idle", |job| job.step);
                if let Some(told) = self.ask(state).await {
                    self.wanted(told, &mut job);
                }
                ask_at = Instant::now() + self.asks;
            }
            if let Some(at) = job.take() {
                job = self.works(at);
            }
        }
    }

    fn wanted(&mut self, told: engawa_protocol::update::UpdateTold, job: &mut Option<Job>) {
        if told.version.is_empty() {
            *job = None;
            return;
        }
        locked(&self.seen.told).push((self.n, told.version.clone(), Instant::now()));
        if job.as_ref().is_some_and(|job| job.number == told.number) {
            return;
        }
        let Ok(conditions) = Conditions::parse(&told.conditions) else { return };
        let (rollout, version, number) = (told.rollout, told.version, told.number);
        let from = (self.version.clone(), self.number);
        let fresh =
            Job { rollout, version, number, conditions, step: "downloading", until: self.soon(), from };
        self.row(&fresh, "offered", "");
        self.row(&fresh, "downloading", "");
        *job = Some(fresh);
    }

    /// One look at the job; what is left of it.
    fn works(&mut self, mut job: Job) -> Option<Job> {
        if Instant::now() < job.until {
            return Some(job);
        }
        match job.step {
            "downloading" => {
                self.row(&job, "ready", "");
                job.step = "ready";
            }
            "ready" | "waiting" => {
                let facts = Facts { zone: self.zone.clone(), ..Facts::default() };
                let now = self.clock.now();
                match may_switch(&job.conditions, &facts, now) {
                    Verdict::Yes => {
                        let local = self.zone.to_datetime(now).time();
                        locked(&self.seen.switched).push((self.n, job.version.clone(), local));
                        self.row(&job, "switching", "");
                        self.row(&job, "trial", "");
                        (self.version, self.number) = (job.version.clone(), job.number);
                        job.step = "trial";
                        job.until = self.soon();
                    }
                    Verdict::Wait { why, .. } if job.step == "ready" => {
                        self.row(&job, "waiting", &why);
                        job.step = "waiting";
                    }
                    Verdict::Wait { .. } => {}
                    Verdict::Never { why } => {
                        self.row(&job, "refused", &why);
                        return None;
                    }
                }
            }
            _ => {
                let (outcome, reason) = if self.is_weak(&job.version) {
                    (self.version, self.number) = job.from.clone();
                    ("rolled_back", REASONS[(self.n / 10) % REASONS.len()])
                } else {
                    ("confirmed", "")
                };
                self.row(&job, outcome, reason);
                self.last = (job.rollout, outcome.to_owned(), reason.to_owned());
                return None;
            }
        }
        Some(job)
    }
}

/// How a fleet is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Boxes.
    pub count: usize,
    /// How much faster their clocks run.
    pub factor: u32,
    /// How often each asks the cloud.
    pub asks: Duration,
    /// What each ring has of the fleet, the rings before included, percent.
    pub rings: Vec<usize>,
    /// How long rings soak, seconds of ours.
    pub soak_s: u32,
    /// Of every ten boxes the one of this number is weak.
    pub weak: usize,
}

/// How often a rollout is looked at by the command line.
const LOOK: Duration = Duration::from_millis(250);

/// Boxes at a cloud.
pub struct Fleet {
    options: Options,
    clock: Arc<Clock>,
    seen: Arc<Seen>,
    gateways: Vec<Gateway>,
    boxes: Vec<JoinHandle<()>>,
}

/// What came of a healthy release.
#[derive(Debug)]
pub struct Healthy {
    /// Boxes that have it.
    pub updated: usize,
    /// Those that switched in their window.
    pub in_window: usize,
    /// How many more had their turn at any time than their rings allowed.
    pub too_many: usize,
    /// How long it took.
    pub took: Duration,
    /// The same by the fleet's clock, days.
    pub days: f64,
    /// Questions that the cloud answered in a second.
    pub asked_a_second: u64,
    /// How long half of them took at most, ms.
    pub p50_ms: f64,
    /// How long 99 of 100 took at most, ms.
    pub p99_ms: f64,
}

/// What came of a release that fails on a tenth.
#[derive(Debug)]
pub struct Sick {
    /// Boxes on which it fails.
    pub weak: usize,
    /// The ring that was open when it halted, from 0.
    pub ring: u64,
    /// How long that took.
    pub took: Duration,
    /// The same by the fleet's clock, days.
    pub days: f64,
    /// Boxes that had had their turn.
    pub turns: usize,
    /// Boxes that had confirmed it.
    pub confirmed: usize,
    /// Boxes on which it had failed.
    pub failed: usize,
    /// Boxes that were told of it after the halt.
    pub told_late: usize,
    /// How long it took until all were back.
    pub back: Duration,
    /// What `rollout show` said of the halt.
    pub shown: String,
}

impl Fleet {
    /// Starts the boxes, and waits until the cloud knows what runs on each.
    ///
    /// # Errors
    /// The cloud does not take them.
    pub fn start(runtime: &Runtime, cloud: &Cloud, options: Options) -> anyhow::Result<Self> {
        let (count, factor) = (options.count, options.factor);
        let identities = cloud.enrol("box", count)?;
        let clock = Arc::new(Clock { begun: Instant::now(), at: "2026-11-02T12:00:00Z".parse()?, factor });
        let (seen, questions) = (Arc::new(Seen::default()), Arc::new(Semaphore::new(QUESTIONS)));
        let (mut gateways, mut boxes) = (Vec::new(), Vec::new());
        let _guard = runtime.enter();
        for (n, identity) in identities.into_iter().enumerate() {
            let memory = Memory::new(n as u64 + 1);
            let (line, port) = updates(0);
            gateways.push(Gateway::with(
                Line::from(cloud.address.to_string()),
                identity,
                &memory,
                Some(port),
            ));
            let one = Box_ {
                n,
                zone: TimeZone::get(ZONES[n % ZONES.len()])?,
                memory,
                line: Arc::new(line),
                clock: Arc::clone(&clock),
                seen: Arc::clone(&seen),
                asks: options.asks,
                tenth: options.weak,
                questions: Arc::clone(&questions),
                random: StdRng::seed_from_u64(n as u64),
                version: "0.2.0".to_owned(),
                number: 20,
                last: Default::default(),
            };
            boxes.push(tokio::spawn(one.run()));
        }
        let fleet = Self { options, clock, seen, gateways, boxes };
        look_until("the cloud to know what runs on each box", || {
            let runs = words(cloud, &["fleet", "--json"])?;
            let known = runs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let known: u64 = known
                .filter(|runs| runs["version"] == "0.2.0")
                .filter_map(|runs| runs["connected"].as_u64())
                .sum();
            Ok((known == count as u64).then_some(()))
        })?;
        Ok(fleet)
    }

    fn create(&self, cloud: &Cloud, version: &str) -> anyhow::Result<String> {
        let soak = self.options.soak_s;
        let ring = |(n, share): (usize, &usize)| {
            let strict = if n == 0 { ",fail=1/1%" } else { "" };
            format!("ring-{n}:{share}%,soak={soak}s{strict}")
        };
        let rings: Vec<String> = self.options.rings.iter().enumerate().map(ring).collect();
        let window = format!("{:02}:00-{:02}:00", WINDOW.0, WINDOW.1);
        let mut arguments =
            vec!["create", version, "--window", &window, "--start", "--json", "--as", "bench"];
        for ring in &rings {
            arguments.extend(["--ring", ring]);
        }
        let made: Value = serde_json::from_str(&words(cloud, &arguments)?)?;
        Ok(made["id"].as_str().context("no id")?.to_owned())
    }

    /// A release that works everywhere; when a third have it, the cloud is killed and started again.
    ///
    /// # Errors
    /// It does not come to its end.
    pub fn healthy(&self, cloud: &mut Cloud, folder: &Path) -> anyhow::Result<Healthy> {
        let began = Instant::now();
        locked(&self.seen.asked).clear();
        let id = self.create(cloud, "0.3.0")?;
        let (mut killed, mut too_many) = (false, 0);
        look_until("the rollout to end", || {
            let shown = show(cloud, &id)?;
            too_many = too_many.max(self.over(&shown));
            if !killed && sum(&shown, "confirmed") * 3 >= self.options.count {
                cloud.start_again(folder)?;
                killed = true;
            }
            match shown["state"].as_str() {
                Some("done") => Ok(Some(())),
                Some("running") => Ok(None),
                _ => bail!("it is {} ({}) in place of running", shown["state"], shown["reason"]),
            }
        })?;
        let took = began.elapsed();
        let shown = show(cloud, &id)?;
        let switched = locked(&self.seen.switched);
        let of: Vec<_> = switched.iter().filter(|(_, version, _)| version == "0.3.0").collect();
        let boxes: BTreeSet<usize> = of.iter().map(|(n, ..)| *n).collect();
        let in_window = of.iter().filter(|(.., at)| (WINDOW.0..WINDOW.1).contains(&at.hour())).count();
        let mut asked = locked(&self.seen.asked).clone();
        asked.sort_unstable();
        let at = |percent: usize| {
            asked.get(asked.len() * percent / 100).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        Ok(Healthy {
            updated: boxes.len().min(sum(&shown, "confirmed")),
            in_window,
            too_many,
            took,
            days: self.clock.days(took),
            asked_a_second: asked.len() as u64 / took.as_secs().max(1),
            p50_ms: at(50),
            p99_ms: at(99),
        })
    }

    /// How many have had their turn beyond what the rings up to the open one allow.
    fn over(&self, shown: &Value) -> usize {
        let open = shown["ring"].as_u64().and_then(|ring| usize::try_from(ring).ok()).unwrap_or(usize::MAX);
        let share = self.options.rings.get(open).copied().unwrap_or(100);
        (sum(shown, "gateways") - sum(shown, "queued"))
            .saturating_sub((self.options.count * share).div_ceil(100))
    }

    /// A release that fails on every tenth box, and the way back for those that have it.
    ///
    /// # Errors
    /// It does not halt.
    pub fn sick(&self, cloud: &Cloud) -> anyhow::Result<Sick> {
        self.seen.weak.store(true, Ordering::Relaxed);
        let began = Instant::now();
        let id = self.create(cloud, "0.4.0")?;
        let shown = look_until("the rollout to halt", || {
            let shown = show(cloud, &id)?;
            match shown["state"].as_str() {
                Some("halted") => Ok(Some(shown)),
                Some("running") => Ok(None),
                _ => bail!("it is {} ({}) in place of running", shown["state"], shown["reason"]),
            }
        })?;
        let (took, halted) = (began.elapsed(), Instant::now());
        let text = words(cloud, &["show", &id])?;
        // Every box asks at least twice.
        wait::pause(self.options.asks * 2 + Duration::from_secs(1));
        let late = |told: &&(usize, String, Instant)| {
            told.1 == "0.4.0" && told.2 > halted + Duration::from_millis(200)
        };
        let told_late = locked(&self.seen.told).iter().filter(late).count();
        // Those on trial when it halted have ended since.
        let after = show(cloud, &id)?;
        words(cloud, &["back", &id, "--why", "it fails on a tenth", "--as", "bench"])?;
        let going = Instant::now();
        wait::until("all to be back", LONGEST, || {
            Ok((show(cloud, &id)?["state"] == "aborted").then_some(()))
        })?;
        let back = going.elapsed();
        // Each says so itself when it asks next.
        look_until("none to run it any more", || {
            Ok((!words(cloud, &["fleet", "--json"])?.contains("0.4.0")).then_some(()))
        })?;
        Ok(Sick {
            weak: self.options.count.div_ceil(10),
            ring: shown["ring"].as_u64().unwrap_or(u64::MAX),
            took,
            days: self.clock.days(took),
            turns: sum(&after, "gateways") - sum(&after, "queued"),
            confirmed: sum(&after, "confirmed"),
            failed: sum(&after, "failed"),
            told_late,
            back,
            shown: text.trim_end().to_owned(),
        })
    }

    /// Ends all of them.
    pub fn stop(self, runtime: &Runtime) {
        self.boxes.iter().for_each(JoinHandle::abort);
        runtime.block_on(async {
            let stopping: Vec<_> =
                self.gateways.into_iter().map(|gateway| tokio::spawn(gateway.stop())).collect();
            for stopped in stopping {
                // Whether it ended well is its own affair.
                let _ = stopped.await;
            }
        });
    }
}

/// Waits as [`wait::until`], with room for the machine between two looks: each is a process.
fn look_until<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    wait::until(what, LONGEST, || {
        let found = look()?;
        if found.is_none() {
            wait::pause(LOOK);
        }
        Ok(found)
    })
}

fn words(cloud: &Cloud, arguments: &[&str]) -> anyhow::Result<String> {
    let program = process::program("engawa-cloud")?;
    let all = ["rollout"].iter().chain(arguments).map(|word| OsString::from(*word));
    process::run(&program, all.chain(["--dir".into(), cloud.dir().as_os_str().to_owned()]))
}

fn show(cloud: &Cloud, id: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&words(cloud, &["show", id, "--json"])?)?)
}

/// A count, over all rings.
fn sum(shown: &Value, of: &str) -> usize {
    let rings = shown["rings"].as_array().into_iter().flatten();
    let sum: u64 = rings.filter_map(|ring| ring[of].as_u64()).sum();
    usize::try_from(sum).unwrap_or(usize::MAX)
}
