//! Which settings there are: one table, for both ends, the command lines and the documentation.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// On or off.
    Switch(bool),
    /// A number in the field's unit.
    Number(f64),
    /// A word, a time of day, a language tag.
    Text(String),
}

impl SettingValue {
    /// The number, where it is one.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// An order over all values, the same at both ends: for what has no other.
    pub(super) fn total_cmp(&self, other: &Self) -> Ordering {
        let place = |value: &Self| match value {
            Self::Switch(_) => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
        };
        match (self, other) {
            (Self::Switch(a), Self::Switch(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => place(self).cmp(&place(other)),
        }
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A number from `min` to `max`, in `unit` (UCUM).
    Number {
        /// The unit.
        unit: &'static str,
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
        /// True where it has no decimals.
        whole: bool,
    },
    /// `on` or `off`.
    Switch,
    /// One of these.
    Word(&'static [&'static str]),
    /// A time of day in the property's zone, `22:00`.
    Time,
    /// A language tag (BCP 47).
    Language,
}

/// Whose a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The property's.
    House,
    /// A guest's, for one stay.
    Stay,
}

/// Who may write a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The house at the gateway alone.
    Edge,
    /// The cloud alone.
    Cloud,
    /// Both; the rule decides what both wrote without knowing of each other.
    Both(Rule),
}

/// Which of two values stands that were written without knowledge of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The later one, by the hybrid clock; of the same moment the gateway's.
    Latest,
    /// The lower number: for upper limits, and for how long something is kept.
    Lower,
    /// The higher number: for lower limits.
    Higher,
    /// The gateway's: for what guests feel, whom staff have in front of them.
    Edge,
}

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Its name; never used again for something else.
    pub name: &'static str,
    /// Whose it is.
    pub scope: Scope,
    /// What it holds.
    pub kind: Kind,
    /// Who may write it.
    pub writer: Writer,
    /// What it does, in a line.
    pub doc: &'static str,
}

const fn celsius(min: f64, max: f64) -> Kind {
    Kind::Number { unit: "Cel", min, max, whole: false }
}

const fn whole(unit: &'static str, min: f64, max: f64) -> Kind {
    Kind::Number { unit, min, max, whole: true }
}

const fn house(name: &'static str, kind: Kind, writer: Writer, doc: &'static str) -> Field {
    Field { name, scope: Scope::House, kind, writer, doc }
}

const fn guest(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, scope: Scope::Stay, kind, writer: Writer::Both(Rule::Edge), doc }
}

/// All settings. A gateway and a cloud of different releases know different ones: what one does not know it refuses in
/// words, and stores the row.
pub const FIELDS: &[Field] = &[
    house(
        "climate.comfort-c",
        celsius(5.0, 35.0),
        Writer::Both(Rule::Latest),
        "set point of an occupied room whose guest has chosen none",
    ),
    house(
        "climate.eco-heating-c",
        celsius(5.0, 35.0),
        Writer::Both(Rule::Latest),
        "set point of a vacant room while the house heats",
    ),
    house(
        "climate.eco-cooling-c",
        celsius(5.0, 35.0),
        Writer::Both(Rule::Latest),
        "set point of a vacant room while the house cools",
    ),
    house(
        "climate.season",
        Kind::Word(&["heating", "cooling"]),
        Writer::Both(Rule::Latest),
        "which way the climate works now",
    ),
    house(
        "climate.highest-c",
        celsius(15.0, 35.0),
        Writer::Both(Rule::Lower),
        "no program and no command sets a room higher",
    ),
    house(
        "climate.lowest-c",
        celsius(5.0, 25.0),
        Writer::Both(Rule::Higher),
        "no program and no command sets a room lower",
    ),
    house(
        "climate.guest-hold-s",
        whole("s", 0.0, 86_400.0),
        Writer::Both(Rule::Edge),
        "how long a guest's choice at the thermostat stands against programs",
    ),
    house("quiet.from", Kind::Time, Writer::Both(Rule::Latest), "quiet hours begin: rules ask for `quiet`"),
    house("quiet.until", Kind::Time, Writer::Both(Rule::Latest), "quiet hours end"),
    house(
        "language.guests",
        Kind::Language,
        Writer::Both(Rule::Latest),
        "language of guests whose own the PMS does not tell",
    ),
    house(
        "privacy.retention-days",
        whole("d", 0.0, 1098.0),
        Writer::Both(Rule::Lower),
        "how long after check-out a guest's data is kept",
    ),
    house(
        "privacy.share-preferences",
        Kind::Switch,
        Writer::Edge,
        "guests' preferences go to the cloud, and come from it",
    ),
    house(
        "feature.guest-texts",
        Kind::Switch,
        Writer::Both(Rule::Edge),
        "guests are told things on screens in their rooms",
    ),
    house(
        "feature.pre-arrival",
        Kind::Switch,
        Writer::Cloud,
        "rooms are warmed up before their guests arrive",
    ),
    guest("guest.temperature-c", celsius(5.0, 35.0), "set point that the guest likes"),
    guest("guest.language", Kind::Language, "language in which the guest is told things"),
    guest("guest.light", Kind::Switch, "whether the guest likes the room's lights on"),
];

