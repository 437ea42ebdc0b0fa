//! A gateway's identity on its disk: certificate, private key, and the authority it trusts.
//!
//! Layout of the folder: `gateway.key` and `gateway.csr` are made before the cloud is asked, so that a lost answer can
//! be asked for again; `identity.pem` (certificate, then authority) appears whole, by a rename, once the cloud has
//! answered. A folder without it is a gateway that is not enrolled. `next.*` belong to a renewal: see `renew.rs`; `turn` to
//! what tells a box from its copy: see `turn.rs`.
//!
//! A key in a TPM has the same files: they then hold what the TPM has wrapped (see `tpm.rs`).
//!
//! The key of a certificate is the one with its public key, whichever of `gateway.key` and `next.key` it lies in: so one
//! rename of `identity.pem` changes both.

use crate::key;
use crate::peer::peer_of_pem;
use crate::place::KeyPlace;
use engawa_protocol::trust::Peer;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

pub(crate) const KEY_FILE: &str = "gateway.key";
pub(crate) const CSR_FILE: &str = "gateway.csr";
pub(crate) const IDENTITY_FILE: &str = "identity.pem";
pub(crate) const NEXT_KEY_FILE: &str = "next.key";

/// Who a gateway is, and how it proves it.
#[derive(Clone)]
pub struct Identity {
    /// Its name in the fleet.
    pub gateway: String,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, as its file has it: PEM, or what a TPM has wrapped.
    pub key_pem: String,
    /// The authorities that it trusts, PEM.
    pub ca_pem: String,
    /// Where it lies, so that it can be renewed there.
    pub folder: Option<PathBuf>,
    /// Where its next key is made, and how a TPM is reached; `None`: as the present one.
    pub keys: Option<KeyPlace>,
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
        Self::load_with(dir, None)
    }

    /// Reads the identity in `dir`, with keys where the configuration says that they are. A key that is in a file, or in a
    /// TPM, stays there until it is renewed.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(dir: &Path, keys: Option<KeyPlace>) -> Result<Self, IdentityError> {
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
        let peer = peer_of_pem(certificate_pem)
            .ok_or_else(|| unusable("its first certificate does not name a gateway"))?;
        let key_pem = key_of(dir, &peer)?;
        Ok(Self {
            gateway: peer.gateway,
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key::reached(key_pem, keys.as_ref()),
            ca_pem: ca_pem.to_owned(),
            folder: Some(dir.to_owned()),
            keys,
        })
    }

    /// Where its private key is.
    pub fn key_place(&self) -> KeyPlace {
        key::place(&self.key_pem)
    }

    /// What its certificate says; `None` where that was changed to something that is no gateway's.
    pub fn peer(&self) -> Option<Peer> {
        peer_of_pem(&self.certificate_pem)
    }

    /// Writes the identity into `dir`. A crash in the middle leaves the old one, or none, never half a one.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        make_folder(dir)?;
        write_whole(&dir.join(KEY_FILE), self.key_pem.as_bytes())?;
        write_whole(&dir.join(IDENTITY_FILE), both(&self.certificate_pem, &self.ca_pem).as_bytes())
    }
}

/// What is in `identity.pem`.
pub(crate) fn both(certificate_pem: &str, authorities_pem: &str) -> String {
    format!("{}\n{}\n", certificate_pem.trim_end(), authorities_pem.trim())
}

/// The key of the certificate that names `peer`.
fn key_of(dir: &Path, peer: &Peer) -> Result<String, IdentityError> {
    let first = dir.join(KEY_FILE);
    let next = dir.join(NEXT_KEY_FILE);
    if next.exists() {
        let key = read_key(&next)?;
        if key::hash(&key) == Some(peer.key) {
            return Ok(key);
        }
    }
    let key = read_key(&first)?;
    // A key that can't be read as one is told of where it is used, with the reason.
    if key::hash(&key).is_some_and(|hash| hash != peer.key) {
        return Err(IdentityError::Unusable {
            path: first,
            reason: "it is not the key of the certificate in identity.pem",
        });
    }
    Ok(key)
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
        let (key_pem, csr) = key::make(&KeyPlace::File).unwrap();
        let now = SystemTime::now();
        let certificate_pem =
            authority.sign_gateway("grand-1", &csr, now, now + Duration::from_secs(60)).unwrap();
        let identity = Identity {
            gateway: "grand-1".into(),
            certificate_pem,
            key_pem,
            ca_pem: authority.pem().to_owned(),
            folder: None,
            keys: None,
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
