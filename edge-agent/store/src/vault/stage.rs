//! What a commit writes into the vault: worked out before the transaction, keys first.

use super::index::Entry;
use super::keyring::{KeyWrites, Keyring};
use super::records::{self, ABOUT, About, Opened};
use super::{RecordId, erasure, fields, seal};
use crate::StoreError;
use engawa_model::Timestamp;
use rusqlite::{Connection, Transaction, params};
use serde_json::Value;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Rooms of one stay that are remembered; past it the oldest goes.
const MOST_ROOMS: usize = 16;

/// What waits for the transaction.
#[derive(Default)]
pub(crate) struct Stage {
    keys: KeyWrites,
    new: Vec<New>,
    rows: Vec<SealedRow>,
    gone: Vec<(RecordId, String, String, String)>,
    documents_gone: Vec<(String, String)>,
    left: Vec<(RecordId, i64)>,
    /// Stays without a record that are over: of guests who were erased while in the house.
    erased_left: Vec<(String, i64)>,
    /// Records whose key is lost, and whose stay has a new one now.
    replaced: Vec<RecordId>,
}

/// A record that is made.
struct New {
    id: RecordId,
    stay: String,
    since_us: i64,
    /// Since when its time runs: at once where nobody in the house has it.
    left_us: Option<i64>,
}

struct SealedRow {
    id: RecordId,
    kind: String,
    key: String,
    field: String,
    version: u64,
    sealed: Vec<u8>,
}

/// A record that is being written.
struct Open {
    id: RecordId,
    key: Zeroizing<[u8; 32]>,
    opened: Opened,
    is_new: bool,
}

