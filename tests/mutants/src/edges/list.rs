//! What cargo-mutants would try.

use super::set::Set;
use anyhow::{Context as _, Result, ensure};
use engawa_mutants::mutant::{self, Mutant};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// All mutants of the packages (in files that match, where globs are given), numbered from 1.
pub(crate) fn list(root: &Path, set: &Set, globs: &[String]) -> Result<Vec<Mutant>> {
    let mut all = Vec::new();
    for package in set.packages {
        let mut command = Command::new(super::cargo::program());
        command.current_dir(root).args(["mutants", "--list", "--json", "--package", package]);
        for glob in globs {
            command.arg("--file").arg(glob);
        }
        let done =
            command.output().context("can't run cargo mutants: `cargo install cargo-mutants --locked`")?;
        let why = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "cargo mutants --list fails: {why}");
        let first = u32::try_from(all.len() + 1).context("more mutants than numbers")?;
        let json = String::from_utf8(done.stdout).context("the list of mutants is not UTF-8")?;
        all.extend(
            mutant::read(&json, first).context("the list of mutants is not as cargo-mutants 27 writes it")?,
        );
    }
    Ok(all)
}

pub(crate) fn names(all: &[Mutant]) -> BTreeSet<String> {
    all.iter().map(|mutant| mutant.name.clone()).collect()
}
