//! Random days: a slice in every test run, as many as wanted with `DAYS`, from any `SEED`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

use engawa_days::{Flaw, Step, day, play, shrink};
use engawa_stage::seeds::Slice;
use std::time::Duration;

#[test]
fn random_days_agree_with_the_reference() {
    let slice =
        Slice { what: "days", count: "DAYS", most: 3_000, fewest: 200, time: Duration::from_secs(10) };
    let (played, all) = slice.play(day, |steps| play(steps, None));
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
