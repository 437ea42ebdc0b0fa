//! Tries every mutant of the model and the PMS link and lists those that no test notices.
#![allow(clippy::print_stdout, reason = "a command-line program")]

mod edges {
    pub(crate) mod cargo;
    pub(crate) mod list;
    pub(crate) mod programs;
    pub(crate) mod real;
    pub(crate) mod report;
    pub(crate) mod set;
    pub(crate) mod tree;
    pub(crate) mod trial;
}

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use edges::report::{Report, Verdict};
use edges::{list, programs, real, tree, trial};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Mutants of the model and the PMS link, or of the sync's protocol, all compiled at once, each tried by the tests that reach it.
///
/// What is tried is what `cargo mutants --list` names. Leaves `target/mutants/report.txt`, `survivors.txt` and the like.
#[derive(Debug, Parser)]
struct Options {
    /// What is tried: `house` (the model and the PMS link) or `sync` (the protocol of the sync)
    #[arg(long, value_name = "NAME", default_value = "house", value_parser = edges::set::named)]
    set: &'static edges::set::Set,
    /// Only mutants of these files (a glob or the end of a path, as cargo-mutants takes it)
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Only those that survived last time
    #[arg(long)]
    again: bool,
    /// Take over what an interrupted run saw caught
    #[arg(long)]
    resume: bool,
    /// Only this part of them, such as 0/8
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// How many are tried at a time
    #[arg(long, value_name = "N", default_value_t = default_jobs())]
    jobs: usize,
    /// Try those that can't stand behind a switch with cargo-mutants, a build each
    #[arg(long)]
    left: bool,
    /// Try so many, drawn by chance, with cargo-mutants, too, and compare
    #[arg(long, value_name = "K", default_value_t = 0)]
    verify: usize,
    /// What `--verify` draws by
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Survivors of a hundred that are too many
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    most: usize,
    /// Random days a mutant has to live through
    #[arg(long, default_value_t = 300, env = "MUTANTS_DAYS")]
    days: u32,
    /// Tests that take longer, un-mutated, are left out: every survivor would wait for them
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    longest: f64,
    /// The workspace
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(i, n)| i < n).ok_or_else(|| "expected I/N with I below N, such as 0/8".to_owned())
}

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let root = options.root.canonicalize().with_context(|| format!("--root {}", options.root.display()))?;
    let out = root.join("target/mutants");
    std::fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;

    let all = list::list(&root, options.set, &[])?;
    let wanted = if options.file.is_empty() {
        None
    } else {
        Some(list::names(&list::list(&root, options.set, &options.file)?))
    };
    let again = options.again.then(|| Report::survivors(&out)).transpose()?;

    let tree = tree::Tree::copy(&root, &out, options.set)?;
    let built = tree.build(&all)?;
    let mut report = Report::new(&all);
    for (number, verdict) in &built.verdicts {
        report.set(*number, *verdict);
    }
    let chosen: BTreeSet<u32> = all
        .iter()
        .filter(|mutant| wanted.as_ref().is_none_or(|names| names.contains(&mutant.name)))
        .filter(|mutant| again.as_ref().is_none_or(|names| names.contains(&mutant.name)))
        .filter(|mutant| options.shard.is_none_or(|(i, n)| mutant.number as usize % n == i))
        .map(|mutant| mutant.number)
        .collect();
    report.keep(&chosen);
    ensure!(!chosen.is_empty(), "no mutant is chosen: are the files named right, and is there a last time?");

    let programs = programs::record(&built.programs, &out, options.days, options.jobs)?;
    let caught = trial::resume(&out, options.resume)?;
    let mut open = Vec::new();
    for number in chosen.iter().copied().filter(|number| !built.verdicts.contains_key(number)) {
        if caught.contains(report.name(number)) {
            report.set(number, Verdict::Caught);
        } else {
            open.push(number);
        }
    }
    let longest = Duration::from_secs_f64(options.longest.clamp(0.0, 3600.0));
    trial::try_all(&open, &programs, longest, options.jobs, &out, &mut report)?;
    if options.left {
        let left = report.named(Verdict::Left);
        for (name, verdict) in real::try_named(&root, options.set, &out.join("left"), &left, options.days)? {
            report.set_named(&name, verdict);
        }
    }
    let enough = report.write(&out, options.most)?;
    let agree = options.verify == 0 || {
        let drawn = report.draw(options.verify, options.seed);
        let real = real::try_named(&root, options.set, &out.join("verify"), &drawn, options.days)?;
        report.compare(&drawn, &real)
    };
    Ok(if enough && agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
