//! `engawa broker`: passwords of devices and users, and Mosquitto's files.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

use crate::config::Loaded;
use crate::secrets;
use anyhow::{Context, bail, ensure};
use clap::{Subcommand, ValueHint};
use engawa_field::mqtt::mosquitto::{self, Listener, SALT};
use engawa_field::mqtt::topic::HouseTopics;
use engawa_field::mqtt::{Grant, MqttConfig, Rights, Scene};
use engawa_model::PropertyId;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The house's user where the configuration names none.
pub(crate) const HOUSE: &str = "engawa";

/// What can be asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the password of a device or user at the broker; make one where there is none
    #[command(
        after_help = "A device logs in with its id as user name. At the gateway's own broker a new password \
        is valid at once; for Mosquitto write its files again.

Examples:
  engawa broker passwd sensor-101
  mosquitto_sub -u local -P \"$(engawa broker passwd local)\" -t 'engawa/PROPERTY/#' -v"
    )]
    Passwd {
        /// A device on the main broker, or a user of [mqtt].
        name: String,
        #[command(flatten)]
        file: crate::cli::File,
        /// Make another password, even if there is one.
        #[arg(long)]
        new: bool,
    },
    /// Write mosquitto.conf, the passwords and the access control list of a Mosquitto for this house
    #[command(
        after_help = "Deny by default: a device publishes only under its own topics and hears only its own \
        commands, a user what its `allowed` says, and who is not known nothing. Write the files again after devices \
        or users have changed, and send Mosquitto a SIGHUP.

Example:
  engawa broker mosquitto --out /etc/mosquitto/engawa --listen 0.0.0.0:8883 \\
    --cert /etc/mosquitto/broker.pem --key /etc/mosquitto/broker.key"
    )]
    Mosquitto {
        #[command(flatten)]
        file: crate::cli::File,
        /// The folder that the files are written to.
        #[arg(long, default_value = "mosquitto", value_hint = ValueHint::DirPath)]
        out: PathBuf,
        /// Where Mosquitto listens.
        #[arg(long, default_value = "127.0.0.1:1883", value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// Mosquitto's certificate, for TLS.
        #[arg(long, requires = "key", value_hint = ValueHint::FilePath)]
        cert: Option<PathBuf>,
        /// The certificate's key.
        #[arg(long, requires = "cert", value_hint = ValueHint::FilePath)]
        key: Option<PathBuf>,
        /// An authority: clients must show a certificate of it.
        #[arg(long, requires = "cert", value_hint = ValueHint::FilePath)]
        client_ca: Option<PathBuf>,
        /// Where Mosquitto keeps its state.
        #[arg(long, default_value = "/var/lib/mosquitto")]
        state: PathBuf,
    },
}

impl Command {
    pub(crate) fn file(&self) -> &crate::cli::File {
        match self {
            Self::Passwd { file, .. } | Self::Mosquitto { file, .. } => file,
        }
    }
}

pub(crate) fn main(command: &Command, loaded: &Loaded) -> anyhow::Result<()> {
    match command {
        Command::Passwd { name, new, .. } => passwd(loaded, name, *new),
        Command::Mosquitto { out, listen, cert, key, client_ca, state, .. } => {
            std::fs::create_dir_all(out).with_context(|| format!("making the folder {}", out.display()))?;
            let out = std::path::absolute(out)?;
            let listener = Listener {
                listen: *listen,
                tls: cert.clone().zip(key.clone()),
                client_ca: client_ca.clone(),
                state: state.clone(),
                passwords: out.join("passwd"),
                acl: out.join("acl"),
            };
            ensure!(
                listener.tls.is_some() || listen.ip().is_loopback(),
                "{listen} can be reached from the network, where passwords would be read: give --cert and --key"
            );
            files(loaded, &out, &listener)
        }
    }
}

