//! A signed document: what is signed, and the signatures (TUF specification 1.0.33, 4.2.2).

use crate::canonical::{self, NotCanonical};
use crate::error::Fault;
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::sign::{SignFault, Signer};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// By which key.
    pub keyid: String,
    /// In hex; empty where somebody has yet to sign.
    pub sig: String,
}

/// Signatures of a document.
pub type Signatures = Vec<Signature>;

/// How many values a text in JSON has, at the most: one at its begin, and one behind each `[`, `{`, `:` and `,` outside of
/// strings.
fn values(bytes: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b':' | b',' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// What is signed, as it came, and the signatures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The signatures.
    pub signatures: Signatures,
    /// What they sign.
    pub signed: Value,
}

impl Document {
    /// A document that nobody has signed.
    ///
    /// # Errors
    /// The metadata has no form in JSON.
    pub fn new<T: Metadata>(metadata: &T) -> Result<Self, Fault> {
        let signed = serde_json::to_value(metadata)
            .map_err(|error| Fault::Malformed { file: T::KIND.to_owned(), reason: error.to_string() })?;
        Ok(Self { signatures: Vec::new(), signed })
    }

    /// From the bytes of `file`, which may be `most` long.
    ///
    /// # Errors
    /// It is too long, no such document, or a key has signed it twice.
    pub fn parse(bytes: &[u8], file: &str, most: usize, limits: &Limits) -> Result<Self, Fault> {
        if bytes.len() > most {
            return Err(Fault::TooLong { file: file.to_owned(), most: most as u64 });
        }
        let is = values(bytes);
        if is > limits.values {
            let (what, most) = ("values", limits.values);
            return Err(Fault::TooMany { file: file.to_owned(), what, is, most });
        }
        let document: Self = serde_json::from_slice(bytes)
            .map_err(|error| Fault::Malformed { file: file.to_owned(), reason: error.to_string() })?;
        let is = document.signatures.len();
        if is > limits.signatures {
            let (what, most) = ("signatures", limits.signatures);
            return Err(Fault::TooMany { file: file.to_owned(), what, is, most });
        }
        let mut seen = BTreeSet::new();
        for signature in &document.signatures {
            if !seen.insert(&signature.keyid) {
                let keyid = signature.keyid.clone();
                return Err(Fault::DuplicateSignature { file: file.to_owned(), keyid });
            }
        }
        Ok(document)
    }

    /// What is signed, as metadata of one kind.
    ///
    /// # Errors
    /// It is of another kind, of a version of the specification that is not known here, or not as that says.
    pub fn read<T: Metadata>(&self, file: &str) -> Result<T, Fault> {
        let text = |name: &str| self.signed.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("_type");
        if kind != T::KIND {
            return Err(Fault::WrongType { file: file.to_owned(), wanted: T::KIND, is: kind.to_owned() });
        }
        let version = text("spec_version");
        if version.split('.').next() != Some("1") {
            return Err(Fault::SpecificationVersion { file: file.to_owned(), is: version.to_owned() });
        }
        let malformed = |reason: String| Fault::Malformed { file: file.to_owned(), reason };
        let metadata = T::deserialize(&self.signed).map_err(|error| malformed(error.to_string()))?;
        if metadata.version() == 0 {
            return Err(malformed("versions begin with 1".to_owned()));
        }
        Ok(metadata)
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// There is no canonical form of it.
    pub fn message(&self) -> Result<Vec<u8>, NotCanonical> {
        canonical::encode(&self.signed)
    }

    /// Signs it, instead of an earlier signature by the same key.
    ///
    /// # Errors
    /// The key can't sign, or there is no canonical form.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), SignFault> {
        let signature = signer.sign(&self.message()?)?;
        let keyid = signer.key().id().to_owned();
        self.signatures.retain(|own| own.keyid != keyid);
        self.signatures.push(Signature { keyid, sig: HEXLOWER.encode(&signature) });
        Ok(())
    }

    /// As a file: JSON without white space, for it goes over every gateway's line.
    ///
    /// # Errors
    /// None in practice: it was JSON before.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| Fault::Malformed { file: "document".to_owned(), reason: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(crate) fn signature_by(&self, keyid: &str) -> Option<Vec<u8>> {
        let signature = self.signatures.iter().find(|signature| signature.keyid == keyid)?;
        HEXLOWER_PERMISSIVE.decode(signature.sig.as_bytes()).ok()
    }
}
