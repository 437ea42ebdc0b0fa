//! The agent's program on a disk that is full, and on one that turns read-only under it: guests go on checking in, staff are
//! told, and when there is room again everything is stored. On file systems of the test's own, so as root only.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{Running, engawa, greet, wait_for};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of its own, gone with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: PathBuf, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let made = Command::new("mount").args(arguments).arg(&path).output();
        made.is_ok_and(|made| made.status.success()).then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn configuration(dir: &Path, data: &Path, pms: &str, reserve: u32) -> PathBuf {
    let path = dir.join("engawa.toml");
    let text = format!(
        "[property]\nid = 'test'\nname = 'Test'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101', '102', '103']\n\
         [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n\
         [store]\ndir = '{}'\n[journal]\nreserve_mib = {reserve}\n[pms]\naddress = '{pms}'\n[mqtt]\nlisten = '127.0.0.1:0'\n\
         [api]\nlisten = '127.0.0.1:0'\nsocket = '{}'\n",
        data.display(),
        dir.join("engawa.sock").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn start(config: &Path) -> Running {
    Running(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap())
}

fn status(config: &Path) -> Option<Value> {
    let out = engawa(&["status", "--json", config.to_str().unwrap()]).output().unwrap();
    serde_json::from_slice(&out.stdout).ok()
}

fn occupied(config: &Path, rooms: u64) -> Option<()> {
    (status(config)?["rooms_occupied"] == rooms).then_some(())
}

/// The alert of the disk: whether it is active, and what it says.
fn alert(config: &Path) -> Option<(bool, String)> {
    let status = status(config)?;
    let alert = status["alerts"].as_array()?.iter().find(|alert| alert["kind"] == "storage")?.clone();
    Some((alert["active"] == true, alert["text"].as_str()?.to_owned()))
}

fn check_in(line: &mut TcpStream, room: &str, stay: &str) {
    line.write_all(format!("\x02GI|RN{room}|G#{stay}|GNSato|GLJA|\x03").as_bytes()).unwrap();
}

/// Takes every byte that the disk still has.
fn fill(path: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path.join("junk")).unwrap();
    for size in [64 << 10, 4096, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_is_met_with_the_room_that_was_set_aside() {
    full_disk(1, "the disk is full");
}

#[test]
fn what_a_full_disk_does_not_take_is_stored_when_there_is_room() {
    full_disk(0, "the disk takes nothing");
}

/// Guests check in on a full disk, staff are told with these `words`, and when there is room everything is stored.
fn full_disk(reserve: u32, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::at(dir.path().join("disk"), &["-t", "tmpfs", "-o", "size=6m", "none"])
    else {
        eprintln!("skipped: only root can mount a file system of 6 MiB");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pms = listener.local_addr().unwrap().to_string();
    let config = configuration(dir.path(), &mounted.0.join("data"), &pms, reserve);
    let mut agent = start(&config);
    let mut line = greet(&listener);
    check_in(&mut line, "101", "1");
    wait_for("the first guest", || occupied(&config, 1));
    // Somebody fills the disk again and again, so that what was set aside is used up, too.
    let mut n = 0;
    let told = wait_for("the alert", || {
        fill(&mounted.0);
        // Each time the same guest has another language: something to write.
        n += 1;
        line.write_all(
            format!("\x02GC|RN101|G#1|GNSato|GL{}|\x03", if n % 2 == 0 { "JA" } else { "EA" }).as_bytes(),
        )
        .unwrap();
        alert(&config).filter(|(active, text)| *active && text.starts_with(words))
    });
    assert!(told.1.contains("full"), "{told:?}");
    check_in(&mut line, "102", "2");
    wait_for("a guest on a full disk", || occupied(&config, 2));
    check_in(&mut line, "103", "3");
    wait_for("another one", || occupied(&config, 3));
    assert!(agent.0.try_wait().unwrap().is_none(), "the agent goes on");
    std::fs::remove_file(mounted.0.join("junk")).unwrap();
    wait_for("the end of the alert", || alert(&config).filter(|(active, _)| !active));
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    // What was applied in memory is on the disk now, row by row.
    let log = engawa(&["log", "--json", config.to_str().unwrap()]).output().unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.lines().filter(|row| row.contains("\"checked_in\"")).count(), 3, "{log}");
    let _agent = start(&config);
    let _line = greet(&listener);
    wait_for("all guests after a restart", || occupied(&config, 3));
}

#[test]
fn on_a_disk_that_turned_read_only_the_house_goes_on_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(&image).status();
    let mounted = made.is_ok_and(|made| made.success()).then(|| {
        let options = ["-o", "loop,errors=remount-ro", image.to_str().unwrap()];
        Mounted::at(dir.path().join("disk"), &options)
    });
    let Some(mounted) = mounted.flatten() else {
        eprintln!("skipped: only root can make and mount a file system that turns read-only");
        return;
    };
    let device = Command::new("findmnt").args(["-no", "SOURCE"]).arg(&mounted.0).output().unwrap();
    let device = String::from_utf8(device.stdout).unwrap();
    let trigger =
        device.trim().rsplit('/').next().map(|name| format!("/sys/fs/ext4/{name}/trigger_fs_error"));
    let Some(trigger) = trigger.filter(|path| Path::new(path).exists()) else {
        eprintln!("skipped: this kernel does not let a file system fail on purpose");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pms = listener.local_addr().unwrap().to_string();
    let config = configuration(dir.path(), &mounted.0.join("data"), &pms, 1);
    let mut agent = start(&config);
    let mut line = greet(&listener);
    check_in(&mut line, "101", "1");
    wait_for("the first guest", || occupied(&config, 1));
    // The file system meets an error, and is read-only from then on, open files included.
    std::fs::write(trigger, "test").unwrap();
    assert!(std::fs::write(mounted.0.join("probe"), "x").is_err());
    check_in(&mut line, "102", "2");
    wait_for("a guest that can't be stored", || occupied(&config, 2));
    let (_, text) = wait_for("the alert", || alert(&config).filter(|(active, _)| *active));
    assert!(text.starts_with("the disk takes nothing"), "{text}");
    // What would need to be stored before it is promised is refused with the reason.
    let asked = engawa(&["pms", "resync", "--config", config.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.code() != Some(0) && said.contains("disk takes nothing"), "{asked:?}");
    check_in(&mut line, "103", "3");
    wait_for("one more", || occupied(&config, 3));
    assert!(agent.0.try_wait().unwrap().is_none(), "the agent goes on");
}
