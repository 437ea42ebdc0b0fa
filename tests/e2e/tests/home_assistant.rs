//! The house as a real Home Assistant sees it: the agent's own program announces it at Mosquitto, Home Assistant discovers
//! it, shows it, and sets it.
//!
//! Why the real one: what it accepts is decided by its schemas and templates, of which the documentation tells a part.
//! Every profile that is built in has a device here, so that each of its announcements is read.
//!
//! Needs `mosquitto`, `mosquitto-clients` and Python 3.13; Home Assistant is fetched once into the target folder, and the
//! agent must have been built (`make test` sees to all of that).
//!
//! Never sleeps to wait: each wait is for a condition, with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]
#![allow(unreachable_pub, clippy::disallowed_methods, reason = "a test of several files")]

#[path = "home_assistant/stage.rs"]
mod stage;

use engawa_field::profile::{Protocol, builtin, load};
use serde_json::{Value, json};
use stage::{Agent, Home, Subscriber, listens, mosquitto, publish, publish_as};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(100);

const THERMOSTAT: &str = r#"
[profile]
name = "wall"
make = "Acme"
model = "Wall 2"
kind = "thermostat"
protocol = "mqtt"
sources = ["made up for the test"]
[mqtt]
status_topic = "z2m/{device}"
[[mqtt.points]]
name = "temperature"
role = "room-temperature"
unit = "Cel"
pointer = "/temp"
kind = "float"
[[mqtt.points]]
name = "setpoint"
role = "climate-setpoint"
unit = "Cel"
pointer = "/heat"
kind = "float"
min = 5.0
max = 30.0
command_topic = "z2m/{device}/set"
command_template = '{"heat":{value}}'
[[mqtt.points]]
name = "boost"
pointer = "/boost"
kind = "bool"
command_topic = "z2m/{device}/set"
command_template = '{"boost":{value}}'
"#;

const SENSES: &str = r#"
[profile]
name = "senses"
make = "Acme"
model = "Senses"
kind = "sensors"
protocol = "mqtt"
sources = ["made up for the test"]
[mqtt]
status_topic = "z2m/{device}"
[[mqtt.points]]
name = "window"
role = "window"
pointer = "/window"
kind = "bool"
[[mqtt.points]]
name = "wet"
role = "leak"
pointer = "/wet"
kind = "bool"
[[mqtt.points]]
name = "locked"
role = "lock"
pointer = "/locked"
kind = "bool"
command_topic = "z2m/{device}/set"
command_template = '{"locked":{value}}'
[[mqtt.points]]
name = "battery"
role = "battery"
unit = "%"
pointer = "/battery"
kind = "int"
[[mqtt.points]]
name = "co2"
unit = "[ppm]"
pointer = "/co2"
kind = "int"
"#;

/// The site's broker, as the configuration has it.
fn site(port: u16) -> String {
    format!("broker = \"mqtt://127.0.0.1:{port}\"")
}

