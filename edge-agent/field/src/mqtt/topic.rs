//! The house's topics on the broker, and the escaping that names need inside of one.
//!
//! Why: a room number is opaque (FIAS 2.20, field RN) and may hold a slash or a wildcard; unescaped it would
//! be another topic, or none. The topics are the house's public interface: they are documented in
//! [`HouseTopics`] and do not change their meaning.
//!
//! Terms: a *level* is one part of a topic between slashes (MQTT 3.1.1, section 4.7).
//!
//! Never: sockets, time.

use engawa_model::{AlertKind, CommandKey, DeviceId, LinkId, PointId, PostingNumber, PropertyId, RoomId};

/// The longest topic that MQTT can carry, bytes (a length-prefixed string, MQTT 3.1.1 section 1.5.3).
pub const MAX_TOPIC_BYTES: usize = 65_535;

/// `name` as one level of a topic: `/`, `+`, `#`, `%` and control characters become `%XX` (hexadecimal of
/// their UTF-8 bytes), everything else stays readable.
pub fn escape(name: &str) -> String {
    let mut level = String::with_capacity(name.len());
    let mut bytes = [0; 4];
    for c in name.chars() {
        if matches!(c, '/' | '+' | '#' | '%') || c.is_control() {
            for byte in c.encode_utf8(&mut bytes).bytes() {
                level.push('%');
                level.push_str(&format!("{byte:02X}"));
            }
        } else {
            level.push(c);
        }
    }
    level
}

/// The name that was escaped into `level`; `None` where that can't have been made by [`escape`].
pub fn unescape(level: &str) -> Option<String> {
    let mut name = Vec::with_capacity(level.len());
    let mut bytes = level.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok()
}

/// The topics of one property, all below `engawa/<property>`. Names are escaped with [`escape`].
///
/// | topic | payload | retained |
/// |---|---|---|
/// | `status` | `online`, or `offline` by last will | yes |
/// | `business` | JSON: business date, night audit | yes |
/// | `room/<room>/state` | JSON: occupied, stays, signs, climate, ... | yes |
/// | `room/<room>/point/<device>/<point>` | JSON: value, quality, at, unit | yes |
/// | `point/<device>/<point>` | the same, for a device that is in no room | yes |
/// | `device/<device>/health` | JSON: state, reason, since | yes |
/// | `device/<device>/values` | JSON: at, values, quality, room; where `values` asks for documents | yes |
/// | `link/<link>` | JSON: up, detail, since | yes |
/// | `posting/<number>` | JSON: state, room, amount, answer | yes |
/// | `alert/<kind>/<source>` | JSON: active, count, text | yes |
/// | `room/<room>/setpoint/set` | command in: a number, or JSON with `value` | no |
/// | `point/<device>/<point>/set` | command in: the value as JSON, or JSON with `value` | no |
/// | `cmd` | command in: JSON with `key` and `do` | no |
/// | `cmd/<key>/result` | JSON: how the command ended | no |
/// | `cmd/error` | JSON: why a message was not understood | no |
#[derive(Clone, Debug)]
pub struct HouseTopics {
    root: String,
    /// False where the house neither publishes on them nor takes commands.
    open: bool,
}

/// A message that came in on one of the house's command topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandTopic {
    /// `room/<room>/setpoint/set`.
    Setpoint(RoomId),
    /// `point/<device>/<point>/set`, whatever room the device is in.
    Point(PointId),
    /// `cmd`.
    Any,
}

impl HouseTopics {
    /// The topics of `property`.
    pub fn new(property: &PropertyId) -> Self {
        Self { root: format!("engawa/{}", escape(property.as_str())), open: true }
    }

    /// The topics of a property that keeps them to itself: nothing is published on them, and no command is taken.
    pub fn closed(property: &PropertyId) -> Self {
        Self { open: false, ..Self::new(property) }
    }

    /// False for [`Self::closed`].
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What all topics of the property begin with, without a slash at the end.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Birth and last will.
    pub fn status(&self) -> String {
        format!("{}/status", self.root)
    }

    /// Business date and night audit.
    pub fn business(&self) -> String {
        format!("{}/business", self.root)
    }

    /// A room's state.
    pub fn room(&self, room: &RoomId) -> String {
        format!("{}/room/{}/state", self.root, escape(room.as_str()))
    }

    /// A point's last report.
    pub fn point(&self, room: Option<&RoomId>, point: &PointId) -> String {
        let place = room.map_or_else(String::new, |room| format!("room/{}/", escape(room.as_str())));
        let device = escape(point.device.as_str());
        format!("{}/{place}point/{device}/{}", self.root, escape(&point.point))
    }

    /// Where a point is set.
    pub fn set_point(&self, point: &PointId) -> String {
        format!("{}/set", self.point(None, point))
    }

    /// A device's health.
    pub fn device(&self, device: &DeviceId) -> String {
        format!("{}/device/{}/health", self.root, escape(device.as_str()))
    }

    /// All values of a device.
    pub fn values(&self, device: &DeviceId) -> String {
        format!("{}/device/{}/values", self.root, escape(device.as_str()))
    }

