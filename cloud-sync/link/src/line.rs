//! Where the cloud is, and what a gateway remembers of the way there.

use crate::home::Home;
use crate::identity::write_whole;
use crate::transport::Carrier;
use crate::{IdentityError, Metered};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// Addresses of one cloud; further ones are not tried.
pub const MOST_ADDRESSES: usize = 8;

/// The way to the cloud.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it may be, `host:port` each; at most [`MOST_ADDRESSES`] are tried.
    pub addresses: Vec<String>,
    /// The TCP port where UDP does not get through; without one, each address's own.
    pub tcp_port: Option<u16>,
    /// The region that the gateway belongs to: a cloud whose certificate does not name it is refused.
    pub region: Option<String>,
    /// The file in which the last good way is remembered over restarts.
    pub memory: Option<PathBuf>,
    /// The way that costs by the byte, and its budget.
    pub metered: Option<Metered>,
    /// How long QUIC is alone before TCP is tried beside it.
    pub tcp_after: Duration,
    /// How long an address is alone before the next one is tried beside it.
    pub next_after: Duration,
    /// How often QUIC is tried again while TCP carries.
    pub quic_again: Duration,
    /// How often the way out of the house is looked at.
    pub look: Duration,
    /// Where the own region's cloud is, if another region's has said so.
    pub(crate) home: Home,
}

impl Line {
    /// To these addresses, with the usual times.
    pub fn new(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            addresses: addresses.into_iter().map(Into::into).collect(),
            tcp_port: None,
            region: None,
            memory: None,
            metered: None,
            tcp_after: Duration::from_secs(2),
            next_after: Duration::from_secs(4),
            quic_again: Duration::from_secs(3600),
            look: Duration::from_secs(3),
            home: Home::default(),
        }
    }
}

impl<S: Into<String>> From<S> for Line {
    fn from(address: S) -> Self {
        Self::new([address])
    }
}

/// What was good the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) address: String,
    pub(crate) carrier: Carrier,
}

impl Memory {
    /// What the file says; nothing where it is absent or not ours: it is only a hint.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (carrier, address) = text.trim_end().split_once(' ')?;
        let carrier = match carrier {
            "quic" => Carrier::Quic,
            "tcp" => Carrier::Tcp,
            _ => return None,
        };
        Some(Self { address: address.to_owned(), carrier })
    }

    pub(crate) fn write(&self, path: &std::path::Path) -> Result<(), IdentityError> {
        let carrier = match self.carrier {
            Carrier::Quic => "quic",
            Carrier::Tcp => "tcp",
        };
        write_whole(path, format!("{carrier} {}\n", self.address).as_bytes())
    }
}

/// The order in which `addresses` are tried by the gateway `who`: the last good one first, then by rendezvous hash, so
/// that gateways spread evenly over the addresses and each finds the same order again.
pub(crate) fn order(who: &str, addresses: &[String], last: Option<&Memory>) -> Vec<String> {
    let weight = |address: &String| {
        let digest = Sha256::new_with_prefix(who.as_bytes()).chain_update([0]).chain_update(address);
        <[u8; 32]>::from(digest.finalize())
    };
    let mut order: Vec<String> = addresses.iter().take(MOST_ADDRESSES).cloned().collect();
    order.sort_by_cached_key(|address| (last.is_none_or(|last| last.address != *address), weight(address)));
    order.dedup();
    order
}

impl Line {
    /// The order of all addresses for `who`: what a cloud of another region has named goes before the configured ones.
    pub(crate) fn order(&self, who: &str, last: Option<&Memory>) -> Vec<String> {
        let mut all = order(who, &self.addresses, last);
        if let Some(home) = self.home.get() {
            all.retain(|address| *address != home);
            all.insert(0, home);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<String> {
        ["a:1", "b:1", "c:1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn gateways_spread_and_each_keeps_its_order() {
        let mut firsts = std::collections::BTreeMap::<String, u32>::new();
        for n in 0..300 {
            let who = format!("g{n}");
            let order = order(&who, &three(), None);
            assert_eq!(order, super::order(&who, &three(), None));
            // Without its first address a gateway goes on in the order that it had.
            let rest: Vec<String> = three().into_iter().filter(|address| *address != order[0]).collect();
            assert_eq!(super::order(&who, &rest, None), order[1..]);
            *firsts.entry(order[0].clone()).or_default() += 1;
        }
        assert!(firsts.len() == 3 && firsts.values().all(|count| *count > 60), "{firsts:?}");
    }

    #[test]
    fn the_last_good_address_is_first_and_a_foreign_one_is_forgotten() {
        let last = |address: &str| Memory { address: address.to_owned(), carrier: Carrier::Tcp };
        for address in three() {
            assert_eq!(order("g", &three(), Some(&last(&address)))[0], address);
        }
        assert_eq!(order("g", &three(), Some(&last("gone:1"))), order("g", &three(), None));
        let many: Vec<String> = (0..50).map(|n| format!("a:{n}")).collect();
        assert_eq!(order("g", &many, None).len(), MOST_ADDRESSES);
    }

    #[test]
    fn what_is_remembered_comes_back_and_nonsense_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("line");
        for carrier in [Carrier::Quic, Carrier::Tcp] {
            let memory = Memory { address: "[::1]:443".to_owned(), carrier };
            memory.write(&path).unwrap();
            assert_eq!(Memory::read(&std::fs::read_to_string(&path).unwrap()), Some(memory));
        }
        for text in ["", "quic", "udp a:1", "\u{fffd} x"] {
            assert_eq!(Memory::read(text), None, "{text}");
        }
    }
}
