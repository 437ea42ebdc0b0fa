//! Work that takes its time, and what is heard meanwhile.

use super::super::kept::Wanted;
use super::{Run, Stopper, changed};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

impl Run<'_> {
    /// Works for `wanted` on a thread of its own, until it is told by its flag to stop. Meanwhile commands are heard and the cloud
    /// is asked when it is time: a download bars neither the person with a stick nor the word that it is not wanted any more.
    /// `None`: by such a word something else is wanted by now, or nothing; the work was stopped and has ended.
    pub(super) async fn beside<T: Send + 'static>(
        &mut self,
        wanted: &Wanted,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> anyhow::Result<Option<T>> {
        let going = Arc::new(AtomicBool::new(true));
        // Whoever drops this (the agent stops) stops the thread at its next piece.
        let stop = Stopper(Arc::clone(&going));
        let mut worked = tokio::task::spawn_blocking(move || work(going));
        loop {
            let Self { wishes, connected, ask_at, .. } = self;
            tokio::select! {
                done = &mut worked => return Ok(Some(done?)),
                Some(wish) = wishes.recv() => self.wish(wish).await?,
                () = changed(connected) => *ask_at = (*ask_at).min(Instant::now()),
                () = tokio::time::sleep_until((*ask_at).into()) => {}
            }
            if self.ask_at <= Instant::now() {
                self.ask().await?;
            }
            if !self.kept.wanted.as_ref().is_some_and(|now| now.is_fetched_as(wanted)) {
                tracing::info!(version = %wanted.version, "a release is not fetched any further: it is not wanted now");
                drop(stop);
                // The slot is somebody else's only then.
                worked.await?;
                return Ok(None);
            }
        }
    }
}
