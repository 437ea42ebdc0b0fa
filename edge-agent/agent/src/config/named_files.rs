//! The files that a configuration names, and that must be there before the gateway starts: keys, certificates, secrets.
//!
//! Only `engawa check` asks for them: an agent starts without, and its link says what is missing until it is there.
//! Passwords that `engawa broker passwd` makes are not among them, nor what the gateway makes itself.

use super::Config;
use engawa_diag::{Doc, Path as Place, Report};
use engawa_field::mqtt::Endpoint;
use std::path::Path;

/// The named files that can't be read, each at its place.
pub(super) fn check(config: &Config, base: &Path, doc: &Doc, report: &mut Report) {
    let mut all: Vec<(Place, &Path)> = Vec::new();
    let root = |key: &str| Place::root().key(key);
    let many = config.pms.as_ref().is_some_and(super::pms::PmsTables::is_many);
    for (n, link) in config.pms_tables().iter().enumerate() {
        let here = if many { root("pms").index(n) } else { root("pms") };
        all.extend(link.auth_key_file.as_deref().map(|file| (here.key("auth_key_file"), file)));
        if let Some(tls) = &link.tls {
            let here = here.key("tls");
            all.push((here.key("ca_file"), &tls.ca_file));
            all.push((here.key("cert_file"), &tls.cert_file));
            all.push((here.key("key_file"), &tls.key_file));
        }
    }
    if let Some(update) = &config.update {
        all.push((root("update").key("root"), &update.root));
    }
    if let Some(hosted) = &config.hosted {
        let here = root("hosted");
        all.extend(hosted.ca_file.as_deref().map(|file| (here.key("ca_file"), file)));
        // The service manager's credential goes before the file.
        let secret = hosted.secret_file.as_deref();
        let secret = secret.filter(|_| super::handed_over(crate::hosted::CREDENTIAL).is_none());
        all.extend(secret.map(|file| (here.key("secret_file"), file)));
    }
    for (n, bus) in config.bus.iter().enumerate() {
        if let Some(tls) = &bus.tls {
            let here = root("bus").index(n).key("tls");
            for (key, file) in
                [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)]
            {
                all.push((here.key(key), Path::new(file)));
            }
        }
    }
    if let Some(mqtt) = &config.mqtt {
        let site = !matches!(mqtt.validate(), Ok(Endpoint::Embedded { .. }));
        let password = mqtt.password_file.as_ref().filter(|_| site);
        let files = [
            ("ca_file", mqtt.ca_file.as_ref()),
            ("cert_file", mqtt.cert_file.as_ref()),
            ("key_file", mqtt.key_file.as_ref()),
            ("password_file", password),
        ];
        let named =
            files.into_iter().filter_map(|(key, file)| Some((root("mqtt").key(key), file?.as_path())));
        all.extend(named);
    }
    for (n, broker) in config.broker.iter().enumerate() {
        let here = root("broker").index(n);
        let files = [
            ("ca_file", &broker.ca_file),
            ("cert_file", &broker.cert_file),
            ("key_file", &broker.key_file),
            ("password_file", &broker.password_file),
        ];
        all.extend(files.into_iter().filter_map(|(key, file)| Some((here.key(key), file.as_deref()?))));
    }
    for (place, file) in all {
        let path = base.join(file);
        let wrong = match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(there) if there.is_dir() => "this is a folder".to_owned(),
            Ok(_) => continue,
            Err(error) => format!("the file can't be read: {error}"),
        };
        if !doc.is_hole(&place) {
            report.push(doc.fault(&place, wrong).label(format!("looked for {}", path.display())).help(
                "put it there, readable for the user that the agent runs as; a relative path begins at this file",
            ));
        }
    }
}
