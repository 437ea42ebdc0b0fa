//! Whom a gateway's certificate lets in: the decisions, whichever database holds the records.
//!
//! Both stores read a [`Record`] (SQL of their own, no more), ask here, and write what comes of it in the same
//! transaction. So a gateway is judged alike on SQLite and on PostgreSQL.

pub mod settings;
pub mod signing;

use data_encoding::HEXLOWER;
use engawa_protocol::ports::Refusal;
use engawa_protocol::trust::{Distrust, Kept, Peer, Taken, Turn, take};
use serde::Serialize;

/// Certificates that one gateway may have signed in a day: a gateway that asks without end gets no end of them.
const MOST_A_DAY: i64 = 12;
/// A day, µs.
pub(crate) const DAY_MICROS: i64 = 86_400 * 1_000_000;
/// So much before it is signed a certificate begins (see [`signing`]), but for those of the releases before, µs.
const BACKDATED_MICROS: i64 = 2 * 365 * DAY_MICROS;
/// The life of a certificate of the releases before, with the day that clocks may differ, seconds.
const OLD_LIFE_S: i64 = (10 * 365 + 1) * 86_400;

/// Why certificates of the machine before are not taken.
pub(crate) const REPLACED: &str = "another machine was enrolled in its place";
/// Why a single certificate is not taken.
pub(crate) const BY_HAND: &str = "somebody revoked it";
/// Why no certificate of a revoked gateway is taken.
pub(crate) const WITH_GATEWAY: &str = "its gateway was revoked";

/// A certificate, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// Whose.
    pub gateway: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of its signer's key, hexadecimal.
    pub authority: Option<String>,
    /// When it was signed, µs.
    pub issued_micros: Option<i64>,
    /// Until when it is valid, µs.
    pub expires_micros: i64,
    /// When it was used last, µs.
    pub seen_micros: Option<i64>,
    /// Why it was revoked, where it or its gateway was.
    pub revoked: Option<String>,
}

/// A gateway that still hangs on an older authority.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hanging {
    /// The gateway.
    pub gateway: String,
    /// Its property.
    pub property: String,
    /// When it was seen last, µs.
    pub seen_micros: Option<i64>,
}

/// What is on record of a gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) enrolled: bool,
    pub(crate) revoked: bool,
    /// Why it is fenced, where it is.
    pub(crate) fenced: Option<String>,
    /// Its newest turn.
    pub(crate) turn: Option<Kept>,
    /// Where it was seen last.
    pub(crate) address: Option<String>,
    /// When a machine was enrolled under its name last, µs.
    pub(crate) certificates_since: Option<i64>,
}

/// What is on record of a certificate and of the gateway that it names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) gateway: Option<Known>,
    pub(crate) certificate: Option<Certificate>,
}

/// A gateway that came for a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Greeted {
    /// It gets one, with a turn of this number (0: it shows none); `keep` is to be kept.
    Session { number: u64, keep: Option<Kept> },
    /// Another box has had a turn under this identity: the gateway is to be fenced, for this reason.
    Twin { why: String },
}

/// What decides whether a certificate is to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The authority that signs gateways' certificates.
    pub signer: [u8; 32],
    /// The cloud's region.
    pub region: Option<&'a str>,
    /// The cloud's clock, µs.
    pub micros: i64,
}

/// What is on record of the gateway's keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// A certificate over the key that is asked for was used already.
    pub(crate) used_before: bool,
    /// Certificates that were signed for the gateway within a day.
    pub(crate) today: i64,
}

/// When a certificate was signed, as well as it can be told from itself, µs.
fn signed_micros(peer: &Peer) -> i64 {
    // It begins a day before, since clocks differ.
    let begins = peer.not_before_s.saturating_mul(1_000_000).saturating_add(DAY_MICROS);
    if peer.not_after_s.saturating_sub(peer.not_before_s) == OLD_LIFE_S {
        begins
    } else {
        begins.saturating_add(BACKDATED_MICROS)
    }
}

impl Record {
    /// What is against the certificate or its gateway, whatever it wants.
    pub(crate) fn against(&self, peer: &Peer) -> Result<&Known, Refusal> {
        let unknown = || Refusal::Unknown(peer.gateway.clone());
        let found = self.gateway.as_ref().ok_or_else(unknown)?;
        if !found.enrolled || found.revoked {
            return Err(unknown());
        }
        let revoked = match &self.certificate {
            Some(certificate) => certificate.revoked.clone(),
            // Of an older release, of another machine, or signed after the moment to which this database was put back.
            None => {
                let since = found.certificates_since;
                let replaced = since.is_some_and(|since| signed_micros(peer) < since - 1_000_000);
                replaced.then(|| REPLACED.to_owned())
            }
        };
        if let Some(why) = revoked {
            let (gateway, serial) = (peer.gateway.clone(), peer.serial.clone());
            return Err(Distrust::Revoked { gateway, serial, why }.into());
        }
        if let Some(why) = &found.fenced {
            return Err(fenced(peer, why.clone()));
        }
        Ok(found)
    }

