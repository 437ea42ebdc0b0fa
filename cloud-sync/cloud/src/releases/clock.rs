//! Whether this machine's clock may be told to gateways. They judge by the time that their cloud tells whether signed metadata has
//! expired, and keep it: a replica that starts with its clock in another year would have them refuse every release. What is signed
//! bounds what the clock may be. Pure.

use engawa_tuf::metadata::Timestamp;
use engawa_tuf::{Document, Fault, Limits};

/// By so much clocks may differ, s: a timestamp that another replica has signed a moment ago.
const CLOCKS: i64 = 600;
/// So long after the newest timestamp has expired a clock is believed, s. Nothing is installed by metadata that has expired, so
/// nobody waits for a time that is not told; whoever renews it (`serve` does, by itself) tells the time again.
const AFTER: i64 = 7 * 86_400;

/// Between which moments a clock is believed, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    from: i64,
    until: i64,
}

impl Bounds {
    /// Those that the newest signed timestamp of the repository sets (TUF specification 1.0.33, 4.6). Its signature is not looked
    /// at: the folder is this cloud's own, and gateways judge it.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let (limits, name) = (Limits::default(), "timestamp.json");
        let timestamp: Timestamp = Document::parse(bytes, name, limits.timestamp, &limits)?.read(name)?;
        let from = timestamp.signed_at().map_or(i64::MIN, |at| at.as_second().saturating_sub(CLOCKS));
        Ok(Self { from, until: timestamp.expires.as_second().saturating_add(AFTER) })
    }

    /// True where the clock may be right.
    pub(super) fn has(self, now_s: i64) -> bool {
        (self.from..=self.until).contains(&now_s)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use engawa_tuf::metadata::MetaFile;
    use jiff::Timestamp as Instant;

    #[test]
    fn a_clock_of_another_year_is_not_told() {
        let at = |second: i64| Instant::from_second(second).unwrap();
        let (signed, expires) = (1_800_000_000, 1_800_000_000 + 7 * 86_400);
        let meta = MetaFile { version: 1, length: None, hashes: None, other: serde_json::Map::new() };
        let timestamp = Timestamp::new(3, at(expires), meta, at(signed));
        let bounds = Bounds::of(&Document::new(&timestamp).unwrap().to_bytes().unwrap()).unwrap();
        assert!(bounds.has(signed) && bounds.has(signed - 300) && bounds.has(expires + 86_400));
        assert!(!bounds.has(0) && !bounds.has(signed - 3_600) && !bounds.has(expires + 8 * 86_400));
        assert!(!bounds.has(4_070_908_800), "2099");
        let older = Timestamp { other: serde_json::Map::new(), ..timestamp };
        let older = Bounds::of(&Document::new(&older).unwrap().to_bytes().unwrap()).unwrap();
        assert!(older.has(0), "one that does not say when it was signed");
        assert!(Bounds::of(b"{}").is_err());
    }
}
