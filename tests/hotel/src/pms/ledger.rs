//! The bills: a posting (PS) is booked once, refused with the code that says why, or put off.

use super::{Out, Pms, with_clock};
use crate::fias::Record;
use crate::played::Happened;
use jiff::civil::DateTime;
use std::collections::BTreeMap;

/// P# has at most eight digits.
const LAST_NUMBER: u32 = 99_999_999;

/// What became of the postings, by number. It grows by one entry a posting and lives for a day.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<u32, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// AS of its answer.
    status: &'static str,
    /// What was asked: a number that comes again with something else is another posting's.
    asked: Asked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    room: String,
    stay: String,
    minor: i64,
    text: String,
}

impl Pms {
    pub(super) fn posting(&mut self, now: DateTime, record: &Record) -> Vec<Out> {
        let field = |id| record.get(id).unwrap_or_default().to_owned();
        let number = record.get("P#").and_then(|text| text.parse::<u32>().ok());
        let number = number.filter(|number| (1..=LAST_NUMBER).contains(number));
        let minor = record.get("TA").and_then(|text| text.parse::<i64>().ok());
        let (Some(number), Some(minor)) = (number, minor) else {
            // Without a number or an amount nothing can be booked, now or later.
            return self.answer(now, "UR", &field("RN"), record.get("P#"), "no number or no amount");
        };
        let asked = Asked { room: field("RN"), stay: field("G#"), minor, text: field("CT") };
        let before = self.ledger.entries.get(&number).cloned();
        let (status, mut outs) = match before {
            Some(entry) if entry.asked == asked => (entry.status, vec![]),
            Some(_) => ("UR", vec![]),
            // Put off, not refused: the same number may come again when the audit is over.
            None if self.audit => ("NA", vec![]),
            None => {
                let status = self.judge(&asked, &field("PT"));
                let outs =
                    vec![Out::Log(self.entered(number, status, &asked)), Out::Settled(asked.text.clone())];
                self.ledger.entries.insert(number, Entry { status, asked: asked.clone() });
                (status, outs)
            }
        };
        let words = if status == "OK" { "Posting successful." } else { "" };
        outs.extend(self.answer(now, status, &asked.room, Some(&number.to_string()), words));
        outs
    }

    /// The answer status for a posting that was not seen before.
    fn judge(&self, asked: &Asked, kind: &str) -> &'static str {
        if kind != "C" || asked.minor <= 0 {
            // This house has no priced articles and gives no credit over the interface.
            return "UR";
        }
        if !self.rooms.contains(&asked.room) {
            return "NG";
        }
        let mut inside = self.house.values().filter(|present| present.room == asked.room);
        let guest = if asked.stay.is_empty() {
            inside.next()
        } else {
            inside.find(|present| present.guest.stay == asked.stay)
        };
        match guest {
            None => "NG",
            Some(present) if present.guest.no_post => "NP",
            Some(_) => "OK",
        }
    }

    fn entered(&self, number: u32, status: &'static str, asked: &Asked) -> Happened {
        if status != "OK" {
            return Happened::Refused { number, status };
        }
        let Asked { room, stay, minor, text } = asked.clone();
        Happened::Booked { number, room, stay, minor, currency: self.currency.clone(), text }
    }

    fn answer(&self, now: DateTime, status: &str, room: &str, number: Option<&str>, words: &str) -> Vec<Out> {
        let record = Record::new("PA").with("AS", status).with("RN", room);
        let record = record.with("P#", number.unwrap_or_default()).with("CT", words);
        self.send(with_clock(record, now)).into_iter().collect()
    }
}
