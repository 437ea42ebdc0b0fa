//! What can be set without a restart: names, bounds and defaults. The values are in the database's `setting`.

use super::DAY_MICROS;
use engawa_protocol::bucket::Limits;

/// Something that can be set, with its bounds and its default.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// The least and the most.
    pub range: (u32, u32),
    /// What holds where nothing is set.
    pub default: u32,
}

const DEFAULT: Limits =
    Limits { rows_per_s: 20_000, bytes_per_s: 8_000_000, burst_s: 60, connections_per_minute: 600 };

/// All that can be set.
pub const SETTINGS: [Setting; 6] = [
    Setting {
        key: "certificate-days",
        what: "how long a gateway's certificate is valid; renewed at two thirds",
        range: (1, 3650),
        default: 30,
    },
    Setting {
        key: "renewal-grace-days",
        what: "how long after its time a certificate may still be renewed, and nothing else",
        range: (0, 3650),
        default: 365,
    },
    Setting {
        key: "rows-per-second",
        what: "what one gateway may send, telemetry apart from the rest; above it waits",
        range: (10, 10_000_000),
        default: DEFAULT.rows_per_s,
    },
    Setting {
        key: "bytes-per-second",
        what: "the same in bytes of bodies",
        range: (10_000, 1_000_000_000),
        default: DEFAULT.bytes_per_s,
    },
    Setting {
        key: "burst-seconds",
        what: "so many seconds' worth may come at once",
        range: (1, 3600),
        default: DEFAULT.burst_s,
    },
    Setting {
        key: "connections-per-minute",
        what: "how often one gateway may connect",
        range: (2, 6000),
        default: DEFAULT.connections_per_minute,
    },
];

/// Everything that can be set, as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How long a certificate is valid, microseconds.
    pub valid_micros: i64,
    /// How long after that it may be renewed, days.
    pub grace_days: u32,
    /// What one gateway may send.
    pub limits: Limits,
}

/// The value of a setting as it lies in the database; its default where it is not set, or no number.
pub(crate) fn value(key: &str, set: Option<&str>) -> f64 {
    let default = SETTINGS.iter().find(|setting| setting.key == key).map_or(0, |setting| setting.default);
    set.and_then(|value| value.parse().ok()).unwrap_or_else(|| f64::from(default))
}

impl Policy {
    /// Made of the values of the settings, asked one by one.
    ///
    /// # Errors
    /// What `ask` returned.
    pub(crate) fn of<E>(mut ask: impl FnMut(&'static str) -> Result<f64, E>) -> Result<Self, E> {
        // In range by the command line; what was put there by hand is cut off at the type's bounds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let mut whole = |key| ask(key).map(|value| value as u32);
        let limits = Limits {
            rows_per_s: whole("rows-per-second")?,
            bytes_per_s: whole("bytes-per-second")?,
            burst_s: whole("burst-seconds")?,
            connections_per_minute: whole("connections-per-minute")?,
        };
        let grace_days = whole("renewal-grace-days")?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "saturates")]
        let valid_micros = (ask("certificate-days")? * DAY_MICROS as f64) as i64;
        Ok(Self { valid_micros, grace_days, limits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_or_no_number_has_its_default() {
        let none = Policy::of(|key| Ok::<_, ()>(value(key, None))).unwrap();
        assert_eq!((none.valid_micros, none.grace_days), (30 * DAY_MICROS, 365));
        assert_eq!(none.limits, DEFAULT);
        assert!((value("burst-seconds", Some("many")) - 60.0).abs() < f64::EPSILON);
        let set = |key| Ok::<_, ()>(value(key, (key == "certificate-days").then_some("0.5")));
        assert_eq!(Policy::of(set).unwrap().valid_micros, DAY_MICROS / 2);
    }
}
