//! Guests' data through the real program: a PMS on a socket brings guests, people find, export and erase them, and no file,
//! log or message that is left behind holds any of it.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{Running, greet, wait_for};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Everything of the guests that must not be found again, in the forms in which it could be.
const SECRETS: &[&str] =
    &["Wiedererkennbar", "WIEDERERKENNBAR", "wiedererkennbar", "Unverwechselbar", "佐藤花子"];

struct Stage {
    dir: tempfile::TempDir,
    config: PathBuf,
    broker: u16,
    pms: TcpListener,
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    /// With more lines of `[privacy]`.
    fn with(privacy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pms = TcpListener::bind("127.0.0.1:0").unwrap();
        let broker = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = dir.path().join("engawa.toml");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "[property]\nid = 'test'\nname = 'Test'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101', '102']\n\
             [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n[store]\ndir = '{}'\n\
             [pms]\naddress = '{}'\n[mqtt]\nlisten = '127.0.0.1:{broker}'\n[api]\nlisten = '127.0.0.1:0'\nsocket = '{}'\n\
             [privacy]\nretention_days = 7\n{privacy}",
            at("data"),
            pms.local_addr().unwrap(),
            at("engawa.sock"),
        );
        std::fs::write(&config, text).unwrap();
        Self { dir, config, broker, pms }
    }

    /// Starts the agent; what it says goes into a file that is searched, too.
    fn start(&self) -> Running {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.dir.path().join("agent.log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
        command.args(["run"]).arg(&self.config).env("RUST_LOG", "debug").stdout(Stdio::null()).stderr(log);
        Running(command.spawn().unwrap())
    }

    fn engawa(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
        command.args(arguments).arg(&self.config).output().unwrap()
    }

    /// As it is, without the configuration at the end.
    fn engawa_with(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_engawa")).args(arguments).output().unwrap()
    }

    /// What a command prints, one object a line.
    fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.engawa(arguments);
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn find(&self, by: &[&str]) -> Vec<Value> {
        let words = [&["guest", "find", "--as", "ann", "--reason", "lost property", "--json"], by].concat();
        self.listed(&words)
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let all = self.listed(&["log", "--json", "--limit", "1000"]);
        all.into_iter().filter(|row| row["kind"] == kind).collect()
    }
}

/// Files below `folder` that hold one of `secrets`, each with it; and how many were read.
fn search(folder: &Path, secrets: &[&str]) -> (Vec<String>, usize) {
    let (mut faults, mut read) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let (more, files) = search(&path, secrets);
            faults.extend(more);
            read += files;
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            read += 1;
            let found =
                secrets.iter().find(|secret| bytes.windows(secret.len()).any(|at| at == secret.as_bytes()));
            faults.extend(found.map(|secret| format!("{} in {}", secret, path.display())));
        }
    }
    (faults, read)
}

