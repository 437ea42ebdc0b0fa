//! The folder of lists: looked at every few seconds, read when something in it has changed.

use super::{Agenda, MOST_BYTES, Mistake, Reading};
use crate::hosted::Guests;
use crate::tcp::Clock;
use engawa_model::{
    Fact, Intent, LinkId, Observation, ObservationSink, PMS_LINK, PmsFact, SinkClosed, Timestamp,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often the folder is looked at.
const LOOK: SignedDuration = SignedDuration::from_secs(2);
/// Files in the folder, at most.
const MOST_FILES: usize = 2_000;

/// Watches a folder of lists.
pub struct Watcher<C> {
    /// The folder.
    pub folder: PathBuf,
    /// How its files are read.
    pub reading: Reading,
    /// Who was in the house.
    pub guests: Guests,
    /// Where facts go.
    pub sink: Arc<dyn ObservationSink>,
    /// What the house wants of a PMS.
    pub intents: mpsc::Receiver<Intent>,
    /// The clock.
    pub clock: C,
}

/// Name, length and time of each list.
type Looks = BTreeMap<PathBuf, (u64, SystemTime)>;

/// The lists of `folder`: name and text. Blocks on the disk.
///
/// # Errors
/// A file or the folder that can't be read, as a mistake at its first place.
pub fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, Mistake> {
    let looks = look(folder)?;
    looks.into_keys().map(|path| read_file(&path)).collect()
}

/// One list: name and text. Blocks on the disk.
///
/// # Errors
/// A file that can't be read.
pub fn read_file(path: &Path) -> Result<(String, String), Mistake> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let wrong = |line: u64, what: String| Mistake { file: name.clone(), line, column: 1, what };
    // A pipe would be waited for, and nothing else would be seen meanwhile.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Err(wrong(1, "this is no file: remove it from the lists".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(wrong(1, format!("the file can't be read: {error}")));
    }
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong(1, format!("the file has more than {MOST_BYTES} bytes: is it a list of stays?")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = sound.iter().filter(|b| **b == b'\n').count() as u64 + 1;
            Err(wrong(line, "the file is not UTF-8: save it as UTF-8".to_owned()))
        }
    }
}

