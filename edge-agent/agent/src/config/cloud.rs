//! `[cloud]`: where the cloud is, and the way there.

use super::Config;
use super::check::{at, is_address};
use engawa_diag::{Doc, Report};
use engawa_link::{KeyPlace, Line, MOST_ADDRESSES, Metered, Network};
use serde::Deserialize;
use std::path::PathBuf;

/// The file beside the identity in which the last good way to the cloud is remembered.
const MEMORY_FILE: &str = "line";
/// The longest name of a region, bytes.
const MOST_REGION: usize = 32;

/// The cloud.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudConfig {
    /// `host:port`, where there is one.
    pub(crate) address: Option<String>,
    /// The same, where there are several.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// The TCP port where UDP does not get through; without it, each address's own.
    pub(crate) tcp_port: Option<u16>,
    /// The region that this gateway belongs to.
    pub(crate) region: Option<String>,
    /// A way out of the house that costs by the byte.
    pub(crate) metered: Option<MeteredConfig>,
    /// Where the gateway's certificate and key lie.
    pub(crate) identity_dir: PathBuf,
    /// Where its private key is made: `file`, or a TPM. Without it, where the present one is.
    pub(crate) key: Option<String>,
}

/// A way out of the house that costs by the byte.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeteredConfig {
    /// Its interface, such as `wwan0`.
    pub(crate) interface: Option<String>,
    /// Its own addresses, such as `10.64.0.0/10`.
    pub(crate) cidr: Option<String>,
    /// What may go over it in a day, both ways. Past it telemetry waits; everything else goes.
    pub(crate) bytes_per_day: u64,
}

impl CloudConfig {
    /// The way to the cloud.
    pub(crate) fn line(&self) -> Line {
        let mut line = Line::new(self.all().cloned());
        line.tcp_port = self.tcp_port;
        line.region.clone_from(&self.region);
        line.metered = self.metered.as_ref().map(|metered| Metered {
            interface: metered.interface.clone(),
            // It was checked.
            network: metered.cidr.as_ref().and_then(|cidr| cidr.parse().ok()),
            bytes_per_day: metered.bytes_per_day,
        });
        line.memory = Some(self.identity_dir.join(MEMORY_FILE));
        line
    }

    /// Where the private key is to be.
    pub(crate) fn keys(&self) -> Option<KeyPlace> {
        // It was checked.
        self.key.as_ref().and_then(|key| key.parse().ok())
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.address.iter().chain(&self.addresses)
    }

    /// For people.
    pub(crate) fn named(&self) -> String {
        self.all().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Checks the section.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let Some(cloud) = &config.cloud else { return };
    let wrong = |key: &str, address: &String| {
        doc.fault(&at("cloud", key), format!("`{address}` is not `host:port`"))
            .label("expected a host and a port")
            .help("for example \"cloud.example.com:8443\"")
    };
    if let Some(address) = cloud.address.as_ref().filter(|address| !is_address(address)) {
        report.push(wrong("address", address));
    }
    for address in cloud.addresses.iter().filter(|address| !is_address(address)) {
        report.push(wrong("addresses", address));
    }
    match cloud.all().count() {
        0 => report.push(
            doc.fault(&at("cloud", "identity_dir"), "[cloud] says nowhere where the cloud is")
                .help("add for example address = \"cloud.example.com:443\""),
        ),
        1..=MOST_ADDRESSES => {}
        count => report.push(
            doc.fault(&at("cloud", "addresses"), format!("{count} addresses of the cloud"))
                .label(format!("at most {MOST_ADDRESSES} are tried")),
        ),
    }
    if cloud.tcp_port == Some(0) {
        report.push(doc.fault(&at("cloud", "tcp_port"), "0 is no port").help("leave it out, or write 443"));
    }
    if let Some(Err(error)) = cloud.key.as_ref().map(|key| key.parse::<KeyPlace>()) {
        report.push(
            doc.fault(&at("cloud", "key"), error.to_string())
                .help("\"tpm\" is the machine's own, behind the kernel's resource manager"),
        );
    }
    if let Some(region) = &cloud.region {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.is_empty() || region.len() > MOST_REGION || !region.bytes().all(good) {
            report.push(
                doc.fault(&at("cloud", "region"), format!("`{region}` can't name a region"))
                    .label(format!("expected up to {MOST_REGION} small letters, digits and `-`"))
                    .help("the cloud's `engawa-cloud init --region` says which it is"),
            );
        }
    }
    if let Some(metered) = &cloud.metered {
        if metered.interface.is_none() && metered.cidr.is_none() {
            report.push(
                doc.fault(&at("cloud", "metered"), "`metered` does not say which way costs")
                    .help("add for example interface = \"wwan0\", or cidr = \"10.64.0.0/10\""),
            );
        }
        if let Some(Err(error)) = metered.cidr.as_ref().map(|cidr| cidr.parse::<Network>()) {
            report.push(doc.fault(&at("cloud", "metered"), error.to_string()));
        }
    }
}
