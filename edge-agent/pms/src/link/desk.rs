//! The front desk's records: what they mean, and which question an answer belongs to.

use super::facts::{Meaning, date, whole_name};
use crate::codec::Record;
use crate::config::PmsConfig;
use engawa_model::{
    BillItem, CommandKey, Fact, FoundGuest, KeyKind, KeyRequest, Message, Personal, PmsAmount,
    PmsDescription, PmsFact, PostingNumber, RoomId, StayId, Timestamp,
};

/// Questions that may wait for their answers at once; past this a further one is refused.
pub(super) const MOST_ASKED: usize = 16;

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Message,
    Bill,
    CheckOut,
    Place,
    Guests,
}

/// A question that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) key: CommandKey,
    pub(super) about: About,
    pub(super) room: Option<RoomId>,
    pub(super) stay: Option<StayId>,
    pub(super) number: Option<PostingNumber>,
    pub(super) due: Timestamp,
}

/// An answer to a question.
#[derive(Debug)]
pub(super) struct Reply {
    about: About,
    room: Option<RoomId>,
    stay: Option<StayId>,
    number: Option<PostingNumber>,
    pub(super) status: String,
    pub(super) text: Option<String>,
    pub(super) guests: Option<Vec<FoundGuest>>,
    pub(super) place: Option<(Personal<String>, Option<String>)>,
}

impl Question {
    /// True if `reply` is the answer. What either does not say does not tell them apart; a look-up is known by its
    /// number alone.
    pub(super) fn is_answered_by(&self, reply: &Reply) -> bool {
        fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            }
        }
        self.about == reply.about
            && match self.about {
                About::Guests => self.number == reply.number,
                _ => {
                    agree(self.room.as_ref(), reply.room.as_ref())
                        && agree(self.stay.as_ref(), reply.stay.as_ref())
                }
            }
    }
}

impl Reply {
    fn of(record: &Record, about: About) -> Self {
        Self {
            about,
            room: record.filled("RN").map(RoomId::from),
            stay: record.filled("G#").map(StayId::from),
            number: number(record),
            status: record.filled("AS").unwrap_or("OK").to_owned(),
            text: record.filled("CT").map(str::to_owned),
            guests: None,
            place: None,
        }
    }

    /// PA as the answer to a look-up that found nobody.
    pub(super) fn to_inquiry(record: &Record) -> Self {
        Self::of(record, About::Guests)
    }
}

pub(super) fn number(record: &Record) -> Option<PostingNumber> {
    record.filled("P#").and_then(|number| number.parse().ok()).map(PostingNumber)
}

fn text(record: &Record, field: &str) -> Option<String> {
    record.filled(field).map(str::to_owned)
}

fn amount(text: Option<&str>, config: &PmsConfig) -> Option<PmsAmount> {
    text.and_then(|text| text.parse().ok()).map(|value| PmsAmount { value, digits: config.amount_digits })
}

/// The meaning of a record of the front desk; `None` where it is of another kind.
pub(super) fn meaning(record: &Record, config: &PmsConfig) -> Option<Meaning> {
    let room = || record.filled("RN").map(RoomId::from);
    let stay = record.filled("G#").map(StayId::from);
    Some(match record.id() {
        "LC" => told(PmsFact::Described { description: description(record) }),
        "XL" | "XT" => {
            let Some(room) = room() else { return Some(Meaning::Refused("no-room")) };
            let reply = (record.id() == "XT").then(|| Reply::of(record, About::Message));
            match (text(record, "MI"), record.filled("MT")) {
                (Some(id), Some(text)) => {
                    let message = Message { id, text: Personal::new(text.to_owned()), read: false };
                    Meaning::Desk(vec![PmsFact::MessageLeft { room, stay, message }], reply)
                }
                // XT without a message: there is none (any more).
                _ => match reply {
                    Some(reply) => Meaning::Desk(vec![], Some(Reply { status: "NM".to_owned(), ..reply })),
                    None => Meaning::Refused("message-without-text"),
                },
            }
        }
        "XD" => match (room(), text(record, "MI")) {
            (Some(room), Some(message)) => told(PmsFact::MessageGone { room, stay, message }),
            (None, _) => Meaning::Refused("no-room"),
            (_, None) => Meaning::Refused("message-without-number"),
        },
        "XI" => match (room(), amount(record.filled("BI"), config)) {
            (Some(room), Some(amount)) => told(PmsFact::BillLine { room, stay, item: item(record, amount) }),
            (None, _) => Meaning::Refused("no-room"),
            (_, None) => Meaning::Refused("amount-is-no-number"),
        },
        "XB" => {
            let Some(room) = room() else { return Some(Meaning::Refused("no-room")) };
            let reply = Reply::of(record, About::Bill);
            match amount(record.filled("BA"), config) {
                Some(balance) if reply.status == "OK" => {
                    Meaning::Desk(vec![PmsFact::BillBalance { room, stay, balance }], Some(reply))
                }
                None if reply.status == "OK" => Meaning::Refused("amount-is-no-number"),
                _ => Meaning::Desk(vec![], Some(reply)),
            }
        }
        "XC" => Meaning::Desk(vec![], Some(Reply::of(record, About::CheckOut))),
        "LP" => {
            let mut reply = Reply::of(record, About::Place);
            reply.place = text(record, "CT").map(|place| (Personal::new(place), text(record, "LT")));
            if reply.place.is_none() && !record.has("AS") {
                reply.status = "NM".to_owned();
            }
            // Where a guest is goes nowhere but to who asked.
            reply.text = None;
            Meaning::Desk(vec![], Some(reply))
        }
        "PL" => {
            let mut reply = Reply::of(record, About::Guests);
            reply.guests = Some(guests(record, config));
            Meaning::Desk(vec![], Some(reply))
        }
        "KR" | "KM" | "KD" | "KZ" => match key_request(record) {
            Ok(request) => {
                let own = super::naming::own_encoder(config.name.as_deref(), &request.coder);
                let served = config.encoders.contains(own);
                told(PmsFact::KeyAsked { request, served })
            }
            Err(why) => Meaning::Refused(why),
        },
        _ => return None,
    })
}

