//! Sparkplug B: what hosts send, and the edge node that hears it.
//!
//! The first byte says which half is played. The one half reads bytes as a payload: what is read and written again is the
//! same. The other plays an edge node through connections, commands, states of its host, changes of the house and time,
//! and follows what it publishes as a host would. Seen there:
//!
//! - NBIRTH comes first in a session and with number 0; all numbers after it are dense.
//! - Nothing is told of a device that has not been born, nor by an alias that its birth did not give.
//! - A command asks for a point that some birth has told, with a finite value; a retained one asks for nothing.
//! - Each session's death has the number of its birth, and each session the next number.

use arbitrary::Unstructured;
use engawa_field::mqtt::sparkplug::payload::{self, Metric, MetricValue, Payload};
use engawa_field::mqtt::sparkplug::{
    DataType, DevicePicture, EdgeNode, Message, NodeNames, Out, Picture, Reading, Update,
};
use engawa_model::{Timestamp, Value};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// Steps of a script.
const MOST_STEPS: usize = 60;
const DEVICES: [&str; 3] = ["t1", "t/2", "t3"];
const POINTS: [&str; 3] = ["temperature", "setpoint", "mode"];

/// Plays a payload or a script.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => read(rest),
        Some((_, rest)) => {
            let mut script = Unstructured::new(rest);
            let _ = Stage::new(&mut script).and_then(|mut stage| stage.play(&mut script));
        }
        None => {}
    }
}

fn read(bytes: &[u8]) {
    let Ok(payload) = payload::decode(bytes) else { return };
    // Compared as bytes: a number that is none equals nothing.
    let again = payload.encode_to_vec();
    let back = payload::decode(&again).expect("what was written is read");
    assert_eq!(back.encode_to_vec(), again);
    assert_eq!(back.metrics.len(), payload.metrics.len());
    for metric in &payload.metrics {
        let Some(value) = &metric.value else { continue };
        for datatype in [DataType::Int64, DataType::Double, DataType::Boolean, DataType::String] {
            let Ok(read) = datatype.decode(value, metric.datatype) else { continue };
            assert!(!matches!(read, Value::Float(x) if !x.is_finite()), "{read:?}");
            let written = datatype.encode(&read).expect("what was read in a type has it");
            assert_eq!(datatype.decode(&written, None).as_ref(), Ok(&read), "{datatype:?} {value:?}");
        }
    }
}

struct Stage {
    node: EdgeNode,
    now: i64,
    house: Picture,
    host: bool,
    // What a host knows.
    session: Option<u64>,
    /// The number that the next message must have; none before the birth.
    seq: Option<u64>,
    /// Of those that are born: their aliases.
    born: BTreeMap<String, BTreeSet<u64>>,
    /// Those that were ever born: a command to one that is dead is the house's to judge.
    ever: BTreeSet<String>,
    last_number: Option<u8>,
}

impl Stage {
    fn new(script: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let host: bool = script.arbitrary()?;
        let last = script.arbitrary()?;
        let names = NodeNames::new("G", "n", host.then_some("h")).expect("good names");
        Ok(Self {
            node: EdgeNode::new(names, last),
            now: 1_700_000_000_000,
            house: Picture { node: vec![reading(script, "Load")?], devices: Vec::new() },
            host,
            session: None,
            seq: None,
            born: BTreeMap::new(),
            ever: BTreeSet::new(),
            last_number: last,
        })
    }

    fn play(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        if script.arbitrary()? {
            self.begin_born();
        }
        for _ in 0..MOST_STEPS {
            if script.is_empty() {
                break;
            }
            self.step(script)?;
        }
        Ok(())
    }

