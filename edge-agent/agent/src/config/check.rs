//! What only the whole file shows.

use super::profiles::Profiles;
use super::{Config, DeviceConfig, brokers, pms};
use engawa_diag::{Doc, Path, Report, nearest};
use engawa_field::modbus::Framing;
use engawa_field::profile::{Profile, Protocol, Resolved};
use engawa_model::PropertyId;
use engawa_pms::hosted::HostedConfig;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// Unit ids on a line of several devices (Modbus over serial line V1.02, section 2.2). A device that is reached over TCP
/// itself may also be 0 or 255 (Modbus on TCP/IP implementation guide V1.0b, section 4.4.2.2).
const UNITS: std::ops::RangeInclusive<u8> = 1..=247;
/// Set points that a hotel can mean, °C.
const SETPOINTS: std::ops::RangeInclusive<f64> = 5.0..=35.0;

/// The longest that a guest's choice can stand against programs, seconds.
const LONGEST_HOLD_S: u32 = 86_400;

pub(super) fn at(section: &str, key: &str) -> Path {
    Path::root().key(section).key(key)
}

/// Everything but the devices.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let property = &config.property;
    for (key, text) in [("id", &property.id), ("name", &property.name)] {
        if text.trim().is_empty() {
            report.push(
                doc.fault(&at("property", key), format!("the property's {key} is empty"))
                    .label("expected a text"),
            );
        }
    }
    if property.id.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        report.push(
            doc.fault(&at("property", "id"), format!("`{}` can't be the property's id", property.id))
                .label("expected letters, digits, `-`, `_` or `.`")
                .help("the name for people goes into `name`"),
        );
    }
    if let Err(error) = TimeZone::get(&property.zone) {
        let fault =
            doc.fault(&at("property", "zone"), format!("`{}` is not a time zone: {error}", property.zone));
        report.push(
            fault.label("expected an IANA name").help("for example \"Asia/Tokyo\" or \"Europe/Berlin\""),
        );
    }
    super::log::check(config, doc, report);
    rooms(config, doc, report);
    climate(config, doc, report);
    for (key, seconds) in [("resync_every_s", property.resync_every_s), ("order_ttl_s", property.order_ttl_s)]
    {
        if seconds == 0 {
            report.push(
                doc.fault(&at("property", key), "0 seconds can't be meant").label("expected 1 or more"),
            );
        }
    }
    pms::check(config, doc, report);
    for (place, fault) in config.hosted.iter().flat_map(HostedConfig::validate) {
        let table = matches!(place.as_slice(), [] | ["mews" | "apaleo" | "ohip" | "import"]);
        let here = Path::root().key("hosted");
        let place = place.into_iter().fold(here, |place, key| place.key(key));
        report.push(if table { doc.fault_at_key(&place, fault) } else { doc.fault(&place, fault) });
    }
    if config.pms.is_some() && config.hosted.is_some() {
        let pms = Path::root().key("pms");
        report.push(
            doc.fault_at_key(&Path::root().key("hosted"), "a house has one PMS, and this is a second")
                .related(doc.span_of(&pms), "the first is here")
                .help("remove [pms] or [hosted]"),
        );
    }
    brokers::check(config, doc, report);
    if let Some(home) = &config.home_assistant {
        for error in home.faults() {
            report.push(doc.fault(&at("home_assistant", error.field), error.to_string()));
        }
        if config.mqtt.as_ref().is_some_and(|mqtt| !mqtt.has_topics()) {
            report.push(
                doc.fault_at_key(
                    &Path::root().key("home_assistant"),
                    "Home Assistant needs the house's plain topics",
                )
                .related(doc.span_of(&at("mqtt", "topics")), "which are off here")
                .help(
                    "it reads states and gives commands there: remove `topics` from [mqtt], or this section",
                ),
            );
        }
    }
    for error in config.api.faults() {
        report.push(doc.fault(&at("api", error.field()), error.to_string()));
    }
    super::cloud::check(config, doc, report);
    super::wake::check(config, doc, report);
    buses(config, doc, report);
    super::privacy::check(config, doc, report);
    super::settings::check(config, doc, report);
    super::pms::check_guard(config, doc, report);
    super::journal::check(config, doc, report);
    super::update::check(config, doc, report);
}

/// True where the device's bus is Modbus TCP.
fn is_tcp(config: &Config, device: &DeviceConfig) -> bool {
    let bus = config.bus.iter().find(|bus| Some(&bus.id) == device.bus.as_ref());
    bus.is_some_and(|bus| bus.address.is_some() && bus.framing == Framing::Tcp)
}

