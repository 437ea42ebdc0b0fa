//! Renewal of a gateway's certificate, step by step. Everything it needs to go on is in the identity's folder, so it can
//! be cut short anywhere, and every step leaves an identity that works.
//!
//! - `next.key` and `next.csr` are made here;
//! - the cloud signs, `next.pem` is kept;
//! - the new certificate is proven on a connection of its own;
//! - `next.pem` becomes `identity.pem`, which is the switch;
//! - `next.key` becomes `gateway.key`.
//!
//! Whether it is time is the cloud's word: a gateway asks about once a day, and its own clock plays no part. A clock that
//! jumps makes nothing be renewed too often, or too late.

use crate::dial::Dialer;
use crate::identity::{CSR_FILE, IDENTITY_FILE, KEY_FILE, NEXT_KEY_FILE, both, read_key, write_whole};
use crate::peer::peer_of_pem;
use crate::pki::{self, PkiError};
use crate::{Identity, IdentityError, KeyPlace, Line, LinkError, Tuning, key, stream, tls, turn};
use engawa_protocol::frame::{Body, Enrolled, Mark, Refused};
use engawa_protocol::reconcile::{AskSync, SyncStanding};
use engawa_protocol::trust::{Nothing, Renew, Standing};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const NEXT_CSR_FILE: &str = "next.csr";
pub(crate) const NEXT_FILE: &str = "next.pem";

/// What one step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The certificate is good for some time; nothing is to be done.
    Fresh,
    /// The authorities to trust have changed and are kept.
    Trusting,
    /// A new key and its request are kept.
    KeyMade,
    /// The new certificate is kept.
    Signed,
    /// The new certificate was proven, and has taken the place of the old.
    Switched,
    /// The old key is gone.
    OldGone,
    /// A half-done renewal could not go on and was given up; the identity is as it was.
    GivenUp,
}

