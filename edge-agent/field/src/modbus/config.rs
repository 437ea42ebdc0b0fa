//! One bus, as configured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Modbus TCP connection: one device, or a gateway with many behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// Its name.
    pub id: String,
    /// Where it is, `host:port`; 502 is the usual port.
    pub address: String,
    /// How long a device may take to answer, ms.
    #[serde(default = "second")]
    pub timeout_ms: u32,
}

const fn second() -> u32 {
    1000
}

impl BusConfig {
    /// What is wrong: field and fault.
    pub fn validate(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.id.is_empty()
            || self.id.len() > 64
            || self.id.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        {
            faults.push((
                "id",
                format!("`{}` can't name a bus; expected letters, digits, `-`, `_` or `.`", self.id),
            ));
        }
        let port = self.address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(' '));
        if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
            faults.push((
                "address",
                format!("`{}` is not `host:port`; expected for example `192.168.10.5:502`", self.address),
            ));
        }
        if !(10..=60_000).contains(&self.timeout_ms) {
            faults
                .push(("timeout_ms", format!("{} ms can't be meant; expected 10 to 60000", self.timeout_ms)));
        }
        faults
    }
}
