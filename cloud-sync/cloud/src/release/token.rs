//! Keys that can't be copied: P-256 in a token with PKCS #11 (a smart card, a USB token, an HSM), named by a URI (RFC 7512):
//!
//! `pkcs11:token=release;object=root-1?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin`

use anyhow::{Context, bail};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use engawa_tuf::{PublicKey, SignFault, Signer};
use pkcs8::der::Decode;
use pkcs8::der::asn1::OctetStringRef;
use std::path::Path;

/// Where the PIN is, where the URI names no file.
const PIN: &str = "ENGAWA_RELEASE_PIN";
/// The curve P-256 as DER of its object identifier (RFC 5480, 2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// What a URI says.
#[derive(Debug, PartialEq, Eq, Default)]
struct Named {
    token: String,
    object: String,
    module: String,
    pin_source: Option<String>,
}

impl Named {
    fn parse(uri: &str) -> anyhow::Result<Self> {
        let example =
            "expected such as pkcs11:token=release;object=root-1?module-path=/usr/lib/softhsm/libsofthsm2.so";
        let (path, query) = uri
            .strip_prefix("pkcs11:")
            .with_context(|| example.to_owned())?
            .split_once('?')
            .unwrap_or((uri.strip_prefix("pkcs11:").unwrap_or_default(), ""));
        let mut named = Self::default();
        for part in path.split(';').chain(query.split('&')).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').with_context(|| format!("`{part}` in {uri}: {example}"))?;
            let value = decoded(value)
                .with_context(|| format!("`{part}` in {uri}: a % is not followed by two hex digits"))?;
            match name {
                "token" => named.token = value,
                "object" => named.object = value,
                "module-path" => named.module = value,
                "pin-source" => named.pin_source = Some(value),
                "pin-value" => bail!(
                    "a PIN on the command line is seen by every user of this machine: name a file by pin-source=file:/..., or set {PIN}"
                ),
                // Others say what kind of object it is, or who made the token.
                "type" | "manufacturer" | "model" | "serial" | "id" => {}
                other => bail!("`{other}` in {uri} is not known: {example}"),
            }
        }
        for (name, value) in
            [("token", &named.token), ("object", &named.object), ("module-path", &named.module)]
        {
            if value.is_empty() {
                bail!("{uri} lacks {name}: {example}");
            }
        }
        Ok(named)
    }

    fn pin(&self) -> anyhow::Result<AuthPin> {
        let text = match &self.pin_source {
            Some(source) => crate::setup::key(Path::new(source.strip_prefix("file:").unwrap_or(source)))?,
            None => std::env::var(PIN).ok().with_context(|| {
                format!("the token's PIN is missing: name its file by pin-source=file:/..., or set {PIN}")
            })?,
        };
        Ok(AuthPin::new(text.lines().next().unwrap_or_default().into()))
    }

    /// A session with the token, logged in.
    fn session(&self) -> anyhow::Result<Session> {
        let module = || format!("the PKCS #11 module {}", self.module);
        let context = Pkcs11::new(&self.module).with_context(module)?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another key of the same module came first.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error).with_context(module),
        }
        for slot in context.get_slots_with_initialized_token().with_context(module)? {
            if context.get_token_info(slot).with_context(module)?.label().trim_end() == self.token {
                let session = context.open_rw_session(slot).with_context(module)?;
                match session.login(UserType::User, Some(&self.pin()?)) {
                    Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok(session),
                    Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => bail!(
                        "the PIN of the token {} is wrong: look at it before the next try, for a token locks itself after a few wrong ones",
                        self.token
                    ),
                    Err(Error::Pkcs11(RvError::PinLocked, _)) => bail!(
                        "the token {} has locked itself, after too many wrong PINs: its security officer (SO PIN) sets a new PIN",
                        self.token
                    ),
                    Err(error) => {
                        return Err(error).with_context(|| format!("logging in to the token {}", self.token));
                    }
                }
            }
        }
        bail!("{} has no token called `{}`", module(), self.token)
    }

    fn find(&self, session: &Session, class: ObjectClass) -> anyhow::Result<Option<ObjectHandle>> {
        let template = [Attribute::Class(class), Attribute::Label(self.object.as_bytes().to_vec())];
        let found = session.find_objects(&template).context("looking for the key in the token")?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => bail!(
                "the token {} has {} keys called `{}`: give each a name of its own",
                self.token,
                several.len(),
                self.object
            ),
        }
    }

    fn public(&self, session: &Session) -> anyhow::Result<PublicKey> {
        let Some(handle) = self.find(session, ObjectClass::PUBLIC_KEY)? else {
            bail!(
                "the token {} has no public key called `{}`: make one with `engawa-cloud release keygen`",
                self.token,
                self.object
            );
        };
        let attributes =
            session.get_attributes(handle, &[AttributeType::EcParams, AttributeType::EcPoint])?;
        let mut point = Vec::new();
        for attribute in attributes {
            match attribute {
                Attribute::EcParams(curve) if curve != P256 => {
                    bail!("the key `{}` is not of the curve P-256", self.object);
                }
                Attribute::EcPoint(bytes) => point = bytes,
                _ => {}
            }
        }
        // An OCTET STRING around the point, by the standard (PKCS #11 v2.40, 2.3.3); some tokens leave it away.
        let inner =
            OctetStringRef::from_der(&point).map_or(point.as_slice(), |inner| inner.as_bytes()).to_vec();
        PublicKey::ecdsa_p256(&inner)
            .with_context(|| format!("the key `{}` of the token {}", self.object, self.token))
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let hex = data_encoding::HEXLOWER_PERMISSIVE.decode(after.get(..2)?).ok()?;
            bytes.extend(hex);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A key in a token.
pub(crate) struct TokenSigner {
    session: Session,
    private: ObjectHandle,
    key: PublicKey,
}

/// The key that `uri` names.
pub(crate) fn open(uri: &str) -> anyhow::Result<TokenSigner> {
    let named = Named::parse(uri)?;
    let session = named.session()?;
    let key = named.public(&session)?;
    let private = named.find(&session, ObjectClass::PRIVATE_KEY)?;
    let private = private
        .with_context(|| format!("the token {} has no private key called `{}`", named.token, named.object))?;
    Ok(TokenSigner { session, private, key })
}

/// Makes a key in the token, which never leaves it.
pub(crate) fn generate(uri: &str) -> anyhow::Result<PublicKey> {
    let named = Named::parse(uri)?;
    let session = named.session()?;
    if named.find(&session, ObjectClass::PRIVATE_KEY)?.is_some() {
        bail!("the token {} has a key called `{}` already: choose another name", named.token, named.object);
    }
    let label = || Attribute::Label(named.object.as_bytes().to_vec());
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::KeyType(KeyType::EC),
        Attribute::Verify(true),
        Attribute::EcParams(P256.to_vec()),
        label(),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        label(),
    ];
    session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .with_context(|| format!("making a key in the token {}", named.token))?;
    named.public(&session)
}

