//! The repository of releases, read for the gateways: a plain folder, whose files are signed elsewhere.
//!
//! What a gateway asks for is a name that it made up: it is checked against the layout of a repository, and opened beneath the
//! folder. The folder is opened for each piece, so that it may come, go or be exchanged while the cloud serves. Bounds: bytes a
//! second for all gateways together (who asks waits), reads at once ([`READS`]); one piece a gateway is the protocol's.

mod pace;

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

/// A repository that is served.
pub struct Repository {
    dir: PathBuf,
    reads: Semaphore,
    /// `None`: no limit.
    pace: Option<Mutex<Pace>>,
    began: Instant,
}

impl Repository {
    /// The repository in `dir`, which need not be there yet, with so many bytes a second for all gateways (0: no limit).
    pub fn new(dir: &Path, bytes_per_s: u64) -> Self {
        let pace = (bytes_per_s > 0).then(|| Mutex::new(Pace::new(bytes_per_s)));
        Self { dir: dir.to_owned(), reads: Semaphore::new(READS), pace, began: Instant::now() }
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
