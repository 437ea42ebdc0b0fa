//! TLS 1.3 for both ends: only the private authority is trusted, resumption and 0-RTT are off.

use crate::carriers::{ClientTls, ServerTls};
use crate::verify::Pinned;
use crate::{LinkError, key};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig};
use std::sync::{Arc, PoisonError, RwLock};

/// Sync between an enrolled gateway and its cloud.
pub(crate) const ALPN_SYNC: &[u8] = b"engawa/1";
/// Renewal of a gateway's certificate, also of one whose time is over.
pub(crate) const ALPN_RENEW: &[u8] = b"engawa-renew/1";
/// Enrolment of a new gateway, which has no certificate yet.
pub(crate) const ALPN_ENROLL: &[u8] = b"engawa-enroll/1";

pub(crate) fn provider() -> Arc<CryptoProvider> {
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

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, LinkError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| tls("reading a private key")(&error))
}

/// A key that is in its file.
///
/// # Errors
/// Not a key.
pub(crate) fn signing_key(pem: &str) -> Result<Arc<dyn SigningKey>, LinkError> {
    let key = provider().key_provider.load_private_key(private_key(pem)?);
    key.map_err(|error| tls("using a private key")(&error))
}

fn roots(ca_pem: &str) -> Result<Arc<RootCertStore>, LinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem)? {
        roots.add(certificate).map_err(|error| tls("reading the authority")(&error))?;
    }
    Ok(Arc::new(roots))
}

/// Sees that these are authorities that can be trusted, at least one.
pub(crate) fn authorities(ca_pem: &str) -> Result<(), LinkError> {
    if roots(ca_pem)?.is_empty() {
        return Err(LinkError::Tls("there is no authority to trust".to_owned()));
    }
    Ok(())
}

/// A gateway's end of the sync.
pub(crate) fn edge(certificate_pem: &str, key_pem: &str, ca_pem: &str) -> Result<ClientTls, LinkError> {
    gateway(certificate_pem, key_pem, ca_pem, ALPN_SYNC)
}

/// A gateway's end of a renewal.
pub(crate) fn renewing(certificate_pem: &str, key_pem: &str, ca_pem: &str) -> Result<ClientTls, LinkError> {
    gateway(certificate_pem, key_pem, ca_pem, ALPN_RENEW)
}

fn gateway(certificate_pem: &str, key_pem: &str, ca_pem: &str, alpn: &[u8]) -> Result<ClientTls, LinkError> {
    let (signing, in_tpm) = key::signing(key_pem)?;
    let shown = CertifiedKey::new(certificates(certificate_pem)?, signing);
    match shown.keys_match() {
        // What can't be compared here fails in the handshake.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(error) => return Err(tls("the gateway's certificate")(&error)),
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls("setting up TLS 1.3")(&error))?
        .with_root_certificates(roots(ca_pem)?)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    Ok(ClientTls::new(config, alpn).with_key(in_tpm))
}

/// A new gateway's end: the cloud is known by the pin of its authority.
pub(crate) fn enrolling(pin: [u8; 32]) -> Result<ClientTls, LinkError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls("setting up TLS 1.3")(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(pin)))
        .with_no_client_auth();
    Ok(ClientTls::new(config, ALPN_ENROLL))
}

/// The cloud's end. A client certificate is asked for; whether it must be there, and whether it may be one whose time is
/// over, depends on what the client wants, and is looked at when the handshake is over.
pub(crate) fn cloud(trust: &Arc<CloudTrust>) -> Result<ServerTls, LinkError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls("setting up TLS 1.3")(&error))?
        .with_client_cert_verifier(Arc::clone(trust) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::clone(trust) as Arc<dyn ResolvesServerCert>);
    Ok(ServerTls::new(config, &[ALPN_SYNC, ALPN_RENEW, ALPN_ENROLL]))
}

/// What the cloud shows and whom it trusts. It can be changed while it serves: the next handshake sees it.
#[derive(Debug)]
pub struct CloudTrust {
    now: RwLock<Arc<Trusted>>,
}

#[derive(Debug)]
struct Trusted {
    gateways: Arc<dyn ClientCertVerifier>,
    shown: Arc<CertifiedKey>,
}

impl CloudTrust {
    pub(crate) fn new(
        certificate_pem: &str,
        key_pem: &str,
        authorities_pem: &str,
    ) -> Result<Self, LinkError> {
        Ok(Self { now: RwLock::new(Arc::new(Trusted::new(certificate_pem, key_pem, authorities_pem)?)) })
    }

    /// From the next handshake on, this certificate is shown and these authorities are trusted.
    ///
    /// # Errors
    /// They can't be used; everything then stays as it was.
    pub fn replace(
        &self,
        certificate_pem: &str,
        key_pem: &str,
        authorities_pem: &str,
    ) -> Result<(), LinkError> {
        let trusted = Arc::new(Trusted::new(certificate_pem, key_pem, authorities_pem)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = trusted;
        Ok(())
    }

    /// Who verifies gateways now.
    pub(crate) fn gateways(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.now().gateways)
    }

    fn now(&self) -> Arc<Trusted> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Trusted {
    fn new(certificate_pem: &str, key_pem: &str, authorities_pem: &str) -> Result<Self, LinkError> {
        let gateways = WebPkiClientVerifier::builder_with_provider(roots(authorities_pem)?, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| tls("verifying gateways")(&error))?;
        // The authorities go along, so that a new gateway can compare them with its pin.
        let mut chain = certificates(certificate_pem)?;
        chain.extend(certificates(authorities_pem)?);
        let shown = CertifiedKey::from_der(chain, private_key(key_pem)?, &provider())
            .map_err(|error| tls("the cloud's certificate")(&error))?;
        Ok(Self { gateways, shown: Arc::new(shown) })
    }
}

impl ResolvesServerCert for CloudTrust {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now().shown))
    }
}
