//! Wake-up calls: asked by the PMS, staff or a guest, kept over restarts, rung by the clocks of the property.
//!
//! A call is a time on the wall, not an instant. In the night when clocks go forward a time that does not exist rings at
//! the moment when the clock jumps; in the night when they go back a time that comes twice rings the first time. The
//! clock of the PMS is never looked at: only the time that it wants (FIAS 2.20, records WR, WC and WA).
//!
//! Nothing ends in silence: a call that no device can ring, that nobody answers, that came too late or can't be read is
//! an alert for staff, who go and knock.

mod book;
#[cfg(test)]
mod tests;
mod wall;

use super::{Applied, Entity, Property};
use crate::alert_text::{self, filled};
use crate::ids::LinkId;
use crate::{Action, AlertKind, Change, DateTime, Intent, RoomId, StayId, Timestamp, WakeId};
pub(super) use book::Wakes;
pub use book::{WakeCall, WakeRooms, WakeSpec, WakeState, WakeWord};
use jiff::SignedDuration;

/// A call that could not be rung at its time still rings this much later: the gateway was starting, the PMS's queue was
/// slow. After that the guest is not woken any more by a bell; staff are asked.
const GRACE: SignedDuration = SignedDuration::from_mins(15);
/// How long an ended call is remembered, so that a repeated record does not ring again.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// A guest who is checked out and in again within this time has moved: some systems have no other word for it.
const RETURNS: SignedDuration = SignedDuration::from_mins(10);
/// Open calls of one room. Past it a call is refused, and staff are told.
const MOST_IN_ROOM: usize = 32;
/// Calls that are remembered in the whole house; past it ended ones go early, and new ones are refused.
const MOST: usize = 50_000;

impl Property {
    /// How the house rings. Before it is told no room has a device that does, and staff are asked to wake.
    pub fn ring_with(&mut self, spec: WakeSpec) {
        self.wakes.spec = spec;
    }

    /// The wake-up calls: those to come, those that ring, and those that ended within a day.
    pub fn wake_ups(&self) -> impl Iterator<Item = &WakeCall> {
        self.wakes.calls()
    }

    /// What rings in `room` now, the oldest call first.
    pub fn ringing(&self, room: &RoomId) -> Option<&WakeCall> {
        self.wakes.calls().find(|call| call.room == *room && call.state == WakeState::Ringing)
    }

    /// True where a device of `room` rings by itself.
    pub fn rings_in(&self, room: &RoomId) -> bool {
        self.wakes.spec.rooms.has(room)
    }

    /// When a call for `at` rings.
    pub fn wake_instant(&self, at: DateTime) -> Option<Timestamp> {
        self.wakes.instant(at)
    }

    pub(super) fn wake_ups_wake(&self) -> Option<Timestamp> {
        self.wakes.next()
    }

    pub(super) fn wake_up_asked(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        local: Option<DateTime>,
        time: Option<&str>,
        out: &mut Applied,
    ) {
        if !self.rooms.contains_key(room) {
            // Another gateway's, or another system's: nothing here could ever end an alert of it.
            self.count("unknown-room");
            return;
        }
        let Some(local) = local else {
            self.count("wake-up-without-time");
            self.raise(at, AlertKind::WakeUp, &asked_for(room), alert_text::WAKE_WITHOUT_TIME, out);
            return;
        };
        if let Err(reason) = self.ask_for(at, room, local, None, time, out) {
            let text = filled(alert_text::WAKE_NOT_KEPT, &[&shown(local), &reason]);
            self.raise(at, AlertKind::WakeUp, &asked_for(room), &text, out);
        }
    }