    /// Where most of what can go wrong begins: all devices well, and told.
    fn begin_born(&mut self) {
        let metrics = || {
            POINTS.map(|point| Reading {
                value: Some(Value::Float(21.5)),
                ..Reading::new(point, DataType::Double)
            })
        };
        let device = |name: &&str| DevicePicture { device: (*name).into(), metrics: metrics().into() };
        self.house.devices = DEVICES.iter().map(device).collect();
        let (now, house) = (self.now(), self.house.clone());
        self.connect(now);
        let mut out = self.node.connected(now, &mut || house.clone());
        if self.host {
            let online = br#"{"online":true,"timestamp":1}"#;
            out.extend(self.node.heard("spBv1.0/STATE/h", online, true, now, &mut || house.clone()));
        }
        self.follow(out);
        assert!(self.node.born());
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now).expect("a time")
    }

    fn step(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let (now, house) = (self.now(), self.house.clone());
        let look = &mut || house.clone();
        let out = match script.int_in_range(0..=23_u8)? {
            // What ends a session is rare, or none would become long.
            0 => {
                self.connect(now);
                vec![]
            }
            1 if self.session.is_some() => self.node.connected(now, look),
            2 => {
                self.node.disconnected();
                (self.session, self.seq) = (None, None);
                self.born.clear();
                vec![]
            }
            3 | 4 | 12..=19 => {
                let updates = self.change(script)?;
                let house = self.house.clone();
                self.node.changed(updates, now, &mut || house.clone())
            }
            5 => self.node.catch_up(now, look),
            6 => {
                self.now += i64::from(script.arbitrary::<u16>()?);
                let now = self.now();
                if self.node.next_wake().is_some_and(|wake| wake <= now) {
                    self.node.tick(now, look)
                } else {
                    vec![]
                }
            }
            7 => {
                let said = self.node.farewell(now);
                assert_eq!(said.is_some(), self.seq.is_some(), "a farewell before a birth, or none after it");
                if let Some(death) = said {
                    self.death(&death);
                }
                (self.session, self.seq) = (None, None);
                self.born.clear();
                vec![]
            }
            8 if self.host => {
                let state = format!(
                    r#"{{"online":{},"timestamp":{}}}"#,
                    script.arbitrary::<bool>()?,
                    script.arbitrary::<u8>()?
                );
                self.node.heard("spBv1.0/STATE/h", state.as_bytes(), script.arbitrary()?, now, look)
            }
            _ => {
                let (topic, payload) = (topic(script)?, command(script)?);
                let retained = script.ratio(1, 4)?;
                let out = self.node.heard(topic, &payload, retained, now, look);
                let asks = out.iter().filter(|out| matches!(out, Out::Ask { .. })).count();
                assert!(asks == 0 || !retained, "a retained command was carried out");
                assert!(asks <= 256, "{asks} points in one command");
                out
            }
        };
        self.follow(out);
        Ok(())
    }

    fn connect(&mut self, now: Timestamp) {
        let (number, will) = self.node.connect(now);
        let next = self.last_number.map_or(0, |last| last.wrapping_add(1));
        assert_eq!(number, next, "sessions are numbered one after the other");
        (self.last_number, self.session, self.seq) = (Some(number), Some(u64::from(number)), None);
        self.born.clear();
        self.death(&will);
    }

    fn death(&self, death: &Message) {
        assert_eq!(death.topic, "spBv1.0/G/NDEATH/n");
        let payload = payload::decode(&death.payload).expect("our own payload");
        assert_eq!(payload.seq, None, "a death has no number");
        assert_eq!(bd_seq(&payload), self.session.or(self.last_number.map(u64::from)));
    }

    /// Something of the house changes; what the node is told of it.
    fn change(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Update>> {
        let mut updates = Vec::new();
        for _ in 0..script.int_in_range(1..=4_u8)? {
            let name = *script.choose(&DEVICES)?;
            let at = self.house.devices.iter().position(|device| device.device.as_str() == name);
            match (at, script.int_in_range(0..=4_u8)?) {
                (_, 0) => {
                    let reading = reading(script, "Load")?;
                    self.house.node = vec![reading.clone()];
                    updates.push(Update::Node(reading));
                }
                (None, _) => {
                    let mut metrics = Vec::new();
                    for point in POINTS {
                        metrics.push(reading(script, point)?);
                    }
                    let device = DevicePicture { device: name.into(), metrics };
                    self.house.devices.push(device.clone());
                    updates.push(Update::Well(device));
                }
                (Some(at), 1) => {
                    self.house.devices.remove(at);
                    updates.push(Update::Unwell(name.into()));
                }
                (Some(at), _) => {
                    let point = script.choose_index(POINTS.len())?;
                    let reading = reading(script, POINTS[point])?;
                    self.house.devices[at].metrics[point] = reading.clone();
                    updates.push(Update::Metric { device: name.into(), reading });
                }
            }
        }
        Ok(updates)
    }

    /// Follows what is published, as a host does.
    fn follow(&mut self, out: Vec<Out>) {
        for out in out {
            match out {
                Out::Publish(message) => self.published(&message),
                Out::Ask { point, value } => {
                    let told = self.ever.contains(point.device.as_str());
                    assert!(told, "{point} of a device that was never born");
                    assert!(POINTS.contains(&&*point.point), "{point}");
                    assert!(!matches!(value, Value::Float(x) if !x.is_finite()), "{value:?}");
                }
                Out::Leave => {
                    assert!(self.host, "it leaves for a host that it does not have");
                    (self.session, self.seq) = (None, None);
                    self.born.clear();
                }
                Out::Refused { why, .. } => assert!(!why.is_empty() && why.len() < 2_000, "{why}"),
            }
        }
        assert_eq!(self.node.born(), self.seq.is_some(), "the node and its host disagree");
    }

    fn published(&mut self, message: &Message) {
        let payload = payload::decode(&message.payload).expect("our own payload");
        let levels: Vec<&str> = message.topic.split('/').collect();
        let (kind, device) = (levels[2], levels.get(4).map(|device| device.replace("%2F", "/")));
        if kind == "NDEATH" {
            return self.death(message);
        }
        if kind == "NBIRTH" {
            self.seq = Some(0);
            self.born.clear();
            assert_eq!(bd_seq(&payload), self.session, "the birth of another session");
        }
        let seq = self.seq.expect("nothing comes before the birth");
        assert_eq!(payload.seq, Some(seq), "{kind}");
        self.seq = Some((seq + 1) % 256);
        let aliases = || payload.metrics.iter().filter_map(|metric| metric.alias);
        match (kind, device) {
            ("NBIRTH", None) => drop(self.born.insert(String::new(), aliases().collect())),
            ("DBIRTH", Some(device)) => {
                self.ever.insert(device.clone());
                self.born.insert(device, aliases().collect());
            }
            ("NDATA" | "DDATA", device) => {
                let known = self.born.get(&device.unwrap_or_default()).expect("data before its birth");
                assert!(!payload.metrics.is_empty());
                assert!(
                    payload
                        .metrics
                        .iter()
                        .all(|metric| metric.alias.is_some_and(|alias| known.contains(&alias)))
                );
            }
            ("DDEATH", Some(device)) => {
                assert!(self.born.remove(&device).is_some(), "the death of one that was not born");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn bd_seq(payload: &Payload) -> Option<u64> {
    let metric = payload.metrics.iter().find(|metric| metric.name.as_deref() == Some("bdSeq"))?;
    match metric.value {
        Some(MetricValue::Long(number)) => Some(number),
        _ => None,
    }
}

fn value(script: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    Ok(match script.int_in_range(0..=3_u8)? {
        0 => Value::Bool(script.arbitrary()?),
        1 => Value::Int(script.arbitrary()?),
        2 => Value::Float(f64::from(script.arbitrary::<i16>()?) / 10.0),
        _ => Value::Text((*script.choose(&["auto", "", "é"])?).to_owned()),
    })
}

fn reading(script: &mut Unstructured<'_>, name: &str) -> arbitrary::Result<Reading> {
    let value = if script.ratio(7, 8)? { Some(value(script)?) } else { None };
    let expected =
        *script.choose(&[DataType::Double, DataType::Boolean, DataType::String, DataType::Int64])?;
    Ok(Reading { value, ..Reading::new(name, expected) })
}

fn topic(script: &mut Unstructured<'_>) -> arbitrary::Result<&'static str> {
    Ok(script.choose(&[
        "spBv1.0/G/NCMD/n",
        "spBv1.0/G/DCMD/n/t1",
        "spBv1.0/G/DCMD/n/t%2F2",
        "spBv1.0/G/DCMD/n/t3",
        "spBv1.0/G/DCMD/n/t9",
        "spBv1.0/G/DCMD/n/%zz",
        "spBv1.0/STATE/h",
        "spBv1.0/G/NDATA/n",
    ])?)
}

/// Bytes of any kind, or a command of some metrics.
fn command(script: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    if script.ratio(1, 3)? {
        let count = script.int_in_range(0..=64_usize)?.min(script.len());
        return Ok(script.bytes(count)?.to_vec());
    }
    let mut metrics = Vec::new();
    for _ in 0..script.int_in_range(0..=3_u8)? {
        let names = ["Node Control/Rebirth", "temperature", "setpoint", "mode", "nothing", ""];
        metrics.push(Metric {
            name: if script.arbitrary()? { Some((*script.choose(&names)?).to_owned()) } else { None },
            alias: if script.arbitrary()? { Some(script.int_in_range(0..=12)?) } else { None },
            datatype: script.arbitrary()?,
            is_null: if script.ratio(1, 8)? { script.arbitrary()? } else { None },
            value: Some(match script.int_in_range(0..=5_u8)? {
                0 => MetricValue::Int(script.arbitrary()?),
                1 => MetricValue::Long(script.arbitrary()?),
                2 => MetricValue::Float(script.arbitrary()?),
                3 => MetricValue::Double(script.arbitrary()?),
                4 => MetricValue::Boolean(script.arbitrary()?),
                _ => MetricValue::String(script.arbitrary()?),
            }),
            ..Metric::default()
        });
    }
    Ok(Payload { metrics, ..Payload::default() }.encode_to_vec())
}
