//! What of the documents and the journal is about one stay: for a guest who asks what is known of them.
//!
//! A row is a stay's where a field `stay` anywhere in it says so: charges have it at their top, what happened at the desk
//! within `what`, what was asked for within the command. What names a room alone, such as a call that was charged, is
//! the stay's where it was in that room at the time and no other guest was; where there were several, nobody knows whose it
//! was, and another guest's must not be given away: it is counted and left out. So is what happened while a guest was in the
//! house who was erased since: which room that was is sealed, and its key is gone.

use super::keyring::Keyring;
use super::{fields, records};
use crate::StoreError;
use engawa_model::{Lane, Timestamp};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Documents, and rows of each lane of the journal, that an export holds at most: the newest; the others are counted.
const MOST: usize = 10_000;
/// Documents and rows that may be of a guest who is named by the room alone.
const OF_ROOMS: [&str; 7] =
    ["posting", "wake_up", "command", "charge", "charge_proposed", "command_accepted", "desk"];

/// When a guest was in which rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Microseconds.
    pub(crate) from: i64,
    /// Microseconds.
    pub(crate) until: i64,
    pub(crate) rooms: Vec<String>,
    /// Those of them that another guest had in that time, too.
    pub(crate) shared: Vec<String>,
    /// When somebody was in the house whose rooms can't be told any more, since the guest was erased: any room may have been
    /// theirs, too. First and last microsecond of each time.
    pub(crate) dark: Vec<(i64, i64)>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) documents: Vec<Value>,
    pub(crate) journal: Vec<Value>,
    /// Found, and left out for [`MOST`].
    pub(crate) left_out: usize,
    /// Of a room that the guest shared or may have shared, and of nobody by name.
    pub(crate) of_shared_rooms: usize,
}

/// How a row is the stay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// It says so.
    Named,
    /// By its room.
    Room,
    /// One of several guests'.
    Shared,
}

/// True where a field `name` within `value` is this text.
fn says(value: &Value, name: &str, text: &str) -> bool {
    match value {
        Value::Object(fields) => {
            fields.iter().any(|(field, value)| (field == name && value == text) || says(value, name, text))
        }
        Value::Array(values) => values.iter().any(|value| says(value, name, text)),
        _ => false,
    }
}

/// True where any stay is named.
fn names_somebody(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(field, value)| (field == "stay" && value.is_string()) || names_somebody(value)),
        Value::Array(values) => values.iter().any(names_somebody),
        _ => false,
    }
}

/// A stored row.
struct Row {
    kind: String,
    key: String,
    body: Vec<u8>,
    at_us: i64,
}

struct Search<'a> {
    connection: &'a Connection,
    keyring: &'a Keyring,
    stay: &'a str,
    spans: &'a [Span],
    /// As they stand in a row's text: what has none of them need not be parsed.
    needles: Vec<String>,
}

/// What is held of `stay`, whose guest was in the house in `spans`.
pub(crate) fn of(
    connection: &Connection,
    keyring: &Keyring,
    stay: &str,
    spans: &[Span],
) -> Result<Held, StoreError> {
    let rooms = spans.iter().flat_map(|span| &span.rooms);
    let needles = rooms.map(String::as_str).chain([stay]).map(|text| json!(text).to_string()).collect();
    let search = Search { connection, keyring, stay, spans, needles };
    let mut held = Held::default();
    let mut documents =
        search.rows("SELECT kind, key, body, changed_us FROM state WHERE ?1 IS NOT NULL", 0, &mut held)?;
    held.documents.append(&mut documents);
    for lane in Lane::ALL.into_iter().filter(|lane| *lane != Lane::Telemetry) {
        let sql = "SELECT kind, CAST(seq AS TEXT), body, at_us FROM journal WHERE lane = ?1";
        let mut rows = search.rows(sql, lane.number(), &mut held)?;
        held.journal.append(&mut rows);
    }
    held.journal.sort_by(|one, other| other["at"].as_str().cmp(&one["at"].as_str()));
    Ok(held)
}

