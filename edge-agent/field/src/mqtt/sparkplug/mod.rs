//! Sparkplug B: the house as an edge node of an industrial or building-management system.
//!
//! Why: such systems (Sparkplug 3.0, an Eclipse and ISO/IEC 20237 standard) find everything by themselves: what
//! there is, of which type and unit, and whether what they see is still true. The property is one edge node, each
//! device of the rooms a Sparkplug device, each point a metric.
//!
//! Terms: a *birth* tells every metric with its name, type and value; *data* tells what has changed, by numbers
//! (*aliases*) given in the birth; a *death* says that what was told is no longer known to be true. `bdSeq` ties a
//! death to the birth that it ends. The *primary host* is the one application that the node waits for.
//!
//! Flow: [`updates`] turns each change of the house into updates, after its commit; the [`run`](Sparkplug::run)
//! shell hands them to [`EdgeNode`], which says what to publish. Commands come back as observations and take the
//! way of every command.
//!
//! Pure: everything but [`run`](Sparkplug::run), the queue of updates and [`BdSeqFile`].
//!
//! Never: names of guests or anything else of theirs; a room says only that it is occupied.

mod bdseq;
mod command;
mod config;
mod datatype;
mod feed;
mod host;
mod house;
mod metrics;
mod names;
mod node;
pub mod payload;
mod run;
mod session;

pub use bdseq::{BdSeqFile, BdSeqStore};
pub use config::{SparkplugConfig, SparkplugConfigError};
pub use datatype::DataType;
pub use feed::{Updates, UpdatesQueue, updates_queue};
pub use house::{DevicePicture, Picture, Reading, Update, picture, updates};
pub use names::{BadId, NodeNames};
pub use node::{EdgeNode, Look, Message, Out};
pub use run::{Broker, Sparkplug, SparkplugCounters, SparkplugParts, SparkplugSnapshot};

/// The id of the link to the broker for Sparkplug.
pub const SPARKPLUG_LINK: &str = "sparkplug";
