//! Public keys of TUF (TUF specification 1.0.33, 4.2): what they look like, their names, and what they have signed.

use crate::canonical;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What stands before the point in the SubjectPublicKeyInfo of an uncompressed P-256 key (RFC 5480, section 2).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Ed25519 (RFC 8032), the public key in hex.
    Ed25519,
    /// ECDSA over P-256 with SHA-256, signatures in DER, the public key in PEM.
    EcdsaP256,
    /// ECDSA over P-384 with SHA-384, likewise.
    EcdsaP384,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes, 2048 to 8192 bits, the public key in PEM.
    RsaPss,
}

impl Scheme {
    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Scheme::Ed25519 => &signature::ED25519,
            Scheme::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
            Scheme::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
            Scheme::RsaPss => &signature::RSA_PSS_2048_8192_SHA256,
        }
    }
}

/// Why a key is of no use here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Of a kind that is not known.
    #[error(
        "keys of type `{keytype}` with the scheme `{scheme}` are not known: ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 and rsassa-pss-sha256 are"
    )]
    Unknown {
        /// `keytype`.
        keytype: String,
        /// `scheme`.
        scheme: String,
    },
    /// Not what its scheme asks for.
    #[error("the public key is not what its scheme asks for: {0}")]
    Malformed(&'static str),
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// As it stands in metadata, with whatever else it has: its name is the hash of all of it.
    value: Value,
    id: String,
    scheme: Scheme,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// An Ed25519 key.
    #[must_use]
    pub fn ed25519(bytes: &[u8; 32]) -> Self {
        let value =
            json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": HEXLOWER.encode(bytes)}});
        Self { id: key_id(&value), value, scheme: Scheme::Ed25519, bytes: bytes.to_vec() }
    }

    /// A P-256 key: the point, uncompressed (65 bytes, the first of them 4).
    ///
    /// # Errors
    /// It is none.
    pub fn ecdsa_p256(point: &[u8]) -> Result<Self, KeyFault> {
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(KeyFault::Malformed("expected an uncompressed point of P-256, 65 bytes"));
        }
        let der = [P256_PREFIX.as_slice(), point].concat();
        let line_ending = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let pem = pem::encode_config(&pem::Pem::new("PUBLIC KEY", der), line_ending);
        Self::from_value(
            &json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}}),
        )
    }

    /// As it stands in metadata.
    ///
    /// # Errors
    /// Its kind is not known here, or it is not what that asks for.
    pub fn from_value(value: &Value) -> Result<Self, KeyFault> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let public = value.pointer("/keyval/public").and_then(Value::as_str).unwrap_or_default();
        let (scheme, bytes) = match (text("keytype"), text("scheme")) {
            ("ed25519", "ed25519") => {
                let bytes = HEXLOWER
                    .decode(public.to_ascii_lowercase().as_bytes())
                    .map_err(|_| KeyFault::Malformed("expected hex"))?;
                if bytes.len() != 32 {
                    return Err(KeyFault::Malformed("expected 32 bytes"));
                }
                (Scheme::Ed25519, bytes)
            }
            // The first is the key type's name of today, the second that of older repositories.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                (Scheme::EcdsaP256, from_pem(public, Some(65))?)
            }
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
                (Scheme::EcdsaP384, from_pem(public, Some(97))?)
            }
            ("rsa", "rsassa-pss-sha256") => (Scheme::RsaPss, from_pem(public, None)?),
            (keytype, scheme) => {
                return Err(KeyFault::Unknown { keytype: keytype.to_owned(), scheme: scheme.to_owned() });
            }
        };
        Ok(Self { id: key_id(value), value: value.clone(), scheme, bytes })
    }

    /// Its name: the SHA-256 of its canonical form, in hex.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it signs.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// As it stands in metadata.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The key itself. Two entries with the same are the same key, whatever they are called.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True if `signature` of `message` is by this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.scheme.algorithm(), &self.bytes).verify(message, signature).is_ok()
    }
}

/// The name of a key (TUF specification 1.0.33, 4.3). A key that has no canonical form has the empty name, which no entry has.
pub(crate) fn key_id(value: &Value) -> String {
    canonical::encode(value)
        .map(|bytes| HEXLOWER.encode(digest(&SHA256, &bytes).as_ref()))
        .unwrap_or_default()
}

/// The subject public key in a PEM of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
fn from_pem(text: &str, length: Option<usize>) -> Result<Vec<u8>, KeyFault> {
    let pem = pem::parse(text).map_err(|_| KeyFault::Malformed("expected PEM"))?;
    let (rest, info) = SubjectPublicKeyInfo::from_der(pem.contents())
        .map_err(|_| KeyFault::Malformed("expected a SubjectPublicKeyInfo"))?;
    let bytes = info.subject_public_key.data.to_vec();
    if !rest.is_empty() || length.is_some_and(|length| bytes.len() != length) {
        return Err(KeyFault::Malformed("its length is not that of its scheme"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_p256_goes_there_and_back() {
        let generator = HEXLOWER
            .decode(b"046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
            .unwrap();
        let key = PublicKey::ecdsa_p256(&generator).unwrap();
        assert_eq!(key.bytes(), generator);
        assert_eq!(PublicKey::from_value(key.value()).unwrap(), key);
        assert!(PublicKey::ecdsa_p256(&generator[1..]).is_err());
    }

    #[test]
    fn what_is_not_known_is_named() {
        let fault =
            PublicKey::from_value(&json!({"keytype": "rsa", "scheme": "md5", "keyval": {"public": ""}}));
        assert!(fault.unwrap_err().to_string().contains("`md5`"));
    }
}
