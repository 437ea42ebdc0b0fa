//! What a data record means to the house.

use super::desk::{self, Reply};
use crate::codec::{Record, plain};
use crate::config::PmsConfig;
use crate::language;
use crate::uses::FreeField;
use engawa_model::{
    Date, Fact, GuestRecord, Personal, PmsFact, PostingNumber, Presence, RoomFlags, RoomId, StayId,
};

/// The meaning of one data record.
#[allow(clippy::large_enum_variant, reason = "lives for one call on the stack")]
pub(super) enum Meaning {
    /// DS.
    ListBegins,
    /// DE.
    ListEnds,
    /// Something that the house wants to know.
    Fact(Fact),
    /// Two things at once: a room's equipment and its status.
    Both(Fact, Fact),
    /// Something of the front desk, and whose question it answers.
    Desk(Vec<PmsFact>, Option<Reply>),
    /// Nothing that can be used, and why.
    Refused(&'static str),
}

pub(super) fn meaning(record: &Record, config: &PmsConfig) -> Meaning {
    if let Some(meaning) = desk::meaning(record, config) {
        return meaning;
    }
    match record.id() {
        "DS" => Meaning::ListBegins,
        "DE" => Meaning::ListEnds,
        "GI" => guest(record, Presence::In, config),
        "GC" => guest(record, Presence::Changed, config),
        "GO" => with_room(record, |room| Fact::GuestGone {
            room,
            stay: record.filled("G#").map(StayId::from),
            listed: record.has("SF"),
        }),
        "RE" => equipment(record, config),
        "NS" => Meaning::Fact(Fact::NightAuditBegun),
        "NE" => {
            Meaning::Fact(Fact::NightAuditDone { date: date(record.get("DA")), hour: hour(record.get("TI")) })
        }
        "PA" => match (record.filled("P#").and_then(|number| number.parse().ok()), record.filled("AS")) {
            (Some(number), Some(status)) => Meaning::Fact(Fact::PostingAnswered {
                number: PostingNumber(number),
                status: status.to_owned(),
                text: record.filled("CT").map(str::to_owned),
            }),
            _ => Meaning::Refused("answer-without-number"),
        },
        "WR" | "WC" => super::wake::meaning(record),
        _ => Meaning::Refused("unknown-record"),
    }
}

pub(super) fn with_room(record: &Record, fact: impl FnOnce(RoomId) -> Fact) -> Meaning {
    match record.filled("RN") {
        // Leading zeros and blanks of a room number are significant: it is taken as it is.
        Some(room) => Meaning::Fact(fact(RoomId::from(room))),
        None => Meaning::Refused("no-room"),
    }
}

/// RE: flags, and the status where there is one.
fn equipment(record: &Record, config: &PmsConfig) -> Meaning {
    let Some(room) = record.filled("RN").map(RoomId::from) else { return Meaning::Refused("no-room") };
    let flagged = Fact::RoomFlagged { room: room.clone(), flags: flags(record) };
    match record.filled("RS") {
        None => Meaning::Fact(flagged),
        Some(code) => match config.status_word(code) {
            Some(status) => {
                let status = status.to_owned();
                Meaning::Both(flagged, desk::fact(PmsFact::RoomStatus { room, status }))
            }
            // The flags beside it may still be of use.
            None => Meaning::Both(flagged, Fact::PmsRefused { why: "unknown-status".to_owned() }),
        },
    }
}

/// The name of the only stay of a room, at a PMS that sends no reservation numbers.
pub(super) fn whole_name(room: &RoomId) -> String {
    format!("room:{room}")
}

fn guest(record: &Record, presence: Presence, config: &PmsConfig) -> Meaning {
    let free = |wanted: FreeField| {
        let fields = config.free_fields.iter().filter(|(_, holds)| **holds == wanted);
        fields.filter_map(|(field, _)| record.filled(field)).map(str::trim).find(|value| !value.is_empty())
    };
    let text = |field| record.filled(field).map(str::to_owned);
    let personal =
        |field| record.filled(field).map(|value: &str| Personal::new(plain(value).trim_end().to_owned()));
    with_room(record, |room| Fact::GuestSeen {
        // A PMS that sends no reservation numbers has one guest a room.
        stay: record.filled("G#").map_or_else(|| StayId::new(whole_name(&room)), StayId::from),
        from: record.filled("RO").map(RoomId::from),
        room,
        presence,
        listed: record.has("SF"),
        guest: GuestRecord {
            name: personal("GN"),
            first_name: personal("GF"),
            title: personal("GT"),
            language: record.filled("GL").and_then(language::of_fias),
            arrival: date(record.get("GA")),
            departure: date(record.get("GD")),
            vip: text("GV"),
            phone: free(FreeField::Phone).map(|value| Personal::new(plain(value))),
            email: free(FreeField::Email).map(|value| Personal::new(plain(value))),
            group: text("GG"),
            no_post: yes(record, "NP"),
        },
        flags: flags(record),
    })
}

fn yes(record: &Record, field: &str) -> Option<bool> {
    match record.get(field) {
        Some("Y") => Some(true),
        Some("N") => Some(false),
        _ => None,
    }
}

fn flags(record: &Record) -> RoomFlags {
    let text = |field| record.filled(field).map(str::to_owned);
    RoomFlags {
        do_not_disturb: yes(record, "DN"),
        message_light: yes(record, "ML"),
        class_of_service: text("CS"),
        minibar_right: text("MR"),
        tv_right: text("TV"),
        video_right: text("VR"),
    }
}

/// YYMMDD. Anything else, as some sites send it, is no date.
pub(crate) fn date(text: Option<&str>) -> Option<Date> {
    let digits = text.filter(|text| text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()))?;
    let part = |from: usize| digits[from..from + 2].parse::<i8>().ok();
    Date::new(2000 + i16::from(part(0)?), part(2)?, part(4)?).ok()
}

fn hour(text: Option<&str>) -> Option<u8> {
    text?.get(..2)?.parse().ok().filter(|hour| *hour < 24)
}
