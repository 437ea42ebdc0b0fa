//! Random histories: a slice in every test run, as many as wanted with `HISTORIES`, from any `SEED`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

use engawa_sync::{Flaw, Tally, history, play, shrink};
use std::time::{Duration, Instant};

/// How many without `HISTORIES`, and how long at most.
const SLICE: u64 = 2_000;
const MOST: Duration = Duration::from_secs(8);
/// Fewer than this would be no test.
const FEWEST: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn both_ends_agree_row_by_row_after_every_history() {
    let (wanted, seed) = (number("HISTORIES"), number("SEED").unwrap_or(1));
    let started = Instant::now();
    let (mut played, mut all) = (0, Tally::default());
    while played < wanted.unwrap_or(SLICE) {
        if wanted.is_none() && played >= FEWEST && started.elapsed() > MOST {
            break;
        }
        let seed = seed + played;
        let steps = history(seed);
        match play(&steps, None) {
            Ok(tally) => all += tally,
            Err(fault) => {
                let (least, least_fault) = shrink(&steps, None).unwrap();
                panic!(
                    "the history of SEED={seed} fails {fault}\nits {} steps come down to {}, which fail {least_fault}:\n{least:?}",
                    steps.len(),
                    least.len()
                );
            }
        }
        played += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{played} histories from seed {seed} in {seconds:.1} s: {:.0} histories/s; {all:?}",
        f64::from(u32::try_from(played).unwrap()) / seconds
    );
    // Whatever a history can bring was brought.
    assert!(all.rows > played * 20 && all.welcomes > played * 2 && all.commands > played, "{all:?}");
    assert!(all.edge_restores > played / 50 && all.cloud_restores > played / 50, "{all:?}");
    assert!(all.gaps > played / 50, "{all:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}

/// The campaign has teeth: each fault of a sync is found within 100 seeds, and shown in a few steps.
#[test]
fn every_flaw_is_found_and_cut_down() {
    for flaw in Flaw::ALL {
        let seed = (1..=100).find(|seed| play(&history(*seed), Some(flaw)).is_err());
        let seed = seed.unwrap_or_else(|| panic!("{flaw:?} is not found in 100 histories"));
        let (least, fault) = shrink(&history(seed), Some(flaw)).unwrap();
        println!("{flaw:?}: seed {seed}, {} steps, {fault}: {least:?}", least.len());
        assert!(least.len() <= 20, "{flaw:?}: {least:?}");
        assert_eq!(play(&least, None).map(drop), Ok(()), "{flaw:?}: a sound cloud passes the same steps");
    }
}
