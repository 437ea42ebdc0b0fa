//! The agent's configuration: one TOML file.

use engawa_model::{ClimateDefaults, Currency, PropertyId, PropertySpec, RoomId, RoomSpec};
use engawa_pms::PmsConfig;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) property: PropertyConfig,
    pub(crate) climate: ClimateDefaults,
    pub(crate) store: StoreConfig,
    /// The PMS; a house without one leaves it out.
    pub(crate) pms: Option<PmsConfig>,
}

/// Who and where the house is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PropertyConfig {
    /// The property's name in the fleet.
    pub(crate) id: String,
    /// The name for people.
    pub(crate) name: String,
    /// IANA time zone.
    pub(crate) zone: String,
    /// ISO 4217.
    pub(crate) currency: Currency,
    /// Room numbers as the PMS writes them.
    pub(crate) rooms: Vec<String>,
    /// The shortest time between two lists that the house asks for by itself, seconds.
    #[serde(default = "hour")]
    pub(crate) resync_every_s: u32,
    /// How long a set point that could not be written stays wanted, seconds.
    #[serde(default = "hour")]
    pub(crate) order_ttl_s: u32,
}

/// Where the data lives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// The folder of the database.
    pub(crate) dir: PathBuf,
    /// The key's file; `key` in the folder where absent. The systemd credential `engawa-db-key` goes before both.
    pub(crate) key_file: Option<PathBuf>,
}

const fn hour() -> u32 {
    3600
}

/// Reads and checks `path`; every fault in plain words, with its place where the reader knows it.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("can't be read: {error}")])?;
    let config: Config = toml::from_str(&text).map_err(|error| vec![error.to_string()])?;
    let faults = config.faults();
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

impl Config {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = TimeZone::get(&self.property.zone) {
            faults.push(format!(
                "property.zone: `{}` is not an IANA time zone such as `Asia/Tokyo`: {error}",
                self.property.zone
            ));
        }
        if self.property.rooms.is_empty() {
            faults.push("property.rooms: expected at least one room, such as `rooms = [\"101\"]`".to_owned());
        }
        let mut seen = BTreeSet::new();
        for room in self.property.rooms.iter().filter(|room| !seen.insert(*room)) {
            faults.push(format!("property.rooms: `{room}` is there twice; each room once"));
        }
        let climate = &self.climate;
        for (field, value) in [
            ("comfort_c", climate.comfort_c),
            ("eco_heating_c", climate.eco_heating_c),
            ("eco_cooling_c", climate.eco_cooling_c),
        ] {
            if !(5.0..=35.0).contains(&value) {
                faults.push(format!("climate.{field}: {value} is not a room's set point; expected 5 to 35 °C"));
            }
        }
        if !(climate.eco_heating_c <= climate.comfort_c && climate.comfort_c <= climate.eco_cooling_c) {
            faults.push("climate: expected eco_heating_c <= comfort_c <= eco_cooling_c".to_owned());
        }
        let pms = self.pms.iter().flat_map(PmsConfig::validate);
        faults.extend(pms.map(|(field, fault)| format!("pms.{field}: {fault}")));
        faults
    }

    /// What the model wants to know.
    pub(crate) fn property_spec(&self) -> PropertySpec {
        let property = &self.property;
        PropertySpec {
            id: PropertyId::new(property.id.clone()),
            zone: property.zone.clone(),
            currency: property.currency,
            climate: self.climate.clone(),
            rooms: property.rooms.iter().map(|id| RoomSpec { id: RoomId::new(id.clone()) }).collect(),
            devices: Vec::new(),
            resync_every_s: property.resync_every_s,
            order_ttl_s: property.order_ttl_s,
        }
    }

    /// The file of the database's key.
    pub(crate) fn key_file(&self) -> PathBuf {
        let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join("engawa-db-key"));
        handed_over
            .filter(|path| path.exists())
            .or_else(|| self.store.key_file.clone())
            .unwrap_or_else(|| self.store.dir.join("key"))
    }
}
