//! The shell on a serial port (pseudo-terminals of socat) against a PMS that is not ours: a Python script written from the
//! specification, which spoils records, refuses some, and loses ACKs on both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod site;

use engawa_model::{Currency, Fact, Intent, Money, PostingNumber, RoomId};
use engawa_pms::PmsConfig;
use engawa_pms::serial::SerialConfig;
use site::{DEADLINE, Site};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pair(folder: &Path) -> (Running, PathBuf, PathBuf) {
    let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
    let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
    let socat = Command::new("socat")
        .args([end(&ours), end(&theirs)])
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package socat");
    let running = Running(socat);
    let begun = Instant::now();
    while !(ours.exists() && theirs.exists()) {
        assert!(begun.elapsed() < DEADLINE, "socat makes no terminals");
        std::thread::yield_now();
    }
    (running, ours, theirs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_carries_every_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_socat, ours, theirs) = pair(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer/serial_pms.py");
    let peer = tokio::process::Command::new("python3")
        .arg(script)
        .arg(&theirs)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("install the Debian package python3");
    let site = Site::start(PmsConfig::serial(SerialConfig::new(ours.display().to_string())));

    let seen = site.until("forty guests", |facts| {
        let of = |fact: &Fact| match fact {
            Fact::GuestSeen { stay, guest, .. } => {
                Some((stay.to_string(), guest.name.as_ref()?.reveal().clone()))
            }
            _ => None,
        };
        let seen: Vec<_> = facts.iter().filter_map(of).collect();
        seen.iter().any(|(stay, _)| stay == "39").then_some(seen)
    });
    let wanted: Vec<_> = (0..40).map(|n| (n.to_string(), format!("Guest {n}"))).collect();
    assert_eq!(seen.await, wanted, "each once, in order, unspoilt");

    let posting = Intent::SendPosting {
        number: PostingNumber(7),
        room: RoomId::from("101"),
        stay: None,
        amount: Money { minor: 500, currency: Currency::new("EUR").unwrap() },
        text: "Water".into(),
        outlet: None,
        detail: engawa_model::PostingDetail::Plain,
    };
    site.intents.send(posting).await.unwrap();
    let booked = |fact: &&Fact| matches!(fact, Fact::PostingAnswered { number: PostingNumber(7), .. });
    site.until("the answer", |facts| facts.iter().find(booked).map(|_| ())).await;
    site.stop().await;

    let out = tokio::time::timeout(DEADLINE, peer.wait_with_output()).await.unwrap().unwrap();
    assert!(out.status.success(), "the peer is not content");
    let told = String::from_utf8(out.stdout).unwrap();
    let told = told.lines().last().unwrap();
    // LD, eight LR or more, LA, PS, LE: each once though two were refused at first and an ACK was lost.
    for (id, times) in [("\"LD|", 1), ("\"LA|", 1), ("\"PS|", 1), ("\"LE|", 1)] {
        assert_eq!(told.matches(id).count(), times, "{id}: {told}");
    }
    // On a busy machine the script may begin late, and be asked once more.
    assert!(!told.contains("\"enquiries\": 0"), "the lost ACK was asked for: {told}");
    assert_eq!(told.matches("\"LR|RIGI").count(), 1, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_not_there_is_said_to_be_so() {
    let site = Site::start(PmsConfig::serial(SerialConfig::new("/dev/engawa-no-such-port")));
    let why = |fact: &Fact| match fact {
        Fact::Link { up: false, detail, .. } if detail.contains("engawa-no-such-port") => Some(()),
        _ => None,
    };
    site.until("the reason", |facts| facts.iter().find_map(why)).await;
    site.stop().await;
}
