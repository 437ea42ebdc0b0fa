//! The gateway's key for the vault, and what is derived from it.
//!
//! Why derived: one credential to keep and to hand over; yet the file of the keys, the wrapping, the index and the
//! signatures each have a key of their own (HKDF-SHA256, RFC 5869), so that none says anything of another.

use super::keyring::KEYS_FILE;
use crate::key::not_lost;
use crate::{DatabaseKey, KeyError};
use data_encoding::HEXLOWER_PERMISSIVE;
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{hkdf, hmac};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The vault's key. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct VaultKey(Arc<Derived>);

struct Derived {
    file: DatabaseKey,
    wrap: Zeroizing<[u8; 32]>,
    index: hmac::Key,
    stays: Zeroizing<[u8; 32]>,
    signer: Ed25519KeyPair,
}

impl std::fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VaultKey(..)")
    }
}

impl VaultKey {
    /// Reads the key (64 hexadecimal digits) from `path`; makes a new one there (mode 0600) if the file is absent.
    ///
    /// # Errors
    /// As [`DatabaseKey::load_or_create`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Self::derive(&DatabaseKey::load_or_create(path)?, path)
    }

    /// As [`Self::load_or_create`], for the vault in `dir`: where that is there and its key is not, none is made anew.
    ///
    /// # Errors
    /// As [`Self::load_or_create`], and a key that is lost.
    pub fn load_or_create_for(path: &Path, dir: &Path) -> Result<Self, KeyError> {
        let without =
            "alone: guests are then without names until the PMS's list brings back who is in the house";
        not_lost(path, &dir.join(KEYS_FILE), without)?;
        Self::load_or_create(path)
    }

    /// Reads the key from `path`.
    ///
    /// # Errors
    /// As [`DatabaseKey::load`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::derive(&DatabaseKey::load(path)?, path)
    }

    fn derive(master: &DatabaseKey, path: &Path) -> Result<Self, KeyError> {
        let form = || KeyError::Form { path: path.to_owned() };
        let bytes =
            Zeroizing::new(HEXLOWER_PERMISSIVE.decode(master.digits().as_bytes()).map_err(|_| form())?);
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"engawa guest vault v1").extract(&bytes);
        let part = |purpose: &'static str| {
            let mut out = Zeroizing::new([0_u8; 32]);
            let info = [purpose.as_bytes()];
            let filled = secret.expand(&info, Bytes32).and_then(|okm| okm.fill(out.as_mut()));
            filled.map(|()| out).map_err(|_| KeyError::Random)
        };
        let signer = Ed25519KeyPair::from_seed_unchecked(part("sign")?.as_ref()).map_err(|_| form())?;
        Ok(Self(Arc::new(Derived {
            file: DatabaseKey::of_bytes(&*part("file")?),
            wrap: part("wrap")?,
            index: hmac::Key::new(hmac::HMAC_SHA256, part("index")?.as_ref()),
            stays: part("stays")?,
            signer,
        })))
    }

    /// The key of the file that holds the stays' keys.
    pub(crate) fn file(&self) -> &DatabaseKey {
        &self.0.file
    }

    /// What the stays' keys are wrapped with.
    pub(crate) fn wrap(&self) -> &[u8; 32] {
        &self.0.wrap
    }

    /// The key of the blind indexes.
    pub(crate) fn index(&self) -> &hmac::Key {
        &self.0.index
    }

    /// The key of what stands for a reservation number that is none.
    pub fn stays(&self) -> [u8; 32] {
        *self.0.stays
    }

    /// A signature (Ed25519) of the vault.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.signer.sign(message).as_ref().to_vec()
    }

    /// The public key that verifies the vault's signatures.
    pub fn public(&self) -> Vec<u8> {
        self.0.signer.public_key().as_ref().to_vec()
    }
}

struct Bytes32;

impl hkdf::KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}
