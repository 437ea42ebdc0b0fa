//! Gateways by the dozen or the ten thousand, made of the link itself with journals in memory, at a real cloud.

use crate::agree;
use anyhow::Context;
use engawa_link::pki::CertificateAuthority;
use engawa_link::{EdgeLink, Identity, Line, LinkState, Tuning, UpdatePort};
use engawa_protocol::ports::{EdgeStore, Row, StoreFault};
use engawa_stage::process::{self, Running};
use engawa_stage::wait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The lane of alarms.
pub const ALARMS: u8 = 2;
/// The lane of telemetry.
pub const TELEMETRY: u8 = 5;
/// The lanes that a gateway has.
const LANES: [u8; 5] = [1, 2, 3, 4, 5];
/// How long the cloud may take to start.
const READY: Duration = Duration::from_secs(60);
/// How long the gateways' certificates are valid.
const VALID: Duration = Duration::from_secs(86_400);

#[derive(Default)]
struct Lane {
    rows: Vec<(Row, Instant)>,
    random: Option<StdRng>,
    acked: u64,
    /// When the cloud had each row, as far as the gateway was told.
    took: Vec<Duration>,
}

/// A journal in memory that keeps the time of everything.
pub struct Memory {
    epoch: u64,
    lanes: Mutex<BTreeMap<u8, Lane>>,
    /// Told when something is written.
    pub wake: Arc<Notify>,
}

impl Memory {
    /// An empty one.
    pub fn new(epoch: u64) -> Arc<Self> {
        Arc::new(Self { epoch, lanes: Mutex::default(), wake: Arc::default() })
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<u8, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `count` rows as a house does: measured values of a hundred rooms' devices, or alarms.
    pub fn write(&self, lane: u8, count: u64) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut at_micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        let mut lanes = self.lanes();
        let Lane { rows, random, .. } = lanes.entry(lane).or_default();
        let random = random.get_or_insert_with(|| StdRng::seed_from_u64(self.epoch));
        for _ in 0..count {
            let seq = rows.len() as u64 + 1;
            at_micros += random.random_range(0..3_000_000);
            let room = random.random_range(101..201);
            let (kind, body) = if lane == TELEMETRY {
                let (point, value) = match random.random_range(0..4) {
                    0 => ("temperature", f64::from(random.random_range(1_800..2_700)) / 100.0),
                    1 => ("humidity", f64::from(random.random_range(300..700)) / 10.0),
                    2 => ("valve", f64::from(random.random_range(0..100))),
                    _ => ("power", f64::from(random.random_range(0..20_000)) / 10.0),
                };
                let body =
                    format!(r#"{{"kind":"measured","device":"d-{room}","point":"{point}","value":{value}}}"#);
                ("measured", body)
            } else {
                let body =
                    format!(r#"{{"kind":"alert","id":"leak-{room}-{seq}","room":"{room}","open":true}}"#);
                ("alert", body)
            };
            let row = Row { seq, at_micros, kind: kind.to_owned(), body: body.into_bytes() };
            rows.push((row, Instant::now()));
        }
        drop(lanes);
        self.wake.notify_one();
    }

    /// Writes one row with this body, whose `kind` it is.
    pub fn tell(&self, lane: u8, body: &serde_json::Value) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at_micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        let kind = body.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let mut lanes = self.lanes();
        let rows = &mut lanes.entry(lane).or_default().rows;
        let row = Row { seq: rows.len() as u64 + 1, at_micros, kind, body: body.to_string().into_bytes() };
        rows.push((row, Instant::now()));
        drop(lanes);
        self.wake.notify_one();
    }

    /// How far a lane is written, and how far the cloud has it.
    pub fn marks(&self, lane: u8) -> (u64, u64) {
        self.lanes().get(&lane).map_or((0, 0), |lane| (lane.rows.len() as u64, lane.acked))
    }

    /// How long each row took that the cloud has, in order.
    pub fn took(&self, lane: u8) -> Vec<Duration> {
        self.lanes().get(&lane).map(|lane| lane.took.clone()).unwrap_or_default()
    }
}

impl EdgeStore for Memory {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn lanes(&self) -> Vec<u8> {
        LANES.to_vec()
    }

    fn read(&self, lane: u8, after: u64, max_rows: usize, max_bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let lanes = self.lanes();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let from = usize::try_from(after).map_err(|error| StoreFault::new("reading", error))?;
        for (row, _) in
            lanes.get(&lane).into_iter().flat_map(|lane| lane.rows.iter().skip(from)).take(max_rows)
        {
            bytes += row.body.len();
            if bytes > max_bytes && !rows.is_empty() {
                break;
            }
            rows.push(row.clone());
        }
        Ok(rows)
    }

    fn head(&self, lane: u8) -> Result<u64, StoreFault> {
        Ok(self.marks(lane).0)
    }

    fn acknowledged(&self, lane: u8, mark: u64) -> Result<(), StoreFault> {
        let now = Instant::now();
        if let Some(lane) = self.lanes().get_mut(&lane) {
            while lane.acked < mark {
                let Some((_, written)) = usize::try_from(lane.acked).ok().and_then(|n| lane.rows.get(n))
                else {
                    return Err(StoreFault::new("noting a mark", "above what was written"));
                };
                lane.took.push(now.duration_since(*written));
                lane.acked += 1;
            }
        }
        Ok(())
    }

    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(0)
    }

    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault> {
        Ok(commands.last().map_or(0, |row| row.seq))
    }
}

