//! The machine, as tables of what comes and what must follow.

use super::*;
use crate::mqtt::sparkplug::payload::{self, MetricValue};
use crate::mqtt::sparkplug::{DataType, DevicePicture, Reading};
use proptest::prelude::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
}

fn reading(name: &str, value: f64) -> Reading {
    Reading { value: Some(Value::Float(value)), at: Some(at(-5)), ..Reading::new(name, DataType::Double) }
}

fn device(name: &str, value: f64) -> DevicePicture {
    DevicePicture {
        device: name.into(),
        metrics: vec![reading("temperature", value), reading("setpoint", 20.0)],
    }
}

fn metric(name: &str, value: f64) -> Update {
    Update::Metric { device: name.into(), reading: reading("temperature", value) }
}

struct World {
    node: EdgeNode,
    picture: Picture,
    looks: usize,
}

impl World {
    fn new(host: Option<&str>) -> Self {
        let names = NodeNames::new("G", "n", host).unwrap();
        let picture = Picture {
            node: vec![reading("Load", 1.0)],
            devices: vec![device("t1", 21.0), device("t2", 22.0)],
        };
        Self { node: EdgeNode::new(names, None), picture, looks: 0 }
    }

    fn born() -> Self {
        let mut world = Self::new(None);
        world.node.connect(at(0));
        world.step(|node, look| node.connected(at(1), look));
        world
    }

