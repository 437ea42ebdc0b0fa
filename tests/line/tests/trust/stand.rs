//! A cloud and gateways as real programs, without a hotel around them: for what is about the line and about trust.

use anyhow::{Context, ensure};
use engawa_stage::process::{self, Running};
use engawa_stage::sqlite::Database;
use engawa_stage::wait;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything may take.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A port that is free on UDP and TCP.
pub(crate) fn free() -> anyhow::Result<SocketAddr> {
    loop {
        let at = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        if TcpListener::bind(at).is_ok() {
            return Ok(at);
        }
    }
}

/// A program, in a network namespace where there is one.
fn placed(program: PathBuf, arguments: &[&str], namespace: Option<&str>) -> (PathBuf, Vec<OsString>) {
    match namespace {
        None => (program, words(arguments)),
        Some(namespace) => {
            let mut all = words(&["netns", "exec", namespace]);
            all.push(program.into_os_string());
            all.extend(words(arguments));
            ("ip".into(), all)
        }
    }
}

/// A cloud that serves.
pub(crate) struct Cloud {
    dir: PathBuf,
    program: PathBuf,
    pub(crate) serving: Running,
    pub(crate) address: SocketAddr,
}

impl Cloud {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        Self::open_at(folder, free()?, None, &[])
    }

    pub(crate) fn open_at(
        folder: &Path,
        address: SocketAddr,
        namespace: Option<&str>,
        init: &[&str],
    ) -> anyhow::Result<Self> {
        let program = process::program("engawa-cloud")?;
        let dir = folder.join("cloud");
        let (at, name) = (address.to_string(), address.ip().to_string());
        let folder_of = dir.to_str().context("a path in Unicode")?.to_owned();
        process::run(&program, words(&[&["init", "--dir", &folder_of, "--name", &name], init].concat()))?;
        let serve = ["serve", "--dir", &folder_of, "--listen", &at];
        let (run, arguments) = placed(program.clone(), &serve, namespace);
        let mut serving = Running::start("cloud", run, arguments, folder)?;
        wait::until("the cloud to listen", LONGEST, || {
            serving.must_run()?;
            Ok(serving.output()?.contains("listening on").then_some(()))
        })?;
        Ok(Self { dir, program, serving, address })
    }

    /// Runs one of its commands.
    pub(crate) fn does(&self, command: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let dir = self.dir.to_str().context("a path in Unicode")?;
        process::run(&self.program, words(&[&[command, "--dir", dir], arguments].concat()))
    }

    pub(crate) fn claim(&self, gateway: &str) -> anyhow::Result<String> {
        let said = self.does("claim", &["--property", "grand", "--gateway", gateway])?;
        Ok(said.trim().to_owned())
    }

    pub(crate) fn database(&self) -> Database {
        Database::new(self.dir.join("cloud.db"))
    }

    /// The next certificates are good for so many seconds, or for as long as usual.
    pub(crate) fn certificates_last(&self, seconds: Option<u32>) -> anyhow::Result<()> {
        let days = seconds.map_or(30.0, |seconds| f64::from(seconds) / 86_400.0);
        let connection = engawa_line::agree::open(&self.dir.join("cloud.db"), None, true)?;
        connection.execute(
            "INSERT INTO setting (key, value) VALUES ('certificate-days', ?1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [days.to_string()],
        )?;
        Ok(())
    }

    /// Sends a command to `gateway` and waits until its outcome is here: both directions work.
    pub(crate) fn talks_to(&self, gateway: &str, key: &str) -> anyhow::Result<()> {
        self.does("send", &[gateway, "--key", key, "setpoint", "101", "21"])?;
        let ended = format!("SELECT count(*) AS n FROM command WHERE key = '{key}' AND state = 'ended'");
        wait::until(&format!("the outcome of {key}"), LONGEST, || {
            Ok((self.database().number(&ended)? == 1).then_some(()))
        })
    }

    pub(crate) fn number(&self, sql: &str) -> anyhow::Result<i64> {
        self.database().number(sql)
    }
}

