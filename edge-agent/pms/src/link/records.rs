//! The records that the gateway sends.

use super::desk::{About, Question};
use crate::codec::Record;
use crate::config::PmsConfig;
use crate::uses::{self, Use};
use engawa_model::{
    Call, CommandKey, KeyAnswer, KeyKind, Money, PmsRequest, PostingDetail, PostingNumber, RoomId,
    RoomReport, Slip, StayId, Timestamp,
};
use jiff::tz::TimeZone;

/// `record` with the property's local date and time.
fn with_clock(record: Record, now: Timestamp, zone: &TimeZone) -> Record {
    let local = zone.to_datetime(now);
    record.with("DA", local.strftime("%y%m%d").to_string()).with("TI", local.strftime("%H%M%S").to_string())
}

/// A record that carries nothing but the clock: LS, LA, LE, DR.
pub(super) fn stamped(id: &str, now: Timestamp, zone: &TimeZone) -> Record {
    with_clock(Record::new(id), now, zone)
}

/// LD, one LR for each record that is used, and the LA that ends them.
pub(super) fn descriptions(config: &PmsConfig, now: Timestamp, zone: &TimeZone) -> Vec<Record> {
    let description = with_clock(Record::new("LD"), now, zone)
        .with("V#", env!("CARGO_PKG_VERSION"))
        .with("IF", &*config.interface);
    let free: Vec<&str> = config.free_fields.keys().map(String::as_str).collect();
    let asked = uses::asked(&config.uses, &free);
    let requests = asked.into_iter().map(|(id, fields)| Record::new("LR").with("RI", id).with("FL", fields));
    std::iter::once(description).chain(requests).chain([stamped("LA", now, zone)]).collect()
}

/// A charge to send.
pub(super) struct Posting<'a> {
    pub(super) number: PostingNumber,
    pub(super) room: &'a RoomId,
    pub(super) stay: Option<&'a StayId>,
    pub(super) amount: &'a Money,
    pub(super) text: &'a str,
    pub(super) outlet: &'a Option<String>,
    pub(super) detail: &'a PostingDetail,
}

impl Posting<'_> {
    /// The record of the charge: PS, or PR where it is for one guest by name.
    pub(super) fn record(&self, now: Timestamp, zone: &TimeZone, digits: Option<u8>) -> Record {
        match self.detail {
            PostingDetail::Plain => self.charge(now, zone, digits),
            PostingDetail::Slip(slip) => with_slip(self.charge(now, zone, digits), slip, self.amount, digits),
            PostingDetail::Minibar(items) => {
                let record = self.begun("M");
                let record = items.iter().fold(record, |record, item| {
                    record.with("MA", item.article.to_string()).with("M#", item.count.to_string())
                });
                with_clock(record.with("P#", self.number.to_string()), now, zone)
            }
            PostingDetail::Call(call) => {
                let mut record = with_call(self.begun("T"), call);
                if self.amount.minor != 0 {
                    record = record.with("TA", scaled(self.amount, digits).to_string());
                }
                with_clock(record.with("P#", self.number.to_string()), now, zone)
            }
            PostingDetail::Guest { name } => {
                let mut record = Record::new("PR")
                    .with("PM", "ROOM")
                    .with("WS", WORKSTATION)
                    .with("RN", self.room.as_str())
                    .with("G#", self.stay.map_or("", StayId::as_str))
                    .with("GN", name.reveal().as_str())
                    .with("TA", scaled(self.amount, digits).to_string())
                    .with("P#", self.number.to_string())
                    .with("CT", self.text.chars().take(20).collect::<String>());
                if let Some(outlet) = self.outlet {
                    record = record.with("SO", outlet.as_str());
                }
                with_clock(record, now, zone)
            }
        }
    }

    fn begun(&self, kind: &str) -> Record {
        let record = Record::new("PS").with("RN", self.room.as_str());
        let record = match self.stay {
            Some(stay) => record.with("G#", stay.as_str()),
            None => record,
        };
        record.with("PT", kind)
    }

    /// PS with a direct charge (PT C).
    fn charge(&self, now: Timestamp, zone: &TimeZone, digits: Option<u8>) -> Record {
        let mut record = Record::new("PS").with("RN", self.room.as_str());
        if let Some(stay) = self.stay {
            record = record.with("G#", stay.as_str());
        }
        record = record
            .with("PT", "C")
            .with("TA", scaled(self.amount, digits).to_string())
            .with("P#", self.number.to_string())
            .with("CT", self.text.chars().take(20).collect::<String>());
        if let Some(outlet) = self.outlet {
            record = record.with("SO", outlet.as_str());
        }
        with_clock(record, now, zone)
    }
}

/// WS of what the gateway asks by itself.
const WORKSTATION: &str = "ENGAWA";

/// False for the made-up name of a stay at a PMS without reservation numbers: the PMS does not know it.
pub(super) fn is_numbered(stay: &StayId) -> bool {
    !stay.as_str().starts_with("room:")
}

