//! Plays a day and compares.

use crate::flaw::Flaw;
use crate::house::House;
use crate::pms::{Effect, Guests, Pms, ROOMS, Said};
use crate::script::Step;
use engawa_model::{Date, Timestamp};
use engawa_pms::Charset;
use engawa_pms::codec::{FrameEvent, Framer, Record};
use jiff::SignedDuration;
use std::fmt;

/// The first day's date.
const FIRST: Date = jiff::civil::date(2026, 7, 15);
/// So many rounds of exchange make any queue of a day empty.
const ROUNDS: usize = 4_000;

/// What differed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step after which it showed.
    pub step: usize,
    /// In words.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after step {}: {}", self.step, self.what)
    }
}

/// What was played, so that a run can show that it was no empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Records that the house took.
    pub records: u64,
    /// Complete lists.
    pub lists: u64,
    /// Kills that lost something.
    pub kills: u64,
    /// How often house and reference were compared in full.
    pub compared: u64,
    /// Stays that came into the house.
    pub stays: u64,
    /// Complete lists that were not believed unasked.
    pub doubted: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.lists += other.lists;
        self.kills += other.kills;
        self.compared += other.compared;
        self.stays += other.stays;
        self.doubted += other.doubted;
    }
}

struct Day {
    pms: Pms,
    house: House,
    /// The guests as the records that were delivered tell them; `None` while records are missing.
    told: Option<Guests>,
    /// True where records were missing at any time of the day.
    lossy: bool,
    business: Option<Date>,
    last: Option<Said>,
    /// Staff have said that the list that comes is right.
    accepted: bool,
    /// The last list was not believed.
    doubted: bool,
    tally: Tally,
}

/// Plays `steps` with a house that has `flaw`, if any.
///
/// # Errors
/// The first difference.
pub fn play(steps: &[Step], flaw: Option<Flaw>) -> Result<Tally, Fault> {
    let now: Timestamp = Timestamp::from_second(1_784_110_500).unwrap_or_default();
    let fault = |step: usize| move |what: String| Fault { step, what };
    let Some(house) = House::new(now, flaw) else { return Err(fault(0)("no house".to_owned())) };
    let mut day = Day {
        pms: Pms::new(FIRST),
        house,
        told: Some(Guests::new()),
        lossy: false,
        business: None,
        last: None,
        accepted: false,
        doubted: false,
        tally: Tally::default(),
    };
    day.connect().map_err(fault(0))?;
    for (n, step) in steps.iter().enumerate() {
        day.house.pass(SignedDuration::from_secs(5));
        day.step(*step).and_then(|()| day.compare()).map_err(fault(n))?;
    }
    day.tally.stays = day.house.auditor.checked_in().values().map(|count| u64::from(*count)).sum();
    Ok(day.tally)
}

/// An entry of a map, on its own.
fn clone<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

impl Day {
    fn step(&mut self, step: Step) -> Result<(), String> {
        if self.pms.step(step) {
            return Ok(());
        }
        match step {
            Step::Deliver { records, piece, held } => {
                for _ in 0..records {
                    self.deliver(usize::from(piece.max(1)))?;
                }
                if held { Ok(()) } else { self.settle() }
            }
            Step::Ask => {
                self.house.ask_for_list(false)?;
                self.settle()
            }
            Step::List if self.house.alive() => {
                self.pms.begin_list();
                Ok(())
            }
            Step::Break { lose, torn, again } => self.break_off(lose, usize::from(torn), again),
            Step::Restart { forget } => self.restart(forget),
            Step::Kill => {
                if self.house.owes_the_disk() {
                    self.miss();
                    self.tally.kills += 1;
                }
                self.pms.drop_list();
                self.house.kill()
            }
            Step::Connect => self.connect(),
            Step::Wait { minutes } => self.wait(SignedDuration::from_mins(i64::from(minutes))),
            Step::Agree => self.agree(),
            _ => Ok(()),
        }
    }

    /// Records are missing: only a list can tell now.
    fn miss(&mut self) {
        self.told = None;
        self.business = None;
        self.lossy = true;
    }

