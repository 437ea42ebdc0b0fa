//! Sparkplug against programs that are not ours: Mosquitto as the broker, a host application made of pysparkplug, and
//! the published protobuf schema for every payload; then each clause of the specification against what was on the wire.
//!
//! Needs `mosquitto` and `python3-venv` (Debian package names); pysparkplug is fetched once into the target folder. Where
//! the package index is out of reach the test says so and is skipped.
//!
//! Never sleeps to wait: each wait is for a condition, with a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]
#![allow(unreachable_pub, clippy::disallowed_methods, reason = "a test of several files")]

#[path = "sparkplug/checks.rs"]
mod checks;
#[path = "sparkplug/clauses.rs"]
mod clauses;
#[path = "sparkplug/stage.rs"]
mod stage;
#[path = "sparkplug/trace.rs"]
mod trace;
#[path = "sparkplug/wire.rs"]
mod wire;

use engawa_field::mqtt::sparkplug::payload;
use engawa_model::{DeviceState, Fact, Intent, PointId, Timestamp, Value};
use serde_json::json;
use stage::{Host, House, Run, decode, mosquitto, python, start};
use std::path::Path;
use std::sync::Arc;
use trace::Trace;
use wire::{Sent, Wire};

/// More than the numbers of messages go before they begin again.
const ROUND: u32 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_follows_the_house_and_every_clause_holds() {
    let Some(python) = python().await else { return };
    let (broker, _mosquitto, folder) = mosquitto().await;
    let wire = Wire::to(broker).await;
    let mut host = Host::start(&python, broker).await;
    let began = Timestamp::now();
    let number = folder.path().join("bdseq");
    let house = House::new();
    house.health("t/1", DeviceState::Well);
    house.health("t2", DeviceState::Well);
    house.reports("t/1", "temperature", Value::Float(20.0));

    let run = first_session(&house, &wire, &mut host, &number).await;
    second_session(&house, &wire, &mut host).await;
    run.kill().await;
    let will = host.sees("the will", |it| it["kind"] == "NDEATH").await;
    assert_eq!(will["metrics"][0]["value"], 1, "the death is that of the second session");
    wire.mark("killed");

    // Another run of the program: the number goes on where the last one was.
    let third = start(&house, wire.port, None, &number);
    let born = host.sees("births of the third session", |it| it["kind"] == "NBIRTH").await;
    assert_eq!(value(&born, "bdSeq"), json!(2));
    wire.told("DBIRTH", 2, "killed").await;
    wire.mark("stop");
    third.stop().await;
    let death = host.sees("the good-bye", |it| it["kind"] == "NDEATH").await;
    assert_eq!(death["metrics"][0]["value"], 2);

    // The host may hear of it before the packet behind it has been seen here.
    wire.wait("the end of the connection", |sent| sent.last() == Some(&Sent::Closed)).await;
    let trace =
        Trace::new(wire.all(), began, &async |payloads: Vec<Vec<u8>>| decode(&python, &payloads).await).await;
    clauses::check_all(&trace);
}

/// The host is waited for, sees everything, asks for births and writes; an old word of it changes nothing.
async fn first_session(house: &Arc<House>, wire: &Wire, host: &mut Host, number: &Path) -> Run {
    let first = start(house, wire.port, Some("scada"), number);
    house
        .seen(
            "the wait",
            1,
            |fact| matches!(fact, Fact::Link { up: true, detail, .. } if detail.contains("waits")),
        )
        .await;
    wire.mark("online");
    host.state(true, 1_000).await;
    let born = host.sees("NBIRTH", |it| it["kind"] == "NBIRTH").await;
    assert_eq!((value(&born, "Node Control/Rebirth"), value(&born, "bdSeq")), (json!(false), json!(0)));
    assert_eq!(
        (value(&born, "Rooms/101/Occupied"), value(&born, "Night Audit")),
        (json!(false), json!(false))
    );
    let born = host.sees("DBIRTH of t/1", |it| it["kind"] == "DBIRTH" && it["device"] == "t%2F1").await;
    assert_eq!((value(&born, "temperature"), value(&born, "setpoint")), (json!(20.0), json!(null)));
    host.sees("DBIRTH of t2", |it| it["kind"] == "DBIRTH" && it["device"] == "t2").await;

    house.reports("t/1", "temperature", Value::Float(21.5));
    let data = host.sees("DDATA", |it| it["kind"] == "DDATA").await;
    assert_eq!(value(&data, "temperature"), json!(21.5), "the alias is that of the birth");
    // The same again is no news: nothing is told, which the numbers show.
    house.reports("t/1", "temperature", Value::Float(21.5));
    house.fact(Fact::NightAuditBegun);
    let data = host.sees("NDATA", |it| it["kind"] == "NDATA").await;
    assert_eq!(value(&data, "Night Audit"), json!(true));

    wire.mark("t2 lost");
    house.health("t2", DeviceState::Unwell);
    host.sees("DDEATH", |it| it["kind"] == "DDEATH" && it["device"] == "t2").await;
    house.health("t2", DeviceState::Well);
    host.sees("DBIRTH", |it| it["kind"] == "DBIRTH" && it["device"] == "t2").await;

    wire.mark("rebirth");
    host.ask(json!({ "do": "write", "node": "grand", "name": "Node Control/Rebirth", "type": "BOOLEAN", "value": true }))
        .await;
    let born = host.sees("births again", |it| it["kind"] == "NBIRTH").await;
    assert_eq!(value(&born, "bdSeq"), json!(0));
    wire.told("DBIRTH", 2, "rebirth").await;

    wire.mark("old state");
    host.state(false, 999).await;
    let alias = born_alias(wire);
    writes(house, host, alias).await;

    wire.mark("host offline");
    host.state(false, 1_000).await;
    host.sees("NDEATH", |it| it["kind"] == "NDEATH").await;
    first
}

