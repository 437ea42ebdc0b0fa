//! Recorded days: what happens in the house, a line each, without personal data, to try other rules on.
//!
//! Off unless `[rules] record = true`. The house hands lines over and never waits: what the disk is too slow for is a
//! counted gap in the file. A file begins with the house as it is, at the start and when the local day turns; at its
//! bound it ends, and a new one begins with the next day. The oldest files beyond the configured number are removed.

use engawa_model::{Observation, Property};
use engawa_rules::{Header, InForce, line, masked};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Lines that may wait for the disk.
const QUEUE: usize = 8192;
/// How long a line may wait in memory.
const FLUSH: Duration = Duration::from_secs(1);
/// The ending of a recorded day's name.
pub(crate) const ENDING: &str = "jsonl";

enum Message {
    /// A new day, and its first line.
    Begin(String, String),
    Line(String),
}

/// Where the house tells what happens.
pub(crate) struct Recording {
    lines: SyncSender<Message>,
    zone: TimeZone,
    day: Option<Date>,
    missed: u64,
    in_force: Option<InForce>,
}

impl Recording {
    /// Records into `dir`, `days` files at most of `most` bytes each.
    pub(crate) fn start(dir: PathBuf, zone: TimeZone, days: u32, most: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let (lines, messages) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write(&dir, usize::try_from(days).unwrap_or(usize::MAX), most, &messages))?;
        Ok(Self { lines, zone, day: None, missed: 0, in_force: None })
    }

    /// Each day keeps the rules that govern the house.
    pub(crate) fn under(self, in_force: InForce) -> Self {
        Self { in_force: Some(in_force), ..self }
    }

    /// Other rules govern the house from now on: a file of its own begins, so that each is told under its rules.
    pub(crate) fn now_under(&mut self, in_force: InForce) {
        if serde_json::to_value(&self.in_force).ok() != serde_json::to_value(Some(&in_force)).ok() {
            self.in_force = Some(in_force);
            self.day = None;
        }
    }

    /// `observation` is about to be taken by `property`.
    pub(crate) fn observed(&mut self, property: &Property, observation: &Observation) {
        let local = self.zone.to_datetime(observation.at);
        if self.day != Some(local.date()) {
            let header = Header::of(property, observation.at);
            let first = match &self.in_force {
                Some(in_force) => line(&header.under(in_force.clone())),
                None => line(&header),
            };
            let name = format!("{}.{ENDING}", local.strftime("%Y-%m-%d-%H%M%S"));
            match self.lines.try_send(Message::Begin(name, first)) {
                Ok(()) => (self.day, self.missed) = (Some(local.date()), 0),
                // It is begun with the next observation.
                Err(TrySendError::Full(_)) => return,
                Err(TrySendError::Disconnected(_)) => {
                    self.day = Some(local.date());
                    return;
                }
            }
        }
        let Some(told) = masked(observation, property) else { return };
        if self.missed > 0 {
            if self.lines.try_send(Message::Line(json!({ "gap": self.missed }).to_string())).is_err() {
                self.missed += 1;
                return;
            }
            self.missed = 0;
        }
        if self.lines.try_send(Message::Line(line(&told))).is_err() {
            self.missed += 1;
        }
    }
}

/// The file that is being written.
struct Open {
    file: BufWriter<File>,
    bytes: u64,
}

