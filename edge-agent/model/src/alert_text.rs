//! What alerts of the house itself say, as sentences with places for what differs. They are stored and journalled in
//! English; whoever shows them has each in every language, found by the sentence (`detail-...` in `engawa-words`).

/// A wake-up call of the PMS without a time.
pub const WAKE_WITHOUT_TIME: &str =
    "the PMS asked for a wake-up call that can't be kept: ask at the desk when and for whom";
/// A wake-up call of the PMS that the house can't take: when, why.
pub const WAKE_NOT_KEPT: &str = "the wake-up call for {} can't be kept: {}";
/// Nobody answered what rang: when.
pub const WAKE_UNANSWERED: &str = "the wake-up call for {} was not answered: somebody must go to the room";
/// Nothing rings in the room: when.
pub const WAKE_BY_HAND: &str = "wake-up call for {}: no device rings in the room, wake by hand";
/// The gateway was away at the time of the call: when.
pub const WAKE_MISSED: &str = "the wake-up call for {} could not be rung in time: ask the guest";
/// A device did not take a value: point, value, why.
pub const NOT_SET: &str = "{} could not be set to {}: {}";
/// The firewall refuses: point, why.
pub const WRITES_REFUSED: &str = "writes to {} are refused again and again; {}";
/// A leak sensor is wet.
pub const WATER: &str = "water on the floor";
/// A smoke detector sounds.
pub const SMOKE: &str = "a smoke detector sounds";
/// A charge in doubt: its P#, room.
pub const DOUBT_NO_ANSWER: &str = "the PMS did not answer in time: look for P# {} on the bill of room {}";
/// A charge in doubt: its P#, room.
pub const DOUBT_LINK_BROKE: &str =
    "the PMS link broke before the answer: look for P# {} on the bill of room {}";
/// A charge in doubt: its P#, room.
pub const DOUBT_RESTARTED: &str =
    "the gateway restarted before the answer: look for P# {} on the bill of room {}";
/// A charge in doubt: its P#, room.
pub const DOUBT_PUT_BACK: &str = "a backup was put back, and the charge may have been booked since it was made: look for P# {} on the bill of room {}";

/// All of them.
pub const ALERT_TEXTS: [&str; 13] = [
    WAKE_WITHOUT_TIME,
    WAKE_NOT_KEPT,
    WAKE_UNANSWERED,
    WAKE_BY_HAND,
    WAKE_MISSED,
    NOT_SET,
    WRITES_REFUSED,
    WATER,
    SMOKE,
    DOUBT_NO_ANSWER,
    DOUBT_LINK_BROKE,
    DOUBT_RESTARTED,
    DOUBT_PUT_BACK,
];

/// The sentence with `args` in its places, in order.
pub(crate) fn filled(sentence: &str, args: &[&dyn std::fmt::Display]) -> String {
    let mut parts = sentence.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (part, arg) in parts.zip(args) {
        text.push_str(&arg.to_string());
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_order() {
        assert_eq!(filled(NOT_SET, &[&"d/p", &22.5, &"{} busy"]), "d/p could not be set to 22.5: {} busy");
        assert_eq!(filled(WATER, &[]), WATER);
    }
}
