//! Reading the vault as a person does: with a name, a reason, and a row in the audit trail before anything is shown.

use super::audit::AuditTrail;
use super::held::{self, Span};
use super::index::Query;
use super::keyring::Keyring;
use super::records::{self, Record};
use super::{VaultKey, erasure, stage};
use crate::reader::load;
use crate::{DATABASE_FILE, DatabaseKey, Reader, StoreError};
use data_encoding::HEXLOWER;
use engawa_model::{Personal, Property, PropertySpec, RestoreError, StayId, Timestamp};
use serde_json::{Value, json};
use std::path::Path;

/// Records that are opened for one question at most: a single letter may fit a whole town.
const MOST_OPENED: usize = 500;
/// The longest name or reason, characters.
const LONGEST: usize = 200;

/// Who asks, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    who: String,
    why: String,
}

impl Asker {
    /// Somebody with a name and a reason.
    ///
    /// # Errors
    /// Either is empty, too long, or holds control characters.
    pub fn new(who: &str, why: &str) -> Result<Self, StoreError> {
        for (what, text) in [("who asks", who), ("the reason", why)] {
            let fits = !text.trim().is_empty()
                && text.chars().count() <= LONGEST
                && !text.chars().any(char::is_control);
            if !fits {
                return Err(StoreError::Unsaid(what));
            }
        }
        Ok(Self { who: who.trim().to_owned(), why: why.trim().to_owned() })
    }

    /// Who.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Why.
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// What is held on one guest's stay.
#[derive(Clone, Debug, serde::Serialize)]
pub struct GuestFile {
    /// The record's name.
    pub record: String,
    /// The PMS's reservation number.
    pub reservation: StayId,
    /// Every room of the stay, the last one last.
    pub rooms: Vec<String>,
    /// When the house learnt of the check-in.
    pub since: Timestamp,
    /// When the guest left; `None` while in the house.
    pub left: Option<Timestamp>,
    /// Day of arrival.
    pub arrival: Option<String>,
    /// Day of departure.
    pub departure: Option<String>,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// Why nothing of the guest can be read: `erased`, or `key lost`.
    pub dark: Option<&'static str>,
    /// The guest's particulars, by the field of the document they are of.
    pub particulars: Personal<serde_json::Map<String, Value>>,
}

impl GuestFile {
    /// A particular of the guest, such as `name`.
    pub fn particular(&self, name: &str) -> Option<&str> {
        self.particulars.reveal().get(name).and_then(Value::as_str)
    }
}

/// Reads the vault, and leaves a row of each read.
pub struct Viewer {
    reader: Reader,
    keyring: Keyring,
    audit: AuditTrail,
}

impl Viewer {
    /// Opens the vault in `dir`, beside an agent that may run.
    ///
    /// # Errors
    /// Files that are absent, damaged, or locked by other keys.
    pub fn open(dir: &Path, key: &DatabaseKey, vault_key: &VaultKey) -> Result<Self, StoreError> {
        Ok(Self {
            reader: Reader::open(&dir.join(DATABASE_FILE), key)?,
            keyring: Keyring::read(dir, vault_key)?,
            audit: AuditTrail::open(dir, key)?,
        })
    }

    /// Guests that `query` finds, the newest records first, at most `most`.
    ///
    /// # Errors
    /// A question that can't be asked, SQLite's, or a row of the trail that can't be written.
    pub fn find(
        &mut self,
        asker: &Asker,
        query: &Query,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<GuestFile>, FindError> {
        let found = self.look_up(query, most)?;
        let stays: Vec<&str> = found.iter().map(|file| file.reservation.as_str()).collect();
        let what = format!("find by {}: {} found: {}", query.kind(), found.len(), stays.join(" "));
        self.audit.append(now, &asker.who, &asker.why, &what)?;
        Ok(found)
    }

    /// The look-up alone, without a row of the trail: for [`Self::find`], and to measure it.
    ///
    /// # Errors
    /// As [`Self::find`].
    #[doc(hidden)]
    pub fn look_up(&self, query: &Query, most: usize) -> Result<Vec<GuestFile>, FindError> {
        let normal = query.normal()?;
        let token = query.token(self.keyring.key.index(), &normal);
        let (mut found, mut before, mut opened) = (Vec::new(), i64::MAX, 0);
        'pages: while opened < MOST_OPENED {
            let page = self.keyring.with_token(token, before, 32)?;
            let Some((last, _)) = page.last() else { break };
            before = *last;
            for (_, id) in page {
                opened += 1;
                let Some(record) = records::by_id(&self.reader.connection, &id)? else { continue };
                let (file, answers) = self.file(&record, Some((query, &normal)))?;
                if answers {
                    found.push(file);
                }
                if found.len() >= most {
                    break 'pages;
                }
            }
        }
        if let (Query::Reservation(stay), true) = (query, found.is_empty()) {
            // A dark record is in no index; that there is one is no secret.
            for record in records::of_stay(&self.reader.connection, stay)? {
                found.push(self.file(&record, None)?.0);
            }
        }
        Ok(found)
    }

