//! What became of each mutant.

use anyhow::{Context as _, Result};
use engawa_mutants::mutant::Mutant;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Caught,
    TimedOut,
    Survived,
    /// Does not compile.
    Unviable,
    /// Can't stand behind a switch: only cargo-mutants can tell.
    Left,
}

impl Verdict {
    /// As cargo-mutants calls its file of those.
    fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::TimedOut => "timeout",
            Self::Survived => "missed",
            Self::Unviable => "unviable",
            Self::Left => "left to cargo-mutants",
        }
    }

    fn noticed(self) -> bool {
        matches!(self, Self::Caught | Self::TimedOut)
    }
}

pub(crate) struct Report {
    /// File and name of each.
    mutants: BTreeMap<u32, (String, String)>,
    verdicts: BTreeMap<u32, Verdict>,
}

impl Report {
    pub(crate) fn new(all: &[Mutant]) -> Self {
        let mutants = all.iter().map(|one| (one.number, (one.file.clone(), one.name.clone()))).collect();
        Self { mutants, verdicts: BTreeMap::new() }
    }

    /// Who survived last time.
    pub(crate) fn survivors(out: &Path) -> Result<BTreeSet<String>> {
        let path = out.join("survivors.txt");
        let text = fs::read_to_string(&path).with_context(|| format!("--again needs {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    pub(crate) fn set(&mut self, number: u32, verdict: Verdict) {
        self.verdicts.insert(number, verdict);
    }

    pub(crate) fn set_named(&mut self, name: &str, verdict: Verdict) {
        let number = self.mutants.iter().find(|(_, (_, its))| its == name).map(|(number, _)| *number);
        self.verdicts.extend(number.map(|number| (number, verdict)));
    }

    pub(crate) fn keep(&mut self, chosen: &BTreeSet<u32>) {
        self.verdicts.retain(|number, _| chosen.contains(number));
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.mutants.get(&number).map_or("", |(_, name)| name)
    }

    pub(crate) fn named(&self, verdict: Verdict) -> Vec<String> {
        let of = self.verdicts.iter().filter(|(_, its)| **its == verdict);
        of.map(|(number, _)| self.name(*number).to_owned()).collect()
    }

    /// Some of those with a verdict, by chance; the same of the same seed.
    pub(crate) fn draw(&self, most: usize, seed: u64) -> Vec<String> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let lot = |number: u32| {
            let mut hasher = DefaultHasher::new();
            (seed, self.name(number)).hash(&mut hasher);
            hasher.finish()
        };
        let judged = self.verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::Left);
        let mut all: Vec<u32> = judged.map(|(number, _)| *number).collect();
        all.sort_by_key(|number| lot(*number));
        // A third of them survivors, which are few and where being wrong costs most.
        let (missed, others): (Vec<u32>, Vec<u32>) =
            all.into_iter().partition(|number| self.verdicts.get(number) == Some(&Verdict::Survived));
        let missed: Vec<u32> = missed.into_iter().take(most.div_ceil(3)).collect();
        let rest = most - missed.len();
        missed
            .into_iter()
            .chain(others.into_iter().take(rest))
            .map(|number| self.name(number).to_owned())
            .collect()
    }

    /// Whether cargo-mutants says the same of those drawn; says where it does not.
    pub(crate) fn compare(&self, drawn: &[String], real: &[(String, Verdict)]) -> bool {
        let mut same = 0;
        for name in drawn {
            let ours = self.mutants.iter().find(|(_, (_, its))| its == name);
            let ours = ours.and_then(|(number, _)| self.verdicts.get(number)).copied();
            let theirs = real.iter().find(|(its, _)| its == name).map(|(_, verdict)| *verdict);
            let agree = ours == theirs
                || (ours.is_some_and(Verdict::noticed) && theirs.is_some_and(Verdict::noticed));
            same += usize::from(agree);
            if !agree {
                let word = |verdict: Option<Verdict>| verdict.map_or("not tried", Verdict::word);
                println!("{name}: {} here, {} with cargo-mutants", word(ours), word(theirs));
            }
        }
        println!("mutants: cargo-mutants says the same of {same} of {} drawn", drawn.len());
        same == drawn.len()
    }

    /// Writes and prints the report; whether few enough survive.
    pub(crate) fn write(&self, out: &Path, most: usize) -> Result<bool> {
        let mut files: BTreeMap<&str, BTreeMap<Verdict, usize>> = BTreeMap::new();
        let mut total: BTreeMap<Verdict, usize> = BTreeMap::new();
        for (number, verdict) in &self.verdicts {
            let file = self.mutants.get(number).map_or("", |(file, _)| file);
            *files.entry(file).or_default().entry(*verdict).or_default() += 1;
            *total.entry(*verdict).or_default() += 1;
        }
        let line = |name: &str, counts: &BTreeMap<Verdict, usize>| {
            let of = |verdict| counts.get(&verdict).copied().unwrap_or(0);
            let (caught, late, missed) = (of(Verdict::Caught), of(Verdict::TimedOut), of(Verdict::Survived));
            let viable = caught + late + missed;
            let rate = if viable == 0 { 0.0 } else { 100.0 * missed as f64 / viable as f64 };
            format!(
                "{missed:>5} {rate:>6.1} % {caught:>7} {late:>6} {:>9} {:>5}  {name}",
                of(Verdict::Unviable),
                of(Verdict::Left)
            )
        };
        let mut text = String::from("missed   rate  caught    late  unviable  left  file\n");
        for (file, counts) in &files {
            writeln!(text, "{}", line(file, counts))?;
        }
        writeln!(text, "{}", line("in all", &total))?;
        fs::write(out.join("report.txt"), &text).context("can't write report.txt")?;
        for (verdict, file) in [
            (Verdict::Survived, "survivors.txt"),
            (Verdict::Unviable, "unviable.txt"),
            (Verdict::Left, "left.txt"),
            (Verdict::TimedOut, "timeouts.txt"),
        ] {
            let mut names = self.named(verdict);
            names.sort_by_key(|name| place(name));
            let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
            fs::write(out.join(file), &lines).with_context(|| format!("can't write {file}"))?;
            if verdict == Verdict::Survived {
                print!("{lines}");
            }
        }
        print!("{text}");
        let count = |verdict| total.get(&verdict).copied().unwrap_or(0);
        let missed = count(Verdict::Survived);
        let tried = missed + count(Verdict::Caught) + count(Verdict::TimedOut);
        println!("mutants: {tried} tried, {missed} survived (below {most} % may)");
        Ok(missed * 100 < tried * most || missed == 0)
    }
}

/// File, line and column of a name, to sort by.
fn place(name: &str) -> (String, u32, u32) {
    let mut parts = name.splitn(4, ':');
    let file = parts.next().unwrap_or_default().to_owned();
    let mut number = || parts.next().and_then(|part| part.trim().parse().ok()).unwrap_or(0);
    (file, number(), number())
}