impl Stage {
    /// Takes the personal fields out of a document that is to be stored; gives the document without them.
    pub(crate) fn document(
        &mut self,
        main: &Connection,
        keyring: &Keyring,
        (kind, key): (&fields::Kind, &str),
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, StoreError> {
        let mut document: Value = serde_json::from_slice(body)
            .map_err(|_| StoreError::Damaged("a document that is to be stored"))?;
        let taken = fields::take(kind, &mut document);
        let clean = document.to_string().into_bytes();
        if document.pointer("/erased") == Some(&Value::Bool(true)) {
            return Ok(clean);
        }
        let itself = kind.owner == fields::Owner::Itself;
        if !itself && taken.is_empty() {
            self.documents_gone.push((kind.kind.to_owned(), key.to_owned()));
            return Ok(clean);
        }
        let stay = records::owner(kind, key, &document);
        let since = if itself { since(&document) } else { None };
        let open = if itself {
            self.record(main, keyring, &stay, since, now)?
        } else {
            self.record_of_document(main, keyring, &stay, now)?
        };
        let mut fresh: BTreeMap<_, _> =
            taken.iter().map(|(field, value)| (slot(kind.kind, key, field), value.clone())).collect();
        if itself {
            let about = about(records::about(&open.opened), &document);
            fresh.insert(slot(ABOUT, "", "/"), serde_json::to_value(&about).unwrap_or_default());
            let of_stay =
                open.opened.iter().filter(|(slot, _)| [ABOUT, kind.kind].contains(&slot.0.as_str()));
            let before: BTreeMap<_, _> =
                of_stay.map(|(slot, (_, value))| (slot.clone(), value.clone())).collect();
            if open.is_new || before != fresh {
                let tokens = entry(&stay, &about, |field| taken.get(field)).tokens(keyring.key.index());
                self.keys.tokens.push((open.id, tokens));
            }
        }
        self.write(&open, kind.kind, key, fresh)?;
        Ok(clean)
    }

    /// A document is gone: of a stay, because its guest has left.
    pub(crate) fn gone(
        &mut self,
        main: &Connection,
        (kind, key): (&fields::Kind, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match kind.owner {
            fields::Owner::Itself => match records::present(main, key)? {
                Some(record) => self.left.push((record.id, now.as_microsecond())),
                None => self.erased_left.push((key.to_owned(), now.as_microsecond())),
            },
            fields::Owner::Key | fields::Owner::Field(_) => {
                self.documents_gone.push((kind.kind.to_owned(), key.to_owned()));
            }
        }
        Ok(())
    }

    /// The record that a document of a guest lies under: the stay's. Where the guest has left, or there never was a stay,
    /// nothing will end the document's time later, so it lies under a record whose time runs already.
    fn record_of_document(
        &mut self,
        main: &Connection,
        keyring: &Keyring,
        stay: &str,
        now: Timestamp,
    ) -> Result<Open, StoreError> {
        let made_now = self.new.iter().any(|new| new.stay == stay);
        if made_now || records::present(main, stay)?.is_some() {
            return self.record(main, keyring, stay, None, now);
        }
        if let Some(record) = records::of_stay(main, stay)?.into_iter().next()
            && let Some(key) = keyring.data_key(&record.id)?
        {
            let opened = records::open_all(main, &key, &record.id)?;
            return Ok(Open { id: record.id, key, opened, is_new: false });
        }
        self.make(stay, now.as_microsecond(), Some(now.as_microsecond()))
    }

    fn make(&mut self, stay: &str, since_us: i64, left_us: Option<i64>) -> Result<Open, StoreError> {
        let (id, key) = (seal::random()?, seal::new_key()?);
        self.keys.keys.push((id, key.clone()));
        self.new.push(New { id, stay: stay.to_owned(), since_us, left_us });
        Ok(Open { id, key, opened: Opened::new(), is_new: true })
    }

    /// The record of a stay, opened; a new one where there is none, or where the reservation number has come again.
    fn record(
        &mut self,
        main: &Connection,
        keyring: &Keyring,
        stay: &str,
        since: Option<i64>,
        now: Timestamp,
    ) -> Result<Open, StoreError> {
        if let Some(New { id, .. }) = self.new.iter().find(|new| new.stay == stay) {
            // Another document of the same guest in the same commit.
            let key = self.keys.keys.iter().find(|(of, _)| of == id).map(|(_, key)| key.clone());
            if let Some(key) = key {
                return Ok(Open { id: *id, key, opened: Opened::new(), is_new: true });
            }
        }
        if let Some(record) = records::present(main, stay)? {
            match keyring.data_key(&record.id)? {
                Some(key) if since.is_none_or(|since| since == record.since_us) => {
                    let opened = records::open_all(main, &key, &record.id)?;
                    return Ok(Open { id: record.id, key, opened, is_new: false });
                }
                Some(_) => self.left.push((record.id, now.as_microsecond())),
                None => self.replaced.push(record.id),
            }
        }
        self.make(stay, since.unwrap_or(now.as_microsecond()), None)
    }

    /// Seals what has changed of one document, and drops what it no longer has.
    fn write(
        &mut self,
        open: &Open,
        kind: &str,
        key: &str,
        fresh: BTreeMap<(String, String, String), Value>,
    ) -> Result<(), StoreError> {
        for slot in open.opened.keys().filter(|slot| slot.0 == kind && slot.1 == key) {
            if !fresh.contains_key(slot) {
                self.gone.push((open.id, slot.0.clone(), slot.1.clone(), slot.2.clone()));
            }
        }
        for ((kind, key, field), value) in fresh {
            let before = open.opened.get(&(kind.clone(), key.clone(), field.clone()));
            if before.is_some_and(|(_, before)| *before == value) {
                continue;
            }
            let version = before.map_or(1, |(version, _)| version + 1);
            let place = (kind.as_str(), key.as_str(), field.as_str());
            let sealed = records::sealed(&open.key, &open.id, place, version, &value)?;
            self.rows.push(SealedRow { id: open.id, kind, key, field, version, sealed });
        }
        Ok(())
    }

    /// Writes the keys, so that they are durable before what they seal.
    pub(crate) fn write_keys(&self, keyring: &mut Keyring, now: Timestamp) -> Result<(), StoreError> {
        keyring.write(&self.keys, now.as_microsecond())
    }

    /// Writes the rest, in the transaction of the documents.
    pub(crate) fn write_rows(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for id in &self.replaced {
            for table in ["vault_field", "vault_subject"] {
                transaction
                    .prepare_cached(&format!("DELETE FROM {table} WHERE subject = ?1"))?
                    .execute([id])?;
            }
        }
        for (id, left_us) in &self.left {
            transaction
                .prepare_cached("UPDATE vault_subject SET left_us = ?2 WHERE subject = ?1")?
                .execute(params![id, left_us])?;
        }
        for (stay, left_us) in &self.erased_left {
            erasure::erased_has_left(transaction, stay, *left_us)?;
        }
        for New { id, stay, since_us, left_us } in &self.new {
            transaction
                .prepare_cached(
                    "INSERT INTO vault_subject (subject, stay, since_us, left_us) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![id, stay, since_us, left_us])?;
        }
        for (id, kind, key, field) in &self.gone {
            transaction
                .prepare_cached(
                    "DELETE FROM vault_field WHERE subject = ?1 AND kind = ?2 AND key = ?3 AND field = ?4",
                )?
                .execute(params![id, kind, key, field])?;
        }
        for (kind, key) in &self.documents_gone {
            transaction
                .prepare_cached(
                    "DELETE FROM vault_field WHERE kind = ?1 AND key = ?2 AND kind NOT IN ('stay', 'about')",
                )?
                .execute(params![kind, key])?;
        }
        for row in &self.rows {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO vault_field (subject, kind, key, field, version, sealed)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    row.id,
                    row.kind,
                    row.key,
                    row.field,
                    row.version.cast_signed(),
                    row.sealed
                ])?;
        }
        Ok(())
    }
}

fn slot(kind: &str, key: &str, field: &str) -> (String, String, String) {
    (kind.to_owned(), key.to_owned(), field.to_owned())
}

/// When the house learnt of the check-in, microseconds: it tells one stay from a later one of the same number.
fn since(document: &Value) -> Option<i64> {
    let since: Timestamp = document.pointer("/since")?.as_str()?.parse().ok()?;
    Some(since.as_microsecond())
}

fn about(mut about: About, document: &Value) -> About {
    let text = |field| document.pointer(field).and_then(Value::as_str).map(str::to_owned);
    if let Some(room) = text("/room").filter(|room| about.rooms.last() != Some(room)) {
        about.rooms.retain(|known| *known != room);
        about.rooms.push(room);
        if about.rooms.len() > MOST_ROOMS {
            about.rooms.remove(0);
        }
    }
    About { arrival: text("/arrival"), departure: text("/departure"), language: text("/language"), ..about }
}

/// What a stay is found by.
pub(crate) fn entry<'a>(
    stay: &'a str,
    about: &'a About,
    field: impl Fn(&'static str) -> Option<&'a Value>,
) -> Entry<'a> {
    let text = |name| field(name).and_then(Value::as_str);
    Entry {
        stay,
        rooms: &about.rooms,
        name: text("/name"),
        first_name: text("/first_name"),
        phone: text("/phone"),
    }
}

