//! Claims, enrolment, revocation and presence.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use common::{Cloud, GATEWAY};
use engawa_cloud::store::{StoreError, gateways, listing, write};
use engawa_protocol::ports::Refusal;

fn claim(cloud: &mut Cloud, property: &str, gateway: &str, secret: &str) -> Result<(), StoreError> {
    write(&mut cloud.connection, |connection| {
        gateways::claim(connection, property, gateway, None, secret, 100, 200)
    })
}

fn enrol(cloud: &mut Cloud, secret: &str, csr: &str, now: i64) -> Result<String, Refusal> {
    let enrolled = write(&mut cloud.connection, |connection| {
        gateways::enrol(connection, secret, csr, now, |gateway| Ok(format!("certificate of {gateway}")))
    });
    enrolled.unwrap().map(|(gateway, _)| gateway)
}

#[test]
fn a_claim_is_good_once_for_one_key_and_for_its_time() {
    let mut cloud = Cloud::new();
    claim(&mut cloud, "grand", "g2", "secret").unwrap();
    assert!(!gateways::admitted(&cloud.connection, "g2").unwrap(), "claimed is not enrolled");
    assert_eq!(enrol(&mut cloud, "guessed", "csr", 150), Err(Refusal::BadClaim));
    assert_eq!(enrol(&mut cloud, "secret", "csr", 200), Err(Refusal::BadClaim), "expired");
    let broken = write(&mut cloud.connection, |connection| {
        gateways::enrol(connection, "secret", "bad", 150, |_| Err(Refusal::BadRequest("no key".into())))
    });
    assert!(matches!(broken.unwrap(), Err(Refusal::BadRequest(_))), "and the claim is not used up");
    assert_eq!(enrol(&mut cloud, "secret", "csr", 150).as_deref(), Ok("g2"));
    assert_eq!(
        enrol(&mut cloud, "secret", "csr", 160).as_deref(),
        Ok("g2"),
        "the answer was lost: the same again"
    );
    assert_eq!(enrol(&mut cloud, "secret", "other", 160), Err(Refusal::BadClaim), "another key");
    assert!(gateways::admitted(&cloud.connection, "g2").unwrap());
    let stored = cloud.query("SELECT hex(secret_hash) FROM claim WHERE gateway = 'g2'");
    assert!(stored.iter().all(|hash| !hash.contains("secret") && hash.len() == 64), "{stored:?}");
}

#[test]
fn a_name_belongs_to_one_property_and_not_to_the_revoked() {
    let mut cloud = Cloud::new();
    assert!(matches!(claim(&mut cloud, "other", GATEWAY, "s"), Err(StoreError::OtherProperty { .. })));
    claim(&mut cloud, "grand", "g2", "unused").unwrap();
    write(&mut cloud.connection, |connection| gateways::revoke(connection, "g2", 120)).unwrap();
    assert_eq!(enrol(&mut cloud, "unused", "csr", 150), Err(Refusal::BadClaim));
    assert!(matches!(claim(&mut cloud, "grand", "g2", "s"), Err(StoreError::Revoked(_))));
    let again = write(&mut cloud.connection, |connection| gateways::revoke(connection, "g2", 999));
    again.unwrap();
    assert_eq!(
        cloud.query("SELECT revoked_at FROM gateway WHERE id = 'g2'"),
        ["120"],
        "the first time stays"
    );
    let nobody = write(&mut cloud.connection, |connection| gateways::revoke(connection, "nobody", 1));
    assert!(matches!(nobody, Err(StoreError::NoGateway(_))));
}

#[test]
fn claims_that_nobody_can_use_go() {
    let mut cloud = Cloud::new();
    claim(&mut cloud, "grand", "g2", "old").unwrap();
    let later = 200 + 8 * 86_400 * 1_000_000;
    write(&mut cloud.connection, |connection| {
        gateways::claim(connection, "grand", "g2", Some("Lobby"), "new", later, later + 5)
    })
    .unwrap();
    assert_eq!(cloud.query("SELECT count(*) FROM claim WHERE gateway = 'g2'"), ["1"]);
    assert_eq!(cloud.query("SELECT name FROM gateway WHERE id = 'g2'"), ["Lobby"]);
}

#[test]
fn a_gateway_that_came_back_is_not_noted_as_gone_by_its_old_connection() {
    let mut cloud = Cloud::new();
    let mut seen = |connected, address: &str, now| {
        write(&mut cloud.connection, |connection| {
            gateways::seen(connection, GATEWAY, connected, address, now)
        })
        .unwrap();
        let gateway = listing::gateways(&cloud.connection).unwrap().remove(0);
        (gateway.connected, gateway.last_seen.unwrap().as_microsecond())
    };
    assert_eq!(seen(true, "192.0.2.1:1000", 10), (true, 10));
    assert_eq!(seen(true, "192.0.2.1:2000", 20), (true, 20));
    assert_eq!(seen(false, "192.0.2.1:1000", 30), (true, 20), "the old connection times out");
    assert_eq!(seen(false, "192.0.2.1:2000", 40), (false, 40));
}

#[test]
fn names_are_such_as_a_certificate_and_a_file_may_have() {
    for good in ["a", "grand-1", "A.b_c", &"x".repeat(64)] {
        assert!(gateways::good_name(good), "{good}");
    }
    for bad in ["", "-a", ".a", "_a", "a b", "a/b", "..", "ä", "a\n", "a\0", &"x".repeat(65)] {
        assert!(!gateways::good_name(bad), "{bad:?}");
    }
}
