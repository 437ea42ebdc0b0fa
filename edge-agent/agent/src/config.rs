//! The agent's configuration: one TOML file, and a folder of device profiles beside it.
//!
//! Everything that is wrong is found at once, each fault at its place: what serde sees, and what only the whole shows
//! (a room that is not there, two devices with one unit id).

mod brokers;
mod check;
mod cloud;
pub(crate) mod files;
mod journal;
pub(crate) mod log;
mod named_files;
mod pms;
pub(crate) mod privacy;
mod profiles;
pub(crate) mod rules;
mod settings;
mod update;
mod wake;

pub(crate) use cloud::CloudConfig;
use engawa_api::ApiConfig;
use engawa_diag::Report;
use engawa_field::modbus::{BusConfig, ModbusDevice};
use engawa_field::mqtt::home_assistant::{HomeAssistant, HomeAssistantConfig, HomeDevice};
use engawa_field::mqtt::sparkplug::SparkplugConfig;
use engawa_field::mqtt::{BrokerConfig, MqttConfig, MqttDevice};
use engawa_field::profile::mqtt::MqttProfile;
use engawa_field::profile::{PointTraits, ProfileHead, Resolved};
use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::RuleFile;
use engawa_model::settings::SettingValue;
use engawa_model::{
    ClimateDefaults, Currency, DeviceId, DeviceSpec, LinkId, ListGuard, PointSpec, PropertyId, PropertySpec,
    RoomId, RoomSpec,
};
use engawa_pms::hosted::HostedConfig;
use pms::PmsTables;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub(crate) use update::UpdateConfig;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A folder of further device profiles; relative to the file.
    pub(crate) profiles: Option<PathBuf>,
    pub(crate) property: PropertyConfig,
    pub(crate) climate: ClimateDefaults,
    pub(crate) store: StoreConfig,
    /// The PMS, or several; a house without one leaves it out.
    pub(crate) pms: Option<PmsTables>,
    /// A PMS that is hosted, or lists of stays in files, in place of `pms`.
    pub(crate) hosted: Option<HostedConfig>,
    /// What is particular of single rooms.
    #[serde(default)]
    pub(crate) room: Vec<RoomConfig>,
    /// The main broker; without this section the gateway brings its own.
    pub(crate) mqtt: Option<MqttConfig>,
    /// Further brokers.
    #[serde(default)]
    pub(crate) broker: Vec<BrokerConfig>,
    /// The house announced to Home Assistant, at the same broker.
    pub(crate) home_assistant: Option<HomeAssistantConfig>,
    /// The property as a Sparkplug edge node at the site's broker.
    pub(crate) sparkplug: Option<SparkplugConfig>,
    /// Modbus buses.
    #[serde(default)]
    pub(crate) bus: Vec<BusConfig>,
    /// Devices.
    #[serde(default)]
    pub(crate) device: Vec<DeviceConfig>,
    /// The cloud; a house on its own leaves it out.
    pub(crate) cloud: Option<CloudConfig>,
    /// The local page and the command line's way in.
    #[serde(default)]
    pub(crate) api: ApiConfig,
    /// Wake-up calls.
    #[serde(default)]
    pub(crate) wake_up: wake::WakeConfig,
    /// The rules of rooms.
    #[serde(default)]
    pub(crate) rules: rules::RulesConfig,
    /// What may be written.
    #[serde(default)]
    pub(crate) firewall: FirewallConfig,
    /// How long guests' data is kept.
    #[serde(default)]
    pub(crate) privacy: privacy::PrivacyConfig,
    /// When a list of the PMS is not believed unasked.
    #[serde(default)]
    pub(crate) list_guard: ListGuard,
    /// The journal's share of the disk.
    #[serde(default)]
    pub(crate) journal: journal::JournalConfig,
    /// What the log says.
    #[serde(default)]
    pub(crate) log: log::LogConfig,
    /// Settings that both ends may change, until one of them does.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, SettingValue>,
    /// How the agent changes its own release; without it that is done by hand.
    pub(crate) update: Option<UpdateConfig>,
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
    /// The language of the house, BCP 47: of what staff read, and of guests whose own is not known.
    #[serde(default = "english")]
    pub(crate) language: String,
}

