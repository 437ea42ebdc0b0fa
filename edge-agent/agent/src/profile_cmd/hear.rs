//! `engawa profile hear`: what the house would make of messages, without a broker or a house.
//!
//! Why from standard input: `mosquitto_sub -v` writes a topic and a payload a line, so that a live device is heard with a
//! pipe, and a recorded one with a file.

use super::{failed, live, resolved, wrong};
use crate::cli::{DONE, FAILED, Form, WRONG};
use clap::Args;
use engawa_field::mqtt::MqttDevice;
use engawa_field::mqtt::devices::{Devices, Moment};
use engawa_field::profile::Resolved;
use engawa_model::{DeviceId, Quality, RoomId, Timestamp};
use serde_json::json;
use std::io::{self, BufRead, Read};
use std::time::Instant;

/// The longest line that is read, bytes: the longest payload of a device, and its topic.
const MOST: u64 = 512 * 1024;

/// Which profile, and whose messages.
#[derive(Args)]
pub(crate) struct Hear {
    /// The name of a profile (see `engawa profile list`), or a file.
    profile: String,
    /// The device's name on the broker.
    #[arg(long, value_parser = crate::words_args::filled)]
    name: String,
    /// Its room, for topics that have one.
    #[arg(long, default_value = "101", value_parser = crate::words_args::filled)]
    room: String,
    /// A variable of the profile, such as `--var base=z2m`; as often as needed.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = live::var)]
    vars: Vec<(String, String)>,
    #[command(flatten)]
    form: Form,
}

/// Hears what comes on standard input; the exit status.
pub(super) fn hear(hear: &Hear) -> u8 {
    let profile = match resolved(&hear.profile, &hear.vars) {
        Ok(Resolved::Mqtt(profile)) => profile,
        Ok(Resolved::Modbus(_)) => {
            eprintln!(
                "engawa: `{}` is a profile of Modbus devices: `engawa profile test` reads one",
                hear.profile
            );
            return WRONG;
        }
        Err(report) => return wrong(report),
    };
    let device = MqttDevice {
        id: DeviceId::from(hear.name.as_str()),
        room: Some(RoomId::from(hear.room.as_str())),
        name: hear.name.clone(),
        profile,
    };
    let mut devices = Devices::new(vec![device]);
    devices.connected();
    let topics = devices.subscriptions();
    if !hear.form.json {
        println!("it is heard on {}", topics.join(", "));
        for request in devices.requests(usize::MAX) {
            println!("it is asked on {} {}", request.topic, request.payload);
        }
    }
    let (begun, mut lines, mut good) = (Instant::now(), io::stdin().lock(), true);
    loop {
        let mut line = Vec::new();
        match lines.by_ref().take(MOST).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => good &= one(&mut devices, &topics, &line, begun, hear.form.json),
            Err(error) => return failed(format!("standard input can't be read: {error}")),
        }
    }
    if good { DONE } else { FAILED }
}

/// One line; false where something in it can't be used.
fn one(devices: &mut Devices, topics: &[String], line: &[u8], begun: Instant, as_json: bool) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // A name may hold blanks: the topic is the longest one that the line begins with.
    let of_line = |topic: &&String| {
        line.strip_prefix(topic.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
    };
    let Some(topic) = topics.iter().filter(of_line).max_by_key(|topic| topic.len()) else { return true };
    let payload = line.get(topic.len() + 1..).unwrap_or_default();
    let now = Moment { steady: begun.elapsed(), clock: Timestamp::now() };
    let heard = devices.hear(topic, payload, false, now);
    for reading in &heard.readings {
        let bad = if reading.quality == Quality::Good { "" } else { "  (not valid)" };
        if as_json {
            println!(
                "{}",
                json!({ "topic": topic, "point": &*reading.point.point, "value": reading.value,
                    "quality": reading.quality })
            );
        } else {
            let value = reading.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            println!("{:<24} {value}{bad}", &*reading.point.point);
        }
    }
    for error in &heard.errors {
        if as_json {
            println!("{}", json!({ "topic": topic, "error": error.problem.to_string() }));
        } else {
            println!("NOT UNDERSTOOD on {topic}: {}", error.problem);
        }
    }
    heard.errors.is_empty()
}
