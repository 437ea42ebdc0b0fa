//! The log of what was played: `played.jsonl`, one JSON object a line, each flushed before the play goes on.
//!
//! `t` is in microseconds since the Unix epoch and never runs backwards within the file.

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Something that was played.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Happened {
    /// The PMS link is alive.
    LinkAlive,
    /// It is not any more.
    LinkLost,
    /// A list of the house was sent.
    Resync { listed: usize },
    /// A guest arrived; the record is about to be sent.
    CheckedIn { stay: String, room: String, name: String, first_name: String },
    /// A guest got another room.
    Moved { stay: String, from: String, to: String },
    /// A guest left.
    CheckedOut { stay: String, room: String },
    /// Night audit began or is over.
    NightAudit { phase: &'static str },
    /// The gateway told a room's status (RE with RS).
    RoomStatus { room: String, status: String },
    /// A till has published a charge for the first time.
    Charged { key: String, room: String, stay: String, minor: i64, currency: String },
    /// The broker has acknowledged it.
    ChargeAcknowledged { key: String },
    /// The PMS has booked a posting.
    Booked { number: u32, room: String, stay: String, minor: i64, currency: String, text: String },
    /// The PMS has refused one for good.
    Refused { number: u32, status: &'static str },
    /// A Modbus write has changed a set point.
    SetpointWritten { room: String, celsius: f64, was: f64 },
    /// A guest has turned the knob on the wall.
    Wall { room: String, celsius: f64 },
    /// A window was opened or closed.
    Window { room: String, open: bool },
    /// The day is over: every event is out, every charge acknowledged. `unsettled` are the charges that the gateway
    /// has not brought to the PMS, as it must where it does not know whether it had before.
    DayDone { unsettled: Vec<String> },
}

#[derive(Serialize)]
struct Line<'a> {
    t: i64,
    #[serde(flatten)]
    happened: &'a Happened,
}

/// The log.
pub(crate) struct Played {
    state: Mutex<(File, i64, Option<std::io::Error>)>,
    /// Cancelled when a line can't be written: without its log the play proves nothing.
    broken: CancellationToken,
}

impl Played {
    /// Begins the log in `dir`; one that is there is replaced. `broken` is cancelled when it can't be written.
    pub(crate) fn create(dir: &Path, broken: CancellationToken) -> anyhow::Result<Self> {
        let path = dir.join("played.jsonl");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { state: Mutex::new((file, 0, None)), broken })
    }

    /// Writes one line.
    pub(crate) fn enter(&self, happened: &Happened) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, last, failed) = &mut *state;
        *last = Timestamp::now().as_microsecond().max(*last);
        let line = Line { t: *last, happened };
        let written = serde_json::to_vec(&line).map_err(std::io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            // One write for the whole line: a reader sees lines, and a kill leaves whole ones.
            file.write_all(&bytes)
        });
        if let Err(error) = written {
            failed.get_or_insert(error);
            self.broken.cancel();
        }
    }

    /// Why a line could not be written.
    pub(crate) fn failure(&self) -> Option<std::io::Error> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).2.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_flat_json() {
        let dir = tempfile::tempdir().unwrap();
        let log = Played::create(dir.path(), CancellationToken::new()).unwrap();
        log.enter(&Happened::CheckedIn {
            stay: "1".into(),
            room: "101".into(),
            name: "Sato".into(),
            first_name: "Ken".into(),
        });
        log.enter(&Happened::LinkAlive);
        let text = std::fs::read_to_string(dir.path().join("played.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["event"], &lines[0]["room"]), (&"checked_in".into(), &"101".into()));
        assert!(
            lines[0]["t"].as_i64().unwrap() > 1_700_000_000_000_000
                && lines[0]["t"].as_i64() <= lines[1]["t"].as_i64()
        );
    }

    #[test]
    fn a_log_that_can_not_be_written_ends_the_play() {
        let broken = CancellationToken::new();
        let file = File::open("/dev/null").unwrap();
        let log = Played { state: Mutex::new((file, 0, None)), broken: broken.clone() };
        log.enter(&Happened::LinkAlive);
        assert!(broken.is_cancelled() && log.failure().is_some());
    }
}
