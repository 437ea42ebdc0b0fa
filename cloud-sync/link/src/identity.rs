//! A gateway's identity on its disk: certificate, private key, and the authority it trusts.
//!
//! Layout of the folder: `gateway.key` and `gateway.csr` are made before the cloud is asked, so that a lost answer can
//! be asked for again; `identity.pem` (certificate, then authority) appears whole, by a rename, once the cloud has
//! answered. A folder without it is a gateway that is not enrolled.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use zeroize::Zeroize;

/// The scheme and host of a gateway's URI.
const GATEWAY_URI: &str = "engawa://gateway/";
pub(crate) const KEY_FILE: &str = "gateway.key";
pub(crate) const CSR_FILE: &str = "gateway.csr";
const IDENTITY_FILE: &str = "identity.pem";

/// Who a gateway is, and how it proves it.
#[derive(Clone)]
pub struct Identity {
    /// Its name in the fleet.
    pub gateway: String,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
    /// The authority that it trusts, PEM.
    pub ca_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.gateway)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key_pem.zeroize();
    }
}

/// An identity that can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The gateway is not enrolled.
    #[error("no identity in {}: run `engawa enroll` with a claim code", dir.display())]
    Absent {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A file can't be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could read the key.
    #[error("the key {} can be read by others (mode {mode:o}): run `chmod 600` on it", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not what it should be.
    #[error("{} can't be used: {reason}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}

impl Identity {
    /// Reads the identity in `dir`.
    ///
    /// # Errors
    /// None there, or one that can't be used.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(IDENTITY_FILE);
        let pem = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::Absent { dir: dir.to_owned() });
            }
            read => {
                read.map_err(|source| IdentityError::File { doing: "reading", path: path.clone(), source })?
            }
        };
        let unusable = |reason| IdentityError::Unusable { path: path.clone(), reason };
        let second = pem.match_indices("-----BEGIN").nth(1).map(|(at, _)| at);
        let (certificate_pem, ca_pem) = pem.split_at(
            second.ok_or_else(|| unusable("expected two certificates, the gateway's and the authority's"))?,
        );
        let gateway = gateway_of_pem(certificate_pem)
            .ok_or_else(|| unusable("its first certificate does not name a gateway"))?;
        let key_pem = read_key(&dir.join(KEY_FILE))?;
        Ok(Self { gateway, certificate_pem: certificate_pem.to_owned(), key_pem, ca_pem: ca_pem.to_owned() })
    }

    /// Writes the identity into `dir`. A crash in the middle leaves the old one, or none, never half a one.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        make_folder(dir)?;
        write_whole(&dir.join(KEY_FILE), self.key_pem.as_bytes())?;
        let both = format!("{}\n{}", self.certificate_pem.trim_end(), self.ca_pem);
        write_whole(&dir.join(IDENTITY_FILE), both.as_bytes())
    }
}

/// The gateway that a certificate names, by its SAN URI.
pub(crate) fn gateway_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(GATEWAY_URI),
        _ => None,
    });
    let gateway = uris.next().filter(|gateway| good_name(gateway))?;
    // A certificate that names two is none of ours.
    uris.next().is_none().then(|| gateway.to_owned())
}

/// The URI of a gateway.
pub(crate) fn gateway_uri(gateway: &str) -> String {
    format!("{GATEWAY_URI}{gateway}")
}

/// What a gateway may be called: it stands in a URI and in file names.
pub(crate) fn good_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && name.as_bytes()[0].is_ascii_alphanumeric()
}

fn gateway_of_pem(pem: &str) -> Option<String> {
    let block = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    gateway_of(&block.contents)
}

pub(crate) fn read_key(path: &Path) -> Result<String, IdentityError> {
    let fault = |source| IdentityError::File { doing: "reading", path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(fault)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Open { path: path.to_owned(), mode });
    }
    fs::read_to_string(path).map_err(fault)
}

pub(crate) fn make_folder(dir: &Path) -> Result<(), IdentityError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| IdentityError::File {
        doing: "making the folder",
        path: dir.to_owned(),
        source,
    })
}

/// Writes a file of mode 0600 beside `path` and renames it into place, all of it durable.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let fault = |doing| move |source| IdentityError::File { doing, path: path.to_owned(), source };
    let beside = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(fault("making"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fault("writing"))?;
    fs::rename(&beside, path).map_err(fault("putting in place"))?;
    let folder = path.parent().map(fs::File::open).transpose().map_err(fault("opening the folder of"))?;
    folder.map_or(Ok(()), |folder| folder.sync_all()).map_err(fault("making durable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::CertificateAuthority;
    use std::time::{Duration, SystemTime};

    #[test]
    fn an_identity_comes_back_and_half_a_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Absent { .. })));
        let authority = CertificateAuthority::create("test").unwrap();
        let (key_pem, csr) = crate::pki::request().unwrap();
        let now = SystemTime::now();
        let certificate_pem =
            authority.sign_gateway("grand-1", &csr, now, now + Duration::from_secs(60)).unwrap();
        let identity = Identity {
            gateway: "grand-1".into(),
            certificate_pem,
            key_pem,
            ca_pem: authority.pem().to_owned(),
        };
        identity.save(dir.path()).unwrap();
        let loaded = Identity::load(dir.path()).unwrap();
        assert_eq!(
            (loaded.gateway.as_str(), loaded.key_pem.as_str()),
            ("grand-1", identity.key_pem.as_str())
        );
        fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Open { mode: 0o644, .. })));
        fs::write(dir.path().join(IDENTITY_FILE), "nonsense").unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Unusable { .. })));
    }
}
