//! What `serve` does beside serving: takes over a changed authority, and ends erasures.

use crate::setup::{SERVER_FILE, SERVER_KEY_FILE, authority};
use engawa_cloud::end::End;
use engawa_cloud::store::{DATABASE_FILE, Writer, erasure, open_reader};
use engawa_link::CloudTrust;
use engawa_model::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often files and tombstones are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// The files that say who is trusted and what is shown.
const FILES: [&str; 3] = ["ca.pem", "ca-next.pem", SERVER_FILE];

fn files(dir: &Path) -> [Option<Vec<u8>>; 3] {
    FILES.map(|file| std::fs::read(dir.join(file)).ok())
}

/// Runs until it is dropped.
pub(crate) async fn run(dir: PathBuf, end: Arc<End>, trust: Arc<CloudTrust>, writer: Writer) {
    let mut known = files(&dir);
    loop {
        let at = dir.clone();
        let (end, trust, writer) = (Arc::clone(&end), Arc::clone(&trust), writer.clone());
        let before = known.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = files(&at);
            if now != before {
                if let Err(error) = take_over(&at, &end, &trust) {
                    // In the middle of a change: the next look sees it whole.
                    tracing::warn!(
                        reason = format!("{error:#}"),
                        "the changed authority can't be taken over yet"
                    );
                    return before;
                }
                tracing::info!("the authority or the cloud's certificate has changed, and is taken over");
            }
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

fn take_over(dir: &Path, end: &End, trust: &CloudTrust) -> anyhow::Result<()> {
    let authority = authority(dir)?;
    let read = |file: &str| std::fs::read_to_string(dir.join(file));
    trust.replace(&read(SERVER_FILE)?, &read(SERVER_KEY_FILE)?, &authority.trusted_pem())?;
    end.replace_authority(authority);
    Ok(())
}

fn end_erasures(dir: &Path, writer: &Writer) -> anyhow::Result<()> {
    let reader = open_reader(&dir.join(DATABASE_FILE))?;
    let applied = erasure::sweep(&reader, &|work| writer.run(work), Timestamp::now().as_microsecond())?;
    if applied > 0 {
        tracing::info!(applied, "erasures are done");
    }
    Ok(())
}
