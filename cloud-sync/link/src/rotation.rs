//! One authority takes the place of another, while gateways go on.
//!
//! From `begin` on both are trusted at both ends: the cloud takes certificates of either, gateways hear of the new one
//! when they ask how their certificate stands (daily), and get their next certificate from it. The cloud itself shows a
//! certificate of the old one until `finish`, since a gateway that was not there yet knows no other.
//!
//! Files: `ca-next.key` and then `ca-next.pem` appear; at the end the cloud's certificate is made anew over its old key,
//! `ca-next.pem` becomes `ca.pem` (the switch), and `ca-next.key` becomes `ca.key`. A key belongs to the certificate with
//! its public key, whichever of the two files it lies in, so a crash at any point leaves a working authority, and `finish`
//! can be asked again.

use crate::IdentityError;
use crate::identity::write_whole;
use crate::peer::first_certificate;
use crate::pki::{CA_FILE, CA_KEY_FILE, CertificateAuthority, NEXT_FILE, NEXT_KEY_FILE, PkiError, pin_of};
use std::fs;
use std::path::Path;

/// The certificate of the authority before, kept for whoever looks into old records.
pub const RETIRED_FILE: &str = "ca-retired.pem";

/// Makes the next authority in `dir`.
///
/// # Errors
/// One is there already, or files.
pub fn begin(dir: &Path) -> Result<CertificateAuthority, PkiError> {
    let authority = CertificateAuthority::load(dir)?;
    if authority.next_pin().is_some() {
        return Err(PkiError::Exists(dir.join(NEXT_FILE)));
    }
    let next = CertificateAuthority::create("Engawa cloud")?;
    write_whole(&dir.join(NEXT_KEY_FILE), next.key_pem().as_bytes()).map_err(PkiError::File)?;
    write_whole(&dir.join(NEXT_FILE), next.pem().as_bytes()).map_err(PkiError::File)?;
    CertificateAuthority::load(dir)
}

/// The next authority becomes the only one. `server` is the cloud's certificate, with its key in `server_key`. Whether no
/// gateway hangs on the old one is the caller's business.
///
/// # Errors
/// No rotation is under way, or files.
pub fn finish(dir: &Path, server: &Path, server_key: &Path) -> Result<CertificateAuthority, PkiError> {
    let authority = CertificateAuthority::load(dir)?;
    if authority.next_pin().is_none() {
        return Err(PkiError::NoRotation);
    }
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|source| {
            PkiError::File(IdentityError::File { doing: "reading", path: path.to_owned(), source })
        })
    };
    let certificate = authority.server_certificate_anew(&read(server)?, &read(server_key)?)?;
    write_whole(&dir.join(RETIRED_FILE), authority.pem().as_bytes()).map_err(PkiError::File)?;
    write_whole(server, certificate.as_bytes()).map_err(PkiError::File)?;
    rename(dir, NEXT_FILE, CA_FILE)?;
    tidy(dir)?;
    CertificateAuthority::load(dir)
}

/// The last step of a `finish` that was cut short: the old key is overwritten.
pub(crate) fn tidy(dir: &Path) -> Result<(), PkiError> {
    let text = |file| fs::read_to_string(dir.join(file)).ok();
    let switched = || {
        let pin = pin_of(&first_certificate(&text(CA_FILE)?)?)?;
        Some(crate::key::hash(&text(NEXT_KEY_FILE)?)? == pin)
    };
    // Never on the absence of a file alone: in the middle of a `begin` the next key is there, and its certificate is not.
    if !dir.join(NEXT_FILE).exists() && switched() == Some(true) {
        rename(dir, NEXT_KEY_FILE, CA_KEY_FILE)?;
    }
    Ok(())
}

/// The certificate of the authority before, PEM, with SHA-256 of its key; `None` where none was changed in `dir`.
///
/// # Errors
/// The file can't be read, or holds no certificate.
pub fn retired(dir: &Path) -> Result<Option<(String, [u8; 32])>, PkiError> {
    let path = dir.join(RETIRED_FILE);
    let pem = match fs::read_to_string(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PkiError::File(IdentityError::File { doing: "reading", path, source })),
    };
    match first_certificate(&pem).and_then(|certificate| pin_of(&certificate)) {
        Some(pin) => Ok(Some((pem, pin))),
        None => Err(PkiError::Retired(path)),
    }
}

fn rename(dir: &Path, from: &str, to: &str) -> Result<(), PkiError> {
    let to = dir.join(to);
    let renamed = fs::rename(dir.join(from), &to).and_then(|()| fs::File::open(dir)?.sync_all());
    renamed
        .map_err(|source| PkiError::File(IdentityError::File { doing: "putting in place", path: to, source }))
}
