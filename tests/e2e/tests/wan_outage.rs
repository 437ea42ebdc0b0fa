//! A day without the internet changes nothing in the house.
//!
//! The same day is played twice in virtual time, with its guests, thermostats, sensors, charges and a night audit: once
//! with a cloud that takes the journal every five minutes, once with none from five past midnight until the day is over.
//! The link to the PMS, the reading of MQTT payloads, the model and the encrypted store are the real ones, put together
//! as the agent does it: commit first, then effects.
//!
//! Everything local must be the same: what is said to the PMS, written to devices, published on the broker and as
//! Sparkplug, and the state in the end, also as it is read from the disk again. The journal must stay within its bound
//! and lose nothing but measured values, and what waited must reach the cloud as it would have on the other day.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_field::mqtt::devices::{Devices, Moment};
use engawa_field::mqtt::{MqttDevice, ValueTopics, house, sparkplug};
use engawa_field::profile::{self, Resolved};
use engawa_model::{
    Action, ClimateDefaults, Command, CommandOutcome, CommandSource, Currency, DeviceSpec, Fact, Intent,
    Lane, LinkId, Money, Observation, PointId, PointSpec, Property, PropertyId, PropertySpec, Quality, Role,
    RoomId, RoomSpec, Season, Timestamp, Value,
};
use engawa_pms::codec::Record;
use engawa_pms::link::{Link, Out};
use engawa_pms::{Charset, PmsConfig};
use engawa_store::{Batch, DatabaseKey, Durability, Limits, Store};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const ROOMS: usize = 20;
/// Measured values that may wait: fewer than the day brings.
const BACKLOG: u64 = 1_000;
/// What the files of the day may take, bytes.
const MOST_ON_DISK: u64 = 8 << 20;
/// How often the cloud takes what there is, seconds.
const TAKES_EVERY: i64 = 300;
const DAY: i64 = 86_400;

const SENSOR: &str = r#"
[profile]
name = "sensor"
make = "Test"
model = "Sensor"
kind = "sensors"
protocol = "mqtt"
sources = ["this test"]
[mqtt]
status_topic = "z2m/{device}"
points = [
  { name = "temperature", role = "room-temperature", unit = "Cel", pointer = "/t", kind = "float", dead_band = 0.1 },
  { name = "window", role = "window", pointer = "/contact", kind = "bool", invert = true },
]
"#;

/// What happens by itself.
#[derive(Clone, Debug)]
enum Event {
    /// The PMS says this.
    Pms(String),
    /// A device sends this.
    Mqtt(String, String),
    /// A guest turns the wheel on the wall.
    Wall(usize, f64),
    /// A till asks for a charge, or staff for a list.
    Asked(Command),
    /// A thermostat has done what it was told.
    Obeyed(Intent),
}

fn begin() -> Timestamp {
    "2026-11-24T23:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    begin().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn room(n: usize) -> String {
    (101 + n).to_string()
}

/// A small generator, so that the day is the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn second(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.roll((to - from).cast_unsigned())).unwrap()
    }
}

