//! One whole house: cloud, line, agent and hotel, started in the order in which an installer would.

use crate::played::{self, Event};
use crate::process::{self, Running};
use crate::relay::Relay;
use crate::sqlite::Database;
use crate::wait;
use anyhow::Context;
use serde_json::Value;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The property's name in the fleet.
pub const PROPERTY: &str = "grand";
/// The gateway's name in the fleet.
pub const GATEWAY: &str = "grand-1";
/// How long a process may take until it is ready.
const READY: Duration = Duration::from_secs(60);

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rooms of the hotel.
    pub rooms: u32,
    /// The same seed plays the same day.
    pub seed: u64,
    /// How long the hotel's day takes, seconds.
    pub seconds: u32,
    /// The shortest time between two lists that the house asks the PMS for by itself, seconds.
    pub resync_every_s: u32,
}

/// A running house.
#[derive(Debug)]
pub struct House {
    folder: PathBuf,
    config: PathBuf,
    engawa: PathBuf,
    engawa_cloud: PathBuf,
    page: SocketAddr,
    /// The cloud.
    pub cloud: Running,
    /// The agent.
    pub agent: Running,
    /// The hotel.
    pub hotel: Running,
    /// The line between agent and cloud.
    pub line: Relay,
}

fn free_tcp() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A port that is free on UDP and on TCP: the cloud opens both.
fn free_both() -> anyhow::Result<SocketAddr> {
    loop {
        let at = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        if TcpListener::bind(at).is_ok() {
            return Ok(at);
        }
    }
}

fn words<const N: usize>(words: [&dyn AsWord; N]) -> Vec<OsString> {
    words.into_iter().map(AsWord::word).collect()
}

/// What can be an argument of a program.
trait AsWord {
    fn word(&self) -> OsString;
}

impl AsWord for &str {
    fn word(&self) -> OsString {
        OsString::from(*self)
    }
}

impl AsWord for String {
    fn word(&self) -> OsString {
        OsString::from(self)
    }
}

impl AsWord for PathBuf {
    fn word(&self) -> OsString {
        self.clone().into_os_string()
    }
}

impl House {
    /// Sets the house up in `folder` and starts it: cloud, hotel, enrolment, agent.
    ///
    /// # Errors
    /// A program that is not built, or that does not come up.
    pub fn open(folder: &Path, options: &Options) -> anyhow::Result<Self> {
        let (engawa, engawa_cloud) = (process::program("engawa")?, process::program("engawa-cloud")?);
        let hotel_program = process::program("engawa-hotel")?;
        let cloud_dir = folder.join("cloud");
        process::run(&engawa_cloud, words([&"init", &"--dir", &cloud_dir, &"--name", &"127.0.0.1"]))?;
        let claim = process::run(
            &engawa_cloud,
            words([
                &"claim",
                &"--dir",
                &cloud_dir,
                &"--property",
                &PROPERTY,
                &"--gateway",
                &GATEWAY,
                &"--json",
            ]),
        )?;
        let claim: Value = serde_json::from_str(&claim).context("reading the claim")?;
        let code = claim["code"].as_str().context("the claim has no code")?.to_owned();
        let at = free_both()?;
        let serve = words([&"serve", &"--dir", &cloud_dir, &"--listen", &at.to_string()]);
        let mut cloud = Running::start("cloud", engawa_cloud.clone(), serve, folder)?;
        wait::until("the cloud to listen", READY, || {
            cloud.must_run()?;
            Ok(cloud.output()?.contains("listening on").then_some(()))
        })?;
        let line = Relay::open(at).context("opening the line to the cloud")?;

        let (page, broker) = (free_tcp()?, free_tcp()?);
        let config = folder.join("engawa.toml");
        let hotel_dir = folder.join("hotel");
        std::fs::create_dir_all(&hotel_dir)?;
        let arguments = words([
            &"play",
            &"--dir",
            &hotel_dir,
            &"--rooms",
            &options.rooms.to_string(),
            &"--seed",
            &options.seed.to_string(),
            &"--seconds",
            &options.seconds.to_string(),
            &"--property",
            &PROPERTY,
            &"--mqtt",
            &broker.to_string(),
            &"--config-out",
            &config,
            &"--store-dir",
            &folder.join("agent"),
            &"--api-listen",
            &page.to_string(),
            &"--api-socket",
            &folder.join("engawa.sock"),
            &"--cloud-address",
            &line.address().to_string(),
            &"--cloud-identity",
            &folder.join("identity"),
            &"--resync-every-s",
            &options.resync_every_s.to_string(),
            // The rooms stay there until everything has come to rest.
            &"--keep",
        ]);
        let mut hotel = Running::start("hotel", hotel_program, arguments, folder)?;
        wait::until("the hotel to be ready", READY, || {
            hotel.must_run()?;
            Ok(hotel.output()?.contains("ready pms=").then_some(()))
        })?;
        process::run(&engawa, words([&"check", &config]))?;
        process::run(&engawa, words([&"enroll", &code, &config]))?;
        let agent = Running::start("agent", engawa.clone(), words([&"run", &config]), folder)?;
        Ok(Self { folder: folder.to_owned(), config, engawa, engawa_cloud, page, cloud, agent, hotel, line })
    }