/// A step that could not be done. It can be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// No connection.
    #[error("the cloud could not be asked")]
    Link(#[source] LinkError),
    /// The cloud said no.
    #[error("the cloud refuses: {0}")]
    Refused(String),
    /// The files.
    #[error("the identity's files")]
    Files(#[from] IdentityError),
    /// No key or request.
    #[error("the gateway's next key")]
    Key(#[source] PkiError),
    /// An answer that can't be right.
    #[error("the cloud's answer can't be used: {0}")]
    Answer(&'static str),
}

/// The renewal of the identity in one folder.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The way to the cloud.
    pub cloud: Line,
    /// The identity's folder.
    pub folder: PathBuf,
    /// Where the next key is made; `None`: as the present one.
    pub keys: Option<KeyPlace>,
    /// Times and bounds.
    pub tuning: Tuning,
}

impl Renewal {
    /// Does the next step, whatever an earlier process has left.
    ///
    /// # Errors
    /// Why it could not be done; the identity is as it was.
    pub async fn advance(&self) -> Result<Step, RenewError> {
        let identity = Identity::load_with(&self.folder, self.keys.clone())?;
        let peer = identity.peer().ok_or(RenewError::Answer("the identity names no gateway"))?;
        let next_key =
            if self.path(NEXT_KEY_FILE).exists() { Some(read_key(&self.path(NEXT_KEY_FILE))?) } else { None };
        let next_hash = next_key.as_deref().and_then(key::hash);
        if next_hash == Some(peer.key) {
            return self.end_switch();
        }
        let next_key = next_key.map(|key| key::reached(key, self.keys.as_ref()));
        match (next_key, self.read(NEXT_FILE)?, self.read(NEXT_CSR_FILE)?) {
            (Some(key), Some(pem), _) => self.prove(&identity, &key, &pem).await,
            (Some(_), None, Some(csr)) if pki::request_key(&csr).ok() == next_hash => {
                self.sign(&identity, csr, next_hash).await
            }
            (None, None, None) => self.ask(&identity).await,
            // Parts that don't fit together: from a crash in the middle of giving up, or from hands.
            _ => self.give_up("its files don't belong together"),
        }
    }

    /// Asks how the cloud stands to the journal of the life `epoch`, and for these rows of it. Changes nothing at either end.
    ///
    /// # Errors
    /// No connection, no identity, or the cloud says no.
    pub async fn look(&self, epoch: u64, rows: Vec<Mark>) -> Result<SyncStanding, RenewError> {
        let identity = Identity::load_with(&self.folder, self.keys.clone())?;
        let turn = turn::kept(&self.folder);
        match self.talk(&identity, Body::AskSync(AskSync { epoch, turn, rows })).await? {
            Body::SyncStanding(standing) => Ok(standing),
            Body::Refused(Refused { reason, .. }) => Err(RenewError::Refused(reason)),
            _ => Err(RenewError::Answer("it does not say how it stands to the journal")),
        }
    }

    async fn ask(&self, identity: &Identity) -> Result<Step, RenewError> {
        let standing = match self.talk(identity, Body::Ask(Nothing {})).await? {
            Body::Standing(standing) => standing,
            Body::Refused(Refused { reason, .. }) => return Err(RenewError::Refused(reason)),
            _ => return Err(RenewError::Answer("it does not say how the certificate stands")),
        };
        let Standing { due, authorities_pem } = standing;
        if due {
            let place = self.keys.clone().unwrap_or_else(|| identity.key_place());
            let (key, csr) = key::make_beside(place).await.map_err(RenewError::Key)?;
            // The request last: where it is there, its key is.
            write_whole(&self.path(NEXT_KEY_FILE), key.as_bytes())?;
            write_whole(&self.path(NEXT_CSR_FILE), csr.as_bytes())?;
            return Ok(Step::KeyMade);
        }
        if authorities_pem.trim() == identity.ca_pem.trim() {
            return Ok(Step::Fresh);
        }
        tls::authorities(&authorities_pem).map_err(RenewError::Link)?;
        let pem = both(&identity.certificate_pem, &authorities_pem);
        write_whole(&self.path(IDENTITY_FILE), pem.as_bytes())?;
        Ok(Step::Trusting)
    }

    async fn sign(
        &self,
        identity: &Identity,
        csr_pem: String,
        key: Option<[u8; 32]>,
    ) -> Result<Step, RenewError> {
        let Enrolled { gateway, certificate_pem, ca_pem, .. } =
            match self.talk(identity, Body::Renew(Renew { csr_pem })).await? {
                Body::Enrolled(enrolled) => enrolled,
                Body::Refused(Refused { reason, .. }) => return self.give_up(&reason),
                _ => return Err(RenewError::Answer("it is neither a certificate nor a refusal")),
            };
        let peer =
            peer_of_pem(&certificate_pem).ok_or(RenewError::Answer("its certificate can't be read"))?;
        if gateway != identity.gateway || peer.gateway != gateway {
            return Err(RenewError::Answer("its certificate names another gateway"));
        }
        if Some(peer.key) != key {
            return Err(RenewError::Answer("its certificate is for another key"));
        }
        tls::authorities(&ca_pem).map_err(RenewError::Link)?;
        write_whole(&self.path(NEXT_FILE), both(&certificate_pem, &ca_pem).as_bytes())?;
        Ok(Step::Signed)
    }

    async fn prove(&self, identity: &Identity, key: &str, pem: &str) -> Result<Step, RenewError> {
        let second = pem.match_indices("-----BEGIN").nth(1).map_or(pem.len(), |(at, _)| at);
        let (certificate_pem, ca_pem) = pem.split_at(second);
        let peer = peer_of_pem(certificate_pem);
        if peer.is_none_or(|peer| peer.gateway != identity.gateway || Some(peer.key) != key::hash(key)) {
            return self.give_up("its files don't belong together");
        }
        let next = Identity {
            gateway: identity.gateway.clone(),
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key.to_owned(),
            ca_pem: ca_pem.to_owned(),
            folder: None,
            keys: None,
        };
        match self.talk(&next, Body::Prove(Nothing {})).await? {
            Body::Proven(_) => {}
            Body::Refused(Refused { reason, .. }) => return self.give_up(&reason),
            _ => return Err(RenewError::Answer("it does not say that the new certificate works")),
        }
        self.rename(NEXT_FILE, IDENTITY_FILE)?;
        Ok(Step::Switched)
    }

    /// The identity has switched to the next key already.
    fn end_switch(&self) -> Result<Step, RenewError> {
        // The requests belong to no key that is in use.
        self.remove(NEXT_CSR_FILE)?;
        self.remove(CSR_FILE)?;
        self.rename(NEXT_KEY_FILE, KEY_FILE)?;
        Ok(Step::OldGone)
    }

    fn give_up(&self, reason: &str) -> Result<Step, RenewError> {
        tracing::warn!(reason, "a renewal of the certificate is given up; it is tried anew later");
        for file in [NEXT_FILE, NEXT_CSR_FILE, NEXT_KEY_FILE] {
            self.remove(file)?;
        }
        Ok(Step::GivenUp)
    }

    /// One question on a connection of its own.
    async fn talk(&self, identity: &Identity, question: Body) -> Result<Body, RenewError> {
        let tls = tls::renewing(&identity.certificate_pem, &identity.key_pem, &identity.ca_pem)
            .map_err(RenewError::Link)?;
        let dialer = Dialer::new(self.cloud.clone(), &identity.gateway, tls, self.tuning);
        let connection = dialer.dial().await.map_err(RenewError::Link)?;
        let address = connection.address();
        let asking = async {
            let (mut up, mut down) = connection.open_lane().await?;
            stream::send(&mut up, question).await?;
            stream::receive(&mut down).await
        };
        let answer = tokio::time::timeout(self.tuning.handshake, asking).await;
        connection.close(0, "done");
        connection.said_goodbye().await;
        let answer = answer.map_err(|_| RenewError::Link(LinkError::Silent { address }))?;
        answer.map_err(RenewError::Link)?.ok_or(RenewError::Answer("it ended without one"))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn fault(&self, doing: &'static str, file: &str) -> impl FnOnce(io::Error) -> IdentityError {
        let path = self.path(file);
        move |source| IdentityError::File { doing, path, source }
    }

    fn read(&self, file: &str) -> Result<Option<String>, IdentityError> {
        match fs::read_to_string(self.path(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(self.fault("reading", file)),
        }
    }

    fn remove(&self, file: &str) -> Result<(), IdentityError> {
        match fs::remove_file(self.path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.fault("removing", file)(error)),
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), IdentityError> {
        fs::rename(self.path(from), self.path(to))
            .and_then(|()| fs::File::open::<&Path>(&self.folder)?.sync_all())
            .map_err(self.fault("putting in place", to))
    }
}
