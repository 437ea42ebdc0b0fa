//! Histories of faults with the real programs: a hotel's day goes on while the line is bad, processes die and freeze,
//! disks are full or read-only, and clocks jump by a year. What the gateway was told is durable is in the cloud at every
//! moment, and afterwards both agree row by row.
//!
//! `SEED=n cargo test -p engawa-line --test campaign` plays one history by chance; `LINE_SEEDS=20` plays so many. A fault
//! that the machine can't make (no root, no libfaketime) is left out, with a word.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_line::agree::Both;
use engawa_line::faults::{self, Fault, Means};
use engawa_stage::house::{GATEWAY, House, Options};
use engawa_stage::wait;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::Path;
use std::time::{Duration, Instant};

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn edge_and_cloud_agree_row_by_row_whatever_happened() {
    let (seed, seeds) = (asked("SEED"), asked("LINE_SEEDS"));
    if seed.is_none() && seeds.is_none() {
        let mut random = StdRng::seed_from_u64(3);
        return play(3, &faults::each_kind(&mut random));
    }
    let first = seed.unwrap_or(1);
    for seed in first..first + seeds.unwrap_or(1) {
        let mut random = StdRng::seed_from_u64(seed);
        let faults = faults::by_chance(&mut random, 12);
        play(seed, &faults);
    }
}

fn play(seed: u64, faults: &[(Fault, Duration)]) {
    let folder = tempfile::Builder::new().prefix("engawa-line-").tempdir().unwrap();
    let began = Instant::now();
    match history(folder.path(), seed, faults) {
        Ok(rows) => {
            eprintln!("seed {seed}: {rows} rows agree after {} faults, {:?}", faults.len(), began.elapsed())
        }
        Err(error) => panic!("SEED={seed}, logs in {}: {error:#}", folder.keep().display()),
    }
}

fn history(folder: &Path, seed: u64, faults: &[(Fault, Duration)]) -> anyhow::Result<usize> {
    let means = Means::prepare(folder)?;
    let long: Duration = faults.iter().map(|(_, long)| *long).sum();
    // The shortest day that the hotel plays is a minute; it is broken off after the last fault.
    let seconds = u32::try_from(long.as_secs())?.max(60);
    let mut house = House::open(folder, &Options { rooms: 12, seed, seconds, resync_every_s: 1 })?;
    let both = Both {
        store: folder.join("agent"),
        cloud: house.cloud_dir().join("cloud.db"),
        gateway: GATEWAY.to_owned(),
    };
    wait::until("the gateway's journal", Duration::from_secs(30), || Ok(both.edge().ok()))?;
    if faults.iter().any(|(fault, _)| matches!(fault, Fault::Clock(..))) {
        means.with_clocks(&mut house)?;
    }
    let mut clocks = false;
    for (fault, long) in faults {
        let at = Instant::now();
        let suffered = means.suffer(&mut house, fault, *long)?;
        eprintln!("{:>6.1?} of {fault:?}{}", at.elapsed(), if suffered { "" } else { ": left out" });
        clocks |= suffered && matches!(fault, Fault::Clock(..)) && *long > Duration::from_millis(500);
        both.agree_so_far().map_err(|error| error.context(format!("after {fault:?}")))?;
    }
    house.hotel.kill()?;
    let mut differs = String::new();
    let settling = Instant::now();
    let rows = wait::until("gateway and cloud to agree", Duration::from_secs(90), || {
        faults::keep_running(&mut house, Duration::ZERO)?;
        match both.agree() {
            Ok(rows) => Ok(Some(rows)),
            Err(error) => {
                differs = format!("{error:#}");
                Ok(None)
            }
        }
    });
    let rows = rows.map_err(|error| error.context(differs))?;
    eprintln!("{:>6.1?} until they agree", settling.elapsed());
    both.sound()?;
    // The faults were real: some rows are of another year.
    if clocks {
        anyhow::ensure!(both.from_another_year()? > 0, "clocks jumped, and no row tells of it");
    }
    anyhow::ensure!(rows > 100, "a history of {rows} rows proves nothing");
    Ok(rows)
}
