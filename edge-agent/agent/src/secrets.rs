//! Passwords of devices and users at the broker: files that `engawa broker passwd` makes, one for each.
//!
//! Never: a password in a log; a file that others can read; one replaced unasked.

use crate::config::Loaded;
use anyhow::Context;
use data_encoding::BASE64URL_NOPAD;
use engawa_field::mqtt::topic::escape;
use engawa_field::mqtt::{Allowed, Endpoint, Grant, User};
use engawa_model::DeviceId;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The user that a gateway whose own broker is closed to the network always has, for people and programs on the box.
pub(crate) const LOCAL: &str = "local";
/// Random bytes of a password.
const BYTES: usize = 24;

/// Everybody who may use the main broker, beside the house.
pub(crate) fn users(loaded: &Loaded) -> Vec<User> {
    let mqtt = loaded.config.mqtt.clone().unwrap_or_default();
    let at = |name: &str, file: Option<&PathBuf>| file.cloned().unwrap_or_else(|| file_of(loaded, name));
    let devices = loaded.mqtt_devices(None).into_iter().map(|device| {
        let name = device.id.as_str();
        let configured = loaded.config.device.iter().find(|device| device.id == name);
        let file = configured.and_then(|device| device.password_file.as_ref());
        let password_file = at(name, file);
        User { name: name.to_owned(), grant: Grant::Device(DeviceId::from(name)), password_file }
    });
    let mut users: Vec<_> = devices.collect();
    users.extend(mqtt.user.iter().map(|user| User {
        name: user.name.clone(),
        grant: Grant::Allowed(user.allowed.clone()),
        password_file: at(&user.name, user.password_file.as_ref()),
    }));
    if let Ok(Endpoint::Embedded { listen }) = mqtt.validate() {
        if let (Some(name), Some(file)) = (mqtt.username, mqtt.password_file) {
            let grant = Grant::Allowed(vec![Allowed::Read, Allowed::Devices]);
            users.push(User { name, grant, password_file: file });
        }
        if listen.ip().is_loopback() {
            let grant = Grant::Allowed(vec![Allowed::HomeAssistant, Allowed::Devices]);
            users.push(User { name: LOCAL.to_owned(), grant, password_file: at(LOCAL, None) });
        }
    }
    users
}

/// The file of the password of `name`, where the configuration names no other.
pub(crate) fn file_of(loaded: &Loaded, name: &str) -> PathBuf {
    let configured = loaded.config.mqtt.as_ref().and_then(|mqtt| mqtt.secrets.clone());
    let folder = configured.unwrap_or_else(|| loaded.config.store.dir.join("mqtt"));
    folder.join(format!("{}.password", escape(name)))
}

/// The password in `path`; makes one where there is none, or where `renew` asks for another.
///
/// # Errors
/// A folder or file that can't be made or read.
pub(crate) fn password(path: &Path, renew: bool) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if !renew => {
            let password = text.lines().next().unwrap_or_default();
            anyhow::ensure!(!password.is_empty(), "{} has no password in its first line", path.display());
            return Ok(password.to_owned());
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("reading {}", path.display()));
        }
        _ => {}
    }
    let password = BASE64URL_NOPAD.encode(&rand::random::<[u8; BYTES]>());
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    // Beside it and renamed, so that nobody ever reads half a password.
    let new = path.with_extension("new");
    let written = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        writeln!(file, "{password}")?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.with_context(|| format!("writing {}", path.display()))?;
    Ok(password)
}

/// Makes what the gateway's own broker needs before it starts: the password of [`LOCAL`], where there is that user.
///
/// # Errors
/// As [`password`].
pub(crate) fn prepare(users: &[User]) -> anyhow::Result<()> {
    match users.iter().find(|user| user.name == LOCAL) {
        Some(local) => password(&local.password_file, false).map(drop),
        None => Ok(()),
    }
}