/// What is particular of a room.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomConfig {
    /// The room, as in `property.rooms`.
    pub(crate) id: String,
    /// The name of its PMS, where the house has several; the first one where absent.
    pub(crate) pms: Option<String>,
    /// Its number at its PMS, where that is not its id.
    pub(crate) pms_room: Option<String>,
}

/// Where the data lives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// The folder of the database.
    pub(crate) dir: PathBuf,
    /// The key's file; `key` in the folder where absent. The systemd credential `engawa-db-key` goes before both.
    pub(crate) key_file: Option<PathBuf>,
    /// The file of the guest vault's key; `vault.key` in the folder where absent. The systemd credential
    /// `engawa-vault-key` goes before both.
    pub(crate) vault_key_file: Option<PathBuf>,
}

/// A device in the house.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceConfig {
    /// Its name in the house.
    pub(crate) id: String,
    /// Its room.
    pub(crate) room: Option<String>,
    /// The profile that it follows.
    pub(crate) profile: String,
    /// Its bus, for Modbus.
    pub(crate) bus: Option<String>,
    /// Its unit id on the bus.
    pub(crate) unit: Option<u8>,
    /// Its name on the broker, for MQTT; its `id` where absent.
    pub(crate) name: Option<String>,
    /// The id of its broker, for MQTT; the main one where absent.
    pub(crate) broker: Option<String>,
    /// The file of its password at the main broker, for MQTT; one made by `engawa broker passwd` where absent.
    pub(crate) password_file: Option<PathBuf>,
    /// What differs between devices of its make.
    #[serde(default)]
    pub(crate) vars: BTreeMap<String, String>,
}

fn english() -> String {
    "en".to_owned()
}

const fn hour() -> u32 {
    3600
}

impl DeviceConfig {
    /// The device as it is on the broker.
    fn on_broker(&self, profile: &Arc<MqttProfile>) -> MqttDevice {
        MqttDevice {
            id: DeviceId::new(self.id.clone()),
            room: self.room.clone().map(RoomId::new),
            name: self.name.clone().unwrap_or_else(|| self.id.clone()),
            profile: Arc::clone(profile),
        }
    }
}

/// A configuration that was checked, with its devices' profiles filled in.
pub(crate) struct Loaded {
    /// The file that it was read from.
    pub(crate) file: PathBuf,
    /// Its text.
    pub(crate) text: String,
    pub(crate) config: Config,
    /// One for each `[[device]]`, in order.
    resolved: Vec<Resolved>,
    /// What the profiles that are used say of themselves.
    heads: BTreeMap<String, ProfileHead>,
    /// The rule files, the standard rules first.
    pub(crate) rules: Vec<RuleFile>,
}

/// Reads and checks the file at `path` and the profiles that it uses.
///
/// # Errors
/// A report for each file that is not as it should be.
pub(crate) fn load(path: &Path) -> Result<Loaded, Vec<Report>> {
    let text = files::read(path).map_err(|report| vec![report])?;
    load_text(path, &text)
}

/// What is wrong with the files that the sound configuration at `path` names: keys, certificates, secrets.
///
/// # Errors
/// A report with each file that can't be read.
pub(crate) fn check_named_files(path: &Path) -> Result<(), Vec<Report>> {
    let text = files::read(path).map_err(|report| vec![report])?;
    let parsed = engawa_diag::read::<Config>(&path.display().to_string(), &text);
    let (doc, mut report) = (parsed.doc, parsed.report);
    if let Some(config) = parsed.value {
        named_files::check(&config, path.parent().unwrap_or(Path::new("")), &doc, &mut report);
    }
    report.sort();
    if report.is_empty() { Ok(()) } else { Err(vec![report]) }
}

/// Checks `text` as if it were the file at `path`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(path: &Path, text: &str) -> Result<Loaded, Vec<Report>> {
    let parsed = engawa_diag::read::<Config>(&path.display().to_string(), text);
    let (doc, mut report) = (parsed.doc, parsed.report);
    let Some(mut config) = parsed.value else { return Err(vec![report]) };
    let base = path.parent().unwrap_or(Path::new(""));
    let mut reports = Vec::new();
    let profiles = profiles::load(&config, base, &doc, &mut report, &mut reports);
    check::check(&config, &doc, &mut report);
    let resolved = check::devices(&config, &profiles, &doc, &mut report);
    let rules = rules::check(&config, base, &doc, &mut report, &mut reports);
    report.sort();
    if !report.is_empty() {
        reports.insert(0, report);
    }
    if !reports.is_empty() {
        return Err(reports);
    }
    config.place(base);
    let used = config.device.iter().filter_map(|device| profiles.get(&device.profile)?.as_ref());
    let heads = used.map(|profile| (profile.head.name.clone(), profile.head.clone())).collect();
    let (file, text) = (path.to_owned(), text.to_owned());
    Ok(Loaded { file, text, config, resolved, heads, rules })
}