    /// What the node does, in one line for each: kind, device, number, metrics.
    fn step(&mut self, act: impl FnOnce(&mut EdgeNode, Look<'_>) -> Vec<Out>) -> Vec<String> {
        let Self { node, picture, looks } = self;
        let out = act(node, &mut || {
            *looks += 1;
            picture.clone()
        });
        out.iter().map(in_words).collect()
    }

    fn heard(&mut self, topic: &str, payload: &[u8], ms: i64) -> Vec<String> {
        self.step(|node, look| node.heard(topic, payload, false, at(ms), look))
    }

    fn rebirth(&mut self, ms: i64) -> Vec<String> {
        let ask = Metric {
            name: Some("Node Control/Rebirth".to_owned()),
            value: Some(MetricValue::Boolean(true)),
            ..Metric::default()
        };
        let payload = Payload { metrics: vec![ask], ..Payload::default() }.encode_to_vec();
        self.heard("spBv1.0/G/NCMD/n", &payload, ms)
    }

    fn state(&mut self, online: bool, timestamp: u64) -> Vec<String> {
        let payload = format!(r#"{{"online":{online},"timestamp":{timestamp}}}"#);
        self.heard("spBv1.0/STATE/h", payload.as_bytes(), 5)
    }
}

fn in_words(out: &Out) -> String {
    match out {
        Out::Publish(message) => {
            let payload = payload::decode(&message.payload).unwrap();
            let topic: Vec<&str> = message.topic.split('/').collect();
            let names: Vec<String> = payload
                .metrics
                .iter()
                .map(|metric| metric.name.clone().unwrap_or_else(|| format!("#{}", metric.alias.unwrap())))
                .collect();
            let seq = payload.seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
            format!("{} {seq} {}", [topic[2], topic.get(4).unwrap_or(&"")].join(" ").trim(), names.join(","))
        }
        other => format!("{other:?}"),
    }
}

const BIRTHS: [&str; 3] = [
    "NBIRTH 0 Load,bdSeq,Node Control/Rebirth",
    "DBIRTH t1 1 temperature,setpoint",
    "DBIRTH t2 2 temperature,setpoint",
];

#[test]
fn births_come_first_and_tell_everything() {
    let mut world = World::new(None);
    world.node.connect(at(0));
    assert!(world.step(|node, look| node.changed(vec![metric("t1", 5.0)], at(1), look)).is_empty());
    assert_eq!(world.step(|node, look| node.connected(at(1), look)), BIRTHS);
    assert_eq!(world.looks, 1);
}

#[test]
fn data_is_gathered_by_device_and_says_only_news() {
    let mut world = World::born();
    let updates = vec![
        metric("t1", 21.5),
        Update::Metric { device: "t1".into(), reading: reading("setpoint", 19.0) },
        metric("t2", 22.0),
        Update::Node(reading("Load", 2.0)),
        metric("t1", 21.5),
        metric("nobody", 1.0),
    ];
    assert_eq!(
        world.step(|node, look| node.changed(updates, at(2), look)),
        ["DDATA t1 3 #2,#3", "NDATA 4 #1"]
    );
}

#[test]
fn numbers_go_round_over_all_messages() {
    let mut world = World::born();
    let mut last = 2_u64;
    for n in 0..600 {
        let updates = match n % 4 {
            0 => vec![Update::Unwell("t2".into())],
            1 => vec![Update::Well(device("t2", f64::from(n)))],
            2 => vec![Update::Node(reading("Load", f64::from(n)))],
            _ => vec![metric("t1", f64::from(n))],
        };
        let out = world.node.changed(updates, at(3), &mut Picture::default);
        let [Out::Publish(message)] = out.as_slice() else { panic!("{n}: {out:?}") };
        let seq = payload::decode(&message.payload).unwrap().seq.unwrap();
        assert_eq!(seq, (last + 1) % 256, "{n}: {}", message.topic);
        last = seq;
    }
}

#[test]
fn a_device_dies_once_and_is_born_with_everything() {
    let mut world = World::born();
    let mut one = |update: Update| world.step(|node, look| node.changed(vec![update], at(2), look));
    assert_eq!(one(Update::Unwell("t1".into())), ["DDEATH t1 3 "]);
    assert!(one(Update::Unwell("t1".into())).is_empty());
    assert!(one(metric("t1", 9.0)).is_empty());
    assert_eq!(one(Update::Well(device("t1", 9.0))), ["DBIRTH t1 4 temperature,setpoint"]);
    assert_eq!(one(metric("t1", 9.5)), ["DDATA t1 5 #2"]);
}

#[test]
fn what_births_did_not_tell_is_born_before_it_is_told() {
    let mut world = World::born();
    world.picture.devices[0].metrics.push(reading("humidity", 40.0));
    let news = Update::Metric { device: "t1".into(), reading: reading("humidity", 40.0) };
    assert_eq!(
        world.step(|node, look| node.changed(vec![metric("t2", 1.0), news, metric("t1", 3.0)], at(2), look)),
        ["DDATA t2 3 #4", "DBIRTH t1 4 temperature,setpoint,humidity"]
    );
    world.picture.node.push(reading("Links/x/Up", 1.0));
    let news = Update::Node(reading("Links/x/Up", 1.0));
    let born = world.step(|node, look| node.changed(vec![news], at(2), look));
    assert_eq!(born[0], "NBIRTH 0 Load,Links/x/Up,bdSeq,Node Control/Rebirth");
    assert_eq!(born.len(), 3);
}

#[test]
fn after_an_overflow_only_differences_are_told() {
    let mut world = World::born();
    world.picture.devices = vec![device("t2", 23.0), device("t3", 24.0)];
    assert_eq!(
        world.step(|node, look| node.catch_up(at(2), look)),
        ["DDEATH t1 3 ", "DDATA t2 4 #4", "DBIRTH t3 5 temperature,setpoint"]
    );
}

#[test]
fn a_rebirth_keeps_the_session_and_comes_at_most_once_a_second() {
    let mut world = World::born();
    let number = |node: &mut EdgeNode| node.farewell(at(9)).unwrap().payload;
    assert!(world.rebirth(500).is_empty());
    assert!(world.rebirth(600).is_empty());
    assert_eq!(world.node.next_wake(), Some(at(1001)));
    assert!(world.step(|node, look| node.changed(vec![metric("t1", 5.0)], at(700), look)).is_empty());
    assert!(world.step(|node, look| node.tick(at(1000), look)).is_empty());
    assert_eq!(world.step(|node, look| node.tick(at(1001), look)), BIRTHS);
    assert_eq!(world.node.next_wake(), None);
    assert_eq!(world.rebirth(5000), BIRTHS);
    let mut other = World::born();
    assert_eq!(number(&mut world.node), number(&mut other.node), "bdSeq is that of the connection");
}

#[test]
fn every_connection_has_the_next_number_and_dies_with_it() {
    let names = || NodeNames::new("G", "n", None).unwrap();
    let mut first = EdgeNode::new(names(), None);
    assert_eq!([first.connect(at(0)).0, first.connect(at(0)).0], [0, 1]);
    let mut later = EdgeNode::new(names(), Some(255));
    let (number, will) = later.connect(at(0));
    assert_eq!((number, will.topic.as_str(), will.at_least_once), (0, "spBv1.0/G/NDEATH/n", true));
    let payload = payload::decode(&will.payload).unwrap();
    assert_eq!((payload.seq, payload.metrics.len()), (None, 1));
    assert_eq!(payload.metrics[0].value, Some(MetricValue::Long(0)));
    assert_eq!(later.farewell(at(1)), None, "nothing was said, nothing is taken back");
    later.connected(at(1), &mut Picture::default);
    assert_eq!(later.farewell(at(0)), Some(will));
}

#[test]
fn a_primary_host_is_waited_for_and_left_with() {
    let mut world = World::new(Some("h"));
    world.node.connect(at(0));
    // The broker may bring the state before it confirms the subscription.
    assert!(world.state(true, 100).is_empty());
    assert_eq!(world.step(|node, look| node.connected(at(1), look)), BIRTHS);
    assert!(world.state(false, 99).is_empty(), "the will of an older session of the host");
    assert!(world.state(true, 100).is_empty(), "it is known to be online");
    assert_eq!(world.state(false, 100), ["NDEATH - bdSeq", "Leave"]);

    world.node.disconnected();
    world.node.connect(at(3));
    assert!(world.step(|node, look| node.connected(at(4), look)).is_empty(), "it must be seen again");
    assert!(world.state(false, 100).is_empty(), "nothing was said, nothing is taken back");
    assert!(world.state(true, 99).is_empty());
    assert_eq!(world.state(true, 101), BIRTHS);
}

#[test]
fn a_device_command_becomes_a_write_and_anything_else_an_answer() {
    let mut world = World::born();
    let write = |alias| {
        let metric =
            Metric { alias: Some(alias), value: Some(MetricValue::Float(22.5)), ..Metric::default() };
        Payload { metrics: vec![metric], ..Payload::default() }.encode_to_vec()
    };
    let asked = world.node.heard("spBv1.0/G/DCMD/n/t1", &write(3), false, at(2), &mut Picture::default);
    assert_eq!(asked, [Out::Ask { point: PointId::new("t1", "setpoint"), value: Value::Float(22.5) }]);
    for (topic, payload, retained, why) in [
        ("spBv1.0/G/DCMD/n/t2", write(3), false, "no metric with alias 3"),
        ("spBv1.0/G/DCMD/n/t1", write(3), true, "retained"),
        ("spBv1.0/G/DCMD/n/t1", vec![0xff], false, "protobuf"),
        ("spBv1.0/G/NCMD/n", write(1), false, "can't be written"),
        ("spBv1.0/G/NDATA/n", write(1), false, "nothing of this node"),
    ] {
        let out = world.node.heard(topic, &payload, retained, at(2), &mut Picture::default);
        assert!(
            matches!(&out[..], [Out::Refused { why: told, .. }] if told.contains(why)),
            "{out:?} lacks {why}"
        );
    }
    world.node.disconnected();
    let out = world.node.heard("spBv1.0/G/DCMD/n/t1", &write(3), false, at(2), &mut Picture::default);
    assert!(matches!(&out[..], [Out::Refused { .. }]));
}

proptest! {
    /// Whatever comes: births are first, numbers follow each other, data is only of what is born.
    #[test]
    fn a_host_can_follow_any_session(steps in prop::collection::vec((0_u8..9, 0_u8..3, 0_u8..5), 1..80)) {
        let mut world = World::new(None);
        let mut now = 0;
        let mut follower = Follower::default();
        for (what, which, value) in steps {
            now += 300;
            let (name, value) = (format!("t{which}"), f64::from(value));
            let World { node, picture, .. } = &mut world;
            let mut look = || picture.clone();
            let out = match what {
                0 => { node.disconnected(); node.connect(at(now)); follower = Follower::default(); vec![] }
                1 => { node.connect(at(now)); follower = Follower::default(); node.connected(at(now), &mut look) }
                2 => node.changed(vec![Update::Unwell(name.as_str().into())], at(now), &mut look),
                3 => node.changed(vec![Update::Well(device(&name, value))], at(now), &mut look),
                4 => node.changed(vec![Update::Node(reading("Load", value))], at(now), &mut look),
                5 => node.catch_up(at(now), &mut look),
                6 => node.tick(at(now), &mut look),
                7 => { let _ = world.rebirth(now); world.node.tick(at(now + 2000), &mut || world.picture.clone()) }
                _ => node.changed(vec![metric(&name, value)], at(now), &mut look),
            };
            if what == 7 { follower.resync(); }
            for out in out {
                if let Out::Publish(message) = out { follower.follow(&message)?; }
            }
        }
    }
}

/// A host application, as far as order goes.
#[derive(Default)]
struct Follower {
    seq: Option<u64>,
    lost: bool,
    node: BTreeSet<u64>,
    devices: std::collections::BTreeMap<String, BTreeSet<u64>>,
}

impl Follower {
    /// The next message was not shown: wait for births.
    fn resync(&mut self) {
        self.lost = true;
    }

    fn follow(&mut self, message: &Message) -> Result<(), TestCaseError> {
        let payload = payload::decode(&message.payload).unwrap();
        let topic: Vec<&str> = message.topic.split('/').collect();
        let seq = payload.seq.unwrap();
        let aliases: BTreeSet<u64> = payload.metrics.iter().filter_map(|metric| metric.alias).collect();
        if topic[2] == "NBIRTH" {
            prop_assert_eq!(seq, 0);
            *self = Self { seq: Some(0), node: aliases, ..Self::default() };
            return Ok(());
        }
        if self.lost {
            return Ok(());
        }
        prop_assert_eq!(Some(seq), self.seq.map(|last| (last + 1) % 256), "{}", &message.topic);
        self.seq = Some(seq);
        match (topic[2], topic.get(4)) {
            ("DBIRTH", Some(device)) => {
                prop_assert!(
                    self.devices.values().chain([&self.node]).all(|known| known.is_disjoint(&aliases))
                        || self.devices.get(*device).is_some_and(|known| *known == aliases)
                );
                self.devices.insert((*device).to_owned(), aliases);
            }
            ("DDEATH", Some(device)) => prop_assert!(self.devices.remove(*device).is_some()),
            ("DDATA", Some(device)) => prop_assert!(aliases.is_subset(&self.devices[*device])),
            ("NDATA", None) => prop_assert!(aliases.is_subset(&self.node)),
            other => prop_assert!(false, "{:?}", other),
        }
        Ok(())
    }
}