/// The setting of this name.
pub fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

impl Field {
    /// The rule where both ends write it.
    pub fn rule(&self) -> Option<Rule> {
        if let Writer::Both(rule) = self.writer { Some(rule) } else { None }
    }

    /// Whether the field can have `value`.
    ///
    /// # Errors
    /// Why not, and what is expected.
    pub fn check(&self, value: &SettingValue) -> Result<(), String> {
        let fits = match (self.kind, value) {
            (Kind::Number { min, max, whole, .. }, SettingValue::Number(number)) => {
                (min..=max).contains(number) && (!whole || number.fract() == 0.0)
            }
            (Kind::Switch, SettingValue::Switch(_)) => true,
            (Kind::Word(words), SettingValue::Text(text)) => words.contains(&text.as_str()),
            (Kind::Time, SettingValue::Text(text)) => time(text).is_some(),
            (Kind::Language, SettingValue::Text(text)) => is_language(text),
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{}: `{value}` is not {}", self.name, self.expected())) }
    }

    /// Reads a value as people write it.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn parse(&self, text: &str) -> Result<SettingValue, String> {
        let text = text.trim();
        let value = match self.kind {
            Kind::Number { .. } => text.parse().ok().map(SettingValue::Number),
            Kind::Switch => match text {
                "on" | "true" => Some(SettingValue::Switch(true)),
                "off" | "false" => Some(SettingValue::Switch(false)),
                _ => None,
            },
            Kind::Word(_) | Kind::Time | Kind::Language => None,
        };
        let value = value.unwrap_or_else(|| SettingValue::Text(text.to_owned()));
        self.check(&value).map(|()| value)
    }

    /// What the field takes, in words.
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Number { unit, min, max, whole } => {
                let unit = match unit {
                    "Cel" => "°C",
                    "d" => "days",
                    "s" => "seconds",
                    unit => unit,
                };
                let whole = if whole { "a whole number" } else { "a number" };
                format!("{whole} of {unit} from {min} to {max}")
            }
            Kind::Switch => "on or off".to_owned(),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Time => "a time of day such as 22:00".to_owned(),
            Kind::Language => "a language tag such as en, ja or pt-BR (BCP 47)".to_owned(),
        }
    }

    /// Who writes it and what decides, in words.
    pub fn written_by(&self) -> &'static str {
        match self.writer {
            Writer::Edge => "gateway only",
            Writer::Cloud => "cloud only",
            Writer::Both(Rule::Latest) => "both; latest wins",
            Writer::Both(Rule::Lower) => "both; lower wins",
            Writer::Both(Rule::Higher) => "both; higher wins",
            Writer::Both(Rule::Edge) => "both; gateway wins",
        }
    }
}

