//! The PMS's TCP stream in mutual TLS (FIAS 2.20: IFC8 8.14.5.0 and newer): the same records in it.
//!
//! Never: a connection to a PMS without a certificate that the site's authority has signed, or without one of ours.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The certificates of a PMS link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The authority that has signed the PMS's certificate, PEM.
    pub ca_file: PathBuf,
    /// Our certificate, PEM.
    pub cert_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
    /// The name in the PMS's certificate, where that is not the host of `address`.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// Shakes hands on `stream`. The files are read at each connection: renewed certificates are taken without a restart.
pub(crate) async fn connect(
    tls: &TlsConfig,
    address: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = tls.server_name.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
    let name = ServerName::try_from(host.clone())
        .map_err(|_| format!("`{host}` is no name that a certificate can have; set `server_name`"))?;
    let tls = tls.clone();
    // Files, if small ones.
    let read = tokio::task::spawn_blocking(move || read(&tls)).await;
    let config = read.map_err(|error| format!("reading certificates: {error}"))??;
    let connector = TlsConnector::from(Arc::new(config));
    match tokio::time::timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(connected) => connected.map_err(|error| in_words(&error)),
        Err(_) => Err(format!("TLS: no handshake within {} s", HANDSHAKE.as_secs())),
    }
}

fn read(tls: &TlsConfig) -> Result<ClientConfig, String> {
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
        let shown = path.display();
        let all: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(|error| format!("{shown}: {error}"))?.collect();
        match all {
            Ok(all) if all.is_empty() => Err(format!("{shown} holds no certificate; expected PEM")),
            all => all.map_err(|error| format!("{shown}: {error}")),
        }
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&tls.ca_file)? {
        roots.add(authority).map_err(|error| format!("{}: {error}", tls.ca_file.display()))?;
    }
    let chain = certificates(&tls.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file)
        .map_err(|error| format!("{}: {error}", tls.key_file.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| {
            let (cert, key) = (tls.cert_file.display(), tls.key_file.display());
            format!("{cert} and {key} don't fit together: {error}")
        })?;
    // A resumed session would skip the look at the certificates.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// What broke a stream, with TLS's reasons in words.
pub(crate) fn in_words(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return error.to_string();
    };
    match tls {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => {
                "the PMS's certificate is not of the authority in `ca_file`".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the PMS's certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the PMS's certificate is not valid yet; is the clock right?".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the PMS's certificate is for another name; set `server_name` ({tls})")
            }
            _ => format!("TLS: {tls}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "the PMS says that our certificate has expired".to_owned()
            }
            AlertDescription::CertificateRequired => "the PMS wants a certificate of ours".to_owned(),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => {
                format!("the PMS does not accept the certificate in `cert_file` ({alert:?})")
            }
            _ => format!("the PMS ends TLS with {alert:?}"),
        },
        rustls::Error::InvalidMessage(_) => format!("the PMS does not speak TLS here ({tls})"),
        _ => format!("TLS: {tls}"),
    }
}

#[cfg(test)]
mod tests;
