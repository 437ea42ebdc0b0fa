//! MQTT: devices that speak it, the house's own topics, and the broker where the hotel has none.
//!
//! Flow: messages come in through the site's broker ([`client`]) or the gateway's own ([`broker`]), both end
//! at one desk, which turns them into observations and orders into messages. What the house publishes comes
//! through a [`Feed`] after each commit, and as a whole from the snapshot after each connect.
//!
//! Why acknowledgements are held back: to a device or a point of sale, PUBACK is the only sign that its
//! message arrived. Here it means that what the message said is on disk.
//!
//! Pure: [`topic`], [`config`], [`commands`], [`devices`], [`discovery`], [`home_assistant`], [`house`] and the modules for
//! queues and writes.
//! Shells: [`broker`], [`client`], the desk, and [`prepare`].

mod backoff;
pub mod broker;
mod client;
pub mod commands;
pub mod config;
mod credential;
mod desk;
pub mod devices;
pub mod discovery;
pub mod documents;
mod door;
mod feed;
pub mod home_assistant;
pub mod house;
mod outbox;
mod run;
pub mod sparkplug;
pub mod topic;
mod writes;

pub use config::{Endpoint, MqttConfig, MqttConfigError};
pub use credential::Credential;
pub use devices::MqttDevice;
pub use documents::ValueTopics;
pub use feed::{Feed, Publisher, feed};
pub use house::Publication;
pub use run::{Counters, Mqtt, MqttError, MqttParts, Snapshot, prepare, site_broker};

/// The id of the link to the broker.
pub const MQTT_LINK: &str = "mqtt";
