//! A way out of the house that costs by the byte, such as LTE: how much of its day's budget is used. Telemetry waits
//! where it is used up; alarms, stays, requests and the audit go on, since they are few and can't wait.
//!
//! Counted are the bytes of connections to the cloud, both ways, by days of UTC. The count is kept in a file, so that a
//! restart does not begin a new budget; at most [`UNNOTED`] of it is lost in a crash.

use crate::IdentityError;
use crate::identity::write_whole;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What may be counted before it is written down, bytes.
const UNNOTED: u64 = 256 << 10;

/// Which way is metered, and its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// An interface such as `wwan0`.
    pub interface: Option<String>,
    /// Own addresses of that way.
    pub network: Option<Network>,
    /// Bytes a day, both ways.
    pub bytes_per_day: u64,
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no network: expected an address and a number of bits, such as 10.64.0.0/10 or 2001:db8::/32"
)]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let fault = || NoNetwork(text.to_owned());
        let (address, bits) = text.split_once('/').ok_or_else(fault)?;
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let bits: u32 = bits.parse().map_err(|_| fault())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits > most { Err(fault()) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    /// True where `address` is one of them.
    pub fn has(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let differ: u128 = ours ^ theirs;
        differ.checked_shr(width - self.bits).unwrap_or(0) == 0
    }
}

impl Metered {
    /// True where packets from `source` go the metered way. `interface_of` names the interface that has an address.
    pub(crate) fn is(&self, source: IpAddr, interface_of: impl Fn(IpAddr) -> Option<String>) -> bool {
        self.network.is_some_and(|network| network.has(source))
            || self.interface.as_ref().is_some_and(|wanted| interface_of(source).as_ref() == Some(wanted))
    }
}

/// The interface that has the address `own`.
pub(crate) fn interface_of(own: IpAddr) -> Option<String> {
    let interfaces = nix::ifaddrs::getifaddrs().ok()?;
    interfaces.into_iter().find_map(|interface| {
        let address = interface.address?;
        let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            _ => return None,
        };
        (address == own).then_some(interface.interface_name)
    })
}

/// What is used of a day's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Days since 1970, UTC.
    day: u64,
    bytes: u64,
    /// The day and the bytes that are written down.
    noted: (u64, u64),
    /// The day of a clock that was ahead, or is back: should it come again, it is no new one.
    left: Option<u64>,
}

impl Used {
    /// What the file says; nothing where it is absent or not ours.
    pub(crate) fn read(text: &str) -> Self {
        let numbers = text.trim_end().split_once(' ');
        let numbers = numbers.and_then(|(day, bytes)| Some((day.parse().ok()?, bytes.parse().ok()?)));
        let (day, bytes): (u64, u64) = numbers.unwrap_or_default();
        Self { day, bytes, noted: (day, bytes), left: None }
    }

    /// Counts `bytes` that went the metered way on `day`.
    pub(crate) fn count(&mut self, day: u64, bytes: u64) {
        // A clock that goes back begins no new budget. One that was days ahead holds the way no longer than today.
        if day > self.day {
            let bytes = if self.left == Some(day) { self.bytes } else { 0 };
            *self = Self { day, bytes, left: None, ..*self };
        } else if self.day - day > 1 {
            *self = Self { day, left: Some(self.day), ..*self };
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// True where `budget` is used up on `day`.
    pub(crate) fn is_over(&self, day: u64, budget: u64) -> bool {
        day <= self.day && self.bytes >= budget
    }

    /// Writes it down where there is news enough.
    pub(crate) fn note(&mut self, path: &Path) -> Result<(), IdentityError> {
        if self.noted.0 == self.day && self.bytes - self.noted.1 < UNNOTED {
            return Ok(());
        }
        self.noted = (self.day, self.bytes);
        write_whole(path, format!("{} {}\n", self.day, self.bytes).as_bytes())
    }
}

/// The file of the count beside the one of the way.
pub(crate) fn count_file(memory: &Path) -> PathBuf {
    memory.with_extension("metered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let has =
            |network: &str, address: &str| network.parse::<Network>().unwrap().has(address.parse().unwrap());
        assert!(has("10.64.0.0/10", "10.127.255.1") && !has("10.64.0.0/10", "10.128.0.1"));
        assert!(has("0.0.0.0/0", "192.0.2.1") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert!(has("192.0.2.7/32", "::ffff:192.0.2.7"));
        for text in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork(text.to_owned())));
        }
    }

    #[test]
    fn a_way_is_known_by_its_interface_or_its_addresses() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let by = |interface: Option<&str>, network: Option<&str>| Metered {
            interface: interface.map(str::to_owned),
            network: network.map(|network| network.parse().unwrap()),
            bytes_per_day: 1,
        };
        assert!(by(Some("lo"), None).is(loopback, interface_of));
        assert!(!by(Some("wwan0"), None).is(loopback, interface_of));
        assert!(by(Some("wwan0"), Some("127.0.0.0/8")).is(loopback, |_| None));
    }

    #[test]
    fn a_budget_is_a_days_and_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("line.metered");
        let mut used = Used::default();
        used.count(20_000, UNNOTED);
        assert!(!used.is_over(20_000, UNNOTED + 1) && used.is_over(20_000, UNNOTED));
        used.note(&path).unwrap();
        let mut used = Used::read(&std::fs::read_to_string(&path).unwrap());
        assert!(used.is_over(20_000, UNNOTED));
        // A clock that goes back is no new day; a new day is.
        used.count(19_000, 1);
        assert!(used.is_over(19_000, UNNOTED + 1));
        assert!(!used.is_over(20_001, UNNOTED));
        used.count(20_001, 1);
        assert!(!used.is_over(20_001, UNNOTED));
        used.note(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "20001 1\n");
        assert_eq!(Used::read("nonsense"), Used::default());
    }

    #[test]
    fn a_clock_that_was_ahead_holds_the_way_for_a_day_and_one_that_starts_late_gives_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("line.metered");
        let mut used = Used::read("25000 100");
        used.count(20_000, 1);
        assert!(used.is_over(20_000, 101) && !used.is_over(20_001, 101));
        used.note(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "20000 101\n");
        used.count(20_001, 1);
        assert!(!used.is_over(20_001, 2));
        // One day is no more than midnight seen twice.
        used.count(20_000, 1);
        used.count(20_001, 1);
        assert!(used.is_over(20_001, 3));
        // A box without a clock of its own, before it is told the time.
        used.count(0, 1);
        used.count(20_001, 1);
        assert!(used.is_over(20_001, 5) && !used.is_over(20_001, 6));
        used.count(20_002, 1);
        assert!(!used.is_over(20_002, 2));
    }
}
