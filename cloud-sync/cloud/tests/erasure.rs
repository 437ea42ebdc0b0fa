//! Erased guests: what goes, what stays, and what is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use common::{Cloud, EPOCH, GATEWAY, at, change_row, run};
use data_encoding::HEXLOWER;
use engawa_cloud::store::{self, commands, erasure};
use engawa_model::{
    Action, Change, CommandSource, Currency, Erasure, ErasureReason, Money, PostingNumber, PostingState,
    StayEnd, Timestamp,
};
use engawa_protocol::ports::Ingested;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use std::cell::RefCell;

fn vault() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// A tombstone of `stay`, signed as the gateway's vault signs.
fn tombstone(record: &str, stay: &str, second: i64, reason: ErasureReason) -> Erasure {
    let key = vault();
    let mut erasure = Erasure {
        stay: stay.into(),
        record: record.into(),
        at: at(second),
        reason,
        signer: HEXLOWER.encode(key.public_key().as_ref()),
        signature: String::new(),
    };
    erasure.signature = HEXLOWER.encode(key.sign(erasure.message().as_bytes()).as_ref());
    erasure
}

fn checked_in(stay: &str, room: &str) -> Change {
    let day = |day| Some(engawa_model::Date::constant(2026, 11, day));
    let (language, arrival, departure) = (Some("de".into()), day(24), day(26));
    Change::CheckedIn { stay: stay.into(), room: room.into(), language, arrival, departure }
}

fn posting(number: u32, stay: Option<&str>, text: &str) -> Change {
    Change::Posting {
        number: PostingNumber(number),
        key: format!("charge-{number}").as_str().into(),
        room: "101".into(),
        stay: stay.map(Into::into),
        amount: Money { minor: 1_250, currency: Currency::new("EUR").unwrap() },
        text: text.into(),
        outlet: Some("bar".into()),
        state: PostingState::Posted,
        answer: Some(format!("thanks to {text}")),
    }
}

fn post(stay: Option<&str>, text: &str) -> Action {
    Action::Post {
        room: "101".into(),
        stay: stay.map(Into::into),
        amount: Money { minor: 1_250, currency: Currency::new("EUR").unwrap() },
        text: text.into(),
        outlet: None,
    }
}

fn sweep(cloud: &mut Cloud) -> usize {
    let reader = store::open_reader(&cloud.path()).unwrap();
    let connection = RefCell::new(&mut cloud.connection);
    erasure::sweep(&reader, &|work| store::write(&mut connection.borrow_mut(), work), 9_000_000).unwrap()
}

/// Everything in the database as text.
fn all(cloud: &Cloud) -> String {
    ["journal", "command", "posting", "stay"]
        .map(|table| cloud.query(&format!("SELECT * FROM {table}")).join("\n"))
        .join("\n")
}

fn dir(cloud: &Cloud) -> &str {
    cloud.folder.path().to_str().unwrap()
}

