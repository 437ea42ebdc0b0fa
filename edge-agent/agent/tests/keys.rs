//! A key that is lost is never made anew in silence; a time that ends before it begins is no time.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

fn configuration(dir: &Path) -> PathBuf {
    let path = dir.join("engawa.toml");
    let at = dir.display();
    let text = format!(
        "[property]\nid = 'test'\nname = 'Test'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101']\n\
         [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n[store]\ndir = '{at}/data'\n\
         [api]\nlisten = '127.0.0.1:0'\nsocket = '{at}/engawa.sock'\n[privacy]\nregister = true\n",
    );
    fs::write(&path, text).unwrap();
    path
}

fn engawa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
    command.args(arguments).stdin(Stdio::null());
    command
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the house and ends it once it answers.
fn opens(config: &Path) {
    let mut agent = Agent(engawa(&["run"]).arg(config).stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while !engawa(&["status"]).arg(config).output().unwrap().status.success() {
        assert!(
            agent.0.try_wait().unwrap().is_none() && begun.elapsed() < DEADLINE,
            "the house does not open"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn refuses(config: &Path) -> Output {
    let output = engawa(&["run"]).arg(config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    output
}

#[test]
fn a_key_that_is_lost_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path());
    opens(&config);
    let data = dir.path().join("data");
    for (key, locked) in
        [("vault.key", "vault-keys.db"), ("key", "engawa.db"), ("register.key", "register.db")]
    {
        let (key, aside) = (data.join(key), dir.path().join("safe"));
        fs::rename(&key, &aside).unwrap();
        let said = String::from_utf8(refuses(&config).stderr).unwrap();
        assert!(said.contains(&format!("the key file {} is missing", key.display())), "{said}");
        assert!(said.contains(locked) && said.contains("put the key back"), "{said}");
        assert!(!key.exists(), "{} was made anew", key.display());
        fs::rename(&aside, &key).unwrap();
        opens(&config);
    }
}

#[test]
fn a_time_that_ends_before_it_begins_is_a_wrong_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path());
    let asked = |from: &str, to: &str| {
        let words =
            ["guest", "register", "--from", from, "--to", to, "--as", "ann", "--reason", "the prefecture"];
        engawa(&words).arg(&config).output().unwrap()
    };
    for (from, to) in [("2026-12-01", "2026-11-01"), ("2026-11-01", "2026-11-01")] {
        let output = asked(from, to);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("--to {to} is not after --from {from}")), "{said}");
    }
    opens(&config);
    assert_eq!(asked("2026-11-01", "2026-12-01").status.code(), Some(0));
}
