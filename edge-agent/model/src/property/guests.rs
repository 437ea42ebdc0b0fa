//! Who is where: check-in, change, move, share, check-out.
//!
//! Occupancy is counted per room from the reservation numbers. The PMS's share flag (GS) is not used: the
//! specification is not uniform on it, and sites differ.

use super::{Applied, Entity, Property};
use crate::{Change, GuestRecord, Personal, RoomFlags, RoomId, Stay, StayEnd, StayId, Timestamp};

impl Property {
    pub(super) fn guest_seen(
        &mut self,
        at: Timestamp,
        id: &StayId,
        room: &RoomId,
        guest: &GuestRecord,
        flags: &RoomFlags,
        out: &mut Applied,
    ) {
        if !self.rooms.contains_key(room) {
            self.count("unknown-room");
            return;
        }
        if let Some(resync) = self.resyncs.get_mut(self.pms.of_room(room)) {
            resync.seen.insert(id.clone());
        }
        match self.stays.get(id).map(|stay| stay.room.clone()) {
            None => self.check_in(at, id, room, guest, out),
            Some(known) => {
                if known != *room {
                    self.move_guest(at, id, &known, room, out);
                }
                self.change_stay(id, guest, out);
            }
        }
        self.room_flagged(room, flags, out);
    }

    fn check_in(
        &mut self,
        at: Timestamp,
        id: &StayId,
        room: &RoomId,
        guest: &GuestRecord,
        out: &mut Applied,
    ) {
        let first = self.stays_in(room).next().is_none();
        let stay = Stay {
            id: id.clone(),
            room: room.clone(),
            name: guest.name.clone(),
            first_name: guest.first_name.clone(),
            title: guest.title.clone(),
            language: guest.language.clone(),
            arrival: guest.arrival,
            departure: guest.departure,
            vip: guest.vip.clone(),
            phone: guest.phone.clone(),
            email: guest.email.clone(),
            erased: false,
            group: guest.group.clone(),
            no_post: guest.no_post,
            comfort: None,
            since: at,
        };
        out.changes.push(Change::CheckedIn {
            stay: id.clone(),
            room: room.clone(),
            language: stay.language.clone(),
            arrival: stay.arrival,
            departure: stay.departure,
        });
        self.stays.insert(id.clone(), stay);
        out.touched.insert(Entity::Stay(id.clone()));
        self.guests_changed(at, room, first, out);
        if first {
            self.comfort(at, room, "check-in", out);
        }
        self.wake_ups_return(at, id, room, out);
    }

    fn move_guest(&mut self, at: Timestamp, id: &StayId, from: &RoomId, to: &RoomId, out: &mut Applied) {
        let first = self.stays_in(to).next().is_none();
        if let Some(stay) = self.stays.get_mut(id) {
            stay.room = to.clone();
        }
        out.touched.insert(Entity::Stay(id.clone()));
        out.changes.push(Change::Moved { stay: id.clone(), from: from.clone(), to: to.clone() });
        self.guests_changed(at, to, first, out);
        if first {
            self.comfort(at, to, "move", out);
        }
        let vacant = self.stays_in(from).next().is_none();
        self.guests_changed(at, from, vacant, out);
        if vacant {
            self.vacated(at, from, "move", out);
        }
        self.wake_ups_move(at, id, from, to, vacant, out);
    }

    fn change_stay(&mut self, id: &StayId, guest: &GuestRecord, out: &mut Applied) {
        let Some(stay) = self.stays.get_mut(id) else { return };
        let before = stay.clone();
        if !stay.erased {
            update(&mut stay.name, guest.name.as_ref());
            update(&mut stay.first_name, guest.first_name.as_ref());
            update(&mut stay.title, guest.title.as_ref());
            update(&mut stay.phone, guest.phone.as_ref());
            update(&mut stay.email, guest.email.as_ref());
        }
        update(&mut stay.language, guest.language.as_ref());
        update(&mut stay.vip, guest.vip.as_ref());
        update(&mut stay.group, guest.group.as_ref());
        stay.no_post = guest.no_post.or(stay.no_post);
        stay.arrival = guest.arrival.or(stay.arrival);
        stay.departure = guest.departure.or(stay.departure);
        if *stay != before {
            out.touched.insert(Entity::Stay(id.clone()));
            // What was erased in the cloud is not told to it anew.
            let told = !stay.erased;
            out.changes.push(Change::StayChanged {
                stay: id.clone(),
                room: stay.room.clone(),
                language: stay.language.clone().filter(|_| told),
                arrival: stay.arrival.filter(|_| told),
                departure: stay.departure.filter(|_| told),
            });
        }
    }

