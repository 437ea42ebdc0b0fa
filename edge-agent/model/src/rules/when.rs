//! On which occasion a rule is on.

use crate::{Role, Season};
use jiff::civil::{Time, Weekday};
use serde::{Deserialize, Serialize};

/// A condition: all that it names must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Whether the PMS has somebody in the room.
    pub occupied: Option<bool>,
    /// At least so many stays are in the room.
    pub stays_at_least: Option<u32>,
    /// Whether a guest in the room, or the next one expected in a vacant room, is a VIP of the PMS.
    pub vip: Option<bool>,
    /// Whether somebody is in the room or expected today (in the property's zone).
    pub sold: Option<bool>,
    /// Somebody is expected soon.
    pub arriving: Option<Arriving>,
    /// The door sign: as last told to the PMS, or a switch in the room.
    pub sign: Option<Sign>,
    /// What the points of the room say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub point: Vec<PointIs>,
    /// The time of day.
    pub time: Option<TimeOfDay>,
    /// Whether it is within the quiet hours of the settings (`quiet.from`, `quiet.until`).
    pub quiet: Option<bool>,
    /// The room has been occupied so long, seconds.
    pub occupied_for_s: Option<u32>,
    /// The room has been vacant so long, seconds.
    pub vacant_for_s: Option<u32>,
    /// The first guest has come within so many seconds.
    pub came_within_s: Option<u32>,
    /// The last guest has left within so many seconds.
    pub left_within_s: Option<u32>,
    /// Whether the house heats or cools.
    pub season: Option<Season>,
    /// At least one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<When>,
    /// And this not.
    pub not: Option<Box<When>>,
}

/// Somebody is expected soon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arriving {
    /// Within so many minutes.
    pub within_min: u32,
    /// True: only as long before as the room needs to reach comfort, by what was learnt of it; at most `within_min`.
    #[serde(default)]
    pub warm_up: bool,
}

/// A door sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Do not disturb.
    DoNotDisturb,
    /// Make up the room.
    MakeUp,
    /// Neither.
    Off,
}

impl Sign {
    /// The word of [`crate::Action::Service`].
    pub const fn word(self) -> &'static str {
        match self {
            Self::DoNotDisturb => "do-not-disturb",
            Self::MakeUp => "make-up",
            Self::Off => "off",
        }
    }
}

/// What the points of a role say. Exactly one of `is`, `above`, `below`.
///
/// A room without such a point never fulfils it. A point whose value can't be trusted leaves it open: a rule stays as it
/// is, for an hour at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointIs {
    /// Which points.
    pub role: Role,
    /// `true`: one of them is on, open, wet; `false`: none is.
    #[serde(default)]
    pub is: Option<bool>,
    /// One of them is above this.
    #[serde(default)]
    pub above: Option<f64>,
    /// One of them is below this.
    #[serde(default)]
    pub below: Option<f64>,
    /// How far it must come back before it counts as over.
    #[serde(default)]
    pub hysteresis: f64,
    /// For so long, seconds.
    #[serde(default)]
    pub for_s: u32,
}

/// A time of day in the property's zone. `to` before `from` is past midnight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeOfDay {
    /// From then on.
    #[serde(with = "clock")]
    pub from: Time,
    /// Until then.
    #[serde(with = "clock")]
    pub to: Time,
    /// The days on which it begins; all where empty.
    #[serde(default)]
    pub days: Vec<Day>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    pub(crate) const fn is(self, day: Weekday) -> bool {
        matches!(
            (self, day),
            (Self::Mon, Weekday::Monday)
                | (Self::Tue, Weekday::Tuesday)
                | (Self::Wed, Weekday::Wednesday)
                | (Self::Thu, Weekday::Thursday)
                | (Self::Fri, Weekday::Friday)
                | (Self::Sat, Weekday::Saturday)
                | (Self::Sun, Weekday::Sunday)
        )
    }
}

/// Times of day as people write them: `"22:00"`.
pub mod clock {
    use jiff::civil::Time;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes `time`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%H:%M:%S"))
    }

    /// Reads a time.
    ///
    /// # Errors
    /// What else was there, and how it should be.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("`{text}` is no time of day; write it as \"15:00\""));
        text.parse().map_err(|_| wrong())
    }
}