    /// May the session go on that began with this certificate and this turn?
    pub(crate) fn standing(&self, peer: &Peer, turn: Option<Turn>) -> Result<(), Refusal> {
        let newest = self.against(peer)?.turn.and_then(|kept| kept.secret);
        match (turn, newest) {
            (Some(turn), Some(newest)) if newest != turn.mine => {
                Err(Distrust::Superseded(peer.gateway.clone()).into())
            }
            _ => Ok(()),
        }
    }

    /// A gateway comes for a session. Where another box has had a turn under this identity, nobody can tell which of them
    /// is the copy.
    pub(crate) fn greet(&self, peer: &Peer, turn: Option<Turn>) -> Result<Greeted, Refusal> {
        let found = self.against(peer)?;
        let Some(turn) = turn else { return Ok(Greeted::Session { number: 0, keep: None }) };
        Ok(match take(found.turn, &turn) {
            Taken::Same(kept) => Greeted::Session { number: kept.number, keep: Some(kept) },
            Taken::Twin => {
                let last = found
                    .address
                    .as_ref()
                    .map(|address| format!(", last from {address}"))
                    .unwrap_or_default();
                let why = format!(
                    "another box has used its identity{last}: a disk was copied, or restored from an old copy"
                );
                Greeted::Twin { why }
            }
        })
    }

    /// Is the certificate to be renewed? At two thirds of its life; at once where another authority signs now, where it
    /// does not say the region, and where it is not on record (of an older release).
    pub(crate) fn due(&self, peer: &Peer, now: Now<'_>, grace_days: u32) -> Result<bool, Refusal> {
        self.against(peer)?;
        let over = now.micros.saturating_sub(peer.not_after_s.saturating_mul(1_000_000));
        if over > i64::from(grace_days).saturating_mul(DAY_MICROS) {
            return Err(Distrust::TooLate { gateway: peer.gateway.clone(), days: grace_days }.into());
        }
        let signer = HEXLOWER.encode(&now.signer);
        Ok(match &self.certificate {
            Some(Certificate {
                authority: Some(authority),
                issued_micros: Some(issued),
                expires_micros,
                ..
            }) => {
                let third = expires_micros.saturating_sub(*issued) / 3;
                *authority != signer
                    || peer.region.as_deref() != now.region
                    || now.micros >= expires_micros - third
            }
            _ => true,
        })
    }

    /// May a certificate over the key of this hash be signed for the gateway now?
    pub(crate) fn may_renew(
        &self,
        peer: &Peer,
        key: [u8; 32],
        now: Now<'_>,
        grace_days: u32,
        keys: Keys,
    ) -> Result<(), Refusal> {
        if !self.due(peer, now, grace_days)? {
            return Err(Distrust::NotDue(peer.gateway.clone()).into());
        }
        // An unused one is a request that was made again, since its answer was lost.
        if keys.used_before || key == peer.key {
            return Err(Refusal::BadRequest("a renewal is for a new key".to_owned()));
        }
        if keys.today >= MOST_A_DAY {
            let today = keys.today;
            return Err(Refusal::BadRequest(format!("{today} certificates were signed for it in a day")));
        }
        Ok(())
    }
}

