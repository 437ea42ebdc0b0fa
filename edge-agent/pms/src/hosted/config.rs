//! What a site says of its hosted system.

use super::apaleo::Apaleo;
use super::machine::Pace;
use super::mews::Mews;
use super::ohip::Ohip;
use super::{Guests, HostedPms, Secret};
use engawa_model::Currency;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The hosted system: one of its tables, and what is the same for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostedConfig {
    /// Mews.
    pub mews: Option<MewsConfig>,
    /// Apaleo.
    pub apaleo: Option<ApaleoConfig>,
    /// OPERA Cloud, by the Oracle Hospitality Integration Platform.
    pub ohip: Option<OhipConfig>,
    /// Lists of stays in files.
    pub import: Option<ImportConfig>,
    /// How often it is asked what has changed, seconds.
    #[serde(default = "thirty")]
    pub poll_s: u32,
    /// How often the whole house is listed, seconds.
    #[serde(default = "quarter")]
    pub list_s: u32,
    /// How long an answer may take, seconds.
    #[serde(default = "thirty")]
    pub answer_s: u32,
    /// The longest pause before a system that is away is tried again, seconds.
    #[serde(default = "five_minutes")]
    pub reconnect_max_s: u32,
    /// When the business day ends, local time `HH:MM`.
    #[serde(default = "night")]
    pub day_ends: String,
    /// The authorities that its certificate may come from, PEM; those of the machine where absent.
    pub ca_file: Option<PathBuf>,
    /// The file of its secret; a file in the store's folder or a systemd credential where absent.
    pub secret_file: Option<PathBuf>,
    /// Lets tests speak plain HTTP with this machine.
    #[serde(default)]
    pub insecure_loopback: bool,
}

/// Mews Connector API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MewsConfig {
    /// The platform's address.
    #[serde(default = "mews_url")]
    pub url: String,
    /// The address of its events; none are listened to where it is empty.
    #[serde(default = "mews_events")]
    pub events: String,
    /// The enterprise, where the access token is for several.
    pub enterprise: Option<String>,
    /// The services whose reservations are stays; all bookable ones where empty.
    #[serde(default)]
    pub services: Vec<String>,
    /// The service that charges are ordered of; without one they are refused.
    pub charge_service: Option<String>,
    /// The service by outlet, where an outlet has its own.
    #[serde(default)]
    pub outlets: BTreeMap<String, String>,
    /// Tax codes of charges, such as `DE-2020-1-S`.
    #[serde(default)]
    pub tax_codes: Vec<String>,
    /// The accounting category of charges.
    pub accounting_category: Option<String>,
}

/// Apaleo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApaleoConfig {
    /// The property's id there, such as `MUC`.
    pub property: String,
    /// The id of the custom app.
    pub client_id: String,
    /// The address of the API.
    #[serde(default = "apaleo_url")]
    pub url: String,
    /// Where tokens are given.
    #[serde(default = "apaleo_identity")]
    pub identity_url: String,
    /// The kind of service of charges.
    #[serde(default = "other")]
    pub service_type: String,
    /// The VAT of charges: `Normal`, `Reduced`, `Without`, ...
    #[serde(default = "normal")]
    pub vat_type: String,
}

/// OPERA Cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OhipConfig {
    /// The gateway's address.
    pub url: String,
    /// The hotel's id.
    pub hotel: String,
    /// The id of the application.
    pub client_id: String,
    /// The application key. It is an identifier: the secret is another.
    pub app_key: String,
    /// The enterprise id, for tokens.
    pub enterprise: Option<String>,
    /// The scope that is asked for.
    #[serde(default = "ohip_scope")]
    pub scope: String,
    /// The chain; its business events are listened to where it is named.
    pub chain: Option<String>,
    /// The shortest pause before the stream of events is opened again, seconds.
    #[serde(default = "fifteen")]
    pub stream_pause_s: u32,
    /// The transaction code of charges; without one they are refused.
    pub transaction_code: Option<String>,
    /// The transaction code by outlet, where an outlet has its own.
    #[serde(default)]
    pub outlets: BTreeMap<String, String>,
    /// The cashier of charges.
    pub cashier: Option<u32>,
}

