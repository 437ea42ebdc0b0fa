//! The records that the gateway sends.

use crate::codec::Record;
use crate::config::PmsConfig;
use engawa_model::{Money, PostingNumber, RoomId, StayId, Timestamp};
use jiff::tz::TimeZone;

/// What is asked of the PMS, record by record: as few fields as the house needs, since the PMS sends only these
/// and free fields (A0 to A9) carry birth dates and telephone numbers at some sites.
const ASKED: [(&str, &str); 8] = [
    ("GI", "RNG#GSGNGFGTGLGVGAGDSF"),
    ("GC", "RNG#GSGNGFGTGLGVGAGDRO"),
    ("GO", "RNG#GSSF"),
    ("RE", "RNG#RSDNMLCSMRTV"),
    ("PS", "RNG#PTTAP#CTSODATI"),
    ("PA", "RNASP#CTDATI"),
    ("NS", "DATI"),
    ("NE", "DATI"),
];

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
    let requests = ASKED
        .iter()
        .chain(&super::wake::ASKED)
        .map(|(id, fields)| Record::new("LR").with("RI", *id).with("FL", *fields));
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
}

impl Posting<'_> {
    /// PS with a direct charge (PT C).
    pub(super) fn record(&self, now: Timestamp, zone: &TimeZone, digits: Option<u8>) -> Record {
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

/// The amount in the digits that the site's PMS wants. The house refuses amounts that would not fit (`MOST_AMOUNT` of the
/// model), so that the bound is never reached.
fn scaled(amount: &Money, digits: Option<u8>) -> i64 {
    amount.for_pms(digits).unwrap_or(if amount.minor < 0 { i64::MIN } else { i64::MAX })
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
