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

/// True where `topic` is one that a subscription to `filter` brings (MQTT 3.1.1, section 4.7).
pub fn matches(filter: &str, topic: &str) -> bool {
    // Wildcards at the beginning don't match the broker's own topics.
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            // It also matches the level above.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// True where some topic matches both.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut these, mut those) = (one.split('/'), other.split('/'));
    loop {
        match (these.next(), those.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(this), Some(that)) if this == that => {}
            _ => return false,
        }
    }
}

/// True where every topic that matches `filter` matches `wider` as well.
pub fn covers(wider: &str, filter: &str) -> bool {
    if filter.starts_with('$') && !wider.starts_with('$') {
        return false;
    }
    let mut levels = filter.split('/');
    for wanted in wider.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            (_, Some("#")) | (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// The topics of one property, all below `engawa/<property>`. Names are escaped with [`escape`].
///
/// | topic | payload | retained |
/// |---|---|---|
/// | `status` | `online`, or `offline` by last will | yes |
/// | `business` | JSON: business date, night audit | yes |
/// | `room/<room>/state` | JSON: occupied, stays, signs, climate, ... | yes |
/// | `room/<room>/wake` | JSON: ringing, and for a call that rings its id, at, ring, language, text | yes |
/// | `room/<room>/guest` | JSON: what a screen in the room shows its guests, in their language | yes |
/// | `room/<room>/guest/message` | JSON: what guests are told now | no |
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

    /// What rings in a room.
    pub fn wake(&self, room: &RoomId) -> String {
        format!("{}/room/{}/wake", self.root, escape(room.as_str()))
    }

    /// What a screen in a room shows its guests.
    pub fn guest(&self, room: &RoomId) -> String {
        format!("{}/room/{}/guest", self.root, escape(room.as_str()))
    }

    /// What the guests of a room are told now; an event.
    pub fn guest_message(&self, room: &RoomId) -> String {
        format!("{}/message", self.guest(room))
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
        format!("{}/alert/{}/{}", self.root, kind.word(), escape(source))
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

    /// What the house's retained topics are found under; the birth is not among them, since it is said at each
    /// connection. The last is where the mark of a survey goes.
    pub fn state_filters(&self) -> Vec<String> {
        let below = [
            "business",
            "room/+/state",
            "room/+/wake",
            "room/+/guest",
            "room/+/point/+/+",
            "point/+/+",
            "device/+/health",
            "device/+/values",
            "link/+",
            "posting/+",
            "alert/+/+",
        ];
        let mut filters: Vec<_> = below.iter().map(|filter| format!("{}/{filter}", self.root)).collect();
        filters.push(self.survey());
        filters
    }

    /// A key is wanted at an encoder of the house; an event.
    pub fn key(&self, coder: &str) -> String {
        format!("{}/key/{}", self.root, escape(coder))
    }

    /// Where the mark of a survey of the retained topics goes; not retained, and nothing for others.
    pub fn survey(&self) -> String {
        format!("{}/survey", self.root)
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

    #[test]
    fn filters_match_topics_and_cover_filters() {
        for (filter, topic, matched) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
        ] {
            assert_eq!(matches(filter, topic), matched, "{filter} {topic}");
        }
        for (wider, filter, covered) in [
            ("a/#", "a/+/c", true),
            ("a/#", "a/#", true),
            ("a/#", "a", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "#", false),
            ("a/b", "a/+", false),
            ("#", "a/#", true),
            ("#", "$SYS/#", false),
            ("#", "$share/g/a", false),
        ] {
            assert_eq!(covers(wider, filter), covered, "{wider} {filter}");
        }
    }

    #[test]
    fn filters_overlap_where_a_topic_matches_both() {
        for (one, other, overlaps) in [
            ("a/+/+/c", "a/b/#", true),
            ("a/b", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/#", "b/#", false),
            ("#", "a", true),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (overlaps, overlaps), "{one} {other}");
        }
    }

    #[test]
    fn every_topic_of_state_is_surveyed_and_no_command_is() {
        let topics = HouseTopics::new(&PropertyId::from("h"));
        let (room, point) = (RoomId::from("12/3"), PointId::new("d", "p"));
        let filters = topics.state_filters();
        let surveyed = |topic: &str| filters.iter().any(|filter| matches(filter, topic));
        for topic in [
            topics.business(),
            topics.room(&room),
            topics.wake(&room),
            topics.guest(&room),
            topics.point(Some(&room), &point),
            topics.point(None, &point),
            topics.device(&DeviceId::from("d")),
            topics.values(&DeviceId::from("d")),
            topics.link(&LinkId::from("l")),
            topics.alert(AlertKind::Leak, "x/y"),
            topics.survey(),
        ] {
            assert!(surveyed(&topic), "{topic}");
        }
        for topic in [
            "h/room/1/guest/message",
            "h/cmd",
            "h/cmd/k/result",
            "h/cmd/error",
            "h/room/1/setpoint/set",
            "h/status",
        ] {
            assert!(!surveyed(&format!("engawa/{topic}")), "{topic}");
        }
    }

    proptest! {
        #[test]
        fn what_is_covered_matches(filter in "[ab+]{1}(/[ab+]){0,3}(/#)?", topic in "[ab](/[ab]){0,4}", wider in "[ab+]{1}(/[ab+]){0,3}(/#)?") {
            if covers(&wider, &filter) && matches(&filter, &topic) {
                prop_assert!(matches(&wider, &topic));
            }
        }

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
