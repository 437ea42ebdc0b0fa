//! Devices that tell of themselves as Home Assistant's MQTT discovery has it: they are found, shown, and made into a
//! profile when somebody places them.
//!
//! Why: Zigbee2MQTT, ESPHome, Theengs and many more tell in this form which topics they have. An installer places what was
//! found instead of writing it.
//!
//! Terms: a *source* is the topic of a configuration message; an *entity* is one thing that a device has.
//!
//! Source: Home Assistant, MQTT, "MQTT Discovery" (home-assistant.io/integrations/mqtt): topics, device and single
//! component payloads, removal by an empty payload.
//!
//! Never: a guess. What of a message is not understood is said with the entity.

mod kinds;
mod points;
mod render;
mod template;
#[cfg(test)]
mod tests;
mod words;

pub use render::{NothingUnderstood, Rendered, profile};

use engawa_model::{Fact, Found, FoundAbout, FoundEntity, FoundId};
use points::Config;
use serde_json::{Map, Value as Json};

/// Where devices tell of themselves, unless their configuration says otherwise.
pub const PREFIX: &str = "homeassistant";
/// The longest message that is read, bytes; the house keeps half of it for a whole device.
const MAX_PAYLOAD: usize = 64 * 1024;
/// The longest name and id of a device, characters.
const MOST_CHARS: usize = 128;
/// Entities of one message that are read.
const MOST_ENTITIES: usize = 256;

/// Why a message tells of no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// More than a device has to tell.
    #[error("the payload has {0} bytes, at most {MAX_PAYLOAD} are read")]
    TooLong(usize),
    /// Not a JSON object.
    #[error("the payload is not a JSON object: {0}")]
    NotAnObject(String),
}

/// What is known of topics.
pub trait Topics {
    /// True for the house's own.
    fn is_ours(&self, topic: &str) -> bool;
    /// True for one of a device that is configured.
    fn is_placed(&self, topic: &str) -> bool;
}

/// A configuration topic, taken apart.
struct Source<'a> {
    component: &'a str,
    object: &'a str,
}

/// The filters to subscribe to.
pub fn filters() -> [String; 2] {
    [format!("{PREFIX}/+/+/config"), format!("{PREFIX}/+/+/+/config")]
}

/// True for a topic on which devices tell of themselves.
pub fn listens(topic: &str) -> bool {
    source(topic).is_some()
}

fn source(topic: &str) -> Option<Source<'_>> {
    let inner = topic.strip_prefix(PREFIX)?.strip_prefix('/')?.strip_suffix("/config")?;
    let mut levels = inner.split('/');
    let (component, second) = (levels.next()?, levels.next()?);
    let object = levels.next().unwrap_or(second);
    (levels.next().is_none() && ![component, second, object].contains(&""))
        .then_some(Source { component, object })
}