/// The day's script: (second, event).
fn day() -> Vec<(i64, Event)> {
    let mut dice = Dice(7);
    let mut day = vec![
        (1, Event::Pms("LS|DA261124|TI230000|".into())),
        (2, Event::Pms("LA|DA261124|TI230000|".into())),
    ];
    for n in 0..ROOMS {
        let (room, stay) = (room(n), 4000 + n);
        let comes = dice.second(3_600, 60_000);
        day.push((comes, Event::Pms(format!("GI|RN{room}|G#{stay}|GSN|GNGuest {n}|GLDE|"))));
        if n % 3 == 0 {
            day.push((
                comes + 1_000,
                Event::Wall(n, 20.0 + f64::from(u8::try_from(dice.roll(8)).unwrap()) / 2.0),
            ));
        }
        if n % 4 == 0 {
            let action = Action::Post {
                room: RoomId::new(&*room),
                stay: None,
                amount: Money {
                    minor: 450 + i64::try_from(n).unwrap(),
                    currency: Currency::new("EUR").unwrap(),
                },
                text: "minibar".into(),
                outlet: None,
            };
            let key = format!("till-{n}").as_str().into();
            let command = Command { key, source: CommandSource::Local, expires: None, action };
            day.push((comes + 2_000, Event::Asked(command)));
        }
        if n % 5 == 1 && n + 1 < ROOMS {
            let to = self::room(n + 1);
            day.push((comes + 3_000, Event::Pms(format!("GC|RN{to}|RO{room}|G#{stay}|GSY|"))));
        } else if n % 2 == 0 {
            day.push((
                dice.second(comes + 4_000, DAY - 600),
                Event::Pms(format!("GO|RN{room}|G#{stay}|GSN|")),
            ));
        }
        for tenth in 0..DAY / 600 {
            let second = tenth * 600 + dice.second(10, 590);
            let temperature = 20.0 + f64::from(u8::try_from(dice.roll(40)).unwrap()) / 10.0;
            let contact = dice.roll(20) != 0;
            let payload = format!(r#"{{"t":{temperature},"contact":{contact}}}"#);
            day.push((second, Event::Mqtt(format!("z2m/s{}", self::room(n)), payload)));
        }
    }
    for (second, text) in [(10_800, "NS|DA261125|TI020000|"), (11_400, "NE|DA261125|TI021000|")] {
        day.push((second, Event::Pms(text.into())));
    }
    let resync = Command {
        key: "staff-1".into(),
        source: CommandSource::Local,
        expires: None,
        action: Action::Resync,
    };
    day.push((70_000, Event::Asked(resync)));
    day.push((30_000, Event::Mqtt("z2m/s105".into(), "not JSON".into())));
    day.sort_by_key(|(second, _)| *second);
    day
}

/// The cloud, as far as the house can tell: it takes rows in order and says up to where it has them.
#[derive(Default)]
struct Cloud {
    rows: BTreeMap<u8, Vec<(String, String)>>,
}

struct Played {
    /// Everything that left the house but for the cloud, in order.
    local: Vec<String>,
    /// Each entity as it is stored.
    state: BTreeMap<String, String>,
    /// Rows that waited for the cloud when the day was over.
    waiting: BTreeMap<u8, u64>,
    dropped: u64,
    on_disk: u64,
    cloud: Cloud,
}

struct World {
    dir: tempfile::TempDir,
    spec: PropertySpec,
    key: DatabaseKey,
    store: Store,
    property: Property,
    link: Link,
    devices: Devices,
    now: Timestamp,
    /// What was set going by the day: (when, order of entry) → what.
    soon: BTreeMap<(Timestamp, usize), Event>,
    entered: usize,
    /// Who is in the house, as the PMS knows it: stay → room.
    guests: BTreeMap<String, String>,
    local: Vec<String>,
    cloud: Cloud,
}

fn limits() -> Limits {
    Limits { telemetry_backlog: BACKLOG, keep_acknowledged_s: 3_600, ballast: 0, ..Limits::default() }
}

impl World {
    fn new() -> Self {
        let sensor = profile::load("sensor.toml", SENSOR).unwrap_or_else(|report| panic!("{report}"));
        let Ok(Resolved::Mqtt(profile)) = sensor.resolve(&BTreeMap::new()) else { panic!("not MQTT") };
        let sensor_points = Resolved::Mqtt(profile.clone()).point_specs();
        let setpoint = PointSpec {
            name: "setpoint".into(),
            role: Some(Role::ClimateSetpoint),
            unit: Some("Cel".into()),
            writable: true,
            min: Some(5.0),
            max: Some(30.0),
        };
        let thermostat_points: std::sync::Arc<[PointSpec]> = [setpoint].into();
        let mut devices = Vec::new();
        for n in 0..ROOMS {
            for (kind, points) in [("t", &thermostat_points), ("s", &sensor_points)] {
                devices.push(DeviceSpec {
                    id: format!("{kind}{}", room(n)).as_str().into(),
                    room: Some(RoomId::new(room(n))),
                    profile: kind.into(),
                    points: points.clone(),
                });
            }
        }
        let spec = PropertySpec {
            id: PropertyId::from("grand"),
            zone: "UTC".into(),
            currency: Currency::new("EUR").unwrap(),
            climate: ClimateDefaults {
                comfort_c: 22.0,
                eco_heating_c: 17.0,
                eco_cooling_c: 28.0,
                season: Season::Heating,
                guest_hold_s: 3_600,
            },
            rooms: (0..ROOMS).map(|n| RoomSpec { id: RoomId::new(room(n)) }).collect(),
            devices,
            resync_every_s: 3_600,
            order_ttl_s: 3_600,
        };
        let sensors = (0..ROOMS).map(|n| MqttDevice {
            id: format!("s{}", room(n)).as_str().into(),
            room: Some(RoomId::new(room(n))),
            name: format!("s{}", room(n)),
            profile: profile.clone(),
        });
        let dir = tempfile::tempdir().unwrap();
        let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
        let store = Store::open(dir.path(), &key, limits()).unwrap();
        let property = store.load(spec.clone()).unwrap().unwrap();
        Self {
            dir,
            spec,
            key,
            store,
            property,
            link: Link::new(PmsConfig::new("10.0.0.5:5010"), TimeZone::UTC),
            devices: Devices::new(sensors.collect()),
            now: begin(),
            soon: BTreeMap::new(),
            entered: 0,
            guests: BTreeMap::new(),
            local: Vec::new(),
            cloud: Cloud::default(),
        }
    }

    /// As after `kill -9`: only the files are left.
    fn start_again(self) -> Self {
        let Self { store, dir, spec, key, .. } = self;
        drop(store);
        let store = Store::open(dir.path(), &key, limits()).unwrap();
        let property = store.load(spec.clone()).unwrap().unwrap();
        Self { store, property, dir, spec, key, ..self }
    }

    fn later(&mut self, ms: i64, event: Event) {
        self.entered += 1;
        let due = self.now.checked_add(SignedDuration::from_millis(ms)).unwrap();
        self.soon.insert((due, self.entered), event);
    }

    /// One observation and all that follows at once: commit, then what goes out.
    fn observe(&mut self, fact: Fact) {
        let mut facts = VecDeque::from([fact]);
        // What follows from one fact of this day are a few; a loop would be a fault.
        for _ in 0..1_000 {
            let Some(fact) = facts.pop_front() else { return };
            let applied = self.property.apply(&Observation::new(self.now, fact));
            let measured = applied.intents.is_empty()
                && applied.changes.iter().all(|change| change.lane() == Lane::Telemetry);
            let changes: Vec<_> = applied.changes.iter().map(|change| (self.now, change.clone())).collect();
            let batch = Batch { changes, touched: applied.touched, ..Batch::default() };
            let durability = if measured { Durability::Soon } else { Durability::Now };
            self.store.commit(&self.property, &batch, self.now, durability).unwrap();
            for change in &applied.changes {
                for message in house::publications(&self.property, change, ValueTopics::Points) {
                    self.local.push(format!(
                        "{} mqtt {} {} {}",
                        self.now, message.topic, message.payload, message.retain
                    ));
                }
                for update in sparkplug::updates(&self.property, change) {
                    self.local.push(format!("{} sparkplug {update:?}", self.now));
                }
            }
            for intent in applied.intents {
                match &intent {
                    Intent::WritePoint { point, value, .. } => {
                        self.local.push(format!("{} write {point} = {value}", self.now));
                        self.later(40, Event::Obeyed(intent));
                    }
                    Intent::SendPosting { .. }
                    | Intent::SendRoomStatus { .. }
                    | Intent::RequestResync
                    | Intent::AskPms { .. }
                    | Intent::TellGuest { .. }
                    | Intent::AnswerKey { .. } => {
                        self.link.on_intent(self.now, &intent);
                    }
                    #[allow(unreachable_patterns, reason = "the rest is not for these")]
                    _ => {}
                }
            }
            facts.extend(self.of_link());
        }
        panic!("a fact without end");
    }

    /// What the link wants done: its facts.
    fn of_link(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some(out) = self.link.poll() {
            match out {
                Out::Observe(fact) => facts.push(fact),
                Out::Close => panic!("{}: the link was given up", self.now),
                Out::Send(frame) => {
                    let record = Record::decode(&frame[1..frame.len() - 1], Charset::Utf8).unwrap();
                    let text: String = record.fields().map(|(id, value)| format!("{id}{value}|")).collect();
                    self.local.push(format!("{} pms {}|{text}", self.now, record.id()));
                    self.pms_hears(&record);
                }
            }
        }
        facts
    }

    /// The PMS's answers.
    fn pms_hears(&mut self, record: &Record) {
        match record.id() {
            "LS" => self.later(20, Event::Pms("LA|DA261124|TI230000|".into())),
            "PS" => {
                let number = record.get("P#").unwrap().to_owned();
                self.later(150, Event::Pms(format!("PA|ASOK|P#{number}|")));
            }
            "DR" => {
                let mut list = vec!["DS|".to_owned()];
                list.extend(self.guests.iter().map(|(stay, room)| format!("GI|RN{room}|G#{stay}|GSN|SF|")));
                list.push("DE|".to_owned());
                for (n, record) in (1..).zip(list) {
                    self.later(50 + n, Event::Pms(record));
                }
            }
            _ => {}
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pms(text) => {
                let record = Record::decode(text.as_bytes(), Charset::Utf8).unwrap();
                let stay = record.get("G#").unwrap_or_default().to_owned();
                match record.id() {
                    "GI" | "GC" => drop(self.guests.insert(stay, record.get("RN").unwrap().to_owned())),
                    "GO" => drop(self.guests.remove(&stay)),
                    _ => {}
                }
                self.link.on_bytes(self.now, format!("\x02{text}\x03").as_bytes());
                self.of_link().into_iter().for_each(|fact| self.observe(fact));
            }
            Event::Mqtt(topic, payload) => {
                let steady = self.now.duration_since(begin()).unsigned_abs();
                let moment = Moment { steady, clock: self.now };
                let heard = self.devices.hear(&topic, payload.as_bytes(), false, moment);
                heard.facts.into_iter().for_each(|fact| self.observe(fact));
            }
            Event::Wall(n, celsius) => {
                self.reports(PointId::new(format!("t{}", room(n)), "setpoint"), Value::Float(celsius))
            }
            Event::Asked(command) => self.observe(Fact::Asked { command }),
            Event::Obeyed(Intent::WritePoint { key, point, value, .. }) => {
                self.reports(point, value.clone());
                self.observe(Fact::Written { key, outcome: CommandOutcome::Done, read_back: Some(value) });
            }
            Event::Obeyed(_) => {}
        }
    }

    fn reports(&mut self, point: PointId, value: Value) {
        self.observe(Fact::Reported { point, value: Some(value), quality: Quality::Good, sampled: self.now });
    }

    fn cloud_link(&mut self, up: bool) {
        let detail = if up { "connected" } else { "no route to host" }.to_owned();
        self.observe(Fact::Link { link: LinkId::from("cloud"), up, detail });
    }

    /// The cloud takes what is there.
    fn take(&mut self) {
        self.store.settle().unwrap();
        let reader = self.store.reader().unwrap();
        let mut batch = Batch::default();
        for mark in self.store.marks().collect::<Vec<_>>() {
            let mut after = mark.acked;
            while after < mark.head {
                let rows = reader.journal(mark.lane, after, 256, 16 << 10).unwrap();
                assert!(!rows.is_empty(), "lane {}: row {} is not there", mark.lane, after + 1);
                for row in rows {
                    assert_eq!(row.seq, after + 1, "lane {}: a hole", mark.lane);
                    after = row.seq;
                    let body = String::from_utf8(row.body).unwrap();
                    self.cloud.rows.entry(mark.lane).or_default().push((row.kind, body));
                }
            }
            batch.acknowledged.insert(mark.lane, after);
        }
        self.store.commit(&self.property, &batch, self.now, Durability::Now).unwrap();
    }

    fn waiting(&self) -> BTreeMap<u8, u64> {
        self.store.marks().map(|mark| (mark.lane, mark.head - mark.acked)).collect()
    }

    fn on_disk(&self) -> u64 {
        std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
    }
}

fn state(property: &Property) -> BTreeMap<String, String> {
    let stored = |entity: &engawa_model::Entity| {
        let body = property.save(entity)?;
        Some((format!("{} {}", entity.kind(), entity.key()), String::from_utf8(body).unwrap()))
    };
    property.entities().iter().filter_map(stored).collect()
}

fn play(cloud_is_there: bool) -> Played {
    let mut world = World::new();
    world.observe(Fact::Started { clean: true });
    world.cloud_link(true);
    world.link.on_connected(world.now);
    world.of_link().into_iter().for_each(|fact| world.observe(fact));
    for n in 0..ROOMS {
        world.reports(PointId::new(format!("t{}", room(n)), "setpoint"), Value::Float(17.0));
    }
    let mut day: VecDeque<_> = day().into();
    let end = at(DAY);
    let (mut takes, mut cut) = (at(TAKES_EVERY), false);
    loop {
        // Whatever is due first: the day, what it has set going, a deadline of link or model, the cloud.
        let soon = world.soon.first_key_value().map(|((due, _), _)| *due);
        let wakes = [world.link.wake_at(), world.property.next_wake()];
        let next = [day.front().map(|(second, _)| at(*second)), soon, Some(takes), Some(end)];
        let next = next.into_iter().chain(wakes).flatten().min().unwrap().max(world.now);
        if next >= end {
            break;
        }
        world.now = next;
        if takes <= next {
            takes = takes.checked_add(SignedDuration::from_secs(TAKES_EVERY)).unwrap();
            match (cloud_is_there, cut) {
                (true, _) => world.take(),
                (false, false) => {
                    world.cloud_link(false);
                    cut = true;
                }
                (false, true) => {}
            }
            world.store.sweep(next, 10_000).unwrap();
        }
        if day.front().is_some_and(|(second, _)| at(*second) <= next) {
            let (_, event) = day.pop_front().unwrap();
            world.happen(event);
        }
        while world.soon.first_key_value().is_some_and(|((due, _), _)| *due <= next) {
            let (_, event) = world.soon.pop_first().unwrap();
            world.happen(event);
        }
        if world.link.wake_at().is_some_and(|due| due <= next) {
            world.link.on_wake(next);
            world.of_link().into_iter().for_each(|fact| world.observe(fact));
        }
        if world.property.next_wake().is_some_and(|due| due <= next) {
            world.observe(Fact::Tick);
        }
    }
    world.now = end;
    world.store.settle().unwrap();
    let (waiting, dropped, on_disk) = (world.waiting(), world.store.telemetry_dropped(), world.on_disk());
    // The process ends without a word, and what is on the disk is what there was.
    let in_memory = state(&world.property);
    let mut world = world.start_again();
    assert_eq!(state(&world.property), in_memory, "the disk has another house");
    // The internet is back.
    if !cloud_is_there {
        world.cloud_link(true);
    }
    world.take();
    assert!(world.waiting().values().all(|waiting| *waiting == 0));
    Played { local: world.local, state: in_memory, waiting, dropped, on_disk, cloud: world.cloud }
}

#[test]
fn a_day_without_the_internet_changes_nothing_in_the_house() {
    let (with, without) = (play(true), play(false));
    // The link to the cloud itself is the one thing that is shown, and must be.
    let of_cloud = |line: &String| {
        line.contains("/link/cloud ") || line.contains("Links/cloud/") || line.contains("link cloud")
    };
    let local = |played: &Played| -> Vec<String> {
        played.local.iter().filter(|line| !of_cloud(line)).cloned().collect()
    };
    let (is, was) = (local(&without), local(&with));
    let differs = is.iter().zip(&was).find(|(is, was)| is != was);
    assert_eq!(differs, None, "the first of {} and {} lines that differ", is.len(), was.len());
    assert_eq!(is.len(), was.len());
    for kind in [" pms PS|", " pms DR|", " write t", " mqtt ", " sparkplug "] {
        assert!(is.iter().any(|line| line.contains(kind)), "a day without `{kind}` proves nothing");
    }
    assert!(without.local.iter().any(|line| of_cloud(line) && line.contains("false")), "the outage is shown");
    let house = |played: &Played| -> BTreeMap<String, String> {
        played
            .state
            .iter()
            .filter(|(entity, _)| *entity != "link cloud")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    assert_eq!(house(&without), house(&with));

    let (telemetry, lanes) = (Lane::Telemetry.number(), Lane::ALL.map(Lane::number));
    assert_eq!(without.waiting[&telemetry], BACKLOG, "measured values wait up to their bound");
    assert!(without.dropped > 0, "the bound was not met: a longer day is needed");
    assert_eq!(with.dropped, 0);
    assert!(without.on_disk < MOST_ON_DISK && with.on_disk < MOST_ON_DISK, "{} bytes", without.on_disk);
    let not_of_cloud = |rows: &[(String, String)]| -> Vec<(String, String)> {
        rows.iter().filter(|(_, body)| !body.contains("\"cloud\"")).cloned().collect()
    };
    let reached: BTreeSet<u8> = without.cloud.rows.keys().copied().collect();
    assert!(
        reached.is_superset(&[Lane::Stays.number(), Lane::Audit.number(), telemetry].into()),
        "{reached:?}"
    );
    for lane in lanes.into_iter().filter(|lane| *lane != telemetry) {
        let rows =
            |played: &Played| not_of_cloud(played.cloud.rows.get(&lane).map_or(&[][..], Vec::as_slice));
        assert_eq!(rows(&without), rows(&with), "lane {lane}: what reaches the cloud in the end");
    }
}
