//! Until when the repository's metadata is good: told before it is too late. Root and targets are signed by people, with keys that
//! lie elsewhere; on the day on which one of them expires no gateway takes a release any more, the mending one included.

use crate::release::folder::Folder;
use engawa_tuf::metadata::{Metadata, Root, Snapshot, Targets, Timestamp};
use jiff::Timestamp as Instant;
use serde_json::{Value, json};
use std::fmt::Write;

/// So long before root or targets expire it is told in the log, days.
pub(crate) const NOTICE_DAYS: i64 = 45;

/// One kind of metadata.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    /// Which.
    pub(crate) role: &'static str,
    /// Its version.
    pub(crate) version: u64,
    /// Until when it is good.
    pub(crate) expires: Instant,
}

impl Expiry {
    fn of<T: Metadata>(metadata: &T) -> Self {
        Self { role: T::KIND, version: metadata.version(), expires: metadata.expires() }
    }

    /// Whole days left, negative where it has expired.
    pub(crate) fn days_left(&self, now: Instant) -> i64 {
        (self.expires.as_second() - now.as_second()).div_euclid(86_400)
    }

    /// True where people sign it: the others are renewed by `serve`.
    pub(crate) fn is_peoples(&self) -> bool {
        [Root::KIND, Targets::KIND].contains(&self.role)
    }

    /// For people.
    pub(crate) fn line(&self, now: Instant) -> String {
        let days = self.days_left(now);
        let left = if days < 0 { "EXPIRED".to_owned() } else { format!("{days} days left") };
        format!("{:<9} version {:>5}, good until {}, {left}", self.role, self.version, self.expires)
    }

    /// For scripts.
    pub(crate) fn json(&self, now: Instant) -> Value {
        json!({
            "role": self.role, "version": self.version, "expires": self.expires.to_string(),
            "days_left": self.days_left(now),
        })
    }
}

/// All that the repository has, as it stands there: that it has expired is told too, and nobody trusts what is read here.
pub(crate) fn all(folder: &Folder) -> anyhow::Result<Vec<Expiry>> {
    let mut all = vec![Expiry::of::<Root>(&folder.some_root()?.metadata)];
    all.extend(folder.targets()?.map(|known| Expiry::of::<Targets>(&known.metadata)));
    all.extend(folder.snapshot()?.map(|known| Expiry::of::<Snapshot>(&known.metadata)));
    all.extend(folder.timestamp()?.map(|known| Expiry::of::<Timestamp>(&known.metadata)));
    Ok(all)
}

/// Gauges in Prometheus' text format, such as node_exporter's textfile collector reads.
pub(crate) fn metrics(all: &[Expiry], now: Instant) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Expiry) -> i64| {
        // A String takes whatever is written.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for expiry in all {
            let _ = writeln!(text, "{name}{{role=\"{}\"}} {}", expiry.role, value(expiry));
        }
    };
    gauge(
        "engawa_release_metadata_expiry_timestamp_seconds",
        "When the releases' signed metadata expires, seconds since 1970.",
        &|expiry| expiry.expires.as_second(),
    );
    gauge(
        "engawa_release_metadata_days_left",
        "Whole days until the releases' signed metadata expires, when this was written.",
        &|expiry| expiry.days_left(now),
    );
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_sink_below_zero() {
        let at = |second: i64| Instant::from_second(second).unwrap();
        let expiry = Expiry { role: "root", version: 3, expires: at(10 * 86_400) };
        assert_eq!(expiry.days_left(at(0)), 10);
        assert_eq!(expiry.days_left(at(1)), 9);
        assert_eq!(expiry.days_left(at(10 * 86_400 + 1)), -1);
        assert!(expiry.line(at(11 * 86_400)).ends_with("EXPIRED"));
        let text = metrics(&[expiry], at(86_400));
        assert!(text.contains("\nengawa_release_metadata_days_left{role=\"root\"} 9\n"), "{text}");
        assert!(text.contains("_expiry_timestamp_seconds{role=\"root\"} 864000\n"), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), 2);
    }
}
