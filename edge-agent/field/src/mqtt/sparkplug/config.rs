//! The `[sparkplug]` section of the configuration file, and what of it can be used.
//!
//! Never: sockets, files.

use super::names::{self, BadId, NodeNames};
use crate::mqtt::topic::escape;
use engawa_model::PropertyId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sparkplug, as configured. The section's presence switches it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SparkplugConfig {
    /// The group that the operator of the receiving system has given, such as `Hotels`.
    pub group: String,
    /// The edge node's id, unique in its group; the property's id when absent.
    #[serde(default)]
    pub node: Option<String>,
    /// The host that must be online before anything is published; nobody is waited for when absent.
    #[serde(default)]
    pub primary_host: Option<String>,
    /// The MQTT client id; `engawa-spb-<property>` when absent.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The id of the further broker where the hosts are; the main one when absent.
    #[serde(default)]
    pub broker: Option<String>,
}

/// Why the section can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {source}")]
pub struct SparkplugConfigError {
    /// The key that is to be mended.
    pub field: &'static str,
    /// What is wrong with it.
    source: BadId,
}

impl SparkplugConfig {
    /// Checks the section and says what names it comes to.
    ///
    /// # Errors
    /// An id that can't be part of a topic; the first in the order of the keys.
    pub fn names(&self, property: &PropertyId) -> Result<NodeNames, SparkplugConfigError> {
        let wrong = |field| move |source| SparkplugConfigError { field, source };
        let node = self.node.clone().unwrap_or_else(|| escape(property.as_str()));
        let host = self.primary_host.as_deref();
        NodeNames::new(&self.group, "node", None).map_err(wrong("group"))?;
        names::check(&node).map_err(wrong("node"))?;
        host.map_or(Ok(()), names::check).map_err(wrong("primary_host"))?;
        self.client_id.as_deref().map_or(Ok(()), names::check).map_err(wrong("client_id"))?;
        NodeNames::new(&self.group, &node, host).map_err(wrong("group"))
    }

    /// The MQTT client id. It is another than the house's own: a broker lets only one client have each.
    pub fn client_id(&self, property: &PropertyId) -> String {
        self.client_id.clone().unwrap_or_else(|| format!("engawa-spb-{}", escape(property.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_comes_to_names_or_says_which_key_is_wrong() {
        let names = |toml: &str| toml::from_str::<SparkplugConfig>(toml).unwrap().names(&"grand/1".into());
        assert_eq!(names("group = 'G'").unwrap(), NodeNames::new("G", "grand%2F1", None).unwrap());
        assert_eq!(
            names("group = 'G'\nnode = 'n'\nprimary_host = 'h'").unwrap(),
            NodeNames::new("G", "n", Some("h")).unwrap()
        );
        for (toml, field) in [
            ("group = ''", "group"),
            ("group = 'STATE'", "group"),
            ("group = 'G'\nnode = 'a/b'", "node"),
            ("group = 'G'\nprimary_host = '#'", "primary_host"),
            ("group = 'G'\nclient_id = ''", "client_id"),
        ] {
            assert_eq!(names(toml).unwrap_err().field, field, "{toml}");
        }
        assert!(toml::from_str::<SparkplugConfig>("gruop = 'G'").is_err());
    }
}
