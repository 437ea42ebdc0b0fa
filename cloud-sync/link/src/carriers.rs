//! What QUIC and TCP each make of one end's TLS: the same certificates and rules, the purposes under names of their own.

use crate::LinkError;
use crate::tls::{ALPN_ENROLL, ALPN_RENEW};
use crate::tpm::TpmKey;
use crate::transport::Purpose;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// What a purpose's name ends with on TCP.
const ON_TCP: &[u8] = b"+tcp";

fn on_tcp(name: &[u8]) -> Vec<u8> {
    [name, ON_TCP].concat()
}

fn fault(error: &dyn std::error::Error) -> LinkError {
    LinkError::Tls(format!("setting up QUIC: {error}"))
}

/// What the two ends have agreed upon.
pub(crate) fn purpose(name: Option<&[u8]>) -> Purpose {
    match name {
        Some(name) if name == ALPN_ENROLL || name == on_tcp(ALPN_ENROLL) => Purpose::Enrol,
        Some(name) if name == ALPN_RENEW || name == on_tcp(ALPN_RENEW) => Purpose::Renew,
        _ => Purpose::Sync,
    }
}

/// A gateway's TLS.
#[derive(Clone)]
pub(crate) struct ClientTls {
    quic: ClientConfig,
    pub(crate) tcp: Arc<ClientConfig>,
    /// The gateway's key, where it is in a TPM.
    pub(crate) key: Option<Arc<TpmKey>>,
}

impl ClientTls {
    /// For one purpose. Resumption and 0-RTT are off: a resumed session would skip the certificates.
    pub(crate) fn new(mut config: ClientConfig, purpose: &[u8]) -> Self {
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        let mut tcp = config.clone();
        config.alpn_protocols = vec![purpose.to_vec()];
        tcp.alpn_protocols = vec![on_tcp(purpose)];
        Self { quic: config, tcp: Arc::new(tcp), key: None }
    }

    /// With a key that is in a TPM.
    pub(crate) fn with_key(mut self, key: Option<Arc<TpmKey>>) -> Self {
        self.key = key;
        self
    }

    /// For QUIC.
    pub(crate) fn quic(&self) -> Result<quinn::ClientConfig, LinkError> {
        let quic = QuicClientConfig::try_from(self.quic.clone()).map_err(|error| fault(&error))?;
        Ok(quinn::ClientConfig::new(Arc::new(quic)))
    }
}

/// The cloud's TLS.
pub(crate) struct ServerTls {
    quic: ServerConfig,
    pub(crate) tcp: Arc<ServerConfig>,
}

impl ServerTls {
    /// For these purposes. No tickets, no 0-RTT: see [`ClientTls::new`].
    pub(crate) fn new(mut config: ServerConfig, purposes: &[&[u8]]) -> Self {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        let mut tcp = config.clone();
        config.alpn_protocols = purposes.iter().map(|purpose| purpose.to_vec()).collect();
        tcp.alpn_protocols = purposes.iter().map(|purpose| on_tcp(purpose)).collect();
        Self { quic: config, tcp: Arc::new(tcp) }
    }

    /// For QUIC.
    pub(crate) fn quic(&self) -> Result<quinn::ServerConfig, LinkError> {
        let quic = QuicServerConfig::try_from(self.quic.clone()).map_err(|error| fault(&error))?;
        Ok(quinn::ServerConfig::with_crypto(Arc::new(quic)))
    }
}
