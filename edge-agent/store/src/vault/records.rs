//! Records in the database, and their sealed fields.

use super::keyring::Keyring;
use super::seal::{self, Place};
use super::{RecordId, fields};
use crate::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The kind of the one field that is no document's own: [`About`].
pub(crate) const ABOUT: &str = "about";

/// One stay of one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: RecordId,
    pub(crate) stay: String,
    pub(crate) since_us: i64,
    pub(crate) left_us: Option<i64>,
}

/// What is kept of a stay beside the guest's own particulars; sealed like them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Every room that the guest was in, the last one last.
    pub(crate) rooms: Vec<String>,
    pub(crate) arrival: Option<String>,
    pub(crate) departure: Option<String>,
    pub(crate) language: Option<String>,
}

/// (kind, key, field) to (version, value).
pub(crate) type Opened = BTreeMap<(String, String, String), (u64, Value)>;

const COLUMNS: &str = "subject, stay, since_us, left_us";

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { id: row.get(0)?, stay: row.get(1)?, since_us: row.get(2)?, left_us: row.get(3)? })
}

/// The record of a stay that is in the house.
pub(crate) fn present(main: &Connection, stay: &str) -> Result<Option<Record>, StoreError> {
    main.prepare_cached(&format!("SELECT {COLUMNS} FROM vault_subject WHERE stay = ?1 AND left_us IS NULL"))
        .and_then(|mut statement| statement.query_row([stay], record).optional())
        .map_err(StoreError::sql("reading a guest's record"))
}

/// Every record of a reservation number, the newest first.
pub(crate) fn of_stay(main: &Connection, stay: &str) -> Result<Vec<Record>, StoreError> {
    main.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM vault_subject WHERE stay = ?1 ORDER BY since_us DESC"
    ))
    .and_then(|mut statement| statement.query_map([stay], record)?.collect())
    .map_err(StoreError::sql("reading a guest's records"))
}

/// The record with this name.
pub(crate) fn by_id(main: &Connection, id: &RecordId) -> Result<Option<Record>, StoreError> {
    main.prepare_cached(&format!("SELECT {COLUMNS} FROM vault_subject WHERE subject = ?1"))
        .and_then(|mut statement| statement.query_row([id], record).optional())
        .map_err(StoreError::sql("reading a guest's record"))
}

/// Every record that fits `condition`.
pub(crate) fn all(main: &Connection, condition: &str) -> Result<Vec<Record>, StoreError> {
    main.prepare(&format!("SELECT {COLUMNS} FROM vault_subject WHERE {condition}"))
        .and_then(|mut statement| statement.query_map([], record)?.collect())
        .map_err(StoreError::sql("reading the guests' records"))
}

fn place<'a>(id: &'a RecordId, kind: &'a str, key: &'a str, field: &'a str, version: u64) -> Place<'a> {
    Place { table: "vault_field", column: field, row: [id, kind.as_bytes(), key.as_bytes()], version }
}

/// `value` sealed for its place.
pub(crate) fn sealed(
    data_key: &[u8; 32],
    id: &RecordId,
    (kind, key, field): (&str, &str, &str),
    version: u64,
    value: &Value,
) -> Result<Vec<u8>, StoreError> {
    let plain = zeroize::Zeroizing::new(value.to_string());
    seal::seal(data_key, &place(id, kind, key, field, version), plain.as_bytes())
}

/// Every field of a record, opened with its key.
pub(crate) fn open_all(main: &Connection, data_key: &[u8; 32], id: &RecordId) -> Result<Opened, StoreError> {
    let doing = StoreError::sql("reading a guest's fields");
    let mut statement = main
        .prepare_cached("SELECT kind, key, field, version, sealed FROM vault_field WHERE subject = ?1")
        .map_err(&doing)?;
    let mut rows = statement.query(params![id]).map_err(&doing)?;
    let mut opened = Opened::new();
    while let Some(row) = rows.next().map_err(&doing)? {
        let get = |n| row.get::<_, String>(n).map_err(&doing);
        let (kind, key, field) = (get(0)?, get(1)?, get(2)?);
        let version = row.get::<_, i64>(3).map_err(&doing)?.cast_unsigned();
        let sealed: Vec<u8> = row.get(4).map_err(&doing)?;
        let plain = seal::open(data_key, &place(id, &kind, &key, &field, version), &sealed)
            .ok_or(StoreError::Damaged("a guest's field"))?;
        let value =
            serde_json::from_slice(&plain).map_err(|_| StoreError::Damaged("a guest's opened field"))?;
        opened.insert((kind, key, field), (version, value));
    }
    Ok(opened)
}

/// What is kept of the stay, of its opened fields.
pub(crate) fn about(opened: &Opened) -> About {
    let found = opened.get(&(ABOUT.to_owned(), String::new(), "/".to_owned()));
    found.and_then(|(_, value)| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

/// The reservation number of the stay that a document belongs to; a word of its own for a document of no stay, which is no
/// reservation number since it begins with a control character.
pub(crate) fn owner(kind: &fields::Kind, key: &str, document: &Value) -> String {
    let named = match kind.owner {
        fields::Owner::Itself | fields::Owner::Key => Some(key),
        fields::Owner::Field(pointer) => document.pointer(pointer).and_then(Value::as_str),
    };
    named.map_or_else(|| own(kind, key), str::to_owned)
}

/// The owner of a document of no stay.
pub(crate) fn own(kind: &fields::Kind, key: &str) -> String {
    format!("\u{1}{} {key}", kind.kind)
}

/// True for the owner of a document of no stay.
pub(crate) fn is_own(owner: &str) -> bool {
    owner.starts_with('\u{1}')
}

/// Puts the personal fields of a stored document back, where its record's key is there. A stay whose data was erased is
/// marked so.
pub(crate) fn unseal(
    main: &Connection,
    keyring: &Keyring,
    kind: &fields::Kind,
    key: &str,
    body: &mut Vec<u8>,
) -> Result<(), StoreError> {
    // A document that is no JSON is told of by the model, with its name.
    let Ok(mut document) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
    let stay = owner(kind, key, &document);
    let itself = kind.owner == fields::Owner::Itself;
    // A stay without a record of its own must not get the name of an older one of its number.
    let records = if itself { present(main, &stay)?.into_iter().collect() } else { of_stay(main, &stay)? };
    for record in records {
        let mut found = false;
        match keyring.data_key(&record.id)? {
            Some(data_key) => {
                for ((of, its, field), (_, value)) in open_all(main, &data_key, &record.id)? {
                    if of == kind.kind && its == key {
                        fields::put_back(&mut document, &field, value);
                        found = true;
                    }
                }
            }
            None if itself && keyring.was_destroyed(&record.id)? => {
                fields::put_back(&mut document, "/erased", Value::Bool(true));
            }
            None => {}
        }
        if found {
            break;
        }
    }
    *body = document.to_string().into_bytes();
    Ok(())
}

/// How many guests in the house have a record whose key is not there.
pub(crate) fn dark(main: &Connection, keyring: &Keyring) -> Result<usize, StoreError> {
    let mut dark = 0;
    for record in all(main, "left_us IS NULL")? {
        if keyring.data_key(&record.id)?.is_none() {
            dark += 1;
        }
    }
    Ok(dark)
}