impl Search<'_> {
    /// The rows of `sql` that are the stay's, the newest first.
    fn rows(&self, sql: &str, lane: u8, held: &mut Held) -> Result<Vec<Value>, StoreError> {
        let doing = StoreError::sql("reading what is held of a stay");
        let newest_first = format!("{sql} ORDER BY 4 DESC");
        let mut statement = self.connection.prepare(&newest_first).map_err(&doing)?;
        let mut rows = statement.query([lane]).map_err(&doing)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(&doing)? {
            let get = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
                Ok(Row { kind: row.get(0)?, key: row.get(1)?, body: row.get(2)?, at_us: row.get(3)? })
            };
            let row = get(row).map_err(&doing)?;
            let Some((whose, body)) = self.judged(&row, lane == 0)? else { continue };
            if whose == Whose::Shared {
                held.of_shared_rooms += 1;
            } else if found.len() >= MOST {
                held.left_out += 1;
            } else {
                let at = Timestamp::from_microsecond(row.at_us).unwrap_or(Timestamp::UNIX_EPOCH);
                let mut told = json!({ "kind": row.kind, "key": row.key, "at": at, "body": body });
                if whose == Whose::Room
                    && let Some(told) = told.as_object_mut()
                {
                    told.insert("by".to_owned(), json!("room"));
                }
                found.push(told);
            }
        }
        Ok(found)
    }

    /// Whether the row is the stay's, and how; its body as it reads with the personal fields.
    fn judged(&self, row: &Row, is_document: bool) -> Result<Option<(Whose, Value)>, StoreError> {
        let text = String::from_utf8_lossy(&row.body);
        let own = is_document && row.key == self.stay && is_by_stay(&row.kind);
        if !own && !self.needles.iter().any(|needle| text.contains(needle.as_str())) {
            return Ok(None);
        }
        let Ok(mut body) = serde_json::from_slice::<Value>(&row.body) else { return Ok(None) };
        let whose = if own || says(&body, "stay", self.stay) {
            Whose::Named
        } else {
            match self.by_room(row, &body) {
                Some(whose) => whose,
                None => return Ok(None),
            }
        };
        if is_document
            && whose != Whose::Shared
            && let Some(kind) = fields::of(&row.kind)
        {
            let mut whole = row.body.clone();
            records::unseal(self.connection, self.keyring, kind, &row.key, &mut whole)?;
            body = serde_json::from_slice(&whole).unwrap_or(body);
        }
        Ok(Some((whose, body)))
    }

    fn by_room(&self, row: &Row, body: &Value) -> Option<Whose> {
        if !OF_ROOMS.contains(&row.kind.as_str()) || names_somebody(body) {
            return None;
        }
        // A document tells when it was asked for; it may have changed long after.
        let asked = body["asked"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let at = asked.map_or(row.at_us, Timestamp::as_microsecond);
        let span = self.spans.iter().find(|span| {
            (span.from..=span.until).contains(&at) && span.rooms.iter().any(|room| says(body, "room", room))
        })?;
        let shared = span.shared.iter().any(|room| says(body, "room", room))
            || span.dark.iter().any(|(from, until)| (*from..=*until).contains(&at));
        Some(if shared { Whose::Shared } else { Whose::Room })
    }
}

/// True for documents that are kept under the stay's own number.
fn is_by_stay(kind: &str) -> bool {
    matches!(kind, "stay" | "messages" | "arrival")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_is_named_at_any_depth_and_by_its_whole_number() {
        for (body, named) in [
            (json!({ "stay": "4711" }), true),
            (json!({ "what": { "event": "message_left", "stay": "4711" } }), true),
            (json!({ "command": { "action": { "do": "post", "stay": "4711" } } }), true),
            (json!({ "what": { "request": [{ "stay": "4711" }] } }), true),
            (json!({ "stay": "47110" }), false),
            (json!({ "room": "4711" }), false),
            (json!({ "stay": null, "text": "stay 4711" }), false),
        ] {
            assert_eq!(says(&body, "stay", "4711"), named, "{body}");
        }
        assert!(!names_somebody(&json!({ "stay": null, "of": [{ "stay": null }] })));
        assert!(names_somebody(&json!({ "of": [{ "stay": "1" }] })));
    }
}