/// A gateway's box: a configuration, a store, an identity, and the agent while it runs.
pub(crate) struct Gateway {
    pub(crate) dir: PathBuf,
    pub(crate) config: PathBuf,
    program: PathBuf,
    namespace: Option<String>,
    agent: Option<Running>,
}

impl Gateway {
    /// A new box in `folder`, whose `[cloud]` says this besides where the identity is.
    pub(crate) fn new(folder: &Path, name: &str, cloud: &str) -> anyhow::Result<Self> {
        let dir = folder.join(name);
        std::fs::create_dir_all(&dir)?;
        let config = dir.join("engawa.toml");
        let at = dir.display();
        std::fs::write(
            &config,
            format!(
                r#"[property]
id = "grand"
name = "Grand"
zone = "Europe/Berlin"
currency = "EUR"
rooms = ["101"]

[climate]
comfort_c = 22.0
eco_heating_c = 17.0
eco_cooling_c = 28.0

[store]
dir = "{at}/data"

[api]
listen = "127.0.0.1:0"
socket = "{at}/engawa.sock"

[cloud]
{cloud}
identity_dir = "{at}/identity"
"#
            ),
        )?;
        Ok(Self { dir, config, program: process::program("engawa")?, namespace: None, agent: None })
    }

    /// From now on its programs run in this network namespace.
    pub(crate) fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    pub(crate) fn enroll(&self, code: &str, more: &[&str]) -> anyhow::Result<String> {
        let config = self.config.to_str().context("a path in Unicode")?;
        let all = [&["enroll", code, config], more].concat();
        let (program, arguments) = placed(self.program.clone(), &all, self.namespace.as_deref());
        process::run(&program, arguments)
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let config = self.config.to_str().context("a path in Unicode")?;
        let (program, arguments) = placed(self.program.clone(), &["run", config], self.namespace.as_deref());
        self.agent = Some(Running::start("agent", program, arguments, &self.dir)?);
        Ok(())
    }

    /// Ends the agent as the power does.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.agent.take().context("it does not run")?.kill()
    }

    /// All that its agents have written.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.dir.join("agent.log"))?)
    }

    pub(crate) fn says(&self, words: &str) -> anyhow::Result<usize> {
        Ok(self.log()?.matches(words).count())
    }

    /// Waits until the log has these words so many times.
    pub(crate) fn until_said(&mut self, words: &str, times: usize) -> anyhow::Result<()> {
        let path = self.dir.join("agent.log");
        let agent = self.agent.as_mut().context("it does not run")?;
        let waited = wait::until(&format!("`{words}` {times} times"), LONGEST, || {
            agent.must_run()?;
            Ok((std::fs::read_to_string(&path)?.matches(words).count() >= times).then_some(()))
        });
        waited.with_context(|| self.log().unwrap_or_default())
    }

    /// How often the link has come up.
    pub(crate) fn ups(&self) -> anyhow::Result<usize> {
        self.says("the link to the cloud is up")
    }

    /// Waits until the link has come up more often than `before`.
    pub(crate) fn until_up(&mut self, before: usize) -> anyhow::Result<()> {
        self.until_said("the link to the cloud is up", before + 1)
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.dir.join("identity")
    }

    pub(crate) fn file(&self, name: &str) -> anyhow::Result<String> {
        let path = self.identity().join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// A copy of its disk in another box.
    pub(crate) fn copied_to(&self, folder: &Path, name: &str, cloud: &str) -> anyhow::Result<Self> {
        let copy = Self::new(folder, name, cloud)?;
        std::fs::create_dir_all(copy.identity())?;
        for entry in std::fs::read_dir(self.identity())? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.identity().join(entry.file_name()))?;
        }
        Ok(copy)
    }
}

/// Every file below `folder`, with what is in it.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.is_file() {
            found.push((path.clone(), std::fs::read(&path)?));
        }
    }
    ensure!(found.len() < 10_000, "{} has more files than a test makes", folder.display());
    Ok(found)
}