fn look(folder: &Path) -> Result<Looks, Mistake> {
    let wrong = |what: String| Mistake { file: folder.display().to_string(), line: 1, column: 1, what };
    let entries =
        std::fs::read_dir(folder).map_err(|error| wrong(format!("the folder can't be read: {error}")))?;
    let mut looks = Looks::new();
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let kind = path.extension().map(|kind| kind.to_ascii_lowercase());
        let listed = kind.is_some_and(|kind| kind == "csv" || kind == "ics");
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !listed || hidden {
            continue;
        }
        let Ok(about) = entry.metadata() else { continue };
        looks.insert(path, (about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        if looks.len() > MOST_FILES {
            return Err(wrong(format!("there are more than {MOST_FILES} lists in the folder")));
        }
    }
    if looks.is_empty() {
        return Err(wrong(
            "there is no list: expected a .csv or .ics file; see `engawa pms import`".to_owned(),
        ));
    }
    Ok(looks)
}

impl<C: Clock> Watcher<C> {
    /// Watches until `cancel`.
    ///
    /// # Errors
    /// The house has stopped taking observations.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), SinkClosed> {
        let mut agenda = Agenda::new(std::mem::take(&mut self.guests));
        let mut known: Option<Looks> = None;
        let mut said: Option<String> = None;
        let mut sound = false;
        let mut next_look = self.clock.now();
        loop {
            let now = self.clock.now();
            if next_look <= now {
                next_look = later(now, LOOK);
                let seen = self.seen(known.as_ref()).await;
                match seen {
                    Ok(None) => {}
                    Ok(Some((looks, stays))) => {
                        tracing::info!(stays = stays.len(), "the lists of stays were read");
                        known = Some(looks);
                        agenda.replace(stays);
                        let mut facts = agenda.list(now);
                        facts.push(link(true, "alive: lists of stays"));
                        (sound, said) = (true, None);
                        self.report(facts).await?;
                    }
                    Err((looks, why)) => {
                        known = looks.or(known);
                        if said.as_ref() != Some(&why) {
                            tracing::warn!(%why, "the lists of stays can't be used; the house stays as it is");
                            self.report(vec![link(false, &why)]).await?;
                            said = Some(why);
                        }
                    }
                }
            }
            let change = agenda.next_change(self.clock.now()).filter(|_| sound);
            let wake = [Some(next_look), change].into_iter().flatten().min();
            tokio::select! {
                () = cancel.cancelled() => return self.report(vec![link(false, "the gateway stops")]).await,
                intent = self.intents.recv() => match intent {
                    Some(intent) => {
                        let facts = answer(&intent, &mut agenda, self.clock.now(), sound);
                        self.report(facts).await?;
                    }
                    None => return Ok(()),
                },
                () = self.clock.sleep_until(wake.unwrap_or(Timestamp::MAX)) => {
                    if sound {
                        let facts = agenda.pass(self.clock.now());
                        self.report(facts).await?;
                    }
                }
            }
        }
    }

    /// What the folder says, where it has changed.
    async fn seen(
        &self,
        known: Option<&Looks>,
    ) -> Result<Option<(Looks, Vec<super::Listed>)>, (Option<Looks>, String)> {
        let (folder, reading, known) = (self.folder.clone(), self.reading.clone(), known.cloned());
        let work = move || {
            let looks = look(&folder).map_err(|mistake| (None, mistake.to_string()))?;
            if known.as_ref() == Some(&looks) {
                return Ok(None);
            }
            let files: Result<Vec<_>, _> = looks.keys().map(|path| read_file(path)).collect();
            let files = files.map_err(|mistake| (Some(looks.clone()), mistake.to_string()))?;
            let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
            match reading.read(texts) {
                Ok(stays) => Ok(Some((looks, stays))),
                Err(mistakes) => {
                    let more = mistakes.len().saturating_sub(1);
                    let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
                    let why = if more == 0 { first } else { format!("{first} (and {more} more)") };
                    Err((Some(looks), why))
                }
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(seen) => seen,
            Err(error) => Err((None, format!("reading the lists failed: {error}"))),
        }
    }

    async fn report(&self, facts: Vec<Fact>) -> Result<(), SinkClosed> {
        if facts.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.sink.report_all(facts.into_iter().map(|fact| Observation::new(now, fact)).collect()).await
    }
}

/// A list takes nothing back: what a PMS would be asked for is answered as what can't be done.
fn answer(intent: &Intent, agenda: &mut Agenda, now: Timestamp, sound: bool) -> Vec<Fact> {
    match intent {
        Intent::SendPosting { number, .. } => vec![Fact::PostingAnswered {
            number: *number,
            status: "NF".to_owned(),
            text: Some("the house has lists of stays and no PMS that could be charged".to_owned()),
        }],
        Intent::SendRoomStatus { key, .. } => vec![Fact::StatusRefused {
            key: key.clone(),
            reason: "the house has lists of stays and no PMS that could be told".to_owned(),
        }],
        Intent::AskPms { key, .. } => vec![Fact::Pms {
            said: PmsFact::NotSent {
                key: key.clone(),
                reason: "the house has lists of stays and no PMS that could be asked".to_owned(),
            },
        }],
        // Nobody is to be told.
        Intent::TellWakeUp { id, word, .. } => vec![Fact::WakeUpTold { id: *id, word: *word }],
        Intent::RequestResync if sound => {
            let mut facts = vec![Fact::ResyncAsked];
            facts.extend(agenda.list(now));
            facts
        }
        _ => Vec::new(),
    }
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

fn link(up: bool, detail: &str) -> Fact {
    Fact::Link { link: LinkId::from(PMS_LINK), up, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
