//! The private authority of one cloud, and what it signs: the cloud's own certificate and the gateways'.
//!
//! Keys are ECDSA P-256. Nothing but this authority is trusted, at either end: no public root, no system store.

use crate::identity::{gateway_uri, good_name, make_folder, read_key, write_whole};
use crate::{IdentityError, LinkError};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};
use x509_parser::pem::Pem;

const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";
/// How long the authority and the cloud's own certificate are valid.
const VALID: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Clocks of gateways may be behind.
const CLOCKS_DIFFER: Duration = Duration::from_secs(86_400);

/// A certificate that can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The library's reason.
    #[error("{doing}")]
    Certificate {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: rcgen::Error,
    },
    /// A file.
    #[error("the authority's files")]
    File(#[source] IdentityError),
    /// An authority is there already.
    #[error("{} is there already: an authority is made once", .0.display())]
    Exists(std::path::PathBuf),
    /// Not a certificate.
    #[error("the authority's certificate can't be read")]
    Unreadable,
    /// A name that can't be in a certificate.
    #[error(
        "`{0}` can't name a gateway: up to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
    )]
    Name(String),
}

fn doing(doing: &'static str) -> impl Fn(rcgen::Error) -> PkiError {
    move |source| PkiError::Certificate { doing, source }
}

/// The authority.
pub struct CertificateAuthority {
    pem: String,
    key: KeyPair,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateAuthority(..)")
    }
}

/// What every certificate here begins with.
fn params(name: &str, not_before: SystemTime, not_after: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (not_before - CLOCKS_DIFFER).into();
    params.not_after = not_after.into();
    params
}

impl CertificateAuthority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// The library's.
    pub fn create(name: &str) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(doing("making the authority's key"))?;
        let now = SystemTime::now();
        let mut params = params(name, now, now + VALID);
        // It signs end entities only, no further authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(doing("making the authority's certificate"))?;
        Ok(Self { pem: certificate.pem(), key })
    }

    /// Reads the authority in `dir`.
    ///
    /// # Errors
    /// Files that are absent, open to others, or can't be used.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let path = dir.join(CA_FILE);
        let pem = std::fs::read_to_string(&path)
            .map_err(|source| PkiError::File(IdentityError::File { doing: "reading", path, source }))?;
        let key = read_key(&dir.join(CA_KEY_FILE)).map_err(PkiError::File)?;
        let key = KeyPair::from_pem(&key).map_err(doing("reading the authority's key"))?;
        if first_certificate(&pem).is_none() {
            return Err(PkiError::Unreadable);
        }
        Ok(Self { pem, key })
    }

    /// Writes the authority into `dir`.
    ///
    /// # Errors
    /// One is there already, or a file can't be written.
    pub fn save(&self, dir: &Path) -> Result<(), PkiError> {
        let (certificate, key) = (dir.join(CA_FILE), dir.join(CA_KEY_FILE));
        if let Some(there) = [&certificate, &key].into_iter().find(|path| path.exists()) {
            return Err(PkiError::Exists(there.clone()));
        }
        make_folder(dir).map_err(PkiError::File)?;
        write_whole(&key, self.key.serialize_pem().as_bytes()).map_err(PkiError::File)?;
        write_whole(&certificate, self.pem.as_bytes()).map_err(PkiError::File)
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of its public key (SubjectPublicKeyInfo): what a claim code carries.
    pub fn pin(&self) -> [u8; 32] {
        // The certificate was made or checked here.
        first_certificate(&self.pem).and_then(|der| pin_of(&der)).unwrap_or_default()
    }

    fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, PkiError> {
        Issuer::from_ca_cert_pem(&self.pem, &self.key).map_err(doing("reading the authority's certificate"))
    }

    /// A certificate for the gateway `gateway` over the key of the request `csr_pem`. Whatever else the request says is
    /// left out: a gateway does not choose its name.
    ///
    /// # Errors
    /// A name that can't be, or a request that does not prove its key.
    pub fn sign_gateway(
        &self,
        gateway: &str,
        csr_pem: &str,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<String, PkiError> {
        if !good_name(gateway) {
            return Err(PkiError::Name(gateway.to_owned()));
        }
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(doing("reading the certificate request"))?;
        let uri = gateway_uri(gateway).try_into().map_err(doing("naming the gateway"))?;
        request.params = params(gateway, not_before, not_after);
        request.params.subject_alt_names = vec![SanType::URI(uri)];
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params.use_authority_key_identifier_extension = true;
        let certificate =
            request.signed_by(&self.issuer()?).map_err(doing("signing a gateway's certificate"))?;
        Ok(certificate.pem())
    }

    /// The cloud's own certificate and key, PEM, for these host names and addresses.
    ///
    /// # Errors
    /// A name that can't be in a certificate.
    pub fn server_certificate(&self, names: &[String]) -> Result<(String, String), PkiError> {
        let key = KeyPair::generate().map_err(doing("making the cloud's key"))?;
        let now = SystemTime::now();
        let name = |name: &String| match name.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => name.as_str().try_into().map(SanType::DnsName).map_err(doing("naming the cloud")),
        };
        let mut params = params("engawa-cloud", now, now + VALID);
        params.subject_alt_names = names.iter().map(name).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate =
            params.signed_by(&key, &self.issuer()?).map_err(doing("signing the cloud's certificate"))?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// A new key and a certificate request for it, PEM.
pub(crate) fn request() -> Result<(String, String), PkiError> {
    let key = KeyPair::generate().map_err(doing("making the gateway's key"))?;
    let now = SystemTime::now();
    let params = params("gateway", now, now + VALID);
    let request = params.serialize_request(&key).map_err(doing("making the certificate request"))?;
    let csr = request.pem().map_err(doing("writing the certificate request"))?;
    Ok((key.serialize_pem(), csr))
}

fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    Some(Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?.contents)
}

/// SHA-256 of a certificate's public key.
pub(crate) fn pin_of(certificate: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Sha256::digest(certificate.public_key().raw).into())
}

impl From<PkiError> for LinkError {
    fn from(error: PkiError) -> Self {
        Self::Tls(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::gateway_of;

    #[test]
    fn an_authority_is_made_once_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::create("Engawa test").unwrap();
        authority.save(dir.path()).unwrap();
        assert!(matches!(authority.save(dir.path()), Err(PkiError::Exists(_))));
        let again = CertificateAuthority::load(dir.path()).unwrap();
        assert_eq!(again.pin(), authority.pin());
        assert_ne!(again.pin(), [0; 32]);
    }

    #[test]
    fn a_gateway_does_not_choose_its_name() {
        let authority = CertificateAuthority::create("test").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("engawa://gateway/other".try_into().unwrap()));
        let csr = params.serialize_request(&key).unwrap().pem().unwrap();
        let now = SystemTime::now();
        let pem = authority.sign_gateway("grand-1", &csr, now, now + Duration::from_secs(60)).unwrap();
        assert_eq!(gateway_of(&first_certificate(&pem).unwrap()).as_deref(), Some("grand-1"));
        for name in ["", "a/b", "../x", "-x", "ä", &"x".repeat(65)] {
            assert!(matches!(authority.sign_gateway(name, &csr, now, now), Err(PkiError::Name(_))), "{name}");
        }
        assert!(authority.sign_gateway("g", "nonsense", now, now).is_err());
    }
}
