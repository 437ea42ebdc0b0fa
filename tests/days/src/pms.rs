//! The simulated PMS: its guests, which are the truth, and what it still has to say.

use crate::script::Step;
use engawa_model::{Date, RoomId, StayId};
use engawa_pms::codec::Record;
use std::collections::{BTreeMap, VecDeque};

/// The rooms. Few, so that guests meet.
pub(crate) const ROOMS: [&str; 5] = ["101", "102", "0103", "201", "2 B"];

/// Where a guest is, and until when.
pub(crate) type Guests = BTreeMap<StayId, (RoomId, Date)>;

/// What a record changes for whoever reads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    None,
    In(StayId, RoomId, Date),
    Out(StayId),
    Empty(RoomId),
    /// DS.
    Begin,
    /// DE, and the guests at that moment.
    Done(Guests),
    /// NE, and the business date from then on.
    Audited(Date),
}

impl Effect {
    /// Whom the record is about, where swapping it with one of another guest changes nothing.
    fn guest(&self) -> Option<&StayId> {
        match self {
            Self::In(stay, ..) | Self::Out(stay) => Some(stay),
            _ => None,
        }
    }
}

/// A record on its way.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) record: Record,
    pub(crate) effect: Effect,
}

/// The PMS.
pub(crate) struct Pms {
    pub(crate) guests: Guests,
    left: Vec<(StayId, RoomId)>,
    numbers: u32,
    pub(crate) queue: VecDeque<Said>,
    /// The room that the list comes to next.
    list: Option<usize>,
    business: Date,
    /// How often a stay may be checked in.
    pub(crate) may_come: BTreeMap<StayId, u32>,
}

fn yymmdd(date: Date) -> String {
    date.strftime("%y%m%d").to_string()
}

impl Pms {
    pub(crate) fn new(business: Date) -> Self {
        Self {
            guests: Guests::new(),
            left: Vec::new(),
            numbers: 4700,
            queue: VecDeque::new(),
            list: None,
            business,
            may_come: BTreeMap::new(),
        }
    }

    fn say(&mut self, record: Record, effect: Effect) {
        self.queue.push_back(Said { record, effect });
    }

    fn nth(&self, guest: u8) -> Option<StayId> {
        let count = self.guests.len().max(1);
        self.guests.keys().nth(usize::from(guest) % count).cloned()
    }