/// The configuration, with this broker; `senses`: with the sensors of room 102; `extra` goes to its end.
fn configuration(folder: &Path, broker: &str, senses: bool, extra: &str) -> PathBuf {
    let profiles = folder.join("profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    std::fs::write(profiles.join("wall.toml"), THERMOSTAT).unwrap();
    std::fs::write(profiles.join("senses.toml"), SENSES).unwrap();
    let mut text = format!(
        r#"profiles = "profiles"
[property]
id = "grand"
name = "Grand Hotel"
zone = "Asia/Tokyo"
currency = "JPY"
rooms = ["101", "102"]
[climate]
comfort_c = 22.0
eco_heating_c = 17.0
eco_cooling_c = 28.0
[store]
dir = "data"
[mqtt]
{broker}
[api]
listen = "127.0.0.1:0"
socket = "{}"
[[bus]]
id = "nowhere"
address = "127.0.0.1:9"
[[device]]
id = "wall-101"
room = "101"
profile = "wall"
"#,
        folder.join("engawa.sock").display()
    );
    if senses {
        text += "[[device]]\nid = \"senses-102\"\nroom = \"102\"\nprofile = \"senses\"\n";
    }
    for (unit, (name, profile)) in (1..).zip(builtin()) {
        let wiring = match load(name, profile).unwrap().protocol {
            Protocol::Modbus(_) => format!("bus = \"nowhere\"\nunit = {unit}\n"),
            Protocol::Mqtt(_) => String::new(),
        };
        text += &format!("[[device]]\nid = \"{name}\"\nprofile = \"{name}\"\n{wiring}");
    }
    let path = folder.join("engawa.toml");
    std::fs::write(&path, text + extra).unwrap();
    path
}

/// What the broker keeps of the house's announcements, by topic; told to whoever comes last.
async fn announcements(port: u16, count: usize) -> BTreeMap<String, Value> {
    let mut kept = Subscriber::new(port, &["-v", "-t", "homeassistant/device/engawa-grand/#"]);
    let mut all = BTreeMap::new();
    while all.len() < count {
        let line = kept.next("an announcement", |_| true).await;
        let (topic, payload) = line.split_once(' ').unwrap();
        all.insert(topic.to_owned(), serde_json::from_str(payload).unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn home_assistant_discovers_shows_and_sets_the_house() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _broker) = mosquitto(folder.path()).await;
    let mut home = Home::start(folder.path(), port).await;
    let mut orders = Subscriber::new(port, &["-v", "-t", "z2m/+/set", "-t", "ready"]);
    let config = configuration(folder.path(), &site(port), true, "[home_assistant]\n");
    let agent = Agent::start(&config);

    shows(&mut home, port).await;
    let count = std::fs::read_to_string(&config).unwrap().matches("[[device]]").count() + 1;
    let announced = announcements(port, count).await;
    accepts_all(&mut home, &announced, port).await;
    understands(&mut home, &announced).await;
    sets(&mut home, &mut orders, port).await;
    is_told_again(port).await;

    agent.stop().await;
    home.shows("climate.wall_101", "unavailable", json!({})).await;
    home.shows("binary_sensor.senses_102_window", "unavailable", json!({})).await;

    // The sensors leave the house.
    let config = configuration(folder.path(), &site(port), false, "[home_assistant]\n");
    let agent = Agent::start(&config);
    home.lacks("binary_sensor.senses_102_window").await;
    home.comes_to("{{ device_id('senses-102') }}", "None").await;
    publish(port, "z2m/wall-101", r#"{"temp":20.5,"heat":21.5,"boost":true}"#).await;
    home.shows("climate.wall_101", "auto", json!({ "temperature": 21.5 })).await;
    agent.stop().await;

    // And the whole house leaves Home Assistant.
    let config = configuration(folder.path(), &site(port), false, "[home_assistant]\nannounce = false\n");
    let agent = Agent::start(&config);
    home.comes_to("{{ integration_entities('mqtt') | length }}", "0").await;
    agent.stop().await;

    let log = home.log().await;
    let complaints: Vec<_> = log.lines().filter(|line| line.contains("components.mqtt")).collect();
    assert!(complaints.is_empty(), "Home Assistant complains: {complaints:#?}");
}

/// Where the hotel has no broker, Home Assistant uses the gateway's own, as a user of its own: it hears the announcements
/// and gives commands, and says nothing in the house's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_own_broker_serves_home_assistant() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(folder.path().join("password"), "open sesame\n").unwrap();
    let own = format!(
        "listen = \"127.0.0.1:{port}\"\n[[mqtt.user]]\nname = \"ha\"\nallowed = [\"home-assistant\"]\npassword_file = \"password\"\n\
         [[mqtt.user]]\nname = \"bridge\"\nallowed = [\"devices\"]\npassword_file = \"password\""
    );
    let agent = Agent::start(&configuration(folder.path(), &own, true, "[home_assistant]\n"));
    listens(port).await;
    let login = ["-u", "ha", "-P", "open sesame"];

    let bridge = ["-u", "bridge", "-P", "open sesame"];
    let mut ordered = Subscriber::new(port, &[&bridge[..], &["-v", "-t", "z2m/wall-101/set"]].concat());
    let filters = ["-v", "-t", "homeassistant/#", "-t", "engawa/grand/#"];
    let mut heard = Subscriber::new(port, &[&login[..], &filters].concat());
    let topic = "homeassistant/device/engawa-grand/wall-101/config ";
    let announced = heard.next("the announcement", |line| line.starts_with(topic)).await;
    let announced: Value = serde_json::from_str(announced.strip_prefix(topic).unwrap()).unwrap();
    let set = announced["cmps"]["climate_-setpoint"]["temp_cmd_t"].as_str().unwrap().to_owned();
    publish_as(&login, port, "engawa/grand/status", "forged").await;
    publish_as(&login, port, &set, "22.5").await;
    let written = |line: &str| {
        assert!(!line.contains("forged"), "{line}");
        line == r#"z2m/wall-101/set {"heat":22.5}"#
    };
    ordered.next("the set point", written).await;
    // Whoever has started hears everything again.
    let house = heard.next("the house", |line| line.contains("\"Grand Hotel\""));
    until(house, SOON, || publish_as(&login, port, "homeassistant/status", "online")).await;
    agent.stop().await;
}

/// Devices that speak appear with their rooms and values.
async fn shows(home: &mut Home, port: u16) {
    home.shows("climate.wall_101", "unavailable", json!({})).await;
    publish(port, "z2m/wall-101", r#"{"temp":20.5,"heat":19.0,"boost":false}"#).await;
    publish(port, "z2m/senses-102", r#"{"window":true,"wet":false,"locked":true,"battery":81,"co2":612}"#)
        .await;
    let range = json!({
        "current_temperature": 20.5, "temperature": 19.0, "min_temp": 5.0, "max_temp": 30.0, "target_temp_step": 0.5,
        "hvac_modes": ["auto"],
    });
    home.shows("climate.wall_101", "auto", range).await;
    let measure =
        json!({ "unit_of_measurement": "°C", "device_class": "temperature", "state_class": "measurement" });
    home.shows("sensor.wall_101_temperature", "20.5", measure).await;
    home.shows("switch.wall_101_boost", "off", json!({})).await;
    home.shows("binary_sensor.senses_102_window", "on", json!({ "device_class": "window" })).await;
    home.shows("binary_sensor.senses_102_wet", "off", json!({ "device_class": "moisture" })).await;
    home.shows("lock.senses_102_locked", "locked", json!({})).await;
    home.shows("sensor.senses_102_battery", "81", json!({ "device_class": "battery" })).await;
    home.shows("sensor.senses_102_co2", "612", json!({ "device_class": "carbon_dioxide" })).await;
    for (template, text) in [
        ("{{ device_id('senses-102') is none }}", "False"),
        ("{{ area_name('climate.wall_101') }}", "101"),
        ("{{ device_attr('climate.wall_101', 'manufacturer') }}", "Acme"),
        ("{{ device_attr('climate.wall_101', 'model') }}", "Wall 2"),
        ("{{ device_attr(device_attr('climate.wall_101', 'via_device_id'), 'name') }}", "Grand Hotel"),
    ] {
        home.comes_to(template, text).await;
    }
    // The line to the Modbus devices is down, and so are they.
    home.shows("binary_sensor.grand_hotel_link_modbus_nowhere", "off", json!({})).await;
    home.shows("climate.siemens_rdf302", "unavailable", json!({})).await;
    // What its device says is not there any more is not known.
    publish(port, "z2m/senses-102", r#"{"window":false,"wet":false,"locked":false,"battery":81,"co2":612}"#)
        .await;
    home.shows("lock.senses_102_locked", "unlocked", json!({})).await;
}

/// Each announcement has become entities: as many as it has, none refused.
async fn accepts_all(home: &mut Home, announced: &BTreeMap<String, Value>, port: u16) {
    let entities: usize = announced.values().map(|it| it["cmps"].as_object().unwrap().len()).sum();
    assert!(entities > 200, "{entities}");
    let entities = entities.to_string();
    let all = home.comes_to("{{ integration_entities('mqtt') | length }}", &entities);
    // While it sets up hundreds at once, this release sometimes fails at one by a fault of its own; told again, it takes it.
    until(all, Duration::from_secs(2), || publish(port, "homeassistant/status", "online")).await;
}

/// The templates for modes do in Home Assistant what they are meant to.
async fn understands(home: &mut Home, announced: &BTreeMap<String, Value>) {
    let device = &announced["homeassistant/device/engawa-grand/intesis-inmbsdai/config"];
    let entities = device["cmps"].as_object().unwrap();
    let (_, climate) = entities.iter().find(|(_, entity)| entity["p"] == "climate").unwrap();
    let template =
        |key: &str| climate[key].as_str().unwrap_or_else(|| panic!("{key} in {climate}")).to_owned();
    for (value, mode) in
        [(json!("heat"), "heat"), (json!("fan"), "fan_only"), (json!(9), "None"), (json!(null), "None")]
    {
        let value = json!({ "value_json": { "value": value } });
        assert_eq!(home.renders(&template("mode_stat_tpl"), value.clone()).await, mode, "{value}");
    }
    for (mode, payload) in [("cool", "\"cool\""), ("fan_only", "\"fan\"")] {
        assert_eq!(home.renders(&template("mode_cmd_tpl"), json!({ "value": mode })).await, payload);
    }
}

/// What is set in Home Assistant reaches the device as a write, and what the device says of it comes back.
async fn sets(home: &mut Home, orders: &mut Subscriber, port: u16) {
    // The subscriber is there once it hears this.
    let ready = orders.next("the sign that it listens", |line| line == "ready yes");
    until(ready, SOON, || publish(port, "ready", "yes")).await;

    let call = json!({ "entity_id": "climate.wall_101", "temperature": 22.5 });
    home.call("climate/set_temperature", call).await;
    orders.next("the set point", |line| line == r#"z2m/wall-101/set {"heat":22.5}"#).await;
    publish(port, "z2m/wall-101", r#"{"temp":20.5,"heat":22.5,"boost":false}"#).await;
    home.shows("climate.wall_101", "auto", json!({ "temperature": 22.5 })).await;

    home.call("switch/turn_on", json!({ "entity_id": "switch.wall_101_boost" })).await;
    orders.next("the boost", |line| line == r#"z2m/wall-101/set {"boost":true}"#).await;
    publish(port, "z2m/wall-101", r#"{"temp":20.5,"heat":22.5,"boost":true}"#).await;
    home.shows("switch.wall_101_boost", "on", json!({})).await;

    home.call("lock/lock", json!({ "entity_id": "lock.senses_102_locked" })).await;
    orders.next("the lock", |line| line == r#"z2m/senses-102/set {"locked":true}"#).await;
    publish(port, "z2m/senses-102", r#"{"window":false,"wet":false,"locked":true,"battery":81,"co2":612}"#)
        .await;
    home.shows("lock.senses_102_locked", "locked", json!({})).await;
}

/// Publishes again and again until what is waited for has come: a subscriber needs a moment until it hears.
async fn until<T, P: Future<Output = ()>>(
    came: impl Future<Output = T>,
    pause: Duration,
    publish: impl Fn() -> P,
) {
    tokio::pin!(came);
    while timeout(pause, &mut came).await.is_err() {
        publish().await;
    }
}

/// Whoever says that Home Assistant has started hears all announcements again, as news.
async fn is_told_again(port: u16) {
    let mut news = Subscriber::new(port, &["-R", "-v", "-t", "homeassistant/device/engawa-grand/config"]);
    let heard = news.next("the house", |line| line.contains("Grand Hotel"));
    until(heard, SOON, || publish(port, "homeassistant/status", "online")).await;
}