impl Config {
    /// Paths are relative to the file, wherever the agent is started.
    fn place(&mut self, base: &Path) {
        let paths =
            [Some(&mut self.store.dir), self.store.key_file.as_mut(), self.store.vault_key_file.as_mut()]
                .into_iter()
                .chain([self.cloud.as_mut().map(|cloud| &mut cloud.identity_dir)])
                .chain(
                    self.update
                        .as_mut()
                        .map(|update| [Some(&mut update.dir), Some(&mut update.root)])
                        .into_iter()
                        .flatten(),
                );
        for path in paths.flatten() {
            *path = base.join(&*path);
        }
        if let Some(hosted) = &mut self.hosted {
            let folder = hosted.import.as_mut().map(|import| &mut import.folder);
            let files = [hosted.ca_file.as_mut(), hosted.secret_file.as_mut(), folder];
            for path in files.into_iter().flatten() {
                *path = base.join(&*path);
            }
        }
        for tls in self.bus.iter_mut().filter_map(|bus| bus.tls.as_mut()) {
            for file in [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file] {
                *file = base.join(&*file).to_string_lossy().into_owned();
            }
        }
        for link in self.pms.iter_mut().flat_map(|tables| &mut tables.links) {
            let tls =
                link.tls.iter_mut().flat_map(|tls| [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file]);
            for path in tls.chain(link.auth_key_file.as_mut()) {
                *path = base.join(&*path);
            }
        }
        let main = self.mqtt.iter_mut().flat_map(|mqtt| {
            [&mut mqtt.ca_file, &mut mqtt.cert_file, &mut mqtt.key_file, &mut mqtt.password_file]
        });
        let further = self.broker.iter_mut().flat_map(|broker| {
            [&mut broker.ca_file, &mut broker.cert_file, &mut broker.key_file, &mut broker.password_file]
        });
        for path in main.chain(further).flatten() {
            *path = base.join(&*path);
        }
        let users = self.mqtt.iter_mut().flat_map(|mqtt| {
            mqtt.user.iter_mut().filter_map(|user| user.password_file.as_mut()).chain(mqtt.secrets.as_mut())
        });
        let devices = self.device.iter_mut().filter_map(|device| device.password_file.as_mut());
        for path in users.chain(devices) {
            *path = base.join(&*path);
        }
    }
}

/// A credential of the service manager, where there is one.
fn handed_over(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(Path::new(&dir).join(name)).filter(|path| path.exists())
}

/// Where a profile with its variables lies: one place for all devices that share it.
fn place(resolved: &Resolved) -> *const () {
    match resolved {
        Resolved::Modbus(map) => Arc::as_ptr(map).cast(),
        Resolved::Mqtt(profile) => Arc::as_ptr(profile).cast(),
    }
}

impl Loaded {
    /// What the model wants to know.
    pub(crate) fn property_spec(&self) -> PropertySpec {
        let property = &self.config.property;
        // Devices that share a profile share its points, too.
        let mut made: BTreeMap<*const (), Arc<[PointSpec]>> = BTreeMap::new();
        let mut points = |resolved: &Resolved| {
            Arc::clone(made.entry(place(resolved)).or_insert_with(|| resolved.point_specs()))
        };
        let device = |(device, resolved): (&DeviceConfig, &Resolved)| DeviceSpec {
            id: DeviceId::new(device.id.clone()),
            room: device.room.clone().map(RoomId::new),
            profile: device.profile.clone(),
            points: points(resolved),
        };
        PropertySpec {
            id: PropertyId::new(property.id.clone()),
            zone: property.zone.clone(),
            currency: property.currency,
            climate: self.config.climate.clone(),
            rooms: property.rooms.iter().map(|id| RoomSpec { id: RoomId::new(id.clone()) }).collect(),
            devices: self.config.device.iter().zip(&self.resolved).map(device).collect(),
            resync_every_s: property.resync_every_s,
            order_ttl_s: property.order_ttl_s,
        }
    }