    /// A link's health.
    pub fn link(&self, link: &LinkId) -> String {
        format!("{}/link/{}", self.root, escape(link.as_str()))
    }

    /// A posting.
    pub fn posting(&self, number: PostingNumber) -> String {
        format!("{}/posting/{number}", self.root)
    }

    /// An alert.
    pub fn alert(&self, kind: AlertKind, source: &str) -> String {
        let kind = match kind {
            AlertKind::PostingDoubtful => "posting_doubtful",
            AlertKind::Leak => "leak",
            AlertKind::WriteFailed => "write_failed",
        };
        format!("{}/alert/{kind}/{}", self.root, escape(source))
    }

    /// How a command ended.
    pub fn result(&self, key: &CommandKey) -> String {
        format!("{}/cmd/{}/result", self.root, escape(key.as_str()))
    }

    /// Answers to messages that are no commands.
    pub fn error(&self) -> String {
        format!("{}/cmd/error", self.root)
    }

    /// What the house subscribes to for commands.
    pub fn command_filters(&self) -> Vec<String> {
        let filters = ["cmd", "room/+/setpoint/set", "point/+/+/set"].into_iter().filter(|_| self.open);
        filters.map(|filter| format!("{}/{filter}", self.root)).collect()
    }

    /// True for every topic of this property, commands and state alike.
    pub fn owns(&self, topic: &str) -> bool {
        topic.strip_prefix(&self.root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The command topic that `topic` is, if it is one.
    pub fn command(&self, topic: &str) -> Option<CommandTopic> {
        let rest = topic.strip_prefix(&self.root).filter(|_| self.open)?.strip_prefix('/')?;
        if rest == "cmd" {
            return Some(CommandTopic::Any);
        }
        // A level that nobody could have escaped names nothing of the house: the house says so by itself.
        let name = |level: &str| unescape(level).unwrap_or_else(|| level.to_owned());
        if let Some(rest) = rest.strip_prefix("point/") {
            let (device, point) = rest.strip_suffix("/set")?.split_once('/')?;
            let point = (!point.contains('/')).then(|| name(point))?;
            return Some(CommandTopic::Point(PointId {
                device: DeviceId::new(name(device)),
                point: point.into(),
            }));
        }
        let room = rest.strip_prefix("room/")?.strip_suffix("/setpoint/set")?;
        if room.contains('/') {
            return None;
        }
        Some(CommandTopic::Setpoint(RoomId::new(name(room))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_escaped_into_one_level() {
        for (name, level) in [
            ("101", "101"),
            ("0 7", "0 7"),
            ("12/3", "12%2F3"),
            ("A+B#", "A%2BB%23"),
            ("50%", "50%25"),
            ("茶室", "茶室"),
            ("a\0b", "a%00b"),
        ] {
            assert_eq!(escape(name), level);
            assert_eq!(unescape(level).as_deref(), Some(name));
        }
        for level in ["%", "%2", "%GG", "%+1", "%FF"] {
            assert_eq!(unescape(level), None, "{level}");
        }
    }

    #[test]
    fn command_topics_are_told_from_others() {
        let topics = HouseTopics::new(&PropertyId::from("hotel/one"));
        assert_eq!(topics.root(), "engawa/hotel%2Fone");
        assert_eq!(topics.command("engawa/hotel%2Fone/cmd"), Some(CommandTopic::Any));
        assert_eq!(
            topics.command("engawa/hotel%2Fone/room/12%2F3/setpoint/set"),
            Some(CommandTopic::Setpoint(RoomId::from("12/3")))
        );
        assert_eq!(
            topics.command("engawa/hotel%2Fone/point/t%2F1/set/set"),
            Some(CommandTopic::Point(PointId::new("t/1", "set")))
        );
        for other in [
            "engawa/hotel%2Fone",
            "engawa/hotel%2Fone/point/t/set",
            "engawa/hotel%2Fone/point/t/p/q/set",
            "engawa/hotel%2Fone/point/t/p",
            "engawa/hotel%2Fone/cmd/k/result",
            "engawa/hotel%2Fone/room/1/2/setpoint/set",
            "engawa/hotel%2Fone/room/101/state",
            "engawa/hotel%2Fone2/cmd",
            "zigbee2mqtt/101",
        ] {
            assert_eq!(topics.command(other), None, "{other}");
        }
        let closed = HouseTopics::closed(&PropertyId::from("hotel/one"));
        assert_eq!(closed.command("engawa/hotel%2Fone/cmd"), None);
        assert!(closed.command_filters().is_empty() && closed.owns("engawa/hotel%2Fone/cmd"));
        assert!(topics.owns("engawa/hotel%2Fone/room/101/state"));
        assert!(!topics.owns("engawa/hotel%2Fone2/cmd"));
    }

    proptest! {
        #[test]
        fn every_name_survives_and_is_one_level(name in any::<String>()) {
            let level = escape(&name);
            prop_assert!(!level.contains(['/', '+', '#', '\0']));
            prop_assert_eq!(unescape(&level), Some(name));
        }

        #[test]
        fn no_level_makes_unescape_panic(level in any::<String>()) {
            let _ = unescape(&level);
        }
    }
}