#[test]
fn guests_are_found_exported_and_erased_and_nothing_of_them_is_left_in_any_file() {
    let stage = Stage::new();
    let agent = stage.start();
    let mut line = greet(&stage.pms);
    // Everything that the house says on the broker, as a subscriber hears it.
    let heard = stage.dir.path().join("heard");
    let password = wait_for("the password of `local`", || {
        let out = stage.engawa(&["broker", "passwd", "local"]);
        out.status.success().then(|| String::from_utf8(out.stdout).unwrap().trim().to_owned())
    });
    let port = stage.broker.to_string();
    let _ear = wait_for("the broker", || {
        TcpStream::connect(("127.0.0.1", stage.broker)).ok()?;
        let words = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-u",
            "local",
            "-P",
            &password,
            "-t",
            "engawa/test/#",
            "-v",
            "-i",
            "ear",
        ];
        let to = std::fs::File::create(&heard).unwrap();
        Some(Running(Command::new("mosquitto_sub").args(words).stdout(to).spawn().unwrap()))
    });

    line.write_all(
        "\x02GI|RN101|G#4711|GNWiedererkennbar|GFUnverwechselbar|GLGE|\x03\x02GI|RN102|G#4712|GN佐藤花子|GLJA|\x03"
            .as_bytes(),
    )
    .unwrap();
    wait_for("the guests in the vault", || (stage.find(&["--name", "佐藤"]).len() == 1).then_some(()));
    let found = stage.find(&["--room", "101"]);
    assert_eq!((&found[0]["reservation"], &found[0]["left"]), (&"4711".into(), &Value::Null));
    assert_eq!(found[0]["particulars"]["name"], "Wiedererkennbar");
    assert_eq!(stage.find(&["--name", "unverw"]).len(), 1);
    assert_eq!(stage.find(&["--reservation", "4712"])[0]["particulars"]["name"], "佐藤花子");

    // Without a word of who and why nothing is shown.
    let rooms = stage.listed(&["rooms", "--json"]);
    assert!(rooms[0]["stays"][0]["stay"] == "4711" && rooms[0]["stays"][0]["name"].is_null(), "{rooms:?}");
    assert_eq!(stage.engawa(&["guest", "find", "--room", "101"]).status.code(), Some(2));
    let unsaid = stage.engawa(&["guest", "find", "--room", "101", "--as", "ann", "--reason", " "]);
    let text = String::from_utf8(unsaid.stderr).unwrap();
    assert!(unsaid.status.code() == Some(1) && text.contains("the reason"), "{text}");
    let few = stage.engawa(&["guest", "find", "--phone", "123", "--as", "ann", "--reason", "x"]);
    assert!(String::from_utf8(few.stderr).unwrap().contains("last 7 digits"));

    // Who has left is still found, and all that is held can be handed over.
    line.write_all(b"\x02GO|RN102|G#4712|\x03").unwrap();
    wait_for("the check-out", || {
        stage.find(&["--reservation", "4712"]).first().filter(|file| !file["left"].is_null()).map(drop)
    });
    let out = stage.engawa(&["guest", "export", "4712", "--as", "ann", "--reason", "letter"]);
    let export: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(export["records"][0]["particulars"]["name"], "佐藤花子");
    assert!(export["journal"].as_array().unwrap().iter().any(|row| row["kind"] == "checked_out"), "{export}");

    // A backup made before does not undo the erasure.
    let backup = stage.dir.path().join("backup.db");
    assert_eq!(stage.engawa(&["backup", backup.to_str().unwrap()]).status.code(), Some(0));
    let erase = |stay| stage.engawa(&["guest", "erase", stay, "--as", "ann", "--reason", "asked", "--json"]);
    let erased: Value = serde_json::from_slice(&erase("4711").stdout).unwrap();
    assert_eq!((&erased["stay"], &erased["reason"]), (&"4711".into(), &"asked".into()));
    let nothing = erase("9999");
    let text = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        nothing.status.code() == Some(1) && text.contains("nothing is held on reservation 9999"),
        "{text}"
    );
    assert_eq!(stage.log("erased")[0]["change"]["signature"], erased["signature"]);
    assert_eq!(stage.find(&["--name", "wieder"]).len(), 0);
    line.write_all("\x02GC|RN101|G#4711|GNWiedererkennbar|\x03".as_bytes()).unwrap();
    line.write_all("\x02GI|RN102|G#4713|GNLetzter|\x03".as_bytes()).unwrap();
    wait_for("the records after it", || (stage.find(&["--name", "letzter"]).len() == 1).then_some(()));
    assert_eq!(stage.find(&["--name", "wieder"]).len(), 0, "the PMS does not bring it back");

    let out = stage.engawa(&["guest", "audit", "--verify"]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let trail = stage.listed(&["guest", "audit", "--json", "--limit", "1000"]);
    let told =
        |what: &str| trail.iter().filter(|row| row["what"].as_str().unwrap().starts_with(what)).count();
    assert_eq!((told("erasure of reservation 4711"), told("export of reservation 4712")), (1, 1));
    assert!(trail.iter().all(|row| row["who"].as_str().unwrap().starts_with("ann (uid ")), "{trail:?}");

    // After a crash everything is as it was; the end of the trail has gone into the journal.
    drop(agent);
    let agent = stage.start();
    let _line = greet(&stage.pms);
    wait_for("the end of the audit trail", || (!stage.log("audit_head").is_empty()).then_some(()));
    assert_eq!(stage.find(&["--name", "wieder"]).len(), 0);
    let retained = std::fs::read_to_string(&heard).unwrap();
    assert!(retained.contains("engawa/test/room/101"), "the subscriber heard the house: {retained}");
    drop(agent);
    let (faults, read) = search(stage.dir.path(), SECRETS);
    assert!(faults.is_empty(), "{faults:?}");
    assert!(read >= 8, "database, keys, trail, logs, what was heard: {read} files");
    std::fs::write(stage.dir.path().join("proof"), "x Wiedererkennbar y").unwrap();
    assert_eq!(search(stage.dir.path(), SECRETS).0.len(), 1, "the search finds what is there");
}

#[test]
fn a_vault_key_that_is_not_the_one_is_told_with_what_to_do() {
    let stage = Stage::new();
    let agent = stage.start();
    let mut line = greet(&stage.pms);
    line.write_all("\x02GI|RN101|G#4711|GNWiedererkennbar|\x03".as_bytes()).unwrap();
    wait_for("the guest", || (stage.find(&["--room", "101"]).len() == 1).then_some(()));
    drop(agent);
    // Another house's key.
    std::fs::write(stage.dir.path().join("data/vault.key"), "ab".repeat(32)).unwrap();
    let out = stage.engawa(&["run"]);
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.code() == Some(1) && text.contains("Put that key back"), "{text}");
    // As it says: without the keys' file the house opens, the guests dark until the PMS tells of them.
    for beside in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(stage.dir.path().join(format!("data/vault-keys.db{beside}")));
    }
    let _agent = stage.start();
    let mut line = greet(&stage.pms);
    let dark = stage.find(&["--reservation", "4711"]);
    assert_eq!((&dark[0]["dark"], dark.len()), (&"key lost".into(), 1));
    line.write_all("\x02GC|RN101|G#4711|GNWiedererkennbar|\x03".as_bytes()).unwrap();
    wait_for("the guest again", || (stage.find(&["--name", "wieder"]).len() == 1).then_some(()));
}