    /// Where the agent's status page is.
    pub fn page(&self) -> SocketAddr {
        self.page
    }

    /// The agent's configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The cloud's folder.
    pub fn cloud_dir(&self) -> PathBuf {
        self.folder.join("cloud")
    }

    /// The cloud's database, as others read it.
    pub fn database(&self) -> Database {
        Database::new(self.cloud_dir().join("cloud.db"))
    }

    /// What the hotel has played so far.
    ///
    /// # Errors
    /// Its log can't be read.
    pub fn played(&self) -> anyhow::Result<Vec<Event>> {
        played::read(&self.folder.join("hotel").join("played.jsonl"))
    }

    /// How far the hotel is; nothing before its first step.
    pub fn progress(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.folder.join("hotel").join("progress.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// True once the day is over. Fails if a process that should run does not.
    ///
    /// # Errors
    /// A process has ended by itself.
    pub fn day_is_over(&mut self) -> anyhow::Result<bool> {
        self.hotel.must_run()?;
        let log = std::fs::read_to_string(self.folder.join("hotel").join("played.jsonl")).unwrap_or_default();
        Ok(log.contains("\"day_done\""))
    }

    /// What `engawa status --json` says; nothing while the agent does not answer.
    pub fn status(&self) -> Option<Value> {
        let text = process::run(&self.engawa, words([&"status", &"--json", &self.config])).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Journal rows that the cloud has not confirmed, and orders or postings that have not ended; nothing while the
    /// agent does not answer.
    pub fn unsettled(&self) -> Option<u64> {
        let status = self.status()?;
        let lanes = status["sync"]["lanes"].as_array()?;
        let number = |lane: &Value, field: &str| lane[field].as_u64().unwrap_or_default();
        let waiting: u64 = lanes
            .iter()
            .map(|lane| number(lane, "written").saturating_sub(number(lane, "acknowledged")))
            .sum();
        Some(waiting + status["postings_open"].as_u64().unwrap_or_default())
    }

    /// Sends a command from the cloud: a set point for a room.
    ///
    /// # Errors
    /// The cloud refuses it.
    pub fn send_setpoint(&self, key: &str, room: &str, celsius: &str) -> anyhow::Result<()> {
        let arguments = words([
            &"send",
            &"--dir",
            &self.cloud_dir(),
            &GATEWAY,
            &"--key",
            &key,
            &"setpoint",
            &room,
            &celsius,
        ]);
        process::run(&self.engawa_cloud, arguments).map(drop)
    }

    /// Waits until the cloud has everything that the agent has, and nothing is under way.
    ///
    /// # Errors
    /// It does not come to rest in time, or a process has ended.
    pub fn settle(&mut self, longest: Duration) -> anyhow::Result<()> {
        let mut at_rest = 0;
        let database = self.database();
        wait::until("the cloud to have everything", longest, || {
            self.agent.must_run()?;
            self.cloud.must_run()?;
            // Orders that have not ended would end later: then the house is not at rest.
            let open = database.number(
                "SELECT (SELECT count(*) FROM journal WHERE kind = 'ordered')
                      - (SELECT count(*) FROM journal WHERE kind = 'order_ended')",
            )?;
            at_rest = if self.unsettled() == Some(0) && open == 0 { at_rest + 1 } else { 0 };
            Ok((at_rest >= 3).then_some(()))
        })
    }
}
