//! The front desk: arrivals, moves, departures, night audit, and the list of the house.

use super::{Out, Pms, Present, stamped, with_clock};
use crate::fias::Record;
use crate::plan::{Guest, What};
use crate::played::Happened;
use jiff::civil::DateTime;

impl Pms {
    /// Plays one event of the day. What is not the PMS's is nothing.
    pub(crate) fn play(&mut self, now: DateTime, what: &What) -> Vec<Out> {
        match what {
            What::CheckIn { guest, room } => self.check_in(now, guest, room),
            What::Move { stay, from, to } => self.move_guest(now, stay, from, to),
            What::CheckOut { stay, room } => self.check_out(now, stay, room),
            What::Audit { begins } => {
                self.audit = *begins;
                let (id, phase) = if *begins { ("NS", "begun") } else { ("NE", "done") };
                self.told(Happened::NightAudit { phase }, stamped(id, now))
            }
            What::Charge(_) | What::Wall { .. } | What::Window { .. } | What::Presence { .. } => vec![],
        }
    }

    fn guests_in(&self, room: &str) -> usize {
        self.house.values().filter(|present| present.room == room).count()
    }

    fn share(&self, room: &str) -> &'static str {
        if self.guests_in(room) > 0 { "Y" } else { "N" }
    }

    /// The log's line, and the record if the interface wants it.
    fn told(&self, happened: Happened, record: Record) -> Vec<Out> {
        [Some(Out::Log(happened)), self.send(record)].into_iter().flatten().collect()
    }

    fn check_in(&mut self, now: DateTime, guest: &Guest, room: &str) -> Vec<Out> {
        // GS: N for the first guest of a room, Y for each further one.
        let record = with_clock(with_guest(Record::new("GI"), guest, room, self.share(room)), now);
        self.house.insert(guest.stay.clone(), Present { guest: guest.clone(), room: room.to_owned() });
        self.told(
            Happened::CheckedIn {
                stay: guest.stay.clone(),
                room: room.to_owned(),
                name: guest.name.to_owned(),
                first_name: guest.first_name.to_owned(),
            },
            record,
        )
    }

    fn move_guest(&mut self, now: DateTime, stay: &str, from: &str, to: &str) -> Vec<Out> {
        let share = self.share(to);
        let Some(present) = self.house.get_mut(stay) else { return vec![] };
        to.clone_into(&mut present.room);
        // The GS after RN is the new room's, the one after RO the old room's.
        let record = with_guest(Record::new("GC"), &present.guest, to, share);
        let record = record.with("RO", from).with("GS", self.share(from));
        let (stay, from, to) = (stay.to_owned(), from.to_owned(), to.to_owned());
        self.told(Happened::Moved { stay, from, to }, with_clock(record, now))
    }

    fn check_out(&mut self, now: DateTime, stay: &str, room: &str) -> Vec<Out> {
        if self.house.remove(stay).is_none() {
            return vec![];
        }
        let record = Record::new("GO").with("RN", room).with("G#", stay).with("GS", self.share(room));
        let (stay, room) = (stay.to_owned(), room.to_owned());
        self.told(Happened::CheckedOut { stay, room }, with_clock(record, now))
    }

    /// The list of the house: DS, a GI for each guest, a GO for each vacant room, DE; all with SF.
    pub(super) fn list(&self, now: DateTime) -> Vec<Out> {
        let mut records = Vec::new();
        for room in &self.rooms {
            let inside = self.house.values().filter(|present| present.room == *room);
            let guests: Vec<Record> = inside
                .enumerate()
                .map(|(index, present)| {
                    let share = if index == 0 { "N" } else { "Y" };
                    with_guest(Record::new("GI"), &present.guest, room, share).with("SF", "")
                })
                .collect();
            if guests.is_empty() {
                records.push(Record::new("GO").with("RN", room).with("GS", "N").with("SF", ""));
            }
            records.extend(guests);
        }
        let listed = self.house.len();
        std::iter::once(Out::Send(stamped("DS", now)))
            .chain(records.into_iter().filter_map(|record| self.send(record)))
            .chain([Out::Send(stamped("DE", now)), Out::Log(Happened::Resync { listed }), Out::Listed])
            .collect()
    }

    /// RE with RS from the interface: housekeeping, or the sign on the door. It has no answer.
    pub(super) fn room_status(record: &Record) -> Vec<Out> {
        let (Some(room), Some(status)) = (record.get("RN"), record.get("RS")) else { return vec![] };
        vec![Out::Log(Happened::RoomStatus { room: room.to_owned(), status: status.to_owned() })]
    }
}

fn with_guest(record: Record, guest: &Guest, room: &str, share: &str) -> Record {
    record
        .with("RN", room)
        .with("GS", share)
        .with("G#", &guest.stay)
        .with("GN", guest.name)
        .with("GF", guest.first_name)
        .with("GT", guest.title)
        .with("GL", guest.language)
        .with("NP", if guest.no_post { "Y" } else { "N" })
}