/// The next record of this kind that the gateway sends.
fn hear(line: &TcpStream, kind: &[u8]) -> Vec<u8> {
    let mut reader = BufReader::new(line.try_clone().unwrap());
    loop {
        let mut record = Vec::new();
        assert!(reader.read_until(3, &mut record).unwrap() > 0, "the gateway hung up");
        if record.get(1..3) == Some(kind) {
            return record;
        }
    }
}

fn list(line: &mut TcpStream, guests: &[(&str, &str)]) {
    line.write_all(b"\x02DS|DA260715|TI101500|\x03").unwrap();
    for (stay, name) in guests {
        line.write_all(format!("\x02GI|RN101|G#{stay}|GN{name}|SF|\x03").as_bytes()).unwrap();
    }
    line.write_all(b"\x02DE|DA260715|TI101600|\x03").unwrap();
}

#[test]
fn the_register_is_exported_and_outlives_an_erasure_which_says_so() {
    let stage = Stage::with("register = true\nregister_days = 1098\n");
    let _agent = stage.start();
    let mut line = greet(&stage.pms);
    line.write_all("\x02GI|RN101|G#4711|GNWiedererkennbar|\x03".as_bytes()).unwrap();
    wait_for("the guest", || (stage.find(&["--room", "101"]).len() == 1).then_some(()));
    let export = || {
        let out = stage.engawa(&["guest", "export", "4711", "--as", "ann", "--reason", "letter"]);
        let export: Value = serde_json::from_slice(&out.stdout).unwrap();
        export["register"].clone()
    };
    let held = export();
    assert_eq!(held["entries"][0]["entry"]["name"], "Wiedererkennbar");
    assert_eq!((&held["entries"][0]["until"], &held["days_after_check_out"]), (&Value::Null, &1098.into()));
    assert!(held["why"].as_str().unwrap().contains("law"), "{held}");
    line.write_all(b"\x02GO|RN101|G#4711|\x03").unwrap();
    let until =
        wait_for("the end of its time", || export()["entries"][0]["until"].as_str().map(str::to_owned));

    let erase = || stage.engawa(&["guest", "erase", "4711", "--as", "ann", "--reason", "asked"]);
    let out = erase();
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("erased  record") && said.contains(&until) && said.contains("law"), "{said}");
    assert!(!said.contains("Wieder"), "{said}");
    assert_eq!(export()["entries"][0]["entry"]["name"], "Wiedererkennbar", "it stays, as it was said");
    let again = erase();
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(again.status.code() == Some(1) && said.contains(&until), "{said}");
}

#[test]
fn staff_ask_for_a_list_and_a_backup_that_is_put_back_makes_one_due() {
    let stage = Stage::new();
    let config = stage.config.to_str().unwrap().to_owned();
    let resync =
        |words: &[&str]| stage.engawa_with(&[&["pms", "resync", "--config", &config], words].concat());
    let stopped = resync(&[]);
    assert_eq!(stopped.status.code(), Some(3), "{}", String::from_utf8_lossy(&stopped.stderr));
    let agent = stage.start();
    let mut line = greet(&stage.pms);
    hear(&line, b"DR");
    list(&mut line, &[("4711", "Wiedererkennbar")]);
    wait_for("the guest", || (stage.find(&["--room", "101"]).len() == 1).then_some(()));
    let nobody = resync(&["villas"]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        nobody.status.code() == Some(2) && said.contains("no PMS `villas`") && said.contains("`pms`"),
        "{said}"
    );
    assert_eq!(resync(&["--accept"]).status.code(), Some(2), "whose list is right must be said");
    for words in [&[][..], &["pms"], &["--accept", "pms"]] {
        let out = resync(words);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        hear(&line, b"DR");
        list(&mut line, &[("4711", "Wiedererkennbar")]);
    }
    // A list was asked for a moment ago, so that no other reason than the backup would ask for one now.
    let backup = stage.dir.path().join("backup.db");
    assert_eq!(stage.engawa(&["backup", backup.to_str().unwrap()]).status.code(), Some(0));
    drop(agent);
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(stage.dir.path().join(format!("data/engawa.db{beside}")));
    }
    std::fs::copy(&backup, stage.dir.path().join("data/engawa.db")).unwrap();
    let agent = stage.start();
    let mut line = greet(&stage.pms);
    hear(&line, b"DR");
    list(&mut line, &[("4712", "Unverwechselbar")]);
    wait_for("who is here now", || (stage.find(&["--reservation", "4712"]).len() == 1).then_some(()));
    drop(agent);
    let log = std::fs::read_to_string(stage.dir.path().join("agent.log")).unwrap();
    assert!(log.contains("is not the one that was here last"), "{log}");
}