pub(super) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !host.is_empty() && !host.contains([' ', '/']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn rooms(config: &Config, doc: &Doc, report: &mut Report) {
    let place = at("property", "rooms");
    if config.property.rooms.is_empty() {
        report.push(
            doc.fault(&place, "a house has at least one room").help("for example rooms = [\"101\", \"102\"]"),
        );
    }
    let mut seen = BTreeMap::new();
    for (n, room) in config.property.rooms.iter().enumerate() {
        let here = place.index(n);
        if room.is_empty() || room.chars().any(char::is_control) {
            report.push(
                doc.fault(&here, "this can't be a room's number").label("expected it as the PMS writes it"),
            );
        } else if let Some(first) = seen.insert(room, n) {
            report.push(
                doc.fault(&here, format!("room `{room}` is there twice"))
                    .label("each room once")
                    .related(doc.span_of(&place.index(first)), "first here"),
            );
        }
    }
}

fn climate(config: &Config, doc: &Doc, report: &mut Report) {
    let climate = &config.climate;
    let setpoints = [
        ("comfort_c", climate.comfort_c),
        ("eco_heating_c", climate.eco_heating_c),
        ("eco_cooling_c", climate.eco_cooling_c),
    ];
    if climate.guest_hold_s > LONGEST_HOLD_S {
        report.push(
            doc.fault(&at("climate", "guest_hold_s"), format!("{} s can't be meant", climate.guest_hold_s))
                .label(format!("expected 0 to {LONGEST_HOLD_S}: at most a day"))
                .help(
                    "it is how long a guest's choice at the thermostat stands against programs, in seconds",
                ),
        );
    }
    let mut sound = true;
    for (key, celsius) in setpoints {
        if !SETPOINTS.contains(&celsius) {
            sound = false;
            report.push(
                doc.fault(&at("climate", key), format!("{celsius} °C is not a room's set point"))
                    .label("expected 5 to 35"),
            );
        }
    }
    for (key, wrong, words) in [
        ("eco_heating_c", climate.eco_heating_c > climate.comfort_c, "eco while heating is above comfort"),
        ("eco_cooling_c", climate.eco_cooling_c < climate.comfort_c, "eco while cooling is below comfort"),
    ] {
        if wrong && sound {
            report.push(
                doc.fault(&at("climate", key), words)
                    .label("saves nothing")
                    .related(doc.span_of(&at("climate", "comfort_c")), "comfort is here")
                    .help("expected eco_heating_c <= comfort_c <= eco_cooling_c"),
            );
        }
    }
}

fn buses(config: &Config, doc: &Doc, report: &mut Report) {
    let all = Path::root().key("bus");
    let mut seen = BTreeMap::new();
    for (n, bus) in config.bus.iter().enumerate() {
        let here = all.index(n);
        for (field, fault) in bus.validate() {
            report.push(doc.fault(&here.key(field), fault));
        }
        if let Some(first) = seen.insert(&bus.id, n) {
            report.push(
                doc.fault(&here.key("id"), format!("bus `{}` is there twice", bus.id))
                    .label("each name once")
                    .related(doc.span_of(&all.index(first).key("id")), "first here"),
            );
        }
    }
}

/// The devices with their profiles; those with a fault are left out, and the report says why.
pub(super) fn devices(config: &Config, profiles: &Profiles, doc: &Doc, report: &mut Report) -> Vec<Resolved> {
    let all = Path::root().key("device");
    let mut resolved = Vec::new();
    let property = PropertyId::from(config.property.id.as_str());
    let (mut ids, mut units) = (BTreeMap::new(), BTreeMap::new());
    // Devices of one profile share its map: a house has hundreds of one make.
    let mut made: BTreeMap<_, Resolved> = BTreeMap::new();
    for (n, device) in config.device.iter().enumerate() {
        let here = all.index(n);
        if device.id.is_empty() || device.id.contains(|c: char| c == '/' || c.is_control()) {
            report.push(doc.fault(&here.key("id"), "a device's id must not be empty nor hold `/`"));
        } else if let Some(first) = ids.insert(&device.id, n) {
            report.push(
                doc.fault(&here.key("id"), format!("device `{}` is there twice", device.id))
                    .label("each id once")
                    .related(doc.span_of(&all.index(first).key("id")), "first here"),
            );
        }
        if let Some(room) = device.room.as_ref().filter(|room| !config.property.rooms.contains(room)) {
            let fault = doc
                .fault(&here.key("room"), format!("there is no room `{room}`"))
                .label("not in property.rooms");
            let known = config.property.rooms.iter().map(String::as_str);
            report.push(suggest(fault, room, known, "add it to property.rooms, as the PMS writes it"));
        }
        match profiles.get(&device.profile) {
            None => {
                let fault = doc
                    .fault(&here.key("profile"), format!("there is no profile `{}`", device.profile))
                    .label(format!(
                        "expected one of: {}",
                        profiles.keys().cloned().collect::<Vec<_>>().join(", ")
                    ));
                report.push(suggest(
                    fault,
                    &device.profile,
                    profiles.keys().map(String::as_str),
                    "a profile of your own lies in the `profiles` folder",
                ));
            }
            Some(None) => {}
            Some(Some(profile)) => {
                wiring(config, device, profile, doc, &here, report);
                let same = (&device.profile, &device.vars);
                match made.get(&same).cloned().map_or_else(|| profile.resolve(&device.vars), Ok) {
                    Ok(map) => {
                        made.insert(same, map.clone());
                        if let Resolved::Mqtt(profile) = &map {
                            let speaker = device.on_broker(profile);
                            brokers::of_the_house(&property, &speaker, doc, &here, report);
                        }
                        resolved.push(map);
                    }
                    Err(faults) => {
                        for fault in faults {
                            let shown = doc.fault(&here.key("vars").key(&fault.var), fault.message);
                            report.push(match fault.help {
                                Some(help) => shown.help(help),
                                None => shown,
                            });
                        }
                    }
                }
            }
        }
        if let (Some(bus), Some(unit)) = (&device.bus, device.unit)
            && let Some(first) = units.insert((bus, unit), n)
        {
            report.push(
                doc.fault(&here.key("unit"), format!("unit {unit} of bus `{bus}` is there twice"))
                    .label("one device for each unit id")
                    .related(doc.span_of(&all.index(first).key("unit")), "first here"),
            );
        }
    }
    resolved
}

pub(super) fn suggest<'a>(
    fault: engawa_diag::Fault,
    word: &str,
    known: impl Iterator<Item = &'a str>,
    otherwise: &str,
) -> engawa_diag::Fault {
    match nearest(word, known) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault.help(otherwise),
    }
}

