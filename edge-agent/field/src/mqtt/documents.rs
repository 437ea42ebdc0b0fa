//! All values of a device in one message, and which form the house's values have on the broker.
//!
//! Why two forms: a topic for each point is what a rule or a screen subscribes to; a document for each device is what a
//! database or another hub takes in, and costs one message where twenty points change together.
//!
//! Never: sockets, time.

use super::house::Publication;
use super::topic::HouseTopics;
use engawa_model::{DeviceId, PointId, Property, Quality};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

/// How the values of points are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueTopics {
    /// Each point on a topic of its own.
    #[default]
    Points,
    /// All points of a device in one document.
    Devices,
    /// Both.
    Both,
}

impl ValueTopics {
    /// True where each point has a topic.
    pub fn points(self) -> bool {
        self != Self::Devices
    }

    /// True where each device has a document.
    pub fn devices(self) -> bool {
        self != Self::Points
    }
}

/// The document of `device`: the values that it has reported, the instant of the newest, and which of them are not
/// good. `None` before its first report.
pub fn device_values(property: &Property, device: &DeviceId) -> Option<Publication> {
    let spec = property.device_spec(device)?;
    let (mut values, mut quality, mut newest) = (Map::new(), Map::new(), None);
    for point in spec.points.iter() {
        let id = PointId { device: device.clone(), point: point.name.clone() };
        let Some(state) = property.point(&id) else { continue };
        values.insert(point.name.to_string(), json!(state.value));
        if state.quality != Quality::Good {
            quality.insert(point.name.to_string(), json!(state.quality));
        }
        newest = newest.max(Some(state.at));
    }
    let at = newest?;
    let mut document = json!({ "at": at, "values": values });
    if let Some(room) = &spec.room {
        document["room"] = json!(room);
    }
    if !quality.is_empty() {
        document["quality"] = quality.into();
    }
    Some(Publication::state(HouseTopics::new(&property.spec().id).values(device), document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::house::{publications, snapshot};
    use engawa_model::{Fact, Observation, PointSpec, PropertySpec, Timestamp, Value};

    fn property() -> Property {
        let point = |name: &str| PointSpec {
            name: name.into(),
            role: None,
            unit: None,
            writable: false,
            min: None,
            max: None,
        };
        let spec = PropertySpec {
            id: "h".into(),
            zone: "UTC".to_owned(),
            currency: engawa_model::Currency::new("EUR").unwrap(),
            climate: toml::from_str("comfort_c = 22.0\neco_heating_c = 18.0\neco_cooling_c = 26.0").unwrap(),
            rooms: vec![engawa_model::RoomSpec { id: "1/2".into() }],
            devices: vec![engawa_model::DeviceSpec {
                id: "d".into(),
                room: Some("1/2".into()),
                profile: "p".to_owned(),
                points: vec![point("a"), point("b"), point("c")].into(),
            }],
            resync_every_s: 1,
            order_ttl_s: 1,
        };
        Property::new(spec)
    }

    fn report(
        property: &mut Property,
        second: i64,
        point: &str,
        value: Option<Value>,
        quality: Quality,
    ) -> Vec<String> {
        let sampled = Timestamp::from_second(second).unwrap();
        let fact = Fact::Reported { point: PointId::new("d", point), value, quality, sampled };
        let applied = property.apply(&Observation::new(sampled, fact));
        let published =
            applied.changes.iter().flat_map(|change| publications(property, change, ValueTopics::Devices));
        published.map(|publication| publication.topic).collect()
    }

    #[test]
    fn a_document_has_what_the_device_has_reported() {
        let mut property = property();
        assert_eq!(device_values(&property, &"d".into()), None);
        assert_eq!(report(&mut property, 5, "a", Some(Value::Float(21.5)), Quality::Good), [""; 0]);
        report(&mut property, 9, "b", None, Quality::Bad);
        let document = device_values(&property, &"d".into()).unwrap();
        assert_eq!(document.topic, "engawa/h/device/d/values");
        assert!(document.retain);
        assert_eq!(
            document.payload,
            r#"{"at":"1970-01-01T00:00:09Z","quality":{"b":"bad"},"room":"1/2","values":{"a":21.5,"b":null}}"#
        );
    }

    #[test]
    fn the_snapshot_has_the_forms_that_are_wanted() {
        let mut property = property();
        report(&mut property, 5, "a", Some(Value::Int(1)), Quality::Good);
        for (form, points, documents) in
            [(ValueTopics::Points, 1, 0), (ValueTopics::Devices, 0, 1), (ValueTopics::Both, 1, 1)]
        {
            let all = snapshot(&property, form);
            let count =
                |part: &str| all.iter().filter(|publication| publication.topic.contains(part)).count();
            assert_eq!((count("/point/"), count("/values")), (points, documents), "{form:?}");
        }
    }
}
