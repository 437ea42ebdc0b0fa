//! A version that is well: it stays, the house hardly notices, and whoever watches from above is told.

use crate::stand::{PATIENCE, Stand, lives, until};
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn ask(door: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(door)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"?")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn while_versions_are_switched_nobody_is_refused_and_nobody_waits_for_two_seconds() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut stand = Stand::new(&["--listen", &format!("http={door}")]);
    stand.start();
    stand.wait_running(1);
    assert_eq!(ask(door).unwrap(), "1");
    let over = AtomicBool::new(false);
    let (answers, longest) = std::thread::scope(|scope| {
        let guests = scope.spawn(|| {
            let (mut answers, mut longest) = (Vec::new(), Duration::ZERO);
            while !over.load(Ordering::Relaxed) || answers.last().is_none_or(|answer| answer != "2") {
                let begun = Instant::now();
                answers.push(ask(door).expect("a door that is held is never closed"));
                longest = longest.max(begun.elapsed());
            }
            (answers, longest)
        });
        stand.bring(2, "confirms 2").unwrap();
        let outcome = stand.outcome();
        assert_eq!((outcome.verdict.name(), outcome.number, outcome.reason.as_str()), ("confirmed", 2, ""));
        over.store(true, Ordering::Relaxed);
        guests.join().unwrap()
    });
    println!("{} requests over a switch, the longest took {} ms", answers.len(), longest.as_millis());
    assert!(answers.iter().all(|answer| answer == "1" || answer == "2"), "{answers:?}");
    assert!(answers.is_sorted(), "first the old one, then the new one");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let status = stand.supervisor().status().unwrap();
    assert_eq!((status.number, status.floor, status.trial), (2, 1, None));
    // Now release 1 may be overwritten, and the next switch goes the other way.
    stand.supervisor().outcome_seen().unwrap();
    stand.bring(3, "confirms 3").unwrap();
    assert_eq!(stand.outcome().number, 3);
    assert_eq!(ask(door).unwrap(), "3");
    assert!(!stand.place().join("two-at-once").exists());
}

#[test]
fn a_socket_and_a_watchdog_that_are_not_there_yet_keep_no_agent_from_its_work() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = taken.local_addr().unwrap();
    let mut stand = Stand::new(&["--listen", &format!("http={door}")]);
    // Of no machine (RFC 5737): the network may come up later.
    stand.options.extend(["--listen", "far=192.0.2.1:8480"].map(str::to_owned));
    let device = stand.place().join("watchdog");
    stand.options.extend(["--watchdog".to_owned(), device.display().to_string()]);
    stand.start();
    stand.wait_running(1);
    let log = stand.log();
    assert!(
        log.contains(&format!("--listen http: {door} can't be listened on: Address already in use")),
        "{log}"
    );
    assert!(!log.contains("--listen far"), "{log}");
    stand.wait("told of the watchdog", |stand| {
        stand.log().contains("watchdog: it can't be fed: No such file or directory")
    });
    // Both come: the socket is held from the next start on, the watchdog is fed.
    drop(taken);
    std::fs::write(&device, "").unwrap();
    stand.bring(2, "confirms 2").unwrap();
    assert_eq!(stand.outcome().number, 2);
    assert_eq!(ask(door).unwrap(), "2");
    stand.wait("fed", |_| !std::fs::read(&device).unwrap().is_empty());
}

#[test]
fn watchdogs_are_fed_while_the_agent_lives_and_told_when_all_is_over() {
    let manager = tempfile::tempdir().unwrap();
    let path = manager.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let device = manager.path().join("watchdog");
    std::fs::write(&device, "").unwrap();
    let mut stand = Stand::new(&["--watchdog", device.to_str().unwrap()]);
    stand.environment("NOTIFY_SOCKET", &path);
    stand.environment("WATCHDOG_USEC", std::path::Path::new("30000000"));
    stand.start();
    let hear = |wanted: &str| {
        let deadline = Instant::now() + PATIENCE;
        assert!(
            until(deadline, || {
                let mut buffer = [0; 512];
                let got = socket.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..got]).lines().any(|line| line == wanted)
            }),
            "{wanted}"
        );
    };
    hear("READY=1");
    hear("STATUS=release 1");
    hear("WATCHDOG=1");
    stand.wait("fed twice", |_| std::fs::read(&device).unwrap().len() >= 2);
    stand.signal(Signal::HUP);
    stand.wait("reloaded", |stand| stand.place().join("reloaded").exists());
    assert!(stand.end(Signal::TERM).success());
    hear("STOPPING=1");
    let fed = std::fs::read(&device).unwrap();
    assert_eq!((fed.last(), fed[0]), (Some(&b'V'), 0), "the magic close");
    assert!(stand.agents().into_iter().all(|pid| !lives(pid)));
}

#[test]
fn a_watchdog_is_not_fed_for_an_agent_that_hangs_and_not_closed_by_a_supervisor_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("watchdog");
    std::fs::write(&device, "").unwrap();
    let mut stand =
        Stand::with(&["--watchdog", device.to_str().unwrap(), "--heartbeat", "1.5", "--stop", "1"], "hangs");
    stand.start();
    stand.wait("killed for its silence", |stand| stand.log().contains("no heartbeat for 1.5 s"));
    stand.wait("started again", |stand| stand.agents().len() >= 2);
    stand.end(Signal::KILL);
    assert!(!std::fs::read(&device).unwrap().contains(&b'V'));
    stand.wait("without an agent", |stand| stand.agents().into_iter().all(|pid| !lives(pid)));
}
