//! A whole day while the agent and the cloud are killed without warning, at ten seeded moments: nothing is lost,
//! nothing comes twice.
//!
//! `SEED=n cargo test -p engawa-stage --test kills` plays another day and other moments.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_stage::house::{House, Options};
use engawa_stage::proof::{self, Check, Day};
use engawa_stage::{leaks, played, wait};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// How often each of the two is killed.
const KILLS: usize = 5;
/// The hotel's day, seconds; waiting for a gateway that comes back makes it longer.
const SECONDS: u32 = 60;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Agent,
    Cloud,
}

/// The moments of the kills: spread over the day, the victims mixed.
fn plan(random: &mut StdRng) -> Vec<(Duration, Victim)> {
    let mut plan: Vec<(Duration, Victim)> = [Victim::Agent, Victim::Cloud]
        .into_iter()
        .flat_map(|victim| std::iter::repeat_n(victim, KILLS))
        .map(|victim| {
            (Duration::from_millis(random.random_range(3_000..u64::from(SECONDS) * 1000 - 5_000)), victim)
        })
        .collect();
    plan.sort_by_key(|(at, _)| *at);
    plan
}

#[test]
fn a_day_with_ten_kills_is_in_the_cloud_exactly_once() {
    let asked: Option<u64> = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = asked.unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    let plan = plan(&mut random);
    let folder = tempfile::Builder::new().prefix("engawa-kills-").tempdir().unwrap();
    // A list after each kill: what was read and not stored can only come back so.
    let options = Options { rooms: 30, seed, seconds: SECONDS, resync_every_s: 1 };
    let outcome = day(folder.path(), &options, &plan, &mut random);
    let (checks, events) = match outcome {
        Ok(found) => found,
        Err(error) => panic!("SEED={seed}, logs in {}: {error:#}", folder.keep().display()),
    };
    // A day without moves proves nothing about moves; the usual one has some, others may not.
    let least_moves = if asked.is_none() { 1 } else { 0 };
    let least = [
        ("checked_in", 5),
        ("checked_out", 5),
        ("charged", 5),
        ("setpoint_written", 5),
        ("moved", least_moves),
    ];
    for (kind, least) in least {
        let count = played::of(&events, kind).count();
        assert!(count >= least, "SEED={seed}: a day with {count} times `{kind}` proves nothing");
    }
    if !checks.iter().all(Check::holds) {
        panic!("SEED={seed}, logs in {}: {checks:#?}", folder.keep().display());
    }
}

fn day(
    folder: &std::path::Path,
    options: &Options,
    plan: &[(Duration, Victim)],
    random: &mut StdRng,
) -> anyhow::Result<(Vec<Check>, Vec<played::Event>)> {
    let mut house = House::open(folder, options)?;
    let began = Instant::now();
    let mut kills = plan.iter();
    let mut next = kills.next();
    wait::until("the day to end", Duration::from_secs(u64::from(SECONDS) * 4), || {
        if let Some((at, victim)) = next.filter(|(at, _)| began.elapsed() >= *at) {
            eprintln!("{at:?}: kill -9 of {victim:?}");
            let process = match victim {
                Victim::Agent => &mut house.agent,
                Victim::Cloud => &mut house.cloud,
            };
            process.must_run()?;
            process.kill()?;
            // How long a service manager takes to notice.
            wait::pause(Duration::from_millis(random.random_range(0..800)));
            process.start_again()?;
            next = kills.next();
        }
        Ok((next.is_none() && house.day_is_over()?).then_some(()))
    })?;
    house.settle(Duration::from_secs(90))?;
    let events = house.played()?;
    let mut checks = proof::check(&events, &house.database(), Day::WithKills)?;
    checks.push(leaks::check(folder, &events)?);
    Ok((checks, events))
}
