//! What the house makes of a record, in plain words.

use engawa_model::{Change, DeskEvent, KeyKind, KeyRequest, PostingState, RoomId, StayEnd, WakeState};

/// One change; the rest is shown as it would be in the journal.
pub(super) fn of(change: &Change) -> String {
    match change {
        Change::CheckedIn { stay, room, .. } => format!("check-in: stay {stay} is in room {room} now"),
        Change::StayChanged { stay, room, .. } => format!("stay {stay} in room {room}: particulars change"),
        Change::Moved { stay, from, to } => format!("move: stay {stay} from room {from} to room {to}"),
        Change::CheckedOut { stay, room, reason } => {
            let why = match reason {
                StayEnd::CheckedOut => "the PMS says so",
                StayEnd::RoomVacated => "the PMS says that the room is empty",
                StayEnd::MissingInList => "missing in a complete list",
            };
            format!("check-out: stay {stay} from room {room} ({why})")
        }
        Change::Resync { phase, listed, .. } => match listed {
            Some(listed) => format!("list of the house: {phase}, {listed} stays seen"),
            None => format!("list of the house: {phase}"),
        },
        Change::NightAudit { running: true, .. } => "night audit runs: charges wait".to_owned(),
        Change::NightAudit { running: false, .. } => "night audit is over".to_owned(),
        Change::BusinessDate { date } => format!("business date {date}"),
        Change::Link { link, up, detail } => {
            format!("link {link} is {}: {detail}", if *up { "up" } else { "down" })
        }
        Change::Posting { number, state, answer, .. } => {
            let state = match state {
                PostingState::Pending => "waits",
                PostingState::InFlight => "is sent",
                PostingState::Posted => "is booked",
                PostingState::Refused => "is refused",
                PostingState::Doubtful => "is in doubt",
            };
            let answer = answer.as_ref().map_or_else(String::new, |answer| format!(" ({answer})"));
            format!("charge {number} {state}{answer}")
        }
        Change::RoomFlagged { room, flags } => {
            let yes = |on: bool| if on { "on" } else { "off" };
            let text =
                |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
            let told: Vec<_> = [
                flags.do_not_disturb.map(|on| format!("telephone quiet {}", yes(on))),
                flags.message_light.map(|on| format!("message light {}", yes(on))),
                text("class of service", &flags.class_of_service),
                text("minibar", &flags.minibar_right),
                text("television", &flags.tv_right),
            ]
            .into_iter()
            .flatten()
            .collect();
            format!("room {room}: {}", told.join(", "))
        }
        Change::Desk { what } => of_desk(what),
        Change::RoomStatus { room, status } => format!("room {room} is {status}"),
        Change::WakeUp { room, at, state, .. } => {
            let state = match state {
                WakeState::Waiting => "is noted",
                WakeState::Ringing => "rings",
                WakeState::Answered => "is answered",
                WakeState::Unanswered => "is not answered",
                WakeState::Cleared => "is taken back",
                WakeState::GuestLeft => "ends: the guest has left",
                WakeState::Missed => "was missed",
            };
            format!("wake-up call in room {room} at {at} {state}")
        }
        Change::ArrivalExpected { stay, room, eta: Some(eta) } => {
            format!("stay {stay} is expected in room {room} at {eta}")
        }
        Change::ArrivalExpected { stay, eta: None, .. } => format!("stay {stay} is not expected any more"),
        Change::Alert { alert } => {
            let state = if alert.active { "alert" } else { "alert is over" };
            format!("{state} ({}): {}", alert.source, alert.text)
        }
        other => match serde_json::to_string(other) {
            Ok(json) => json,
            Err(_) => other.kind().to_owned(),
        },
    }
}

fn of_desk(what: &DeskEvent) -> String {
    match what {
        DeskEvent::MessageLeft { stay, message } => format!("message {message} waits for stay {stay}"),
        DeskEvent::MessageGone { stay, message } => {
            format!("message {message} for stay {stay} is read or deleted")
        }
        DeskEvent::KeyAsked { request } => format!("{} at encoder {}", key_of(request), request.coder),
        DeskEvent::KeyAnswered { coder, room, status } => {
            let room = room.as_ref().map_or_else(String::new, |room| format!(" for {}", room_of(room)));
            let status = match status.as_str() {
                "OK" => "made",
                "BY" => "not made, the encoder is busy or does not answer (BY)",
                "UR" => "not possible here (UR)",
                "NG" => "not made, the house has no such room (NG)",
                "DN" => "denied (DN)",
                "link-lost" => "void: the PMS link was lost",
                other => other,
            };
            format!("key{room} at encoder {coder}: {status}")
        }
    }
}

fn key_of(request: &KeyRequest) -> String {
    let room = request.room.as_ref().map_or_else(String::new, |room| format!(" for {}", room_of(room)));
    match request.kind {
        KeyKind::Read => "a card is to be read".to_owned(),
        kind => {
            let kind = serde_json::to_value(kind).ok();
            let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("key").replace('_', " ");
            format!("a key is wanted ({kind}){room}")
        }
    }
}

/// A room as people call it: one that is not the house's has its link before its number.
fn room_of(room: &RoomId) -> String {
    match room.as_str().split_once(':') {
        Some((link, number)) if link.starts_with(engawa_model::PMS_LINK) => {
            format!("room {number} (not a room of this house)")
        }
        _ => format!("room {room}"),
    }
}
