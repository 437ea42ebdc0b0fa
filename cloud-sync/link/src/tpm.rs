//! A gateway's private key in a TPM 2.0: made there, used there, never seen outside.
//!
//! The key is ECDSA P-256 under a storage key of the owner hierarchy, which the TPM makes anew from its seed whenever it
//! is wanted. What lies beside the certificate is the key as the TPM has wrapped it; another TPM, or the same one after
//! it was cleared, can do nothing with it. So the TPM's scarce memory stays free, and a renewal switches keys with the
//! same renames of files as without a TPM.
//!
//! No C library is needed: commands are put together by `tpm2-protocol` and written to the kernel's device.
//!
//! - `wire` puts commands together and reads answers: pure;
//! - `channel` is the device or socket;
//! - `session` asks one question after another and leaves nothing behind in the TPM;
//! - `blob` is the file.

mod blob;
mod channel;
mod session;
mod wire;

use crate::place::TpmAddress;
use ring::digest::{SHA256, digest};
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{SignatureAlgorithm, SignatureScheme};
use session::Session;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Handle, RuntimeFlavor};

pub(crate) use blob::is_wrapped;

/// A TPM that can't do what is wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// Nothing there.
    #[error(
        "there is no TPM at {at}: is it switched on in the machine's firmware, and is there a /dev/tpmrm0 (see `ls -l /dev/tpm*`)?"
    )]
    Absent {
        /// Where.
        at: TpmAddress,
    },
    /// No rights.
    #[error(
        "this user may not use the TPM at {at}: add it to the group that owns the device (`usermod -aG tss USER`) and start the program anew; the service needs the drop-in of deploy/README.md"
    )]
    Denied {
        /// Where.
        at: TpmAddress,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another program has it for itself.
    #[error("the TPM at {at} is in use by another program: use its resource manager, device:/dev/tpmrm0")]
    Busy {
        /// Where.
        at: TpmAddress,
    },
    /// The connection to it.
    #[error("the TPM at {at} does not answer")]
    Silent {
        /// Where.
        at: TpmAddress,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Too many wrong passwords, of whomever.
    #[error(
        "the TPM at {at} is locked out after wrong passwords: it opens again with time, or by `tpm2_dictionarylockout --clear-lockout`"
    )]
    Lockout {
        /// Where.
        at: TpmAddress,
    },
    /// The owner hierarchy is not open to us.
    #[error(
        "the owner hierarchy of the TPM at {at} has a password or is switched off, and the gateway's key is to be under it: `tpm2_changeauth -c owner` changes the password"
    )]
    Owner {
        /// Where.
        at: TpmAddress,
    },
    /// The key is another TPM's.
    #[error(
        "the gateway's key is not of the TPM at {at}: the TPM was replaced or cleared, or this disk belongs into another machine; enrol the gateway anew with `engawa enroll CODE --replace`"
    )]
    Foreign {
        /// Where.
        at: TpmAddress,
    },
    /// Another refusal.
    #[error("the TPM at {at} refuses while {doing}: {name} ({code:#05x})")]
    Refused {
        /// Where.
        at: TpmAddress,
        /// What was wanted.
        doing: &'static str,
        /// Its response code (TPM 2.0 library, part 2, 6.6).
        code: u32,
        /// The code's name.
        name: String,
    },
    /// Not an answer.
    #[error("the TPM at {at} says what can't be while {doing}: {reason}")]
    Senseless {
        /// Where.
        at: TpmAddress,
        /// What was wanted.
        doing: &'static str,
        /// Why.
        reason: String,
    },
    /// The file is not a key that a TPM has wrapped for us.
    #[error("the file of the gateway's key can't be used: {0}")]
    Blob(&'static str),
}

/// A key in a TPM.
pub(crate) struct TpmKey {
    at: TpmAddress,
    wrapped: wire::Wrapped,
    /// The public point, as SEC 1 writes it uncompressed.
    point: [u8; 65],
    /// Why the last use of it failed: the libraries that ask for signatures have no room for reasons.
    fault: Mutex<Option<TpmError>>,
}

impl std::fmt::Debug for TpmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TpmKey({})", self.at)
    }
}

impl TpmKey {
    /// Makes a key. Blocks.
    ///
    /// # Errors
    /// The TPM's.
    pub(crate) fn make(at: &TpmAddress) -> Result<Self, TpmError> {
        let wrapped = Session::open(at)?.make()?;
        Self::of(at.clone(), wrapped)
    }

    fn of(at: TpmAddress, wrapped: wire::Wrapped) -> Result<Self, TpmError> {
        let point = wire::point(&wrapped.public).map_err(TpmError::Blob)?;
        Ok(Self { at, wrapped, point, fault: Mutex::new(None) })
    }

    /// The key of a file.
    ///
    /// # Errors
    /// Not one of ours.
    pub(crate) fn read(text: &str) -> Result<Self, TpmError> {
        let (at, wrapped) = blob::read(text).map_err(TpmError::Blob)?;
        Self::of(at, wrapped)
    }

    /// The same key, in the TPM that is reached like this.
    pub(crate) fn at(mut self, at: &TpmAddress) -> Self {
        self.at = at.clone();
        self
    }

    /// How its TPM is reached.
    pub(crate) fn address(&self) -> &TpmAddress {
        &self.at
    }

    /// What lies in the file.
    pub(crate) fn text(&self) -> String {
        blob::write(&self.at, &self.wrapped)
    }

    /// Sees that the TPM is there and that the key is its own. Blocks.
    ///
    /// # Errors
    /// The TPM's.
    pub(crate) fn check(&self) -> Result<(), TpmError> {
        Session::open(&self.at)?.load(&self.wrapped).map(drop)
    }

    /// The signature (ECDSA P-256 with SHA-256, ASN.1) over `message`. Blocks; a small chip takes up to a second.
    ///
    /// # Errors
    /// The TPM's.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let digest = digest(&SHA256, message);
        let mut session = Session::open(&self.at)?;
        let key = session.load(&self.wrapped)?;
        let (r, s) = session.sign(key, digest.as_ref())?;
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_bigint_bytes(&r, true);
                writer.next().write_bigint_bytes(&s, true);
            });
        }))
    }

    fn sign_or_note(&self, message: &[u8]) -> Option<Vec<u8>> {
        match off_the_async_threads(|| self.sign(message)) {
            Ok(signature) => Some(signature),
            Err(fault) => {
                *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                None
            }
        }
    }

    /// Why the last signature did not come about.
    pub(crate) fn take_fault(&self) -> Option<TpmError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where this thread drives tasks of a runtime of several threads, they are handed to another one meanwhile.
fn off_the_async_threads<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

impl rcgen::PublicKeyData for TpmKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for TpmKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_or_note(message).ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// The key as TLS uses it.
#[derive(Clone, Debug)]
pub(crate) struct TlsKey(pub(crate) Arc<TpmKey>);

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let ours = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered.contains(&ours).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(public_key_to_spki(&alg_id::ECDSA_P256, self.0.point))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign_or_note(message).ok_or_else(|| {
            let fault = self.0.take_fault();
            let reason = fault.map_or_else(|| "the TPM".to_owned(), |fault| crate::error::chain(&fault));
            rustls::Error::General(reason)
        })
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
