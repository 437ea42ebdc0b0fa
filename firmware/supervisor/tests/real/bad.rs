//! Versions that are unwell, each in its own way: the old one runs again, and it is known why.

use crate::stand::{Stand, lives};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

#[test]
fn one_that_crashes_is_undone_after_three_tries() {
    assert_eq!(Stand::new(&[]).undone("crash"), "it was killed 3 times in its trial: signal 6");
}

#[test]
fn one_that_ends_by_itself_even_if_it_means_well_is_undone() {
    assert_eq!(Stand::new(&["--tries", "1"]).undone("exit 0"), "it ended once in its trial: exit code 0");
}

#[test]
fn one_that_is_never_ready_is_undone_whoever_says_that_it_is() {
    let mut stand = Stand::new(&["--start", "2"]);
    let path = stand.slots().join("supervisor-notify");
    let stranger = std::thread::spawn(move || {
        let socket = UnixDatagram::unbound().unwrap();
        for _ in 0..200 {
            let _ = socket.send_to(b"READY=1\nWATCHDOG=1", &path);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
    assert_eq!(stand.undone("silent"), "it was not ready within 2 s");
    stranger.join().unwrap();
}

#[test]
fn one_that_hangs_and_hears_nothing_is_killed_and_undone() {
    assert_eq!(Stand::new(&["--heartbeat", "1.5"]).undone("hangs"), "no heartbeat for 1.5 s");
}

#[test]
fn one_that_eats_memory_is_undone() {
    let reason = Stand::new(&["--memory-mib", "128"]).undone("hungry");
    assert!(reason.ends_with(" MiB of memory, its budget is 128"), "{reason}");
}

#[test]
fn one_that_says_so_itself_is_undone() {
    assert_eq!(Stand::new(&[]).undone("complains the PMS link is down"), "the PMS link is down");
}

#[test]
fn one_that_never_makes_up_its_mind_is_undone() {
    assert_eq!(Stand::new(&["--trial", "2"]).undone("well 2"), "it was not confirmed within 2 s");
}

#[test]
fn one_that_can_not_be_executed_is_undone_at_once() {
    let mut stand = Stand::new(&[]);
    assert_eq!(stand.undone("no-program"), "it can't be started: No such file or directory (os error 2)");
    assert_eq!(stand.log().matches("number 2, slot").count(), 1);
}

#[test]
fn one_that_is_busy_for_a_moment_has_another_try() {
    let mut stand = Stand::new(&[]);
    stand.start();
    stand.wait_running(1);
    // ETXTBSY (execve(2)): somebody still writes to the program that its first line names.
    let interpreter = stand.place().join("interpreter");
    std::fs::copy("/bin/sh", &interpreter).unwrap();
    let writing = std::fs::File::options().append(true).open(&interpreter).unwrap();
    stand.bring(2, "busy confirms 2").unwrap();
    stand.wait("busy", |stand| stand.log().contains("could not be started: Text file busy"));
    drop(writing);
    assert_eq!((stand.outcome().verdict.name(), stand.outcome().number), ("confirmed", 2));
}

#[test]
fn one_that_brings_its_database_up_to_date_has_the_time_that_it_asks_for_and_no_more() {
    let mut stand = Stand::new(&["--start", "1"]);
    stand.start();
    stand.wait_running(1);
    stand.bring(2, "migrates 2").unwrap();
    assert_eq!((stand.outcome().verdict.name(), stand.outcome().number), ("confirmed", 2));
    let hangs = Stand::new(&["--start", "1", "--trial", "3"]).undone("migrates-for-ever 2");
    assert_eq!(hangs, "it was not ready within 3 s");
}

#[test]
fn what_an_agent_leaves_behind_ends_with_it() {
    let mut stand = Stand::new(&["--tries", "1"]);
    assert_eq!(stand.undone("forks"), "it was killed once in its trial: signal 6");
    let forked = std::fs::read_to_string(stand.place().join("forked")).unwrap();
    let pid = forked.trim().parse().unwrap();
    stand.wait("without the forked process", |_| !lives(pid));
}

#[test]
fn a_slot_that_is_not_what_its_manifest_says_is_never_started() {
    let mut stand = Stand::new(&[]);
    stand.start();
    stand.wait_running(1);
    stand.wait("an agent", |stand| stand.agents().len() == 1);
    stand.bring(2, "well 2").unwrap();
    stand.wait("another agent", |stand| stand.agents().len() == 2);
    // Spoilt behind everybody's back, with the length that it had.
    let slot = stand.slots().join("b");
    let program = slot.join("engawa");
    let text = std::fs::read_to_string(&program).unwrap();
    std::fs::write(&program, text.replace("well 2", "well 3")).unwrap();
    let agent = *stand.agents().last().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(agent).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let outcome = stand.outcome();
    assert!(
        outcome.reason.starts_with("its files are not what they should be: engawa has "),
        "{}",
        outcome.reason
    );
    stand.wait_running(1);
    assert!(!stand.log().contains("well 3"));

    // The same before it was ever switched to: refused, and the old one is not even stopped.
    let mut other = Stand::new(&[]);
    other.start();
    other.wait_running(1);
    other.wait("an agent", |stand| stand.agents().len() == 1);
    let slot = other.supervisor().begin().unwrap();
    std::fs::write(other.slots().join(slot.name()).join("manifest.json"), "{}").unwrap();
    let refused =
        other.supervisor().try_release(engawa_slots::Digest::of(b"{}"), 2, "2.0.0", "r7").unwrap_err();
    assert!(refused.to_string().contains("can't be used: missing field `version`"), "{refused}");
    assert_eq!(other.agents().len(), 1);
}
