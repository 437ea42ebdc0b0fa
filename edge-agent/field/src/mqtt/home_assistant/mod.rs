//! Home Assistant: the house announced in the form that it discovers by itself (MQTT device discovery, from its release
//! 2024.12 on).
//!
//! Why: a small hotel, or its integrator, already has Home Assistant. With one announcement for each device, thermostats,
//! sensors, switches and locks appear there with their rooms, units and ranges, and nobody writes YAML.
//!
//! Terms: an *announcement* is the retained message on `<prefix>/device/<house>/<device>/config`; a *component* is one of
//! Home Assistant's entities in it. The *birth message* is what Home Assistant publishes when it has started.
//!
//! Flow: announcements are made of the configuration alone. They name the plain topics of the house for states, and its
//! command topics for what is set there: a command from Home Assistant takes the way of every command. They are published
//! at each connection, and again when Home Assistant is born. What is kept at the broker for a device or point that is no
//! longer there is taken back.
//!
//! Pure as a whole.
//!
//! Never: guests' names or anything else of theirs, not even whether a room is let; a value.

mod climate;
mod component;
mod config;
mod device;
mod names;
#[cfg(test)]
mod tests;
mod unit;

pub use config::{HomeAssistantConfig, HomeAssistantConfigError};
pub use device::HomeDevice;

use super::documents::ValueTopics;
use super::house::Publication;
use super::topic::HouseTopics;
use device::House;
use engawa_model::{LinkId, PropertyId};
use std::collections::BTreeMap;

/// What Home Assistant says when it has started.
const BORN: &[u8] = b"online";
/// The longest kept announcement that is looked into, bytes; a longer one is not of ours.
const MAX_KEPT: usize = 1024 * 1024;

/// The house as it is announced. Grows with the configuration and with nothing else.
#[derive(Clone, Debug)]
pub struct HomeAssistant {
    config: HomeAssistantConfig,
    house: House,
    /// The first levels of every announcement's topic, with a slash at the end.
    root: String,
    /// The devices by the last level but one of their topics.
    devices: BTreeMap<String, HomeDevice>,
}

impl HomeAssistant {
    /// Announces `devices` of the property `id` (people call it `name`), whose values are published as `values` says, and
    /// whether its `links` are up.
    pub fn new(
        config: HomeAssistantConfig,
        id: &PropertyId,
        name: &str,
        values: ValueTopics,
        links: Vec<LinkId>,
        devices: impl IntoIterator<Item = HomeDevice>,
    ) -> Self {
        let topics = HouseTopics::new(id);
        let house = House { id: id.clone(), name: name.to_owned(), topics, values, links };
        let root = format!("{}/device/engawa-{}/", config.prefix, names::slug(id.as_str()));
        let devices = devices.into_iter().map(|device| (names::slug(device.id.as_str()), device)).collect();
        Self { config, house, root, devices }
    }

    /// What is subscribed to: the birth message, and what the broker keeps of earlier announcements.
    pub fn filters(&self) -> [String; 2] {
        [self.config.birth_topic.clone(), format!("{}#", self.root)]
    }

    /// Where Home Assistant looks for everybody's announcements.
    pub fn prefix_filter(&self) -> String {
        format!("{}/#", self.config.prefix)
    }

    /// Where Home Assistant says that it has started.
    pub fn birth_topic(&self) -> &str {
        &self.config.birth_topic
    }

    /// What only the house may publish on.
    pub fn root_filter(&self) -> String {
        format!("{}#", self.root)
    }

    /// True for a topic that only the house may publish on.
    pub fn owns(&self, topic: &str) -> bool {
        topic.starts_with(&self.root)
    }

    /// True for a topic that [`Self::hear`] wants.
    pub fn listens(&self, topic: &str) -> bool {
        topic == self.config.birth_topic || self.owns(topic)
    }

    /// All announcements: first the house itself, of which the devices are parts. Empty where they are taken back.
    pub fn announcements(&self) -> Vec<Publication> {
        if !self.config.announce {
            return vec![];
        }
        let house = Publication::state(self.topic_of_house(), self.house.announcement());
        let devices = self.devices.iter().filter_map(|(slug, device)| {
            Some(Publication::state(self.topic(slug), self.house.device(device)?))
        });
        std::iter::once(house).chain(devices).collect()
    }

    /// What to publish because of a message. `retained`: the broker had kept it.
    pub fn hear(&self, topic: &str, payload: &[u8], retained: bool) -> Vec<Publication> {
        if topic == self.config.birth_topic {
            // One that was kept says that Home Assistant was there once; it has read what is kept, as we have now.
            return if payload == BORN && !retained { self.announcements() } else { vec![] };
        }
        if !self.owns(topic) || !retained || payload.is_empty() {
            return vec![];
        }
        match self.announcement(topic) {
            Some(now) => device::without(&now, payload)
                .map(|left| {
                    vec![
                        Publication::event(topic.to_owned(), left),
                        Publication::state(topic.to_owned(), now),
                    ]
                })
                .unwrap_or_default(),
            None => vec![Publication::state(topic.to_owned(), "")],
        }
    }

    /// What belongs on `topic` now.
    fn announcement(&self, topic: &str) -> Option<serde_json::Value> {
        if !self.config.announce {
            return None;
        }
        if topic == self.topic_of_house() {
            return Some(self.house.announcement());
        }
        let slug = topic.strip_prefix(&self.root)?.strip_suffix("/config")?;
        self.house.device(self.devices.get(slug)?)
    }

    fn topic_of_house(&self) -> String {
        format!("{}config", self.root)
    }

    fn topic(&self, slug: &str) -> String {
        format!("{}{slug}/config", self.root)
    }
}