#[test]
fn a_tombstone_reaches_every_table_and_leaves_other_guests_and_the_money_alone() {
    let mut cloud = Cloud::new();
    cloud.send("charge-1", &post(None, "Rosenkavalier")).unwrap();
    cloud.send("named", &post(Some("S1"), "Rosenkavalier again")).unwrap();
    cloud.send("other", &post(Some("S2"), "Fledermaus")).unwrap();
    store::write(&mut cloud.connection, |connection| commands::acknowledged(connection, GATEWAY, 1, 5))
        .unwrap();
    cloud.tell(
        EPOCH,
        &[
            checked_in("S1", "101"),
            checked_in("S2", "102"),
            posting(1, Some("S1"), "Rosenkavalier"),
            posting(2, Some("S2"), "Fledermaus"),
            Change::CheckedOut { stay: "S1".into(), room: "101".into(), reason: StayEnd::CheckedOut },
        ],
    );
    let erased = tombstone("0a", "S1", 100, ErasureReason::Asked);
    cloud.tell(EPOCH, &[Change::Erased { erasure: erased.clone() }]);
    assert_eq!(cloud.query("SELECT language, arrival FROM stay ORDER BY stay"), ["-|-", "de|2026-11-24"]);
    assert_eq!(cloud.query("SELECT minor, text, answer FROM posting WHERE number = 1"), ["1250||-"]);
    let report = run(&["erasure", "report", "--dir", dir(&cloud)]);
    assert!(report.status == 1 && report.out.contains("not gone through yet"), "{report:?}");

    assert_eq!(sweep(&mut cloud), 1);
    let left = all(&cloud);
    assert!(!left.contains("Rosenkavalier") && left.contains("Fledermaus"), "{left}");
    assert!(cloud.query("SELECT body FROM journal WHERE seq = 1")[0].contains(r#""language":null"#));
    assert_eq!(cloud.query("SELECT count(*) FROM journal"), ["6"], "no row goes");
    // Every row is still one that can be read.
    for body in cloud.query("SELECT body FROM journal") {
        serde_json::from_str::<Change>(&body).unwrap_or_else(|error| panic!("{body}: {error}"));
    }
    for body in cloud.query("SELECT body FROM command") {
        serde_json::from_str::<engawa_model::Command>(&body)
            .unwrap_or_else(|error| panic!("{body}: {error}"));
    }
    // What had not gone out yet does not go out any more; what the gateway has is its own business.
    assert_eq!(
        cloud.query("SELECT key, state, coalesce(outcome, '') FROM command ORDER BY seq"),
        ["charge-1|acknowledged|", "named|ended|superseded", "other|sent|"]
    );
    assert_eq!(sweep(&mut cloud), 0, "once");

    // A row that was on its way on another lane is cleared as it comes, a later guest's of that number is not.
    let accepted = |text: &str| Change::CommandAccepted {
        key: "k".into(),
        source: CommandSource::Cloud,
        action: post(Some("S1"), text),
    };
    cloud.ingest(EPOCH, 4, &[change_row(1, &accepted("Walkure"))]);
    let mut later = change_row(2, &accepted("Parsifal"));
    later.at_micros = at(200).as_microsecond();
    assert_eq!(cloud.ingest(EPOCH, 4, &[later]), Ingested::Upto(2));
    let left = all(&cloud);
    assert!(!left.contains("Walkure") && left.contains("Parsifal"), "{left}");

    let report = run(&["erasure", "report", "--dir", dir(&cloud), "--stay", "S1", "--json"]);
    assert_eq!(report.status, 0, "{report:?}");
    let line = &report.json()[0];
    let of = |field: &str| line[field].clone();
    assert_eq!(
        (of("verified"), of("stays"), of("postings"), of("commands"), of("journal"), of("usual_signer")),
        (json!(true), json!(1), json!(1), json!(2), json!(3), json!(true))
    );
    assert!(of("copies").as_str().unwrap().contains("hold it until they are deleted"), "{line}");
    let none = run(&["erasure", "report", "--dir", dir(&cloud), "--stay", "S2"]);
    assert!(none.status == 1 && none.err.contains("no tombstone"), "{none:?}");
}

#[test]
fn a_tombstone_that_was_changed_does_nothing_and_is_told() {
    let mut cloud = Cloud::new();
    cloud.tell(EPOCH, &[checked_in("S1", "101"), checked_in("S2", "102")]);
    let mut forged = tombstone("0a", "S1", 100, ErasureReason::Asked);
    forged.stay = "S2".into();
    cloud.tell(EPOCH, &[Change::Erased { erasure: forged }]);
    assert_eq!(sweep(&mut cloud), 0);
    assert_eq!(cloud.query("SELECT language FROM stay"), ["de", "de"]);
    let report = run(&["erasure", "report", "--dir", dir(&cloud)]);
    assert!(report.status == 1 && report.out.contains("DOES NOT FIT"), "{report:?}");
    // The right one comes after it: it counts.
    cloud.tell(EPOCH, &[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]);
    assert_eq!(sweep(&mut cloud), 1);
    assert_eq!(cloud.query("SELECT language FROM stay ORDER BY stay"), ["-", "de"]);
}

#[test]
fn an_older_stay_of_a_number_goes_and_the_guest_in_the_house_keeps_all() {
    let mut cloud = Cloud::new();
    let old = posting(1, Some("S1"), "Tosca");
    let left = Change::CheckedOut { stay: "S1".into(), room: "101".into(), reason: StayEnd::CheckedOut };
    cloud.tell(EPOCH, &[checked_in("S1", "101"), old, left, checked_in("S1", "102")]);
    cloud.tell(EPOCH, &[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Retention) }]);
    assert_eq!(sweep(&mut cloud), 1);
    assert_eq!(cloud.query("SELECT room, language FROM stay"), ["102|de"]);
    let bodies = cloud.query("SELECT body FROM journal ORDER BY seq");
    assert!(bodies[0].contains(r#""language":null"#) && !bodies[1].contains("Tosca"), "{bodies:?}");
    assert!(bodies[3].contains(r#""language":"de""#), "{bodies:?}");
}

#[test]
fn a_copy_that_is_put_back_is_cleared_by_the_tombstones_kept_beside_it() {
    let mut cloud = Cloud::new();
    cloud.tell(EPOCH, &[checked_in("S1", "101"), posting(1, Some("S1"), "Norma")]);
    let copy = cloud.folder.path().join("copy.db");
    cloud.connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    cloud.tell(EPOCH, &[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]);
    assert_eq!(sweep(&mut cloud), 1);
    let exported = run(&["erasure", "export", "--dir", dir(&cloud)]);
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("tombstones.jsonl");
    std::fs::write(&file, &exported.out).unwrap();

    let back = tempfile::tempdir().unwrap();
    std::fs::copy(&copy, back.path().join(store::DATABASE_FILE)).unwrap();
    let home = back.path().to_str().unwrap();
    let applied = run(&["erasure", "apply", "--dir", home, file.to_str().unwrap()]);
    assert!(applied.status == 0 && applied.out.contains("1 tombstones taken over, 1 applied"), "{applied:?}");
    let reader = store::open_reader(&back.path().join(store::DATABASE_FILE)).unwrap();
    let held: i64 = reader
        .query_row("SELECT count(*) FROM journal WHERE instr(body, 'Norma')", [], |row| row.get(0))
        .unwrap();
    assert_eq!(held, 0);
    assert!(Timestamp::now() > at(0));

    std::fs::write(&file, exported.out.replace("\"S1\"", "\"S2\"")).unwrap();
    let forged = run(&["erasure", "apply", "--dir", home, file.to_str().unwrap()]);
    assert!(forged.status == 1 && forged.err.contains("line 1: the signature does not fit"), "{forged:?}");
}

/// Killed in the middle it begins again, and nothing is lost or counted twice.
#[test]
fn a_long_journal_is_gone_through_in_pieces_and_again_after_a_crash() {
    let mut cloud = Cloud::new();
    let changes: Vec<Change> =
        (0..5_000).map(|n| posting(n, Some(if n % 2 == 0 { "S1" } else { "S2" }), "Aida")).collect();
    cloud.tell(EPOCH, &changes);
    cloud.tell(EPOCH, &[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]);
    let reader = store::open_reader(&cloud.path()).unwrap();
    let pieces = RefCell::new(0);
    {
        let connection = RefCell::new(&mut cloud.connection);
        let crash = |work: erasure::Work| {
            *pieces.borrow_mut() += 1;
            if *pieces.borrow() == 2 {
                return Err(store::StoreError::Stopped);
            }
            store::write(&mut connection.borrow_mut(), work)
        };
        erasure::sweep(&reader, &crash, 9).unwrap_err();
    }
    assert_eq!(cloud.query("SELECT applied_micros FROM erasure"), ["-"]);
    assert_eq!(sweep(&mut cloud), 1);
    assert_eq!(cloud.query("SELECT journal, postings FROM erasure"), ["2500|2500"]);
    assert_eq!(cloud.query("SELECT count(*) FROM journal WHERE instr(body, 'Aida')"), ["2500"]);
}