/// DCMD by name and by alias, with and without a type, become writes of the house.
async fn writes(house: &House, host: &mut Host, alias: u64) {
    for (device, metric, kind, value, point, wanted) in [
        (
            "t2",
            json!({ "name": "setpoint" }),
            "DOUBLE",
            json!(22.5),
            PointId::new("t2", "setpoint"),
            Value::Float(22.5),
        ),
        (
            "t%2F1",
            json!({ "alias": alias }),
            "FLOAT",
            json!(18.1),
            PointId::new("t/1", "setpoint"),
            Value::Float(18.1),
        ),
    ] {
        let mut ask = json!({ "do": "write", "node": "grand", "device": device, "type": kind, "value": value, "typed": true });
        ask.as_object_mut().unwrap().extend(metric.as_object().unwrap().clone());
        host.ask(ask).await;
        let asked = |fact: &Fact| {
            matches!(fact, Fact::Asked { command }
            if command.action == engawa_model::Action::SetPoint { point: point.clone(), value: wanted.clone() })
        };
        house.seen("the command", 1, asked).await;
        let intents = house.intents.lock().unwrap();
        let ordered = intents.iter().any(|intent| {
            matches!(intent, Intent::WritePoint { point: to, value, .. } if *to == point && *value == wanted)
        });
        assert!(ordered, "the house orders the write: {intents:#?}");
    }
}

/// After the host has gone and come back: births again, and so much data that the numbers begin again.
async fn second_session(house: &House, wire: &Wire, host: &mut Host) {
    wire.wait("a second connection", |sent| {
        sent.iter().filter(|sent| matches!(sent, Sent::Subscribe { .. })).count() == 2
    })
    .await;
    house
        .seen(
            "the wait",
            2,
            |fact| matches!(fact, Fact::Link { up: true, detail, .. } if detail.contains("waits")),
        )
        .await;
    wire.mark("online again");
    host.state(true, 2_000).await;
    let born = host.sees("births of the second session", |it| it["kind"] == "NBIRTH").await;
    assert_eq!(value(&born, "bdSeq"), json!(1));
    wire.told("DBIRTH", 2, "online again").await;
    for n in 0..ROUND {
        house.reports(
            if n % 2 == 0 { "t/1" } else { "t2" },
            "temperature",
            Value::Float(f64::from(n) / 10.0),
        );
    }
    let last = f64::from(ROUND - 1) / 10.0;
    host.sees("the last value", |it| it["kind"] == "DDATA" && value(it, "temperature") == json!(last)).await;
}

/// The alias of `setpoint` in the last birth of `t/1`.
fn born_alias(wire: &Wire) -> u64 {
    let birth = wire.all().into_iter().rev().find_map(|sent| match sent {
        Sent::Publish(it) if it.topic == "spBv1.0/Hotels/DBIRTH/grand/t%2F1" => Some(it.payload),
        _ => None,
    });
    let birth = payload::decode(&birth.unwrap()).unwrap();
    birth.metrics.iter().find(|metric| metric.name.as_deref() == Some("setpoint")).unwrap().alias.unwrap()
}

/// The value of the metric `name` in what the host saw.
fn value(seen: &serde_json::Value, name: &str) -> serde_json::Value {
    let metrics = seen["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|metric| metric["name"] == name);
    found.map_or(json!("absent"), |metric| metric["value"].clone())
}
