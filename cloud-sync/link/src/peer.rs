//! What certificates of the authority say: the URIs in them, and whom they name.
//!
//! A gateway's is `engawa://<region>/gateway/<name>`, the cloud's `engawa://<region>/cloud`. A cloud without regions writes
//! `engawa://gateway/<name>`, as the first release did; so no region may be called `gateway`.

use engawa_protocol::trust::Peer;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

const SCHEME: &str = "engawa://";
const GATEWAY: &str = "gateway";
const CLOUD: &str = "cloud";

/// What a gateway may be called: it stands in a URI and in file names.
pub(crate) fn good_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// What a region may be called: up to 32 small letters, digits and `-`, beginning with a letter, and not `gateway`.
pub fn good_region(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len())
        && name.bytes().all(plain)
        && name.as_bytes()[0].is_ascii_lowercase()
        && name != GATEWAY
}

pub(crate) fn gateway_uri(region: Option<&str>, gateway: &str) -> String {
    match region {
        Some(region) => format!("{SCHEME}{region}/{GATEWAY}/{gateway}"),
        None => format!("{SCHEME}{GATEWAY}/{gateway}"),
    }
}

pub(crate) fn cloud_uri(region: &str) -> String {
    format!("{SCHEME}{region}/{CLOUD}")
}

/// Region and gateway of a URI.
fn gateway_in(uri: &str) -> Option<(Option<&str>, &str)> {
    let (first, rest) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    if first == GATEWAY {
        return good_name(rest).then_some((None, rest));
    }
    let gateway = rest.strip_prefix(GATEWAY)?.strip_prefix('/')?;
    (good_region(first) && good_name(gateway)).then_some((Some(first), gateway))
}

fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &GeneralName<'a>| if let GeneralName::URI(uri) = name { Some(*uri) } else { None };
    names.value.general_names.iter().filter_map(uri).collect()
}

/// Whom a certificate (DER) names. One that names nobody, or two, is none of ours.
pub(crate) fn peer_of(certificate: &[u8]) -> Option<Peer> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let uris = uris(&certificate);
    let [uri] = uris[..] else { return None };
    let (region, gateway) = gateway_in(uri)?;
    Some(Peer {
        gateway: gateway.to_owned(),
        region: region.map(str::to_owned),
        serial: data_encoding::HEXLOWER.encode(certificate.raw_serial()),
        key: Sha256::digest(certificate.public_key().raw).into(),
        not_before_s: certificate.validity().not_before.timestamp(),
        not_after_s: certificate.validity().not_after.timestamp(),
    })
}

/// Whom the first certificate of a PEM text names.
///
/// # Errors
/// None: `None` is a text without a gateway's certificate.
pub fn peer_of_pem(pem: &str) -> Option<Peer> {
    peer_of(&first_certificate(pem)?)
}

/// The first certificate of a PEM text, DER.
pub(crate) fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    Some(Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?.contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_with_and_without_a_region_are_read_and_nothing_else() {
        for (region, gateway) in [(None, "g1"), (Some("eu-1"), "grand-1.a_b")] {
            assert_eq!(gateway_in(&gateway_uri(region, gateway)), Some((region, gateway)));
        }
        for wrong in [
            "engawa://gateway/",
            "engawa://gateway/a/b",
            "engawa://EU/gateway/g",
            "engawa://eu-1/gateway",
            "engawa://eu-1/cloud",
            "engawa://eu-1/gateway/a/b",
            "engawa:///gateway/g",
            "https://gateway/g",
        ] {
            assert_eq!(gateway_in(wrong), None, "{wrong}");
        }
        for wrong in ["", "gateway", "EU", "1eu", "-a", "eu_1", "a.b", &"x".repeat(33)] {
            assert!(!good_region(wrong), "{wrong}");
        }
    }
}
