//! What the house makes of a record, in plain words.

use engawa_model::{Change, PostingState, StayEnd};

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
        other => match serde_json::to_string(other) {
            Ok(json) => json,
            Err(_) => other.kind().to_owned(),
        },
    }
}
