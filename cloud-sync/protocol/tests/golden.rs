//! Frames as releases have written them: each stays readable, and what it means is what it meant.
//!
//! `golden/v1` is of release 0.1, `golden/v2` of the first release with version 2. Files are never written again; a frame
//! of a new kind gets a new file: `GOLDEN=write cargo test -p engawa-protocol --test golden` writes those that are absent.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_protocol::batch::{self, Form};
use engawa_protocol::cloud::{self, CONTROL, CloudMachine, Marks};
use engawa_protocol::edge::{EdgeMachine, Out, Settings, Start, Stream};
use engawa_protocol::frame::{
    self, Ack, Body, Credit, Enrol, Enrolled, Hello, LENGTH, Lane, Mark, Ping, Refused, Skip, Welcome, Why,
};
use engawa_protocol::live::{Live, LiveRow};
use engawa_protocol::ports::{Refusal, Row};
use engawa_protocol::reconcile::{AskSync, Print, SyncStanding};
use engawa_protocol::trust::Turn;
use engawa_protocol::update::{FetchAsk, FetchPiece, UpdateAsk, UpdateTold};
use std::path::Path;
use std::time::Duration;

const T: Duration = Duration::from_secs(1);

fn bytes(version: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join(name);
    std::fs::read(path.with_extension("bin")).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn golden(version: &str, name: &str) -> Body {
    let bytes = bytes(version, name);
    let (head, rest) = bytes.split_first_chunk::<LENGTH>().unwrap();
    assert_eq!(frame::length(*head).unwrap(), rest.len(), "{name}");
    frame::decode(rest).unwrap().unwrap_or_else(|| panic!("{version}/{name} is not known any more"))
}

fn rows() -> Vec<Row> {
    let row = |seq: u64| Row {
        seq,
        at_micros: 1_800_000_000_000_000 + i64::try_from(seq).unwrap() * 1_000,
        kind: if seq.is_multiple_of(2) { "moved".into() } else { "of_the_future".into() },
        body: format!(r#"{{"kind":"moved","stay":"S{seq}","from":"101","to":"102"}}"#).into_bytes(),
    };
    (4..=40).map(row).collect()
}

fn start() -> Start {
    Start {
        epoch: 7,
        heads: vec![(1, 0), (3, 5), (5, 700)],
        inbox: 2,
        release: "0.2.0".into(),
        previous: None,
    }
}

fn edge_out(machine: &mut EdgeMachine) -> Vec<Out> {
    std::iter::from_fn(|| machine.poll(T)).collect()
}

fn cloud_out(machine: &mut CloudMachine) -> Vec<cloud::Out> {
    std::iter::from_fn(|| machine.poll()).collect()
}

fn sent(out: &[cloud::Out], stream: u32) -> Vec<Body> {
    let body = |out: &cloud::Out| match out {
        cloud::Out::Send { stream: of, body } if *of == stream => Some(body.clone()),
        _ => None,
    };
    out.iter().filter_map(body).collect()
}

/// A cloud of this release and a gateway of release 0.1.
#[test]
fn the_cloud_serves_a_gateway_of_release_0_1() {
    let mut cloud = CloudMachine::new(cloud::Settings::default(), T);
    cloud.on_frame(T, CONTROL, golden("v1", "hello"));
    let out = cloud_out(&mut cloud);
    let Some(cloud::Out::Hello(greeting)) = out.last() else { panic!("{out:?}") };
    assert_eq!((greeting.epoch, greeting.inbox, greeting.release.as_str()), (7, 2, "0.1.0"));
    assert_eq!((&greeting.heads, greeting.previous), (&vec![(1, 0), (3, 5), (5, 700)], None));
    let marks = Marks { present: vec![(1, 0), (3, 4), (5, 600)], previous: vec![] };
    cloud.on_welcome(T, Ok(marks));
    let out = cloud_out(&mut cloud);
    let welcome = &sent(&out, CONTROL)[0];
    // To the byte what release 0.1 would have said: it knows no more.
    assert_eq!(frame::encode(welcome.clone()), bytes("v1", "welcome"));
    assert_eq!(cloud.wake_at(), None, "it is asked nothing that it does not know");
    cloud.on_open(1);
    cloud.on_frame(T, 1, golden("v1", "lane"));
    cloud.on_frame(T, 1, golden("v1", "rows"));
    let out = cloud_out(&mut cloud);
    let stored = out.iter().find_map(|out| match out {
        cloud::Out::Ingest { stream: 1, lane: 3, rows } => Some(rows.clone()),
        _ => None,
    });
    assert_eq!(stored.unwrap(), rows(), "also those of a kind that nobody knows");
    cloud.on_ingested(T, 1, Some(engawa_protocol::ports::Ingested::Upto(40)));
    assert_eq!(sent(&cloud_out(&mut cloud), 1), [golden("v1", "ack")], "and no credit");
    cloud.on_commands(T, Some(&rows()[..3]));
    let out = cloud_out(&mut cloud);
    assert_eq!(sent(&out, CONTROL), [golden("v1", "commands")]);
    cloud.on_frame(T, CONTROL, golden("v1", "commands_ack"));
    let out = cloud_out(&mut cloud);
    assert!(out.iter().any(|out| matches!(out, cloud::Out::CommandsAcknowledged(6))), "{out:?}");
    // What it has never heard of is not said to it, and not taken from it.
    cloud.on_frame(T, CONTROL, Body::Ping(Ping { number: 1 }));
    let out = cloud_out(&mut cloud);
    assert!(matches!(out.last(), Some(cloud::Out::End(cloud::End::Senseless(_)))), "{out:?}");
}

/// A gateway of this release and a cloud of release 0.1.
#[test]
fn the_gateway_talks_to_a_cloud_of_release_0_1() {
    let mut edge = EdgeMachine::new(Settings::default(), start(), T);
    let out = edge_out(&mut edge);
    let Out::Send { stream: Stream::Control, body: Body::Hello(hello) } = &out[0] else { panic!("{out:?}") };
    assert!(hello.versions.contains(&1), "that cloud looks for its own version");
    edge.on_frame(T, Stream::Control, golden("v1", "welcome"));
    let out = edge_out(&mut edge);
    assert_eq!(out[0], Out::Welcomed { version: 1 });
    let Some(Out::Read(want)) = out.last() else { panic!("{out:?}") };
    assert_eq!((want.lane, want.after), (3, 4));
    assert!(out.contains(&Out::Send { stream: Stream::Lane(3), body: golden("v1", "lane") }));
    let five = rows().remove(1);
    edge.on_rows(T, *want, std::slice::from_ref(&five));
    let out = edge_out(&mut edge);
    let Out::Send { stream: Stream::Lane(3), body: Body::Rows(packed) } = &out[0] else { panic!("{out:?}") };
    assert_eq!((packed.dictionary, packed.crc32c), (0, None));
    assert_eq!(batch::unpack(packed).unwrap(), [five]);
    edge.on_frame(T, Stream::Lane(5), golden("v1", "gap"));
    let out = edge_out(&mut edge);
    assert!(!out.iter().any(|out| matches!(out, Out::End(_))), "an old hole is no news: {out:?}");
    edge.on_frame(T, Stream::Control, golden("v1", "commands"));
    let out = edge_out(&mut edge);
    assert!(out.contains(&Out::Accept(rows()[..3].to_vec())), "{out:?}");
    edge.on_accepted(6);
    let answer = Out::Send { stream: Stream::Control, body: golden("v1", "commands_ack") };
    assert_eq!(edge_out(&mut edge), [answer]);
    // It has no pings to answer, so silence is QUIC's to notice.
    assert_eq!(edge.wake_at(T), None);
    let mut edge = EdgeMachine::new(Settings::default(), start(), T);
    edge.on_frame(T, Stream::Control, golden("v1", "refused"));
    let out = edge_out(&mut edge);
    let Some(Out::End(engawa_protocol::edge::End::Refused { reason, why, retry_after })) = out.last() else {
        panic!("{out:?}")
    };
    assert!(reason.contains("restored or cloned"));
    assert_eq!((*why, *retry_after), (Why::Unknown, Some(Duration::from_secs(60))));
}

#[test]
fn the_other_frames_of_release_0_1_stay_what_they_were() {
    assert_eq!(golden("v1", "gap"), Body::Gap(Ack { mark: 3 }));
    let csr_pem = "-----BEGIN CERTIFICATE REQUEST-----\n".to_owned();
    assert_eq!(
        golden("v1", "enrol"),
        Body::Enrol(Enrol { secret: "S3CRET".into(), csr_pem, ..Enrol::default() })
    );
    let pem = "-----BEGIN CERTIFICATE-----\n";
    let enrolled = Enrolled {
        gateway: "gw".into(),
        certificate_pem: pem.into(),
        ca_pem: pem.into(),
        ..Enrolled::default()
    };
    assert_eq!(golden("v1", "enrolled"), Body::Enrolled(enrolled));
}

/// The frames of version 2, and what they say.
fn second() -> Vec<(&'static str, Body)> {
    let mark = |lane, seq| Mark { lane, seq };
    let refusal = Refusal::EdgeBehind { lane: 3, cloud: 50, edge: 20 };
    let Body::Refused(refused) = cloud::turn_away(&refusal) else { panic!("a refusal") };
    let refused = Refused { reason: "its disk was restored".into(), ..refused };
    let packed = |dictionary| Body::Rows(batch::pack(&rows(), Form::Columns { dictionary }).unwrap());
    let hello = Hello {
        versions: vec![2, 1],
        epoch: 7,
        heads: vec![mark(1, 0), mark(3, 5), mark(5, 700)],
        inbox: 2,
        release: "0.2.0".into(),
        dictionaries: vec![1],
        previous: Some(6),
    };
    let marks = vec![mark(1, 0), mark(3, 4), mark(5, 600)];
    let welcome = Welcome {
        version: 2,
        marks,
        credit: 262_144,
        dictionary: 1,
        previous: vec![mark(3, 90)],
        live: false,
        updates: false,
    };
    let rows_live = vec![LiveRow { at_micros: 1_800_000_000_000_000, body: br#"{"value":21.5}"#.to_vec() }];
    let live =
        Live { tail: "tail-1".into(), rows: rows_live, dropped: 2, ended: Some("its time is over".into()) };
    let update_ask = UpdateAsk {
        version: "1.2.0".into(),
        number: 12,
        slot: "a".into(),
        triple: "aarch64-unknown-linux-gnu".into(),
        hardware: "rpi4".into(),
        system_version: "3.0.0".into(),
        state: "idle".into(),
        floor: 11,
        last_rollout: "r7".into(),
        last_outcome: "rolled_back".into(),
        last_reason: "the PMS was lost".into(),
        system_number: 3,
        last_attempt: 0,
    };
    let update_told = UpdateTold {
        rollout: "r8".into(),
        version: "1.3.0".into(),
        number: 13,
        target: "engawa/aarch64-unknown-linux-gnu/1.3.0/manifest.json".into(),
        conditions: b"{}".to_vec(),
        ask_again_s: 3_600,
        fault: String::new(),
        now_s: 0,
        attempt: 0,
        back: false,
    };
    vec![
        ("hello", Body::Hello(hello)),
        ("welcome", Body::Welcome(welcome.clone())),
        ("refused", Body::Refused(refused)),
        ("lane", Body::Lane(Lane { lane: 3 })),
        ("rows", packed(0)),
        ("rows_dictionary_1", packed(1)),
        ("credit", Body::Credit(Credit { limit: 300_000, retry_after_ms: 1_500 })),
        ("ping", Body::Ping(Ping { number: 9 })),
        ("pong", Body::Pong(Ping { number: 9 })),
        (
            "ask_sync",
            Body::AskSync(AskSync {
                epoch: 7,
                turn: Some(Turn { number: 4, last: 77, mine: 78 }),
                rows: vec![mark(3, 5)],
            }),
        ),
        (
            "sync_standing",
            Body::SyncStanding(SyncStanding {
                epoch: Some(7),
                marks: vec![mark(3, 90)],
                prints: vec![Print {
                    lane: 3,
                    seq: 5,
                    at_micros: 1_000_005,
                    kind: "moved".into(),
                    crc32c: 9,
                }],
                connected: true,
                twin: "another box".into(),
            }),
        ),
        ("live", Body::Live(live)),
        ("welcome_live", Body::Welcome(Welcome { live: true, ..welcome.clone() })),
        ("welcome_updates", Body::Welcome(Welcome { updates: true, ..welcome })),
        ("update_ask", Body::UpdateAsk(update_ask.clone())),
        ("update_ask_again", Body::UpdateAsk(UpdateAsk { last_attempt: 2, ..update_ask })),
        ("update_told", Body::UpdateTold(update_told.clone())),
        ("update_told_back", Body::UpdateTold(UpdateTold { attempt: 3, back: true, ..update_told })),
        (
            "fetch_ask",
            Body::FetchAsk(FetchAsk { name: "metadata/2.root.json".into(), offset: 5, most: 4_096 }),
        ),
        (
            "fetch_piece",
            Body::FetchPiece(FetchPiece {
                total: 9,
                bytes: b"abcd".as_slice().into(),
                missing: false,
                fault: String::new(),
            }),
        ),
        ("skip", Body::Skip(Skip { from: 5, to: 9, reason: "kept for a day only".into() })),
    ]
}

#[test]
fn the_frames_of_version_2_stay_what_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2");
    for (name, body) in second() {
        let path = folder.join(name).with_extension("bin");
        if std::env::var("GOLDEN").is_ok_and(|what| what == "write") && !path.exists() {
            std::fs::write(&path, frame::encode(body.clone())).unwrap();
        }
        match (golden("v2", name), body) {
            // A compressor of another release may pack otherwise; what comes out counts.
            (Body::Rows(found), Body::Rows(_)) => {
                assert_eq!(batch::unpack(&found).unwrap(), rows(), "{name}")
            }
            (found, body) => assert_eq!(found, body, "{name}"),
        }
    }
}
