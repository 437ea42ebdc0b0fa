//! Each mutant before the tests that reach it, the cheap ones first.

use super::programs::{End, Program, Test};
use super::report::{Report, Verdict};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tests that take longer come after the others: they wait for sockets.
const SLOW: Duration = Duration::from_millis(100);
/// Tests that take longer have a process each.
const LONG: Duration = Duration::from_secs(1);

/// Where its time runs out, a mutant is noticed: ten times the usual, and this for a busy machine.
const GRACE: Duration = Duration::from_secs(5);

/// What was tried so far, a line each.
const OUTCOMES: &str = "outcomes.txt";

/// Begins anew, or takes over which mutants an interrupted run saw caught.
pub(crate) fn resume(out: &Path, resume: bool) -> Result<BTreeSet<String>> {
    let path = out.join(OUTCOMES);
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let caught: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Caught\t")?.split('\t').next())
        .map(str::to_owned)
        .collect();
    if !resume {
        std::fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
    }
    Ok(if resume { caught } else { BTreeSet::new() })
}

pub(crate) fn try_all(
    open: &[u32],
    programs: &[Program],
    longest: Duration,
    jobs: usize,
    out: &Path,
    report: &mut Report,
) -> Result<()> {
    // Those of a file are tried far apart, so that what an interrupted run leaves is a sample of the whole.
    let mut open = open.to_vec();
    open.sort_by_key(|number| number.wrapping_mul(2_654_435_761));
    let path = out.join(OUTCOMES);
    let outcomes = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .with_context(|| format!("can't write {}", path.display()))?;
    let (next, done, started) = (AtomicUsize::new(0), Mutex::new((Vec::new(), outcomes)), Instant::now());
    let names = &*report;
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(&number) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = try_one(number, programs, longest);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let (results, outcomes) = &mut *done;
                    if let Ok((verdict, by)) = &result {
                        // For whoever looks on; the report at the end is what counts.
                        let _ = writeln!(outcomes, "{verdict:?}\t{}\t{by}", names.name(number));
                    }
                    results.push((number, result.map(|(verdict, _)| verdict)));
                    let tried = results.len();
                    if tried % 100 == 0 || tried == open.len() {
                        let missed =
                            results.iter().filter(|(_, result)| matches!(result, Ok(Verdict::Survived)));
                        let left =
                            started.elapsed().div_f64(tried as f64).mul_f64((open.len() - tried) as f64);
                        eprintln!(
                            "mutants: {tried} of {} tried, {} survived, {:.0} s to go",
                            open.len(),
                            missed.count(),
                            left.as_secs_f64()
                        );
                    }
                }
            });
        }
    });
    let (results, _) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (number, result) in results {
        report.set(number, result?);
    }
    Ok(())
}

fn try_one(number: u32, programs: &[Program], longest: Duration) -> Result<(Verdict, String)> {
    let mut groups: Vec<(Duration, &Program, Vec<&Test>)> = Vec::new();
    for program in programs {
        let reaching =
            program.tests.iter().filter(|test| test.reaches.contains(&number) && test.takes <= longest);
        let (quick, slow): (Vec<&Test>, Vec<&Test>) = reaching.partition(|test| test.takes <= SLOW);
        let (slow, long): (Vec<&Test>, Vec<&Test>) = slow.into_iter().partition(|test| test.takes <= LONG);
        for tests in [quick, slow].into_iter().filter(|tests| !tests.is_empty()) {
            groups.push((tests.iter().map(|test| test.takes).sum(), program, tests));
        }
        groups.extend(long.into_iter().map(|test| (test.takes, program, vec![test])));
    }
    groups.sort_by_key(|(takes, ..)| *takes);
    for (takes, program, tests) in groups {
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        match program.run(&names, &[("MUTANT", &number.to_string())], takes * 10 + GRACE)? {
            End::Passed => {}
            End::Failed => return Ok((Verdict::Caught, program.name.clone())),
            End::TimedOut => return Ok((Verdict::TimedOut, program.name.clone())),
        }
    }
    Ok((Verdict::Survived, String::new()))
}
