//! How the gateway changes its own release, as the journal has it.

use serde::{Deserialize, Serialize};

/// The longest reason of a step, characters.
pub const MOST_UPDATE_REASON: usize = 300;
/// Steps that are remembered for `engawa update history`; older ones are in the cloud.
pub const MOST_UPDATE_HISTORY: usize = 64;

/// How far an update has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateStep {
    /// Somebody wants another release than the one that runs.
    Offered,
    /// It is not for this gateway, or not to be trusted; nothing of it was started.
    Refused,
    /// It is being fetched.
    Downloading,
    /// It lies complete and checked in the spare slot.
    Ready,
    /// It could be switched to, but not now.
    Waiting,
    /// The old release has asked its supervisor to start the new one.
    Switching,
    /// The new release runs, and has to prove itself.
    Trial,
    /// It has.
    Confirmed,
    /// It has not: the old release runs again.
    RolledBack,
    /// It could not be fetched, written or started.
    Failed,
}

impl UpdateStep {
    /// The step's word, as it is stored; never renamed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Refused => "refused",
            Self::Downloading => "downloading",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Switching => "switching",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }

    /// True where nothing more follows of this update.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Refused | Self::Confirmed | Self::RolledBack | Self::Failed)
    }
}

/// One step of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateNote {
    /// The cloud's rollout; absent where somebody at the desk or with a USB stick wanted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Which attempt of that rollout on this gateway, 0 the first: what came of an earlier one says nothing of a later.
    #[serde(default, skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Which release, by semantic versioning.
    pub version: String,
    /// Its release counter; 0 while it is not known.
    pub number: u64,
    /// How far it has come.
    pub step: UpdateStep,
    /// Why, in plain words, at most [`MOST_UPDATE_REASON`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_first(attempt: &u32) -> bool {
    *attempt == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Lane};

    /// The cloud's projection reads these rows: the form may grow, and never change.
    #[test]
    fn the_form_of_a_row_is_pinned() {
        let note = |rollout: Option<&str>, step, reason: Option<&str>| UpdateNote {
            rollout: rollout.map(str::to_owned),
            attempt: 0,
            version: "1.4.0".to_owned(),
            number: 104,
            step,
            reason: reason.map(str::to_owned),
        };
        let rows = [
            (
                note(Some("r7"), UpdateStep::Waiting, Some("night audit")),
                r#"{"kind":"update","rollout":"r7","version":"1.4.0","number":104,"step":"waiting","reason":"night audit"}"#,
            ),
            (
                note(None, UpdateStep::Confirmed, None),
                r#"{"kind":"update","version":"1.4.0","number":104,"step":"confirmed"}"#,
            ),
            (
                UpdateNote { attempt: 2, ..note(Some("r7"), UpdateStep::Trial, None) },
                r#"{"kind":"update","rollout":"r7","attempt":2,"version":"1.4.0","number":104,"step":"trial"}"#,
            ),
        ];
        for (update, text) in rows {
            let change = Change::Update { update };
            assert_eq!(serde_json::to_string(&change).unwrap(), text);
            assert_eq!(serde_json::from_str::<Change>(text).unwrap(), change);
            assert_eq!((change.lane(), change.kind()), (Lane::Audit, "update"));
        }
        let newer = r#"{"kind":"update","version":"1.4.0","number":104,"step":"trial","seconds":7}"#;
        assert!(serde_json::from_str::<Change>(newer).is_ok(), "a field of a later release");
        let all = [
            UpdateStep::Offered,
            UpdateStep::Refused,
            UpdateStep::Downloading,
            UpdateStep::Ready,
            UpdateStep::Waiting,
            UpdateStep::Switching,
            UpdateStep::Trial,
            UpdateStep::Confirmed,
            UpdateStep::RolledBack,
            UpdateStep::Failed,
        ];
        for step in all {
            assert_eq!(serde_json::to_value(step).unwrap(), step.word());
        }
    }
}
