//! What a hotel writes in a month: thermostats, windows, doors and movement of every room at the usual rates, its guests,
//! its staff, and what goes wrong. In simulated time, from a seed.
#![allow(dead_code, reason = "the test and the bench use different parts")]

use engawa_model::{
    Action, Change, CommandKey, CommandOutcome, CommandSource, Currency, DeviceId, DeviceState, Lane, LinkId,
    Money, PointId, PostingNumber, PostingState, Quality, Role, RoomId, StayEnd, StayId, Timestamp, Value,
};
use engawa_store::{Batch, DatabaseKey, Durability, Limits, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Seconds of one commit: what comes within it shares a transaction, as in the running agent.
const GROUP_S: i64 = 60;

pub(crate) struct Hotel {
    pub(crate) rooms: u32,
    random: StdRng,
    pub(crate) now: i64,
    key: u64,
    temperatures: Vec<f64>,
    pub(crate) written: u64,
    pub(crate) values: u64,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn room(n: u32) -> RoomId {
    RoomId::new(format!("{}", 100 + n))
}

impl Hotel {
    pub(crate) fn new(rooms: u32, seed: u64) -> Self {
        let temperatures = (0..rooms).map(|n| 20.0 + f64::from(n % 40) / 10.0).collect();
        let random = StdRng::seed_from_u64(seed);
        Self { rooms, random, now: 1_780_272_000, key: 0, temperatures, written: 0, values: 0 }
    }

    fn reported(&self, n: u32, device: &str, point: &str, role: Role, value: Value) -> Change {
        Change::Reported {
            point: PointId::new(format!("{device}-{}", 100 + n), point),
            room: Some(room(n)),
            role: Some(role),
            value: Some(value),
            quality: Quality::Good,
            sampled: at(self.now),
        }
    }

    fn next_key(&mut self) -> CommandKey {
        self.key += 1;
        CommandKey::from(format!("cmd-{:016x}", self.key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_str())
    }

    /// How often something with `per_day` occurrences in a room happens in one group.
    fn happens(&mut self, per_day: f64) -> bool {
        let chance = per_day * GROUP_S as f64 / 86_400.0;
        self.random.random_bool(chance.min(1.0))
    }

    /// What happens in the next minute.
    pub(crate) fn minute(&mut self) -> Vec<(Timestamp, Change)> {
        self.now += GROUP_S;
        let mut all = Vec::new();
        for n in 0..self.rooms {
            let quarter = (self.now / GROUP_S + i64::from(n)) % 15 == 0;
            // A tenth of a degree up or down every five minutes, and a sign of life of each point each quarter.
            if self.happens(288.0) || quarter {
                let step = f64::from(self.random.random_range(-1..=1)) / 10.0;
                let t = &mut self.temperatures[n as usize];
                *t = ((*t + step).clamp(16.0, 28.0) * 10.0).round() / 10.0;
                let value = Value::Float(*t);
                all.push(self.reported(n, "thermostat", "temperature", Role::RoomTemperature, value));
            }
            if self.happens(96.0) || quarter {
                let value = Value::Int(self.random.random_range(0..=100));
                all.push(self.reported(n, "thermostat", "output", Role::ClimateOutput, value));
            }
            if self.happens(6.0) || quarter {
                let value = Value::Float(f64::from(self.random.random_range(36..48)) / 2.0);
                all.push(self.reported(n, "thermostat", "setpoint", Role::ClimateSetpoint, value));
            }
            for (device, role, per_day) in
                [("motion", Role::Occupancy, 40.0), ("window", Role::Window, 4.0), ("door", Role::Door, 16.0)]
            {
                if self.happens(per_day) {
                    let value = Value::Bool(self.random.random_bool(0.5));
                    all.push(self.reported(n, device, "state", role, value));
                }
            }
            if self.happens(1.0) {
                let value = Value::Int(self.random.random_range(40..100));
                all.push(self.reported(n, "window", "battery", Role::Battery, value));
            }
            self.of_guests(n, &mut all);
        }
        self.written += all.len() as u64;
        self.values += all.iter().filter(|change| change.lane() == Lane::Telemetry).count() as u64;
        let now = at(self.now);
        all.into_iter().map(|change| (now, change)).collect()
    }

    fn of_guests(&mut self, n: u32, all: &mut Vec<Change>) {
        let stay = StayId::from(format!("{}", 7_000_000 + self.now / 86_400 * 1000 + i64::from(n)).as_str());
        if self.happens(0.4) {
            all.push(Change::CheckedOut { stay: stay.clone(), room: room(n), reason: StayEnd::CheckedOut });
            all.push(Change::CheckedIn {
                stay: stay.clone(),
                room: room(n),
                language: Some("de".into()),
                arrival: None,
                departure: None,
            });
        }
        if self.happens(2.0) {
            all.push(Change::RoomStatus { room: room(n), status: "clean-vacant".into() });
        }
        // Rules and guests set the climate; each order has its end.
        if self.happens(6.0) {
            let (key, point) = (self.next_key(), PointId::new(format!("thermostat-{}", 100 + n), "setpoint"));
            let value = Value::Float(21.5);
            all.push(Change::Ordered {
                key: key.clone(),
                point: point.clone(),
                room: Some(room(n)),
                value: value.clone(),
                source: CommandSource::Rule,
                reason: "empty-room".into(),
            });
            let outcome = CommandOutcome::Done;
            all.push(Change::OrderEnded { key, point, room: Some(room(n)), value, outcome });
        }
        if self.happens(0.5) {
            let key = self.next_key();
            let amount = Money { minor: 450, currency: Currency::new("EUR").unwrap() };
            let action = Action::Post {
                room: room(n),
                stay: Some(stay.clone()),
                amount,
                text: "Minibar: water, nuts".into(),
                outlet: None,
            };
            all.push(Change::CommandAccepted { key: key.clone(), source: CommandSource::Local, action });
            for state in [PostingState::Pending, PostingState::InFlight, PostingState::Posted] {
                all.push(Change::Posting {
                    number: PostingNumber(u32::try_from(self.key).unwrap()),
                    key: key.clone(),
                    room: room(n),
                    stay: Some(stay.clone()),
                    amount,
                    text: "Minibar: water, nuts".into(),
                    outlet: None,
                    state,
                    answer: None,
                });
            }
            all.push(Change::CommandEnded { key, outcome: CommandOutcome::Done });
        }
        if self.happens(0.3) {
            for state in [DeviceState::Unwell, DeviceState::Well] {
                all.push(Change::DeviceHealth {
                    device: DeviceId::new(format!("window-{}", 100 + n)),
                    room: Some(room(n)),
                    state,
                    reason: Some("no answer for 3600 s".into()),
                });
            }
        }
        if n == 0 && self.happens(20.0) {
            let up = self.random.random_bool(0.5);
            all.push(Change::Link { link: LinkId::from("cloud"), up, detail: "no route to host".into() });
        }
    }
}

/// Opens a store in `dir`.
pub(crate) fn open(dir: &std::path::Path, limits: Limits) -> Store {
    std::fs::create_dir_all(dir).unwrap();
    let key = DatabaseKey::load_or_create(&dir.join("key")).unwrap();
    Store::open(dir, &key, limits).unwrap()
}

/// The days of `hotel` into `store`, as the agent writes them, `together` minutes in one commit, with the room made that is
/// wanted.
pub(crate) fn live(
    store: &mut Store,
    property: &engawa_model::Property,
    hotel: &mut Hotel,
    (days, together): (i64, i64),
) {
    for group in 0..days * 1440 / together {
        let changes = (0..together).flat_map(|_| hotel.minute()).collect();
        let now = at(hotel.now);
        store.commit(property, &Batch { changes, ..Batch::default() }, now, Durability::Soon).unwrap();
        while store.relieve(now).unwrap() {}
        if group % 60 == 0 {
            store.settle().unwrap();
            store.sweep(now, 10_000).unwrap();
        }
    }
}

/// What the files of a store take, bytes: what is set aside included, without the log of writes under way.
pub(crate) fn on_disk(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let lasting = files.filter(|file| !file.file_name().to_string_lossy().contains("-wal"));
    lasting.map(|file| file.metadata().unwrap().len()).sum()
}
