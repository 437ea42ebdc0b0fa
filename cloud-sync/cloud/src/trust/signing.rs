//! Certificates signed by the authority in the cloud's folder, and gateways of other regions sent home.

use engawa_link::peer_of_pem;
use engawa_link::pki::CertificateAuthority;
use engawa_protocol::ports::Refusal;
use engawa_protocol::trust::{Distrust, Peer};
use std::time::{Duration, SystemTime};

/// So much before now a certificate begins: one that was signed while the clock was ahead must be good when it is right
/// again, or its gateway could not even come to ask for another.
const BACKDATED: Duration = Duration::from_micros(super::BACKDATED_MICROS.cast_unsigned());

/// Signs a certificate for `gateway`, valid for `valid_micros`; gives it and what it says.
///
/// # Errors
/// A request that can't be signed.
pub(crate) fn sign(
    authority: &CertificateAuthority,
    gateway: &str,
    csr_pem: &str,
    valid_micros: i64,
) -> Result<(String, Peer), Refusal> {
    let from = SystemTime::now();
    let valid = Duration::from_micros(valid_micros.max(0).cast_unsigned());
    let certificate = authority
        .sign_gateway(gateway, csr_pem, from - BACKDATED, from + valid)
        .map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let peer = peer_of_pem(&certificate).ok_or(Refusal::Unavailable)?;
    Ok((certificate, peer))
}

/// The region that the gateway is to go to, where it is not this cloud's.
pub(crate) fn away<'a>(authority: &'a CertificateAuthority, peer: &'a Peer) -> Option<(&'a str, &'a str)> {
    // A certificate without a region is one that this cloud, or an older release of it, has signed.
    let (ours, theirs) = (authority.region()?, peer.region.as_deref()?);
    (ours != theirs).then_some((ours, theirs))
}

/// The refusal of a gateway of another region, which is told where to go where the directory knows.
pub(crate) fn elsewhere(
    peer: &Peer,
    (ours, theirs): (&str, &str),
    directory: Vec<(String, String)>,
) -> Refusal {
    Distrust::Region {
        gateway: peer.gateway.clone(),
        theirs: theirs.to_owned(),
        ours: ours.to_owned(),
        address: directory.into_iter().find(|(region, _)| region == theirs).map(|(_, address)| address),
    }
    .into()
}