    /// The buses with their devices.
    pub(crate) fn buses(&self) -> Vec<(BusConfig, Vec<ModbusDevice>)> {
        let mut buses: Vec<_> = self.config.bus.iter().map(|bus| (bus.clone(), Vec::new())).collect();
        for (device, resolved) in self.config.device.iter().zip(&self.resolved) {
            let Resolved::Modbus(map) = resolved else { continue };
            let bus = buses.iter_mut().find(|(bus, _)| Some(&bus.id) == device.bus.as_ref());
            if let (Some((_, devices)), Some(unit)) = (bus, device.unit) {
                devices.push(ModbusDevice { id: DeviceId::new(device.id.clone()), unit, map: map.clone() });
            }
        }
        buses
    }

    /// The devices on the further broker `broker`, or on the main one.
    pub(crate) fn mqtt_devices(&self, broker: Option<&str>) -> Vec<MqttDevice> {
        let device = |(device, resolved): (&DeviceConfig, &Resolved)| match resolved {
            Resolved::Mqtt(profile) => Some(device.on_broker(profile)),
            Resolved::Modbus(_) => None,
        };
        let all = self.config.device.iter().zip(&self.resolved);
        all.filter(|(device, _)| device.broker.as_deref() == broker).filter_map(device).collect()
    }

    /// The house for Home Assistant, with its `links`.
    pub(crate) fn home_assistant(&self, links: Vec<LinkId>) -> Option<HomeAssistant> {
        let config = self.config.home_assistant.clone()?;
        let mut made: BTreeMap<*const (), Arc<[PointTraits]>> = BTreeMap::new();
        let devices = self.config.device.iter().zip(&self.resolved).map(|(device, resolved)| HomeDevice {
            id: DeviceId::new(device.id.clone()),
            room: device.room.clone().map(RoomId::new),
            make: self.heads.get(&device.profile).map(|head| head.make.clone()).unwrap_or_default(),
            model: self.heads.get(&device.profile).map(|head| head.model.clone()).unwrap_or_default(),
            points: Arc::clone(made.entry(place(resolved)).or_insert_with(|| resolved.traits())),
        });
        let property = &self.config.property;
        let id = PropertyId::new(property.id.clone());
        let values = self.config.mqtt.as_ref().map(|mqtt| mqtt.values).unwrap_or_default();
        Some(HomeAssistant::new(config, &id, &property.name, values, links, devices))
    }

    /// The file of the database's key.
    pub(crate) fn key_file(&self) -> PathBuf {
        let store = &self.config.store;
        handed_over("engawa-db-key")
            .or_else(|| store.key_file.clone())
            .unwrap_or_else(|| store.dir.join("key"))
    }

    /// The file of the guest vault's key.
    pub(crate) fn vault_key_file(&self) -> PathBuf {
        let store = &self.config.store;
        handed_over("engawa-vault-key")
            .or_else(|| store.vault_key_file.clone())
            .unwrap_or_else(|| store.dir.join(engawa_store::vault::KEY_FILE))
    }

    /// The file of the guest register's key.
    pub(crate) fn register_key_file(&self) -> PathBuf {
        handed_over("engawa-register-key").unwrap_or_else(|| self.config.store.dir.join("register.key"))
    }

    /// `engawa check`, when all is well.
    pub(crate) fn summary(&self) -> String {
        let config = &self.config;
        let mut places: Vec<_> =
            config.pms_tables().iter().map(|pms| format!("PMS at {}", pms.place())).collect();
        if let Some([system]) = config.hosted.as_ref().map(HostedConfig::named).as_deref() {
            places.push(format!("PMS {system}"));
        }
        let pms = if places.is_empty() { "no PMS".to_owned() } else { places.join(", ") };
        let cloud = config
            .cloud
            .as_ref()
            .map_or("no cloud".to_owned(), |cloud| format!("cloud at {}", cloud.named()));
        format!(
            "{} ({}): {} rooms, {} devices, {} Modbus buses, {pms}, {cloud}",
            config.property.name,
            config.property.id,
            config.property.rooms.len(),
            config.device.len(),
            config.bus.len()
        )
    }
}
