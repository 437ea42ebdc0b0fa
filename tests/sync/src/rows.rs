//! Rows as a hotel writes them: for the dictionary, and to measure the wire. Seeded; no two seeds have the same hotel.

use crate::random::Random;
use engawa_model::{
    Change, CommandOutcome, Currency, DeviceState, Money, PointId, PostingNumber, PostingState, Quality,
    Role, StayEnd, Timestamp, Value,
};
use engawa_protocol::ports::Row;

/// A hotel that writes rows.
pub struct Hotel {
    random: Random,
    now: Timestamp,
    rooms: Vec<String>,
    last: Vec<f64>,
    prefix: &'static str,
    euro: Currency,
}

impl Hotel {
    /// The hotel of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let floors = 1 + random.below(8);
        let rooms: Vec<String> =
            (1..=floors).flat_map(|floor| (1..=25).map(move |room| format!("{floor}{room:02}"))).collect();
        let prefix = *random.pick(&["t-", "d-", "thermostat-", "rdf302-", "zb-0x00158d0001"]);
        let now =
            Timestamp::from_second(1_790_000_000 + i64::try_from(random.below(90_000_000)).unwrap_or(0))
                .unwrap_or(Timestamp::UNIX_EPOCH);
        let last = rooms.iter().map(|_| 21.0).collect();
        #[allow(clippy::expect_used, reason = "three capitals are a code")]
        let euro = Currency::new("EUR").expect("a code");
        Self { random, now, rooms, last, prefix, euro }
    }

    fn row(&mut self, seq: u64, change: &Change) -> Row {
        let step = i64::try_from(self.random.below(900_000)).unwrap_or(0) + 20_000;
        self.now = Timestamp::from_microsecond(self.now.as_microsecond() + step).unwrap_or(self.now);
        Row {
            seq,
            at_micros: self.now.as_microsecond(),
            kind: change.kind().to_owned(),
            // A change of plain types always has a JSON form.
            body: serde_json::to_vec(change).unwrap_or_default(),
        }
    }

    fn room(&mut self) -> (usize, String) {
        let at = usize::try_from(self.random.below(self.rooms.len() as u64)).unwrap_or(0);
        (at, self.rooms[at].clone())
    }

    /// Measured values, numbered from `first`.
    pub fn telemetry(&mut self, first: u64, count: u64) -> Vec<Row> {
        (first..first + count)
            .map(|seq| {
                let (at, room) = self.room();
                let (name, role, value) = match self.random.below(10) {
                    0..=4 => {
                        #[allow(clippy::cast_precision_loss)]
                        let by = (self.random.below(9) as f64 - 4.0) / 10.0;
                        self.last[at] = ((self.last[at] + by) * 10.0).round() / 10.0;
                        ("room_temp", Role::RoomTemperature, Value::Float(self.last[at]))
                    }
                    5..=6 => ("occupied", Role::Occupancy, Value::Bool(self.random.one_in(2))),
                    7 => ("window", Role::Window, Value::Bool(self.random.one_in(2))),
                    8 => {
                        #[allow(clippy::cast_precision_loss)]
                        let watts = self.random.below(2_000) as f64;
                        ("output", Role::ClimateOutput, Value::Float(watts))
                    }
                    _ => ("door", Role::Door, Value::Bool(self.random.one_in(2))),
                };
                let delay = i64::try_from(self.random.below(40_000)).unwrap_or(0);
                let sampled =
                    Timestamp::from_microsecond(self.now.as_microsecond() - delay).unwrap_or(self.now);
                let change = Change::Reported {
                    point: PointId::new(format!("{}{room}", self.prefix), name),
                    room: Some(room.as_str().into()),
                    role: Some(role),
                    value: Some(value),
                    quality: Quality::Good,
                    sampled,
                };
                self.row(seq, &change)
            })
            .collect()
    }

    /// Rows of guests and money, numbered from `first`.
    pub fn stays(&mut self, first: u64, count: u64) -> Vec<Row> {
        (first..first + count)
            .map(|seq| {
                let (_, room) = self.room();
                let stay = (10_000 + self.random.below(80_000)).to_string();
                let change = match self.random.below(5) {
                    0 => Change::CheckedIn {
                        stay: stay.as_str().into(),
                        room: room.as_str().into(),
                        language: Some((*self.random.pick(&["en", "de", "ja", "fr"])).to_owned()),
                        arrival: None,
                        departure: None,
                    },
                    1 => Change::CheckedOut {
                        stay: stay.as_str().into(),
                        room: room.as_str().into(),
                        reason: StayEnd::CheckedOut,
                    },
                    2 => Change::RoomStatus { room: room.as_str().into(), status: "clean_vacant".to_owned() },
                    3 => Change::Posting {
                        number: PostingNumber(u32::try_from(seq).unwrap_or(1)),
                        key: format!("pos-{stay}").as_str().into(),
                        room: room.as_str().into(),
                        stay: Some(stay.as_str().into()),
                        amount: Money {
                            minor: i64::try_from(self.random.below(9_000)).unwrap_or(0),
                            currency: self.euro,
                        },
                        text: "Minibar".to_owned(),
                        outlet: Some("minibar".to_owned()),
                        state: PostingState::Posted,
                        answer: None,
                    },
                    _ => Change::Moved {
                        stay: stay.as_str().into(),
                        from: room.as_str().into(),
                        to: "101".into(),
                    },
                };
                self.row(seq, &change)
            })
            .collect()
    }

    /// Rows of the urgent lanes, numbered from `first`.
    pub fn alarms(&mut self, first: u64, count: u64) -> Vec<Row> {
        (first..first + count)
            .map(|seq| {
                let (_, room) = self.room();
                let change = match self.random.below(3) {
                    0 => Change::DeviceHealth {
                        device: format!("{}{room}", self.prefix).as_str().into(),
                        room: Some(room.as_str().into()),
                        state: DeviceState::Unwell,
                        reason: Some("no answer".to_owned()),
                    },
                    1 => Change::Link {
                        link: "pms".into(),
                        up: self.random.one_in(2),
                        detail: "the connection was closed".to_owned(),
                    },
                    _ => Change::CommandEnded {
                        key: format!("c-{seq}").as_str().into(),
                        outcome: CommandOutcome::Done,
                    },
                };
                self.row(seq, &change)
            })
            .collect()
    }
}
