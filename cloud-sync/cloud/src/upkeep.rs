//! What `serve` does beside serving: takes over a changed authority, agrees on it with the other replicas, and ends erasures.

use crate::setup::{self, SERVER_FILE, SERVER_KEY_FILE, authority};
use engawa_cloud::end::End;
use engawa_cloud::postgres::{self, end::Authorities};
use engawa_cloud::store::{DATABASE_FILE, Writer, erasure, open_reader};
use engawa_link::pki::CertificateAuthority;
use engawa_link::{CloudTrust, rotation};
use engawa_model::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often files and tombstones are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// The files that say who is trusted and what is shown.
const FILES: [&str; 4] = ["ca.pem", "ca-next.pem", rotation::RETIRED_FILE, SERVER_FILE];

type Files = [Option<Vec<u8>>; FILES.len()];

fn files(dir: &Path) -> Files {
    FILES.map(|file| std::fs::read(dir.join(file)).ok())
}

/// Looks whether the folder is another one than `before`, and takes it over where it is. Gives what is taken over.
fn look(
    dir: &Path,
    before: Files,
    trust: &CloudTrust,
    replace: impl FnOnce(CertificateAuthority) -> anyhow::Result<()>,
) -> Files {
    let now = files(dir);
    if now == before {
        return before;
    }
    let take_over = || -> anyhow::Result<()> {
        let authority = authority(dir)?;
        let certificate = std::fs::read_to_string(dir.join(SERVER_FILE))?;
        let key = setup::key(&dir.join(SERVER_KEY_FILE))?;
        trust.replace(&certificate, &key, &authority.trusted_pem())?;
        replace(authority)
    };
    if let Err(error) = take_over() {
        // In the middle of a change: the next look sees it whole.
        tracing::warn!(reason = format!("{error:#}"), "the changed authority can't be taken over yet");
        return before;
    }
    tracing::info!("the authority or the cloud's certificate has changed, and is taken over");
    now
}

/// Runs until it is dropped.
pub(crate) async fn on_sqlite(dir: PathBuf, end: Arc<End>, trust: Arc<CloudTrust>, writer: Writer) {
    let mut known = files(&dir);
    loop {
        let at = dir.clone();
        let (end, trust, writer) = (Arc::clone(&end), Arc::clone(&trust), writer.clone());
        let before = known.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = look(&at, before, &trust, |authority| {
                end.replace_authority(authority);
                Ok(())
            });
            if let Err(error) = end_erasures(&at, &writer) {
                tracing::warn!(reason = format!("{error:#}"), "erasures could not be ended; trying again");
            }
            now
        });
        if let Ok(now) = looked.await {
            known = now;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn end_erasures(dir: &Path, writer: &Writer) -> anyhow::Result<()> {
    let reader = open_reader(&dir.join(DATABASE_FILE))?;
    let applied = erasure::sweep(&reader, &|work| writer.run(work), Timestamp::now().as_microsecond())?;
    if applied > 0 {
        tracing::info!(applied, "erasures are done");
    }
    Ok(())
}

/// Runs until `cancel`.
pub(crate) async fn on_postgres(
    dir: PathBuf,
    end: Arc<postgres::End>,
    trust: Arc<CloudTrust>,
    store: postgres::Store,
    cancel: CancellationToken,
) {
    // An erasure may take long; the authority does not wait for it.
    let erasing = async {
        let mut missed = postgres::erasure::Missed::default();
        loop {
            if let Err(error) = missed.look(&store).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "tombstones that older replicas have stored could not be looked for; trying again"
                );
            }
            match postgres::erasure::sweep(&store, Timestamp::now().as_microsecond()).await {
                Ok(Some(applied)) if applied > 0 => tracing::info!(applied, "erasures are done"),
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "erasures could not be ended; trying again"
                ),
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    let tending = async {
        let mut known = files(&dir);
        loop {
            let (at, end_, trust, before) =
                (dir.clone(), Arc::clone(&end), Arc::clone(&trust), known.clone());
            let looked = tokio::task::spawn_blocking(move || {
                look(&at, before, &trust, |_| {
                    end_.replace_authorities(Authorities::load(&at)?);
                    Ok(())
                })
            });
            if let Ok(now) = looked.await {
                known = now;
            }
            if let Err(error) = end.tend().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the replicas could not be heard; what was known holds"
                );
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    let both = async { tokio::join!(erasing, tending) };
    // Cut in the middle, it is as after a kill.
    let _: Option<((), ())> = cancel.run_until_cancelled(both).await;
}
