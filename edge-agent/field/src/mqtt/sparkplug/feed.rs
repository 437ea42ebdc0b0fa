//! The way from the agent to the broker for updates: a bounded queue, and what happens when it is full.
//!
//! Why nothing is kept for a broker that is away: births tell everything. A queue that has overflowed, while the
//! broker is away or slow, is emptied, and the house as it is now is compared with what was told.
//!
//! Never: sockets; makes the agent wait.

use super::house::Update;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc};

/// Updates that are taken out at once: those of one device go into one message.
const BATCH: usize = 256;

#[derive(Debug, Default)]
struct Overflow {
    happened: AtomicBool,
    wake: Notify,
}

/// The agent's end. Clones feed the same node.
#[derive(Clone, Debug)]
pub struct Updates {
    queue: mpsc::Sender<Update>,
    overflow: Arc<Overflow>,
}

/// The node's end, for [`super::SparkplugParts`].
#[derive(Debug)]
pub struct UpdatesQueue {
    queue: mpsc::Receiver<Update>,
    overflow: Arc<Overflow>,
}

/// A queue that holds `capacity` updates.
pub fn updates_queue(capacity: usize) -> (Updates, UpdatesQueue) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let overflow = Arc::new(Overflow::default());
    (Updates { queue: sender, overflow: Arc::clone(&overflow) }, UpdatesQueue { queue: receiver, overflow })
}

impl Updates {
    /// Queues `update`; never waits. To be called after the commit that caused it, and after the picture that the
    /// snapshot is built from shows it.
    pub fn push(&self, update: Update) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(update) {
            self.overflow.happened.store(true, Ordering::Release);
            self.overflow.wake.notify_one();
        }
    }
}

/// What the queue has to say.
#[derive(Debug, PartialEq)]
pub(super) enum Fed {
    /// These have come, in this order.
    Updates(Vec<Update>),
    /// Some did not fit: the house must be looked at as a whole.
    Overflowed,
}

impl UpdatesQueue {
    /// Waits for updates or an overflow; for ever once the agent has let go of its end. May be dropped while it
    /// waits without losing anything.
    pub(super) async fn next(&mut self) -> Fed {
        let mut batch = Vec::new();
        loop {
            if self.overflow.happened.load(Ordering::Acquire) {
                return Fed::Overflowed;
            }
            tokio::select! {
                biased;
                () = self.overflow.wake.notified() => {}
                count = self.queue.recv_many(&mut batch, BATCH) => match count {
                    0 => std::future::pending().await,
                    _ => return Fed::Updates(batch),
                },
            }
        }
    }

    /// Empties the queue. A picture built after this shows everything that was in it.
    pub(super) fn drain(&mut self) {
        self.overflow.happened.store(false, Ordering::Release);
        // At most what the queue holds: the agent may go on filling it meanwhile.
        for _ in 0..self.queue.max_capacity() {
            if self.queue.try_recv().is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(n: usize) -> Update {
        Update::Unwell(format!("t{n}").as_str().into())
    }

    #[tokio::test]
    async fn an_overflow_is_told_until_the_queue_is_emptied() {
        let (updates, mut queue) = updates_queue(2);
        updates.push(update(0));
        updates.push(update(1));
        assert_eq!(queue.next().await, Fed::Updates(vec![update(0), update(1)]));
        (0..5).for_each(|n| updates.push(update(n)));
        assert_eq!(queue.next().await, Fed::Overflowed);
        queue.drain();
        updates.push(update(9));
        assert_eq!(queue.next().await, Fed::Updates(vec![update(9)]));
    }
}
