//! MQTT: devices that speak it, the house's own topics, and the broker where the hotel has none.
//!
//! Flow: messages come in through the site's broker ([`client`]) or the gateway's own ([`broker`]), both end
//! at one desk, which turns them into observations and orders into messages. What the house publishes comes
//! through a [`Feed`] after each commit, and as a whole from the snapshot after each connect.
//!
//! Each broker has all of this for itself: a connection, a desk, counters, a link of its own. One that is down
//! disturbs no other.
//!
//! Why acknowledgements are held back: to a device or a point of sale, PUBACK is the only sign that its
//! message arrived. Here it means that what the message said is on disk.
//!
//! Pure: [`topic`], [`config`], [`commands`], [`devices`], [`discovery`], [`home_assistant`], [`house`], [`access`] and the
//! modules for queues, writes and the survey of what a broker keeps. Shells: [`broker`], [`client`], [`wire`], the desk, and [`prepare`].

pub mod access;
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
mod events;
mod feed;
pub mod home_assistant;
pub mod house;
pub mod mosquitto;
mod outbox;
mod run;
pub mod sparkplug;
mod survey;
mod tls;
pub mod topic;
mod wire;
mod writes;

pub use access::{Allowed, Rights, Scene};
pub use config::{BrokerConfig, Endpoint, MqttConfig, MqttConfigError, MqttVersion, Site, UserConfig};
pub use credential::{Credential, CredentialError, read as read_credential};
pub use devices::MqttDevice;
pub use documents::ValueTopics;
pub use events::{EventStore, StoredEvent};
pub use feed::{Feed, Publisher, feed};
pub use house::Publication;
pub use run::{Counters, Grant, Mqtt, MqttError, MqttParts, Snapshot, User, prepare, site_broker};
pub use tls::{TlsError, TlsFiles};

/// The id of the link to the main broker.
pub const MQTT_LINK: &str = "mqtt";

/// The id of the link to the further broker `id`.
pub fn link_to(id: &str) -> engawa_model::LinkId {
    engawa_model::LinkId::new(format!("{MQTT_LINK}-{id}"))
}
