//! The same with cargo-mutants itself: a build for each, so only for few.

use super::cargo;
use super::report::Verdict;
use super::set::Set;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Tries the mutants of these names.
pub(crate) fn try_named(
    root: &Path,
    set: &Set,
    out: &Path,
    names: &[String],
    days: u32,
) -> Result<Vec<(String, Verdict)>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    fs::create_dir_all(out).with_context(|| format!("can't make {}", out.display()))?;
    let mut command = Command::new(cargo::program());
    command.current_dir(root).args([
        "mutants",
        "--no-shuffle",
        "--jobs",
        "1",
        "--timeout",
        "120",
        "--colors",
        "never",
    ]);
    for package in set.packages {
        command.args(["--package", package, "--test-package", package]);
    }
    for package in set.beside.iter().filter(|package| **package != "engawa-e2e") {
        command.args(["--test-package", package]);
    }
    command.arg("--output").arg(out);
    // Compiled dependencies are taken from the workspace's own folder; the profile keeps what is mutated apart there.
    command.arg(format!("--cargo-arg=--target-dir={}", root.join("target").display()));
    for package in set.packages {
        command.arg(format!("--cargo-arg=--config=profile.dev.package.{package}.debug=0"));
    }
    command.env("DAYS", days.to_string());
    for name in names {
        // The file, too: cargo-mutants 27 takes the fields of struct expressions whatever `--re` says.
        let file = name.split(':').next().unwrap_or_default();
        command.arg("--file").arg(file).arg("--re").arg(format!("^{}$", escaped(name)));
    }
    eprintln!("mutants: {} with cargo-mutants, half a minute each", names.len());
    let status = command.status().context("can't run cargo mutants")?;
    // 2: some survived; 3: some timed out.
    ensure!(matches!(status.code(), Some(0 | 2 | 3)), "cargo mutants fails: {status}");
    let mut all = Vec::new();
    for (verdict, file) in [
        (Verdict::Caught, "caught.txt"),
        (Verdict::TimedOut, "timeout.txt"),
        (Verdict::Survived, "missed.txt"),
        (Verdict::Unviable, "unviable.txt"),
    ] {
        let path = out.join("mutants.out").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        let asked = text.lines().filter(|line| names.iter().any(|name| name == line));
        all.extend(asked.map(|name| (name.to_owned(), verdict)));
    }
    Ok(all)
}

/// A name as a regular expression that only it matches.
fn escaped(name: &str) -> String {
    let mut all = String::with_capacity(name.len() * 2);
    for letter in name.chars() {
        if letter.is_ascii_punctuation()
            && !matches!(letter, '_' | '"' | '\'' | '/' | ':' | '<' | '>' | ',' | '=' | '%')
        {
            all.push('\\');
        }
        all.push(letter);
    }
    all
}
