//! The live page: one server-sent event stream a page (HTML Living Standard, section 9.2).
//!
//! The first event carries all fragments, each later one those that have changed since. A reader that is
//! slow gets fewer, later events, never a queue of old ones: the next event is made when it is asked for.

use crate::board::Board;
use crate::page::Fragment;
use axum::response::sse::Event;
use engawa_model::Timestamp;
use engawa_words::Language;
use futures::{Stream, stream};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// The least time between two events of a stream: a burst of changes is one redraw.
const MIN_INTERVAL: Duration = Duration::from_millis(300);

#[derive(Serialize)]
struct Patch<'a> {
    /// The gateway's clock, so that ages are right on a computer whose clock is not.
    now: Timestamp,
    fragments: Vec<&'a Fragment>,
}

/// One reader.
struct Reader {
    board: Arc<Board>,
    language: Language,
    changed: watch::Receiver<u64>,
    /// The versions of the fragments that the reader has; `None` before the first event.
    seen: Option<Vec<u64>>,
    last_sent: Option<tokio::time::Instant>,
    cancel: CancellationToken,
    /// The reader's place among the streams that the door allows.
    _place: OwnedSemaphorePermit,
}

/// The stream of one page. It ends when `cancel` is cancelled or the house is gone.
pub(crate) fn stream(
    board: Arc<Board>,
    language: Language,
    place: OwnedSemaphorePermit,
    cancel: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let changed = board.changed();
    let reader = Reader { board, language, changed, seen: None, last_sent: None, cancel, _place: place };
    stream::unfold(reader, |mut reader| async move {
        let cancel = reader.cancel.clone();
        let event = cancel.run_until_cancelled(reader.next()).await.flatten()?;
        Some((Ok(event), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.seen.is_some() {
                self.changed.changed().await.ok()?;
            }
            if let Some(last) = self.last_sent {
                tokio::time::sleep_until(last + MIN_INTERVAL).await;
            }
            self.changed.mark_unchanged();
            if let Some(event) = self.draw() {
                self.last_sent = Some(tokio::time::Instant::now());
                return Some(event);
            }
        }
    }

    /// The event that brings the reader up to date; `None` where it already is.
    fn draw(&mut self) -> Option<Event> {
        let drawn = self.board.now();
        let all = drawn.fragments(self.language);
        let versions: Vec<u64> = all.iter().map(|fragment| fragment.version).collect();
        let event = match self.seen.replace(versions) {
            // Rooms have come or gone with a new configuration: the page has to be laid out again.
            Some(seen) if seen.len() != all.len() => Event::default().event("reload").data(""),
            seen => {
                let fragments: Vec<&Fragment> = all
                    .iter()
                    .enumerate()
                    .filter(|(place, fragment)| {
                        seen.as_ref().and_then(|seen| seen.get(*place)) != Some(&fragment.version)
                    })
                    .map(|(_, fragment)| fragment)
                    .collect();
                if fragments.is_empty() {
                    return None;
                }
                let patch = Patch { now: Timestamp::now(), fragments };
                // Strings and numbers always serialize, and JSON has no bare line ends that could break
                // the event.
                Event::default().event("patch").data(serde_json::to_string(&patch).ok()?)
            }
        };
        Some(event)
    }
}