    /// Enters a call. `time` is there where the PMS asked. Asking twice does once.
    fn ask_for(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        local: DateTime,
        stay: Option<&StayId>,
        time: Option<&str>,
        out: &mut Applied,
    ) -> Result<(), String> {
        let Some(due) = self.wakes.instant(local) else { return Err("there is no such time".to_owned()) };
        if let Some(same) = self.wakes.at(room, local) {
            let (id, state) = (same.id, same.state);
            // The PMS knows by itself what it cleared and asks for again; whatever else has ended is a repeated record.
            if state == WakeState::Cleared {
                self.wakes.change(id, |call| {
                    (call.state, call.rings, call.next) = (WakeState::Waiting, 0, None);
                    call.time = time.map(str::to_owned).or(call.time.take());
                });
                self.wakes.schedule(id, due);
                self.tell_change(id, out);
            } else {
                self.count("wake-up-repeated");
            }
            return Ok(());
        }
        if self.wakes.open_in(room) >= MOST_IN_ROOM || !self.make_room(out) {
            return Err(format!("{MOST_IN_ROOM} calls of the room or {MOST} of the house wait already"));
        }
        let living: Vec<StayId> = self.stays_in(room).map(|stay| stay.id.clone()).collect();
        let alone = living.first().filter(|_| living.len() == 1).cloned();
        self.meta.last_wake += 1;
        out.touched.insert(Entity::Meta);
        let id = WakeId(self.meta.last_wake);
        self.wakes.enter(
            WakeCall {
                id,
                room: room.clone(),
                // Several guests and no word whose call it is: it is the room's.
                stay: stay.cloned().or(alone),
                at: local,
                time: time.map(str::to_owned),
                from_pms: time.is_some(),
                asked: at,
                state: WakeState::Waiting,
                rings: 0,
                next: None,
                untold: None,
            },
            due,
        );
        self.tell_change(id, out);
        if time.is_none() {
            self.tell_wake_up(id, WakeWord::Asked, out);
        }
        Ok(())
    }

    /// Makes room for one more call; false where all wait.
    fn make_room(&mut self, out: &mut Applied) -> bool {
        if self.wakes.len() < MOST {
            return true;
        }
        let oldest = self.wakes.calls().find(|call| !call.state.is_open()).map(|call| call.id);
        if let Some(id) = oldest {
            self.wakes.forget(id);
            out.touched.insert(Entity::WakeUp(id));
        }
        oldest.is_some()
    }

    pub(super) fn wake_up_cleared(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        local: Option<DateTime>,
        out: &mut Applied,
    ) {
        let ids = self.wakes.open(room, local);
        if ids.is_empty() {
            self.count("wake-up-cleared-unknown");
        }
        if local.is_none() {
            self.clear(AlertKind::WakeUp, &asked_for(room), out);
        }
        for id in ids {
            self.end_wake_up(at, id, WakeState::Cleared, out);
        }
    }