/// Documents that an older release wrote with their personal fields are written anew without them, and the file is made
/// anew, so that no old page keeps them. Gives how many there were.
pub(crate) fn adopt(main: &mut Connection, keyring: &mut Keyring) -> Result<usize, StoreError> {
    let doing = StoreError::sql("moving personal data into the vault");
    let (mut stage, mut clean) = (Stage::default(), Vec::new());
    for kind in fields::KINDS {
        let documents: Vec<(String, Vec<u8>, i64)> = main
            .prepare("SELECT key, body, changed_us FROM state WHERE kind = ?1")
            .and_then(|mut statement| {
                statement.query_map([kind.kind], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
            })
            .map_err(&doing)?;
        for (key, body, changed_us) in documents {
            let Ok(mut document) = serde_json::from_slice::<Value>(&body) else { continue };
            // What stands instead of a field is no field.
            if fields::take(kind, &mut document).is_empty() {
                continue;
            }
            let changed = Timestamp::from_microsecond(changed_us).unwrap_or(Timestamp::UNIX_EPOCH);
            let body = stage.document(main, keyring, (kind, &key), &body, changed)?;
            clean.push((kind.kind, key, body));
        }
    }
    if clean.is_empty() {
        return Ok(0);
    }
    stage.write_keys(keyring, Timestamp::UNIX_EPOCH)?;
    let transaction = main.transaction().map_err(&doing)?;
    stage.write_rows(&transaction).map_err(&doing)?;
    for (kind, key, body) in &clean {
        transaction
            .execute("UPDATE state SET body = ?3 WHERE kind = ?1 AND key = ?2", params![kind, key, body])
            .map_err(&doing)?;
    }
    transaction.commit().map_err(&doing)?;
    main.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(&doing)?;
    Ok(clean.len())
}

/// Starts the clock of every record that nobody in the house has: what older releases left without one, or a fault of
/// this one would. How many there were.
pub(crate) fn start_clocks(main: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    main.execute(
        "UPDATE vault_subject SET left_us = ?1
         WHERE left_us IS NULL AND stay NOT IN (SELECT key FROM state WHERE kind = 'stay')",
        [now.as_microsecond()],
    )
    .map_err(StoreError::sql("starting the clocks of guests' records"))
}

/// Makes the indexes of who is in the house anew: after a crash the keys' file may be ahead of the database.
pub(crate) fn reindex(main: &Connection, keyring: &mut Keyring, now: Timestamp) -> Result<(), StoreError> {
    let mut writes = KeyWrites::default();
    for record in records::all(main, "left_us IS NULL")? {
        let Some(key) = keyring.data_key(&record.id)? else { continue };
        let opened = records::open_all(main, &key, &record.id)?;
        let about = records::about(&opened);
        let field =
            |name: &'static str| opened.get(&slot("stay", &record.stay, name)).map(|(_, value)| value);
        let tokens = entry(&record.stay, &about, field).tokens(keyring.key.index());
        writes.tokens.push((record.id, tokens));
    }
    keyring.write(&writes, now.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::VaultKey;
    use crate::{DATABASE_FILE, DatabaseKey, connect, migrations};
    use serde_json::json;

    struct Files {
        _dir: tempfile::TempDir,
        main: Connection,
        keyring: Keyring,
    }

    impl Files {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
            let vault_key = VaultKey::load_or_create(&dir.path().join("vault.key")).unwrap();
            let mut main = connect::connect(&dir.path().join(DATABASE_FILE), &key).unwrap();
            migrations::migrate_to(&mut main, migrations::LATEST).unwrap();
            let keyring = Keyring::open(dir.path(), &vault_key).unwrap();
            Self { _dir: dir, main, keyring }
        }

        /// Commits documents, `None` for one that is gone; gives what is stored of each.
        fn commit(&mut self, documents: &[(&str, &str, Option<Value>)]) -> Vec<Value> {
            let mut stage = Stage::default();
            let now = Timestamp::from_second(1_784_000_000).unwrap();
            let mut stored = Vec::new();
            for (kind, key, document) in documents {
                let of = (fields::of(kind).unwrap(), *key);
                match document {
                    Some(document) => {
                        let body = document.to_string().into_bytes();
                        let body = stage.document(&self.main, &self.keyring, of, &body, now).unwrap();
                        stored.push(serde_json::from_slice(&body).unwrap());
                    }
                    None => stage.gone(&self.main, of, now).unwrap(),
                }
            }
            stage.write_keys(&mut self.keyring, now).unwrap();
            let transaction = self.main.transaction().unwrap();
            stage.write_rows(&transaction).unwrap();
            transaction.commit().unwrap();
            stored
        }

        fn load(&self, kind: &str, key: &str, stored: &Value) -> Value {
            let mut body = stored.to_string().into_bytes();
            let kind = fields::of(kind).unwrap();
            records::unseal(&self.main, &self.keyring, kind, key, &mut body).unwrap();
            serde_json::from_slice(&body).unwrap()
        }

        fn count(&self, sql: &str) -> i64 {
            self.main.query_row(sql, [], |row| row.get(0)).unwrap()
        }
    }

    #[test]
    fn documents_of_a_stay_lie_under_its_key_and_go_with_it() {
        let mut files = Files::new();
        let stay = json!({ "id": "1", "room": "101", "name": "Sato", "since": "2026-07-15T10:00:00Z" });
        let messages = json!([{ "id": "8", "text": "taxi at six" }]);
        let call = json!({ "stay": "1", "detail": { "of": "call", "with": { "dialled": "5551234" } } });
        let whole = [
            ("stay", "1", Some(stay.clone())),
            ("messages", "1", Some(messages.clone())),
            ("posting", "7", Some(call.clone())),
        ];
        let stored = files.commit(&whole);
        assert!(!format!("{stored:?}").contains("taxi") && !format!("{stored:?}").contains("555"));
        assert_eq!(files.count("SELECT count(*) FROM vault_subject"), 1, "one key for all of a guest");
        for ((kind, key, document), stored) in whole.iter().zip(&stored) {
            assert_eq!(files.load(kind, key, stored), *document.as_ref().unwrap(), "{kind}");
        }
        // Fewer messages, then none.
        let stored = files.commit(&[("messages", "1", Some(json!([])))]);
        assert_eq!(files.load("messages", "1", &stored[0]), json!([]));
        files.commit(&[("posting", "7", None)]);
        assert_eq!(files.count("SELECT count(*) FROM vault_field WHERE kind IN ('messages', 'posting')"), 0);
        files.commit(&[("stay", "1", None)]);
        assert_eq!(files.count("SELECT count(*) FROM vault_subject WHERE left_us IS NULL"), 0);
    }

    #[test]
    fn a_document_of_no_stay_has_a_record_of_its_own() {
        let mut files = Files::new();
        let command = json!({ "command": { "action": { "do": "find-guests", "query": "Sato" } } });
        let stored = files.commit(&[("command", "k", Some(command.clone()))]);
        assert_eq!(stored[0]["command"]["action"]["query"], "");
        let timed = "SELECT count(*) FROM vault_subject WHERE left_us IS NOT NULL";
        assert_eq!(files.count(timed), 1, "nobody checks out who would end its time: it runs at once");
        let again = files.commit(&[("command", "k", Some(command.clone()))]);
        assert_eq!(files.load("command", "k", &again[0]), command);
        assert_eq!(
            files.count("SELECT count(*) FROM vault_subject"),
            1,
            "one record however often it is written"
        );
        assert_eq!(files.load("command", "k", &stored[0]), command);
        files.commit(&[("command", "k", None)]);
        assert_eq!(files.count("SELECT count(*) FROM vault_subject WHERE left_us IS NOT NULL"), 1);
        assert_eq!(files.count("SELECT count(*) FROM vault_field WHERE kind = 'command'"), 0);
        // One without anything personal has none.
        let plain = json!({ "command": { "action": { "do": "resync" } } });
        assert_eq!(files.commit(&[("command", "p", Some(plain.clone()))]), [plain]);
        assert_eq!(files.count("SELECT count(*) FROM vault_subject"), 1);
    }

    #[test]
    fn what_comes_after_the_check_out_ends_with_the_stay() {
        let mut files = Files::new();
        let stay = json!({ "id": "1", "room": "101", "name": "Sato", "since": "2026-07-15T10:00:00Z" });
        let call = json!({ "stay": "1", "detail": { "of": "call", "with": { "dialled": "5551234" } } });
        files.commit(&[("stay", "1", Some(stay))]);
        files.commit(&[("stay", "1", None)]);
        let stored = files.commit(&[("posting", "7", Some(call.clone()))]);
        assert_eq!(files.load("posting", "7", &stored[0]), call);
        assert_eq!(
            files.count("SELECT count(*) FROM vault_subject"),
            1,
            "under the key of the guest who has left"
        );
        // A guest of whom nothing is held any more: a record of its own, whose time runs.
        let late = json!({ "stay": "gone", "detail": { "of": "guest", "with": { "name": "Suzuki" } } });
        let stored = files.commit(&[("posting", "8", Some(late.clone()))]);
        assert_eq!(files.load("posting", "8", &stored[0]), late);
        assert_eq!(files.count("SELECT count(*) FROM vault_subject WHERE left_us IS NULL"), 0);
    }

    #[test]
    fn records_of_an_older_release_without_a_clock_get_one() {
        let mut files = Files::new();
        let stay = json!({ "id": "1", "room": "101", "name": "Sato", "since": "2026-07-15T10:00:00Z" });
        files.commit(&[("stay", "1", Some(stay.clone()))]);
        files.main.execute("INSERT INTO state VALUES ('stay', '1', '{}', 0)", []).unwrap();
        for (id, stay) in [([1_u8; 16], "left"), ([2; 16], "\u{1}command k")] {
            let sql = "INSERT INTO vault_subject (subject, stay, since_us) VALUES (?1, ?2, 0)";
            files.main.execute(sql, params![id, stay]).unwrap();
        }
        let now = Timestamp::from_second(1_784_000_000).unwrap();
        assert_eq!(
            (start_clocks(&files.main, now).unwrap(), start_clocks(&files.main, now).unwrap()),
            (2, 0)
        );
        let present = "SELECT count(*) FROM vault_subject WHERE left_us IS NULL AND stay = '1'";
        assert_eq!(files.count(present), 1, "who is in the house has none");
    }
}
