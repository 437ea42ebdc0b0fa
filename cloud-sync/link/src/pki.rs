//! The private authority of one cloud, and what it signs: the cloud's own certificate and the gateways'.
//!
//! Keys are ECDSA P-256. Nothing but this authority is trusted, at either end: no public root, no system store.

use crate::identity::{make_folder, read_key, write_whole};
use crate::peer::{cloud_uri, first_certificate, gateway_uri, good_name, good_region};
use crate::{IdentityError, LinkError, TpmError, rotation};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    SigningKey,
};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};
use x509_parser::extensions::GeneralName;

pub(crate) const CA_FILE: &str = "ca.pem";
pub(crate) const CA_KEY_FILE: &str = "ca.key";
/// The authority that takes the place of the first: see [`rotation`].
pub(crate) const NEXT_FILE: &str = "ca-next.pem";
pub(crate) const NEXT_KEY_FILE: &str = "ca-next.key";
/// The region of this cloud, where it has one.
const REGION_FILE: &str = "region";
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
    /// Not the certificate of an authority that was changed.
    #[error("{} holds no certificate: copy it anew from where the authority was changed, or remove it", .0.display())]
    Retired(std::path::PathBuf),
    /// No key that fits a certificate.
    #[error("neither {} nor {} has the key of {}", CA_KEY_FILE, NEXT_KEY_FILE, .0)]
    NoKey(&'static str),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// Nothing to finish.
    #[error("no change of the authority is under way: `engawa-cloud ca rotate begin` begins one")]
    NoRotation,
    /// Not a region's name.
    #[error(
        "`{0}` can't name a region: up to 32 small letters, digits and `-`, beginning with a letter, and not `gateway`"
    )]
    Region(String),
    /// The gateway's key is in a TPM, which can't do what is wanted.
    #[error("the TPM")]
    Tpm(#[source] TpmError),
    /// The program ends.
    #[error("making the gateway's key was broken off")]
    Interrupted,
    /// A name that can't be in a certificate.
    #[error(
        "`{0}` can't name a gateway: up to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
    )]
    Name(String),
}

impl PkiError {
    pub(crate) fn doing(doing: &'static str) -> impl Fn(rcgen::Error) -> Self {
        move |source| Self::Certificate { doing, source }
    }
}

fn doing(doing: &'static str) -> impl Fn(rcgen::Error) -> PkiError {
    PkiError::doing(doing)
}

