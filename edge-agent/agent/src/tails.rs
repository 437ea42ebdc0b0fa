//! What somebody at the cloud watches: values as drivers tell them, also those that the journal passes over.
//!
//! They wait here for the link, and for nothing else: at the bound of a tail the oldest goes and is counted. A tail ends
//! after its time, by command, or with the connection; its end is told twice, to whoever watches (if anybody is still
//! there) and as the end of its command.

use engawa_model::{
    CommandKey, Fact, Observation, PointId, Property, Quality, RoomId, Timestamp, Value, Watched,
};
use engawa_protocol::live::{Live, LiveRow};
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Values of a tail that may wait for the link.
const MOST_WAITING: usize = 1024;

/// One value, as it is told.
#[derive(Serialize)]
struct Reading<'a> {
    #[serde(serialize_with = "in_words")]
    point: &'a PointId,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a RoomId>,
    value: Option<&'a Value>,
    quality: Quality,
    sampled: Timestamp,
}

fn in_words<S: Serializer>(point: &PointId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(point)
}

/// A tail that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The key of its command.
    pub(crate) key: CommandKey,
    /// Why, and what it came to.
    pub(crate) note: String,
}

#[derive(Debug)]
struct Tail {
    key: CommandKey,
    of: Watched,
    until: Timestamp,
    waiting: VecDeque<LiveRow>,
    told: u64,
    dropped: u64,
    /// Why it is over; it is here until that is told.
    over: Option<String>,
}

/// The tails that run: as many as the model lets in, and those whose end is still to be told.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Whether there is any: asked for each observation.
    active: AtomicBool,
    book: Mutex<Book>,
    /// Told when a tail has ended.
    pub(crate) ended: Notify,
}

#[derive(Debug, Default)]
struct Book {
    tails: Vec<Tail>,
    ended: Vec<Ended>,
    /// Whose turn it is.
    turn: usize,
}

impl Tails {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, book: &Book) {
        self.active.store(!book.tails.is_empty(), Ordering::Release);
        if !book.ended.is_empty() {
            self.ended.notify_one();
        }
    }

    /// Begins a tail, with what the house knows of its points now. One that runs goes on as it is.
    pub(crate) fn begin(
        &self,
        property: &Property,
        key: CommandKey,
        of: Watched,
        until: Timestamp,
        now: Timestamp,
    ) {
        let mut book = self.book();
        if book.tails.iter().any(|tail| tail.key == key) {
            return;
        }
        let mut tail = Tail { key, of, until, waiting: VecDeque::new(), told: 0, dropped: 0, over: None };
        for (point, state) in property.points() {
            let room = property.device_spec(&point.device).and_then(|device| device.room.as_ref());
            if tail.of.has(&point.device, room) {
                let (value, quality, sampled) = (state.value.as_ref(), state.quality, state.at);
                tail.push(now, &Reading { point: &point, room, value, quality, sampled });
            }
        }
        book.tails.push(tail);
        self.settle(&book);
    }

    /// Something was observed, which `property` has taken: true where somebody watches it.
    pub(crate) fn observed(&self, property: &Property, observation: &Observation) -> bool {
        if !self.active.load(Ordering::Acquire) {
            return false;
        }
        let (point, reported) = match &observation.fact {
            Fact::Reported { point, value, quality, sampled } => {
                (point, Some((value.as_ref(), *quality, *sampled)))
            }
            Fact::Confirmed { point, .. } => (point, None),
            _ => return false,
        };
        let Some(device) = property.device_spec(&point.device) else { return false };
        let known = property.point(point);
        let Some((value, quality, sampled)) =
            reported.or_else(|| known.map(|state| (state.value.as_ref(), state.quality, state.at)))
        else {
            return false;
        };
        let reading = Reading { point, room: device.room.as_ref(), value, quality, sampled };
        let mut watched = false;
        for tail in self.book().tails.iter_mut().filter(|tail| tail.over.is_none()) {
            if tail.of.has(&point.device, device.room.as_ref()) {
                tail.push(observation.at, &reading);
                watched = true;
            }
        }
        watched
    }

    /// Ends a tail; `why` in plain words. True where it ran.
    pub(crate) fn end(&self, key: &CommandKey, why: &str) -> bool {
        let mut book = self.book();
        let ended = book.end(|tail| tail.key == *key, why);
        self.settle(&book);
        ended
    }

    /// Ends those whose time is over, and says when the next one's is.
    pub(crate) fn expire(&self, now: Timestamp) -> Option<Timestamp> {
        let mut book = self.book();
        book.end(|tail| tail.until <= now, "its time is over");
        self.settle(&book);
        book.tails.iter().filter(|tail| tail.over.is_none()).map(|tail| tail.until).min()
    }

    /// Ends all, and tells nobody over the line: it has gone.
    pub(crate) fn over(&self, why: &str) {
        let mut book = self.book();
        // What waits never leaves.
        for tail in &mut book.tails {
            tail.dropped += tail.waiting.len() as u64;
            tail.waiting.clear();
        }
        book.end(|_| true, why);
        book.tails.clear();
        self.settle(&book);
    }

    /// Values were dropped behind this, on the way to the line.
    pub(crate) fn lost(&self, tail: &str, values: u64) {
        if let Some(tail) = self.book().tails.iter_mut().find(|of| of.key.as_str() == tail) {
            tail.told = tail.told.saturating_sub(values);
            tail.dropped += values;
        }
    }

    /// What goes next, of each tail in turn; `None`: nothing waits.
    pub(crate) fn next(&self, max_bytes: usize) -> Option<Live> {
        if !self.active.load(Ordering::Acquire) {
            return None;
        }
        let mut book = self.book();
        let count = book.tails.len();
        let at = (0..count).map(|n| (book.turn + n) % count).find(|at| book.tails[*at].has_news())?;
        book.turn = at + 1;
        let (live, done) = book.tails[at].take(max_bytes);
        if done {
            book.tails.remove(at);
        }
        self.settle(&book);
        Some(live)
    }

    /// The tails that have ended since this was asked last.
    pub(crate) fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.book().ended)
    }
}

