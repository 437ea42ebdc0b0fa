//! Drives an adapter without sockets: a job in, requests out, answers in.

use super::config::OfHouse;
use super::{Answer, Fault, Guests, Outcome, Posting, Request, Step};
use engawa_model::{Currency, Money, PostingNumber, RoomId, StayId, Timestamp};
use jiff::tz::TimeZone;
use serde_json::Value;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A house in Berlin that accounts in euros, with these in it: stay and room.
pub(super) fn house(guests: &[(&str, &str)]) -> OfHouse {
    OfHouse {
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        zone_name: "Europe/Berlin".to_owned(),
        currency: Currency::new("EUR").unwrap(),
        guests: Guests::remembered(
            guests.iter().map(|(stay, room)| (StayId::from(*stay), RoomId::from(*room))),
        ),
    }
}

pub(super) fn answer(status: u16, body: &Value) -> Answer {
    Answer { status, retry_after_s: None, date: None, body: body.to_string().into_bytes() }
}

/// The request that follows.
pub(super) fn asks(step: Result<Step, Fault>) -> Request {
    match step {
        Ok(Step::Ask(request)) => request,
        other => panic!("it asks nothing: {other:?}"),
    }
}

/// How the job ended.
pub(super) fn ends(step: Result<Step, Fault>) -> Outcome {
    match step {
        Ok(Step::Done(outcome)) => outcome,
        other => panic!("it has not ended: {other:?}"),
    }
}

/// What a request carries as JSON.
pub(super) fn json_of(request: &Request) -> Value {
    serde_json::from_slice(&request.body.as_ref().expect("a body").1).unwrap()
}

/// `path name=value name=value` of a request, without its host.
pub(super) fn target(request: &Request) -> String {
    let (path, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
    let path = path.splitn(4, '/').nth(3).unwrap();
    let fields = form_urlencoded::parse(query.as_bytes());
    fields.fold(path.to_owned(), |text, (name, value)| format!("{text} {name}={value}"))
}

/// A charge of 12.50 EUR.
pub(super) fn posting(room: &str, stay: Option<&str>) -> Posting {
    Posting {
        number: PostingNumber(7),
        ident: "h-7".to_owned(),
        room: RoomId::from(room),
        stay: stay.map(StayId::from),
        amount: Money { minor: 1250, currency: Currency::new("EUR").unwrap() },
        text: "Laundry".to_owned(),
        outlet: None,
    }
}