    /// All that is held on a reservation number, as one JSON object: its records, documents and rows of the journal, also
    /// those of its room where it was certainly the only guest in it (see `held`).
    ///
    /// # Errors
    /// SQLite's, or a row of the trail that can't be written.
    pub fn export(&mut self, asker: &Asker, stay: &StayId, now: Timestamp) -> Result<Value, StoreError> {
        let (mut files, mut spans) = (Vec::new(), Vec::new());
        for record in records::of_stay(&self.reader.connection, stay.as_str())? {
            let file = self.file(&record, None)?.0;
            spans.push(self.span(&record, &file.rooms)?);
            files.push(file);
        }
        let held = held::of(&self.reader.connection, &self.keyring, stay.as_str(), &spans)?;
        let what = format!("export of reservation {stay}: {} records", files.len());
        self.audit.append(now, &asker.who, &asker.why, &what)?;
        Ok(json!({ "reservation": stay, "exported": now, "records": files, "documents": held.documents,
            "journal": held.journal, "left_out": held.left_out, "of_shared_rooms": held.of_shared_rooms }))
    }

    /// When the guest of `record` was in which of `rooms`, which of them somebody else had in that time, and when somebody
    /// was in the house whose rooms can't be told any more.
    fn span(&self, record: &Record, rooms: &[String]) -> Result<Span, StoreError> {
        let (from, until) = (record.since_us, record.left_us.unwrap_or(i64::MAX));
        let at_that_time = format!("since_us <= {until} AND ifnull(left_us, {}) >= {from}", i64::MAX);
        let mut shared = Vec::new();
        let mut dark = erasure::erased_between(&self.reader.connection, from, until, &record.id)?;
        for other in records::all(&self.reader.connection, &at_that_time)? {
            if other.id == record.id || records::is_own(&other.stay) {
                continue;
            }
            let Some(key) = self.keyring.data_key(&other.id)? else {
                // Its key is lost, or was destroyed before this backup was put back.
                dark.push((other.since_us, other.left_us.unwrap_or(i64::MAX)));
                continue;
            };
            let opened = records::open_all(&self.reader.connection, &key, &other.id)?;
            shared.extend(records::about(&opened).rooms.into_iter().filter(|room| rooms.contains(room)));
        }
        Ok(Span { from, until, rooms: rooms.to_vec(), shared, dark })
    }

    /// The stored property with its guests' names, as of the last commit.
    ///
    /// # Errors
    /// A state that can't be read, or a row of the trail that can't be written.
    pub fn house(
        &mut self,
        asker: &Asker,
        spec: PropertySpec,
        now: Timestamp,
    ) -> Result<Result<Property, RestoreError>, StoreError> {
        let property = load(&self.reader.connection, spec, Some(&self.keyring))?;
        let stays = property.as_ref().map_or(0, |property| property.stays().len());
        self.audit.append(now, &asker.who, &asker.why, &format!("the rooms with {stays} guests' names"))?;
        Ok(property)
    }

    /// What is held of a record, and whether it is one that `query` looks for.
    fn file(&self, record: &Record, query: Option<(&Query, &str)>) -> Result<(GuestFile, bool), StoreError> {
        let time = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut file = GuestFile {
            record: HEXLOWER.encode(&record.id),
            reservation: StayId::from(record.stay.as_str()),
            rooms: Vec::new(),
            since: time(record.since_us),
            left: record.left_us.map(time),
            arrival: None,
            departure: None,
            language: None,
            dark: None,
            particulars: Personal::new(serde_json::Map::new()),
        };
        let Some(key) = self.keyring.data_key(&record.id)? else {
            file.dark = Some(if self.keyring.was_destroyed(&record.id)? { "erased" } else { "key lost" });
            return Ok((file, query.is_none()));
        };
        let opened = records::open_all(&self.reader.connection, &key, &record.id)?;
        let about = records::about(&opened);
        let field = |name: &'static str| {
            let slot = ("stay".to_owned(), record.stay.clone(), name.to_owned());
            opened.get(&slot).map(|(_, value)| value)
        };
        let entry = stage::entry(&record.stay, &about, field);
        let answers = query.is_none_or(|(query, normal)| entry.answers(query, normal));
        let mut particulars = serde_json::Map::new();
        for ((kind, key, field), (_, value)) in &opened {
            match kind.as_str() {
                records::ABOUT => {}
                "stay" => drop(particulars.insert(field.trim_start_matches('/').to_owned(), value.clone())),
                _ => drop(particulars.insert(format!("{kind} {key}{field}"), value.clone())),
            }
        }
        let records::About { rooms, arrival, departure, language } = about;
        file = GuestFile { rooms, arrival, departure, language, ..file };
        file.particulars = Personal::new(particulars);
        Ok((file, answers))
    }
}

/// A look-up that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// A question that can't be asked.
    #[error(transparent)]
    Query(#[from] super::QueryError),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}