/// The refusal of a fenced gateway.
pub(crate) fn fenced(peer: &Peer, why: String) -> Refusal {
    Distrust::Fenced { gateway: peer.gateway.clone(), why }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;
    /// Of 2026.
    const NOW_S: i64 = 1_780_000_000;

    fn peer(signed_s: i64, days: i64) -> Peer {
        Peer {
            gateway: "g".into(),
            region: None,
            serial: "01".into(),
            key: [1; 32],
            not_before_s: signed_s - DAY_S - BACKDATED_MICROS / 1_000_000,
            not_after_s: signed_s + days * DAY_S,
        }
    }

    fn known(since_s: i64) -> Known {
        Known { enrolled: true, certificates_since: Some(since_s * 1_000_000), ..Known::default() }
    }

    fn record(known: Known) -> Record {
        Record { gateway: Some(known), certificate: None }
    }

    #[test]
    fn a_certificate_that_a_restored_cloud_does_not_know_is_taken_and_renewed() {
        let of = record(known(NOW_S - 100 * DAY_S));
        let signed_later = peer(NOW_S - DAY_S, 30);
        of.against(&signed_later).unwrap();
        let now = Now { signer: [9; 32], region: None, micros: NOW_S * 1_000_000 };
        assert_eq!(of.due(&signed_later, now, 365), Ok(true), "so that it is on record again");
    }

    #[test]
    fn what_the_machine_before_had_is_not_taken() {
        let of = record(known(NOW_S));
        let before = |peer: &Peer| {
            let refused = of.against(peer).unwrap_err();
            matches!(refused, Refusal::Trust(Distrust::Revoked { why, .. }) if why == REPLACED)
        };
        assert!(before(&peer(NOW_S - DAY_S, 30)));
        // One of the releases before, which dated nothing back.
        let old = Peer { not_before_s: NOW_S - 2 * DAY_S, ..peer(0, 0) };
        assert!(before(&Peer { not_after_s: old.not_before_s + OLD_LIFE_S, ..old }));
        of.against(&peer(NOW_S + 1, 30)).unwrap();
    }

    #[test]
    fn whoever_is_not_enrolled_revoked_or_fenced_gets_nothing() {
        let peer = peer(NOW_S, 30);
        let unknown = Refusal::Unknown("g".into());
        assert_eq!(Record::default().against(&peer).unwrap_err(), unknown);
        for known in [
            Known { enrolled: false, ..known(0) },
            Known { revoked: true, ..known(0) },
            Known { revoked: true, fenced: Some("x".into()), ..known(0) },
        ] {
            assert_eq!(record(known).against(&peer).unwrap_err(), unknown);
        }
        let held = record(Known { fenced: Some("two".into()), ..known(0) });
        for refused in [held.standing(&peer, None).unwrap_err(), held.greet(&peer, None).unwrap_err()] {
            assert!(matches!(refused, Refusal::Trust(Distrust::Fenced { .. })), "{refused}");
        }
    }

    #[test]
    fn a_session_goes_on_while_its_turn_is_the_newest() {
        let peer = peer(NOW_S, 30);
        let kept = |secret| Known { turn: Some(Kept { number: 3, secret }), ..known(0) };
        let turn = |last, mine| Some(Turn { number: 3, last, mine });
        record(kept(Some(7))).standing(&peer, turn(1, 7)).unwrap();
        record(kept(None)).standing(&peer, turn(1, 7)).unwrap();
        let over = record(kept(Some(8))).standing(&peer, turn(1, 7)).unwrap_err();
        assert!(matches!(over, Refusal::Trust(Distrust::Superseded(_))), "{over}");
        let next = record(kept(Some(7))).greet(&peer, turn(7, 9)).unwrap();
        let keep = Some(Kept { number: 4, secret: Some(9) });
        assert_eq!(next, Greeted::Session { number: 4, keep });
        let twin = record(Known { address: Some("192.0.2.7:1".into()), ..kept(Some(8)) });
        let Greeted::Twin { why } = twin.greet(&peer, turn(7, 9)).unwrap() else { panic!("no twin") };
        assert!(why.contains("last from 192.0.2.7:1"), "{why}");
    }

    #[test]
    fn renewal_has_its_time_its_key_and_its_bound() {
        let (peer, day) = (peer(NOW_S, 30), |day: i64| (NOW_S + day * DAY_S) * 1_000_000);
        let of = Record {
            certificate: Some(Certificate {
                gateway: "g".into(),
                serial: "01".into(),
                authority: Some(HEXLOWER.encode(&[9; 32])),
                issued_micros: Some(day(0)),
                expires_micros: day(30),
                seen_micros: None,
                revoked: None,
            }),
            ..record(known(0))
        };
        let now = |day_| Now { signer: [9; 32], region: None, micros: day(day_) };
        assert_eq!(of.due(&peer, now(19), 365), Ok(false));
        assert_eq!(of.due(&peer, now(20), 365), Ok(true));
        assert_eq!(of.due(&peer, Now { signer: [8; 32], ..now(1) }, 365), Ok(true));
        assert_eq!(of.due(&peer, Now { region: Some("eu-1"), ..now(1) }, 365), Ok(true));
        assert_eq!(of.due(&peer, now(395), 365), Ok(true));
        let late = of.due(&peer, now(396), 365).unwrap_err();
        assert!(matches!(late, Refusal::Trust(Distrust::TooLate { days: 365, .. })), "{late}");
        let may =
            |key, used_before, today| of.may_renew(&peer, key, now(20), 365, Keys { used_before, today });
        may([2; 32], false, 11).unwrap();
        for refused in [may([1; 32], false, 0), may([2; 32], true, 0), may([2; 32], false, 12)] {
            assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{refused:?}");
        }
        let early = of.may_renew(&peer, [2; 32], now(1), 365, Keys { used_before: false, today: 0 });
        assert!(matches!(early, Err(Refusal::Trust(Distrust::NotDue(_)))), "{early:?}");
    }
}
