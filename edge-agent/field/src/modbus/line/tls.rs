//! Modbus/TCP Security: the same frames in mutual TLS, port 802.
//!
//! Both sides show a certificate. The device gives rights by the role that stands in ours (an extension of its own,
//! Modbus/TCP Security V36, section 8), so that role is read and said: a certificate with the wrong one connects well and
//! is refused every write.
//!
//! Never: a connection without a certificate of the device that the given authority has signed.

use crate::modbus::config::TlsConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The role's extension.
const ROLE: &str = "1.3.6.1.4.1.50316.802.1";

/// What a connection needs, read from its files.
pub(super) struct Ready {
    connector: TlsConnector,
    name: ServerName<'static>,
    role: Option<String>,
}

impl Ready {
    /// Reads the files, at each connection: renewed certificates are taken without a restart.
    pub(super) async fn load(tls: &TlsConfig, address: &str) -> Result<Self, String> {
        let tls = tls.clone();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = tls.server_name.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
        let name = ServerName::try_from(host.clone())
            .map_err(|_| format!("`{host}` is no name that a certificate can have; set `server_name`"))?;
        // Files, if small ones.
        let read = tokio::task::spawn_blocking(move || read(&tls)).await;
        let (config, role) = read.map_err(|error| format!("reading certificates: {error}"))??;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, role })
    }

    /// Shakes hands.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        match tokio::time::timeout(HANDSHAKE, self.connector.connect(self.name.clone(), stream)).await {
            Ok(connected) => connected.map_err(|error| in_words(&error)),
            Err(_) => Err(format!("TLS: no handshake within {} s", HANDSHAKE.as_secs())),
        }
    }

    /// Our role, for people.
    pub(super) fn role_in_words(&self) -> String {
        match &self.role {
            Some(role) => format!("TLS, role `{role}`"),
            None => "TLS, without a role".to_owned(),
        }
    }
}

fn read(tls: &TlsConfig) -> Result<(ClientConfig, Option<String>), String> {
    let certificates = |path: &str| -> Result<Vec<CertificateDer<'static>>, String> {
        let all: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(|error| format!("{path}: {error}"))?.collect();
        match all {
            Ok(all) if all.is_empty() => Err(format!("{path} holds no certificate; expected PEM")),
            all => all.map_err(|error| format!("{path}: {error}")),
        }
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&tls.ca_file)? {
        roots.add(authority).map_err(|error| format!("{}: {error}", tls.ca_file))?;
    }
    let chain = certificates(&tls.cert_file)?;
    let key =
        PrivateKeyDer::from_pem_file(&tls.key_file).map_err(|error| format!("{}: {error}", tls.key_file))?;
    let role =
        chain.first().map(|own| role(own)).transpose().map_err(|why| format!("{}: {why}", tls.cert_file))?;
    let role = role.flatten();
    if role.is_none() {
        tracing::warn!(
            file = %tls.cert_file,
            "the certificate has no Modbus role (extension {ROLE}); a device may refuse what it is asked"
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("{} and {} don't fit together: {error}", tls.cert_file, tls.key_file))?;
    Ok((config, role))
}

/// The role in a certificate: a UTF8String in the extension [`ROLE`].
pub(super) fn role(certificate: &[u8]) -> Result<Option<String>, String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let extension = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == ROLE);
    let Some(extension) = extension else { return Ok(None) };
    // A text shorter than 128 bytes: tag, length, bytes.
    match extension.value {
        [0x0c, length, text @ ..] if usize::from(*length) == text.len() && text.len() < 128 => {
            String::from_utf8(text.to_vec()).map(Some).map_err(|_| "its Modbus role is not UTF-8".to_owned())
        }
        _ => Err("its Modbus role is not a UTF8String".to_owned()),
    }
}

/// What broke a stream, with TLS's reasons in words.
pub(super) fn in_words(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return error.to_string();
    };
    match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the device's certificate is not of the authority in `ca_file`".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the device's certificate has expired".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "the device's certificate is not valid yet; is the clock right?".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("the device's certificate is for another name; set `server_name` ({tls})"),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "the device says that our certificate has expired".to_owned()
            }
            AlertDescription::CertificateRequired => "the device wants a certificate of ours".to_owned(),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => {
                format!("the device does not accept the certificate in `cert_file` ({alert:?})")
            }
            _ => format!("the device ends TLS with {alert:?}"),
        },
        rustls::Error::InvalidMessage(_) => format!("the other side does not speak TLS ({tls})"),
        _ => format!("TLS: {tls}"),
    }
}
