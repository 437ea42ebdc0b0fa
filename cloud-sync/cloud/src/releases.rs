//! The repository of releases, read for the gateways: a plain folder, whose files are signed elsewhere.
//!
//! What a gateway asks for is a name that it made up: it is checked against the layout of a repository, and opened beneath the
//! folder. The folder is opened for each piece, so that it may come, go or be exchanged while the cloud serves. Bounds: bytes a
//! second for all gateways together (who asks waits), reads at once ([`READS`]); one piece a gateway is the protocol's.

mod clock;
mod pace;

use clock::Bounds;
use engawa_protocol::ports::StoreFault;
use engawa_protocol::update::{FetchAsk, FetchPiece};
use engawa_release::SourceFault;
use engawa_update::FolderSource;
use pace::Pace;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Pieces that are read from the disk at once; further ones wait.
const READS: usize = 16;
/// The file that every repository has. One without it is just being copied, or is not mounted: no answer to a gateway.
const TIMESTAMP: &str = "metadata/timestamp.json";
/// The most that one piece waits for its turn: who owes more is told to ask again.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// How often what bounds this machine's clock is read anew.
const BOUNDS: Duration = Duration::from_secs(10);
/// A timestamp at most, bytes.
const MOST_TIMESTAMP: usize = 64 << 10;

/// A repository that is served.
pub struct Repository {
    dir: PathBuf,
    reads: Semaphore,
    /// `None`: no limit.
    pace: Option<Mutex<Pace>>,
    began: Instant,
    bounds: Mutex<Option<(Instant, Told)>>,
}

/// What is known of this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is between these.
    Between(Bounds),
    /// Nothing is signed here that says anything of it.
    Any,
    /// What is signed can't be read just now.
    Unknown,
}

impl Repository {
    /// The repository in `dir`, which need not be there yet, with so many bytes a second for all gateways (0: no limit).
    pub fn new(dir: &Path, bytes_per_s: u64) -> Self {
        let pace = (bytes_per_s > 0).then(|| Mutex::new(Pace::new(bytes_per_s)));
        Self {
            dir: dir.to_owned(),
            reads: Semaphore::new(READS),
            pace,
            began: Instant::now(),
            bounds: Mutex::default(),
        }
    }

    /// The piece that was asked for.
    ///
    /// # Errors
    /// It can't be read just now; who asked is told to ask again.
    pub async fn fetch(&self, ask: &FetchAsk) -> Result<FetchPiece, StoreFault> {
        let name = ask.name.clone();
        let Some(total) = self.blocking(move |repository| repository.size(&name)).await? else {
            if ask.name == TIMESTAMP {
                let context = format!("{} has no {TIMESTAMP} just now", self.dir.display());
                return Err(StoreFault { context, source: None });
            }
            return Ok(FetchPiece { missing: true, ..FetchPiece::default() });
        };
        // What comes is paid for, not what was asked for: metadata is short.
        let most = u64::from(ask.most).min(total.saturating_sub(ask.offset));
        self.pace(most).await?;
        let ask = ask.clone();
        // Asked for as 32 bits.
        let most = usize::try_from(most).unwrap_or_default();
        let piece = self.blocking(move |repository| repository.piece(&ask.name, ask.offset, most)).await?;
        Ok(match piece {
            Some(piece) => {
                FetchPiece { total: piece.total, bytes: piece.bytes.into(), ..FetchPiece::default() }
            }
            None => FetchPiece { missing: true, ..FetchPiece::default() },
        })
    }

