//! The supervisor itself is killed, at any moment of an update. KILLS: how many moments (6), SEED.

use crate::stand::{Stand, lives};
use rustix::process::Signal;
use std::time::{Duration, Instant};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_supervisor_that_is_killed_at_any_moment_leaves_one_whole_version_and_no_second_agent() {
    let mut seed = number("SEED", 1);
    let mut ends = [0, 0];
    for round in 0..number("KILLS", 6) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // As many within the first milliseconds as in the half second behind them.
        let moment = Duration::from_micros((seed >> 33) % (500_000 >> (seed >> 60)));
        let mut stand = Stand::new(&[]);
        stand.start();
        stand.wait_running(1);
        let at = Instant::now() + moment;
        std::thread::scope(|scope| {
            let stand = &stand;
            scope.spawn(move || stand.bring(2, "confirms 2"));
            let _ = crate::stand::until(at, || false);
            stand.signal(Signal::KILL);
        });
        stand.end(Signal::KILL);
        stand.start();
        stand.wait_status("settled", |status| status.state == "running" && status.trial.is_none());
        stand.wait("an agent that is ready", |stand| stand.agents().last().is_some_and(|pid| lives(*pid)));
        let status = stand.supervisor().status().unwrap();
        let outcome = stand.supervisor().outcome().unwrap();
        match (status.number, outcome) {
            // It was not asked for durably.
            (1, None) => ends[0] += 1,
            (2, Some(outcome)) if outcome.verdict.name() == "confirmed" => ends[1] += 1,
            (number, outcome) => panic!("round {round}, {moment:?}: release {number} runs, {outcome:?}"),
        }
        let living: Vec<i32> = stand.agents().into_iter().filter(|pid| lives(*pid)).collect();
        assert_eq!(living.len(), 1, "round {round}, {moment:?}");
        assert!(!stand.place().join("two-at-once").exists(), "round {round}, {moment:?}");
    }
    println!("killed: {} times before release 2 was asked for, {} times behind that", ends[0], ends[1]);
}

#[test]
fn a_second_supervisor_waits_until_the_first_one_and_its_agent_are_gone() {
    let mut stand = Stand::new(&[]);
    stand.start();
    stand.wait_running(1);
    stand.wait("an agent", |stand| stand.agents().len() == 1);
    let second = stand.spawn();
    let first = stand.agents()[0];
    stand.end(Signal::KILL);
    stand.take_over(second);
    stand.wait("another agent", |stand| stand.agents().len() == 2);
    assert!(!lives(first));
    stand.wait_running(1);
    assert!(!stand.place().join("two-at-once").exists());
}