/// A time of day as people write it.
pub(crate) fn time(text: &str) -> Option<jiff::civil::Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| text.parse().ok()).flatten()
    };
    jiff::civil::Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// The form of BCP 47, not its registry: a primary subtag of two or three letters, then subtags of two to eight characters.
fn is_language(text: &str) -> bool {
    let mut subtags = text.split('-');
    let primary = subtags.next().is_some_and(|tag| {
        (2..=3).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    primary
        && text.len() <= 35
        && subtags
            .all(|tag| (2..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for (n, one) in FIELDS.iter().enumerate() {
            assert!(
                FIELDS.iter().skip(n + 1).all(|other| other.name != one.name),
                "{} is there twice",
                one.name
            );
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
            assert!(one.name.chars().all(plain) && !one.doc.is_empty(), "{}", one.name);
            assert_eq!(field(one.name), Some(one));
            assert_eq!(one.name.starts_with("guest."), one.scope == Scope::Stay, "{}", one.name);
            if let Kind::Number { min, max, .. } = one.kind {
                assert!(min < max);
                assert!(one.check(&SettingValue::Number(min)).is_ok());
                assert!(one.check(&SettingValue::Number(max)).is_ok());
            }
            if let Some(Rule::Lower | Rule::Higher) = one.rule() {
                assert!(matches!(one.kind, Kind::Number { .. }), "{}: only numbers are lower", one.name);
            }
        }
        assert_eq!(field("climate.nothing"), None);
    }

    #[test]
    fn values_as_people_write_them() {
        for (name, text, is) in [
            ("climate.comfort-c", "21.5", true),
            ("climate.comfort-c", "35.01", false),
            ("climate.comfort-c", "NaN", false),
            ("climate.comfort-c", "warm", false),
            ("climate.guest-hold-s", "0", true),
            ("climate.guest-hold-s", "0.5", false),
            ("climate.season", "cooling", true),
            ("climate.season", "spring", false),
            ("quiet.from", "22:00", true),
            ("quiet.from", "24:00", false),
            ("quiet.from", "2:00", false),
            ("quiet.from", "22:00:00", false),
            ("quiet.from", "+1:00", false),
            ("language.guests", "pt-BR", true),
            ("language.guests", "Portuguese", false),
            ("language.guests", "e", false),
            ("language.guests", "en-", false),
            ("privacy.share-preferences", "on", true),
            ("privacy.share-preferences", "perhaps", false),
        ] {
            let field = field(name).unwrap();
            let parsed = field.parse(text);
            assert_eq!(parsed.is_ok(), is, "{name} {text}: {parsed:?}");
            if let Err(why) = parsed {
                assert!(why.contains(name) && why.contains(text) && why.contains(&field.expected()), "{why}");
            }
        }
        assert!(field("quiet.from").unwrap().check(&SettingValue::Switch(true)).is_err(), "of another kind");
    }

    #[test]
    fn values_are_stored_plainly_and_have_an_order() {
        let (on, n, text) =
            (SettingValue::Switch(true), SettingValue::Number(21.5), SettingValue::Text("22:00".into()));
        for (value, json, shown) in [(&on, "true", "on"), (&n, "21.5", "21.5"), (&text, "\"22:00\"", "22:00")]
        {
            assert_eq!(serde_json::to_string(value).unwrap(), json);
            assert_eq!(serde_json::from_str::<SettingValue>(json).unwrap(), *value);
            assert_eq!(value.to_string(), shown);
        }
        assert_eq!(on.total_cmp(&n), Ordering::Less);
        assert_eq!(text.total_cmp(&n), Ordering::Greater);
        assert_eq!(SettingValue::Number(1.0).total_cmp(&SettingValue::Number(2.0)), Ordering::Less);
    }
}
