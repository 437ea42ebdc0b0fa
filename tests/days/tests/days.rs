//! Random days: a slice in every test run, as many as wanted with `DAYS`, from any `SEED`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

use engawa_days::{Flaw, Step, Tally, day, play, shrink};
use std::time::{Duration, Instant};

/// How many days without `DAYS`, and how long at most.
const SLICE: u64 = 3_000;
const MOST: Duration = Duration::from_secs(10);
/// Fewer than this would be no test.
const FEWEST: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn random_days_agree_with_the_reference() {
    let (wanted, seed) = (number("DAYS"), number("SEED").unwrap_or(1));
    let started = Instant::now();
    let (mut played, mut all) = (0, Tally::default());
    while played < wanted.unwrap_or(SLICE) {
        if wanted.is_none() && played >= FEWEST && started.elapsed() > MOST {
            break;
        }
        let seed = seed + played;
        let steps = day(seed);
        match play(&steps, None) {
            Ok(tally) => all += tally,
            Err(fault) => {
                let (least, least_fault) = shrink(&steps, None).unwrap();
                panic!(
                    "the day of SEED={seed} fails {fault}\nits {} steps come down to {}, which fail {least_fault}:\n{least:#?}",
                    steps.len(),
                    least.len()
                );
            }
        }
        played += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{played} days from seed {seed} in {seconds:.1} s: {:.0} days/s; {all:?}",
        f64::from(u32::try_from(played).unwrap()) / seconds
    );
    assert!(all.lists > played && all.kills > played / 20 && all.stays > played * 2, "{all:?}");
}

/// A full house whose PMS comes back without its data, and with everybody gone: rare by chance, so it is a day of its own.
#[test]
fn a_pms_that_has_lost_its_guests_turns_nobody_out_and_staff_have_the_last_word() {
    let all = Step::Deliver { records: u8::MAX, piece: 64, held: false };
    let mut steps: Vec<Step> = (0..14).map(|room| Step::Arrive { room }).collect();
    steps.extend([all, Step::Agree]);
    // Nobody tells of their departures.
    steps.extend([Step::Depart { guest: 0 }; 9]);
    steps.extend([
        Step::Break { lose: u8::MAX, torn: 0, again: false },
        Step::Connect,
        Step::Ask,
        all,
        Step::Ask,
        all,
    ]);
    // Single records go on, and agreeing needs staff's word.
    steps.extend([Step::Arrive { room: 2 }, all, Step::Agree, Step::Arrive { room: 3 }, all]);
    let tally = play(&steps, None).unwrap();
    assert!(tally.doubted >= 2, "{tally:?}");
}

#[test]
fn the_same_seed_is_the_same_day() {
    assert_eq!(day(7), day(7));
    assert_ne!(day(7), day(8));
}

/// The days have teeth: each fault of real gateways is found, and shown in a few steps.
#[test]
fn every_flaw_is_found_and_cut_down() {
    for flaw in Flaw::ALL {
        let seed = (1..500).find(|seed| play(&day(*seed), Some(flaw)).is_err());
        let seed = seed.unwrap_or_else(|| panic!("{flaw:?} is not found in 500 days"));
        let (least, fault) = shrink(&day(seed), Some(flaw)).unwrap();
        println!("{flaw:?}: seed {seed}, {} steps, {fault}: {least:?}", least.len());
        assert!(least.len() <= 12, "{flaw:?}: {least:#?}");
        assert_eq!(play(&least, None).map(drop), Ok(()), "{flaw:?}: the sound house passes the same steps");
    }
}