/// A real cloud, with gateways that are enrolled at it.
pub struct Cloud {
    /// The program.
    pub process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    dir: PathBuf,
    authority: CertificateAuthority,
    key_pem: String,
    csr_pem: String,
}

impl Cloud {
    /// Makes one in `folder` and starts it.
    ///
    /// # Errors
    /// A program that is not built, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let (program, dir) = (process::program("engawa-cloud")?, folder.join("cloud"));
        let dir_word = || dir.clone().into_os_string();
        process::run(
            &program,
            ["init".into(), "--dir".into(), dir_word(), "--name".into(), "127.0.0.1".into()],
        )?;
        let (running, address) = serve("cloud", &dir, "127.0.0.1:0", folder)?;
        // One key for all of them: it is the handshakes that count. The first is enrolled as any gateway.
        let claim = ["claim", "--property", "load", "--gateway", "load", "--dir"].map(Into::into).into_iter();
        let code = process::run(&program, claim.chain([dir_word()]))?;
        let code = code.trim().parse().context("the claim code")?;
        let first = folder.join("first");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let identity = runtime.block_on(engawa_link::enroll(address.to_string(), &code, &first))?;
        let csr_pem = std::fs::read_to_string(first.join("gateway.csr"))?;
        let authority = CertificateAuthority::load(&dir)?;
        Ok(Self { process: running, address, dir, authority, key_pem: identity.key_pem.clone(), csr_pem })
    }

    /// Kills it and starts it again at the same address.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.process.kill()?;
        (self.process, self.address) = serve("cloud-again", &self.dir, &self.address.to_string(), folder)?;
        Ok(())
    }

    /// Enrols `count` gateways, named `<name>-<n>`.
    ///
    /// # Errors
    /// The authority's, or SQLite's.
    pub fn enrol(&self, name: &str, count: usize) -> anyhow::Result<Vec<Identity>> {
        let now = SystemTime::now();
        let names: Vec<String> = (0..count).map(|n| format!("{name}-{n}")).collect();
        let mut database = agree::open(&self.dir.join("cloud.db"), None, true)?;
        let together = database.transaction()?;
        for name in &names {
            together.execute(
                "INSERT INTO gateway (id, property, name, enrolled_at) VALUES (?1, 'load', ?1, 1)",
                [name],
            )?;
        }
        together.commit()?;
        let identity = |gateway: String| {
            Ok(Identity {
                certificate_pem: self.authority.sign_gateway(&gateway, &self.csr_pem, now, now + VALID)?,
                key_pem: self.key_pem.clone(),
                ca_pem: self.authority.pem().to_owned(),
                gateway,
                folder: None,
                keys: None,
            })
        };
        names.into_iter().map(identity).collect()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the cloud's process has in memory, KiB.
    ///
    /// # Errors
    /// The system's.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

fn serve(name: &str, dir: &Path, listen: &str, logs: &Path) -> anyhow::Result<(Running, SocketAddr)> {
    let words = ["serve".into(), "--dir".into(), dir.to_owned().into(), "--listen".into(), listen.into()];
    let mut running = Running::start(name, process::program("engawa-cloud")?, words.to_vec(), logs)?;
    let address = wait::until("the cloud to listen", READY, || {
        running.must_run()?;
        let output = running.output()?;
        let line = output.lines().find_map(|line| line.strip_prefix("listening on "));
        Ok(line.and_then(|address| address.trim().parse::<SocketAddr>().ok()))
    })?;
    Ok((running, address))
}

/// A gateway that runs until it is stopped.
pub struct Gateway {
    /// How its link is.
    pub state: watch::Receiver<LinkState>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Starts one.
    pub fn start(line: Line, identity: Identity, store: &Arc<Memory>) -> Self {
        Self::with(line, identity, store, None)
    }

    /// Starts one that asks what it is meant to run, by way of `updates`.
    pub fn with(line: Line, identity: Identity, store: &Arc<Memory>, updates: Option<UpdatePort>) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(1);
        let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".to_owned() });
        let cancel = CancellationToken::new();
        let link = EdgeLink {
            cloud: line,
            identity,
            store: Arc::clone(store) as Arc<dyn EdgeStore>,
            wake: Arc::clone(&store.wake),
            state: sender,
            updates,
            tuning: Tuning::default(),
            seed: SEED.fetch_add(1, Ordering::Relaxed),
        };
        Self { state, cancel: cancel.clone(), task: tokio::spawn(link.run(cancel)) }
    }

    /// Waits until it is connected.
    pub async fn connected(&mut self) {
        // It ends with its gateway.
        let _ = self.state.wait_for(|state| matches!(state, LinkState::Up { .. })).await;
    }

    /// Waits until it is not.
    pub async fn lost(&mut self) {
        let _ = self.state.wait_for(|state| matches!(state, LinkState::Down { .. })).await;
    }

    /// Stops it.
    pub async fn stop(self) {
        self.cancel.cancel();
        // Whether it ended well is its own affair.
        let _ = self.task.await;
    }
}
