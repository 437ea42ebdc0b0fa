//! Certificates, turns and regions, answered from the database and the authority.

use super::{OneFile, now, unavailable};
use crate::store::{settings, trust};
use crate::trust::{Now, signing};
use engawa_link::pki::{CertificateAuthority, request_key};
use engawa_link::regions;
use engawa_protocol::bucket::Limits;
use engawa_protocol::ports::{Enrolled, Refusal};
use engawa_protocol::trust::{Peer, Regions, Session, Standing, Turn};
use std::sync::{Arc, PoisonError};

impl OneFile {
    pub(super) fn authority(&self) -> Arc<CertificateAuthority> {
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs a certificate for `gateway`; gives it and what it says.
    pub(super) fn sign(
        &self,
        authority: &CertificateAuthority,
        gateway: &str,
        csr_pem: &str,
    ) -> Result<(String, Peer), Refusal> {
        let policy = self.readers.with(settings::policy).map_err(|error| unavailable(&error))?;
        signing::sign(authority, gateway, csr_pem, policy.valid_micros)
    }

    /// A gateway of another region is told where to go.
    fn at_home(&self, authority: &CertificateAuthority, peer: &Peer) -> Result<(), Refusal> {
        let Some(away) = signing::away(authority, peer) else { return Ok(()) };
        let known = self.readers.with(settings::regions).map_err(|error| unavailable(&error))?;
        Err(signing::elsewhere(peer, away, known))
    }

    pub(super) fn greet(&self, peer: &Peer, turn: Option<Turn>) -> Result<u64, Refusal> {
        self.at_home(&self.authority(), peer)?;
        let peer = peer.clone();
        let greeted = self.writer.run(move |connection| trust::greet(connection, &peer, turn, now()));
        greeted.map_err(|error| unavailable(&error))?
    }

    pub(super) fn standing(&self, peer: &Peer, turn: Option<Turn>) -> Result<(), Refusal> {
        let standing = self.readers.with(|connection| trust::standing(connection, peer, turn));
        // A database that does not answer lets nobody go on.
        standing.map_err(|error| unavailable(&error))?
    }

    pub(super) fn standings(&self, sessions: &[Session]) -> Vec<Result<(), Refusal>> {
        let all = self.readers.with(|connection| {
            sessions
                .iter()
                .map(|session| trust::standing(connection, &session.peer, session.turn))
                .collect::<Result<_, _>>()
        });
        all.unwrap_or_else(|error| {
            let refusal = unavailable(&error);
            vec![Err(refusal); sessions.len()]
        })
    }

    pub(super) fn certificate(&self, peer: &Peer) -> Result<Standing, Refusal> {
        let authority = self.authority();
        self.at_home(&authority, peer)?;
        let now = Now { signer: authority.signing_pin(), region: authority.region(), micros: now() };
        let due = self.readers.with(|connection| trust::due(connection, peer, now));
        let due = due.map_err(|error| unavailable(&error))??;
        Ok(Standing { due, authorities_pem: authority.trusted_pem() })
    }

    pub(super) fn renew(&self, peer: &Peer, csr_pem: &str) -> Result<Enrolled, Refusal> {
        let authority = self.authority();
        self.at_home(&authority, peer)?;
        let key = request_key(csr_pem).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let at = now();
        let may = {
            let now = Now { signer: authority.signing_pin(), region: authority.region(), micros: at };
            self.readers.with(|connection| trust::may_renew(connection, peer, key, now))
        };
        may.map_err(|error| unavailable(&error))??;
        let (certificate_pem, next) = self.sign(&authority, &peer.gateway, csr_pem)?;
        let (signer, region) = (authority.signing_pin(), authority.region().map(str::to_owned));
        let (old, serial) = (peer.clone(), next.serial.clone());
        let recorded = self.writer.run(move |connection| {
            // Looked at again: it may have been revoked, or have asked twice at once.
            let now = Now { signer, region: region.as_deref(), micros: at };
            if let Err(refusal) = trust::may_renew(connection, &old, key, now)? {
                return Ok(Err(refusal));
            }
            trust::issued(connection, &next, signer, at).map(Ok)
        });
        recorded.map_err(|error| unavailable(&error))??;
        tracing::info!(gateway = %peer.gateway, old = %peer.serial, new = %serial, "a certificate is renewed");
        Ok(Enrolled { gateway: peer.gateway.clone(), certificate_pem, ca_pem: authority.trusted_pem() })
    }

    pub(super) fn proven(&self, peer: &Peer) -> Result<(), Refusal> {
        let peer = peer.clone();
        let proven = self.writer.run(move |connection| trust::proven(connection, &peer, now()));
        proven.map_err(|error| unavailable(&error))?
    }

    pub(super) fn limits(&self) -> Limits {
        self.readers.with(settings::policy).map(|policy| policy.limits).unwrap_or_default()
    }

    pub(super) fn regions(&self) -> Option<Regions> {
        let known = self.readers.with(settings::regions).ok()?;
        regions::sign(&self.authority(), &known).ok()
    }
}