    fn connect(&mut self) -> Result<(), String> {
        if self.house.connected {
            return Ok(());
        }
        self.house.connect()?;
        self.house
            .bytes(&Record::new("LS").with("DA", "260715").with("TI", "101500").encode(Charset::Utf8))?;
        self.settle()
    }

    fn break_off(&mut self, lose: u8, torn: usize, again: bool) -> Result<(), String> {
        if !self.house.connected {
            return Ok(());
        }
        if let Some(next) = self.pms.queue.front().filter(|_| self.house.alive()) {
            let frame = next.record.encode(Charset::Utf8);
            // Never the whole of it: that would be a delivery.
            self.house.bytes(&frame[..torn.min(frame.len() - 1)])?;
        }
        self.house.disconnect()?;
        self.settle()?;
        self.pms.drop_list();
        if self.pms.lose(lose) {
            self.miss();
        }
        if let Some(last) = self.last.clone().filter(|_| again) {
            self.pms.queue.push_front(last);
        }
        Ok(())
    }

    fn restart(&mut self, forget: bool) -> Result<(), String> {
        self.pms.drop_list();
        if forget && self.pms.lose(u8::MAX) {
            self.miss();
        }
        if self.house.connected {
            self.house
                .bytes(&Record::new("LS").with("DA", "260715").with("TI", "111500").encode(Charset::Utf8))?;
            self.settle()?;
        }
        Ok(())
    }

    /// One record reaches the gateway.
    fn deliver(&mut self, piece: usize) -> Result<(), String> {
        if !self.house.alive() {
            return Ok(());
        }
        self.pms.go_on_with_list();
        let Some(said) = self.pms.queue.pop_front() else { return Ok(()) };
        let before = matches!(said.effect, Effect::Done(_)).then(|| self.inside());
        for bytes in said.record.encode(Charset::Utf8).chunks(piece) {
            self.house.bytes(bytes)?;
        }
        self.tally.records += 1;
        self.read(&said.effect, before)?;
        let of_list = said.record.has("SF") || matches!(said.effect, Effect::Begin | Effect::Done(_));
        self.last = Some(said).filter(|_| !of_list);
        Ok(())
    }

    /// What the reference makes of a record.
    /// `before`: who was in the house when a list ended.
    fn read(&mut self, effect: &Effect, before: Option<Guests>) -> Result<(), String> {
        match effect {
            Effect::Done(guests) => {
                self.tally.lists += 1;
                // Nothing is lost within a list that comes to its end: a break would have cut it.
                let before = before.unwrap_or_default();
                let missing: Guests =
                    before.iter().filter(|(stay, _)| !guests.contains_key(*stay)).map(clone).collect();
                // More than half of ten and more do not leave in a list that nobody stands up for.
                self.doubted = !self.accepted && before.len() >= 10 && missing.len() * 2 > before.len();
                let mut told = guests.clone();
                if self.doubted {
                    self.tally.doubted += 1;
                    told.extend(missing);
                }
                self.told = Some(told);
                self.accepted = false;
                let alert = self.house.property.alerts().get("list_doubted:pms");
                if alert.is_some_and(|alert| alert.active) != self.doubted {
                    return Err(format!("a list of {} for {}: {alert:?}", guests.len(), before.len()));
                }
                return self.compare();
            }
            Effect::Audited(date) => {
                self.business = Some(*date);
                if self.house.property.business_date() != Some(*date) || self.house.property.night_audit() {
                    return Err(format!(
                        "the business date is {:?} after an audit to {date}",
                        self.house.property.business_date()
                    ));
                }
            }
            _ => {}
        }
        let Some(told) = &mut self.told else { return Ok(()) };
        match effect {
            Effect::In(stay, room, departure) => {
                told.insert(stay.clone(), (room.clone(), *departure));
            }
            Effect::Out(stay) => {
                told.remove(stay);
            }
            Effect::Empty(room) => told.retain(|_, (at, _)| at != room),
            Effect::None | Effect::Begin | Effect::Done(_) | Effect::Audited(_) => {}
        }
        self.compare()
    }

