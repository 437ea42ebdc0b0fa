//! Who may do what at the broker: deny by default.
//!
//! Why by topic and user: a sensor's password, read off a device in a guest's room, must not open a lock elsewhere. A
//! device publishes under its own topics and hears its own commands; whoever gives commands to the house has a user of
//! their own. The same rights are kept by the gateway's own broker and written out for Mosquitto.
//!
//! Never: passwords, files.

use super::MqttDevice;
use super::discovery;
use super::home_assistant::HomeAssistant;
use super::topic::{HouseTopics, covers, matches};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a user of the broker may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// Hear everything that the house publishes.
    Read,
    /// Give the house commands, and hear how they end.
    Command,
    /// Speak for all devices, and hear their commands: for a bridge such as Zigbee2MQTT, which connects once.
    Devices,
    /// What Home Assistant needs: `read`, `command`, its discovery and its birth message.
    HomeAssistant,
}

/// Filters of topics; what matches none is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Where messages may be published.
    pub publish: BTreeSet<String>,
    /// What may be subscribed to.
    pub subscribe: BTreeSet<String>,
    /// Where messages may not be published all the same.
    pub never: BTreeSet<String>,
}

/// Whose topics there are at a broker.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The house's.
    pub topics: &'a HouseTopics,
    /// The devices there.
    pub devices: &'a [MqttDevice],
    /// True where devices tell of themselves.
    pub discover: bool,
    /// The house as Home Assistant discovers it.
    pub home: Option<&'a HomeAssistant>,
}

impl Scene<'_> {
    /// What the house listens to for devices.
    fn heard(&self) -> impl Iterator<Item = String> {
        let found = self.discover.then(discovery::filters).into_iter().flatten();
        self.devices.iter().flat_map(MqttDevice::reports_on).chain(found)
    }

    /// What the house announces itself on.
    fn announced(&self) -> impl Iterator<Item = String> {
        self.home.map(HomeAssistant::root_filter).into_iter()
    }
}

impl Rights {
    /// Of a user with these permissions.
    pub fn of(allowed: &[Allowed], scene: Scene<'_>) -> Self {
        let mut rights = Self { never: scene.announced().collect(), ..Self::default() };
        for allowed in allowed {
            match allowed {
                Allowed::Read => {
                    rights.subscribe.insert(format!("{}/#", scene.topics.root()));
                }
                Allowed::Command => {
                    rights.publish.extend(scene.topics.command_filters());
                    rights.subscribe.insert(format!("{}/cmd/#", scene.topics.root()));
                }
                Allowed::Devices => {
                    rights.publish.extend(scene.heard());
                    rights.subscribe.extend(scene.devices.iter().flat_map(MqttDevice::commanded_on));
                }
                Allowed::HomeAssistant => {
                    rights.join(Self::of(&[Allowed::Read, Allowed::Command], scene));
                    if let Some(home) = scene.home {
                        rights.publish.insert(home.birth_topic().to_owned());
                        rights.subscribe.extend([home.prefix_filter(), home.birth_topic().to_owned()]);
                    }
                }
            }
        }
        rights
    }

    /// Of a device: its own topics.
    pub fn of_device(device: &MqttDevice) -> Self {
        Self {
            publish: device.speaks_on().into_iter().collect(),
            subscribe: device.commanded_on().into_iter().collect(),
            never: BTreeSet::new(),
        }
    }

    /// Of the house itself.
    pub fn of_house(scene: Scene<'_>) -> Self {
        let everything = format!("{}/#", scene.topics.root());
        let mut rights = Self::default();
        rights.subscribe.extend(scene.heard().chain([everything.clone()]));
        rights.subscribe.extend(scene.home.iter().flat_map(|home| home.filters()));
        rights.publish.extend(scene.devices.iter().flat_map(MqttDevice::commanded_on).chain([everything]));
        rights.publish.extend(scene.announced());
        rights
    }

    /// Both.
    pub fn join(&mut self, other: Self) {
        self.publish.extend(other.publish);
        self.subscribe.extend(other.subscribe);
        self.never.extend(other.never);
    }

    /// True where a message may go to `topic`.
    pub fn may_publish(&self, topic: &str) -> bool {
        let any = |filters: &BTreeSet<String>| filters.iter().any(|filter| matches(filter, topic));
        any(&self.publish) && !any(&self.never)
    }

