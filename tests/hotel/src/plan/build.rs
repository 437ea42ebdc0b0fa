//! Builds the day of a seed.
//!
//! Two steps: first the PMS's day in the order of time, since a move needs to know who is where; then, into the
//! nights that this gives each room, what guests do.

use super::{Charge, Event, Guest, QUIET_AFTER_MS, QUIET_BEFORE_MS, ROOM_GAP_MS, STAY_GAP_MS, What, guests};
use crate::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// From the guest's arrival in a room to the first charge, ms.
const CHARGE_AFTER_MS: u64 = 2_000;
/// From the last charge to the guest's leaving the room, ms: time for the bill to reach the PMS.
const CHARGE_BEFORE_MS: u64 = 3_000;
/// Reservation numbers begin behind this one.
const FIRST_STAY: u64 = 470_000;

/// A guest's time in one room.
struct Segment {
    stay: String,
    room: String,
    from: u64,
    until: u64,
}

/// What the PMS means to do with a stay next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Arrive,
    Move,
    Leave,
}

struct Stay {
    guest: Guest,
    room: String,
    /// When the guest came to `room`.
    since: u64,
    last: Option<u64>,
}

/// The day of `rooms` under `seed`, `seconds` long (at least [`super::SHORTEST_S`]), in order of time.
pub(crate) fn plan(seed: u64, rooms: &[String], seconds: u64) -> Vec<Event> {
    let mut builder = Builder {
        random: Random::new(seed),
        length: seconds * 1000,
        rooms,
        events: Vec::new(),
        segments: Vec::new(),
        touched: BTreeMap::new(),
    };
    builder.pms();
    builder.audit();
    builder.guests();
    let mut events = builder.events;
    // A guest who arrives in the last moment opens the door after the day.
    events.retain(|event| event.at < seconds * 1000);
    // Stable: what was entered first comes first.
    events.sort_by_key(|event| event.at);
    events
}

struct Builder<'a> {
    random: Random,
    /// Of the day, ms.
    length: u64,
    rooms: &'a [String],
    events: Vec<Event>,
    segments: Vec<Segment>,
    /// When the PMS spoke of a room, in order.
    touched: BTreeMap<String, Vec<u64>>,
}