/// Reads one message on a topic that [`listens`]; what the house is to be told.
///
/// # Errors
/// A message that can't be read.
pub fn hear(topic: &str, payload: &[u8], topics: &impl Topics) -> Result<Vec<Fact>, DiscoveryError> {
    let Some(source) = source(topic) else { return Ok(vec![]) };
    let gone = || vec![Fact::FoundGone { source: topic.to_owned() }];
    if payload.is_empty() {
        return Ok(gone());
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(DiscoveryError::TooLong(payload.len()));
    }
    let mut told: Map<String, Json> =
        serde_json::from_slice(payload).map_err(|error| DiscoveryError::NotAnObject(error.to_string()))?;
    words::write_out(&mut told);
    let about = told.remove("device").unwrap_or_default();
    let origin = told.remove("origin").unwrap_or_default();
    let by_us = origin["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("engawa"));
    let components = components(&source, told);
    let topics_of = || components.iter().flat_map(|(_, _, config)| topics_in(config));
    if by_us || topics_of().any(|topic| topics.is_ours(topic)) {
        return Ok(vec![]);
    }
    if components.is_empty() || topics_of().any(|topic| topics.is_placed(topic)) {
        return Ok(gone());
    }
    let id = id(&about, &source, &components);
    let named = |key: &str| about[key].as_str().map(clean).filter(|text| !text.is_empty());
    let name =
        named("name").or_else(|| components.first().map(|(_, name, _)| name.clone())).unwrap_or_default();
    let about = FoundAbout {
        name,
        make: named("manufacturer"),
        model: named("model").or_else(|| named("model_id")),
        area: named("suggested_area"),
    };
    let entities = components.into_iter().map(|(kind, name, config)| entity(kind, name, &config)).collect();
    Ok(vec![Fact::DeviceFound { id, about, source: topic.to_owned(), entities }])
}

/// What found devices the house may forget at its start, because they are configured by now.
pub fn placed<'a>(found: impl IntoIterator<Item = &'a Found>, topics: &impl Topics) -> Vec<Fact> {
    let sources = found.into_iter().flat_map(|found| &found.sources);
    let is_placed = |entity: &FoundEntity| {
        let config: Map<String, Json> = serde_json::from_str(&entity.config).unwrap_or_default();
        topics_in(&config).any(|topic| topics.is_placed(topic))
    };
    let placed = sources.filter(|(_, entities)| entities.iter().any(is_placed));
    placed.map(|(source, _)| Fact::FoundGone { source: source.clone() }).collect()
}

/// Kind, name and configuration of each entity in a message.
fn components(source: &Source<'_>, mut told: Map<String, Json>) -> Vec<(String, String, Map<String, Json>)> {
    let name = |config: &Map<String, Json>, otherwise: &str| {
        let given = Config(config).text("name").or_else(|| Config(config).text("object_id"));
        clean(given.unwrap_or(otherwise))
    };
    if source.component != "device" {
        return vec![(clean(source.component), name(&told, source.object), told)];
    }
    let Some(Json::Object(components)) = told.remove("components") else { return vec![] };
    let components = components.into_iter().filter_map(|(key, component)| {
        let Json::Object(mut config) = component else { return None };
        let Some(Json::String(kind)) = config.remove("platform") else { return None };
        // With nothing but its platform a component is taken back.
        if config.is_empty() {
            return None;
        }
        // What is said for the whole device counts where the component says nothing.
        for (key, value) in &told {
            if !config.contains_key(key) {
                config.insert(key.clone(), value.clone());
            }
        }
        let name = name(&config, &key);
        Some((clean(&kind), name, config))
    });
    components.take(MOST_ENTITIES).collect()
}

/// All topics of an entity but those that say whether it is there: bridges share them.
fn topics_in(config: &Map<String, Json>) -> impl Iterator<Item = &str> {
    config
        .iter()
        .filter(|(key, _)| {
            key.ends_with("topic") && *key != "availability_topic" && *key != "json_attributes_topic"
        })
        .filter_map(|(_, value)| value.as_str())
}

fn id(about: &Json, source: &Source<'_>, components: &[(String, String, Map<String, Json>)]) -> FoundId {
    let identifier = match &about["identifiers"] {
        Json::Array(all) => all.first().and_then(Json::as_str),
        one => one.as_str(),
    };
    let connection = || about["connections"].as_array()?.first()?.as_array()?.get(1)?.as_str();
    let own = || components.first().and_then(|(_, _, config)| Config(config).text("unique_id"));
    let id = identifier.or_else(connection).or_else(own).map(clean).filter(|id| !id.is_empty());
    FoundId::new(id.unwrap_or_else(|| clean(source.object)))
}

/// A text of somebody else: one line, not too long.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect::<String>().trim().to_owned()
}

fn entity(kind: String, name: String, config: &Map<String, Json>) -> FoundEntity {
    let understood = points::understand(&kind, &name, &Config(config));
    let problem = (!understood.left_out.is_empty()).then(|| understood.left_out.join("; "));
    let config = serde_json::to_string(config).unwrap_or_default();
    FoundEntity { kind, name, problem, config }
}
