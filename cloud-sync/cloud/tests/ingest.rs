//! Rows and marks: each row once, whatever comes twice, late, or not at all.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use common::{Cloud, EPOCH, GATEWAY, row};
use engawa_cloud::store::{StoreError, Writer, gateways, ingest, write};
use engawa_protocol::ports::{Ingested, Refusal, Row, Skip};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

fn rows(numbers: std::ops::RangeInclusive<u64>) -> Vec<Row> {
    numbers.map(row).collect()
}

#[test]
fn repeats_overlaps_and_gaps_leave_each_row_once() {
    let mut cloud = Cloud::new();
    assert_eq!(cloud.ingest(EPOCH, 3, &rows(1..=3)), Ingested::Upto(3));
    assert_eq!(cloud.ingest(EPOCH, 3, &rows(1..=3)), Ingested::Upto(3), "a repeat");
    assert_eq!(cloud.ingest(EPOCH, 3, &rows(2..=5)), Ingested::Upto(5), "an overlap");
    assert_eq!(cloud.ingest(EPOCH, 3, &rows(8..=9)), Ingested::Gap(5), "a gap");
    assert_eq!(
        cloud.ingest(EPOCH, 3, &[row(6), row(8)]),
        Ingested::Gap(6),
        "what is before a hole is stored"
    );
    assert_eq!(cloud.ingest(EPOCH, 3, &[]), Ingested::Upto(6));
    assert_eq!(cloud.ingest(EPOCH, 3, &[row(0)]), Ingested::Upto(6), "no row has the number 0");
    assert_eq!(cloud.ingest(EPOCH, 3, &[row(u64::MAX)]), Ingested::Gap(6));
    assert_eq!(cloud.ingest(EPOCH, 1, &rows(1..=1)), Ingested::Upto(1), "another lane counts for itself");
    assert_eq!(
        cloud.query("SELECT lane, group_concat(seq) FROM journal GROUP BY lane"),
        ["1|1", "3|1,2,3,4,5,6"]
    );
    assert_eq!(cloud.query("SELECT DISTINCT received_micros FROM journal"), ["1000000"]);
}

#[test]
fn any_order_of_batches_ends_with_exactly_the_gateways_rows() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut cloud = Cloud::new();
        cloud.enrol("grand-2");
        let mut marks: BTreeMap<(&str, u64, u8), u64> = BTreeMap::new();
        for _ in 0..150 {
            let gateway = [GATEWAY, "grand-2"][random.random_range(0..2)];
            let (epoch, lane) = (random.random_range(7..9), [1, 3, 5][random.random_range(0..3)]);
            let mark = marks.entry((gateway, epoch, lane)).or_default();
            let first = (*mark + 3).saturating_sub(random.random_range(0..6));
            let batch = rows(first..=first + random.random_range(0..5));
            let last = batch.last().unwrap().seq;
            let want = if first > *mark + 1 {
                Ingested::Gap(*mark)
            } else {
                *mark = (*mark).max(last);
                Ingested::Upto(*mark)
            };
            assert_eq!(cloud.ingest_of(gateway, epoch, lane, &batch), want, "seed {seed}");
        }
        let got = cloud.query(
            "SELECT gateway, epoch, lane, count(*), min(seq), max(seq) FROM journal GROUP BY gateway, epoch, lane",
        );
        let want: Vec<String> = marks
            .iter()
            .filter(|(_, mark)| **mark > 0)
            .map(|((gateway, epoch, lane), mark)| format!("{gateway}|{epoch}|{lane}|{mark}|1|{mark}"))
            .collect();
        assert_eq!(got, want, "seed {seed}");
    }
}

