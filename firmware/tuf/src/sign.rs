//! Keys that sign.

use crate::canonical::NotCanonical;
use crate::key::PublicKey;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Why something could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignFault {
    /// The document has no canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// The key is none.
    #[error("this is not an Ed25519 key in PKCS #8: {0}")]
    BadKey(String),
    /// A token or a service that holds the key refused.
    #[error("the key can't be used: {0}")]
    Refused(String),
}

/// Somebody who can sign: a key in a file, or in a token.
pub trait Signer {
    /// The public half.
    fn key(&self) -> &PublicKey;
    /// The signature of `message`, as its scheme writes it.
    ///
    /// # Errors
    /// The key can't be used now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignFault>;
}

/// An Ed25519 key in memory.
pub struct Ed25519Signer {
    pair: Ed25519KeyPair,
    key: PublicKey,
}

impl std::fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ed25519Signer").field("key", &self.key.id()).finish_non_exhaustive()
    }
}

impl Ed25519Signer {
    /// From its 32 secret bytes (RFC 8032, 5.1.5), which must be random.
    ///
    /// # Errors
    /// Never for 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignFault> {
        Self::of(
            Ed25519KeyPair::from_seed_unchecked(seed)
                .map_err(|error| SignFault::BadKey(error.to_string()))?,
        )
    }

    /// From PKCS #8 in DER (RFC 8410), with or without the public half.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SignFault> {
        Self::of(
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map_err(|error| SignFault::BadKey(error.to_string()))?,
        )
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, SignFault> {
        let public: [u8; 32] = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| SignFault::BadKey("its public half is not 32 bytes long".to_owned()))?;
        Ok(Self { pair, key: PublicKey::ed25519(&public) })
    }
}

impl Signer for Ed25519Signer {
    fn key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignFault> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}
