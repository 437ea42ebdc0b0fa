//! The region that a certificate names, in a URI `engawa://<region>/…`.

use x509_parser::extensions::GeneralName;

const SCHEME: &str = "engawa://";

/// The regions that a certificate names.
pub(crate) fn of(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let region = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => {
            let (region, _) = uri.strip_prefix(SCHEME)?.split_once('/')?;
            Some(region.to_owned())
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn a_certificate_names_its_region_or_none() {
        let named = |uris: &[&str]| {
            let mut params = CertificateParams::new(vec!["cloud.example.com".to_owned()]).unwrap();
            params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
            of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
        };
        assert_eq!(named(&["engawa://eu-1/cloud", "https://eu-2/cloud", "engawa://no-path"]), ["eu-1"]);
        assert!(named(&[]).is_empty());
        assert!(of(b"nonsense").is_empty());
    }
}
