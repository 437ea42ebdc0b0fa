//! The copy of the workspace in which all mutants stand behind the switch.

use super::cargo;
use super::report::Verdict;
use super::set::Set;
use anyhow::{Context as _, Result, bail, ensure};
use engawa_mutants::blame::{Blame, blame};
use engawa_mutants::mutant::Mutant;
use engawa_mutants::rewrite::{Region, rewrite};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More rounds than this would be a fault of ours: each drops at least one mutant, and the compiler names many at once.
const ROUNDS: usize = 40;

const SWITCH: &str = include_str!("switch.in");

pub(crate) struct Tree {
    root: PathBuf,
    tree: PathBuf,
    set: &'static Set,
}

/// What came of compiling.
pub(crate) struct Built {
    /// Of mutants that are not in the programs.
    pub(crate) verdicts: BTreeMap<u32, Verdict>,
    /// Package folder, name, program; the cheap ones first.
    pub(crate) programs: Vec<(PathBuf, String, PathBuf)>,
}

/// Writes only what differs, so that cargo does not compile again what is the same.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("can't write {}", path.display()))
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { files(&entry.path(), all)? } else { all.push(entry.path()) }
    }
    Ok(())
}

impl Tree {
    /// Copies what git knows or would know, as it lies there; files with mutants are written when they are switched.
    pub(crate) fn copy(root: &Path, out: &Path, set: &'static Set) -> Result<Self> {
        let tree = out.join("tree");
        let git = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Command::new("git").current_dir(root).args(git).output().context("can't run git")?;
        ensure!(listed.status.success(), "git ls-files fails: {}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
        let mut keep = BTreeSet::new();
        for name in listed.split('\0').filter(|name| !name.is_empty() && root.join(name).is_file()) {
            let to = tree.join(name);
            keep.insert(to.clone());
            let source = name.ends_with(".rs") && name.split('/').any(|part| part == "src");
            // Those may hold mutants: see `build`.
            if source && set.folders.iter().any(|folder| name.starts_with(folder)) {
                continue;
            }
            let mut bytes = fs::read(root.join(name)).with_context(|| format!("can't read {name}"))?;
            if name.ends_with("Cargo.toml")
                && (name.starts_with("edge-agent/") || name.starts_with("cloud-sync/"))
            {
                // The copy is not judged by lints.
                let text = String::from_utf8_lossy(&bytes)
                    .replace("[lints]\nworkspace = true\n", "[lints.rust]\nwarnings = \"allow\"\n");
                bytes = text.into_bytes();
            }
            write(&to, &bytes)?;
        }
        // What is gone from the workspace, and what a failed test left beside its source.
        let mut there = Vec::new();
        if tree.exists() {
            files(&tree, &mut there)?;
        }
        for path in there.iter().filter(|path| !keep.contains(*path)) {
            fs::remove_file(path).with_context(|| format!("can't remove {}", path.display()))?;
        }
        Ok(Self { root: root.to_owned(), tree, set })
    }

    /// Switches the sources and compiles until only what compiles is left.
    pub(crate) fn build(&self, all: &[Mutant]) -> Result<Built> {
        let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
        let (mut keep_const, mut regions) = (BTreeSet::new(), BTreeMap::new());
        let remembered = self.remembered(all, &mut verdicts, &mut keep_const)?;
        let target = self.root.join("target");
        let mut check: Vec<&str> = vec!["check", "--locked", "--lib"];
        check.extend(self.set.packages.iter().flat_map(|package| ["-p", package]));
        let mut tests = vec!["test", "--locked", "--no-run", "--lib"];
        for package in self.set.packages.iter().chain(self.set.beside) {
            tests.extend(["-p", package]);
        }
        let names = self.tests()?;
        tests.extend(names.iter().flat_map(|name| ["--test", name]));
        let mut checked = false;
        for round in 1..=ROUNDS {
            self.switch(all, &keep_const, &mut verdicts, &mut regions)?;
            let outcome = cargo::run(&self.tree, &target, if checked { &tests } else { &check })?;
            eprintln!(
                "mutants: {} round {round}: {} errors, {} of {} set aside",
                if checked { "build" } else { "check" },
                outcome.errors.len(),
                verdicts.len(),
                all.len()
            );
            if outcome.succeeded {
                if checked {
                    self.remember(all, &verdicts, &keep_const, remembered)?;
                    return Ok(Built { verdicts, programs: outcome.programs });
                }
                checked = true;
                continue;
            }
            let before = (verdicts.len(), keep_const.len());
            let mut others = Vec::new();
            for error in &outcome.errors {
                match blame(error, &regions) {
                    Blame::Mutants(numbers) => {
                        for number in numbers {
                            verdicts.entry(number).or_insert(Verdict::Unviable);
                        }
                    }
                    Blame::Switch(numbers) => {
                        for number in numbers {
                            verdicts.entry(number).or_insert(Verdict::Left);
                        }
                    }
                    Blame::KeepConst(name) => drop(keep_const.insert(name)),
                    Blame::Other => others.extend(error.rendered.clone()),
                }
            }
            if before == (verdicts.len(), keep_const.len()) {
                bail!("the copy with its switches does not compile:\n{}{}", others.join("\n"), outcome.said);
            }
        }
        bail!("after {ROUNDS} rounds the copy with its switches still does not compile")
    }

    /// The names of the tests of both crates, and of those beside them that go through the house.
    fn tests(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.set.further.iter().map(|name| (*name).to_owned()).collect();
        for folder in self.set.tests {
            for entry in fs::read_dir(self.tree.join(folder)).with_context(|| folder.to_owned())? {
                let path = entry?.path();
                if path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists() {
                    names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
                }
            }
        }
        Ok(names)
    }

    fn switch(
        &self,
        all: &[Mutant],
        keep_const: &BTreeSet<String>,
        verdicts: &mut BTreeMap<u32, Verdict>,
        regions: &mut BTreeMap<String, Vec<Region>>,
    ) -> Result<()> {
        let mut of_file: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
        for mutant in all.iter().filter(|mutant| !verdicts.contains_key(&mutant.number)) {
            of_file.entry(&mutant.file).or_default().push(mutant);
        }
        for folder in self.set.folders {
            let mut sources = Vec::new();
            files(&self.root.join(folder), &mut sources)?;
            for path in sources {
                let name = path.strip_prefix(&self.root)?.to_string_lossy().into_owned();
                let Ok(source) = fs::read_to_string(&path) else {
                    continue;
                };
                let mut text = source;
                if let Some(mutants) = of_file.get(name.as_str()) {
                    let new = rewrite(&text, mutants, keep_const).with_context(|| name.clone())?;
                    verdicts.extend(new.aside.iter().map(|number| (*number, Verdict::Left)));
                    verdicts.extend(new.unviable.iter().map(|number| (*number, Verdict::Unviable)));
                    text = new.text;
                    regions.insert(name.clone(), new.regions);
                }
                if name.ends_with("src/lib.rs") {
                    // Behind the rest, so that the regions stay where they are; one line of theirs is no shift either.
                    text = format!("{text}{}", SWITCH.replace("@COUNT@", &(all.len() + 1).to_string()));
                }
                write(&self.tree.join(&name), text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// What sources, and which mutants, the verdicts of last time are of.
    fn state(&self, all: &[Mutant]) -> Result<String> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        let sources: BTreeSet<&str> = all.iter().map(|mutant| mutant.file.as_str()).collect();
        for source in sources {
            let text = fs::read_to_string(self.root.join(source)).with_context(|| source.to_owned())?;
            (source, text).hash(&mut hasher);
        }
        all.iter().for_each(|mutant| (&mutant.name, mutant.number).hash(&mut hasher));
        Ok(format!("{:016x}", hasher.finish()))
    }

    /// Takes over what last time found not to compile, where nothing has changed since.
    fn remembered(
        &self,
        all: &[Mutant],
        verdicts: &mut BTreeMap<u32, Verdict>,
        keep_const: &mut BTreeSet<String>,
    ) -> Result<String> {
        let state = self.state(all)?;
        let Ok(text) = fs::read_to_string(self.tree.with_file_name("compiled.txt")) else { return Ok(state) };
        let mut lines = text.lines();
        if lines.next() == Some(state.as_str()) {
            for line in lines {
                match line.split_once(' ') {
                    Some(("const", name)) => drop(keep_const.insert(name.to_owned())),
                    Some(("left", number)) => drop(verdicts.insert(number.parse()?, Verdict::Left)),
                    Some(("unviable", number)) => drop(verdicts.insert(number.parse()?, Verdict::Unviable)),
                    _ => bail!("target/mutants/compiled.txt is not ours: remove it"),
                }
            }
        }
        Ok(state)
    }

    fn remember(
        &self,
        all: &[Mutant],
        verdicts: &BTreeMap<u32, Verdict>,
        keep_const: &BTreeSet<String>,
        state: String,
    ) -> Result<()> {
        debug_assert!(all.len() >= verdicts.len());
        let mut text = state;
        for name in keep_const {
            text.push_str(&format!("\nconst {name}"));
        }
        for (number, verdict) in verdicts {
            let word = if *verdict == Verdict::Left { "left" } else { "unviable" };
            text.push_str(&format!("\n{word} {number}"));
        }
        write(&self.tree.with_file_name("compiled.txt"), text.as_bytes())
    }
}
