//! Random histories: a slice in every test run, as many as wanted with `HISTORIES`, from any `SEED`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

use engawa_sync::{Fault, Flaw, Step, Tally, history, play, play_on_store, shrink};
use std::time::{Duration, Instant};

/// How many without `HISTORIES`, and how long at most.
const SLICE: u64 = 2_000;
const MOST: Duration = Duration::from_secs(8);
/// Fewer than this would be no test.
const FEWEST: u64 = 300;
/// How many on the real store without `STORES`, and how few at least.
const STORES: u64 = 24;
const FEWEST_STORES: u64 = 4;

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
    assert!(all.gaps > played / 50 && all.thinned > played / 4, "{all:?}");
    assert!(all.clones > played / 50 && all.fences > played / 100, "{all:?}");
}

/// The same with the real store on the disk: fewer, since each row costs it something.
#[test]
fn both_ends_agree_with_the_real_store_too() {
    let wanted = number("STORES").unwrap_or(STORES);
    let seed = number("SEED").unwrap_or(1);
    let started = Instant::now();
    let (mut played, mut all) = (0, Tally::default());
    for seed in seed..seed + wanted {
        if started.elapsed() > MOST && played >= FEWEST_STORES && number("STORES").is_none() {
            break;
        }
        // Enough that some of it is thinned before the line is there.
        let mut steps = vec![Step::Write { lane: 5, rows: 40, soon: true }];
        steps.extend(history(seed));
        let tally = play_on_store(&steps, None);
        all += tally
            .unwrap_or_else(|fault| panic!("the history of SEED={seed} fails on the real store {fault}"));
        played += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{played} histories on the real store from seed {seed} in {seconds:.1} s; {all:?}");
    assert!(all.rows > played * 100 && all.welcomes > played && all.gaps > 0, "{all:?}");
    assert!(played < 20 || all.edge_restores + all.cloud_restores > 0, "{all:?}");
}

/// A copy whose rows were thinned in the journal that it was made of, and have come to the cloud in part: nothing comes twice,
/// and nothing is left out without a word.
#[test]
fn a_copy_that_was_thinned_meanwhile_comes_once_at_most() -> Result<(), Fault> {
    let values = |rows| Step::Write { lane: 5, rows, soon: false };
    let flow = |rounds| std::iter::repeat_n(Step::Flow(8), rounds);
    for (delivered, before_the_line) in [(40, 0), (1, 0), (1, 2), (2, 1), (0, 2)] {
        // Offline, copied, thinned by what comes after, then a part of it delivered; the copy is put back.
        let mut steps = vec![values(25), Step::EdgeBackup];
        steps.extend(std::iter::repeat_n(values(25), 2));
        steps.extend(flow(delivered));
        steps.push(Step::EdgeRestored);
        steps.extend(std::iter::repeat_n(values(25), before_the_line));
        play_on_store(&steps, None)?;
    }
    Ok(())
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
