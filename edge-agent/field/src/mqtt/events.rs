//! Events that wait for a broker: kept by the agent, in the transaction of what caused them, until the broker has
//! acknowledged them.
//!
//! Why: a state is told again from the picture; the answer to a command is told once, and whoever asked waits for it
//! across a restart of the gateway and of the broker.
//!
//! Never: a disk of its own; the port's other side has one.

use futures::future::BoxFuture;
use std::error::Error;

/// Events that are read at once, and at most wait in memory.
pub(super) const AT_ONCE: usize = 64;

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Grows with each event.
    pub number: u64,
    /// The whole topic.
    pub topic: String,
    /// The payload.
    pub payload: String,
}

/// Where the events of one broker wait.
pub trait EventStore: Send + Sync + 'static {
    /// Those after `after`, oldest first, `most` of them. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's.
    fn waiting(&self, after: u64, most: usize) -> Result<Vec<StoredEvent>, Box<dyn Error + Send + Sync>>;

    /// The broker has this one, or will never take it: it needn't be kept.
    fn delivered(&self, number: u64) -> BoxFuture<'_, ()>;
}