/// The authority, and the next one while it is being changed.
pub struct CertificateAuthority {
    pem: String,
    key: KeyPair,
    next: Option<(String, KeyPair)>,
    region: Option<String>,
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

/// A random serial number (RFC 5280, 4.1.2.2: positive, up to 20 bytes).
fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0_u8; 16];
    rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, &mut bytes).map_err(|_| PkiError::Random)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
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
        Ok(Self { pem: certificate.pem(), key, next: None, region: None })
    }

    /// The same authority for the cloud of `region`.
    ///
    /// # Errors
    /// Not a region's name.
    pub fn in_region(mut self, region: &str) -> Result<Self, PkiError> {
        if !good_region(region) {
            return Err(PkiError::Region(region.to_owned()));
        }
        self.region = Some(region.to_owned());
        Ok(self)
    }

    /// Reads the authority in `dir`.
    ///
    /// # Errors
    /// Files that are absent, open to others, or can't be used.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let read = |file: &str| {
            let path = dir.join(file);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(source) if source.kind() == std::io::ErrorKind::NotFound && file != CA_FILE => Ok(None),
                Err(source) => Err(PkiError::File(IdentityError::File { doing: "reading", path, source })),
            }
        };
        // Absent is only what may be.
        let pem = read(CA_FILE)?.unwrap_or_default();
        let next = read(NEXT_FILE)?;
        let mut keys = Vec::new();
        for file in [CA_KEY_FILE, NEXT_KEY_FILE] {
            let path = dir.join(file);
            if file == CA_KEY_FILE || path.exists() {
                let key = read_key(&path).map_err(PkiError::File)?;
                keys.push(KeyPair::from_pem(&key).map_err(doing("reading the authority's key"))?);
            }
        }
        let mut key_of = |pem: &str, file| {
            let pin = first_certificate(pem).and_then(|der| pin_of(&der)).ok_or(PkiError::Unreadable)?;
            let fits = |key: &KeyPair| <[u8; 32]>::from(Sha256::digest(key.subject_public_key_info())) == pin;
            let at = keys.iter().position(fits).ok_or(PkiError::NoKey(file))?;
            Ok::<_, PkiError>(keys.swap_remove(at))
        };
        let key = key_of(&pem, CA_FILE)?;
        let next = next.map(|pem| key_of(&pem, NEXT_FILE).map(|key| (pem, key))).transpose()?;
        let region = read(REGION_FILE)?.map(|text| text.trim().to_owned());
        if let Some(wrong) = region.as_ref().filter(|region| !good_region(region)) {
            return Err(PkiError::Region(wrong.clone()));
        }
        Ok(Self { pem, key, next, region })
    }

    /// Ends what an earlier change of the authority left over when it was cut short.
    ///
    /// # Errors
    /// Files.
    pub fn tidy(dir: &Path) -> Result<(), PkiError> {
        rotation::tidy(dir)
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
        if let Some(region) = &self.region {
            write_whole(&dir.join(REGION_FILE), format!("{region}\n").as_bytes()).map_err(PkiError::File)?;
        }
        write_whole(&key, self.key.serialize_pem().as_bytes()).map_err(PkiError::File)?;
        write_whole(&certificate, self.pem.as_bytes()).map_err(PkiError::File)
    }

    /// The same authority while the next one does not sign yet.
    pub fn without_next(self) -> Self {
        Self { next: None, ..self }
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

    /// The region of its cloud.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The pin of the authority that takes its place, while it is being changed.
    pub fn next_pin(&self) -> Option<[u8; 32]> {
        self.next.as_ref().and_then(|(pem, _)| pin_of(&first_certificate(pem)?))
    }

    /// The pin of the authority that signs gateways' certificates now.
    pub fn signing_pin(&self) -> [u8; 32] {
        self.next_pin().unwrap_or_else(|| self.pin())
    }

    /// All authorities that are trusted now, PEM; the one that signed the cloud's own certificate first.
    pub fn trusted_pem(&self) -> String {
        let next = self.next.as_ref().map_or("", |(pem, _)| pem);
        format!("{}\n{next}", self.pem.trim_end())
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A signature by its key (ECDSA P-256 with SHA-256, ASN.1).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        SigningKey::sign(&self.key, message)
    }

    /// Who signs the cloud's own certificate.
    fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, PkiError> {
        Issuer::from_ca_cert_pem(&self.pem, &self.key).map_err(doing("reading the authority's certificate"))
    }

    /// Who signs gateways' certificates, and the cloud's once the change is finished.
    fn newest_issuer(&self) -> Result<Issuer<'_, &KeyPair>, PkiError> {
        let (pem, key) = self.next.as_ref().map_or((&self.pem, &self.key), |(pem, key)| (pem, key));
        Issuer::from_ca_cert_pem(pem, key).map_err(doing("reading the next authority's certificate"))
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
        let uri = gateway_uri(self.region(), gateway).try_into().map_err(doing("naming the gateway"))?;
        request.params = params(gateway, not_before, not_after);
        request.params.serial_number = Some(serial()?);
        request.params.subject_alt_names = vec![SanType::URI(uri)];
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params.use_authority_key_identifier_extension = true;
        let certificate =
            request.signed_by(&self.newest_issuer()?).map_err(doing("signing a gateway's certificate"))?;
        Ok(certificate.pem())
    }

    /// The cloud's own certificate and key, PEM, for these host names and addresses.
    ///
    /// # Errors
    /// A name that can't be in a certificate.
    pub fn server_certificate(&self, names: &[String]) -> Result<(String, String), PkiError> {
        let key = KeyPair::generate().map_err(doing("making the cloud's key"))?;
        let certificate = self.server_over(&key, names, &self.issuer()?)?;
        Ok((certificate, key.serialize_pem()))
    }

    /// A certificate like `certificate_pem` over the same key, signed by the newest authority.
    pub(crate) fn server_certificate_anew(
        &self,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<String, PkiError> {
        let key = KeyPair::from_pem(key_pem).map_err(doing("reading the cloud's key"))?;
        let der = first_certificate(certificate_pem).ok_or(PkiError::Unreadable)?;
        let (_, old) = x509_parser::parse_x509_certificate(&der).map_err(|_| PkiError::Unreadable)?;
        let names = old.subject_alternative_name().ok().flatten();
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
            },
            _ => None,
        };
        let names: Vec<String> =
            names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
        self.server_over(&key, &names, &self.newest_issuer()?)
    }

    fn server_over(
        &self,
        key: &KeyPair,
        names: &[String],
        issuer: &Issuer<'_, &KeyPair>,
    ) -> Result<String, PkiError> {
        let now = SystemTime::now();
        let name = |name: &String| match name.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            // `engawa://<region>/cloud` says where the cloud is.
            Err(_) if name.contains("://") => {
                name.as_str().try_into().map(SanType::URI).map_err(doing("naming the cloud's region"))
            }
            Err(_) => name.as_str().try_into().map(SanType::DnsName).map_err(doing("naming the cloud")),
        };
        let mut params = params("engawa-cloud", now, now + VALID);
        params.subject_alt_names = names.iter().map(name).collect::<Result<_, _>>()?;
        if let Some(region) = &self.region {
            let uri = cloud_uri(region).try_into().map_err(doing("naming the cloud's region"))?;
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.serial_number = Some(serial()?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, issuer).map_err(doing("signing the cloud's certificate"))?;
        Ok(certificate.pem())
    }
}

