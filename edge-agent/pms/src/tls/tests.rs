//! Files of certificates, and what breaks TLS, in words. Handshakes are in `tests/tls.rs`.

use super::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::InvalidMessage;

#[test]
fn what_breaks_tls_says_what_to_mend() {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    let of = |error: rustls::Error| in_words(&io::Error::other(error));
    for (error, words) in [
        (
            InvalidCertificate(CertificateError::UnknownIssuer),
            "the PMS's certificate is not of the authority in `ca_file`",
        ),
        (InvalidCertificate(CertificateError::Expired), "the PMS's certificate has expired"),
        (
            InvalidCertificate(CertificateError::NotValidYet),
            "the PMS's certificate is not valid yet; is the clock right?",
        ),
        (
            InvalidCertificate(CertificateError::NotValidForName),
            "the PMS's certificate is for another name; set `server_name` (",
        ),
        (InvalidCertificate(CertificateError::Revoked), "TLS: "),
        (
            AlertReceived(AlertDescription::CertificateExpired),
            "the PMS says that our certificate has expired",
        ),
        (AlertReceived(AlertDescription::CertificateRequired), "the PMS wants a certificate of ours"),
        (
            AlertReceived(AlertDescription::UnknownCA),
            "the PMS does not accept the certificate in `cert_file` (UnknownCA)",
        ),
        (
            AlertReceived(AlertDescription::BadCertificate),
            "the PMS does not accept the certificate in `cert_file` (Bad",
        ),
        (
            AlertReceived(AlertDescription::DecryptError),
            "the PMS does not accept the certificate in `cert_file` (Decr",
        ),
        (AlertReceived(AlertDescription::HandshakeFailure), "the PMS ends TLS with HandshakeFailure"),
        (
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
            "the PMS does not speak TLS here (",
        ),
        (rustls::Error::HandshakeNotComplete, "TLS: "),
    ] {
        let said = of(error.clone());
        assert!(said.starts_with(words), "{error:?}: {said}");
    }
    assert_eq!(in_words(&io::Error::other("the cable is out")), "the cable is out");
}

#[test]
fn certificates_are_read_and_a_file_without_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let good = TlsConfig {
        ca_file: file("ca.crt", &own),
        cert_file: file("own.crt", &own),
        key_file: file("own.key", &key.serialize_pem()),
        server_name: None,
    };
    assert!(read(&good).is_ok(), "{:?}", read(&good).err());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let empty = file("empty.crt", "no certificate\n");
    for (tls, words) in [
        (
            TlsConfig { ca_file: empty.clone(), ..good.clone() },
            "empty.crt holds no certificate; expected PEM",
        ),
        (TlsConfig { cert_file: empty, ..good.clone() }, "empty.crt holds no certificate; expected PEM"),
        (TlsConfig { ca_file: folder.path().join("gone.crt"), ..good.clone() }, "gone.crt: "),
        (TlsConfig { key_file: file("not.key", "x"), ..good.clone() }, "not.key: "),
        (TlsConfig { key_file: file("other.key", &other), ..good.clone() }, "don't fit together"),
    ] {
        let why = read(&tls).err().unwrap_or_default();
        assert!(why.contains(words), "{words}: {why}");
    }
}
