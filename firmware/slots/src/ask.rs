//! The agent's end of the supervisor's socket. Blocking: call it off the threads that others wait for.

use crate::request::{LINE_MOST, Request, is_later, parse_answer, parse_outcome};
use crate::table::{Outcome, Slot};
use crate::{Digest, SOCKET_VARIABLE};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An answer that only needs a look, or a write of the table.
const SOON: Duration = Duration::from_secs(10);
/// A whole release is read and forced to the disk before `try` is answered.
const LONG: Duration = Duration::from_secs(300);

/// Why the supervisor did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It can't be reached.
    #[error("the supervisor can't be asked at {path}: {fault}")]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// What the system says.
        fault: std::io::Error,
    },
    /// It has refused, and says why.
    #[error("the supervisor refuses: {0}")]
    Refused(String),
    /// It can't do it now, for a reason that passes: the same may be asked again.
    #[error("the supervisor can't do it yet: {0}")]
    Later(String),
    /// Its answer is not understood.
    #[error("the supervisor's answer {0:?} is not understood: it is of another release")]
    Strange(String),
}

/// What the supervisor says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is at: `checking`, `running`, `stopping`, `resting`, `stuck`.
    pub state: String,
    /// The slot that is started.
    pub slot: Slot,
    /// The confirmed one.
    pub active: Slot,
    /// The version that is started.
    pub version: String,
    /// Its release counter.
    pub number: u64,
    /// The SHA-256 of its manifest.
    pub manifest: Digest,
    /// Nothing with a lower number is started.
    pub floor: u64,
    /// The trial that is under way.
    pub trial: Option<TrialStatus>,
}

/// A trial that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialStatus {
    /// The rollout that brought it.
    pub rollout: String,
    /// How often it was started.
    pub tries: u8,
    /// In how many seconds it is over.
    pub left: u64,
}

/// The supervisor that started this process.
#[derive(Clone, Debug)]
pub struct Supervisor {
    path: PathBuf,
}

impl Supervisor {
    /// The one that the environment names; `None`: nobody supervises this process.
    pub fn from_env() -> Option<Self> {
        std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).map(Self::at)
    }

    /// The one at this socket.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What runs.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn status(&self) -> Result<Status, AskError> {
        let text = self.ask(&Request::Status)?;
        parse_status(&text).ok_or(AskError::Strange(text))
    }

    /// The spare slot is about to be written: from now on nothing in it is started. Which slot that is.
    ///
    /// # Errors
    /// [`AskError`]; not while a trial runs, nor while the slot is read for another reason.
    pub fn begin(&self) -> Result<Slot, AskError> {
        let text = self.ask(&Request::Begin)?;
        Slot::named(&text).ok_or(AskError::Strange(text))
    }

    /// The spare slot is complete: it is checked, then this process is stopped and the new version started on trial.
    ///
    /// # Errors
    /// [`AskError`]; refused where the slot is not what the manifest says, below the floor, or was found bad in this rollout.
    pub fn try_release(
        &self,
        manifest: Digest,
        number: u64,
        version: &str,
        rollout: &str,
    ) -> Result<(), AskError> {
        let (version, rollout) = (version.to_owned(), rollout.to_owned());
        self.ask(&Request::Try { manifest, number, version, rollout }).map(drop)
    }

    /// This process, which is on trial, is well: it stays.
    ///
    /// # Errors
    /// [`AskError`]; refused where this process is not on trial.
    pub fn healthy(&self) -> Result<(), AskError> {
        self.ask(&Request::Healthy).map(drop)
    }

    /// This process, which is on trial, is not well: it is stopped, and the old version started.
    ///
    /// # Errors
    /// [`AskError`]; refused where this process is not on trial.
    pub fn unwell(&self, reason: &str) -> Result<(), AskError> {
        self.ask(&Request::Unwell(reason.to_owned())).map(drop)
    }

    /// How the last trial ended, if that was not seen yet.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn outcome(&self) -> Result<Option<Outcome>, AskError> {
        let text = self.ask(&Request::Outcome)?;
        parse_outcome(&text).ok_or(AskError::Strange(text))
    }

    /// It was seen, and reported durably.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn outcome_seen(&self) -> Result<(), AskError> {
        self.ask(&Request::OutcomeSeen).map(drop)
    }

    /// A version that was found bad shall get another chance in the same rollout.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn forget(&self, manifest: Digest) -> Result<(), AskError> {
        self.ask(&Request::Forget(manifest)).map(drop)
    }

    /// Asks, and waits for the answer: 10 seconds, five minutes for `try`.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn ask(&self, request: &Request) -> Result<String, AskError> {
        let patience = if matches!(request, Request::Try { .. }) { LONG } else { SOON };
        let line = self.exchange(&request.to_string(), patience);
        let line = line.map_err(|fault| AskError::Unreachable { path: self.path.clone(), fault })?;
        match parse_answer(&line) {
            Some(Ok(text)) => Ok(text),
            Some(Err(why)) => Err(match is_later(&why) {
                Some(why) => AskError::Later(why.to_owned()),
                None => AskError::Refused(why),
            }),
            None => Err(AskError::Strange(line)),
        }
    }

    fn exchange(&self, request: &str, patience: Duration) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_write_timeout(Some(SOON))?;
        stream.set_read_timeout(Some(patience))?;
        let sent = stream.write_all(format!("{}\n", request.replace(['\n', '\r'], " ")).as_bytes());
        let mut line = String::new();
        BufReader::new(stream.take(LINE_MOST as u64)).read_line(&mut line)?;
        // Who is turned away is answered before it has asked.
        if line.is_empty() {
            sent?;
            return Err(std::io::Error::other("it has hung up without an answer"));
        }
        Ok(line.trim_end_matches('\n').to_owned())
    }
}

/// Reads the answer to `status`: `key=value`, one blank between them.
fn parse_status(text: &str) -> Option<Status> {
    let value = |wanted: &str| {
        text.split(' ').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == wanted)
    };
    let value = |wanted: &str| value(wanted).map(|(_, value)| value);
    let trial = match value("trial")? {
        "" => None,
        rollout => Some(TrialStatus {
            rollout: rollout.to_owned(),
            tries: value("tries")?.parse().ok()?,
            left: value("left")?.parse().ok()?,
        }),
    };
    Some(Status {
        state: value("state")?.to_owned(),
        slot: Slot::named(value("slot")?)?,
        active: Slot::named(value("active")?)?,
        version: value("version")?.to_owned(),
        number: value("number")?.parse().ok()?,
        manifest: value("manifest")?.parse().ok()?,
        floor: value("floor")?.parse().ok()?,
        trial,
    })
}
