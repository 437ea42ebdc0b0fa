//! The house's door for texts: whatever looks like a card number is masked before the model, the store or the cloud see
//! it, whichever way it came. (The PMS's records are masked at their codec already.)

use engawa_model::{Action, Command, Fact, GuestRecord, Observation, Personal};
use engawa_pms::codec::mask_card_numbers;
use serde_json::Value;

/// Fields of an action that hold what somebody wrote; the others are names and numbers of the house.
const TEXTS: &[&str] =
    &["text", "outlet", "message", "note", "memo", "reason", "remark", "payment", "user", "workstation"];
/// The fewest digits of a card number.
const FEWEST_DIGITS: usize = 13;

/// `observation` with its texts masked.
pub(crate) fn masked(observation: Observation) -> Observation {
    let fact = match observation.fact {
        Fact::Asked { command } => Fact::Asked { command: masked_command(command) },
        Fact::GuestSeen { stay, room, from, presence, listed, guest, flags } => {
            Fact::GuestSeen { stay, room, from, presence, listed, guest: masked_guest(guest), flags }
        }
        other => other,
    };
    Observation { fact, ..observation }
}

/// `command` with its texts masked: two commands that differ in hidden digits only are one.
pub(crate) fn masked_command(command: Command) -> Command {
    let Ok(mut action) = serde_json::to_value(&command.action) else { return command };
    if !mask_fields(&mut action) {
        return command;
    }
    match serde_json::from_value::<Action>(action) {
        Ok(action) => Command { action, ..command },
        // An action that was just written is read again.
        Err(_) => command,
    }
}

/// A telephone number may have as many digits as a card number and stays; the codec asks for none that is not meant.
fn masked_guest(guest: GuestRecord) -> GuestRecord {
    let text = |text: Option<Personal<String>>| {
        text.map(|text| {
            if suspicious(text.reveal()) { Personal::new(mask_card_numbers(text.reveal())) } else { text }
        })
    };
    GuestRecord {
        name: text(guest.name),
        first_name: text(guest.first_name),
        title: text(guest.title),
        email: text(guest.email),
        ..guest
    }
}

fn suspicious(text: &str) -> bool {
    text.chars().filter(|c| c.is_numeric()).count() >= FEWEST_DIGITS
}

/// Masks the text fields anywhere in `value`; true where something was masked.
fn mask_fields(value: &mut Value) -> bool {
    let mut changed = false;
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if TEXTS.contains(&name.as_str()) && suspicious(text) => {
                        let masked = mask_card_numbers(text);
                        changed |= masked != *text;
                        *text = masked;
                    }
                    other => changed |= mask_fields(other),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                changed |= mask_fields(value);
            }
        }
        _ => {}
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{CommandKey, CommandSource, Currency, Money, RoomId, StayId, Timestamp};

    #[test]
    fn texts_are_masked_and_names_of_the_house_are_not() {
        let action = Action::Post {
            room: RoomId::from("101"),
            stay: Some(StayId::from("4111111111111111")),
            amount: Money { minor: 500, currency: Currency::new("EUR").unwrap() },
            text: "paid with 4111 1111 1111 1111".into(),
            outlet: Some("bar 5500000000000004".into()),
        };
        let command =
            Command { key: CommandKey::from("k"), source: CommandSource::Mqtt, expires: None, action };
        let fact = Fact::Asked { command };
        let out = masked(Observation::new(Timestamp::UNIX_EPOCH, fact));
        let Fact::Asked { command: Command { action: Action::Post { stay, text, outlet, .. }, .. } } =
            out.fact
        else {
            panic!("it stays a charge")
        };
        assert_eq!(text, "paid with **** **** **** 1111");
        assert_eq!(outlet.as_deref(), Some("bar ************0004"));
        assert_eq!(stay.unwrap().as_str(), "4111111111111111", "a reservation number is no text");
    }
}
