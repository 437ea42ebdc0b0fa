//! TLS with certificates on both sides against Mosquitto: what is right connects, and whatever is wrong says what.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod mqtt_stage;

use engawa_field::mqtt::{MqttConfig, MqttVersion, prepare};
use engawa_model::Fact;
use mqtt_stage::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::process::Child;

/// An authority, and what it signs.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        // Mosquitto reads its files as a user of its own.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `name.pem` and `name.key`, valid until `year`.
    fn sign(&self, name: &str, year: i32) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        let file = self.path(&format!("{name}.key"));
        std::fs::write(&file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A broker with the authority's certificate `name`, that lets in only who shows one of the authority.
async fn broker(authority: &Authority, name: &str) -> (u16, Child, tempfile::TempDir) {
    let port = free_port();
    let extra = format!(
        "user root\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        authority.path("ca.pem").display(),
        authority.path(&format!("{name}.pem")).display(),
        authority.path(&format!("{name}.key")).display()
    );
    let (child, folder) = mosquitto(port, &extra).await;
    (port, child, folder)
}

fn config(port: u16, ca: &Authority, ours: Option<(&Authority, &str)>, version: MqttVersion) -> MqttConfig {
    let file = |kind: &str| ours.map(|(of, name)| of.path(&format!("{name}.{kind}")));
    MqttConfig {
        broker: Some(format!("mqtts://localhost:{port}")),
        ca_file: Some(ca.path("ca.pem")),
        cert_file: file("pem"),
        key_file: file("key"),
        version: Some(version),
        ..MqttConfig::default()
    }
}

async fn refused(config: MqttConfig, words: &str) {
    let running = start(config).await;
    let says = |fact: &Fact| matches!(fact, Fact::Link { up: false, detail, .. } if detail.contains(words));
    running.house.seen(words, says).await;
    running.stop().await;
}

#[tokio::test]
async fn whatever_is_wrong_with_a_certificate_is_said() {
    let (site, other) = (Authority::new("the site"), Authority::new("another"));
    for (name, year) in [("broker", 2100), ("gateway", 2100), ("old", 2021)] {
        site.sign(name, year);
    }
    other.sign("gateway", 2100);
    let (port, _mosquitto, _folder) = broker(&site, "broker").await;
    let (stale, _stale, _stale_folder) = broker(&site, "old").await;
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let good = Some((&site, "gateway"));
        let running = start(config(port, &site, good, version)).await;
        running.house.up().await;
        running.stop().await;
        refused(config(port, &other, good, version), "is not of the authority in `ca_file`").await;
        refused(config(port, &site, None, version), "asks for a client certificate: set `cert_file`").await;
        refused(config(port, &site, Some((&other, "gateway")), version), "does not accept the one in").await;
        refused(config(port, &site, Some((&site, "old")), version), "old.pem has expired").await;
        refused(config(stale, &site, good, version), "its certificate has expired").await;
    }
}

#[tokio::test]
async fn renewed_files_are_taken_at_the_next_connection() {
    let site = Authority::new("the site");
    site.sign("broker", 2100);
    site.sign("gateway", 2021);
    let (port, _mosquitto, _folder) = broker(&site, "broker").await;
    let running = start(config(port, &site, Some((&site, "gateway")), MqttVersion::Auto)).await;
    let down =
        |fact: &Fact| matches!(fact, Fact::Link { up: false, detail, .. } if detail.contains("expired"));
    running.house.seen("the refusal", down).await;
    site.sign("gateway", 2100);
    running.house.up().await;
    running.stop().await;
}

#[tokio::test]
async fn files_that_can_not_be_used_are_refused_before_anything_runs() {
    let site = Authority::new("the site");
    for name in ["gateway", "second"] {
        site.sign(name, 2100);
    }
    let said = |config: MqttConfig| async move {
        let (_, parts) = parts(Start::new(config));
        let error = prepare(parts).await.err().expect("refused");
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    let good = config(1, &site, Some((&site, "gateway")), MqttVersion::Auto);
    let with = |cert: &Path, key: &Path| MqttConfig {
        cert_file: Some(cert.to_owned()),
        key_file: Some(key.to_owned()),
        ..good.clone()
    };
    let text = said(with(&site.path("gateway.pem"), &site.path("second.key"))).await;
    assert!(text.contains("don't belong together"), "{text}");
    let text = said(with(&site.path("gateway.key"), &site.path("gateway.key"))).await;
    assert!(text.contains("holds no certificate"), "{text}");
    let text = said(with(&site.path("gateway.pem"), &site.path("nowhere.key"))).await;
    assert!(text.contains("can't be read"), "{text}");
    std::fs::set_permissions(site.path("gateway.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = said(good.clone()).await;
    assert!(text.contains("can be read by others") && text.contains("chmod 600"), "{text}");
}
