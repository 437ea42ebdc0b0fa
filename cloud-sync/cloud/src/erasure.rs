//! Erased guests: what goes and what stays, whichever database holds it.
//!
//! The cloud never learns a name. What it can hold of a guest: language and days of the stay, texts of charges, the texts of
//! commands. The row of the tombstone comes with the journal: stay and charges are cleared in the same transaction. The
//! journal and the commands are gone through afterwards, in pieces, since a journal is long; killed in between, it is done
//! again from the beginning, which changes nothing twice.
//!
//! A tombstone whose signature does not fit is recorded and does nothing.

use data_encoding::HEXLOWER;
use engawa_model::{Erasure, ErasureReason, StayId, Timestamp};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// Lanes that can hold something of a guest: outcomes, stays and postings, commands. Alarms can't; telemetry of this
/// release neither.
pub(crate) const LANES: [u8; 3] = [1, 3, 4];
/// Lanes whose rows may come after the tombstone of the stay that they name: lanes are not ordered among each other, and
/// tombstones have that of stays.
pub(crate) const LATE: [u8; 2] = [1, 4];
/// Rows looked at with one statement.
pub(crate) const PIECE: i64 = 2_000;
/// Tombstones of one gateway that share one way through its journal.
pub(crate) const TOGETHER: i64 = 500;
/// Why a command that waited for a gateway does not go out any more.
pub(crate) const SUPERSEDED: &str = "the guest's data was erased";
/// What goes from an object that names the stay; everything else in it tells of the house.
const PARTICULARS: [&str; 8] =
    ["language", "arrival", "departure", "answer", "text", "register", "wish", "setpoint"];

/// True where the tombstone was signed by the key that it names, and says what was signed.
pub fn verify(erasure: &Erasure) -> bool {
    let decode = |text: &str| HEXLOWER.decode(text.as_bytes()).ok();
    let (Some(signer), Some(signature)) = (decode(&erasure.signer), decode(&erasure.signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, signer).verify(erasure.message().as_bytes(), &signature).is_ok()
}

/// A stay's number belongs to a guest who is in the house since, where the erased stay's time was over long ago.
///
/// `in_house`: when the guest arrived who has the number now, µs. Gives the last instant that goes, µs, and whether the
/// row of the stay is the erased one's.
pub(crate) fn reach(erasure: &Erasure, in_house: Option<i64>) -> (i64, bool) {
    let at = erasure.at.as_microsecond();
    match in_house.filter(|_| erasure.reason == ErasureReason::Retention) {
        Some(arrived) => (at.min(arrived.saturating_sub(1)), false),
        None => (at, true),
    }
}

/// Stays that go, with the last instant that goes, µs.
pub(crate) type Gone = HashMap<String, i64>;

/// The stays of tombstones, each up to its latest.
pub(crate) fn gone<'a>(stays: impl Iterator<Item = (&'a str, i64)>) -> Gone {
    let mut gone = Gone::new();
    for (stay, upto) in stays {
        let last = gone.entry(stay.to_owned()).or_insert(upto);
        *last = (*last).max(upto);
    }
    gone
}

/// Clears the particulars of stays in a body, and tells which stay it names: those that go are the keys of `gone`.
pub(crate) fn clear(body: &str, at_micros: i64, gone: &Gone) -> Option<(String, String)> {
    if !body.contains("\"stay\"") {
        return None;
    }
    let mut value: Value = serde_json::from_str(body).ok()?;
    let stay = clear_value(&mut value, at_micros, gone)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("erased".to_owned(), Value::Bool(true));
    }
    Some((stay, value.to_string()))
}

