//! What the API needs of the house behind it.
//!
//! Why a trait: the API knows neither the store nor the loop that runs the house. Whoever does, implements
//! this; a test or the preview example serves a made-up house through the same door.

use crate::{Asker, BusTraffic, Erased, FrontDeskView, HouseView};
use engawa_model::{Command, CommandKey, CommandOutcome, Lane, StayId, Timestamp};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::watch;

/// A running house.
pub trait House: Send + Sync + 'static {
    /// The picture as it is now. Cheap: it is called for each request.
    fn view(&self) -> Arc<HouseView>;

    /// A number that grows with each new picture. It is raised after [`House::view`] gives the new
    /// picture, never before: who sees the number sees at least that picture.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Hands a command over; ready when it is durable. Its key makes it happen once.
    fn command(&self, command: Command) -> BoxFuture<'_, Result<Accepted, CommandError>>;

    /// What has become of a command; `None` for a key that is not known (any more).
    fn outcome(&self, key: CommandKey) -> BoxFuture<'_, Result<Option<CommandReport>, HouseError>>;

    /// At most `limit` rows of the journal with a position above `after`, oldest first.
    fn log(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<LogRow>, HouseError>>;

    /// The language of the house, BCP 47, for readers who ask for none that there are texts in.
    fn language(&self) -> Option<&str> {
        None
    }

    /// The picture with its guests' names. Who asks, and why, is durable in the audit trail before it is given.
    fn named_view(&self, asker: Asker) -> BoxFuture<'_, Result<Arc<HouseView>, HouseError>>;

    /// Erases all that is held on the guests of a reservation number; ready when that is durable.
    fn erase(&self, asker: Asker, stay: StayId) -> BoxFuture<'_, Result<Erased, HouseError>>;

    /// What the drivers have counted on their buses; nothing where there are none.
    fn traffic(&self) -> Vec<BusTraffic> {
        Vec::new()
    }

    /// What the PMS's front desk has told and wants; personal but for the keys.
    fn front_desk(&self) -> FrontDeskView {
        FrontDeskView::default()
    }

    /// The same for somebody. Who asks, and why, is durable in the audit trail before it is given.
    fn named_front_desk(&self, asker: Asker) -> BoxFuture<'_, Result<FrontDeskView, HouseError>>;

    /// A diagnostics bundle, without anybody's data and without secrets; `by` says who asks.
    fn diagnose(&self, by: Option<String>) -> BoxFuture<'_, Result<serde_json::Value, HouseError>> {
        let _ = by;
        Box::pin(std::future::ready(Err(HouseError::Failed("this house gathers no bundles".into()))))
    }

    /// Whether the house loop and the store answer. Must not wait for either.
    fn health(&self) -> Health;
}

/// A command has been taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its key.
    pub key: CommandKey,
    /// True where the same command had been taken before: it will not be done again.
    pub duplicate: bool,
}

/// Why a command has not been taken.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It can't be done in this house.
    #[error("the command is refused: {reason}")]
    Refused {
        /// Why, in plain words, without personal data.
        reason: String,
    },
    /// The key was used for something else.
    #[error("the key has been used before for another command")]
    KeyReused,
    /// The queue is full; the same command may be sent again.
    #[error("the house is busy; send the same command again with the same key")]
    Busy,
    /// The house is stopping.
    #[error("the house is stopping")]
    Stopping,
    /// The store or the loop failed: whether the command was taken is not known.
    #[error("the house could not take the command")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The house could not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// The house is stopping.
    #[error("the house is stopping")]
    Stopping,
    /// The store failed.
    #[error("the house's store could not answer")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What has become of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReport {
    /// Its key.
    pub key: CommandKey,
    /// When it was taken, where that is still known.
    pub accepted: Option<Timestamp>,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<CommandOutcome>,
    /// When it ended, where that is known.
    pub ended: Option<Timestamp>,
    /// More of how it ended, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One row of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Its position; grows by the order in which things were stored.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// The lane it travels on.
    pub lane: Lane,
    /// The change, as in [`engawa_model::Change`]. Kept as JSON, so that rows written by a newer version
    /// (before a rollback) can still be read.
    pub change: serde_json::Value,
}

/// A page of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogPage {
    /// The rows, oldest first.
    pub rows: Vec<LogRow>,
    /// What to give as `after` for the next page.
    pub next: u64,
}

/// Whether the house does its work. A cloud or a PMS that can't be reached does not make it unhealthy:
/// the house is made to go on without them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// True where the loop and the store answer.
    pub ok: bool,
    /// What does not answer, in plain words.
    pub reasons: Vec<String>,
}