impl Book {
    fn end(&mut self, which: impl Fn(&Tail) -> bool, why: &str) -> bool {
        let mut any = false;
        for tail in self.tails.iter_mut().filter(|tail| tail.over.is_none() && which(tail)) {
            tail.over = Some(why.to_owned());
            let told = tail.told + tail.waiting.len() as u64;
            let note = format!("{why}: {told} values told, {} dropped", tail.dropped);
            self.ended.push(Ended { key: tail.key.clone(), note });
            any = true;
        }
        any
    }
}

impl Tail {
    fn push(&mut self, at: Timestamp, reading: &Reading<'_>) {
        // Plain types always have a JSON form.
        let Ok(body) = serde_json::to_vec(reading) else { return };
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(LiveRow { at_micros: at.as_microsecond(), body });
    }

    fn has_news(&self) -> bool {
        !self.waiting.is_empty() || self.over.is_some()
    }

    /// Up to `max_bytes` of what waits, one value at least; true where nothing comes after it.
    fn take(&mut self, max_bytes: usize) -> (Live, bool) {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.waiting.front() {
            bytes += row.body.len();
            if !rows.is_empty() && bytes > max_bytes {
                break;
            }
            rows.extend(self.waiting.pop_front());
        }
        self.told += rows.len() as u64;
        let ended = if self.waiting.is_empty() { self.over.clone() } else { None };
        let done = ended.is_some();
        (Live { tail: self.key.to_string(), rows, dropped: self.dropped, ended }, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{ClimateDefaults, Currency, DeviceSpec, PointSpec, PropertySpec, RoomSpec, Season};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn house() -> Property {
        let point = PointSpec {
            name: "temperature".into(),
            role: None,
            unit: None,
            writable: false,
            min: None,
            max: None,
        };
        let device = |id: &str, room: &str| DeviceSpec {
            id: id.into(),
            room: Some(room.into()),
            profile: "p".into(),
            points: [point.clone()].into(),
        };
        let climate = ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 28.0,
            season: Season::Heating,
            guest_hold_s: 0,
        };
        Property::new(PropertySpec {
            id: "grand".into(),
            zone: "UTC".into(),
            currency: Currency::new("EUR").unwrap(),
            climate,
            rooms: ["101", "102"].map(|room| RoomSpec { id: room.into() }).into(),
            devices: vec![device("a", "101"), device("b", "101"), device("c", "102")],
            resync_every_s: 1,
            order_ttl_s: 1,
        })
    }

    fn tell(property: &mut Property, tails: &Tails, device: &str, value: f64) -> bool {
        let (point, value, sampled) = (PointId::new(device, "temperature"), Some(Value::Float(value)), at(1));
        let fact = Fact::Reported { point, value, quality: Quality::Good, sampled };
        let observation = Observation::new(at(1), fact);
        property.apply(&observation);
        tails.observed(property, &observation)
    }

    fn begin(tails: &Tails, property: &Property, key: &str, of: &str) {
        tails.begin(property, key.into(), Watched::parse(of).unwrap(), at(60), at(0));
    }

    #[test]
    fn each_tail_hears_its_points_also_what_has_not_changed() {
        let (mut property, tails) = (house(), Tails::default());
        assert!(!tell(&mut property, &tails, "a", 20.0));
        begin(&tails, &property, "room", "room/101");
        begin(&tails, &property, "device", "device/c");
        for (device, value) in [("a", 20.0), ("a", 20.0), ("b", 21.0), ("c", 22.0)] {
            assert!(tell(&mut property, &tails, device, value));
        }
        let (first, second) = (tails.next(4096).unwrap(), tails.next(4096).unwrap());
        assert_eq!(
            (first.tail.as_str(), first.rows.len()),
            ("room", 1 + 3),
            "what was known, then what came"
        );
        assert_eq!((second.tail.as_str(), second.rows.len()), ("device", 1));
        assert!(tails.next(4096).is_none());
        let reading: serde_json::Value = serde_json::from_slice(&first.rows[3].body).unwrap();
        assert_eq!((&reading["point"], &reading["value"]), (&"b/temperature".into(), &21.0.into()));
    }

    #[test]
    fn what_does_not_fit_is_dropped_from_the_oldest_and_counted() {
        let (mut property, tails) = (house(), Tails::default());
        begin(&tails, &property, "t", "device/a");
        for n in 0..MOST_WAITING + 7 {
            tell(&mut property, &tails, "a", n as f64);
        }
        let first = tails.next(1).unwrap();
        let reading: serde_json::Value = serde_json::from_slice(&first.rows[0].body).unwrap();
        assert_eq!((first.rows.len(), first.dropped, &reading["value"]), (1, 7, &7.0.into()));
        tails.lost("t", 1);
        assert_eq!(tails.next(1).unwrap().dropped, 8, "what was lost behind is counted too");
    }

    #[test]
    fn a_tail_ends_once_after_what_waited() {
        let (mut property, tails) = (house(), Tails::default());
        begin(&tails, &property, "t", "room/101");
        begin(&tails, &property, "u", "room/102");
        tell(&mut property, &tails, "a", 1.0);
        tell(&mut property, &tails, "b", 1.0);
        assert_eq!(tails.expire(at(59)), Some(at(60)));
        assert!(tails.end(&"u".into(), "by command") && !tails.end(&"u".into(), "by command"));
        assert_eq!(tails.expire(at(60)), None);
        assert!(!tell(&mut property, &tails, "a", 2.0), "it is over");
        let frames: Vec<Live> = std::iter::from_fn(|| tails.next(1)).collect();
        let of = |key: &str| -> Vec<(usize, Option<&str>)> {
            let of = frames.iter().filter(|frame| frame.tail == key);
            of.map(|frame| (frame.rows.len(), frame.ended.as_deref())).collect()
        };
        assert_eq!(of("t"), [(1, None), (1, Some("its time is over"))]);
        assert_eq!(of("u"), [(0, Some("by command"))]);
        let ended = tails.take_ended();
        let note = |key: &str, note: &str| Ended { key: key.into(), note: note.into() };
        assert_eq!(
            ended,
            [
                note("u", "by command: 0 values told, 0 dropped"),
                note("t", "its time is over: 2 values told, 0 dropped")
            ]
        );
        assert!(tails.take_ended().is_empty());
    }

    #[test]
    fn a_connection_that_ends_ends_all_of_them() {
        let (mut property, tails) = (house(), Tails::default());
        begin(&tails, &property, "t", "room/101");
        for n in 0..3 {
            tell(&mut property, &tails, "a", f64::from(n));
        }
        assert_eq!(tails.next(1).unwrap().rows.len(), 1);
        tails.over("the connection has ended");
        assert!(tails.next(4096).is_none());
        let note = "the connection has ended: 1 values told, 2 dropped".into();
        assert_eq!(tails.take_ended(), [Ended { key: "t".into(), note }], "what waited has not left");
    }
}
