//! What a record says, as one sentence.

use super::words::RECORDS;
use super::{Reading, name_of};

impl Reading {
    pub(super) fn sentence(&self, id: &str, title: &'static str) -> String {
        let room =
            self.filled("RN").map_or_else(|| "an unnamed room".to_owned(), |room| format!("room {room}"));
        let who =
            self.filled("G#").map_or_else(|| "the guest".to_owned(), |stay| format!("reservation {stay}"));
        let listed = if self.value("SF").is_some() { "in the list: " } else { "" };
        match id {
            "GI" if !listed.is_empty() => format!("{listed}{who} is in {room}"),
            "GI" => format!("check-in: {who} comes to {room}"),
            "GO" if self.filled("G#").is_none() => format!("{listed}{room} is vacant"),
            "GO" => format!("{listed}check-out: {who} leaves {room}"),
            "GC" => match self.filled("RO") {
                Some(from) => format!("{who} moves from room {from} to {room}"),
                None => format!("what is known of {who} in {room} changes"),
            },
            "PS" => {
                let amount =
                    self.filled("TA").map_or_else(String::new, |amount| format!(" of {amount} minor units"));
                let number =
                    self.filled("P#").map_or_else(String::new, |number| format!(", number {number}"));
                format!("a charge{amount} to {room}{number}")
            }
            "PA" => {
                let number = self
                    .filled("P#")
                    .map_or_else(|| "a charge".to_owned(), |number| format!("charge {number}"));
                match (self.filled("AS"), self.means("AS")) {
                    (Some("OK"), _) => format!("{number} is booked"),
                    (_, Some(means)) => format!("{number} is not booked: {means}"),
                    (Some(status), None) => format!("{number} is answered with {status}"),
                    (None, None) => format!("{number} is answered without a status"),
                }
            }
            "RE" => {
                let told = ["RS", "DN", "ML", "CS", "MR", "TV"];
                let told = told.iter().filter_map(|field| {
                    let value = self.filled(field)?;
                    Some(format!("{} {}", name_of(field), self.means(field).unwrap_or(value)))
                });
                let told: Vec<_> = told.collect();
                if told.is_empty() {
                    format!("something of {room}")
                } else {
                    format!("{room}: {}", told.join(", "))
                }
            }
            "LR" => {
                let of = self.filled("RI").unwrap_or("?");
                let title =
                    RECORDS.iter().find(|record| record.id == of).map_or("an unknown record", |r| r.title);
                format!("asks for {of} ({title})")
            }
            "WR" | "WC" | "WA" => {
                let when = self.means("TI").map_or_else(String::new, |time| format!(" at {time}"));
                let on = self.means("DA").map_or_else(String::new, |date| format!(" on {date}"));
                let how = self.means("AS").map_or_else(String::new, |how| format!(": {how}"));
                format!("{title}: {room}{on}{when}{how}")
            }
            _ if self.filled("RN").is_some() => format!("{title}: {room}"),
            _ => title.to_owned(),
        }
    }
}