    /// The PMS answers what the gateway said, until both are silent.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            self.house.commit()?;
            let sent = std::mem::take(&mut self.house.sent);
            if sent.is_empty() {
                return Ok(());
            }
            if !self.house.connected {
                continue;
            }
            let mut records = Vec::new();
            let mut framer = Framer::new();
            for frame in sent {
                framer.push(&frame, |event| {
                    if let FrameEvent::Body(body) = event {
                        records.extend(Record::decode(&body, Charset::Utf8));
                    }
                });
            }
            for record in records {
                match record.id() {
                    // Both to our LA after the descriptions and to the idle check.
                    "LA" | "LS" => {
                        let answer = Record::new("LA").with("DA", "260715").with("TI", "101501");
                        self.house.bytes(&answer.encode(Charset::Utf8))?;
                    }
                    "DR" => self.pms.begin_list(),
                    _ => {}
                }
            }
        }
        Err("the gateway and the PMS never come to rest".to_owned())
    }

    fn wait(&mut self, time: SignedDuration) -> Result<(), String> {
        let until = self.house.now.checked_add(time).unwrap_or(self.house.now);
        let was = self.house.connected;
        for _ in 0..ROUNDS {
            self.settle()?;
            let Some(wake) = self.house.wake_at().filter(|wake| *wake <= until) else { break };
            self.house.wake(wake)?;
        }
        self.house.now = self.house.now.max(until);
        self.settle()?;
        if was && !self.house.connected {
            // A list in which nothing came for minutes: the gateway hung up.
            self.pms.drop_list();
        }
        Ok(())
    }

    /// The gateway gets everything and a list.
    fn agree(&mut self) -> Result<(), String> {
        self.connect()?;
        self.whole_list(false)?;
        if self.doubted {
            self.whole_list(true)?;
        }
        let told: Vec<_> = self.told.iter().flatten().collect();
        let truth: Vec<_> = self.pms.guests.iter().collect();
        if told != truth {
            return Err(format!("no list brought the truth: told {told:?}, true {truth:?}"));
        }
        self.compare()
    }

    /// Staff ask for the list, and it comes, and all else with it.
    fn whole_list(&mut self, accept: bool) -> Result<(), String> {
        self.house.ask_for_list(accept)?;
        self.accepted |= accept;
        self.settle()?;
        let lists = self.tally.lists;
        for _ in 0..ROUNDS {
            if self.tally.lists > lists && !self.pms.lists() && self.pms.queue.is_empty() {
                break;
            }
            self.deliver(64)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Who is in the house by its own picture.
    fn inside(&self) -> Guests {
        let stays = self.house.property.stays().values();
        stays
            .map(|stay| (stay.id.clone(), (stay.room.clone(), stay.departure.unwrap_or(Date::MIN))))
            .collect()
    }

    /// The house and the reference, wherever nothing is missing.
    fn compare(&mut self) -> Result<(), String> {
        let property = &self.house.property;
        let known = |stay: &engawa_model::StayId| self.pms.may_come.contains_key(stay);
        if let Some(phantom) = property.stays().keys().find(|stay| !known(stay)) {
            return Err(format!("{phantom} is nobody's reservation"));
        }
        if !self.lossy {
            let mut often = self.house.auditor.checked_in().iter();
            if let Some((stay, count)) = often.find(|(stay, count)| **count > self.pms.may_come[*stay]) {
                return Err(format!("{stay} was checked in {count} times"));
            }
        }
        if let Some(date) = self.business
            && property.business_date() != Some(date)
        {
            return Err(format!("the business date is {:?}, not {date}", property.business_date()));
        }
        let Some(told) = &self.told else { return Ok(()) };
        self.tally.compared += 1;
        let house = self.inside();
        if house != *told {
            return Err(format!("the house has {house:?}, the PMS {told:?}"));
        }
        for room in ROOMS {
            let room = room.into();
            let sharers = told.values().filter(|(at, _)| *at == room).count();
            if property.stays_in(&room).count() != sharers {
                return Err(format!("room {room} has {sharers} sharers"));
            }
        }
        Ok(())
    }
}