#[test]
fn what_this_release_does_not_understand_is_stored_all_the_same() {
    let mut cloud = Cloud::new();
    let of = |seq, kind: &str, body: &[u8]| Row {
        seq,
        at_micros: i64::MIN,
        kind: kind.into(),
        body: body.to_vec(),
    };
    let strange = [
        of(1, "teleported", br#"{"kind":"teleported","room":"101"}"#),
        of(2, "checked_in", br#"{"kind":"checked_in","room":101}"#),
        of(3, "checked_in", b"{"),
        of(4, "", b""),
        of(5, "checked_in", &[0xff, 0xfe, 0x00]),
        of(6, "reported", "[".repeat(100_000).as_bytes()),
        of(7, "reported", br#"{"kind":"reported","point":{"device":"d","point":"p"},"room":"101","role":"room-temperature","value":1e999,"quality":"good","sampled":"2026-11-24T08:00:00Z"}"#),
        of(8, "\u{0}\u{1b}[2J", b"null"),
    ];
    assert_eq!(cloud.ingest(EPOCH, 3, &strange), Ingested::Upto(8));
    assert_eq!(cloud.query("SELECT count(*), sum(typeof(body) = 'text') FROM journal"), ["8|7"]);
    assert_eq!(cloud.query("SELECT body FROM journal WHERE seq = 5"), ["[255, 254, 0]"]);
    assert_eq!(cloud.query("SELECT json_extract(body, '$.room') FROM journal WHERE seq = 1"), ["101"]);
    assert!(cloud.query("SELECT room FROM room_state").is_empty());
}

#[test]
fn a_failed_batch_leaves_neither_rows_nor_mark() {
    let mut cloud = Cloud::new();
    // A mark that was set back by hand: the rows above it are there already.
    cloud.ingest(EPOCH, 3, &rows(1..=4));
    cloud.connection.execute("UPDATE mark SET seq = 2", []).unwrap();
    let again = write(&mut cloud.connection, |connection| {
        ingest::ingest(connection, GATEWAY, EPOCH, 3, &rows(3..=6), 9)
    });
    assert!(matches!(again, Err(StoreError::Sql { .. })), "{again:?}");
    assert_eq!(cloud.query("SELECT max(seq) FROM journal"), ["4"]);
    assert_eq!(cloud.query("SELECT seq FROM mark"), ["2"]);
}

#[test]
fn lanes_of_many_gateways_share_commits_and_lose_nothing() {
    let mut cloud = Cloud::new();
    cloud.enrol("grand-2");
    let (writer, _ended) = Writer::start(&cloud.path()).unwrap();
    std::thread::scope(|scope| {
        for gateway in [GATEWAY, "grand-2"] {
            for lane in [1, 2, 3, 4, 5] {
                let writer = writer.clone();
                scope.spawn(move || {
                    for first in (1..200).step_by(4) {
                        // Each batch twice, as after a lost answer.
                        for _ in 0..2 {
                            let work = move |connection: &rusqlite::Connection| {
                                ingest::ingest(connection, gateway, EPOCH, lane, &rows(first..=first + 5), 1)
                            };
                            assert_eq!(writer.run(work).unwrap(), Ingested::Upto(first + 5));
                        }
                    }
                });
            }
        }
    });
    let got = cloud.query("SELECT count(*), max(seq) FROM journal GROUP BY gateway, lane");
    assert_eq!(got, vec!["202|202"; 10]);
}

#[test]
fn a_journal_behind_the_mark_is_fenced_and_a_new_one_begins_at_nothing() {
    let mut cloud = Cloud::new();
    cloud.ingest(EPOCH, 3, &rows(1..=5));
    let hello = |cloud: &Cloud, epoch, heads: &[(u8, u64)]| {
        ingest::hello(&cloud.connection, GATEWAY, epoch, heads).unwrap()
    };
    assert_eq!(hello(&cloud, EPOCH, &[(3, 5), (1, 0)]), Ok(vec![(3, 5), (1, 0)]));
    assert_eq!(hello(&cloud, EPOCH, &[(3, 9)]), Ok(vec![(3, 5)]));
    assert_eq!(
        hello(&cloud, EPOCH, &[(1, 0), (3, 4)]),
        Err(Refusal::EdgeBehind { lane: 3, cloud: 5, edge: 4 })
    );
    assert_eq!(hello(&cloud, EPOCH, &[(1, 4)]), Ok(vec![(3, 5), (1, 0)]), "a release without lane 3");
    assert_eq!(hello(&cloud, 8, &[(3, 2)]), Ok(vec![(3, 0)]), "another life");
    // An epoch is any 64 bits.
    let large = u64::MAX - 3;
    assert_eq!(cloud.ingest(large, 3, &rows(1..=2)), Ingested::Upto(2));
    assert_eq!(hello(&cloud, large, &[(3, 2)]), Ok(vec![(3, 2)]));
    assert_eq!(
        cloud.query("SELECT epoch, count(*) FROM journal GROUP BY epoch ORDER BY epoch"),
        ["-4|2", "7|5"]
    );
}

#[test]
fn a_revocation_holds_for_open_sessions_too() {
    let mut cloud = Cloud::new();
    cloud.ingest(EPOCH, 3, &rows(1..=2));
    write(&mut cloud.connection, |connection| gateways::revoke(connection, GATEWAY, 9)).unwrap();
    let late = write(&mut cloud.connection, |connection| {
        ingest::ingest(connection, GATEWAY, EPOCH, 3, &rows(3..=4), 9)
    });
    assert!(matches!(late, Err(StoreError::Revoked(_))));
    let refused = ingest::hello(&cloud.connection, GATEWAY, EPOCH, &[(3, 4)]).unwrap();
    assert_eq!(refused, Err(Refusal::Unknown(GATEWAY.into())));
    let stranger = ingest::hello(&cloud.connection, "nobody", EPOCH, &[]).unwrap();
    assert_eq!(stranger, Err(Refusal::Unknown("nobody".into())));
    assert_eq!(cloud.query("SELECT max(seq) FROM journal"), ["2"]);
}

#[test]
fn rows_that_will_never_come_leave_a_row_that_says_so() {
    let mut cloud = Cloud::new();
    let skip = |cloud: &mut Cloud, from, to| {
        let skip = Skip { from, to, reason: "kept for a day".into() };
        write(&mut cloud.connection, |connection| {
            ingest::skip(connection, GATEWAY, EPOCH, 5, &skip, 1_000_000)
        })
    };
    assert_eq!(skip(&mut cloud, 1, 4).unwrap(), Ingested::Upto(4), "at the beginning");
    assert_eq!(skip(&mut cloud, 1, 4).unwrap(), Ingested::Upto(4), "a repeat");
    assert_eq!(
        cloud.ingest(EPOCH, 5, &rows(3..=6)),
        Ingested::Upto(6),
        "what comes late is not wanted any more"
    );
    assert_eq!(skip(&mut cloud, 9, 12).unwrap(), Ingested::Gap(6), "a gap behind a hole");
    assert_eq!(skip(&mut cloud, 5, 9).unwrap(), Ingested::Upto(9), "an overlap");
    assert_eq!(cloud.ingest(EPOCH, 5, &rows(10..=10)), Ingested::Upto(10));
    let gaps =
        "SELECT seq, json_extract(body, '$.from'), json_extract(body, '$.to'), json_extract(body, '$.reason')
        FROM journal WHERE kind = 'gap' ORDER BY seq";
    assert_eq!(cloud.query(gaps), ["4|1|4|kept for a day", "9|7|9|kept for a day"]);
    // The query of SCHEMA.md, which finds what is missing and not told.
    let missing = "WITH covered AS (SELECT gateway, epoch, lane, seq,
            CASE kind WHEN 'gap' THEN json_extract(body, '$.from') ELSE seq END AS first FROM journal)
        SELECT lane FROM covered GROUP BY gateway, epoch, lane
        HAVING sum(seq - first + 1) <> max(seq) OR min(first) <> 1";
    assert_eq!(cloud.query(missing), Vec::<String>::new());
    assert_eq!(ingest::marks_of(&cloud.connection, GATEWAY, EPOCH).unwrap(), [(5, 10)]);
    write(&mut cloud.connection, |connection| gateways::revoke(connection, GATEWAY, 1)).unwrap();
    assert!(matches!(skip(&mut cloud, 11, 12), Err(StoreError::Revoked(_))));
}

#[test]
fn what_still_comes_of_an_epoch_that_is_over_is_not_stored() {
    let mut cloud = Cloud::new();
    let seen = |cloud: &mut Cloud, epoch| {
        write(&mut cloud.connection, |connection| gateways::epoch_seen(connection, GATEWAY, epoch, 9))
            .unwrap();
    };
    seen(&mut cloud, EPOCH);
    assert_eq!(cloud.ingest(EPOCH, 3, &rows(1..=3)), Ingested::Upto(3));
    seen(&mut cloud, EPOCH + 1);
    let late = write(&mut cloud.connection, |connection| {
        ingest::ingest(connection, GATEWAY, EPOCH, 3, &rows(4..=5), 9)
    });
    assert!(matches!(late, Err(StoreError::EpochOver(_))), "{late:?}");
    let skip = Skip { from: 4, to: 5, reason: String::new() };
    let late =
        write(&mut cloud.connection, |connection| ingest::skip(connection, GATEWAY, EPOCH, 3, &skip, 9));
    assert!(matches!(late, Err(StoreError::EpochOver(_))), "{late:?}");
    assert_eq!(ingest::marks_of(&cloud.connection, GATEWAY, EPOCH).unwrap(), [(3, 3)]);
    assert_eq!(cloud.ingest(EPOCH + 1, 3, &rows(1..=2)), Ingested::Upto(2));
}
