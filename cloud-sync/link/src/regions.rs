//! The directory of regions, signed by the authority: a cloud of another region says with it where a gateway belongs.

use crate::peer::good_region;
use crate::pki::CertificateAuthority;
use engawa_protocol::trust::{REGIONS_HEAD, Regions};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::pem::Pem;

/// Regions in one directory; more can't be meant.
const MOST_REGIONS: usize = 1_000;

/// A directory that can't be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionsError {
    /// Not a name of a region.
    #[error(
        "`{0}` can't name a region: up to 32 small letters, digits and `-`, beginning with a letter, and not `gateway`"
    )]
    Name(String),
    /// Not an address.
    #[error("`{address}` is not the address of region `{region}`'s cloud; expected `host:port`")]
    Address {
        /// The region.
        region: String,
        /// The text.
        address: String,
    },
    /// Too many.
    #[error("a directory has at most {MOST_REGIONS} regions")]
    TooMany,
    /// Nobody signed it whom we trust.
    #[error("the directory of regions is not signed by an authority that is trusted here")]
    Signature,
    /// The library's reason.
    #[error("the directory of regions can't be signed")]
    Sign(#[source] rcgen::Error),
}

/// True for `host:port`, also with an IPv6 address in brackets.
fn good_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        (1..=255).contains(&host.len())
            && host.bytes().all(|b| b.is_ascii_graphic())
            && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'))
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// The directory of these regions and addresses, signed by `authority`.
///
/// # Errors
/// A name or an address that can't be, or the library's.
pub fn sign(authority: &CertificateAuthority, regions: &[(String, String)]) -> Result<Regions, RegionsError> {
    if regions.len() > MOST_REGIONS {
        return Err(RegionsError::TooMany);
    }
    let mut document = format!("{REGIONS_HEAD}\n");
    for (region, address) in regions {
        check(region, address)?;
        document.push_str(&format!("{region} {address}\n"));
    }
    let signature = authority.sign(document.as_bytes()).map_err(RegionsError::Sign)?;
    Ok(Regions { document: document.into_bytes(), signature })
}

/// Sees that both can be in a directory.
///
/// # Errors
/// One of them can't.
pub fn check(region: &str, address: &str) -> Result<(), RegionsError> {
    if !good_region(region) {
        return Err(RegionsError::Name(region.to_owned()));
    }
    if !good_address(address) {
        return Err(RegionsError::Address { region: region.to_owned(), address: address.to_owned() });
    }
    Ok(())
}

/// Sees that one of `authorities_pem` has signed the directory, and gives its regions and addresses.
///
/// # Errors
/// None of them has.
pub fn verify(regions: &Regions, authorities_pem: &str) -> Result<Vec<(String, String)>, RegionsError> {
    let signed = Pem::iter_from_buffer(authorities_pem.as_bytes()).flatten().any(|pem| {
        x509_parser::parse_x509_certificate(&pem.contents).is_ok_and(|(_, certificate)| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &certificate.public_key().subject_public_key.data)
                .verify(&regions.document, &regions.signature)
                .is_ok()
        })
    });
    let document = std::str::from_utf8(&regions.document).ok().filter(|_| signed);
    let mut lines = document.ok_or(RegionsError::Signature)?.lines();
    if lines.next() != Some(REGIONS_HEAD) {
        return Err(RegionsError::Signature);
    }
    let pair = |line: &str| line.split_once(' ').map(|(region, to)| (region.to_owned(), to.to_owned()));
    Ok(lines.filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_authority_signed_is_believed() {
        let (ours, other) =
            (CertificateAuthority::create("a").unwrap(), CertificateAuthority::create("b").unwrap());
        let entries =
            [("eu-1".to_owned(), "cloud.eu.example:8443".to_owned()), ("us-1".into(), "[::1]:1".into())];
        let mut regions = sign(&ours, &entries).unwrap();
        let both = format!("{}{}", other.pem(), ours.pem());
        assert_eq!(verify(&regions, &both).unwrap(), entries);
        assert!(matches!(verify(&regions, other.pem()), Err(RegionsError::Signature)));
        regions.document.extend(b"xx-1 evil.example:1\n");
        assert!(matches!(verify(&regions, ours.pem()), Err(RegionsError::Signature)));
        for (region, address) in
            [("eu", "nowhere"), ("eu", "a b:1"), ("eu", "::1:1"), ("eu", "a:0"), ("EU", "a:1")]
        {
            assert!(sign(&ours, &[(region.to_owned(), address.to_owned())]).is_err(), "{region} {address}");
        }
    }
}
