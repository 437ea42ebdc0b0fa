//! Commands, as both stores keep them: their form, their bounds, and the words of their outcomes.

use crate::store::StoreError;
use engawa_model::{Action, Command, CommandKey, CommandOutcome, CommandSource, Timestamp};
use serde::Serialize;

/// Commands that may wait for one gateway (not yet acknowledged); more are refused.
pub const MOST_WAITING: u64 = 10_000;
/// The longest command in its JSON form, bytes. A frame of the link carries up to 64 commands, and 1 MiB.
pub const MOST_BODY: usize = 8 << 10;
/// Far above any number that was ever given; keeps a senseless mark from using the numbers up.
const MOST_NUMBER: i64 = 1 << 53;

/// Why a charge is doubtful whose gateway has lost its inbox.
pub(crate) const LOST: &str = "the gateway lost its memory before the outcome came: look in the PMS";

/// A command after it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub seq: u64,
    /// False if the same command was already there under this key: nothing new was stored.
    pub fresh: bool,
}

/// A command that is to be stored.
pub(crate) struct Draft {
    /// The action's name.
    pub(crate) kind: String,
    /// The command as the gateway gets it, JSON.
    pub(crate) body: String,
}

impl Draft {
    /// The command that the cloud sends.
    ///
    /// # Errors
    /// It is too large.
    pub(crate) fn new(key: &CommandKey, action: &Action, expires: Timestamp) -> Result<Self, StoreError> {
        let command = Command {
            key: key.clone(),
            source: CommandSource::Cloud,
            expires: Some(expires),
            action: action.clone(),
        };
        // A command of our own plain types always has a JSON form.
        let body = serde_json::to_string(&command).unwrap_or_default();
        if body.len() > MOST_BODY {
            return Err(StoreError::TooLarge { found: body.len(), most: MOST_BODY });
        }
        Ok(Self { kind: action_name(action), body })
    }
}

/// A command with this key is there already, with this number and body: is it the same?
///
/// # Errors
/// The key was used for another one.
pub(crate) fn again(
    gateway: &str,
    key: &CommandKey,
    action: &Action,
    seq: u64,
    body: &str,
) -> Result<Sent, StoreError> {
    if serde_json::from_str::<Command>(body).is_ok_and(|command| command.action == *action) {
        Ok(Sent { seq, fresh: false })
    } else {
        Err(StoreError::KeyTaken { gateway: gateway.to_owned(), key: key.to_string(), seq })
    }
}

/// May one more command wait for the gateway?
///
/// # Errors
/// Too many do.
pub(crate) fn room(gateway: &str, waiting: u64) -> Result<(), StoreError> {
    if waiting >= MOST_WAITING {
        return Err(StoreError::QueueFull(waiting, gateway.to_owned()));
    }
    Ok(())
}

/// The mark that a gateway has named, as it can be stored.
pub(crate) fn bounded(mark: u64) -> i64 {
    i64::try_from(mark).unwrap_or(i64::MAX).min(MOST_NUMBER)
}

/// The gateway has named a number that was not given here.
pub(crate) fn warn_ahead(gateway: &str, mark: i64) {
    tracing::warn!(
        gateway,
        mark,
        "the gateway has commands that this database does not know (was it restored from a backup?); numbering goes on above them"
    );
}

/// The serialized name of a plain enumeration's value.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // Only reached by a type that is not a plain enumeration, which would be a fault of the caller.
        _ => "unknown".to_owned(),
    }
}

/// The action's name as in its serialized form, such as `room-status`.
pub(crate) fn action_name(action: &Action) -> String {
    serde_json::to_value(action)
        .ok()
        .and_then(|value| value.get("do").and_then(|name| name.as_str().map(str::to_owned)))
        .unwrap_or_default()
}

/// The command with an expiry that is over for certain: whoever gets it again must not do it again.
pub(crate) fn expired(body: String) -> String {
    match serde_json::from_str::<Command>(&body) {
        Ok(command) => {
            let command = Command { expires: Some(Timestamp::UNIX_EPOCH), ..command };
            serde_json::to_string(&command).unwrap_or(body)
        }
        // One of a newer release, before this one was put back.
        Err(_) => body,
    }
}

/// The outcome as the tables have it: a word, and why.
pub(crate) fn outcome_words(outcome: &CommandOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        CommandOutcome::Done => ("done", None),
        CommandOutcome::Refused { reason } => ("refused", Some(reason)),
        CommandOutcome::Doubtful { reason } => ("doubtful", Some(reason)),
        CommandOutcome::Superseded => ("superseded", None),
        CommandOutcome::Expired => ("expired", None),
    }
}