    pub(super) fn guest_gone(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        stay: Option<&StayId>,
        listed: bool,
        out: &mut Applied,
    ) {
        if !self.rooms.contains_key(room) {
            self.count("unknown-room");
            return;
        }
        let inhabitants: Vec<StayId> = self.stays_in(room).map(|stay| stay.id.clone()).collect();
        let leaving: Vec<StayId> = match stay {
            None => inhabitants,
            Some(stay) if inhabitants.contains(stay) => vec![stay.clone()],
            Some(stay) if self.stays.contains_key(stay) => {
                // Either the first half of a move that has already been told, or a move that was missed.
                self.count("gone-from-another-room");
                if !listed {
                    let link = self.pms.of_room(room).clone();
                    self.owe(&link, super::Owed::Contradiction, out);
                }
                return;
            }
            Some(_) => {
                self.count("gone-unknown-stay");
                return;
            }
        };
        let resync = self.resyncs.get_mut(self.pms.of_room(room));
        let within_list = resync.is_some();
        if let Some(resync) = resync {
            for stay in &leaving {
                resync.seen.remove(stay);
            }
        }
        if listed {
            // Within a list absence is only proven by its end, and a list without an envelope has no end.
            if !within_list {
                self.count("listed-vacancy-without-envelope");
            }
            return;
        }
        let reason = if stay.is_some() { StayEnd::CheckedOut } else { StayEnd::RoomVacated };
        for stay in leaving {
            self.check_out(at, &stay, reason, out);
        }
    }

    pub(super) fn check_out(&mut self, at: Timestamp, id: &StayId, reason: StayEnd, out: &mut Applied) {
        let Some(stay) = self.stays.remove(id) else { return };
        let language = self.language_of(&stay).map(str::to_owned);
        self.desk_left(at, id, &stay.room, out);
        self.forget_preferences(id, out);
        out.touched.insert(Entity::Stay(id.clone()));
        out.changes.push(Change::CheckedOut { stay: id.clone(), room: stay.room.clone(), reason });
        let vacant = self.stays_in(&stay.room).next().is_none();
        self.guests_changed(at, &stay.room, vacant, out);
        if vacant {
            self.vacated(at, &stay.room, "check-out", out);
            if reason != StayEnd::MissingInList {
                self.say_goodbye(&stay, language, out);
            }
        }
        self.wake_ups_end(at, id, &stay.room, vacant, out);
    }

    fn vacated(&mut self, at: Timestamp, room: &RoomId, reason: &str, out: &mut Applied) {
        self.eco(at, room, reason, out);
        if let Some(state) = self.rooms.get_mut(room)
            && state.flags != RoomFlags::default()
        {
            let off = |flag: Option<bool>| flag.filter(|on| *on).map(|_| false);
            let flags = RoomFlags {
                do_not_disturb: off(state.flags.do_not_disturb),
                message_light: off(state.flags.message_light),
                ..RoomFlags::default()
            };
            state.flags = RoomFlags::default();
            if flags != RoomFlags::default() {
                out.changes.push(Change::RoomFlagged { room: room.clone(), flags });
            }
            out.touched.insert(Entity::Room(room.clone()));
        }
    }

    pub(super) fn room_flagged(&mut self, room: &RoomId, flags: &RoomFlags, out: &mut Applied) {
        let Some(state) = self.rooms.get_mut(room) else {
            self.count("unknown-room");
            return;
        };
        let changed = RoomFlags {
            do_not_disturb: news(flags.do_not_disturb.as_ref(), state.flags.do_not_disturb.as_ref()),
            message_light: news(flags.message_light.as_ref(), state.flags.message_light.as_ref()),
            class_of_service: news(flags.class_of_service.as_ref(), state.flags.class_of_service.as_ref()),
            minibar_right: news(flags.minibar_right.as_ref(), state.flags.minibar_right.as_ref()),
            tv_right: news(flags.tv_right.as_ref(), state.flags.tv_right.as_ref()),
            video_right: news(flags.video_right.as_ref(), state.flags.video_right.as_ref()),
        };
        if changed == RoomFlags::default() {
            return;
        }
        let into = &mut state.flags;
        into.do_not_disturb = changed.do_not_disturb.or(into.do_not_disturb);
        into.message_light = changed.message_light.or(into.message_light);
        update(&mut into.class_of_service, changed.class_of_service.as_ref());
        update(&mut into.minibar_right, changed.minibar_right.as_ref());
        update(&mut into.tv_right, changed.tv_right.as_ref());
        update(&mut into.video_right, changed.video_right.as_ref());
        out.touched.insert(Entity::Room(room.clone()));
        out.changes.push(Change::RoomFlagged { room: room.clone(), flags: changed });
    }
}

fn update<T: Clone>(field: &mut Option<T>, new: Option<&T>) {
    if let Some(new) = new {
        *field = Some(new.clone());
    }
}

fn news<T: Clone + PartialEq>(new: Option<&T>, old: Option<&T>) -> Option<T> {
    new.filter(|new| Some(*new) != old).cloned()
}

/// A guest's name is personal: this only compiles while the fields are wrapped.
const _: fn(&Stay) -> &Option<Personal<String>> = |stay| &stay.name;