fn with_slip(record: Record, slip: &Slip, total: &Money, digits: Option<u8>) -> Record {
    let money = |minor: i64| scaled(&Money { minor, ..*total }, digits).to_string();
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let lists = [("S", &slip.subtotals), ("T", &slip.taxes), ("D", &slip.discounts)];
    let parts = lists.into_iter().flat_map(|(letter, list)| {
        list.iter().enumerate().map(move |(n, minor)| (format!("{letter}{}", n + 1), *minor))
    });
    let plain = [
        ("C#", number(slip.check.map(u64::from))),
        ("CV", number(slip.covers.map(u64::from))),
        ("ST", number(slip.serving.map(u64::from))),
        ("T#", number(slip.table.map(u64::from))),
        ("PX", number(slip.persons.map(u64::from))),
        ("TP", slip.tip.map(money)),
        ("SC", slip.service.map(money)),
        ("PM", slip.payment.clone()),
        ("CO", slip.over_limit.then(|| "Y".to_owned())),
        ("ID", slip.user.clone()),
        ("WS", slip.workstation.clone()),
        ("X1", slip.remark.as_ref().map(|text| text.chars().take(25).collect())),
    ];
    let record = plain.into_iter().fold(record, |record, (id, value)| match value {
        Some(value) => record.with(id, value),
        None => record,
    });
    parts.fold(record, |record, (id, minor)| record.with(&id, money(minor)))
}

fn with_call(record: Record, call: &Call) -> Record {
    let record = match &call.dialled {
        Some(dialled) => record.with("DD", dialled.reveal().as_str()),
        None => record,
    };
    let record = match call.seconds {
        Some(all) => record.with("DU", format!("{:02}{:02}{:02}", all / 3600, all / 60 % 60, all % 60)),
        None => record,
    };
    match call.pulses {
        Some(pulses) => record.with("MP", pulses.to_string()),
        None => record,
    }
}

/// What a charge needs among the link's uses.
pub(super) fn posting_use(detail: &PostingDetail) -> Use {
    match detail {
        PostingDetail::Plain => Use::Postings,
        PostingDetail::Slip(_) => Use::Slips,
        PostingDetail::Minibar(_) => Use::Minibar,
        PostingDetail::Call(_) => Use::Telephone,
        PostingDetail::Guest { .. } => Use::Inquiry,
    }
}

/// What a request needs among the link's uses.
pub(super) fn request_uses(request: &PmsRequest) -> Vec<Use> {
    match request {
        PmsRequest::ReadMessage { .. } | PmsRequest::MessageRead { .. } | PmsRequest::LeaveMessage { .. } => {
            vec![Use::Messages]
        }
        PmsRequest::Bill { .. } | PmsRequest::CheckOut { .. } => vec![Use::Bill],
        PmsRequest::Locate { .. } => vec![Use::Locator],
        PmsRequest::FindGuests { .. } => vec![Use::Inquiry],
        PmsRequest::RoomReport { report, .. } => {
            let reports = report.user.is_some() || report.note.is_some() || report.units.is_some();
            let needed = [
                (report.status.is_some() && !reports, Use::RoomStatus),
                (reports, Use::RoomReports),
                (report.voice_mail.is_some(), Use::VoiceMail),
            ];
            needed.into_iter().filter(|(used, _)| *used).map(|(_, needed)| needed).collect()
        }
    }
}

/// How long an answer is waited for.
pub(super) enum Patience {
    /// As for most.
    Answer,
    /// As for PR.
    Inquiry,
}

/// The question that a request asks; `None` where it has no answer.
pub(super) fn question(
    key: &CommandKey,
    request: &PmsRequest,
    due: impl Fn(Patience) -> Timestamp,
) -> Option<Question> {
    let (about, place, number) = match request {
        PmsRequest::ReadMessage { room, stay, .. } => (About::Message, Some((room, stay)), None),
        PmsRequest::Bill { room, stay } => (About::Bill, Some((room, stay)), None),
        PmsRequest::CheckOut { room, stay, .. } => (About::CheckOut, Some((room, stay)), None),
        PmsRequest::Locate { room, stay } => (About::Place, Some((room, stay)), None),
        PmsRequest::FindGuests { number, .. } => (About::Guests, None, Some(*number)),
        PmsRequest::MessageRead { .. } | PmsRequest::LeaveMessage { .. } | PmsRequest::RoomReport { .. } => {
            return None;
        }
    };
    let patience = if about == About::Guests { Patience::Inquiry } else { Patience::Answer };
    Some(Question {
        key: key.clone(),
        about,
        room: place.map(|(room, _)| room.clone()),
        stay: place.map(|(_, stay)| stay.clone()).filter(is_numbered),
        number,
        due: due(patience),
    })
}

