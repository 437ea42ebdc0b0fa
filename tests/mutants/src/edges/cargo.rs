//! Runs cargo on the copy and reads what it says.

use anyhow::{Context as _, Result};
use engawa_mutants::blame::{Line, Message};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The cargo that runs this, or the one on the path.
pub(crate) fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What a build came to.
pub(crate) struct Outcome {
    pub(crate) succeeded: bool,
    pub(crate) errors: Vec<Message>,
    /// Package folder, target's name, program.
    pub(crate) programs: Vec<(PathBuf, String, PathBuf)>,
    pub(crate) said: String,
}

/// Runs `cargo ARGS` in `tree` with the target folder of the workspace: what is not the workspace's own is the same code
/// and stays compiled; what is, differs by its profile and so has names of its own.
pub(crate) fn run(tree: &Path, target: &Path, args: &[&str]) -> Result<Outcome> {
    let mut command = Command::new(program());
    command
        .current_dir(tree)
        .args(args)
        .args(["--message-format=json", "--quiet", "--target-dir"])
        .arg(target);
    for package in ["model", "pms", "rules", "days", "e2e", "protocol", "sync"] {
        for setting in ["opt-level=1", "debug=0"] {
            command.arg("--config").arg(format!("profile.dev.package.engawa-{package}.{setting}"));
        }
    }
    let done = command.stdin(Stdio::null()).output().context("can't run cargo")?;
    let mut outcome = Outcome {
        succeeded: done.status.success(),
        errors: Vec::new(),
        programs: Vec::new(),
        said: String::from_utf8_lossy(&done.stderr).into_owned(),
    };
    for line in String::from_utf8_lossy(&done.stdout).lines().filter(|line| line.starts_with('{')) {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("cargo says what is not understood: {line}"))?;
        if let Some(message) = line.message.filter(|message| message.level.starts_with("error")) {
            outcome.errors.push(message);
        }
        if let (Some(program), Some(target), Some(manifest)) =
            (line.executable, line.target, line.manifest_path)
        {
            let folder = Path::new(&manifest).parent().unwrap_or(tree).to_owned();
            outcome.programs.push((folder, target.name, program.into()));
        }
    }
    Ok(outcome)
}
