//! Whoever asks nonsense, too much or without the right is answered, and holds nobody up; the command line says what is wrong.

use crate::stand::{PATIENCE, PROGRAM, Stand};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn answer(stand: &Stand, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(stand.supervisor().path()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who is turned away is answered before it has asked.
    let _ = stream.write_all(line);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn nonsense_is_answered_and_nobody_is_held_up() {
    let mut stand = Stand::new(&[]);
    stand.start();
    stand.wait_running(1);
    assert!(answer(&stand, b"dance\n").starts_with("error \"dance\" is not understood; "));
    assert!(answer(&stand, &[b'x'; 2000]).starts_with("error a line has 1024 bytes at most"));
    assert_eq!(answer(&stand, b"healthy\n"), "error only the version on trial itself may say how it is\n");
    // Eight that say nothing, and one too many; they are let go of, and others come in.
    let mut idle: Vec<UnixStream> =
        (0..8).map(|_| UnixStream::connect(stand.supervisor().path()).unwrap()).collect();
    assert_eq!(answer(&stand, b"status\n"), "error later: too many ask at once\n");
    stand.wait("answered again", |stand| stand.supervisor().status().is_ok());
    let mut nothing = Vec::new();
    assert_eq!(idle[0].read_to_end(&mut nothing).unwrap(), 0);
}

#[test]
fn another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can become somebody else: not tried");
        return;
    }
    let mut stand = Stand::new(&["--run-dir", "/nowhere"]);
    let run = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    stand.options[1] = run.path().display().to_string();
    stand.start();
    let path = run.path().join("supervisor");
    stand.wait("listening", |_| path.exists());
    let stranger = || {
        let done = Command::new("socat")
            .arg("-")
            .arg(format!("UNIX-CONNECT:{}", path.display()))
            .uid(65534)
            .gid(65534)
            .output();
        done.map(|done| String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()).unwrap()
    };
    assert!(stranger().contains("Permission denied"));
    // Should the file's mode ever fail to keep strangers out.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(stranger().contains("error only user 0 and root may ask"), "{}", stranger());
}

#[test]
fn a_table_that_can_not_be_read_is_replaced_on_demand_alone_and_the_floor_stays() {
    let mut stand = Stand::new(&[]);
    stand.start();
    stand.wait_running(1);
    stand.bring(2, "confirms 2").unwrap();
    assert_eq!(stand.outcome().number, 2);
    stand.end(rustix::process::Signal::TERM);
    for copy in ["table.0", "table.1"] {
        std::fs::write(stand.slots().join(copy), "rubbish").unwrap();
    }
    let slots = stand.slots().display().to_string();
    let program = stand.place().join("engawa").display().to_string();
    let install = |number: &str, more: &str| {
        let words = ["install", "--dir", &slots, "--release", "1.0.0", "--number", number, more, &program];
        Command::new(PROGRAM).args(words.into_iter().filter(|word| !word.is_empty())).output().unwrap()
    };
    let (code, text) = complaint(&[&slots, "--", "c"]);
    assert!(code == Some(1) && text.contains("--replace-damaged` lays a release anew"), "{text}");
    // Neither by itself nor by the unit's first step, and not by an older one.
    for more in ["", "--once"] {
        let done = install("9", more);
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && text.contains("neither copy of the slot table"), "{text}");
    }
    let older = install("0", "--replace-damaged");
    let text = String::from_utf8_lossy(&older.stderr).into_owned();
    assert!(!older.status.success() && text.contains("number 0 is below 1, the floor of"), "{text}");
    let done = install("1", "--replace-damaged");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    stand.start();
    stand.wait_running(1);
    assert_eq!(stand.supervisor().status().unwrap().floor, 1);
}

fn complaint(words: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(PROGRAM).args(words).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn the_command_line_says_what_is_wrong() {
    for (words, wanted) in [
        (vec![], "there is nothing to do"),
        (vec!["/x"], "the configuration is missing"),
        (vec!["/x", "--trial", "soon", "--", "c"], "--trial: soon is no time in seconds"),
        (vec!["/x", "--tries", "0", "--", "c"], "--tries: from 1 to 255"),
        (vec!["/x", "--listen", "http", "--", "c"], "is not NAME=IP:PORT"),
        (vec!["/x", "--frobnicate", "--", "c"], "--frobnicate is no option"),
        (vec!["/x", "/y", "--", "c"], "/y is one folder too many"),
        (vec!["install", "engawa"], "install needs --dir DIR"),
        (vec!["check"], "check needs one folder"),
    ] {
        let (code, text) = complaint(&words);
        assert_eq!(code, Some(2), "{words:?}");
        assert!(text.contains(wanted), "{words:?}: {text}");
    }
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    for words in [vec![path, "--", "c"], vec!["check", path]] {
        let (code, text) = complaint(&words);
        assert_eq!(code, Some(1));
        assert!(text.contains("no release was installed here"), "{text}");
    }
    assert!(complaint(&["install", "--dir", path, "/no/engawa"]).1.contains("/no/engawa: No such file"));
    let missing = empty.path().join("nonex");
    let (code, text) = complaint(&[missing.to_str().unwrap(), "--", "c"]);
    assert!(
        code == Some(1) && text.contains("/nonex is missing: `engawa-supervisor install --dir"),
        "{text}"
    );
    // An installation that fails leaves nothing behind.
    let (program, bad) = (empty.path().join("engawa"), empty.path().join("manifest.json"));
    std::fs::write(&program, "no program").unwrap();
    std::fs::write(&bad, "{}").unwrap();
    for into in [missing.as_path(), empty.path()] {
        let words =
            ["install", "--dir", into.to_str().unwrap(), program.to_str().unwrap(), bad.to_str().unwrap()];
        let (code, text) = complaint(&words);
        assert!(code == Some(1) && text.contains("what was laid can't be started"), "{text}");
    }
    assert!(
        complaint(&["install", "--dir", missing.to_str().unwrap(), "/no/engawa"]).1.contains("No such file")
    );
    let mut left: Vec<_> =
        std::fs::read_dir(empty.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["engawa", "lock", "manifest.json"]);
    for words in [&["install", "--help"][..], &["check", "-h"]] {
        let help = Command::new(PROGRAM).args(words).output().unwrap();
        assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--replace-damaged"));
    }
    let help = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--heartbeat S"));
    let check = Stand::new(&[]);
    let done = Command::new(PROGRAM).arg("check").arg(check.slots()).output().unwrap();
    assert!(
        String::from_utf8_lossy(&done.stdout).contains("slot a (active): version 1.0.0, number 1: whole")
    );
}
