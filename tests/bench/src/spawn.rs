//! Starts the programs of a run: in a folder, with variables, and never outliving the bench.

use engawa_stage::process::Running;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A program to be started.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where it runs; the run's folder where absent.
    pub folder: Option<PathBuf>,
    /// Variables, `NAME=value`.
    pub variables: Vec<OsString>,
}

impl Program {
    /// A program without variables, in the run's folder.
    pub fn new<I, S>(program: impl Into<PathBuf>, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, folder: None, variables: Vec::new() }
    }

    /// Starts it; its output goes to `<name>.log` in `folder`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(&self, name: &str, folder: &Path) -> anyhow::Result<Running> {
        // `setpriv` has the kernel kill the program when the bench ends, however it ends; it and `env` become the
        // program, so that the process id stays.
        let before = ["--pdeathsig", "KILL", "--", "env", "-C"].map(OsString::from);
        let mut arguments: Vec<OsString> = before.into();
        arguments.push(self.folder.as_deref().unwrap_or(folder).into());
        arguments.extend(self.variables.iter().cloned());
        arguments.push(self.program.clone().into());
        arguments.extend(self.arguments.iter().cloned());
        Running::start(name, "setpriv".into(), arguments, folder)
    }
}
