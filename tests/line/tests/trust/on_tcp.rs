//! Renewal, fences and revocation where UDP is blocked: the real programs, and a line that takes TCP alone.

use crate::stand::{Cloud, Gateway, LONGEST};
use engawa_relay::Relay;
use engawa_stage::wait;
use std::io::Write;
use std::net::TcpStream;

#[test]
fn where_udp_is_blocked_certificates_are_renewed_boxes_fenced_and_gateways_revoked() {
    let folder = tempfile::Builder::new().prefix("engawa-tcp-").tempdir().unwrap();
    let folder = folder.path();
    let cloud = Cloud::open(folder).unwrap();
    // Whoever scans the ports of the internet is no gateway, and fills no log.
    drop(TcpStream::connect(cloud.address).unwrap());
    TcpStream::connect(cloud.address).unwrap().write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let relay = Relay::open(cloud.address).unwrap();
    relay.set(|weather| weather.udp_blocked = true);
    let line = format!("address = \"{}\"", relay.address());
    let mut house = Gateway::new(folder, "box", &line).unwrap();

    cloud.certificates_last(Some(7)).unwrap();
    house.enroll(&cloud.claim("g1").unwrap(), &[]).unwrap();
    cloud.certificates_last(None).unwrap();
    let (key, identity) = (house.file("gateway.key").unwrap(), house.file("identity.pem").unwrap());
    house.start().unwrap();
    house.until_up(0).unwrap();
    cloud.talks_to("g1", "first").unwrap();
    assert!(house.file("line").unwrap().starts_with("tcp "), "{}", house.file("line").unwrap());

    // Its time is over in the middle of the session: the session ends, and goes on with another certificate and key.
    house.until_said("has expired", 1).unwrap();
    house.until_said("the gateway has a new certificate", 1).unwrap();
    wait::until("the old key to go", LONGEST, || {
        Ok((!house.identity().join("next.key").exists()).then_some(()))
    })
    .unwrap();
    assert_ne!(house.file("gateway.key").unwrap(), key);
    assert_ne!(house.file("identity.pem").unwrap(), identity);
    cloud.talks_to("g1", "renewed").unwrap();
    let certificates = "SELECT count(*) AS n FROM certificate WHERE gateway = 'g1'";
    assert_eq!(cloud.number(certificates).unwrap(), 2);

    // A copy of its disk is switched on: both are held off, and the log of the cloud does not blame its store.
    let mut copy = house.copied_to(folder, "copy", &line).unwrap();
    house.kill().unwrap();
    let before = house.ups().unwrap();
    house.start().unwrap();
    house.until_up(before).unwrap();
    cloud.talks_to("g1", "before the copy").unwrap();
    copy.start().unwrap();
    copy.until_said("is fenced", 1).unwrap();
    house.until_said("is fenced", 1).unwrap();
    let told = cloud.serving.output().unwrap();
    assert!(!told.contains("the store failed") && !told.contains("handshake"), "{told}");
    copy.kill().unwrap();
    cloud.does("gateways", &["unfence", "g1"]).unwrap();
    house.kill().unwrap();
    let before = house.ups().unwrap();
    house.start().unwrap();
    house.until_up(before).unwrap();
    cloud.talks_to("g1", "after the fence").unwrap();

    // Revoked in the middle of a session.
    cloud.does("revoke", &["g1"]).unwrap();
    house.until_said("was revoked", 1).unwrap();
    assert_eq!(house.ups().unwrap(), before + 1);
    // All of it over TCP: not a datagram got through.
    assert!(!house.log().unwrap().contains("QUIC gets through"));
}