impl Signer for TokenSigner {
    fn key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignFault> {
        let hash = ring::digest::digest(&ring::digest::SHA256, message);
        let raw = self
            .session
            .sign(&Mechanism::Ecdsa, self.private, hash.as_ref())
            .map_err(|error| SignFault::Refused(error.to_string()))?;
        if raw.len() != 64 {
            return Err(SignFault::Refused(format!(
                "the token gave a signature of {} bytes, expected 64",
                raw.len()
            )));
        }
        Ok(der_signature(&raw))
    }
}

/// Two numbers of 32 bytes as the SEQUENCE that TUF has (RFC 3279, 2.2.3).
fn der_signature(raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(72);
    for half in raw.chunks(raw.len() / 2) {
        let zeros = half.iter().take_while(|byte| **byte == 0).count().min(half.len() - 1);
        let number = &half[zeros..];
        // A number whose first bit is set would be negative.
        let pad = usize::from(number[0] >= 0x80);
        body.extend([0x02, u8::try_from(number.len() + pad).unwrap_or(u8::MAX)]);
        body.extend(std::iter::repeat_n(0, pad));
        body.extend(number);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_which_key() {
        let named = Named::parse(
            "pkcs11:token=my%20token;object=root-1;type=private?module-path=/m.so&pin-source=file:/p",
        )
        .unwrap();
        assert_eq!(
            (named.token.as_str(), named.object.as_str(), named.module.as_str()),
            ("my token", "root-1", "/m.so")
        );
        assert_eq!(named.pin_source.as_deref(), Some("file:/p"));
        for (uri, words) in [
            ("pkcs11:object=a?module-path=/m.so", "lacks token"),
            ("pkcs11:token=t;object=a", "lacks module-path"),
            ("pkcs11:token=t;object=a?module-path=/m.so&pin-value=1234", "every user"),
            ("pkcs11:token=%zz;object=a?module-path=/m.so", "two hex digits"),
            ("pkcs11:token=t;objekt=a?module-path=/m.so", "`objekt`"),
        ] {
            assert!(format!("{:#}", Named::parse(uri).unwrap_err()).contains(words), "{uri}");
        }
    }

    #[test]
    fn numbers_are_neither_negative_nor_padded() {
        let mut raw = [0_u8; 64];
        (raw[31], raw[32]) = (1, 0x80);
        let der = der_signature(&raw);
        assert_eq!(der[..7], [0x30, 38, 0x02, 1, 1, 0x02, 33]);
        assert_eq!((der[7], der[8], der.len()), (0, 0x80, 40));
    }
}