/// Bus and unit for Modbus, neither for MQTT.
fn wiring(
    config: &Config,
    device: &DeviceConfig,
    profile: &Profile,
    doc: &Doc,
    here: &Path,
    report: &mut Report,
) {
    match &profile.protocol {
        Protocol::Modbus(_) => {
            match &device.bus {
                None if !doc.is_hole(&here.key("bus")) => report.push(
                    doc.fault_at_key(here, format!("`{}` speaks Modbus and names no bus", device.id))
                        .help("add `bus`, the id of a [[bus]], and `unit`"),
                ),
                Some(bus) if !config.bus.iter().any(|known| known.id == *bus) => {
                    let fault = doc.fault(&here.key("bus"), format!("there is no bus `{bus}`"));
                    report.push(suggest(
                        fault,
                        bus,
                        config.bus.iter().map(|bus| bus.id.as_str()),
                        "add a [[bus]] with this id",
                    ));
                }
                _ => {}
            }
            match device.unit {
                None if !doc.is_hole(&here.key("unit")) => report.push(
                    doc.fault_at_key(here, format!("`{}` speaks Modbus and has no unit id", device.id))
                        .help("add `unit`, as it is set at the device: 1 to 247"),
                ),
                Some(unit)
                    if !(UNITS.contains(&unit) || matches!(unit, 0 | 255) && is_tcp(config, device)) =>
                {
                    report.push(
                        doc.fault(&here.key("unit"), format!("{unit} is no unit id of a device")).label(
                            "expected 1 to 247, or 0 or 255 for a device that is itself at a TCP address",
                        ),
                    );
                }
                _ => {}
            }
            if device.name.is_some() {
                report.push(doc.fault(&here.key("name"), "only devices on the broker have a `name` there"));
            }
            for (key, there) in
                [("broker", device.broker.is_some()), ("password_file", device.password_file.is_some())]
            {
                if there {
                    let fault = doc
                        .fault(&here.key(key), format!("`{}` speaks Modbus and has no `{key}`", device.id));
                    report.push(fault.help("remove it, or choose an MQTT profile"));
                }
            }
        }
        Protocol::Mqtt(_) => {
            for (key, there) in [("bus", device.bus.is_some()), ("unit", device.unit.is_some())] {
                if there {
                    let fault =
                        doc.fault(&here.key(key), format!("`{}` speaks MQTT and has no `{key}`", device.id));
                    report.push(fault.help("remove it, or choose a Modbus profile"));
                }
            }
            brokers::known(config, device.broker.as_ref(), doc, here, report);
            brokers::device(device, doc, here, report);
        }
    }
}
