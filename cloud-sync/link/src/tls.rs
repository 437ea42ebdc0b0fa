//! TLS 1.3 for both ends: only the private authority is trusted, resumption and 0-RTT are off.

use crate::LinkError;
use crate::pki::pin_of;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use std::sync::Arc;

/// Sync between an enrolled gateway and its cloud.
pub(crate) const ALPN_SYNC: &[u8] = b"engawa/1";
/// Enrolment of a new gateway, which has no certificate yet.
pub(crate) const ALPN_ENROLL: &[u8] = b"engawa-enroll/1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn tls(what: &str) -> impl Fn(&dyn std::error::Error) -> LinkError {
    let what = what.to_owned();
    move |error| LinkError::Tls(format!("{what}: {error}"))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| tls("reading a certificate")(&error))
}

fn key(pem: &str) -> Result<PrivateKeyDer<'static>, LinkError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| tls("reading a private key")(&error))
}

fn roots(ca_pem: &str) -> Result<Arc<RootCertStore>, LinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem)? {
        roots.add(certificate).map_err(|error| tls("reading the authority")(&error))?;
    }
    Ok(Arc::new(roots))
}

/// A gateway's end of the sync.
pub(crate) fn edge(
    certificate_pem: &str,
    key_pem: &str,
    ca_pem: &str,
) -> Result<quinn::ClientConfig, LinkError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls("setting up TLS 1.3")(&error))?
        .with_root_certificates(roots(ca_pem)?)
        .with_client_auth_cert(certificates(certificate_pem)?, key(key_pem)?)
        .map_err(|error| tls("the gateway's certificate")(&error))?;
    client(config, ALPN_SYNC)
}

/// A new gateway's end: the cloud is known by the pin of its authority.
pub(crate) fn enrolling(pin: [u8; 32]) -> Result<quinn::ClientConfig, LinkError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls("setting up TLS 1.3")(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider: provider() }))
        .with_no_client_auth();
    client(config, ALPN_ENROLL)
}

fn client(mut config: ClientConfig, alpn: &[u8]) -> Result<quinn::ClientConfig, LinkError> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    let quic = QuicClientConfig::try_from(config).map_err(|error| tls("setting up QUIC")(&error))?;
    Ok(quinn::ClientConfig::new(Arc::new(quic)))
}

/// The cloud's end. A client certificate is asked for; whether it must be there depends on what the client wants, and
/// is looked at when the handshake is over.
pub(crate) fn cloud(
    certificate_pem: &str,
    key_pem: &str,
    ca_pem: &str,
) -> Result<quinn::ServerConfig, LinkError> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots(ca_pem)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| tls("verifying gateways")(&error))?;
    // The authority goes along, so that a new gateway can compare it with its pin.
    let mut chain = certificates(certificate_pem)?;
    chain.extend(certificates(ca_pem)?);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls("setting up TLS 1.3")(&error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key(key_pem)?)
        .map_err(|error| tls("the cloud's certificate")(&error))?;
    config.alpn_protocols = vec![ALPN_SYNC.to_vec(), ALPN_ENROLL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    let quic = QuicServerConfig::try_from(config).map_err(|error| tls("setting up QUIC")(&error))?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(quic)))
}

/// Trusts the one authority whose public key has this hash, and what that authority has signed for the cloud's name.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| pin_of(certificate) == Some(self.pin))
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let supported = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
