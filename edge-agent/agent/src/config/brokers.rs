//! What is to be checked of the brokers, and of who uses them.

use super::check::{at, suggest};
use super::{Config, DeviceConfig};
use crate::broker_cmd::HOUSE;
use crate::secrets::LOCAL;
use engawa_diag::{Doc, Path, Report};
use engawa_field::mqtt::topic::HouseTopics;
use engawa_field::mqtt::{BrokerConfig, MqttConfig, MqttConfigError, MqttDevice};
use engawa_model::PropertyId;
use std::collections::BTreeMap;

/// Further brokers, at most: each has a connection, a desk and a picture of what was published.
const MOST: usize = 16;

/// The main broker, the further ones, and Sparkplug's.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let main = Path::root().key("mqtt");
    for error in config.mqtt.iter().flat_map(MqttConfig::faults) {
        fault(&error, &main, doc, report);
    }
    let all = Path::root().key("broker");
    let mut seen = BTreeMap::new();
    for (n, broker) in config.broker.iter().enumerate() {
        let here = all.index(n);
        for error in broker.faults() {
            fault(&error, &here, doc, report);
        }
        if let Some(first) = seen.insert(&broker.id, n) {
            report.push(
                doc.fault(&here.key("id"), format!("broker `{}` is there twice", broker.id))
                    .label("each id once")
                    .related(doc.span_of(&all.index(first).key("id")), "first here"),
            );
        }
    }
    if config.broker.len() > MOST {
        report.push(
            doc.fault_at_key(&all.index(MOST), format!("there are {} further brokers", config.broker.len()))
                .help(format!("at most {MOST} are used; let brokers pass on to each other")),
        );
    }
    users(config, doc, report);
    sparkplug(config, doc, report);
}

/// Names at the main broker: of users, and of devices.
fn users(config: &Config, doc: &Doc, report: &mut Report) {
    let Some(mqtt) = &config.mqtt else { return };
    let all = Path::root().key("mqtt").key("user");
    let mut seen = BTreeMap::new();
    for (n, user) in mqtt.user.iter().enumerate() {
        let here = all.index(n);
        let name = here.key("name");
        if user.name.is_empty() || user.name.contains(':') || user.name.chars().any(char::is_control) {
            report.push(doc.fault(&name, "a user's name must not be empty nor hold `:`"));
        }
        let device = config.device.iter().position(|device| device.id == user.name);
        if let Some(first) = seen.insert(&user.name, n) {
            report.push(
                doc.fault(&name, format!("user `{}` is there twice", user.name))
                    .label("each name once")
                    .related(doc.span_of(&all.index(first).key("name")), "first here"),
            );
        } else if let Some(device) = device {
            let id = Path::root().key("device").index(device).key("id");
            report.push(
                doc.fault(&name, format!("`{}` is a device", user.name))
                    .label("devices are users already")
                    .related(doc.span_of(&id), "here"),
            );
        } else if user.name == LOCAL || mqtt.username.as_ref() == Some(&user.name) {
            report.push(doc.fault(&name, format!("there is a user `{}` already", user.name)).help(
                "`local` is the box's own user, and `username` of [mqtt] another; choose another name",
            ));
        }
        if user.allowed.is_empty() {
            report.push(
                doc.fault(&here.key("allowed"), format!("`{}` may do nothing", user.name))
                    .label("expected at least one of: read, command, devices, home-assistant"),
            );
        }
    }
}

fn fault(error: &MqttConfigError, section: &Path, doc: &Doc, report: &mut Report) {
    let place = section.key(error.field());
    report.push(if doc.has(&place) {
        doc.fault(&place, error.to_string())
    } else {
        doc.fault_at_key(section, error.to_string())
    });
}

fn sparkplug(config: &Config, doc: &Doc, report: &mut Report) {
    let Some(sparkplug) = &config.sparkplug else { return };
    if let Err(error) = sparkplug.names(&PropertyId::new(config.property.id.clone())) {
        report.push(doc.fault(&at("sparkplug", error.field), error.to_string()));
    }
    let section = Path::root().key("sparkplug");
    if sparkplug.broker.is_some() {
        return known(config, sparkplug.broker.as_ref(), doc, &section, report);
    }
    if config.mqtt.as_ref().is_none_or(|mqtt| mqtt.broker.is_none()) {
        report.push(doc.fault_at_key(&section, "Sparkplug needs a broker of the site").help(
            "its hosts are elsewhere; name their broker in [mqtt], for example broker = \"mqtt://10.0.0.5\"",
        ));
    }
}

/// A device's id is its user name at the broker, and its name there stands in topics.
pub(super) fn device(device: &DeviceConfig, doc: &Doc, here: &Path, report: &mut Report) {
    let id = here.key("id");
    let odd = |c: char| matches!(c, ':' | '/' | '"' | '\'' | '\\') || c.is_control();
    if [LOCAL, HOUSE].contains(&device.id.as_str()) {
        report.push(
            doc.fault(&id, format!("`{}` is the gateway's own user at the broker", device.id))
                .help("a device logs in with its id: choose another one"),
        );
    } else if device.id.contains(odd) || device.id.starts_with('.') {
        report.push(
            doc.fault(&id, format!("`{}` can't be a user name at the broker", device.id.escape_default()))
                .label("expected no `:`, `/`, `\\`, quotes or control characters, and no `.` in front")
                .help("a device logs in with its id; what it is called on the broker goes into `name`"),
        );
    }
    let (key, name) = match &device.name {
        Some(name) => ("name", name),
        None => ("id", &device.id),
    };
    if name.is_empty() || name.contains(|c: char| matches!(c, '+' | '#') || c.is_control()) {
        report.push(
            doc.fault(&here.key(key), format!("`{}` can't stand in a topic", name.escape_default()))
                .label("expected no `+`, `#` or control characters"),
        );
    }
}

/// Topics of the house that a device would speak on.
pub(super) fn of_the_house(
    property: &PropertyId,
    device: &MqttDevice,
    doc: &Doc,
    here: &Path,
    report: &mut Report,
) {
    let house = HouseTopics::new(property);
    let of_house =
        device.reports_on().into_iter().chain(device.commanded_on()).find(|topic| house.owns(topic));
    if let Some(topic) = of_house {
        report.push(
            doc.fault_at_key(here, format!("`{}` would use `{topic}`, which is the house's own", device.id))
                .help(format!(
                    "everything below `{}` is said by the house: look at `name` and `vars`",
                    house.root()
                )),
        );
    }
}

/// Whether the broker that somebody names is there.
pub(super) fn known(config: &Config, broker: Option<&String>, doc: &Doc, user: &Path, report: &mut Report) {
    let Some(id) = broker.filter(|id| !config.broker.iter().any(|broker| broker.id == **id)) else { return };
    let fault = doc.fault(&user.key("broker"), format!("there is no broker `{id}`"));
    let ids = config.broker.iter().map(|broker: &BrokerConfig| broker.id.as_str());
    report.push(suggest(
        fault,
        id,
        ids,
        "add a [[broker]] with this id; without `broker` the main one is used",
    ));
}