/// A certificate request for a gateway's key, PEM.
pub(crate) fn request_for(key: &impl SigningKey) -> Result<String, PkiError> {
    let now = SystemTime::now();
    let params = params("gateway", now, now + VALID);
    let request = params.serialize_request(key).map_err(doing("making the certificate request"))?;
    request.pem().map_err(doing("writing the certificate request"))
}

/// SHA-256 of the public key (SubjectPublicKeyInfo) that a certificate request, PEM, is for.
///
/// # Errors
/// Not a request that proves its key.
pub fn request_key(csr_pem: &str) -> Result<[u8; 32], PkiError> {
    let request = CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(doing("reading the certificate request"))?;
    Ok(Sha256::digest(request.public_key.subject_public_key_info()).into())
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
    use crate::peer::peer_of_pem;

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
        assert_eq!(peer_of_pem(&pem).unwrap().gateway, "grand-1");
        let again = authority.sign_gateway("grand-1", &csr, now, now + Duration::from_secs(60)).unwrap();
        assert_ne!(peer_of_pem(&again).unwrap().serial, peer_of_pem(&pem).unwrap().serial);
        assert_eq!(peer_of_pem(&again).unwrap().key, request_key(&csr).unwrap());
        for name in ["", "a/b", "../x", "-x", "ä", &"x".repeat(65)] {
            assert!(matches!(authority.sign_gateway(name, &csr, now, now), Err(PkiError::Name(_))), "{name}");
        }
        assert!(authority.sign_gateway("g", "nonsense", now, now).is_err());
    }

    #[test]
    fn an_authority_is_changed_and_a_change_that_is_cut_short_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let old = CertificateAuthority::create("old").unwrap().in_region("eu-1").unwrap();
        let (server, key) =
            old.server_certificate(&["localhost".into(), "127.0.0.1".into(), "::1".into()]).unwrap();
        old.save(dir.path()).unwrap();
        let (server_file, key_file) = (dir.path().join("server.pem"), dir.path().join("server.key"));
        std::fs::write(&server_file, &server).unwrap();
        std::fs::write(&key_file, &key).unwrap();
        assert!(matches!(rotation::finish(dir.path(), &server_file, &key_file), Err(PkiError::NoRotation)));

        let both = rotation::begin(dir.path()).unwrap();
        assert!(matches!(rotation::begin(dir.path()), Err(PkiError::Exists(_))));
        assert_eq!((both.pin(), both.region()), (old.pin(), Some("eu-1")));
        let next = both.next_pin().unwrap();
        assert_eq!(both.trusted_pem().matches("BEGIN CERTIFICATE").count(), 2);

        // Killed between the switch and the last step.
        std::fs::rename(dir.path().join(NEXT_FILE), dir.path().join(CA_FILE)).unwrap();
        assert_eq!(CertificateAuthority::load(dir.path()).unwrap().pin(), next);
        std::fs::rename(dir.path().join(CA_FILE), dir.path().join(NEXT_FILE)).unwrap();
        std::fs::write(dir.path().join(CA_FILE), old.pem()).unwrap();

        let new = rotation::finish(dir.path(), &server_file, &key_file).unwrap();
        assert_eq!((new.pin(), new.next_pin()), (next, None));
        let anew = std::fs::read_to_string(&server_file).unwrap();
        assert_ne!(anew, server);
        let der = first_certificate(&anew).unwrap();
        assert_eq!(pin_of(&der), pin_of(&first_certificate(&server).unwrap()), "the same key");
        assert_eq!(crate::region::of(&der), ["eu-1"]);
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 4);
        assert!(!dir.path().join(NEXT_KEY_FILE).exists());
    }
}
