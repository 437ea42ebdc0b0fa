//! The test programs: what each of their tests reaches, and how long it takes.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a test program may use in memory, in KiB: a mutant may count for ever.
const MEMORY_KIB: u64 = 6 << 20;
/// Where no time is known yet.
const LONGEST: Duration = Duration::from_secs(300);

/// A test of a program.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) takes: Duration,
    pub(crate) reaches: BTreeSet<u32>,
}

/// A test program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) days: u32,
    root: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    pub(crate) tests: Vec<Test>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    Failed,
    TimedOut,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new("bash");
        // `exec`: what is killed is the program itself.
        command.args(["-c", &format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"")]).arg(&self.path);
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(Stdio::null());
        command.env("CARGO_MANIFEST_DIR", &self.folder).env("RUST_BACKTRACE", "0");
        // Snapshots and samples are compared, never written; what fails is not made small.
        command
            .env("INSTA_UPDATE", "no")
            .env("INSTA_FORCE_PASS", "0")
            .env("INSTA_WORKSPACE_ROOT", &self.root);
        command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_RNG_SEED", "1");
        command.env("DAYS", self.days.to_string()).env("HISTORIES", self.days.to_string());
        command
    }

    fn names(&self, more: &[&str]) -> Result<Vec<String>> {
        let done = self.command().args(["--list", "--format", "terse"]).args(more).output()?;
        ensure!(done.status.success(), "{} does not list its tests", self.path.display());
        let text = String::from_utf8_lossy(&done.stdout);
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Runs tests until one fails or all have passed, no longer than `most`.
    pub(crate) fn run(&self, tests: &[&str], environment: &[(&str, &str)], most: Duration) -> Result<End> {
        let mut command = self.command();
        command.arg("--exact").args(tests).args(["--test-threads", "4"]).stdout(Stdio::piped());
        let mut child =
            command.envs(environment.iter().copied()).spawn().context("can't start a test program")?;
        let (sender, lines) = std::sync::mpsc::sync_channel(16);
        let said = child.stdout.take();
        let reader = std::thread::spawn(move || {
            for line in
                said.map(BufReader::new).into_iter().flat_map(|said| said.lines()).map_while(Result::ok)
            {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let until = Instant::now() + most;
        let end = loop {
            match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with("test ") && line.ends_with("FAILED") => break Some(End::Failed),
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break Some(End::TimedOut),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break None,
            }
        };
        drop(lines);
        if end.is_some() {
            // It may have ended by itself just now.
            let _ = child.kill();
        }
        let status = child.wait().context("a test program is lost")?;
        if end != Some(End::TimedOut) {
            // A program that it started may hold its output open; nobody waits for that.
            let _ = reader.join();
        }
        Ok(end.unwrap_or(if status.success() { End::Passed } else { End::Failed }))
    }
}

/// Runs every test by itself, un-mutated, and notes what it reaches.
pub(crate) fn record(
    built: &[(PathBuf, String, PathBuf)],
    out: &Path,
    days: u32,
    jobs: usize,
) -> Result<Vec<Program>> {
    let reached = out.join("reached");
    if reached.exists() {
        std::fs::remove_dir_all(&reached)?;
    }
    std::fs::create_dir_all(&reached)?;
    let mut programs = Vec::new();
    for (folder, name, path) in built {
        let mut program = Program {
            name: format!("{}/{name}", folder.file_name().unwrap_or_default().to_string_lossy()),
            days,
            root: out.join("tree"),
            folder: folder.clone(),
            path: path.clone(),
            tests: Vec::new(),
        };
        let ignored: BTreeSet<String> = program.names(&["--ignored"])?.into_iter().collect();
        let all = program.names(&[])?.into_iter().filter(|name| !ignored.contains(name));
        program.tests =
            all.map(|name| Test { name, takes: Duration::ZERO, reaches: BTreeSet::new() }).collect();
        programs.push(program);
    }
    let all: Vec<(usize, usize)> = programs
        .iter()
        .enumerate()
        .flat_map(|(p, program)| (0..program.tests.len()).map(move |t| (p, t)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let one = |&(p, t): &(usize, usize)| -> Result<(Duration, BTreeSet<u32>)> {
        let (program, path) = (&programs[p], reached.join(format!("{p}-{t}")));
        let (name, started) = (program.tests[t].name.as_str(), Instant::now());
        let environment = [("MUTANT", "record"), ("MUTANT_REACHED", &*path.to_string_lossy())];
        let end = program.run(&[name], &environment, LONGEST)?;
        if end != End::Passed {
            bail!("un-mutated, the test {name} of {} ends otherwise than passed: {end:?}", program.name);
        }
        let took = started.elapsed();
        let text = if path.exists() { std::fs::read_to_string(&path)? } else { String::new() };
        let numbers: Result<_, _> = text.lines().map(str::parse).collect();
        Ok((took, numbers.with_context(|| format!("{} is torn", path.display()))?))
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(which) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = one(which);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((*which, result));
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let took: Duration = done.iter().filter_map(|(_, result)| Some(result.as_ref().ok()?.0)).sum();
    for ((p, t), result) in done {
        let test = &mut programs[p].tests[t];
        (test.takes, test.reaches) = result?;
    }
    let mut lines: Vec<(Duration, String)> = programs
        .iter()
        .flat_map(|program| {
            program.tests.iter().map(|test| (test.takes, format!("{} {}", program.name, test.name)))
        })
        .collect();
    lines.sort_by_key(|(takes, _)| std::cmp::Reverse(*takes));
    let lines: String =
        lines.iter().map(|(takes, name)| format!("{:8.3} s  {name}\n", takes.as_secs_f64())).collect();
    std::fs::write(out.join("tests.txt"), lines).context("can't write tests.txt")?;
    eprintln!("mutants: {} tests of {} programs take {:.0} s", all.len(), programs.len(), took.as_secs_f64());
    Ok(programs)
}
