//! The way from the agent to the broker for live publications: a bounded queue, and what happens when it is
//! full.
//!
//! Why: the agent publishes after each commit and must never wait for a broker. When the queue is full the
//! publication is dropped and the feed is marked; once the queue is drained the whole snapshot is published
//! again, so that no state is lost, only answers to commands (counted).
//!
//! Never: sockets.

use super::house::Publication;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc};

#[derive(Debug, Default)]
struct Overflow {
    happened: AtomicBool,
    /// Events have been stored since they were last read.
    events: AtomicBool,
    dropped: AtomicU64,
    wake: Notify,
}

/// The agent's end. Clones feed the same broker.
#[derive(Clone, Debug)]
pub struct Publisher {
    queue: mpsc::Sender<Publication>,
    overflow: Arc<Overflow>,
}

/// The broker's end, for [`super::prepare`].
#[derive(Debug)]
pub struct Feed {
    queue: mpsc::Receiver<Publication>,
    overflow: Arc<Overflow>,
}

/// A feed whose queue holds `capacity` publications.
pub fn feed(capacity: usize) -> (Publisher, Feed) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let overflow = Arc::new(Overflow::default());
    (Publisher { queue: sender, overflow: Arc::clone(&overflow) }, Feed { queue: receiver, overflow })
}

impl Publisher {
    /// Queues `publication`; never waits. To be called after the commit that caused it, and after the picture
    /// that the snapshot is built from shows it.
    pub fn publish(&self, publication: Publication) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(publication) {
            self.overflow.dropped.fetch_add(1, Ordering::Relaxed);
            self.overflow.happened.store(true, Ordering::Release);
            self.overflow.wake.notify_one();
        }
    }

    /// There are new events in the store; to be called after the commit that put them there.
    pub fn remind(&self) {
        self.overflow.events.store(true, Ordering::Release);
        self.overflow.wake.notify_one();
    }

    /// How many publications did not fit, since the start.
    pub fn dropped(&self) -> u64 {
        self.overflow.dropped.load(Ordering::Relaxed)
    }
}

/// What a feed has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// Publish this.
    Publication(Publication),
    /// Something did not fit: publish the snapshot, once what is in the queue has been taken out.
    Overflowed,
    /// There are new events in the store.
    Events,
}

impl Feed {
    /// Waits for the next publication or overflow; for ever once the agent has let go of its end. May be
    /// dropped while it waits without losing anything.
    pub(super) async fn next(&mut self) -> Fed {
        loop {
            if self.overflow.happened.load(Ordering::Acquire) {
                return Fed::Overflowed;
            }
            if self.overflow.events.swap(false, Ordering::AcqRel) {
                return Fed::Events;
            }
            tokio::select! {
                biased;
                () = self.overflow.wake.notified() => {}
                publication = self.queue.recv() => match publication {
                    Some(publication) => return Fed::Publication(publication),
                    None => std::future::pending().await,
                },
            }
        }
    }

    /// Takes out everything that is in the queue now. A snapshot built after this shows every publication
    /// that has not fitted so far, and nothing older comes after it.
    pub(super) fn drain(&mut self) -> Vec<Publication> {
        self.overflow.happened.store(false, Ordering::Release);
        // At most what the queue holds: the agent may go on filling it meanwhile.
        let bound = self.queue.max_capacity();
        std::iter::from_fn(|| self.queue.try_recv().ok()).take(bound).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(n: usize) -> Publication {
        Publication::state(format!("t/{n}"), n)
    }

    #[tokio::test]
    async fn an_overflow_is_told_once_and_the_queue_is_kept() {
        let (publisher, mut feed) = feed(2);
        for n in 0..5 {
            publisher.publish(publication(n));
        }
        assert_eq!(publisher.dropped(), 3);
        assert_eq!(feed.next().await, Fed::Overflowed);
        assert_eq!(feed.drain(), [publication(0), publication(1)]);
        publisher.publish(publication(9));
        publisher.remind();
        publisher.remind();
        assert_eq!(feed.next().await, Fed::Events);
        assert_eq!(feed.next().await, Fed::Publication(publication(9)));
    }
}
