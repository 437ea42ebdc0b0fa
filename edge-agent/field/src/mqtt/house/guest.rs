//! What guests are told: a retained picture for a screen in the room, and a message at the moment when something happens.
//!
//! Why both: a television that is switched on after check-in shows the welcome all the same, while a goodbye must not be
//! there for the next guest.
//!
//! Never: a name, or what a message says.

use crate::mqtt::house::Publication;
use crate::mqtt::topic::HouseTopics;
use engawa_model::{
    Change, DateTime, GuestError, GuestText, Property, RoomId, ToldGuest, WakeCall, WakeState,
};
use engawa_words::{Arg, Words, day};
use serde_json::{Value, json};

/// The room's screen as it is now; `None` where guests are told nothing.
pub(super) fn state(topics: &HouseTopics, property: &Property, room: &RoomId) -> Option<Publication> {
    let hotel = property.hotel()?;
    let occupied = property.stays_in(room).next().is_some();
    let words = Words::of([property.language_in(room), property.guest_language()]);
    let mut lines = Vec::new();
    if occupied {
        lines.push(line(&words, hotel, &GuestText::Welcome));
        let waits = |call: &&WakeCall| call.room == *room && call.state == WakeState::Waiting;
        let mut calls: Vec<DateTime> = property.wake_ups().filter(waits).map(|call| call.at).collect();
        calls.sort_unstable();
        lines.extend(calls.into_iter().map(|at| line(&words, hotel, &GuestText::WakeUpSet { at })));
        if property.rooms().get(room).is_some_and(|room| room.flags.message_light == Some(true)) {
            lines.push(line(&words, hotel, &GuestText::Message));
        }
    }
    let language = words.language();
    let payload = json!({
        "occupied": occupied, "language": language.tag(), "direction": language.direction().html(), "lines": lines,
    });
    Some(Publication::state(topics.guest(room), payload))
}

/// The rooms whose screens `change` concerns.
pub(super) fn rooms_of(change: &Change) -> Vec<&RoomId> {
    match change {
        Change::CheckedIn { room, .. }
        | Change::StayChanged { room, .. }
        | Change::CheckedOut { room, .. }
        | Change::RoomFlagged { room, .. }
        | Change::WakeUp { room, .. } => vec![room],
        Change::Moved { from, to, .. } => vec![from, to],
        _ => vec![],
    }
}

/// What is told at this moment.
pub(super) fn told(topics: &HouseTopics, property: &Property, told: &ToldGuest) -> Option<Publication> {
    let words = Words::of([told.language.as_deref(), property.guest_language()]);
    let mut payload = line(&words, property.hotel()?, &told.text);
    payload["language"] = json!(words.language().tag());
    payload["direction"] = json!(words.language().direction().html());
    Some(Publication::event(topics.guest_message(&told.room), payload))
}

fn line(words: &Words, hotel: &str, text: &GuestText) -> Value {
    let say = |key: &str, args: &[(&str, &str)]| {
        let args: Vec<(&str, Arg<'_>)> =
            args.iter().map(|(name, value)| (*name, Arg::from(*value))).collect();
        words.text(key, &args)
    };
    let time = |at: &DateTime| at.strftime("%H:%M").to_string();
    match text {
        GuestText::Welcome => json!({ "about": "welcome", "text": say("welcome", &[("hotel", hotel)]) }),
        GuestText::Goodbye => json!({ "about": "goodbye", "text": say("goodbye", &[]) }),
        GuestText::WakeUpSet { at } => {
            let date = day(words.language(), at.year(), at.month(), at.day());
            let said = say("wake-up-set", &[("date", &date), ("time", &time(at))]);
            json!({ "about": "wake_up_set", "at": at, "text": said })
        }
        GuestText::WakeUpCleared { at } => {
            json!({ "about": "wake_up_cleared", "at": at, "text": say("wake-up-cleared", &[("time", &time(at))]) })
        }
        GuestText::Message => json!({ "about": "message", "text": say("guest-message", &[]) }),
        GuestText::Error { key, why } => {
            let text = match why {
                GuestError::Later => "guest-error-later",
                GuestError::Refused => "guest-error-refused",
                GuestError::Time => "guest-error-time",
            };
            json!({ "about": "error", "key": key, "why": why, "text": say(text, &[]) })
        }
    }
}

#[cfg(test)]
mod tests;
