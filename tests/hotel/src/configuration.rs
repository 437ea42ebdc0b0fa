//! The gateway's configuration for this hotel, as an installer would write it.

use crate::cli::Out;
use crate::fias::Charset;
use anyhow::Context;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The password of the hotel's own clients at the broker: this hotel is played on one machine.
pub(crate) const PASSWORD: &str = "hotel";
/// The file of it, beside the configuration.
const PASSWORD_FILE: &str = "mqtt-password";

/// The currency of the hotel's bills.
pub(crate) const CURRENCY: &str = "EUR";
/// The folder of the profiles, beside the file.
const PROFILES: &str = "profiles";

/// The whole file. Plain values come before tables, as TOML wants it.
#[derive(Debug, Serialize)]
pub(crate) struct Configuration {
    profiles: &'static str,
    property: Property,
    climate: Climate,
    store: Store,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pms: Option<Pms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt: Option<Mqtt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<Cloud>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Api>,
    pub(crate) bus: Vec<Bus>,
    pub(crate) device: Vec<Device>,
}

#[derive(Debug, Serialize)]
struct Property {
    id: String,
    name: String,
    zone: &'static str,
    currency: &'static str,
    rooms: Vec<String>,
    resync_every_s: u32,
}

#[derive(Debug, Serialize)]
struct Climate {
    comfort_c: f64,
    eco_heating_c: f64,
    eco_cooling_c: f64,
    guest_hold_s: u32,
}

#[derive(Debug, Serialize)]
struct Store {
    dir: PathBuf,
}

/// The PMS link.
#[derive(Debug, Serialize)]
pub(crate) struct Pms {
    pub(crate) address: String,
    pub(crate) charset: Charset,
    /// Seconds; short, since a hotel on the same machine is never far away.
    pub(crate) reconnect_max_s: u32,
}

/// The broker.
#[derive(Debug, Serialize)]
pub(crate) struct Mqtt {
    /// Where the gateway's own listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// The site's.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    /// The hotel's sensors, which come through one receiver, and its till.
    user: Vec<User>,
}

/// A user of the broker.
#[derive(Debug, Serialize)]
struct User {
    name: &'static str,
    allowed: [&'static str; 1],
    password_file: &'static str,
}

#[derive(Debug, Serialize)]
struct Cloud {
    address: String,
    identity_dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Api {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
}

/// A Modbus gateway.
#[derive(Debug, Serialize)]
pub(crate) struct Bus {
    pub(crate) id: String,
    pub(crate) address: String,
}

/// A device.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) room: String,
    pub(crate) profile: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

impl Configuration {
    /// A configuration without PMS, broker and devices.
    pub(crate) fn new(out: &Out, rooms: Vec<String>, resync_every_s: u32) -> Self {
        let cloud = out.cloud_address.clone().zip(out.cloud_identity.clone());
        let api = Api { listen: out.api_listen.map(|at| at.to_string()), socket: out.api_socket.clone() };
        Self {
            profiles: PROFILES,
            property: Property {
                id: out.property.clone(),
                name: "Simulated hotel".to_owned(),
                zone: "Europe/Berlin",
                currency: CURRENCY,
                rooms,
                resync_every_s,
            },
            // The day is played in minutes: a hold of hours would be all of it.
            climate: Climate { comfort_c: 22.0, eco_heating_c: 18.0, eco_cooling_c: 26.0, guest_hold_s: 0 },
            store: Store { dir: out.store_dir.clone() },
            pms: None,
            mqtt: None,
            cloud: cloud.map(|(address, identity_dir)| Cloud { address, identity_dir }),
            api: (api.listen.is_some() || api.socket.is_some()).then_some(api),
            bus: Vec::new(),
            device: Vec::new(),
        }
    }

    /// Writes the file, and the profile `name` beside it.
    ///
    /// # Errors
    /// The folder can't be made or written.
    pub(crate) fn write(&self, file: &Path, name: &str, profile: &str) -> anyhow::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("")).join(PROFILES);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let beside = folder.join(format!("{name}.toml"));
        std::fs::write(&beside, profile).with_context(|| format!("writing {}", beside.display()))?;
        let password = file.parent().unwrap_or(Path::new("")).join(PASSWORD_FILE);
        std::fs::write(&password, PASSWORD).with_context(|| format!("writing {}", password.display()))?;
        let text = toml::to_string(self).context("writing the configuration as TOML")?;
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}

impl Mqtt {
    /// The broker at `address`: the gateway's own, or the site's.
    pub(crate) fn at(address: SocketAddr, site: bool) -> Self {
        let (listen, broker) =
            if site { (None, Some(format!("mqtt://{address}"))) } else { (Some(address.to_string()), None) };
        let user = |name, allowed| User { name, allowed: [allowed], password_file: PASSWORD_FILE };
        Self { listen, broker, user: vec![user("hotel-sensors", "devices"), user("hotel-till", "command")] }
    }
}