    /// True where `filter` brings nothing that is not allowed.
    pub fn may_subscribe(&self, filter: &str) -> bool {
        self.subscribe.iter().any(|wider| covers(wider, filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::ValueTopics;

    fn device(name: &str) -> MqttDevice {
        let profile = "status_topic = 'z/{device}'\n[[availability]]\ntopic = 'z/{device}/there'\n[[availability]]\ntopic = 'z/bridge/state'\n[[requests]]\ntopic = 'z/{device}/get'\n\
            [[points]]\nname = 'p'\nkind = 'float'\npointer = '/p'\ncommand_topic = 'z/{device}/set'";
        MqttDevice {
            id: name.into(),
            room: None,
            name: name.to_owned(),
            profile: std::sync::Arc::new(toml::from_str(profile).unwrap()),
        }
    }

    #[test]
    fn a_device_has_its_own_topics_and_nothing_else() {
        let rights = Rights::of_device(&device("a"));
        for topic in ["z/a", "z/a/there"] {
            assert!(rights.may_publish(topic), "{topic}");
        }
        for filter in ["z/a/set", "z/a/get"] {
            assert!(rights.may_subscribe(filter), "{filter}");
        }
        for topic in
            ["z/bridge/state", "z/b", "z/a/set", "z/a/more", "engawa/h/cmd", "engawa/h/room/1/setpoint/set"]
        {
            assert!(!rights.may_publish(topic), "{topic}");
        }
        for filter in ["#", "z/#", "z/+/set", "z/b/set", "z/a", "engawa/h/#", "$SYS/#", "$share/g/z/a/set"] {
            assert!(!rights.may_subscribe(filter), "{filter}");
        }
    }

    #[test]
    fn users_have_what_they_are_given() {
        let topics = HouseTopics::new(&"h".into());
        let devices = [device("a"), device("b")];
        let home = HomeAssistant::new(
            toml::from_str("").unwrap(),
            &"h".into(),
            "H",
            ValueTopics::Points,
            vec![],
            [],
        );
        let scene = Scene { topics: &topics, devices: &devices, discover: true, home: Some(&home) };
        let of = |allowed: &[Allowed]| Rights::of(allowed, scene);
        assert!(of(&[]).publish.is_empty() && of(&[]).subscribe.is_empty());
        let reader = of(&[Allowed::Read]);
        assert!(reader.may_subscribe("engawa/h/room/+/state") && !reader.may_publish("engawa/h/cmd"));
        assert!(!reader.may_subscribe("engawa/#") && !reader.may_subscribe("#"));
        let commander = of(&[Allowed::Command]);
        assert!(commander.may_publish("engawa/h/cmd") && commander.may_publish("engawa/h/point/a/p/set"));
        assert!(commander.may_subscribe("engawa/h/cmd/+/result") && !commander.may_subscribe("engawa/h/#"));
        assert!(!commander.may_publish("engawa/h/status") && !commander.may_publish("z/a"));
        let bridge = of(&[Allowed::Devices]);
        assert!(bridge.may_publish("z/b") && bridge.may_publish("z/bridge/state"));
        assert!(bridge.may_publish("z/b") && bridge.may_subscribe("z/a/set"));
        assert!(bridge.may_publish("homeassistant/sensor/x/config"));
        assert!(!bridge.may_publish("engawa/h/cmd"));
        assert!(!bridge.may_publish("homeassistant/device/engawa-h/config"), "the house's own announcement");
        let assistant = of(&[Allowed::HomeAssistant]);
        assert!(assistant.may_publish("homeassistant/status") && assistant.may_subscribe("homeassistant/#"));
        assert!(
            assistant.may_publish("engawa/h/point/a/p/set") && assistant.may_subscribe("engawa/h/status")
        );
        assert!(!assistant.may_publish("engawa/h/status") && !assistant.may_publish("z/a/set"));
        let house = Rights::of_house(scene);
        assert!(house.may_publish("engawa/h/status") && house.may_publish("z/a/get"));
        assert!(
            house.may_publish("homeassistant/device/engawa-h/config") && house.may_subscribe("z/a/there")
        );
    }
}