impl Builder<'_> {
    /// The play time at which the hotel's clocks show `hour` hours and `minutes` after noon.
    fn time(&self, hour: u64, minutes: u64) -> u64 {
        self.length * (hour * 60 + minutes) / (24 * 60)
    }

    fn within(&mut self, from: (u64, u64), until: (u64, u64)) -> u64 {
        let (from, until) = (self.time(from.0, from.1), self.time(until.0, until.1));
        self.random.between(from, until)
    }

    fn pms(&mut self) {
        let mut stays: Vec<Stay> = Vec::new();
        // Earliest first; of two at one time the older stay first.
        let mut due: BinaryHeap<Reverse<(u64, usize, Step)>> = BinaryHeap::new();
        let mut expected = BTreeSet::new();
        for room in self.rooms {
            if !self.random.chance(85) {
                continue;
            }
            expected.insert(room.clone());
            let arrival = self.within((2, 0), (8, 30));
            let party = if self.random.chance(22) { 2 } else { 1 };
            let together = self.random.chance(50);
            for companion in 0..party {
                let arrival = match companion {
                    0 => arrival,
                    _ if together => arrival + ROOM_GAP_MS,
                    _ => self
                        .random
                        .between(arrival + ROOM_GAP_MS, self.time(10, 30).max(arrival + ROOM_GAP_MS + 1)),
                };
                let stay = stays.len();
                let guest = guests::guest(&mut self.random, FIRST_STAY + 1 + stay as u64);
                stays.push(Stay { guest, room: room.clone(), since: 0, last: None });
                due.push(Reverse((arrival, stay, Step::Arrive)));
                if self.random.chance(18) {
                    let at = self
                        .random
                        .between(arrival + STAY_GAP_MS, self.time(11, 30).max(arrival + STAY_GAP_MS + 1));
                    due.push(Reverse((at, stay, Step::Move)));
                }
                if self.random.chance(80) {
                    due.push(Reverse((self.within((19, 0), (23, 15)), stay, Step::Leave)));
                }
            }
        }
        let mut present: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        while let Some(Reverse((at, index, step))) = due.pop() {
            let here = stays[index].room.clone();
            // What comes too soon waits, and stands in line again: its place in time may be another's now.
            let ready = self.ready(&here, stays[index].last);
            if ready > at {
                due.push(Reverse((ready, index, step)));
                continue;
            }
            if (self.time(14, 0)..=self.time(14, 30)).contains(&at) {
                // Nobody comes or goes during night audit.
                due.push(Reverse((self.time(14, 30) + 1, index, step)));
                continue;
            }
            let last_call = match step {
                Step::Arrive => self.length,
                Step::Move => self.time(13, 30),
                Step::Leave => self.length.saturating_sub(200),
            };
            if at >= last_call {
                continue;
            }
            let stay = &mut stays[index];
            match step {
                Step::Arrive => {
                    stay.since = at;
                    present.entry(here.clone()).or_default().insert(index);
                    self.enter(at, What::CheckIn { guest: stay.guest.clone(), room: here.clone() }, &[&here]);
                }
                Step::Move => {
                    let Some(to) = self.new_room(&here, at, &present, &expected) else { continue };
                    let what =
                        What::Move { stay: stay.guest.stay.clone(), from: here.clone(), to: to.clone() };
                    self.leave_room(stay, at);
                    (stay.room, stay.since) = (to.clone(), at);
                    present.entry(here.clone()).or_default().remove(&index);
                    present.entry(to.clone()).or_default().insert(index);
                    self.enter(at, what, &[&here, &to]);
                }
                Step::Leave => {
                    self.leave_room(stay, at);
                    present.entry(here.clone()).or_default().remove(&index);
                    let what = What::CheckOut { stay: stay.guest.stay.clone(), room: here.clone() };
                    self.enter(at, what, &[&here]);
                }
            }
            stays[index].last = Some(at);
            if step == Step::Leave && present[&here].is_empty() && self.random.chance(20) {
                // Sold again: the next guest comes early.
                let next = stays.len();
                let guest = guests::guest(&mut self.random, FIRST_STAY + 1 + next as u64);
                stays.push(Stay { guest, room: here, since: 0, last: None });
                let at = self.random.between(at + ROOM_GAP_MS, self.length.max(at + ROOM_GAP_MS + 1));
                due.push(Reverse((at, next, Step::Arrive)));
            }
        }
        let end = self.length;
        for (room, inside) in &present {
            for index in inside {
                let stay = &stays[*index];
                let segment = Segment {
                    stay: stay.guest.stay.clone(),
                    room: room.clone(),
                    from: stay.since,
                    until: end,
                };
                self.segments.push(segment);
            }
        }
    }

    /// When the PMS may next speak of this room and this stay.
    fn ready(&self, room: &str, last: Option<u64>) -> u64 {
        let room = self.touched.get(room).and_then(|times| times.last()).map_or(0, |last| last + ROOM_GAP_MS);
        room.max(last.map_or(0, |last| last + STAY_GAP_MS))
    }

    /// A room to move to at `at`: mostly an empty one that nobody is expected in, sometimes that of friends.
    fn new_room(
        &mut self,
        here: &str,
        at: u64,
        present: &BTreeMap<String, BTreeSet<usize>>,
        expected: &BTreeSet<String>,
    ) -> Option<String> {
        let guests = |room: &String| present.get(room).map_or(0, BTreeSet::len);
        let to_friends = self.random.chance(30);
        let fits = |room: &&String| {
            let wanted =
                if to_friends { guests(room) == 1 } else { guests(room) == 0 && !expected.contains(*room) };
            room.as_str() != here && self.ready(room, None) <= at && wanted
        };
        let rooms: Vec<&String> = self.rooms.iter().filter(fits).collect();
        (!rooms.is_empty()).then(|| (*self.random.pick(&rooms)).clone())
    }

    fn leave_room(&mut self, stay: &Stay, at: u64) {
        self.segments.push(Segment {
            stay: stay.guest.stay.clone(),
            room: stay.room.clone(),
            from: stay.since,
            until: at,
        });
    }

    fn enter(&mut self, at: u64, what: What, rooms: &[&String]) {
        for room in rooms {
            self.touched.entry((*room).clone()).or_default().push(at);
        }
        self.events.push(Event { at, what });
    }

    /// Night audit, from 02:00 to 02:30.
    fn audit(&mut self) {
        for (minutes, begins) in [(0, true), (30, false)] {
            self.events.push(Event { at: self.time(14, minutes), what: What::Audit { begins } });
        }
    }

    fn guests(&mut self) {
        let mut segments = std::mem::take(&mut self.segments);
        segments.sort_by(|a, b| (a.from, &a.stay).cmp(&(b.from, &b.stay)));
        let mut slips: Vec<(u64, Charge)> = Vec::new();
        for segment in &segments {
            self.charges(segment, &mut slips);
            self.wall(segment);
            self.comings_and_goings(segment);
        }
        self.windows();
        // Slips are numbered in the order in which they are written.
        slips.sort_by_key(|(at, _)| *at);
        for (number, (at, mut charge)) in (1..).zip(slips) {
            charge.key = format!("bar-{number}");
            charge.text = format!("{} {number}", charge.text);
            self.events.push(Event { at, what: What::Charge(charge) });
        }
    }

    fn charges(&mut self, segment: &Segment, slips: &mut Vec<(u64, Charge)>) {
        let (from, until) = (segment.from + CHARGE_AFTER_MS, segment.until.saturating_sub(CHARGE_BEFORE_MS));
        if until <= from {
            return;
        }
        for _ in 0..self.random.between(0, 4) {
            let at = self.random.between(from, until);
            let (text, outlet) = if self.random.chance(70) { ("Bar", "BAR") } else { ("Minibar", "MINI") };
            let minor = i64::try_from(self.random.between(7, 130) * 50).unwrap_or(50);
            let (room, stay) = (segment.room.clone(), segment.stay.clone());
            slips.push((at, Charge { key: String::new(), room, stay, minor, text: text.to_owned(), outlet }));
        }
    }

    fn wall(&mut self, segment: &Segment) {
        if !self.random.chance(35) {
            return;
        }
        // Some tries are enough; a night without a quiet moment has no turn of the knob.
        for _ in 0..8 {
            let at = self.random.between(segment.from, segment.until);
            let celsius = f64::from(u32::try_from(self.random.between(39, 51)).unwrap_or(40)) / 2.0;
            let times = self.touched.get(&segment.room).map_or(&[][..], Vec::as_slice);
            let quiet = times.iter().all(|time| at >= time + QUIET_BEFORE_MS || at + QUIET_AFTER_MS <= *time);
            if quiet && at + QUIET_AFTER_MS < self.length {
                let times = self.touched.entry(segment.room.clone()).or_default();
                // A second turn keeps away from the first as it does from the PMS.
                times.push(at);
                self.events.push(Event { at, what: What::Wall { room: segment.room.clone(), celsius } });
                return;
            }
        }
    }

    fn comings_and_goings(&mut self, segment: &Segment) {
        let mut enter = |at, present| {
            let room = segment.room.clone();
            self.events.push(Event { at, what: What::Presence { room, present } });
        };
        enter(segment.from + 500, true);
        if segment.until < self.length {
            enter(segment.until + 500, false);
        }
        let night = segment.until - segment.from;
        if self.random.chance(50) && night > 4_000 {
            let out = self.random.between(segment.from + 1_000, segment.until - 2_000);
            let back = self.random.between(out + 500, segment.until - 1_000);
            for (at, present) in [(out, false), (back, true)] {
                let room = segment.room.clone();
                self.events.push(Event { at, what: What::Presence { room, present } });
            }
        }
    }

    fn windows(&mut self) {
        for room in self.rooms {
            if self.random.chance(35) {
                let open = self.within((2, 0), (21, 0));
                let shut =
                    (open + self.random.between(self.time(0, 30), self.time(2, 0))).min(self.length - 1);
                for (at, open) in [(open, true), (shut, false)] {
                    self.events.push(Event { at, what: What::Window { room: room.clone(), open } });
                }
            }
        }
    }
}
