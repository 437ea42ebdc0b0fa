//! A gateway's private key as its file has it: PKCS #8 in the clear, or wrapped by a TPM.

use crate::pki::{self, PkiError};
use crate::place::KeyPlace;
use crate::tpm::{TlsKey, TpmError, TpmKey, is_wrapped};
use crate::{LinkError, tls};
use rcgen::{KeyPair, PublicKeyData};
use rustls::sign::SigningKey;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// SHA-256 of the public key (SubjectPublicKeyInfo) of a private key.
pub(crate) fn hash(text: &str) -> Option<[u8; 32]> {
    let info = if is_wrapped(text) {
        TpmKey::read(text).ok()?.subject_public_key_info()
    } else {
        KeyPair::from_pem(text).ok()?.subject_public_key_info()
    };
    Some(Sha256::digest(info).into())
}

/// Makes a key in `place` and a certificate request for it, PEM: what the key's file is to hold, and the request. Blocks
/// where the place is a TPM.
///
/// # Errors
/// The library's, or the TPM's.
pub(crate) fn make(place: &KeyPlace) -> Result<(String, String), PkiError> {
    match place {
        KeyPlace::File => {
            let key = KeyPair::generate().map_err(PkiError::doing("making the gateway's key"))?;
            let csr = pki::request_for(&key)?;
            Ok((key.serialize_pem(), csr))
        }
        KeyPlace::Tpm(at) => {
            let key = TpmKey::make(at).map_err(PkiError::Tpm)?;
            match pki::request_for(&key) {
                Ok(csr) => Ok((key.text(), csr)),
                Err(error) => Err(key.take_fault().map_or(error, PkiError::Tpm)),
            }
        }
    }
}

/// As [`make`], off the async threads.
///
/// # Errors
/// As [`make`].
pub(crate) async fn make_beside(place: KeyPlace) -> Result<(String, String), PkiError> {
    tokio::task::spawn_blocking(move || make(&place)).await.unwrap_or(Err(PkiError::Interrupted))
}

/// Where a key is.
pub(crate) fn place(text: &str) -> KeyPlace {
    TpmKey::read(text).map_or(KeyPlace::File, |key| KeyPlace::Tpm(key.address().clone()))
}

/// The key's file, with its TPM reached as the configuration says; a key in a file stays as it is.
pub(crate) fn reached(text: String, wanted: Option<&KeyPlace>) -> String {
    match (wanted, TpmKey::read(&text)) {
        (Some(KeyPlace::Tpm(at)), Ok(key)) => key.at(at).text(),
        _ => text,
    }
}

/// A key as TLS uses it, and the same one where it is in a TPM.
pub(crate) type Signing = (Arc<dyn SigningKey>, Option<Arc<TpmKey>>);

/// The key of a file, for TLS.
///
/// # Errors
/// Not a key.
pub(crate) fn signing(text: &str) -> Result<Signing, LinkError> {
    if !is_wrapped(text) {
        return Ok((tls::signing_key(text)?, None));
    }
    let key = Arc::new(TpmKey::read(text).map_err(LinkError::Key)?);
    Ok((Arc::new(TlsKey(Arc::clone(&key))), Some(key)))
}

/// Sees that a key can be used now: that its TPM is there, and is its own.
///
/// # Errors
/// The TPM's.
pub(crate) async fn ready(key: Option<Arc<TpmKey>>) -> Result<(), TpmError> {
    let Some(key) = key else { return Ok(()) };
    let checked = tokio::task::spawn_blocking(move || key.check()).await;
    checked.unwrap_or(Err(TpmError::Blob("looking at it was broken off")))
}

/// True where a key can be used now.
pub(crate) async fn usable(text: &str) -> bool {
    match TpmKey::read(text) {
        Ok(key) => ready(Some(Arc::new(key))).await.is_ok(),
        Err(_) => !is_wrapped(text),
    }
}
