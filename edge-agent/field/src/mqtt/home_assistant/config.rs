//! The `[home_assistant]` section of the configuration file, and what of it can be used.
//!
//! Never: sockets, files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Home Assistant, as configured. The section's presence switches it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeAssistantConfig {
    /// Home Assistant's discovery prefix; `homeassistant`, as it has it by itself, when absent.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The topic of its birth message; `homeassistant/status`, as it has it by itself, when absent.
    #[serde(default = "birth_topic")]
    pub birth_topic: String,
    /// False takes back all that was announced before; remove the section after that.
    #[serde(default = "yes")]
    pub announce: bool,
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        Self { prefix: prefix(), birth_topic: birth_topic(), announce: yes() }
    }
}

fn prefix() -> String {
    "homeassistant".to_owned()
}

fn birth_topic() -> String {
    "homeassistant/status".to_owned()
}

const fn yes() -> bool {
    true
}

/// The longest topic that may be configured here, bytes: names of devices follow.
const MAX_TOPIC: usize = 256;

/// Why the section can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{topic}` can't be a topic here: use 1 to {MAX_TOPIC} bytes without `+`, `#`, control characters and a slash at either end"
)]
pub struct HomeAssistantConfigError {
    /// The key that is to be mended.
    pub field: &'static str,
    /// What it says.
    topic: String,
}

impl HomeAssistantConfig {
    /// Everything that is wrong with the section.
    pub fn faults(&self) -> Vec<HomeAssistantConfigError> {
        let topics = [("prefix", &self.prefix), ("birth_topic", &self.birth_topic)];
        let wrong = topics.into_iter().filter(|(_, topic)| {
            let bad = |c: char| matches!(c, '+' | '#') || c.is_control();
            topic.is_empty()
                || topic.len() > MAX_TOPIC
                || topic.contains(bad)
                || topic.starts_with('/')
                || topic.ends_with('/')
        });
        wrong.map(|(field, topic)| HomeAssistantConfigError { field, topic: topic.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_home_assistant_as_it_comes_and_faults_name_their_key() {
        let read = |toml: &str| toml::from_str::<HomeAssistantConfig>(toml).unwrap();
        assert_eq!(read(""), HomeAssistantConfig::default());
        assert_eq!(read("").faults(), []);
        assert_eq!(read("prefix = 'site/ha'\nbirth_topic = 'ha/up'\nannounce = false").faults(), []);
        for (toml, fields) in [
            ("prefix = ''", vec!["prefix"]),
            ("prefix = 'a/'", vec!["prefix"]),
            ("prefix = '/a'", vec!["prefix"]),
            ("prefix = 'a/+'\nbirth_topic = '#'", vec!["prefix", "birth_topic"]),
            ("birth_topic = \"a\\u0000\"", vec!["birth_topic"]),
        ] {
            let faults = read(toml).faults();
            assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), fields, "{toml}");
        }
        assert!(toml::from_str::<HomeAssistantConfig>("prefx = 'x'").is_err());
    }
}
