//! Names of the Sparkplug topic namespace: `spBv1.0/<group>/<type>/<node>[/<device>]` (Sparkplug 3.0, section 4.1).
//!
//! Why devices are escaped: a device of the house may be called anything, a Sparkplug id may not hold `+`, `/` or
//! `#`. The escaping is that of the house's own topics, so it can be undone and two devices stay two.
//!
//! Never: sockets, time.

use super::super::topic::{escape, unescape};
use engawa_model::DeviceId;

/// What all topics of Sparkplug B begin with.
const NAMESPACE: &str = "spBv1.0";
/// The longest id of a group, node or host, bytes: four of them and the device's fit into any broker's limit.
const MAX_ID: usize = 128;

/// An id that can't be part of a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{id}` can't be a Sparkplug id: use 1 to {MAX_ID} bytes without `+`, `/`, `#` and control characters"
)]
pub struct BadId {
    /// The id.
    pub id: String,
}

/// Checks the id of a group, an edge node or a host.
///
/// # Errors
/// Empty, too long, or with a character that topics reserve.
pub(super) fn check(id: &str) -> Result<(), BadId> {
    let fits = !id.is_empty()
        && id.len() <= MAX_ID
        && !id.chars().any(|c| matches!(c, '+' | '/' | '#') || c.is_control());
    if fits { Ok(()) } else { Err(BadId { id: id.to_owned() }) }
}

/// The names of one edge node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNames {
    group: String,
    node: String,
    host: Option<String>,
}

/// A topic that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// STATE of the primary host.
    State,
    /// NCMD for this node.
    NodeCommand,
    /// DCMD for a device of this node.
    DeviceCommand(DeviceId),
}

impl NodeNames {
    /// The names of edge node `node` in `group`, which waits for the primary host `host` where there is one.
    ///
    /// # Errors
    /// An id that can't be part of a topic.
    pub fn new(group: &str, node: &str, host: Option<&str>) -> Result<Self, BadId> {
        for id in [Some(group), Some(node), host].into_iter().flatten() {
            check(id)?;
        }
        if group == "STATE" {
            // The level is that of host states.
            return Err(BadId { id: group.to_owned() });
        }
        Ok(Self { group: group.to_owned(), node: node.to_owned(), host: host.map(str::to_owned) })
    }

    /// True where a primary host is waited for.
    pub(super) fn has_host(&self) -> bool {
        self.host.is_some()
    }

    /// A topic of the node itself: NBIRTH, NDATA, NDEATH, NCMD.
    pub fn of_node(&self, kind: &str) -> String {
        format!("{NAMESPACE}/{}/{kind}/{}", self.group, self.node)
    }

    /// A topic of one of its devices: DBIRTH, DDATA, DDEATH, DCMD.
    pub fn of_device(&self, kind: &str, device: &DeviceId) -> String {
        format!("{}/{}", self.of_node(kind), escape(device.as_str()))
    }

    /// Where the primary host says whether it is online.
    pub fn state(&self) -> Option<String> {
        self.host.as_ref().map(|host| format!("{NAMESPACE}/STATE/{host}"))
    }

    /// What the node subscribes to: its own commands, those of its devices, and the primary host's state.
    pub fn filters(&self) -> Vec<String> {
        let commands = [self.of_node("NCMD"), format!("{}/+", self.of_node("DCMD"))];
        commands.into_iter().chain(self.state()).collect()
    }

    /// What `topic` is to this node.
    pub(super) fn heard(&self, topic: &str) -> Option<Heard> {
        if self.state().is_some_and(|state| state == topic) {
            return Some(Heard::State);
        }
        if topic == self.of_node("NCMD") {
            return Some(Heard::NodeCommand);
        }
        let device = topic.strip_prefix(&self.of_node("DCMD"))?.strip_prefix('/')?;
        (!device.contains('/'))
            .then(|| unescape(device).map(|device| Heard::DeviceCommand(DeviceId::new(device))))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_the_form_of_the_namespace() {
        let names = NodeNames::new("Hotels", "grand", Some("scada")).unwrap();
        assert_eq!(names.of_node("NBIRTH"), "spBv1.0/Hotels/NBIRTH/grand");
        assert_eq!(names.of_device("DBIRTH", &"t/1".into()), "spBv1.0/Hotels/DBIRTH/grand/t%2F1");
        let filters = ["spBv1.0/Hotels/NCMD/grand", "spBv1.0/Hotels/DCMD/grand/+", "spBv1.0/STATE/scada"];
        assert_eq!(names.filters(), filters);
        for (topic, heard) in [
            ("spBv1.0/STATE/scada", Some(Heard::State)),
            ("spBv1.0/STATE/other", None),
            ("spBv1.0/Hotels/NCMD/grand", Some(Heard::NodeCommand)),
            ("spBv1.0/Hotels/NCMD/grand/t", None),
            ("spBv1.0/Hotels/DCMD/grand/t%2F1", Some(Heard::DeviceCommand("t/1".into()))),
            ("spBv1.0/Hotels/DCMD/grand/a/b", None),
            ("spBv1.0/Hotels/DCMD/grand/%zz", None),
            ("spBv1.0/Hotels/DCMD/grander", None),
        ] {
            assert_eq!(names.heard(topic), heard, "{topic}");
        }
    }

    #[test]
    fn ids_that_topics_can_not_hold_are_refused() {
        for id in ["", "a/b", "a+b", "#", "a\nb", &"x".repeat(MAX_ID + 1)] {
            assert!(NodeNames::new("g", id, None).is_err(), "{id}");
            assert!(NodeNames::new(id, "n", None).is_err(), "{id}");
            assert!(NodeNames::new("g", "n", Some(id)).is_err(), "{id}");
        }
        assert!(NodeNames::new("STATE", "n", None).is_err());
        assert!(NodeNames::new("Grand Hôtel", "n 1", Some("h-1")).is_ok());
    }
}