/// The record of a request.
///
/// # Errors
/// In plain words, where the site's codes lack what is to be told.
pub(super) fn request(
    request: &PmsRequest,
    config: &PmsConfig,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Record, String> {
    let of = |id: &str, room: &RoomId, stay: &StayId| {
        let record = Record::new(id).with("RN", room.as_str());
        if is_numbered(stay) { record.with("G#", stay.as_str()) } else { record }
    };
    Ok(match request {
        PmsRequest::ReadMessage { room, stay, message, keep_unread } => {
            let record = of("XM", room, stay);
            let record = match message {
                Some(message) => record.with("MI", message.as_str()),
                None => record,
            };
            if *keep_unread { record.with("RT", "0") } else { record }
        }
        PmsRequest::MessageRead { room, stay, message } => of("XD", room, stay).with("MI", message.as_str()),
        PmsRequest::LeaveMessage { room, stay, text, reference } => {
            let record = of("XL", room, stay).with("MT", text.reveal().as_str());
            with_clock(record.with("$J", reference.to_string()), now, zone)
        }
        PmsRequest::Bill { room, stay } => of("XR", room, stay),
        PmsRequest::CheckOut { room, stay, balance } => {
            let balance = scaled(balance, config.amount_digits).to_string();
            with_clock(of("XC", room, stay).with("BA", balance), now, zone)
        }
        PmsRequest::Locate { room, stay } => of("LP", room, stay),
        PmsRequest::FindGuests { number, query, outlet, most } => {
            let mut record = Record::new("PR")
                .with("PM", "ROOM")
                .with("WS", WORKSTATION)
                .with("PI", query.reveal().as_str())
                .with("P#", number.to_string());
            if let Some(outlet) = outlet {
                record = record.with("SO", outlet.as_str());
            }
            if let Some(most) = most {
                record = record.with("MX", most.to_string());
            }
            with_clock(record, now, zone)
        }
        PmsRequest::RoomReport { room, report } => {
            room_report(Record::new("RE").with("RN", room.as_str()), report, config)?
        }
    })
}

fn room_report(mut record: Record, report: &RoomReport, config: &PmsConfig) -> Result<Record, String> {
    if let Some(status) = &report.status {
        let code = config.status_code(status);
        record = record.with("RS", code.ok_or_else(|| format!("the site has no code for `{status}`"))?);
    }
    if let Some(units) = report.units {
        record = record.with("PU", units.to_string());
    }
    if let Some(user) = &report.user {
        record = record.with("ID", user.as_str());
    }
    if let Some(note) = &report.note {
        // The two go together (FIAS 2.20, RE); printer 0 is the one that the PMS is set to.
        record = record.with("PP", "0").with("CT", note.reveal().as_str());
    }
    if let Some(mail) = report.voice_mail {
        let code = match (mail.unheard, mail.heard) {
            (0, 0) => "N".to_owned(),
            (unheard, heard) => format!("{unheard:02}{heard:02}"),
        };
        record = record.with("VM", code);
    }
    Ok(record)
}

/// KA, or KZ where a card was read.
pub(super) fn key_answer(answer: &KeyAnswer, now: Timestamp, zone: &TimeZone) -> Record {
    let read = answer.kind == KeyKind::Read;
    let mut record = Record::new(if read { "KZ" } else { "KA" }).with("KC", answer.coder.as_str());
    let stay = answer.stay.as_ref().filter(|stay| is_numbered(stay)).map(StayId::as_str);
    let card = answer.card.as_ref().filter(|_| !read).map(|card| card.reveal().as_str());
    let fields = [
        ("WS", answer.workstation.as_deref()),
        ("AS", Some(answer.status.as_str())),
        ("CT", answer.text.as_deref()),
        ("RN", answer.room.as_ref().filter(|_| read).map(RoomId::as_str)),
        ("G#", stay),
        ("$2", card),
    ];
    for (id, value) in fields {
        if let Some(value) = value {
            record = record.with(id, value.chars().take(40).collect::<String>());
        }
    }
    with_clock(record, now, zone)
}

/// The amount in the digits that the site's PMS wants. The house refuses amounts that would not fit (`MOST_AMOUNT` of the
/// model), so that the bound is never reached.
fn scaled(amount: &Money, digits: Option<u8>) -> i64 {
    amount.for_pms(digits).unwrap_or(if amount.minor.is_negative() { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::Currency;

    #[test]
    fn amounts_in_the_sites_digits() {
        let money = |minor, code| Money { minor, currency: Currency::new(code).unwrap() };
        for (amount, digits, want) in [
            (money(1050, "EUR"), None, 1050),
            (money(1500, "JPY"), None, 1500),
            (money(1500, "JPY"), Some(2), 150_000),
            (money(1050, "EUR"), Some(0), 11),
            (money(-1050, "EUR"), Some(0), -11),
            (money(i64::MAX, "JPY"), Some(2), i64::MAX),
        ] {
            assert_eq!(scaled(&amount, digits), want);
        }
    }
}