/// The stays that a body names, wherever in it: also one of a kind that this release does not know.
pub(crate) fn names(body: &str) -> Vec<String> {
    fn gather(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("stay").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|value| gather(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| gather(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if body.contains("\"stay\"")
        && let Ok(value) = serde_json::from_str(body)
    {
        gather(&value, &mut found);
        found.sort_unstable();
        found.dedup();
    }
    found
}

fn clear_value(value: &mut Value, at_micros: i64, gone: &Gone) -> Option<String> {
    if let Value::Array(values) = value {
        return values.iter_mut().filter_map(|value| clear_value(value, at_micros, gone)).last();
    }
    let object = value.as_object_mut()?;
    // The tombstone itself stays: it names no guest, and is the proof.
    if object.get("kind").and_then(Value::as_str) == Some("erased") {
        return None;
    }
    let stay = object.get("stay").and_then(Value::as_str).map(str::to_owned);
    let stay = stay.filter(|stay| gone.get(stay).is_some_and(|upto| at_micros <= *upto));
    if stay.is_some() {
        for (key, particular) in object.iter_mut().filter(|(key, _)| PARTICULARS.contains(&key.as_str())) {
            // A text must be there for the row to be read; anything else may be absent.
            *particular = if key == "text" { Value::String(String::new()) } else { Value::Null };
        }
    }
    let inner = object.values_mut().filter_map(|value| clear_value(value, at_micros, gone)).last();
    stay.or(inner)
}

/// The same for a command. `charged`: the stay that its charge went to, where the command does not name it.
pub(crate) fn clear_command(
    before: &str,
    at_micros: i64,
    charged: Option<String>,
    gone: &Gone,
) -> Option<(String, String)> {
    let (stay, body) = clear(before, at_micros, gone).or_else(|| {
        let stay = charged.filter(|stay| gone.get(stay).is_some_and(|upto| at_micros <= *upto))?;
        let mut command: Value = serde_json::from_str(before).ok()?;
        let text = command.pointer_mut("/action/text")?;
        *text = Value::String(String::new());
        Some((stay, command.to_string()))
    })?;
    // A command's form knows no further field.
    Some(match serde_json::from_str(&body) {
        Ok(Value::Object(mut command)) => {
            command.remove("erased");
            (stay, Value::Object(command).to_string())
        }
        _ => (stay, body),
    })
}

/// What became of a tombstone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whose guest.
    pub gateway: String,
    /// The tombstone, as it was signed.
    #[serde(flatten)]
    pub erasure: Erasure,
    /// The signature fits. Where it does not, nothing was done.
    pub verified: bool,
    /// The same key has signed every tombstone of this gateway that was verified.
    pub usual_signer: bool,
    /// When it came, µs.
    pub received_micros: i64,
    /// When everything was cleared, µs; `None`: the journal is not gone through yet.
    pub applied_micros: Option<i64>,
    /// Rows of `stay` that were cleared.
    pub stays: i64,
    /// Rows of `posting`.
    pub postings: i64,
    /// Rows of `command`.
    pub commands: i64,
    /// Rows of `journal` (and of telemetry, should one ever name a stay).
    pub journal: i64,
    /// Rows that NATS had been told: taken out there, and told again as they are now.
    pub told: i64,
    /// Rows that NATS may still hold as they were.
    pub told_open: i64,
}

/// A tombstone of its columns. A reason that this release does not know counts as one whose time is over: the milder one.
pub(crate) fn tombstone(
    record: String,
    stay: String,
    at_micros: i64,
    reason: &str,
    signer: String,
    signature: String,
) -> Erasure {
    let reason =
        if reason == ErasureReason::Asked.as_str() { ErasureReason::Asked } else { ErasureReason::Retention };
    let at = Timestamp::from_microsecond(at_micros).unwrap_or_default();
    Erasure { record, stay: StayId::new(stay), at, reason, signer, signature }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{Action, Change, CommandSource};

    fn erasure(reason: ErasureReason) -> Erasure {
        tombstone("0a".into(), "S".into(), 100, reason.as_str(), String::new(), String::new())
    }

    #[test]
    fn the_guest_in_the_house_keeps_what_is_theirs() {
        use ErasureReason::{Asked, Retention};
        assert_eq!(reach(&erasure(Retention), None), (100, true));
        assert_eq!(reach(&erasure(Retention), Some(50)), (49, false));
        // Told late: the present guest came after it.
        assert_eq!(reach(&erasure(Retention), Some(500)), (100, false));
        assert_eq!(reach(&erasure(Asked), Some(50)), (100, true));
    }

    #[test]
    fn particulars_go_from_objects_that_name_the_stay_and_from_no_other() {
        let gone = gone([("S", 5), ("S", 10), ("T", 3)].into_iter());
        assert_eq!(gone["S"], 10);
        let body = r#"{"kind":"posting","stay":"S","text":"bar","minor":5,"what":{"stay":"U","text":"spa"}}"#;
        let (stay, cleared) = clear(body, 10, &gone).unwrap();
        let cleared: Value = serde_json::from_str(&cleared).unwrap();
        assert_eq!((stay.as_str(), &cleared["text"], &cleared["minor"]), ("S", &"".into(), &5.into()));
        assert_eq!((&cleared["what"]["text"], &cleared["erased"]), (&"spa".into(), &true.into()));
        assert!(clear(body, 11, &gone).is_none(), "a later guest's");
        let chosen = r#"{"kind":"comfort_chosen","room":"101","setpoint":20.5,"stay":"S"}"#;
        let (_, cleared) = clear(chosen, 10, &gone).unwrap();
        assert!(!cleared.contains("20.5") && cleared.contains("101"), "{cleared}");
        assert!(clear(r#"{"kind":"erased","stay":"S"}"#, 1, &gone).is_none());
        assert!(clear(r#"{"text":"S"}"#, 1, &gone).is_none());
        let command = r#"{"key":"k","action":{"do":"post","text":"bar"}}"#;
        assert!(clear_command(command, 1, None, &gone).is_none());
        let several =
            r#"{"of":[{"stay":"S","text":"bar"},{"stay":"U","text":"spa"},{"stay":null}],"stay":"U"}"#;
        assert_eq!(names(several), ["S", "U"]);
        let (stay, cleared) = clear(several, 1, &gone).unwrap();
        assert!(stay == "S" && !cleared.contains("bar") && cleared.contains("spa"), "{cleared}");
        let (_, cleared) = clear_command(command, 1, Some("S".into()), &gone).unwrap();
        assert_eq!(cleared, r#"{"action":{"do":"post","text":""},"key":"k"}"#);
    }

    /// The stay that a command is about. A new command does not compile before somebody has said here whose it is, and has
    /// put one that names a stay into the test below.
    fn of(action: &Action) -> Option<&StayId> {
        match action {
            Action::Post { stay, .. }
            | Action::WakeUp { stay, .. }
            | Action::PostSlip { stay, .. }
            | Action::ReadMessages { stay, .. }
            | Action::MessageRead { stay, .. }
            | Action::LeaveMessage { stay, .. }
            | Action::AskBill { stay, .. }
            | Action::RemoteCheckOut { stay, .. }
            | Action::Locate { stay, .. } => stay.as_ref(),
            Action::PostToGuest { stay, .. }
            | Action::ExpectArrival { stay, .. }
            | Action::ForgetArrival { stay }
            | Action::SetPreference { stay, .. }
            | Action::MergePreference { stay, .. } => Some(stay),
            Action::SetRole { .. }
            | Action::SetPoint { .. }
            | Action::RoomStatus { .. }
            | Action::Service { .. }
            | Action::ForgetLearnt { .. }
            | Action::Resync
            | Action::CancelWakeUp { .. }
            | Action::WakeAnswered { .. }
            | Action::AcknowledgeAlert { .. }
            | Action::SettleCharge { .. }
            | Action::PostMinibar { .. }
            | Action::PostCall { .. }
            | Action::FindGuests { .. }
            | Action::RoomReport { .. }
            | Action::AnswerKey { .. }
            | Action::AskList { .. }
            | Action::Reload { .. }
            | Action::Diagnose { .. }
            | Action::Tail { .. }
            | Action::EndTail { .. }
            | Action::Update { .. }
            | Action::SetSetting { .. }
            | Action::MergeSetting { .. } => None,
        }
    }

    #[test]
    fn every_command_that_names_a_stay_is_known_by_its_body_and_loses_its_text() {
        let money = r#"{"minor":5,"currency":"EUR"}"#;
        let bodies = [
            r#"{"do":"post","room":"1","stay":"S","amount":MONEY,"text":"Tannhauser"}"#,
            r#"{"do":"post-slip","room":"1","stay":"S","amount":MONEY,"text":"Tannhauser","slip":{}}"#,
            r#"{"do":"post-to-guest","room":"1","stay":"S","amount":MONEY,"text":"Tannhauser"}"#,
            r#"{"do":"leave-message","room":"1","stay":"S","text":"Tannhauser"}"#,
            r#"{"do":"set-preference","stay":"S","name":"language","wish":"Tannhauser"}"#,
            r#"{"do":"merge-preference","stay":"S","name":"language","register":{"cloud":null}}"#,
            r#"{"do":"wake-up","room":"1","stay":"S","at":"2026-10-25T06:30:00"}"#,
            r#"{"do":"read-messages","room":"1","stay":"S"}"#,
            r#"{"do":"message-read","room":"1","stay":"S","message":"7"}"#,
            r#"{"do":"ask-bill","room":"1","stay":"S"}"#,
            r#"{"do":"remote-check-out","room":"1","stay":"S","balance":MONEY}"#,
            r#"{"do":"locate","room":"1","stay":"S"}"#,
            r#"{"do":"expect-arrival","room":"1","stay":"S"}"#,
            r#"{"do":"forget-arrival","stay":"S"}"#,
        ];
        let gone = gone([("S", 10)].into_iter());
        for body in bodies {
            let action: Action = serde_json::from_str(&body.replace("MONEY", money)).expect(body);
            assert_eq!(of(&action).map(StayId::as_str), Some("S"), "{body}");
            let (key, source) = ("k".into(), CommandSource::Cloud);
            let row = serde_json::to_string(&Change::CommandAccepted { key, source, action }).unwrap();
            assert_eq!(names(&row), ["S"], "{row}");
            let (_, cleared) = clear(&row, 10, &gone).unwrap();
            assert!(!cleared.contains("Tannhauser") && !cleared.contains("seen"), "{cleared}");
            // What is left is still a row that can be read.
            serde_json::from_str::<Change>(&cleared).expect(&cleared);
        }
    }
}
