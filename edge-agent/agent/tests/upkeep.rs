//! The configuration read again while the agent runs, and a bundle for whoever looks for a fault.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

/// A running agent; killed when the test is over, however it ends.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn engawa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("SUDO_USER").env("USER", "ann");
    command
}

fn configuration(dir: &Path, pms: &str) -> PathBuf {
    let path = dir.join("engawa.toml");
    let text = format!(
        r#"[property]
id = "test"
name = "Test"
zone = "UTC"
currency = "EUR"
rooms = ["101", "102"]

[climate]
comfort_c = 22.0
eco_heating_c = 17.0
eco_cooling_c = 28.0

[store]
dir = "{dir}/data"

[pms]
address = "{pms}"
free_fields = {{ A3 = "phone" }}

[mqtt]
listen = "127.0.0.1:0"

[api]
listen = "127.0.0.1:0"
socket = "{dir}/engawa.sock"
"#,
        dir = dir.display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn start(config: &Path) -> Agent {
    Agent(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap())
}

fn run(arguments: &[&str], config: &Path) -> Output {
    engawa(&[arguments, &[config.to_str().unwrap()]].concat()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn log(config: &Path) -> Vec<Value> {
    let out = run(&["log", "--json"], config);
    text(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn is_running(config: &Path) {
    wait_for("the agent", || run(&["status", "--json"], config).status.success().then_some(()));
}

#[test]
fn a_changed_file_is_taken_as_far_as_it_can_be_and_a_broken_one_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "127.0.0.1:9");
    let agent = start(&config);
    is_running(&config);
    let original = std::fs::read_to_string(&config).unwrap();

    let same = run(&["reload"], &config);
    assert_eq!(text(&same.stdout), "nothing is other than before\n", "{}", text(&same.stderr));
    let changed = original
        .replace("name = \"Test\"", "name = \"Grand\"")
        .replace("comfort_c = 22.0", "comfort_c = 21.5")
        .replace("listen = \"127.0.0.1:0\"\n\n[api]", "listen = \"127.0.0.1:1\"\n\n[api]")
        + "[firewall]\nroom_per_minute = 30\n";
    std::fs::write(&config, &changed).unwrap();
    let taken = run(&["reload"], &config);
    let said = text(&taken.stdout);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert!(said.contains("changed: climate.comfort_c, firewall."), "{said}");
    assert!(said.contains("property.name") && said.contains("needs a restart: mqtt.listen"), "{said}");
    let status = run(&["status", "--json"], &config);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["name"], "Grand", "{status}");
    let again = run(&["reload"], &config);
    assert_eq!(text(&again.stdout), "needs a restart: mqtt.listen\n", "the rest is in force");

    let file = dir.path().join("bundle.json");
    let made = run(&["diagnose", file.to_str().unwrap()], &config);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let bundle: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(bundle["configuration"].as_str().unwrap().contains("comfort_c = 21.5"), "{bundle}");
    assert_eq!(bundle["configuration_waits_for_restart"], serde_json::json!(["mqtt.listen"]));
    assert_eq!(bundle["configuration_as_on_disk"], true);

    // Broken: told at once by the command line; by the signal in the journal, with its place and how to mend it.
    std::fs::write(&config, changed.replace("comfort_c = 21.5", "comfort_c = 99.0")).unwrap();
    let broken = run(&["reload"], &config);
    assert_eq!(broken.status.code(), Some(2), "{}", text(&broken.stderr));
    assert!(text(&broken.stderr).contains("engawa.toml:9:13"), "{}", text(&broken.stderr));
    assert!(Command::new("kill").args(["-HUP", &agent.0.id().to_string()]).status().unwrap().success());
    let reason = wait_for("the end of the reload", || {
        // The command line reads the same broken file: the journal is read by a sound one beside it.
        let beside = dir.path().join("sound.toml");
        std::fs::write(&beside, &changed).unwrap();
        let log = log(&beside);
        let refused = log
            .iter()
            .find(|row| row["kind"] == "command_ended" && row["change"]["outcome"]["outcome"] == "refused")?;
        Some(refused["change"]["outcome"]["reason"].as_str().unwrap().to_owned())
    });
    assert!(reason.starts_with("nothing has changed: "), "{reason}");
    assert!(reason.contains("engawa.toml:9:13: ") && reason.contains("99"), "{reason}");
    let beside = dir.path().join("sound.toml");
    let accepted: Vec<Value> =
        log(&beside).into_iter().filter(|row| row["kind"] == "command_accepted").collect();
    let by: Vec<&str> = accepted.iter().filter_map(|row| row["change"]["action"]["by"].as_str()).collect();
    assert!(by.contains(&"SIGHUP") && by.contains(&"ann"), "who asked: {by:?}");
    let status = run(&["status", "--json"], &beside);
    assert!(status.status.success(), "the house goes on");
}

#[test]
fn a_secret_in_a_faulty_file_reaches_neither_log_nor_journal_nor_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "127.0.0.1:9");
    let sound = std::fs::read_to_string(&config).unwrap();
    let mut agent = engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = agent.stderr.take().unwrap();
    let agent = Agent(agent);
    is_running(&config);
    let beside = dir.path().join("sound.toml");
    std::fs::write(&beside, &sound).unwrap();
    for (n, faulty) in [
        "[[mqtt.user]]\nname = \"till\"\npassword = \"hunter2\"\n",
        "[[mqtt.user]]\nname = \"till\"\npassword = hunter2\n",
        "[[mqtt.user]]\nname = \"till\"\npassword = \"hunter2\n",
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&config, format!("{sound}{faulty}")).unwrap();
        assert!(Command::new("kill").args(["-HUP", &agent.0.id().to_string()]).status().unwrap().success());
        wait_for("the end of the reload", || {
            let ended = log(&beside).iter().filter(|row| row["kind"] == "command_ended").count();
            (ended > n).then_some(())
        });
    }
    let file = dir.path().join("bundle.json");
    let made = engawa(&["diagnose", file.to_str().unwrap(), beside.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    drop(agent);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    let bundle = std::fs::read_to_string(&file).unwrap();
    let journal = log(&beside).iter().map(Value::to_string).collect::<String>();
    for (place, all) in [("log", &said), ("bundle", &bundle), ("journal", &journal)] {
        assert!(all.contains("engawa.toml:") && !all.contains("hunter2"), "{place}: {all}");
    }
}

#[test]
fn a_bundle_has_what_is_needed_and_nothing_of_a_guest() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configuration(dir.path(), &listener.local_addr().unwrap().to_string());
    let agent = start(&config);
    let mut line = greet(&listener);
    line.write_all("\x02GI|RN101|G#4711|GNSatoyoshi|GFHaruka|A3+81 90 1234 5678|GSN|\x03".as_bytes())
        .unwrap();
    wait_for("the stay", || log(&config).iter().any(|row| row["kind"] == "checked_in").then_some(()));

    let file = dir.path().join("bundle.json");
    let made = engawa(&["diagnose", file.to_str().unwrap(), config.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let bundle = std::fs::read_to_string(&file).unwrap();
    for gone in ["Satoyoshi", "Haruka", "1234 5678"] {
        assert!(!bundle.contains(gone), "{gone} in {bundle}");
    }
    for key in ["key", "vault.key"] {
        let key = std::fs::read(dir.path().join("data").join(key)).unwrap();
        let key = text(&key);
        assert!(key.trim().len() >= 16 && !bundle.contains(key.trim()), "a key in the bundle");
    }
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!((&bundle["asked_by"], &bundle["status"]["rooms_occupied"]), (&"ann".into(), &1.into()));
    assert!(bundle["configuration"].as_str().unwrap().contains("comfort_c = 22.0"));
    assert_eq!(bundle["configuration_as_on_disk"], true);
    assert!(
        bundle["log"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line.as_str().unwrap().contains("the house is open"))
    );
    assert!(
        bundle["journal"]
            .as_array()
            .unwrap()
            .iter()
            .any(|lane| lane["lane"] == 3 && lane["head"].as_u64() > Some(0))
    );
    assert!(bundle["machine"]["disk"]["free"].as_u64() > Some(0));
    let pms = bundle["links"].as_array().unwrap().iter().find(|link| link["id"] == "pms").unwrap();
    assert_eq!(pms["up"], true);
    let twice = engawa(&["diagnose", file.to_str().unwrap(), config.to_str().unwrap()]).output().unwrap();
    assert_eq!(twice.status.code(), Some(1), "a file that is there is not written over");

    // Without the agent its files tell.
    drop(agent);
    std::fs::remove_file(&file).unwrap();
    let made = engawa(&["diagnose", file.to_str().unwrap(), config.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let bundle: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(bundle["agent"].as_str().unwrap().contains("is engawa running?"), "{bundle}");
    assert!(bundle["journal"].as_array().unwrap().iter().any(|lane| lane["lane"] == 3));
}

/// The PMS's side: greets, and reads until the gateway has described itself.
fn greet(listener: &TcpListener) -> TcpStream {
    let (mut line, _) = listener.accept().unwrap();
    line.set_read_timeout(Some(DEADLINE)).unwrap();
    line.write_all(b"\x02LS|DA260715|TI101500|\x03").unwrap();
    let mut reader = BufReader::new(line.try_clone().unwrap());
    loop {
        let mut record = Vec::new();
        assert!(reader.read_until(3, &mut record).unwrap() > 0, "the gateway hung up");
        if record.starts_with(b"\x02LA|") {
            break;
        }
    }
    line.write_all(b"\x02LA|DA260715|TI101501|\x03").unwrap();
    let mut rest = [0; 1024];
    line.set_nonblocking(true).unwrap();
    let _ = line.read(&mut rest);
    line.set_nonblocking(false).unwrap();
    line
}