    fn shared(&self, room: &RoomId) -> &'static str {
        if self.guests.values().filter(|(where_to, _)| where_to == room).count() > 1 { "Y" } else { "N" }
    }

    /// GI or GC of a guest as they are now.
    fn guest(&self, id: &str, stay: &StayId) -> (Record, Effect) {
        let Some((room, departure)) = self.guests.get(stay).cloned() else {
            return (Record::new(id), Effect::None);
        };
        let record = Record::new(id)
            .with("RN", room.as_str())
            .with("G#", stay.as_str())
            .with("GS", self.shared(&room))
            .with("GN", format!("Guest {stay}"))
            .with("GL", "JA")
            .with("GD", yymmdd(departure));
        (record, Effect::In(stay.clone(), room, departure))
    }

    fn gone(&self, stay: &StayId, room: &RoomId) -> Record {
        Record::new("GO").with("RN", room.as_str()).with("G#", stay.as_str()).with("GS", self.shared(room))
    }

    fn arrive(&mut self, stay: StayId, room: RoomId, early: bool) {
        *self.may_come.entry(stay.clone()).or_default() += 1;
        let departure = self.business.tomorrow().unwrap_or(self.business);
        self.guests.insert(stay.clone(), (room, departure));
        if early {
            let (record, effect) = self.guest("GC", &stay);
            self.say(record, effect);
        }
        let (record, effect) = self.guest("GI", &stay);
        self.say(record, effect);
    }

    /// Does what a step says of guests and rooms; true if it was one.
    pub(crate) fn step(&mut self, step: Step) -> bool {
        let room = |number: u8| RoomId::from(ROOMS[usize::from(number) % ROOMS.len()]);
        match step {
            Step::Arrive { room: into } | Step::ArriveEarly { room: into } => {
                self.numbers += 1;
                let stay = StayId::new(self.numbers.to_string());
                self.arrive(stay, room(into), matches!(step, Step::ArriveEarly { .. }));
            }
            Step::Change { guest } => {
                let Some(stay) = self.nth(guest) else { return true };
                if let Some((_, departure)) = self.guests.get_mut(&stay) {
                    *departure = departure.tomorrow().unwrap_or(*departure);
                }
                let (record, effect) = self.guest("GC", &stay);
                self.say(record, effect);
            }
            Step::Move { guest, room: to, style } => self.move_guest(guest, &room(to), style),
            Step::Depart { guest } => {
                let Some(stay) = self.nth(guest) else { return true };
                let Some((room, _)) = self.guests.remove(&stay) else { return true };
                self.say(self.gone(&stay, &room), Effect::Out(stay.clone()));
                self.left.push((stay, room));
            }
            Step::Vacate { room: which } => {
                let room = room(which);
                self.guests.retain(|_, (at, _)| *at != room);
                let record = Record::new("GO").with("RN", room.as_str()).with("GS", "N");
                self.say(record, Effect::Empty(room));
            }
            Step::Reinstate { guest } => {
                if !self.left.is_empty() {
                    let (stay, room) = self.left.remove(usize::from(guest) % self.left.len());
                    self.arrive(stay, room, false);
                }
            }
            Step::Equipment { room: which } => {
                let record =
                    Record::new("RE").with("RN", room(which).as_str()).with("ML", "Y").with("CS", "3");
                self.say(record, Effect::None);
            }
            Step::Repeat { times } => {
                // Parts of a list are said by a program of their own, which does not stutter.
                let last =
                    self.queue.back().filter(|said| !matches!(said.effect, Effect::Begin | Effect::Done(_)));
                if let Some(last) = last.cloned() {
                    self.queue.extend(std::iter::repeat_n(last, usize::from(times)));
                }
            }
            Step::Swap => {
                if let [.., one, other] = self.queue.make_contiguous()
                    && let (Some(these), Some(those)) = (one.effect.guest(), other.effect.guest())
                    && these != those
                {
                    std::mem::swap(one, other);
                }
            }
            Step::Audit { evening } => self.audit(evening),
            _ => return false,
        }
        true
    }

    fn move_guest(&mut self, guest: u8, to: &RoomId, style: u8) {
        let Some(stay) = self.nth(guest) else { return };
        let Some((from, departure)) = self.guests.get(&stay).cloned() else { return };
        if from == *to {
            return;
        }
        self.guests.insert(stay.clone(), (to.clone(), departure));
        let (record, effect) = self.guest(if matches!(style % 4, 0 | 3) { "GC" } else { "GI" }, &stay);
        let gone = self.gone(&stay, &from);
        match style % 4 {
            0 => self.say(record.with("RO", from.as_str()).with("GS", self.shared(&from)), effect),
            1 => {
                // Out and in: the house can't know better, and is right at every moment.
                *self.may_come.entry(stay.clone()).or_default() += 1;
                self.say(gone, Effect::Out(stay));
                self.say(record, effect);
            }
            2 => {
                self.say(record, effect);
                // The old room's record is about a guest who is elsewhere by now.
                self.say(gone, Effect::None);
            }
            _ => self.say(record, effect),
        }
    }

    fn audit(&mut self, evening: bool) {
        let closed = self.business;
        self.business = closed.tomorrow().unwrap_or(closed);
        // The PMS's clock, not its business date.
        let (date, hour) = if evening { (closed, "233000") } else { (self.business, "031500") };
        let stamped = |id: &str| Record::new(id).with("DA", yymmdd(date)).with("TI", hour);
        self.say(stamped("NS"), Effect::None);
        self.say(stamped("NE"), Effect::Audited(self.business));
    }

    /// A list begins, where none is running.
    pub(crate) fn begin_list(&mut self) {
        if self.list.is_none() {
            self.list = Some(0);
            self.say(Record::new("DS").with("DA", "260715").with("TI", "101500"), Effect::Begin);
        }
    }

    /// The next room of the list that is running, as it is now.
    pub(crate) fn go_on_with_list(&mut self) {
        let Some(n) = self.list else { return };
        let Some(room) = ROOMS.get(n).map(|room| RoomId::from(*room)) else {
            self.list = None;
            let record = Record::new("DE").with("DA", "260715").with("TI", "101600");
            return self.say(record, Effect::Done(self.guests.clone()));
        };
        self.list = Some(n + 1);
        let inside: Vec<StayId> =
            self.guests.iter().filter(|(_, (at, _))| *at == room).map(|(stay, _)| stay.clone()).collect();
        if inside.is_empty() {
            let record = Record::new("GO").with("RN", room.as_str()).with("GS", "N").with("SF", "");
            self.say(record, Effect::None);
        }
        for stay in inside {
            let (record, effect) = self.guest("GI", &stay);
            self.say(record.with("SF", ""), effect);
        }
    }

    /// True while a list is being said.
    pub(crate) fn lists(&self) -> bool {
        self.list.is_some()
    }

    /// The link is lost: a list that was running is not gone on with, and nothing of it stays in the queue.
    pub(crate) fn drop_list(&mut self) {
        self.list = None;
        self.queue
            .retain(|said| !said.record.has("SF") && !matches!(said.effect, Effect::Begin | Effect::Done(_)));
    }

    /// The newest records that wait are lost. False where there were none.
    pub(crate) fn lose(&mut self, records: u8) -> bool {
        let keep = self.queue.len().saturating_sub(usize::from(records));
        self.queue.drain(keep..).count() > 0
    }
}