fn passwd(loaded: &Loaded, name: &str, new: bool) -> anyhow::Result<()> {
    let users = secrets::users(loaded);
    let Some(user) = users.iter().find(|user| user.name == name) else {
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("`{name}` is neither a device on the main broker nor one of its users; there are: {known}");
    };
    println!("{}", secrets::password(&user.password_file, new)?);
    Ok(())
}

fn files(loaded: &Loaded, out: &Path, listener: &Listener) -> anyhow::Result<()> {
    let config = &loaded.config;
    let mqtt = config.mqtt.clone().unwrap_or_default();
    let topics = HouseTopics::new(&PropertyId::new(config.property.id.clone()));
    let devices = loaded.mqtt_devices(None);
    let home = loaded.home_assistant(Vec::new());
    let scene = Scene { topics: &topics, devices: &devices, discover: mqtt.discover, home: home.as_ref() };
    let mut all = vec![house(loaded, &mqtt, scene)];
    for user in secrets::users(loaded).into_iter().filter(|user| user.name != secrets::LOCAL) {
        let rights = match &user.grant {
            Grant::Allowed(allowed) => Rights::of(allowed, scene),
            Grant::Device(id) => {
                devices.iter().find(|device| device.id == *id).map(Rights::of_device).unwrap_or_default()
            }
        };
        all.push((user.name, rights, user.password_file));
    }
    let mut passwords = String::new();
    for (name, _, file) in &all {
        ensure!(
            mosquitto::can_be_user(name),
            "`{name}` can't be a user of Mosquitto: no colon, control character or space around it"
        );
        let password = secrets::password(file, false)?;
        passwords.push_str(&mosquitto::password_line(name, &password, &rand::random::<[u8; SALT]>()));
    }
    let acl = mosquitto::acl(all.iter().map(|(name, rights, _)| (name.as_str(), rights)));
    let conf = out.join("mosquitto.conf");
    write(&conf, &mosquitto::configuration(listener), 0o644)?;
    write(&listener.acl, &acl, 0o640)?;
    write(&listener.passwords, &passwords, 0o640)?;
    println!("{}: {} users; start it with  mosquitto -c {}", out.display(), all.len(), conf.display());
    if !given_to_mosquitto(&[&listener.acl, &listener.passwords]) {
        println!("the group `mosquitto` must be able to read passwd and acl there");
    }
    if let (Some((name, _, file)), None) = (all.first(), &mqtt.username) {
        println!(
            "the gateway's own user: put into [mqtt]  username = \"{name}\"  and  password_file = \"{}\"",
            file.display()
        );
    }
    Ok(())
}

/// The house's user: its name, its rights, its password's file.
fn house(loaded: &Loaded, mqtt: &MqttConfig, scene: Scene<'_>) -> (String, Rights, PathBuf) {
    let mut rights = Rights::of_house(scene);
    if let Some(sparkplug) = loaded.config.sparkplug.as_ref().filter(|sparkplug| sparkplug.broker.is_none()) {
        let group = format!("spBv1.0/{}/#", sparkplug.group);
        rights.publish.insert(group.clone());
        rights.subscribe.extend([group, "spBv1.0/STATE/#".to_owned()]);
    }
    let name = mqtt.username.clone().filter(|_| mqtt.broker.is_some()).unwrap_or_else(|| HOUSE.to_owned());
    let named = mqtt.password_file.clone().filter(|_| mqtt.broker.is_some());
    let file = named.unwrap_or_else(|| secrets::file_of(loaded, &name));
    (name, rights, file)
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    written.with_context(|| format!("writing {}", path.display()))
}

/// Gives the files to Mosquitto's group; false where there is none, or where that is not allowed.
fn given_to_mosquitto(files: &[&Path]) -> bool {
    let Ok(groups) = std::fs::read_to_string("/etc/group") else { return false };
    let group =
        groups.lines().find_map(|line| line.strip_prefix("mosquitto:")?.split(':').nth(1)?.parse().ok());
    let Some(group) = group else { return false };
    files.iter().all(|file| std::os::unix::fs::chown(file, None, Some(group)).is_ok())
}
