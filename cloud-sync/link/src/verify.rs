//! Whom each end believes. The signatures of both are checked in one place, and TLS 1.2 is spoken by neither.

use crate::pki::pin_of;
use crate::tls::{CloudTrust, provider};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use std::sync::Arc;

/// The three answers that both kinds of verifiers give alike.
macro_rules! signatures_of_tls13 {
    () => {
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
            let supported = &provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, supported)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

/// The cloud believes gateways of its authorities, also those whose certificate has expired: see `gate.rs`.
impl ClientCertVerifier for CloudTrust {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: a gateway has one certificate, and shows it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let gateways = self.gateways();
        match gateways.verify_client_cert(end_entity, intermediates, now) {
            // As of its last moment: all else must be right. What it may do is decided after the handshake.
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                gateways.verify_client_cert(end_entity, intermediates, not_after)
            }
            verified => verified,
        }
    }

    signatures_of_tls13!();
}

/// A new gateway believes the one authority whose public key has this hash, and what that authority has signed for the
/// cloud's name.
#[derive(Debug)]
pub(crate) struct Pinned(pub(crate) [u8; 32]);

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
            .find(|certificate| pin_of(certificate) == Some(self.0))
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    signatures_of_tls13!();
}
