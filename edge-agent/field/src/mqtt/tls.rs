//! TLS to a broker: its certificate is checked against the given authority, ours is shown where one is configured.
//!
//! Why the files are read at each connection: a renewed certificate is taken without a restart. Why we notice that the
//! broker asks for a certificate: in TLS 1.3 it refuses us after the handshake, often by nothing but a closed
//! connection; only this tells an installer what to do.
//!
//! Never: a connection without a certificate of the broker that the authority has signed; a key that others can read.

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, SignatureScheme};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest file that is read, bytes: a bundle of authorities has a quarter of that.
const MOST: u64 = 1024 * 1024;

/// The files of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the broker's certificate, PEM.
    pub ca: PathBuf,
    /// Our certificate with its chain, and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why TLS can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("{} can't be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that holds no certificate.
    #[error("{} holds no certificate that can be used: {reason}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Others could read the key.
    #[error("the key file {} can be read by others (mode {mode:o}): run `chmod 600 {}`", path.display(), path.display())]
    OpenKey {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file that holds no key.
    #[error("{} holds no private key: {reason}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key are of different pairs.
    #[error("{} and {} don't belong together", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What TLS says.
        source: rustls::Error,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Setup(#[source] rustls::Error),
}

/// What a connection needs, read from its files.
pub(super) struct Ready {
    pub(super) config: Arc<ClientConfig>,
    ours: Arc<Ours>,
    file: Option<PathBuf>,
    /// When our certificate ends, seconds since the Unix epoch.
    ends: Option<i64>,
}

/// Our certificate, and whether the broker has asked for it.
#[derive(Debug)]
struct Ours {
    certified: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Ours {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Release);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        self.certified.is_some()
    }
}

impl TlsFiles {
    /// Reads the files. Blocks on the disk.
    pub(super) fn read(&self) -> Result<Ready, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| TlsError::Certificate {
                path: self.ca.clone(),
                reason: error.to_string(),
            })?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (mut certified, mut ends) = (None, None);
        if let Some((cert, key)) = &self.identity {
            let chain = certificates(cert)?;
            ends = chain.first().and_then(|own| {
                let (_, own) = x509_parser::parse_x509_certificate(own).ok()?;
                Some(own.validity().not_after.timestamp())
            });
            let pair = CertifiedKey::from_der(chain, private_key(key)?, &provider)
                .map_err(|source| TlsError::Pair { cert: cert.clone(), key: key.clone(), source })?;
            certified = Some(Arc::new(pair));
        }
        let ours = Arc::new(Ours { certified, asked: AtomicBool::new(false) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::clone(&ours) as Arc<dyn ResolvesClientCert>);
        let file = self.identity.as_ref().map(|(cert, _)| cert.clone());
        Ok(Ready { config: Arc::new(config), ours, file, ends })
    }
}

impl Ready {
    /// What a connection that the broker ended without a word was probably about; `now` in seconds.
    pub(super) fn explain(&self, now: i64) -> Option<String> {
        if !self.ours.asked.load(Ordering::Acquire) {
            return None;
        }
        Some(match (&self.file, self.ends) {
            (None, _) => "it asks for a client certificate: set `cert_file` and `key_file`".to_owned(),
            (Some(file), Some(ends)) if ends < now => {
                format!("our certificate in {} has expired", file.display())
            }
            (Some(file), _) => format!(
                "it asks for a client certificate and does not accept the one in {}: was it signed by the broker's authority?",
                file.display()
            ),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fault = |source| TlsError::File { path: path.to_owned(), source };
    let meta = std::fs::metadata(path).map_err(fault)?;
    if meta.len() > MOST {
        return Err(fault(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MOST} bytes"))));
    }
    std::fs::read(path).map_err(fault)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |reason: String| TlsError::Certificate { path: path.to_owned(), reason };
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(unusable("there is none; expected PEM".to_owned())),
        all => all.map_err(|error| unusable(error.to_string())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let fault = |source| TlsError::File { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(fault)?.permissions().mode() & 0o777;
    // systemd hands credentials over as 0400 or 0440 in a folder of the service's own.
    if mode & 0o037 != 0 {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode });
    }
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| TlsError::Key { path: path.to_owned(), reason: error.to_string() })
}

/// TLS's reason in what broke a stream, where there is one; true where the other side has given it.
pub(super) fn in_words(error: &io::Error) -> Option<(String, bool)> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let ours = |why: &str| (why.to_owned(), false);
    Some(match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            ours("its certificate is not of the authority in `ca_file`")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => ours("its certificate has expired"),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => ours("its certificate is not valid yet; is the clock right?"),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (format!("its certificate is for another name ({tls})"), false),
        rustls::Error::InvalidCertificate(_) => (format!("its certificate can't be used ({tls})"), false),
        rustls::Error::InvalidMessage(_) => (format!("it does not speak TLS there ({tls})"), false),
        rustls::Error::AlertReceived(alert) => {
            let why = match alert {
                AlertDescription::CertificateRequired => "it wants a client certificate".to_owned(),
                AlertDescription::CertificateExpired => "it says that our certificate has expired".to_owned(),
                other => format!("it ends TLS with {other:?}"),
            };
            (why, true)
        }
        _ => (format!("TLS: {tls}"), false),
    })
}