/// Lists of stays in files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// The folder that is watched: `*.csv`, and `*.ics` with one room each.
    pub folder: PathBuf,
    /// When a stay begins whose arrival has no time, `HH:MM`.
    #[serde(default = "afternoon")]
    pub check_in: String,
    /// When a stay ends whose departure has no time, `HH:MM`.
    #[serde(default = "morning")]
    pub check_out: String,
}

const fn fifteen() -> u32 {
    15
}
const fn thirty() -> u32 {
    30
}
const fn quarter() -> u32 {
    900
}
const fn five_minutes() -> u32 {
    300
}
fn night() -> String {
    "03:00".to_owned()
}
fn afternoon() -> String {
    "15:00".to_owned()
}
fn morning() -> String {
    "11:00".to_owned()
}
fn mews_url() -> String {
    "https://api.mews.com".to_owned()
}
fn mews_events() -> String {
    "wss://ws.mews.com".to_owned()
}
fn apaleo_url() -> String {
    "https://api.apaleo.com".to_owned()
}
fn apaleo_identity() -> String {
    "https://identity.apaleo.com".to_owned()
}
fn other() -> String {
    "Other".to_owned()
}
fn normal() -> String {
    "Normal".to_owned()
}
fn ohip_scope() -> String {
    "urn:opc:hgbu:ws:__myscopes__".to_owned()
}

/// `HH:MM`.
pub fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| text.parse().ok()).flatten();
    Time::new(two(hour)?, two(minute)?, 0, 0).ok()
}

/// The secrets of a system, as its file has them: one a line.
#[derive(Clone, Debug)]
pub struct Secrets(pub Vec<Secret>);

impl Secrets {
    /// The lines of a secret's file that are not empty.
    pub fn of(text: &str) -> Self {
        Self(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Secret::new).collect())
    }
}

/// Why no adapter can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    /// The secret's file has another number of lines.
    #[error("the secret of {system} has {has} lines, expected {wants}: {what}")]
    Secrets {
        /// Which system.
        system: &'static str,
        /// Lines there.
        has: usize,
        /// Lines that are wanted.
        wants: usize,
        /// What they are.
        what: &'static str,
    },
    /// No system is named that is spoken to.
    #[error(
        "[hosted] names no system that is spoken to: add [hosted.mews], [hosted.apaleo] or [hosted.ohip]"
    )]
    None,
}

/// What an adapter has to know of the house.
#[derive(Clone, Debug)]
pub struct OfHouse {
    /// Its zone.
    pub zone: TimeZone,
    /// The zone's IANA name.
    pub zone_name: String,
    /// Its currency.
    pub currency: Currency,
    /// Who is in it.
    pub guests: Guests,
}

