//! Who may set a room's climate when several want to.
//!
//! Why: a guest who turns the thermostat and finds it turned back by a program an hour later calls the reception. So a
//! choice of people stands for a while (the *hold*): a guest's against programs, staff's against programs as well. Guests
//! and staff are never refused.
//!
//! Terms: a *hold* stands on a room's set point, from a choice until its time is over or the room changes guests.
//!
//! Pure, and apart from the property: the whole of it is one table.

use crate::{CommandSource, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a rule of the house acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Guests come, go or move: what the guests before them chose no longer counts.
    GuestsChange,
    /// Frost, heat, a leak: harm is to be kept away.
    Safety,
    /// Comfort and savings in between.
    Routine,
}

/// Who wants a set point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The staff of the house, at the gateway's own door.
    Staff,
    /// A rule of the house.
    Rule(Occasion),
    /// The cloud.
    Cloud,
    /// Another system in the house, over MQTT.
    System,
}

impl From<CommandSource> for Asker {
    fn from(source: CommandSource) -> Self {
        match source {
            CommandSource::Local => Self::Staff,
            CommandSource::Cloud => Self::Cloud,
            CommandSource::Mqtt => Self::System,
            CommandSource::Rule => Self::Rule(Occasion::Routine),
        }
    }
}

/// Whose choice is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A guest's, at the thermostat.
    Guest,
    /// Staff's.
    Staff,
}

/// A choice that stands for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose.
    pub by: Holder,
    /// Until when.
    pub until: Timestamp,
}

/// A hold that stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held(pub Hold);

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.0.by {
            Holder::Guest => "a guest has chosen the set point at the thermostat",
            Holder::Staff => "staff have set the set point",
        };
        write!(
            f,
            "{who}: until {} only guests and staff change it",
            self.0.until.strftime("%Y-%m-%d %H:%M UTC")
        )
    }
}

/// Whether `asker` may set the set point at `at`, where `hold` stands on it.
///
/// # Errors
/// The hold that is in the way.
pub fn judge(asker: Asker, hold: Option<Hold>, at: Timestamp) -> Result<(), Held> {
    let Some(hold) = hold.filter(|hold| at < hold.until) else { return Ok(()) };
    match asker {
        Asker::Staff | Asker::Rule(Occasion::GuestsChange | Occasion::Safety) => Ok(()),
        Asker::Rule(Occasion::Routine) | Asker::Cloud | Asker::System => Err(Held(hold)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let at: Timestamp = "2026-07-15T10:00:00Z".parse().unwrap();
        let later = at.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        let askers = [
            (Asker::Staff, true),
            (Asker::Rule(Occasion::GuestsChange), true),
            (Asker::Rule(Occasion::Safety), true),
            (Asker::Rule(Occasion::Routine), false),
            (Asker::Cloud, false),
            (Asker::System, false),
        ];
        for (asker, against_a_hold) in askers {
            for by in [Holder::Guest, Holder::Staff] {
                let hold = Hold { by, until: later };
                assert_eq!(judge(asker, Some(hold), at).is_ok(), against_a_hold, "{asker:?} against {by:?}");
                assert_eq!(judge(asker, Some(hold), later), Ok(()), "{asker:?}: it is over");
            }
            assert_eq!(judge(asker, None, at), Ok(()), "{asker:?} without a hold");
        }
        let told = Held(Hold { by: Holder::Guest, until: later }).to_string();
        assert_eq!(
            told,
            "a guest has chosen the set point at the thermostat: until 2026-07-15 10:00 UTC only guests and staff \
             change it"
        );
    }
}
