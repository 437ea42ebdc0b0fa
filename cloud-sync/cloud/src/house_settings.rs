//! Settings that a house and the cloud may both change, as far as no database is needed: what a write or a row of the
//! gateway does to what is known, and what the gateway is then to be told. Both databases' stores use it, so that they
//! decide alike.

use crate::store::StoreError;
use engawa_model::settings::{
    Clock, Field, Node, Note, Register, Scope, SettingValue, field, receive, write,
};
use engawa_model::{Action, CommandKey, StayId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Entries of the log kept for one gateway; past it the oldest go.
pub const MOST_ENTRIES: i64 = 10_000;
/// How long a gateway may come for a setting: as good as for ever. It is not repeated, and harmless where it is.
const EXPIRES_S: i64 = 10 * 366 * 86_400;

/// A setting as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Whose.
    pub gateway: String,
    /// The guest's reservation; empty: the house's.
    pub stay: String,
    /// Its name.
    pub name: String,
    /// What counts; `None`: the gateway's configuration.
    pub value: Option<SettingValue>,
    /// All that is known.
    pub register: Register,
    /// When it changed last here, µs.
    pub changed_micros: i64,
}

/// An entry of the log as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Whose.
    pub gateway: String,
    /// When it was noted here, µs.
    pub at_micros: i64,
    /// The guest's reservation; empty: the house's.
    pub stay: String,
    /// The setting.
    pub name: String,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// What is to be stored.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is known now.
    pub register: Register,
    /// The cloud's clock of this gateway.
    pub clock: Clock,
    /// For the log.
    pub notes: Vec<Note>,
    /// The gateway does not know all of it.
    pub tell: bool,
    /// What counts, for readers.
    pub value: Option<SettingValue>,
}

/// A field of the house, or of a stay where one is named.
///
/// # Errors
/// There is none of this name for it.
pub fn known(name: &str, stay: &str) -> Result<&'static Field, StoreError> {
    let scope = if stay.is_empty() { Scope::House } else { Scope::Stay };
    let refused = |why: String| Err(StoreError::Setting(why));
    match field(name) {
        None => {
            refused(format!("there is no setting `{name}`: `engawa-cloud settings list` has all of them"))
        }
        Some(field) if field.scope == scope => Ok(field),
        Some(_) if scope == Scope::House => {
            refused(format!("`{name}` is what a guest prefers: it needs --stay"))
        }
        Some(_) => refused(format!("`{name}` is a setting of the house, not of a guest")),
    }
}

/// The cloud writes.
///
/// # Errors
/// The field is the gateway's alone, or can't have the value.
pub fn written(
    field: &Field,
    own: &Register,
    clock: Clock,
    value: Option<SettingValue>,
    by: &str,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let mut clock = clock;
    let register = write(field, Node::Cloud, own, value, by, &mut clock, now)
        .map_err(|error| StoreError::Setting(error.to_string()))?;
    let notes = register.cloud.iter().map(|write| Note::Written { node: Node::Cloud, write: write.clone() });
    let (notes, value) = (notes.collect(), register.value(field).cloned());
    Ok(Outcome { register, clock, notes, tell: true, value })
}

/// A row of the gateway tells what it knows. `None`: this release does not know the setting, or it can't be; the row is
/// stored all the same.
pub fn received(
    (gateway, name, stay): (&str, &str, &str),
    own: &Register,
    incoming: &Register,
    clock: Clock,
    now_micros: i64,
) -> Option<Outcome> {
    let field = known(name, stay).ok()?;
    let now = Timestamp::from_microsecond(now_micros).unwrap_or(Timestamp::MAX);
    let mut clock = clock;
    match receive(field, Node::Cloud, own, incoming, &mut clock, now) {
        Ok(taken) => {
            let value = taken.register.value(field).cloned();
            Some(Outcome { register: taken.register, clock, notes: taken.notes, tell: taken.tell, value })
        }
        Err(error) => {
            tracing::warn!(gateway, name, %error, "a row of a setting is stored, and not taken");
            None
        }
    }
}

/// What tells the gateway all that is known. The same knowledge has the same key in one life of the gateway's journal: it
/// goes out once.
pub fn telling(epoch: Option<u64>, name: &str, stay: &str, register: &Register) -> (CommandKey, Action) {
    let action = if stay.is_empty() {
        Action::MergeSetting { name: name.to_owned(), document: Box::new(register.clone()) }
    } else {
        let register = Some(Box::new(register.clone()));
        Action::MergePreference { stay: StayId::new(stay), name: name.to_owned(), register }
    };
    // Our own types always have a JSON form.
    let document = serde_json::to_vec(&action).unwrap_or_default();
    let digest =
        Sha256::new().chain_update(epoch.unwrap_or(0).to_be_bytes()).chain_update(document).finalize();
    let short = digest.get(..12).unwrap_or_default();
    (CommandKey::new(format!("setting-{}", data_encoding::HEXLOWER.encode(short))), action)
}

/// What becomes of a gateway's row or hello where the gateway can't be told what the cloud knows: a gateway that takes no
/// commands must not hold its own rows up; it tells its settings again when it starts.
///
/// # Errors
/// Anything else than that.
pub(crate) fn waits(gateway: &str, name: &str, error: StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::QueueFull(..) | StoreError::TooLarge { .. } | StoreError::Revoked(_) => {
            tracing::warn!(gateway, name, %error, "a setting waits for another occasion");
            Ok(())
        }
        other => Err(other),
    }
}

/// Until when the gateway may come for it.
pub fn expires(now: Timestamp) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_secs(EXPIRES_S)).unwrap_or(Timestamp::MAX)
}

/// A register as it was stored.
///
/// # Errors
/// It is no register: the database is damaged, or of a newer release.
pub(crate) fn read(text: &str) -> Result<Register, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Setting(format!("a stored setting can't be read: {error}")))
}

/// What is stored: register, value, clock, in JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    // Our own plain types always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

/// The switch without which no preference leaves the house.
pub(crate) const SHARE: &str = "privacy.share-preferences";

/// True where the house has just said, or said again, that it shares no preferences.
pub(crate) fn withdrawn(name: &str, outcome: &Outcome) -> bool {
    name == SHARE && outcome.value != Some(SettingValue::Switch(true))
}

/// Whether the cloud may say what a guest prefers.
pub(crate) fn may_prefer(stay: &str, there: bool, erased: bool, share: &Register) -> Result<(), StoreError> {
    let refused = |why: String| Err(StoreError::Setting(why));
    let shares = field(SHARE).and_then(|field| share.value(field)) == Some(&SettingValue::Switch(true));
    if !there {
        refused(format!("no guest of reservation `{stay}` is in the house"))
    } else if erased {
        refused("the guest's data was erased: nothing of it is kept".to_owned())
    } else if !shares {
        refused(format!("the house keeps guests' preferences to itself: {SHARE} is not on there"))
    } else {
        Ok(())
    }
}

/// Stored rows of a log; what a newer release has written otherwise is left out.
pub(crate) fn entries(gateway: &str, rows: Vec<(i64, String, String, String)>) -> Vec<Entry> {
    let entry = |(at_micros, stay, name, note): (i64, String, String, String)| {
        let note = serde_json::from_str(&note).ok()?;
        Some(Entry { gateway: gateway.to_owned(), at_micros, stay, name, note })
    };
    rows.into_iter().filter_map(entry).collect()
}
