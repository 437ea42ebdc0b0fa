//! Enrolment: a new gateway gets its certificate for a one-time claim code.
//!
//! The key is made on the gateway and never leaves it. Key and request are on the disk before the cloud is asked, so
//! that the same request can be made again when the answer was lost: the cloud answers the same request again.

use crate::dial::Dialer;
use crate::identity::{CSR_FILE, KEY_FILE, make_folder, read_key, write_whole};
use crate::peer::{first_certificate, peer_of_pem};
use crate::pki::{self, PkiError};
use crate::{ClaimCode, Identity, IdentityError, KeyPlace, Line, LinkError, Tuning, key, stream, tls};
use engawa_protocol::frame::{Body, Enrol, Enrolled};
use std::fs;
use std::path::Path;

/// Enrolment that did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// No connection.
    #[error("the cloud could not be asked")]
    Link(#[source] LinkError),
    /// The cloud said no.
    #[error("the cloud refuses: {0}")]
    Refused(String),
    /// The files.
    #[error("the identity's files")]
    Files(#[source] IdentityError),
    /// No key or request.
    #[error("the gateway's key")]
    Key(#[source] PkiError),
    /// The cloud has put the gateway elsewhere, or does not say where.
    #[error(
        "the cloud does not say that the gateway is of the property that was asked for: it is not joined; revoke it in the cloud (`engawa-cloud revoke`), or leave --property out if that cloud is of an older release"
    )]
    Property,
    /// An answer that can't be right.
    #[error("the cloud's answer can't be used: {0}")]
    Answer(&'static str),
}

/// What whoever enrols a gateway wants of it.
#[derive(Clone, Debug, Default)]
pub struct Enrolment {
    /// Where the key is made; `None`: in a file.
    pub keys: Option<KeyPlace>,
    /// The property that the gateway is meant for: a claim code of another one is refused, and not used up.
    pub property: Option<String>,
}

/// A gateway that has joined its fleet.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Who it is now.
    pub identity: Identity,
    /// The property that the cloud has it under; `None` where an older cloud does not say.
    pub property: Option<String>,
}

/// Asks the cloud that is reached by `cloud` for a certificate over a key in a file, and keeps the identity in `dir`.
///
/// # Errors
/// As [`enroll_with`].
pub async fn enroll(cloud: impl Into<Line>, code: &ClaimCode, dir: &Path) -> Result<Identity, EnrollError> {
    enroll_with(cloud, code, dir, &Enrolment::default()).await.map(|joined| joined.identity)
}

/// Asks the cloud that is reached by `cloud` for a certificate, and keeps the identity in `dir`.
///
/// # Errors
/// No connection, a code that the cloud does not take, a folder that can't be written, or a TPM that can't be used.
pub async fn enroll_with(
    cloud: impl Into<Line>,
    code: &ClaimCode,
    dir: &Path,
    wanted: &Enrolment,
) -> Result<Joined, EnrollError> {
    let place = wanted.keys.clone().unwrap_or(KeyPlace::File);
    let (key_pem, csr_pem) = request(dir, place).await?;
    let tls = tls::enrolling(code.ca_pin).map_err(EnrollError::Link)?;
    let tuning = Tuning::default();
    let dialer = Dialer::new(cloud.into(), "", tls, tuning);
    let connection = dialer.dial().await.map_err(EnrollError::Link)?;
    let address = connection.address();
    let asking = async {
        let (mut up, mut down) = connection.open_lane().await?;
        let property = wanted.property.clone().unwrap_or_default();
        let ask = Enrol { secret: code.secret.clone(), csr_pem: csr_pem.clone(), property };
        stream::send(&mut up, Body::Enrol(ask)).await?;
        stream::receive(&mut down).await
    };
    let answer = tokio::time::timeout(tuning.handshake, asking).await;
    connection.close(0, "done");
    connection.said_goodbye().await;
    let answer = answer.map_err(|_| EnrollError::Link(LinkError::Silent { address }))?;
    let enrolled = match answer.map_err(EnrollError::Link)? {
        Some(Body::Enrolled(enrolled)) => enrolled,
        Some(Body::Refused(refused)) => return Err(EnrollError::Refused(refused.reason)),
        _ => return Err(EnrollError::Answer("it is neither a certificate nor a refusal")),
    };
    let property = Some(enrolled.property.clone()).filter(|property| !property.is_empty());
    // A cloud of an older release knows nothing of the wish, and does not say what it did.
    if wanted.property.is_some() && property != wanted.property {
        return Err(EnrollError::Property);
    }
    let mut identity = checked(enrolled, key_pem, code)?;
    identity.folder = Some(dir.to_owned());
    identity.keys.clone_from(&wanted.keys);
    identity.save(dir).map_err(EnrollError::Files)?;
    Ok(Joined { identity, property })
}

/// The key and the request of an earlier attempt in the same place, or new ones.
async fn request(dir: &Path, place: KeyPlace) -> Result<(String, String), EnrollError> {
    make_folder(dir).map_err(EnrollError::Files)?;
    let (key_path, csr_path) = (dir.join(KEY_FILE), dir.join(CSR_FILE));
    if let (Ok(key), Ok(csr)) = (read_key(&key_path), fs::read_to_string(&csr_path))
        && key::place(&key) == place
        // The request of a key that was renewed since is of no use, and neither is a key of a TPM that was replaced.
        && key::hash(&key).is_some_and(|hash| pki::request_key(&csr).ok() == Some(hash))
        && key::usable(&key).await
    {
        return Ok((key, csr));
    }
    let (key, csr) = key::make_beside(place).await.map_err(EnrollError::Key)?;
    // The request last: where it is there, its key is.
    write_whole(&key_path, key.as_bytes()).map_err(EnrollError::Files)?;
    write_whole(&csr_path, csr.as_bytes()).map_err(EnrollError::Files)?;
    Ok((key, csr))
}

/// The identity, if the certificate names the gateway and comes with the authority of the claim code.
fn checked(enrolled: Enrolled, key_pem: String, code: &ClaimCode) -> Result<Identity, EnrollError> {
    let Enrolled { gateway, certificate_pem, ca_pem, .. } = enrolled;
    let peer = peer_of_pem(&certificate_pem).ok_or(EnrollError::Answer("its certificate can't be read"))?;
    if peer.gateway != gateway {
        return Err(EnrollError::Answer("its certificate names another gateway"));
    }
    if first_certificate(&ca_pem).and_then(|ca| pki::pin_of(&ca)) != Some(code.ca_pin) {
        return Err(EnrollError::Answer("its authority is not the one of the claim code"));
    }
    if Some(peer.key) != key::hash(&key_pem) {
        return Err(EnrollError::Answer("its certificate is for another key"));
    }
    Ok(Identity { gateway, certificate_pem, key_pem, ca_pem, folder: None, keys: None })
}