    /// This machine's time, as gateways may be told it: 0 (not said) where it is before the newest signed timestamp, or far after.
    pub async fn time(&self, now_s: i64) -> i64 {
        let known = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match known {
            Some((at, told)) if at.elapsed() < BOUNDS => told,
            known => {
                let told = self.bounds().await;
                *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), told));
                if let Told::Between(bounds) = told
                    && !bounds.has(now_s)
                    && known.is_none_or(|(_, before)| before != told)
                {
                    tracing::warn!(
                        now_s,
                        ?bounds,
                        "this machine's clock is far from the newest timestamp of the releases: no gateway is told its time. Set the clock, or, if it is right, see that the timestamp is renewed (engawa-cloud release renew)"
                    );
                }
                told
            }
        };
        match told {
            Told::Between(bounds) if bounds.has(now_s) => now_s,
            Told::Any => now_s,
            Told::Between(_) | Told::Unknown => 0,
        }
    }

    async fn bounds(&self) -> Told {
        let read = self.blocking(|repository| repository.piece(TIMESTAMP, 0, MOST_TIMESTAMP)).await;
        match read {
            Ok(Some(piece)) => Bounds::of(&piece.bytes).map_or(Told::Unknown, Told::Between),
            // A cloud without releases: gateways have theirs from sticks.
            Ok(None) => Told::Any,
            Err(_) if !self.dir.exists() => Told::Any,
            Err(_) => Told::Unknown,
        }
    }

    /// Asks the repository off the async threads; `None` where it has no such file.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&FolderSource) -> Result<Option<T>, SourceFault> + Send + 'static,
    ) -> Result<Option<T>, StoreFault> {
        let turn = self.reads.acquire().await;
        let _turn = turn.map_err(|error| StoreFault::new("waiting for a turn", error))?;
        let dir = self.dir.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let repository = match FolderSource::open(&dir) {
                Ok(repository) => repository,
                Err(error) => {
                    return Err(StoreFault::new(format!("opening the releases in {}", dir.display()), error));
                }
            };
            match ask(&repository) {
                // No repository has a file of such a name.
                Err(SourceFault::Name(_)) => Ok(None),
                answer => answer.map_err(|error| StoreFault::new("reading a file of the releases", error)),
            }
        });
        asked.await.map_err(|error| StoreFault::new("reading a file of the releases", error))?
    }

    /// Waits until so many bytes may go.
    async fn pace(&self, bytes: u64) -> Result<(), StoreFault> {
        let Some(pace) = &self.pace else { return Ok(()) };
        let wait = {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.promise(bytes, self.began.elapsed(), MOST_WAIT)
        };
        let Some(wait) = wait else {
            let context = "too many gateways fetch releases at once for --releases-kib-s".to_owned();
            return Err(StoreFault { context, source: None });
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// A repository that an end of the cloud serves from, once it is set.
#[derive(Clone, Default)]
pub struct Served(Arc<std::sync::OnceLock<Repository>>);

impl Served {
    /// From now on this one; only the first counts.
    pub fn set(&self, repository: Repository) {
        // Set once, where the cloud starts.
        let _ = self.0.set(repository);
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// As [`Repository::time`]; the time itself where nothing is served.
    pub async fn time(&self, now_s: i64) -> i64 {
        match self.0.get() {
            Some(repository) => repository.time(now_s).await,
            None => now_s,
        }
    }

    /// The piece that was asked for; none where nothing is served.
    ///
    /// # Errors
    /// As [`Repository::fetch`].
    pub async fn fetch(&self, ask: &FetchAsk) -> Result<FetchPiece, StoreFault> {
        match self.0.get() {
            Some(repository) => repository.fetch(ask).await,
            None => Ok(FetchPiece { missing: true, ..FetchPiece::default() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, offset: u64, most: u32) -> FetchAsk {
        FetchAsk { name: name.into(), offset, most }
    }

    /// What bounds the clock is read anew every few seconds: a repository for each answer.
    #[tokio::test]
    async fn a_time_that_can_t_be_is_told_to_nobody() {
        use engawa_tuf::metadata::{MetaFile, Timestamp};
        let dir = tempfile::tempdir().unwrap();
        let time = async |now_s| Repository::new(dir.path(), 0).time(now_s).await;
        assert_eq!(Repository::new(&dir.path().join("none"), 0).time(5).await, 5, "nothing is signed here");
        let signed = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let meta = MetaFile { version: 1, length: None, hashes: None, other: serde_json::Map::new() };
        let expires = signed + jiff::SignedDuration::from_hours(7 * 24);
        let bytes = engawa_tuf::Document::new(&Timestamp::new(3, expires, meta, signed)).unwrap().to_bytes();
        std::fs::create_dir_all(dir.path().join("metadata")).unwrap();
        std::fs::write(dir.path().join("metadata/timestamp.json"), bytes.unwrap()).unwrap();
        assert_eq!(time(1_800_000_100).await, 1_800_000_100);
        assert_eq!((time(1_700_000_000).await, time(4_070_908_800).await), (0, 0));
        std::fs::write(dir.path().join("metadata/timestamp.json"), "{").unwrap();
        assert_eq!(time(1_800_000_100).await, 0, "what is signed can't be read");
    }

    #[tokio::test]
    async fn pieces_of_the_repository_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::new(&dir.path().join("releases"), 0);
        // Not there yet, not mounted, just being copied: asked for again, and no answer.
        let again = async |name| repository.fetch(&ask(name, 0, 10)).await.unwrap_err().to_string();
        assert!(again("metadata/2.root.json").await.contains("opening the releases"));
        std::fs::create_dir_all(dir.path().join("releases/metadata")).unwrap();
        assert!(again("metadata/timestamp.json").await.contains("just now"));
        assert!(repository.fetch(&ask("metadata/2.root.json", 0, 10)).await.unwrap().missing);
        std::fs::write(dir.path().join("releases/metadata/timestamp.json"), "0123456789").unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../../secret", dir.path().join("releases/metadata/1.root.json")).unwrap();
        let piece = repository.fetch(&ask("metadata/timestamp.json", 4, 3)).await.unwrap();
        assert_eq!((piece.total, piece.bytes.as_ref(), piece.missing), (10, &b"456"[..], false));
        let end = repository.fetch(&ask("metadata/timestamp.json", 99, 3)).await.unwrap();
        assert_eq!((end.total, end.bytes.len()), (10, 0));
        for name in ["../secret", "secret", "metadata/../../secret", "/etc/passwd", "keys/snapshot"] {
            assert!(repository.fetch(&ask(name, 0, 10)).await.unwrap().missing, "{name}");
        }
        let led_out = repository.fetch(&ask("metadata/1.root.json", 0, 10)).await;
        assert!(led_out.is_err(), "{led_out:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_gateways_together_get_no_more_than_the_rate() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::new(dir.path(), 1_000);
        let began = Instant::now();
        for _ in 0..5 {
            repository.pace(1_000).await.unwrap();
        }
        assert_eq!(began.elapsed().as_secs(), 4, "a second's worth is free");
    }
}
