//! A folder of slots with a supervisor on it, and releases that behave.

use crate::stand_in::script;
use engawa_slots::request::Request;
use engawa_slots::{AskError, Digest, Outcome, Status, Supervisor};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_engawa-supervisor");
/// How long anything may take on a machine that does something else too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) fn until(deadline: Instant, mut so: impl FnMut() -> bool) -> bool {
    while !so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    true
}

pub(crate) struct Stand {
    folder: tempfile::TempDir,
    pub(crate) options: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    child: Option<Child>,
}

impl Stand {
    /// Release 1 is installed, and behaves well.
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::with(options, "well 1")
    }

    pub(crate) fn with(options: &[&str], behaviour: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stand = Self {
            options: options.iter().map(|&option| option.to_owned()).collect(),
            environment: Vec::new(),
            child: None,
            folder,
        };
        let program = stand.folder.path().join("engawa");
        std::fs::write(&program, script(behaviour, stand.place())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let done = Command::new(PROGRAM)
            .args(["install", "--release", "1.0.0", "--number", "1", "--dir"])
            .arg(stand.slots())
            .arg(program)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        stand
    }

    pub(crate) fn place(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn slots(&self) -> PathBuf {
        self.folder.path().join("slots")
    }

    pub(crate) fn environment(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Another supervisor on the same folder, which is the caller's to end.
    pub(crate) fn spawn(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.place().join("log")).unwrap();
        Command::new(PROGRAM)
            .arg(self.slots())
            .args(&self.options)
            .arg("--")
            .arg(self.place().join("engawa.toml"))
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub(crate) fn start(&mut self) {
        self.child = Some(self.spawn());
    }

    pub(crate) fn take_over(&mut self, child: Child) {
        self.child = Some(child);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Ends the supervisor with a signal.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut child = self.child.take().unwrap();
        let mut status = None;
        assert!(until(Instant::now() + PATIENCE, || {
            status = child.try_wait().unwrap();
            status.is_some()
        }));
        status.unwrap()
    }

    pub(crate) fn supervisor(&self) -> Supervisor {
        Supervisor::at(self.slots().join("supervisor"))
    }

    pub(crate) fn wait(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        if !until(Instant::now() + PATIENCE, || so(self)) {
            panic!("not {what}: {:?}; the log:\n{}", self.supervisor().status(), self.log());
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place().join("log")).unwrap_or_default()
    }

    pub(crate) fn wait_status(&self, what: &str, so: impl Fn(&Status) -> bool) {
        self.wait(what, |stand| stand.supervisor().status().is_ok_and(|status| so(&status)));
    }

    pub(crate) fn wait_running(&self, number: u64) {
        let started = format!("number {number}, slot");
        self.wait_status(&format!("running {number}"), |status| {
            status.state == "running" && status.number == number
        });
        assert!(self.log().contains(&started));
    }

    /// Lays release `number` into the spare slot, as the agent's installer would, and asks for it.
    pub(crate) fn bring(&self, number: u64, behaviour: &str) -> Result<(), AskError> {
        let supervisor = self.supervisor();
        let slot = self.slots().join(supervisor.begin()?.name());
        let program = script(behaviour, self.place());
        let manifest = format!(
            r#"{{"version":"{number}.0.0","number":{number},"floor":1,"files":[{{"name":"engawa","mode":493,"size":{},"sha256":"{}"}}]}}"#,
            program.len(),
            Digest::of(program.as_bytes())
        );
        for (name, mode, text) in [("engawa", 0o755, &program), ("manifest.json", 0o644, &manifest)] {
            let path = slot.join(name);
            let _ = std::fs::remove_file(&path);
            let file = std::fs::File::options().write(true).create_new(true).mode(mode).open(path).unwrap();
            std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
        }
        let version = format!("{number}.0.0");
        supervisor.try_release(Digest::of(manifest.as_bytes()), number, &version, "r7")
    }

    /// The outcome of the trial of release 2, once there is one.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut found = None;
        self.wait("an outcome", |stand| {
            found = stand.supervisor().outcome().ok().flatten();
            found.is_some()
        });
        found.unwrap()
    }

    /// Tries release 2, which behaves like this, and is back on release 1. Why.
    pub(crate) fn undone(&mut self, behaviour: &str) -> String {
        self.start();
        self.wait_running(1);
        self.bring(2, behaviour).unwrap();
        let outcome = self.outcome();
        assert_eq!(
            (outcome.verdict.name(), outcome.number, outcome.rollout.as_str()),
            ("rolled_back", 2, "r7")
        );
        self.wait_running(1);
        self.supervisor().ask(&Request::OutcomeSeen).unwrap();
        assert!(!self.place().join("two-at-once").exists(), "two agents at once");
        outcome.reason
    }

    pub(crate) fn agents(&self) -> Vec<i32> {
        let pids = std::fs::read_to_string(self.place().join("pids")).unwrap_or_default();
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
