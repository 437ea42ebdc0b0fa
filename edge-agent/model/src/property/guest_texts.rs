//! When guests are told something: they come or leave, a wake-up call is noted or taken back, a message waits, or what was
//! asked for from the room can't be done.

use super::{Applied, Property, WakeState};
use crate::{
    Action, Change, CommandKey, CommandOutcome, CommandSource, DeskEvent, GuestError, GuestText, Intent,
    RoomId, Stay, Timestamp, ToldGuest,
};

impl Property {
    /// Guests are told things, in the name of the hotel. Without this nothing is said to them.
    pub fn welcome_to(&mut self, hotel: &str) {
        self.hotel = Some(hotel.to_owned());
    }

    /// The hotel's name as guests know it, where they are told things.
    pub fn hotel(&self) -> Option<&str> {
        self.hotel.as_deref()
    }

    /// The language of a room's guests (BCP 47): of the one who is longest in it.
    pub fn language_in(&self, room: &RoomId) -> Option<&str> {
        let longest =
            self.stays.values().filter(|stay| stay.room == *room).min_by_key(|stay| (stay.since, &stay.id));
        longest.and_then(|stay| self.language_of(stay))
    }

    /// The last guest of a room, who spoke `language`, has left. Who is merely missing in a list left some time ago.
    pub(super) fn say_goodbye(&self, stay: &Stay, language: Option<String>, out: &mut Applied) {
        self.say(&stay.room, language, GuestText::Goodbye, out);
    }

    /// Tells guests of what one observation has changed.
    pub(super) fn tell_guests(&self, at: Timestamp, out: &mut Applied) {
        if self.hotel.is_none() || !self.settings.in_force.guest_texts {
            return;
        }
        let mut told = Applied::default();
        for change in &out.changes {
            match change {
                // Who is in a list came some time ago; the room's retained text welcomes them.
                Change::CheckedIn { room, language, .. } if !self.resyncs.contains_key(self.pms_of(room)) => {
                    self.say(room, language.clone(), GuestText::Welcome, &mut told);
                }
                Change::WakeUp { id, room, at, state, .. } => {
                    let text = match state {
                        WakeState::Waiting => GuestText::WakeUpSet { at: *at },
                        WakeState::Cleared => GuestText::WakeUpCleared { at: *at },
                        _ => continue,
                    };
                    let language = self.wakes.get(*id).and_then(|call| self.wake_language(call));
                    self.say(room, language, text, &mut told);
                }
                Change::Desk { what: DeskEvent::MessageLeft { stay, .. } } => {
                    if let Some(stay) = self.stays.get(stay) {
                        let language = self.language_of(stay).map(str::to_owned);
                        self.say(&stay.room, language, GuestText::Message, &mut told);
                    }
                }
                Change::CommandEnded { key, outcome } => self.excuse(at, key, outcome, &mut told),
                _ => {}
            }
        }
        out.intents.append(&mut told.intents);
    }

    /// Says that what was asked for from a room can't be done. Rooms ask over MQTT, and for these things alone.
    fn excuse(&self, at: Timestamp, key: &CommandKey, outcome: &CommandOutcome, out: &mut Applied) {
        let Some(record) = self.commands.get(key) else { return };
        if record.command.source != CommandSource::Mqtt {
            return;
        }
        let (room, over) = match &record.command.action {
            Action::WakeUp { room, at: local, .. } => {
                (room, self.wake_instant(*local).is_some_and(|due| due <= at))
            }
            Action::CancelWakeUp { room, .. }
            | Action::Service { room, .. }
            | Action::ReadMessages { room, .. }
            | Action::MessageRead { room, .. }
            | Action::AskBill { room, .. }
            | Action::RemoteCheckOut { room, .. } => (room, false),
            _ => return,
        };
        let pms_away = !matches!(record.command.action, Action::WakeUp { .. } | Action::CancelWakeUp { .. })
            && !self.is_alive(self.pms_of(room));
        let why = match outcome {
            CommandOutcome::Done | CommandOutcome::Superseded => return,
            CommandOutcome::Refused { .. } if over => GuestError::Time,
            CommandOutcome::Refused { .. } if pms_away => GuestError::Later,
            CommandOutcome::Expired => GuestError::Later,
            CommandOutcome::Refused { .. } | CommandOutcome::Doubtful { .. } => GuestError::Refused,
        };
        let language = self.language_in(room).map(str::to_owned);
        self.say(room, language, GuestText::Error { key: key.clone(), why }, out);
    }

    fn say(&self, room: &RoomId, language: Option<String>, text: GuestText, out: &mut Applied) {
        // A room that the house does not have has no screen; its name is somebody's free text.
        if self.hotel.is_some() && self.settings.in_force.guest_texts && self.rooms.contains_key(room) {
            let told = ToldGuest { room: room.clone(), language, text };
            out.intents.push(Intent::TellGuest { told });
        }
    }
}

#[cfg(test)]
mod tests;
