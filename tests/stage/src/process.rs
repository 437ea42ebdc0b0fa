//! Child processes of the stage: started with their output in a file, killed, started again.

use crate::wait;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a process may take to end when it is asked to.
const GOODBYE: Duration = Duration::from_secs(15);

/// The program `name`, built beside the running one: in the same target folder, or one above (a test's).
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("finding the running program")?;
    let folders = here.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("`{name}` is not beside {}: run `cargo build --workspace --bins` first", here.display())
    })
}

/// Runs a program to its end.
///
/// # Errors
/// It can't be run, or fails; with what it said.
pub fn run<I, S>(program: &Path, arguments: I) -> anyhow::Result<String>
where
    I: IntoIterator<Item = S>,
    S: Into<OsString>,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let output = Command::new(program)
        .args(&arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "{} {:?} ended with {}: {}{}",
            program.display(),
            arguments,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A process that runs until it is stopped; killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    environment: Vec<(OsString, OsString)>,
    child: Child,
}

impl Running {
    /// Starts `program`; its output goes to `<name>.log` in `folder`, after what is there.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(
        name: &str,
        program: PathBuf,
        arguments: Vec<OsString>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let child = spawn(&program, &arguments, &log, &[])?;
        Ok(Self { name: name.to_owned(), program, arguments, log, environment: Vec::new(), child })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    ///
    /// # Errors
    /// Its log can't be read.
    pub fn output(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }

    /// How it ended, where it has.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking after {}", self.name))
    }

    /// Fails with the end of its log if it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.ended()? {
            let log = self.output().unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            bail!("{} has ended by itself with {status}; the end of its log:\n{last}", self.name);
        }
        Ok(())
    }

    /// Kills it at once, without a warning (SIGKILL).
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))?;
        self.child.wait().map(drop).with_context(|| format!("waiting for {}", self.name))
    }

    /// What its environment has besides, from the next start on.
    pub fn with_environment(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Sends it a signal, such as `STOP`.
    ///
    /// # Errors
    /// The system's.
    pub fn signal(&self, signal: &str) -> anyhow::Result<()> {
        run(Path::new("kill"), [format!("-{signal}"), self.id().to_string()]).map(drop)
    }

    /// Starts it again as it was started first.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, &self.arguments, &self.log, &self.environment)?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        run(Path::new("kill"), ["-TERM".to_owned(), self.id().to_string()])?;
        let child = &mut self.child;
        wait::until(&format!("{} to end", self.name), GOODBYE, || Ok(child.try_wait()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; nothing is left to be done about it then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    program: &Path,
    arguments: &[OsString],
    log: &Path,
    environment: &[(OsString, OsString)],
) -> anyhow::Result<Child> {
    let open = || -> std::io::Result<File> { OpenOptions::new().create(true).append(true).open(log) };
    let (out, error) = (open()?, open()?);
    Command::new(program)
        .args(arguments)
        // As in deploy/systemd/engawa.service: what is measured here is what a hotel runs.
        .env("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(error)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}
