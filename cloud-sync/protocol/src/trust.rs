//! Whom a session belongs to: certificates, turns, regions. Messages and rules, without any I/O.
//!
//! A *turn* tells a box from its copy. With each session a gateway shows the secret of its last turn and a new one; the
//! cloud keeps the newest. A box that comes back over its own dead session shows what the cloud keeps; a box made from a
//! copy of its disk shows what was current when the copy was made, and is found out as soon as either has had another
//! turn. The numbers come from the cloud: a gateway whose number is above the cloud's has had turns that the cloud has
//! forgotten, since it was restored to an earlier time, and is believed.

use prost::Message;
use std::sync::Arc;

/// Whom a verified client certificate names, and what else counts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The gateway.
    pub gateway: String,
    /// The region that it belongs to; `None`: its certificate is of a release or a cloud without regions.
    pub region: Option<String>,
    /// The certificate's serial number, hexadecimal.
    pub serial: String,
    /// The certificate's key: SHA-256 of its SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// Valid from, seconds since 1970.
    pub not_before_s: i64,
    /// Valid until, seconds since 1970.
    pub not_after_s: i64,
}

/// A session at the cloud: with whom, and the turn that it has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The gateway, by its certificate.
    pub peer: Arc<Peer>,
    /// Its turn; `None` before it has shown one, and with a release that has none.
    pub turn: Option<Turn>,
}

/// A frame that says all by being there.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Nothing {}

/// A gateway's turn.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Turn {
    /// The number of its last turn, as the cloud gave it; 0: none yet.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The secret of its last turn.
    #[prost(fixed64, tag = "2")]
    pub last: u64,
    /// The secret of this one. The same until the cloud has answered.
    #[prost(fixed64, tag = "3")]
    pub mine: u64,
}

/// The cloud has noted a turn.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TurnTaken {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// A directory of regions.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Regions {
    /// Lines of text: see [`Regions::address_of`].
    #[prost(bytes = "vec", tag = "1")]
    pub document: Vec<u8>,
    /// The authority's signature over it (ECDSA P-256 with SHA-256, ASN.1).
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// The first line of a directory of regions. It keeps a signature from being taken for one over something else.
pub const REGIONS_HEAD: &str = "engawa regions v1";

impl Regions {
    /// The address of `region`: the document has a line `region address` for each, after [`REGIONS_HEAD`].
    pub fn address_of(&self, region: &str) -> Option<&str> {
        let mut lines = std::str::from_utf8(&self.document).ok()?.lines();
        lines.next().filter(|head| *head == REGIONS_HEAD)?;
        lines.find_map(|line| line.split_once(' ').filter(|(of, _)| *of == region).map(|(_, to)| to))
    }
}

/// How a gateway's certificate stands.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Standing {
    /// It is to be renewed now.
    #[prost(bool, tag = "1")]
    pub due: bool,
    /// The authorities to trust from now on, PEM.
    #[prost(string, tag = "2")]
    pub authorities_pem: String,
}

/// A request for another certificate.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Renew {
    /// The certificate request, PEM. Only its key counts, and it must be a new one.
    #[prost(string, tag = "1")]
    pub csr_pem: String,
}

/// What speaks against a gateway whose certificate is of this authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// Its time is over.
    #[error("the certificate of gateway `{0}` has expired: it may be renewed, and nothing else")]
    Expired(String),
    /// Its time has been over for too long to be renewed.
    #[error(
        "the certificate of gateway `{gateway}` expired more than {days} days ago: enrol it again with a claim code"
    )]
    TooLate {
        /// The gateway.
        gateway: String,
        /// How long after it a certificate may be renewed.
        days: u32,
    },
    /// It was revoked, or another machine took its place.
    #[error("this certificate of gateway `{gateway}` (serial {serial}) was revoked: {why}")]
    Revoked {
        /// The gateway.
        gateway: String,
        /// The certificate.
        serial: String,
        /// Why.
        why: String,
    },
    /// It was signed so recently that it can't be meant seriously.
    #[error("the certificate of gateway `{0}` is not due for renewal yet")]
    NotDue(String),
    /// Two boxes have one identity.
    #[error(
        "gateway `{gateway}` is fenced: {why}; once one of them is switched off: `engawa-cloud gateways unfence {gateway}`"
    )]
    Fenced {
        /// The gateway.
        gateway: String,
        /// What was seen.
        why: String,
    },
    /// The same gateway has come again.
    #[error("gateway `{0}` has come again on another connection, this one is over")]
    Superseded(String),
    /// The gateway is at home elsewhere.
    #[error("gateway `{gateway}` belongs to region {theirs}, this cloud is of region {ours}{}", elsewhere(.address.as_deref()))]
    Region {
        /// The gateway.
        gateway: String,
        /// Its region.
        theirs: String,
        /// The cloud's.
        ours: String,
        /// Where its region's cloud is.
        address: Option<String>,
    },
}

fn elsewhere(address: Option<&str>) -> String {
    address.map_or_else(String::new, |address| format!("; its own is at {address}"))
}

/// What the cloud keeps of a gateway's newest turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// Its secret; `None` after somebody has lifted a fence: whoever comes first is believed.
    pub secret: Option<u64>,
}

/// What a turn comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The same box; this is to be kept.
    Same(Kept),
    /// Another box has had a turn since this one's disk was copied.
    Twin,
}