fn write(dir: &Path, days: usize, most: u64, messages: &Receiver<Message>) {
    let mut open: Option<Open> = None;
    loop {
        let message = match messages.recv_timeout(FLUSH) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                let flushed = open.as_mut().map(|open| open.file.flush());
                if let Some(Err(error)) = flushed {
                    tracing::warn!(%error, "the recorded day can't be written: it ends here");
                    open = None;
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let text = match message {
            Message::Begin(name, first) => {
                open = begin(dir, &name, days)
                    .inspect_err(
                        |error| tracing::warn!(%error, dir = %dir.display(), "no day can be recorded"),
                    )
                    .ok();
                first
            }
            Message::Line(line) => line,
        };
        let Some(day) = &mut open else { continue };
        let length = text.len() as u64 + 1;
        if day.bytes + length > most {
            tracing::warn!(most, "the recorded day is full: it ends here ([rules] record_mb)");
            open = None;
            continue;
        }
        day.bytes += length;
        if let Err(error) = day.file.write_all(text.as_bytes()).and_then(|()| day.file.write_all(b"\n")) {
            tracing::warn!(%error, "the recorded day can't be written: it ends here");
            open = None;
        }
    }
    if let Some(Err(error)) = open.map(|mut open| open.file.flush()) {
        tracing::warn!(%error, "the end of the recorded day is lost");
    }
}

fn begin(dir: &Path, name: &str, days: usize) -> std::io::Result<Open> {
    let mut kept = recorded(dir)?;
    // The new one is one of them.
    let extra = (kept.len() + 1).saturating_sub(days);
    for old in kept.drain(..extra.min(kept.len())) {
        std::fs::remove_file(&old)?;
    }
    let path = dir.join(name);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file: BufWriter::new(file), bytes })
}

/// The recorded days in `dir`, oldest first.
pub(crate) fn recorded(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
        .collect();
    files.sort();
    Ok(files)
}

/// When a recorded day began, as its name says.
pub(crate) fn begun(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{Currency, Fact, PropertySpec, RoomId, Timestamp};
    use engawa_rules::{Day, Strictness};

    fn house() -> Property {
        Property::new(PropertySpec {
            zone: "Asia/Tokyo".into(),
            currency: Currency::new("JPY").unwrap(),
            ..engawa_model::testing::house(["101"])
        })
    }

    fn gone(at: &str) -> Observation {
        let fact = Fact::GuestGone { room: RoomId::from("101"), stay: None, listed: false };
        Observation::new(at.parse::<Timestamp>().unwrap(), fact)
    }

    /// Waits until the writer has `count` files with `lines` lines in the last.
    fn wait(dir: &Path, count: usize, lines: usize) -> Vec<PathBuf> {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let files = recorded(dir).unwrap();
            let last = files.last().map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default();
            if files.len() == count && last.lines().count() == lines {
                return files;
            }
            assert!(std::time::Instant::now() < deadline, "{files:?}: {last}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_a_day_and_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut recording =
            Recording::start(dir.path().to_owned(), TimeZone::get("Asia/Tokyo").unwrap(), 2, 1 << 20)
                .unwrap();
        // 15:00 UTC is midnight in Tokyo.
        for at in
            ["2026-07-15T14:59:59Z", "2026-07-15T15:00:00Z", "2026-07-16T15:00:00Z", "2026-07-16T15:00:01Z"]
        {
            recording.observed(&house(), &gone(at));
        }
        let files = wait(dir.path(), 2, 3);
        assert_eq!(begun(&files[1]), "2026-07-17-000000");
        let day =
            Day::read(std::io::BufReader::new(File::open(&files[1]).unwrap()), Strictness::Strict).unwrap();
        assert_eq!((day.observations.len(), day.gaps), (2, 0));
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(files[1].metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn at_its_bound_a_day_ends() {
        let dir = tempfile::tempdir().unwrap();
        let header = line(&Header::of(&house(), Timestamp::UNIX_EPOCH)).len() as u64;
        let mut recording = Recording::start(dir.path().to_owned(), TimeZone::UTC, 7, header + 400).unwrap();
        for second in 10..60 {
            recording.observed(&house(), &gone(&format!("2026-07-15T10:00:{second}Z")));
        }
        drop(recording);
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let size = || recorded(dir.path()).unwrap().first().map_or(0, |path| path.metadata().unwrap().len());
        while size() <= header + 100 {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(size() <= header + 400);
        let file = File::open(&recorded(dir.path()).unwrap()[0]).unwrap();
        assert!(
            !Day::read(std::io::BufReader::new(file), Strictness::Strict).unwrap().observations.is_empty()
        );
    }
}