impl HostedConfig {
    /// The systems that are named, by their table.
    pub fn named(&self) -> Vec<&'static str> {
        let all = [
            ("mews", self.mews.is_some()),
            ("apaleo", self.apaleo.is_some()),
            ("ohip", self.ohip.is_some()),
            ("import", self.import.is_some()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }

    /// The adapter of the system that is spoken to.
    ///
    /// # Errors
    /// Secrets that don't fit, or no such system.
    pub fn system(&self, house: OfHouse, secrets: &Secrets) -> Result<Box<dyn HostedPms>, SystemError> {
        let lines = &secrets.0;
        let wrong = |system, wants, what| SystemError::Secrets { system, has: lines.len(), wants, what };
        if let Some(config) = &self.mews {
            let [client, access] = lines.as_slice() else {
                return Err(wrong("Mews", 2, "the client token and the access token"));
            };
            return Ok(Box::new(Mews::new(config.clone(), client.clone(), access.clone(), house)));
        }
        if let Some(config) = &self.apaleo {
            let [secret] = lines.as_slice() else {
                return Err(wrong("Apaleo", 1, "the client secret"));
            };
            return Ok(Box::new(Apaleo::new(config.clone(), secret.clone(), house)));
        }
        if let Some(config) = &self.ohip {
            let [secret] = lines.as_slice() else {
                return Err(wrong("OPERA Cloud", 1, "the client secret"));
            };
            return Ok(Box::new(Ohip::new(config.clone(), secret.clone(), house)));
        }
        Err(SystemError::None)
    }

    /// How often things are asked.
    pub fn pace(&self, zone: TimeZone) -> Pace {
        Pace {
            poll_s: self.poll_s,
            list_s: self.list_s,
            reconnect_max_s: self.reconnect_max_s,
            // Checked by `validate`.
            day_ends: time(&self.day_ends).unwrap_or(Time::MIN),
            zone,
        }
    }

    /// What is wrong with the settings: the place, and what was expected.
    pub fn validate(&self) -> Vec<(Vec<&'static str>, String)> {
        let mut faults = Vec::new();
        let mut wrong = |place: &[&'static str], words: String| faults.push((place.to_vec(), words));
        match self.named().as_slice() {
            [_] => {}
            [] => wrong(
                &[],
                "no system is named: add [hosted.mews], [hosted.apaleo], [hosted.ohip] or [hosted.import]"
                    .to_owned(),
            ),
            [first, second, ..] => wrong(
                &[second],
                format!("a house has one PMS, and [hosted.{first}] is there already: remove one of them"),
            ),
        }
        for (field, value, least, most) in [
            ("poll_s", self.poll_s, 5, 3_600),
            ("list_s", self.list_s, 60, 86_400),
            ("answer_s", self.answer_s, 1, 300),
            ("reconnect_max_s", self.reconnect_max_s, 1, 3_600),
        ] {
            if !(least..=most).contains(&value) {
                wrong(&[field], format!("{value} s can't be meant: expected {least} to {most}"));
            }
        }
        let clock = |text: &str| format!("`{text}` is no time of day: expected HH:MM, such as `03:00`");
        if time(&self.day_ends).is_none() {
            wrong(&["day_ends"], clock(&self.day_ends));
        }
        let insecure = self.insecure_loopback;
        let mut url = |place: [&'static str; 2], text: &str, scheme: &str, plain: &str| {
            if !is_url(text, scheme, insecure.then_some(plain)) {
                wrong(&place, format!("`{text}` is no address: expected `{scheme}://host`"));
            }
        };
        if let Some(mews) = &self.mews {
            url(["mews", "url"], &mews.url, "https", "http");
            if !mews.events.is_empty() {
                url(["mews", "events"], &mews.events, "wss", "ws");
            }
        }
        if let Some(apaleo) = &self.apaleo {
            url(["apaleo", "url"], &apaleo.url, "https", "http");
            url(["apaleo", "identity_url"], &apaleo.identity_url, "https", "http");
            for (field, text) in [("property", &apaleo.property), ("client_id", &apaleo.client_id)] {
                if text.trim().is_empty() {
                    wrong(&["apaleo", field], format!("the {field} is empty: copy it from Apaleo"));
                }
            }
        }
        if let Some(ohip) = &self.ohip {
            let mut url = |place: [&'static str; 2], text: &str| {
                if !is_url(text, "https", insecure.then_some("http")) {
                    wrong(&place, format!("`{text}` is no address: expected `https://host`"));
                }
            };
            url(["ohip", "url"], &ohip.url);
            for (field, text) in
                [("hotel", &ohip.hotel), ("client_id", &ohip.client_id), ("app_key", &ohip.app_key)]
            {
                if text.trim().is_empty() {
                    wrong(&["ohip", field], format!("the {field} is empty: copy it from OHIP's portal"));
                }
            }
        }
        if let Some(import) = &self.import {
            for (field, text) in [("check_in", &import.check_in), ("check_out", &import.check_out)] {
                if time(text).is_none() {
                    wrong(&["import", field], clock(text));
                }
            }
        }
        faults
    }
}

/// `scheme://host[:port]`, with `plain` instead on this machine alone.
fn is_url(text: &str, scheme: &str, plain: Option<&str>) -> bool {
    let Some((given, rest)) = text.split_once("://") else { return false };
    let host = rest.trim_end_matches('/');
    let named = !host.is_empty() && !host.contains([' ', '@', '?', '#', '/']);
    named && (given == scheme || (Some(given) == plain && host.starts_with("127.0.0.1:")))
}

#[cfg(test)]
mod tests;