    pub(super) fn wake_up_command(
        &mut self,
        at: Timestamp,
        action: &Action,
        out: &mut Applied,
    ) -> Result<(), String> {
        match action {
            Action::WakeUp { room, at: local, stay } => {
                self.known_room(room)?;
                if let Some(stay) = stay
                    && self.stays.get(stay).is_none_or(|known| known.room != *room)
                {
                    return Err(format!("reservation {stay} is not in room {room}"));
                }
                let due = self.wakes.instant(*local).ok_or_else(|| "there is no such time".to_owned())?;
                if due <= at {
                    return Err(format!("{} is over in the property's zone", shown(*local)));
                }
                self.ask_for(at, room, *local, stay.as_ref(), None, out)
            }
            Action::CancelWakeUp { room, at: local } => {
                self.known_room(room)?;
                let ids = self.wakes.open(room, *local);
                if ids.is_empty() {
                    return Err(format!("there is no such wake-up call in room {room}"));
                }
                for id in ids {
                    self.end_wake_up(at, id, WakeState::Cleared, out);
                    self.tell_wake_up(id, WakeWord::Cleared, out);
                }
                Ok(())
            }
            Action::WakeAnswered { room, id } => {
                self.known_room(room)?;
                let ringing: Vec<WakeId> = self
                    .wakes
                    .calls()
                    .filter(|call| call.room == *room && call.state == WakeState::Ringing)
                    .filter(|call| id.is_none_or(|id| id == call.id))
                    .map(|call| call.id)
                    .collect();
                let alarmed = [place(room), asked_for(room)].iter().any(|source| {
                    let name = super::alerts::alert_name(AlertKind::WakeUp, source);
                    self.alerts.get(&name).is_some_and(|alert| alert.active)
                });
                if ringing.is_empty() && !alarmed {
                    return Err(format!("no wake-up call rings in room {room}"));
                }
                for id in ringing {
                    self.end_wake_up(at, id, WakeState::Answered, out);
                    self.tell_wake_up(id, WakeWord::Answered, out);
                }
                self.clear(AlertKind::WakeUp, &place(room), out);
                self.clear(AlertKind::WakeUp, &asked_for(room), out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Rings what is due, gives up what nobody answers, forgets what ended a day ago.
    pub(super) fn tend_wake_ups(&mut self, at: Timestamp, out: &mut Applied) {
        while let Some(id) = self.wakes.due(at) {
            let Some(call) = self.wakes.get(id) else { continue };
            match call.state {
                WakeState::Waiting => {
                    let late = self.wakes.instant(call.at).is_none_or(|due| at.duration_since(due) > GRACE);
                    if late {
                        self.miss(at, id, out);
                    } else {
                        self.ring(at, id, out);
                    }
                }
                WakeState::Ringing if call.rings < self.wakes.spec.rings => self.ring(at, id, out),
                WakeState::Ringing => {
                    let text = filled(alert_text::WAKE_UNANSWERED, &[&shown(call.at)]);
                    let room = call.room.clone();
                    self.end_wake_up(at, id, WakeState::Unanswered, out);
                    self.raise(at, AlertKind::WakeUp, &place(&room), &text, out);
                    self.tell_wake_up(id, WakeWord::Unanswered, out);
                }
                _ => {
                    if self
                        .wakes
                        .get(id)
                        .is_some_and(|call| call.untold.is_some_and(|word| word != WakeWord::Asked))
                    {
                        self.count("wake-up-untold");
                    }
                    self.wakes.forget(id);
                    out.touched.insert(Entity::WakeUp(id));
                }
            }
        }
    }

    fn ring(&mut self, at: Timestamp, id: WakeId, out: &mut Applied) {
        let every = SignedDuration::from_secs(i64::from(self.wakes.spec.every_s));
        let next = at.checked_add(every).unwrap_or(Timestamp::MAX);
        self.wakes.change(id, |call| {
            call.state = WakeState::Ringing;
            call.rings = call.rings.saturating_add(1);
            call.next = Some(next);
        });
        self.wakes.schedule(id, next);
        self.tell_change(id, out);
        let Some(call) = self.wakes.get(id) else { return };
        if self.rings_in(&call.room) {
            out.intents.extend(self.wake(id));
        } else if call.rings == 1 {
            self.wake_by_hand(at, id, out);
        }
    }

    fn wake_by_hand(&mut self, at: Timestamp, id: WakeId, out: &mut Applied) {
        let Some(call) = self.wakes.get(id) else { return };
        let text = filled(alert_text::WAKE_BY_HAND, &[&shown(call.at)]);
        let room = call.room.clone();
        self.raise(at, AlertKind::WakeUp, &place(&room), &text, out);
    }

    fn wake(&self, id: WakeId) -> Option<Intent> {
        let call = self.wakes.get(id)?;
        Some(Intent::Wake {
            id,
            room: call.room.clone(),
            at: call.at,
            language: self.wake_language(call),
            ring: call.rings,
        })
    }

    /// The language of whose call it is; of the one who is longest in the room where that is not known.
    pub fn wake_language(&self, call: &WakeCall) -> Option<String> {
        let own = call.stay.as_ref().and_then(|stay| self.stays.get(stay));
        let guest = own.or_else(|| self.stays_in(&call.room).min_by_key(|stay| (stay.since, &stay.id)));
        guest.and_then(|guest| self.language_of(guest)).map(str::to_owned)
    }

    fn miss(&mut self, at: Timestamp, id: WakeId, out: &mut Applied) {
        let Some(call) = self.wakes.get(id) else { return };
        let text = filled(alert_text::WAKE_MISSED, &[&shown(call.at)]);
        let room = call.room.clone();
        self.end_wake_up(at, id, WakeState::Missed, out);
        self.raise(at, AlertKind::WakeUp, &asked_for(&room), &text, out);
        self.tell_wake_up(id, WakeWord::Missed, out);
    }

    /// The call is over; it is remembered for a day.
    fn end_wake_up(&mut self, at: Timestamp, id: WakeId, state: WakeState, out: &mut Applied) {
        let Some(call) = self.wakes.get(id) else { return };
        let (room, rang) = (call.room.clone(), call.state == WakeState::Ringing);
        self.wakes.change(id, |call| {
            call.state = state;
            call.next = Some(at);
        });
        let due = self.wakes.get(id).and_then(|call| self.wakes.instant(call.at)).unwrap_or(at);
        self.wakes.schedule(id, due.max(at).checked_add(REMEMBERED).unwrap_or(Timestamp::MAX));
        self.tell_change(id, out);
        if rang {
            if self.rings_in(&room) {
                out.intents.push(Intent::EndWake { id, room: room.clone() });
            }
            if self.ringing(&room).is_none() {
                self.clear(AlertKind::WakeUp, &place(&room), out);
            }
        }
    }

    fn tell_change(&self, id: WakeId, out: &mut Applied) {
        let Some(call) = self.wakes.get(id) else { return };
        out.touched.insert(Entity::WakeUp(id));
        out.changes.push(Change::WakeUp {
            id,
            room: call.room.clone(),
            stay: call.stay.clone(),
            at: call.at,
            state: call.state,
            rings: call.rings,
        });
    }

    /// The PMS owes itself a word; a house without a PMS has nobody to tell.
    fn tell_wake_up(&mut self, id: WakeId, word: WakeWord, out: &mut Applied) {
        let served = |room: &RoomId| self.links.contains_key(self.pms.of_room(room));
        if !self.wakes.get(id).is_some_and(|call| served(&call.room)) {
            return;
        }
        self.wakes.change(id, |call| {
            // A call that the PMS was never told of ends without a word to it.
            let unknown = call.untold == Some(WakeWord::Asked) && word != WakeWord::Asked;
            call.untold = (!unknown).then_some(word);
        });
        out.touched.insert(Entity::WakeUp(id));
        out.intents.extend(self.word(id));
    }

    /// What is to be told of a call, while the PMS can hear it.
    fn word(&self, id: WakeId) -> Option<Intent> {
        let call = self.wakes.get(id)?;
        // A call that has ended before the PMS heard of it is none to it; it is told where the guest comes back in time.
        let news = |word: &WakeWord| *word != WakeWord::Asked || call.state.is_open();
        let word = call.untold.filter(news).filter(|_| self.takes_records(self.pms.of_room(&call.room)))?;
        Some(Intent::TellWakeUp { id, room: call.room.clone(), at: call.at, time: call.time.clone(), word })
    }

    /// The PMS can hear again: what waited goes out, the oldest first.
    pub(super) fn tell_waiting_wake_ups(&self, link: &LinkId, out: &mut Applied) {
        out.intents.extend(
            self.wakes
                .ids()
                .filter(|id| self.wakes.get(*id).is_some_and(|call| self.pms.of_room(&call.room) == link))
                .filter_map(|id| self.word(id)),
        );
    }

    pub(super) fn wake_up_told(&mut self, id: WakeId, word: WakeWord, out: &mut Applied) {
        if self.wakes.get(id).is_some_and(|call| call.untold == Some(word)) {
            self.wakes.change(id, |call| call.untold = None);
            out.touched.insert(Entity::WakeUp(id));
        }
    }

    /// Whoever rings may have missed it while the gateway was down.
    pub(super) fn wake_ups_restarted(&self, out: &mut Applied) {
        let ringing = self.wakes.calls().filter(|call| call.state == WakeState::Ringing);
        let ringing = ringing.filter(|call| self.rings_in(&call.room));
        out.intents.extend(ringing.filter_map(|call| self.wake(call.id)));
    }

    /// A guest has moved: the guest's calls go along, and those of the room where it is empty now.
    pub(super) fn wake_ups_move(
        &mut self,
        at: Timestamp,
        stay: &StayId,
        from: &RoomId,
        to: &RoomId,
        vacant: bool,
        out: &mut Applied,
    ) {
        for id in self.wakes.open(from, None) {
            let Some(call) = self.wakes.get(id) else { continue };
            let goes = call.stay.as_ref().map_or(vacant, |whose| whose == stay);
            if !goes {
                continue;
            }
            let rang = call.state == WakeState::Ringing;
            if rang && self.rings_in(from) {
                out.intents.push(Intent::EndWake { id, room: from.clone() });
            }
            self.wakes.change(id, |call| {
                call.room = to.clone();
                // The room's call was this guest's, who was the last one in it.
                call.stay.get_or_insert_with(|| stay.clone());
            });
            self.tell_change(id, out);
            if rang && self.rings_in(to) {
                out.intents.extend(self.wake(id));
            } else if rang {
                self.wake_by_hand(at, id, out);
            }
        }
    }

    /// A guest has left: the guest's calls end, and those of the room where it is empty now.
    pub(super) fn wake_ups_end(
        &mut self,
        at: Timestamp,
        stay: &StayId,
        room: &RoomId,
        vacant: bool,
        out: &mut Applied,
    ) {
        for id in self.wakes.open(room, None) {
            let whose = self.wakes.get(id).and_then(|call| call.stay.clone());
            if whose.as_ref().map_or(vacant, |whose| whose == stay) {
                self.wakes.change(id, |call| {
                    call.stay.get_or_insert_with(|| stay.clone());
                });
                self.end_wake_up(at, id, WakeState::GuestLeft, out);
            }
        }
        if vacant {
            self.clear(AlertKind::WakeUp, &place(room), out);
            self.clear(AlertKind::WakeUp, &asked_for(room), out);
        }
    }

    /// Who was checked out a moment ago and is in again has moved, or the check-out was a mistake: the calls go on.
    pub(super) fn wake_ups_return(&mut self, at: Timestamp, stay: &StayId, room: &RoomId, out: &mut Applied) {
        let back: Vec<(WakeId, DateTime)> = self
            .wakes
            .calls()
            .filter(|call| call.state == WakeState::GuestLeft && call.stay.as_ref() == Some(stay))
            .filter(|call| call.next.is_some_and(|left| at.duration_since(left) <= RETURNS))
            .map(|call| (call.id, call.at))
            .collect();
        for (id, local) in back {
            let Some(due) = self.wakes.instant(local).filter(|due| at.duration_since(*due) <= GRACE) else {
                continue;
            };
            self.wakes.change(id, |call| {
                call.state = WakeState::Waiting;
                call.room = room.clone();
                call.next = None;
                call.rings = 0;
            });
            self.wakes.schedule(id, due);
            self.tell_change(id, out);
            out.intents.extend(self.word(id));
        }
    }
}

/// What an alert is filed under.
fn place(room: &RoomId) -> String {
    format!("room {room}")
}

/// The source of an alert of a call that was asked for and can't be kept. Its own, so that another call of the room
/// neither takes its text nor ends it.
fn asked_for(room: &RoomId) -> String {
    format!("room {room}, as asked for")
}

/// A time on the wall, for people.
fn shown(at: DateTime) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}