/// Is the box that shows `turn` the one that had the turn that is `kept`?
pub fn take(kept: Option<Kept>, turn: &Turn) -> Taken {
    let next = |number: u64| Taken::Same(Kept { number, secret: Some(turn.mine) });
    let Some(kept) = kept else { return next(turn.number.saturating_add(1)) };
    match kept.secret {
        // Above every number that any of the boxes can have.
        None => next(kept.number.max(turn.number).saturating_add(1)),
        // The answer was lost, or the gateway can't write its disk and shows its old secret again.
        Some(secret) if secret == turn.mine => Taken::Same(kept),
        Some(secret) if secret == turn.last && turn.number <= kept.number => {
            next(kept.number.saturating_add(1))
        }
        // It has had turns that this database does not know: it was restored to an earlier time.
        Some(_) if turn.number > kept.number => next(turn.number.saturating_add(1)),
        Some(_) => Taken::Twin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A box as its disk has it.
    #[derive(Clone, Copy)]
    struct Disk {
        turn: Turn,
    }

    impl Disk {
        fn comes(&mut self, kept: &mut Option<Kept>, fresh: u64, answered: bool) -> bool {
            match take(*kept, &self.turn) {
                Taken::Twin => false,
                Taken::Same(now) => {
                    *kept = Some(now);
                    if answered {
                        self.turn = Turn { number: now.number, last: self.turn.mine, mine: fresh };
                    }
                    true
                }
            }
        }
    }

    const NEW: Disk = Disk { turn: Turn { number: 0, last: 0, mine: 1 } };

    #[test]
    fn a_copy_is_found_out_whoever_comes_first() {
        for copy_first in [false, true] {
            let (mut kept, mut one) = (None, NEW);
            (2..9).for_each(|n| assert!(one.comes(&mut kept, n, true)));
            let mut two = one;
            // They draw different secrets for the turn after the next.
            let (first, second) = if copy_first { (&mut two, &mut one) } else { (&mut one, &mut two) };
            assert!(first.comes(&mut kept, 100, true));
            let mut noticed = !second.comes(&mut kept, 200, true);
            // A copy made between the drawing and the turn shows the same once; not twice.
            noticed |= !first.comes(&mut kept, 101, true) || !second.comes(&mut kept, 201, true);
            assert!(noticed);
        }
    }

    #[test]
    fn after_a_fence_is_lifted_one_of_them_goes_on_and_the_other_does_not() {
        let (mut kept, mut one) = (None, NEW);
        assert!(one.comes(&mut kept, 2, true));
        let mut old = one;
        (3..6).for_each(|n| assert!(one.comes(&mut kept, n, true)));
        assert!(!old.comes(&mut kept, 50, true));
        kept = kept.map(|kept| Kept { secret: None, ..kept });
        assert!(old.comes(&mut kept, 51, true));
        assert!(!one.comes(&mut kept, 60, true), "the other is now the copy");
        assert!(old.comes(&mut kept, 52, true));
    }

    #[test]
    fn a_directory_is_read_line_by_line() {
        let document = format!("{REGIONS_HEAD}\neu-1 cloud.example.com:8443\nus-1 [2001:db8::7]:8443\n");
        let regions = Regions { document: document.into_bytes(), signature: Vec::new() };
        assert_eq!(regions.address_of("us-1"), Some("[2001:db8::7]:8443"));
        assert_eq!(regions.address_of("us"), None);
        let other = Regions { document: b"something else\neu-1 x:1\n".to_vec(), signature: Vec::new() };
        assert_eq!(other.address_of("eu-1"), None);
    }

    proptest! {
        /// One box alone is never taken for two: whatever answers are lost, and to whatever time the cloud is restored.
        #[test]
        fn one_box_is_never_a_twin(steps in prop::collection::vec((any::<bool>(), 0_usize..12), 1..60)) {
            let (mut kept, mut one, mut history) = (None, NEW, vec![None]);
            for (n, (answered, back)) in steps.into_iter().enumerate() {
                if back == 0 {
                    kept = history[n % history.len()];
                }
                prop_assert!(one.comes(&mut kept, n as u64 + 10, answered), "step {}", n);
                history.push(kept);
            }
        }
    }

    #[test]
    fn only_a_number_above_the_clouds_tells_of_turns_that_it_has_forgotten() {
        let kept = Some(Kept { number: 5, secret: Some(50) });
        let turn = |number| Turn { number, last: 9, mine: 10 };
        assert_eq!(take(kept, &turn(4)), Taken::Twin);
        assert_eq!(take(kept, &turn(5)), Taken::Twin);
        assert_eq!(take(kept, &turn(6)), Taken::Same(Kept { number: 7, secret: Some(10) }));
    }

    #[test]
    fn a_gateway_of_another_region_reads_where_its_own_is() {
        let told = |address: Option<&str>| {
            let (gateway, theirs, ours) = ("g".to_owned(), "us".to_owned(), "eu".to_owned());
            Distrust::Region { gateway, theirs, ours, address: address.map(str::to_owned) }.to_string()
        };
        assert!(told(Some("cloud.us:1")).ends_with("; its own is at cloud.us:1"));
        assert!(told(None).ends_with("this cloud is of region eu"));
    }
}