fn told(fact: PmsFact) -> Meaning {
    Meaning::Desk(vec![fact], None)
}

fn description(record: &Record) -> PmsDescription {
    PmsDescription {
        pms_version: text(record, "A1"),
        interface_version: text(record, "A2"),
        driver_version: text(record, "A3"),
        hotel: text(record, "PH"),
        payments: text(record, "RP"),
    }
}

fn item(record: &Record, amount: PmsAmount) -> BillItem {
    BillItem {
        folio: text(record, "F#"),
        shown: record.get("FD") != Some("N"),
        department: text(record, "DC"),
        text: text(record, "BD").map(Personal::new),
        amount,
        date: date(record.get("DA")),
    }
}

/// The blocks of a PL: each begins with RN; what comes before the first belongs to the whole record.
fn guests(record: &Record, config: &PmsConfig) -> Vec<FoundGuest> {
    let mut found: Vec<FoundGuest> = Vec::new();
    for (field, value) in record.fields() {
        if field == "RN" {
            let room = RoomId::from(value);
            found.push(FoundGuest {
                stay: StayId::new(whole_name(&room)),
                room,
                name: None,
                first_name: None,
                title: None,
                vip: None,
                arrival: None,
                departure: None,
                no_post: None,
                credit_limit: None,
            });
        }
        let (Some(guest), false) = (found.last_mut(), value.is_empty()) else { continue };
        let personal = || Some(Personal::new(value.trim_end().to_owned()));
        match field {
            "G#" => guest.stay = StayId::from(value),
            "GN" => guest.name = personal(),
            "GF" => guest.first_name = personal(),
            "GT" => guest.title = personal(),
            "GV" => guest.vip = Some(value.to_owned()),
            "GA" => guest.arrival = date(Some(value)),
            "GD" => guest.departure = date(Some(value)),
            "NP" => guest.no_post = Some(value == "Y"),
            "CL" => guest.credit_limit = amount(Some(value), config),
            _ => {}
        }
    }
    found
}

fn key_request(record: &Record) -> Result<KeyRequest, &'static str> {
    let kind = match (record.id(), record.get("KT")) {
        ("KZ", _) => KeyKind::Read,
        ("KD", _) => KeyKind::Withdrawn,
        ("KM", _) => KeyKind::Moved,
        (_, Some("D")) => KeyKind::Duplicate,
        (_, Some("O")) => KeyKind::OneShot,
        _ => KeyKind::New,
    };
    let coder = text(record, "KC").ok_or("key-without-encoder")?;
    let room = record.filled("RN").map(RoomId::from);
    if room.is_none() && kind != KeyKind::Read {
        return Err("no-room");
    }
    Ok(KeyRequest {
        kind,
        coder,
        workstation: text(record, "WS"),
        room,
        stay: record.filled("G#").map(StayId::from),
        from: record.filled("RO").map(RoomId::from),
        arrival: date(record.get("GA")),
        departure: date(record.get("GD")),
        until: text(record, "DT"),
        areas: text(record, "KO"),
        suite: record
            .filled("SI")
            .into_iter()
            .flat_map(|rooms| rooms.split(';'))
            .filter(|room| !room.is_empty())
            .map(RoomId::from)
            .collect(),
    })
}

/// For the link: a fact of the desk.
pub(super) fn fact(said: PmsFact) -> Fact {
    Fact::Pms { said }
}
