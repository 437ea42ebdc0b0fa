use super::*;
use crate::batch;
use crate::frame::{Lane, Rows};

const T: Duration = Duration::from_secs(100);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rows(from: u64, to: u64) -> Vec<Row> {
    let row = |seq| Row { seq, at_micros: 1, kind: "moved".into(), body: format!(r#"{{"n":{seq}}}"#).into() };
    (from..=to).map(row).collect()
}

fn packed(from: u64, to: u64) -> Body {
    Body::Rows(batch::pack(&rows(from, to), Form::Columns { dictionary: 1 }).unwrap())
}

fn hello(versions: &[u32], lanes: &[u32]) -> Body {
    Body::Hello(Hello {
        versions: versions.to_vec(),
        epoch: 7,
        heads: lanes.iter().map(|lane| Mark { lane: *lane, seq: 9 }).collect(),
        inbox: 2,
        release: "test".into(),
        dictionaries: vec![99, 1],
        previous: Some(6),
    })
}

fn outs(machine: &mut CloudMachine) -> Vec<Out> {
    std::iter::from_fn(|| machine.poll()).collect()
}

/// The frames that went out on a stream.
fn sent(out: &[Out], stream: u32) -> Vec<&Body> {
    let body = |out: &'_ Out| matches!(out, Out::Send { stream: of, .. } if *of == stream);
    out.iter()
        .filter(|out| body(out))
        .map(|out| match out {
            Out::Send { body, .. } => body,
            _ => unreachable!("filtered"),
        })
        .collect()
}

fn receives(out: &[Out], stream: u32) -> usize {
    out.iter().filter(|out| matches!(out, Out::Receive(of) if *of == stream)).count()
}

fn ended(machine: &mut CloudMachine) -> End {
    match outs(machine).pop() {
        Some(Out::End(end)) => end,
        other => panic!("not ended: {other:?}"),
    }
}

fn welcomed(versions: &[u32]) -> CloudMachine {
    let mut machine = CloudMachine::new(Settings::default(), T);
    machine.on_frame(T, CONTROL, hello(versions, &[1, 3, 5]));
    machine.on_welcome(T, Ok(Marks { present: vec![(3, 4)], previous: vec![(3, 90)] }));
    machine
}

/// Welcomed, with lane 3 on stream 1, and nothing left to do.
fn open() -> CloudMachine {
    let mut machine = welcomed(&[2, 1]);
    machine.on_open(1);
    machine.on_frame(T, 1, Body::Lane(Lane { lane: 3 }));
    outs(&mut machine);
    machine.on_commands(T, Some(&[]));
    machine
}

#[test]
fn it_greets_asks_and_welcomes() {
    let mut machine = CloudMachine::new(Settings::default(), T);
    assert!(matches!(outs(&mut machine)[..], [Out::Receive(CONTROL)]));
    assert_eq!(machine.wake_at(), Some(T + s(10)));
    machine.on_frame(T, CONTROL, hello(&[3, 2, 1], &[1, 3, 5]));
    let out = outs(&mut machine);
    let [Out::Hello(greeting)] = &out[..] else { panic!("{out:?}") };
    let heads = vec![(1, 9), (3, 9), (5, 9)];
    let release = "test".to_owned();
    assert_eq!(*greeting, Greeting { epoch: 7, heads, inbox: 2, release, previous: Some(6) });
    assert_eq!(machine.wake_at(), None, "the store has its own patience");
    machine.on_commands_changed(T);
    assert!(outs(&mut machine).is_empty(), "not yet");
    machine.on_welcome(T, Ok(Marks { present: vec![(3, 4)], previous: vec![(3, 90)] }));
    let out = outs(&mut machine);
    let Out::Send { stream: CONTROL, body: Body::Welcome(welcome) } = &out[0] else { panic!("{out:?}") };
    let marks = vec![Mark { lane: 3, seq: 4 }];
    let previous = vec![Mark { lane: 3, seq: 90 }];
    assert_eq!(
        *welcome,
        Welcome {
            version: 2,
            marks,
            credit: 256 << 10,
            dictionary: 1,
            previous,
            live: false,
            updates: false
        }
    );
    assert!(matches!(
        out[1..],
        [Out::Receive(CONTROL), Out::CommandsAcknowledged(2), Out::Commands { after: 2, max: 64 }]
    ));
    machine.on_welcome(T, Ok(Marks::default()));
    assert!(outs(&mut machine).is_empty(), "once is enough");
    let mut old = welcomed(&[1]);
    let Some(Out::Send { body: Body::Welcome(welcome), .. }) = outs(&mut old).into_iter().nth(2) else {
        panic!()
    };
    assert_eq!((welcome.version, welcome.credit, welcome.dictionary, welcome.previous), (1, 0, 0, vec![]));
}

#[test]
fn a_hello_is_waited_for_so_long_and_no_longer() {
    let mut machine = CloudMachine::new(Settings::default(), T);
    outs(&mut machine);
    machine.on_wake(T + s(9));
    assert!(outs(&mut machine).is_empty());
    machine.on_wake(T + s(10));
    assert!(matches!(ended(&mut machine), End::Silent(_)));
    assert_eq!(machine.wake_at(), None);
}

#[test]
fn a_hello_that_can_not_be_ends_it() {
    let most: Vec<u32> = (1..=16).collect();
    let many: Vec<u32> = (1..=17).collect();
    let cases: [(Body, bool); 6] = [
        (hello(&[2], &most), true),
        (hello(&[2], &many), false),
        (hello(&[2], &[300]), false),
        (hello(&[2], &[3, 3]), false),
        (hello(&[9], &[3]), false),
        (Body::Ping(Ping { number: 1 }), false),
    ];
    for (body, good) in cases {
        let mut machine = CloudMachine::new(Settings::default(), T);
        machine.on_frame(T, CONTROL, body.clone());
        let out = outs(&mut machine);
        let ended = matches!(out.last(), Some(Out::End(End::Senseless(_))));
        assert_eq!(ended, !good, "{body:?}: {out:?}");
    }
    let mut machine = CloudMachine::new(Settings::default(), T);
    machine.on_frame(T, CONTROL, hello(&[9], &[3]));
    let out = outs(&mut machine);
    let told = sent(&out, CONTROL);
    let [Body::Refused(refused)] = told[..] else { panic!("{out:?}") };
    assert_eq!(refused.why(), Why::Version);
    assert!(refused.reason.contains("[9]") && refused.retry_after_s == 60, "{refused:?}");
    for stream in [CONTROL, 1] {
        let mut machine = CloudMachine::new(Settings::default(), T);
        machine.on_frame(T, CONTROL, hello(&[2], &[3]));
        machine.on_frame(T, stream, hello(&[2], &[3]));
        assert!(matches!(ended(&mut machine), End::Senseless(_)), "before the welcome");
        let mut machine = CloudMachine::new(Settings::default(), T);
        machine.on_open(1);
        assert!(matches!(ended(&mut machine), End::Senseless(_)));
    }
    let mut machine = CloudMachine::new(Settings::default(), T);
    machine.on_frame(T, 1, hello(&[2], &[3]));
    assert!(matches!(ended(&mut machine), End::Senseless(_)), "not on the control stream");
}

fn fenced() -> Refusal {
    Refusal::Trust(crate::trust::Distrust::Fenced { gateway: "gw".into(), why: "two boxes came".into() })
}

#[test]
fn who_may_not_talk_is_told_why_and_when() {
    let cases = [
        (Refusal::Unavailable, Why::Unavailable, 10),
        (Refusal::Unknown("gw".into()), Why::NotAdmitted, 60),
        (Refusal::EdgeBehind { lane: 3, cloud: 9, edge: 4 }, Why::Behind, 60),
        (fenced(), Why::Twin, 60),
        (Refusal::BadClaim, Why::Unknown, 60),
    ];
    for (refusal, why, retry_after_s) in cases {
        let mut machine = CloudMachine::new(Settings::default(), T);
        machine.on_frame(T, CONTROL, hello(&[2], &[3]));
        machine.on_welcome(T, Err(refusal.clone()));
        let out = outs(&mut machine);
        let wanted = Refused { reason: refusal.to_string(), retry_after_s, why: why.into() };
        assert_eq!(sent(&out, CONTROL), [&Body::Refused(wanted)]);
        assert!(matches!(out.last(), Some(Out::End(End::Refused(said))) if *said == refusal));
    }
    let mut machine = open();
    machine.on_refused(fenced());
    let out = outs(&mut machine);
    assert!(matches!(sent(&out, CONTROL)[..], [Body::Refused(_)]), "also in the middle");
    assert!(matches!(out.last(), Some(Out::End(End::Refused(_)))));
    machine.on_refused(Refusal::Unavailable);
    assert!(outs(&mut machine).is_empty(), "the first reason counts");
}

#[test]
fn rows_are_stored_before_they_are_acknowledged() {
    let mut machine = open();
    machine.on_frame(T, 1, packed(5, 8));
    let out = outs(&mut machine);
    assert!(matches!(&out[0], Out::Ingest { stream: 1, lane: 3, rows: found } if *found == rows(5, 8)));
    assert_eq!((out.len(), receives(&out, 1)), (2, 1), "and the next frame may come meanwhile");
    machine.on_frame(T, 1, packed(9, 10));
    machine.on_frame(T, 1, packed(11, 12));
    let out = outs(&mut machine);
    assert_eq!((out.len(), receives(&out, 1)), (2, 2), "one batch at a time");
    machine.on_ingested(T, 1, Some(Ingested::Upto(8)));
    let out = outs(&mut machine);
    assert_eq!(sent(&out, 1)[0], &Body::Ack(Ack { mark: 8 }));
    let together =
        out.iter().any(|out| matches!(out, Out::Ingest { rows: found, .. } if *found == rows(9, 12)));
    assert!(together, "what follows goes together: {out:?}");
    machine.on_ingested(T, 1, Some(Ingested::Upto(12)));
    assert_eq!(sent(&outs(&mut machine), 1)[0], &Body::Ack(Ack { mark: 12 }));
    machine.on_ingested(T, 1, Some(Ingested::Upto(12)));
    machine.on_ingested(T, 9, Some(Ingested::Upto(12)));
}

#[test]
fn frames_that_do_not_follow_go_one_by_one() {
    let mut machine = open();
    machine.on_frame(T, 1, packed(5, 6));
    outs(&mut machine);
    for (from, to) in [(7, 8), (8, 9), (10, 10)] {
        machine.on_frame(T, 1, packed(from, to));
    }
    machine.on_frame(T, 1, Body::Skip(crate::frame::Skip { from: 11, to: 20, reason: "x".into() }));
    machine.on_frame(T, 1, packed(21, 21));
    let mut seen = Vec::new();
    for mark in [6, 8, 9, 10, 20, 21] {
        machine.on_ingested(T, 1, Some(Ingested::Upto(mark)));
        for out in outs(&mut machine) {
            match out {
                Out::Ingest { rows, .. } => seen.push((rows[0].seq, rows[rows.len() - 1].seq)),
                Out::Skip { rows, skip, lane: 3, stream: 1 } => {
                    seen.extend(rows.first().map(|first| (first.seq, skip.from - 1)));
                    seen.push((skip.from, skip.to));
                }
                _ => {}
            }
        }
    }
    assert_eq!(seen, [(7, 8), (8, 10), (11, 20), (21, 21)]);
}

#[test]
fn what_goes_together_is_bounded() {
    let mut machine = open();
    machine.on_frame(T, 1, packed(5, 5));
    // Half the most rows, twice, and one more.
    let half = batch::MAX_ROWS as u64 / 2;
    machine.on_frame(T, 1, packed(6, 5 + half));
    machine.on_frame(T, 1, packed(6 + half, 5 + 2 * half));
    machine.on_frame(T, 1, packed(6 + 2 * half, 6 + 2 * half));
    outs(&mut machine);
    machine.on_ingested(T, 1, Some(Ingested::Upto(5)));
    let most = outs(&mut machine).into_iter().find_map(|out| match out {
        Out::Ingest { rows, .. } => Some(rows.len()),
        _ => None,
    });
    assert_eq!(most, Some(batch::MAX_ROWS));
    // And bytes: three batches of half a megabyte before compression.
    let mut machine = open();
    let big = |seq| {
        let row = Row { body: vec![b'x'; 500_000], ..rows(seq, seq).remove(0) };
        Body::Rows(batch::pack(&[row], Form::Columns { dictionary: 0 }).unwrap())
    };
    machine.on_frame(T, 1, packed(5, 5));
    for seq in 6..=8 {
        machine.on_frame(T, 1, big(seq));
    }
    outs(&mut machine);
    machine.on_ingested(T, 1, Some(Ingested::Upto(5)));
    let found = outs(&mut machine).into_iter().find_map(|out| match out {
        Out::Ingest { rows, .. } => Some(rows.len()),
        _ => None,
    });
    assert_eq!(found, Some(2));
}

#[test]
fn one_hole_is_told_once() {
    let mut machine = open();
    machine.on_frame(T, 1, packed(7, 8));
    machine.on_frame(T, 1, packed(9, 10));
    outs(&mut machine);
    machine.on_ingested(T, 1, Some(Ingested::Gap(4)));
    let out = outs(&mut machine);
    let told = sent(&out, 1);
    assert_eq!(told[0], &Body::Gap(Ack { mark: 4 }));
    assert!(matches!(told[1..], [Body::Credit(_)]), "and what was dropped is free again: {told:?}");
    assert!(!out.iter().any(|out| matches!(out, Out::Ingest { .. })), "{out:?}");
    // What comes behind the hole was sent before the gateway heard of it.
    machine.on_frame(T, 1, packed(11, 12));
    machine.on_frame(T, 1, Body::Skip(crate::frame::Skip { from: 13, to: 14, reason: "x".into() }));
    let out = outs(&mut machine);
    assert_eq!((out.len(), receives(&out, 1)), (2, 2), "{out:?}");
    machine.on_frame(T, 1, packed(5, 6));
    let out = outs(&mut machine);
    assert!(matches!(&out[0], Out::Ingest { rows: found, .. } if *found == rows(5, 6)), "{out:?}");
    machine.on_ingested(T, 1, Some(Ingested::Upto(6)));
    machine.on_frame(T, 1, packed(7, 8));
    assert!(outs(&mut machine).iter().any(|out| matches!(out, Out::Ingest { .. })), "the hole is closed");
}

#[test]
fn a_gap_is_checked_and_cut_to_size() {
    let skip = |from, to, reason: &str| Body::Skip(crate::frame::Skip { from, to, reason: reason.into() });
    for (from, to) in [(0, 3), (5, 4), (5, u64::MAX), (5, 1 << 63)] {
        let mut machine = open();
        machine.on_frame(T, 1, skip(from, to, "x"));
        assert!(matches!(ended(&mut machine), End::Senseless(CloudSessionError::Skip { lane: 3, .. })));
    }
    for (from, to) in [(5, 5), (1, 3), (5, i64::MAX.cast_unsigned())] {
        let mut machine = open();
        machine.on_frame(T, 1, skip(from, to, "kept for a day"));
        let out = outs(&mut machine);
        let wanted = Skip { from, to, reason: "kept for a day".into() };
        let Out::Skip { stream: 1, lane: 3, rows, skip } = &out[0] else { panic!("{out:?}") };
        assert_eq!((rows.len(), skip), (0, &wanted));
    }
    let mut machine = open();
    machine.on_frame(T, 1, skip(5, 6, &"ä".repeat(200)));
    let out = outs(&mut machine);
    assert!(matches!(&out[0], Out::Skip { skip, .. } if skip.reason.len() == 300), "{out:?}");
    let mut machine = open();
    machine.on_frame(T, 1, skip(5, 6, &format!("x{}", "ä".repeat(200))));
    assert!(matches!(&outs(&mut machine)[0], Out::Skip { skip, .. } if skip.reason.len() == 299));
    let mut machine = welcomed(&[1]);
    machine.on_open(1);
    machine.on_frame(T, 1, Body::Lane(Lane { lane: 3 }));
    machine.on_frame(T, 1, skip(5, 6, "x"));
    assert!(matches!(ended(&mut machine), End::Senseless(_)), "release 0.1 has no gaps");
}

#[test]
fn a_gap_goes_with_the_rows_before_it() {
    let skip = |from, to| Body::Skip(crate::frame::Skip { from, to, reason: "thinned".into() });
    let mut machine = open();
    // The store works at the first; what comes meanwhile goes together where it follows.
    for body in [packed(5, 6), packed(7, 8), packed(9, 9), skip(10, 90), packed(91, 92), skip(95, 96)] {
        machine.on_frame(T, 1, body);
    }
    let numbers = |rows: &[Row]| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    let out = outs(&mut machine);
    assert!(matches!(&out[0], Out::Ingest { rows, .. } if numbers(rows) == [5, 6]), "{out:?}");
    machine.on_ingested(T, 1, Some(Ingested::Upto(6)));
    let out = outs(&mut machine);
    let together = out.iter().find_map(|out| match out {
        Out::Skip { rows, skip, .. } => Some((numbers(rows), skip.from, skip.to)),
        _ => None,
    });
    assert_eq!(together, Some((vec![7, 8, 9], 10, 90)), "{out:?}");
    machine.on_ingested(T, 1, Some(Ingested::Upto(90)));
    let out = outs(&mut machine);
    assert!(out.iter().any(|out| matches!(out, Out::Send { body: Body::Ack(Ack { mark: 90 }), .. })));
    assert!(out.iter().any(|out| matches!(out, Out::Ingest { rows, .. } if numbers(rows) == [91, 92])));
    machine.on_ingested(T, 1, Some(Ingested::Upto(92)));
    // One that does not follow goes alone, and the store finds the hole.
    let out = outs(&mut machine);
    assert!(
        out.iter()
            .any(|out| matches!(out, Out::Skip { rows, skip, .. } if rows.is_empty() && skip.from == 95)),
        "{out:?}"
    );
    machine.on_ingested(T, 1, Some(Ingested::Gap(92)));
    assert!(
        outs(&mut machine)
            .iter()
            .any(|out| matches!(out, Out::Send { body: Body::Gap(Ack { mark: 92 }), .. }))
    );
}

#[test]
fn streams_and_lanes_are_counted() {
    let mut machine = welcomed(&[2]);
    for stream in 1..=16 {
        machine.on_open(stream);
    }
    let out = outs(&mut machine);
    assert!((1..=16).all(|stream| receives(&out, stream) == 1));
    machine.on_open(17);
    assert!(matches!(ended(&mut machine), End::Senseless(CloudSessionError::Lane(17))));
    machine.on_open(18);
    assert!(outs(&mut machine).is_empty());
    // Of these the named ones count too.
    let mut machine = open();
    for stream in 2..=16 {
        machine.on_open(stream);
    }
    assert_eq!(outs(&mut machine).len(), 15);
    machine.on_open(17);
    assert!(matches!(ended(&mut machine), End::Senseless(_)));
    // A lane is one of the hello, and is there once.
    for lane in [3, 4, 300] {
        let mut machine = open();
        machine.on_open(2);
        machine.on_frame(T, 2, Body::Lane(Lane { lane }));
        assert!(
            matches!(ended(&mut machine), End::Senseless(CloudSessionError::Lane(found)) if found == lane)
        );
    }
    let mut machine = open();
    machine.on_open(2);
    machine.on_frame(T, 2, packed(1, 2));
    assert!(matches!(ended(&mut machine), End::Senseless(CloudSessionError::Unexpected { .. })));
    let mut machine = open();
    machine.on_frame(T, 9, packed(1, 2));
    assert!(matches!(ended(&mut machine), End::Senseless(CloudSessionError::Lane(9))));
    let mut machine = open();
    machine.on_open(2);
    machine.on_frame(T, 2, Body::Lane(Lane { lane: 5 }));
    machine.on_frame(T, 2, packed(1, 2));
    assert!(outs(&mut machine).iter().any(|out| matches!(out, Out::Ingest { stream: 2, lane: 5, .. })));
}

#[test]
fn what_waits_is_bounded_whatever_the_gateway_does() {
    // A peer of release 0.1 knows no credits: the next frame stays on the line.
    let mut machine = welcomed(&[1]);
    machine.on_open(1);
    machine.on_frame(T, 1, Body::Lane(Lane { lane: 3 }));
    outs(&mut machine);
    let small = || Body::Rows(batch::pack(&rows(5, 5), Form::Plain).unwrap());
    for count in 1..=64 {
        machine.on_frame(T, 1, small());
        assert_eq!(receives(&outs(&mut machine), 1), usize::from(count < 64), "{count}");
    }
    machine.on_ingested(T, 1, Some(Ingested::Upto(5)));
    assert_eq!(receives(&outs(&mut machine), 1), 1, "there is room again");
    let mut machine = welcomed(&[1]);
    machine.on_open(1);
    machine.on_frame(T, 1, Body::Lane(Lane { lane: 3 }));
    machine.on_frame(T, 1, small());
    outs(&mut machine);
    // Never unpacked while the first one is at the store.
    let large =
        || Body::Rows(Rows { zstd: vec![7; 300_000].into(), plain_length: 9, dictionary: 0, crc32c: None });
    machine.on_frame(T, 1, large());
    assert_eq!(receives(&outs(&mut machine), 1), 1);
    machine.on_frame(T, 1, large());
    assert_eq!(receives(&outs(&mut machine), 1), 0, "more than half a megabyte waits");
}

#[test]
fn credits_are_given_and_kept_to() {
    let mut machine = open();
    let large = |seq| {
        let mut state = seq;
        let noise = std::iter::repeat_with(move || {
            state =
                u64::wrapping_mul(state, 6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        let row = Row { body: noise.take(130_000).collect(), ..rows(seq, seq).remove(0) };
        Body::Rows(batch::pack(&[row], Form::Columns { dictionary: 0 }).unwrap())
    };
    machine.on_frame(T, 1, large(5));
    machine.on_frame(T, 1, large(6));
    machine.on_frame(T, 1, large(7));
    outs(&mut machine);
    machine.on_ingested(T + s(2), 1, Some(Ingested::Upto(5)));
    let out = outs(&mut machine);
    assert_eq!(sent(&out, 1).len(), 1, "a slow store gives nothing: {out:?}");
    machine.on_frame(T, 1, large(8));
    let end = ended(&mut machine);
    assert!(matches!(end, End::Senseless(CloudSessionError::Credit { lane: 3 })), "{end:?}");
    let mut machine = open();
    machine.on_frame(T, 1, large(5));
    outs(&mut machine);
    machine.on_ingested(T, 1, Some(Ingested::Upto(5)));
    let out = outs(&mut machine);
    let [_, Body::Credit(credit)] = sent(&out, 1)[..] else { panic!("{out:?}") };
    assert!(credit.limit > 600_000 && credit.retry_after_ms == 0, "a quick one opens the window: {credit:?}");
}

#[test]
fn a_busy_store_lets_the_lane_rest_and_a_failing_one_ends_it() {
    let mut machine = open();
    machine.on_frame(T, 1, packed(5, 6));
    outs(&mut machine);
    machine.on_ingested(T, 1, Some(Ingested::Busy { mark: 4, pause: s(3) }));
    let out = outs(&mut machine);
    let [Body::Credit(credit)] = sent(&out, 1)[..] else { panic!("{out:?}") };
    assert_eq!(credit.retry_after_ms, 3_000);
    assert_eq!(machine.wake_at(), Some(T + s(3)));
    machine.on_wake(T + s(2));
    assert!(outs(&mut machine).is_empty());
    machine.on_wake(T + s(3));
    assert!(matches!(outs(&mut machine)[..], [Out::Ingest { .. }]), "the same rows");
    machine.on_ingested(T + s(3), 1, Some(Ingested::Busy { mark: 4, pause: s(3_600) }));
    let out = outs(&mut machine);
    assert!(matches!(sent(&out, 1)[..], [Body::Credit(Credit { retry_after_ms: 60_000, .. })]));
    machine.on_frame(T + s(60), CONTROL, Body::Pong(Ping { number: 1 }));
    machine.on_wake(T + s(63));
    let mut now = T + s(63);
    // Failures double the rest: 0.5 s to 8 s, and the sixth is the last. Being busy counts for nothing.
    for (failure, rest_ms) in [500, 1_000, 2_000, 4_000, 8_000].into_iter().enumerate() {
        outs(&mut machine);
        machine.on_ingested(now, 1, None);
        let out = outs(&mut machine);
        let [Body::Credit(credit)] = sent(&out, 1)[..] else { panic!("{failure}: {out:?}") };
        assert_eq!(credit.retry_after_ms, rest_ms);
        now += Duration::from_millis(u64::from(rest_ms));
        machine.on_wake(now);
    }
    outs(&mut machine);
    machine.on_ingested(now, 1, None);
    assert!(matches!(ended(&mut machine), End::Store));
    // A success forgets failures, and a peer of release 0.1 is told nothing of them.
    let mut machine = welcomed(&[1]);
    machine.on_open(1);
    machine.on_frame(T, 1, Body::Lane(Lane { lane: 3 }));
    for round in 0..20 {
        let now = T + s(round * 20);
        machine.on_frame(now, 1, Body::Rows(batch::pack(&rows(5, 5), Form::Plain).unwrap()));
        machine.on_ingested(now, 1, None);
        machine.on_wake(now + s(1));
        machine.on_ingested(now + s(1), 1, Some(Ingested::Upto(5)));
    }
    let out = outs(&mut machine);
    assert!(!out.iter().any(|out| matches!(out, Out::End(_))));
    assert!(sent(&out, 1).iter().all(|body| matches!(body, Body::Ack(_))), "{out:?}");
}

#[test]
fn a_batch_that_can_not_be_read_ends_it() {
    let mut machine = open();
    let garbage = Rows { zstd: vec![1, 2, 3].into(), plain_length: 9, dictionary: 0, crc32c: None };
    machine.on_frame(T, 1, Body::Rows(garbage));
    assert!(matches!(ended(&mut machine), End::Senseless(CloudSessionError::Batch { lane: 3, .. })));
    for body in [Body::Ack(Ack { mark: 1 }), Body::Lane(Lane { lane: 3 })] {
        let mut machine = open();
        machine.on_frame(T, 1, body);
        assert!(matches!(ended(&mut machine), End::Senseless(_)));
    }
    let mut machine = open();
    machine.on_finished(1);
    assert!(outs(&mut machine).is_empty(), "a lane may end");
    machine.on_finished(CONTROL);
    assert!(matches!(ended(&mut machine), End::Senseless(_)));
    machine.on_frame(T, 1, packed(5, 6));
    machine.on_ingested(T, 1, None);
    machine.on_commands(T, Some(&rows(3, 3)));
    machine.on_commands_changed(T);
    machine.on_wake(T + s(500));
    assert!(outs(&mut machine).is_empty(), "it is over");
}

fn commands(out: &[Out]) -> Vec<u64> {
    let found = sent(out, CONTROL).into_iter().find_map(|body| match body {
        Body::Commands(packed) => Some(batch::unpack(packed).unwrap().iter().map(|row| row.seq).collect()),
        _ => None,
    });
    found.unwrap_or_default()
}

#[test]
fn commands_go_one_frame_at_a_time() {
    let mut machine = welcomed(&[2]);
    outs(&mut machine);
    machine.on_commands(T, Some(&rows(3, 5)));
    assert_eq!(commands(&outs(&mut machine)), [3, 4, 5]);
    machine.on_commands_changed(T);
    assert!(outs(&mut machine).is_empty(), "after the answer");
    let ack = |mark| Body::CommandsAck(Ack { mark });
    machine.on_frame(T, CONTROL, ack(4));
    let out = outs(&mut machine);
    assert!(matches!(
        out[..],
        [Out::CommandsAcknowledged(4), Out::Commands { after: 4, .. }, Out::Receive(CONTROL)]
    ));
    machine.on_commands(T, Some(&rows(5, 5)));
    outs(&mut machine);
    // A mark above what was given is believed only so far.
    machine.on_frame(T, CONTROL, ack(99));
    let out = outs(&mut machine);
    assert!(matches!(out[..2], [Out::CommandsAcknowledged(5), Out::Commands { after: 5, .. }]), "{out:?}");
    machine.on_commands(T, Some(&[]));
    assert_eq!(machine.wake_at(), Some(T + s(5)));
    machine.on_commands_changed(T + s(1));
    assert!(matches!(outs(&mut machine)[..], [Out::Commands { after: 5, .. }]));
    // What changes while the store looks is looked for again.
    machine.on_commands_changed(T + s(1));
    machine.on_commands(T + s(1), Some(&[]));
    assert!(matches!(outs(&mut machine)[..], [Out::Commands { after: 5, .. }]));
    machine.on_commands(T + s(1), None);
    machine.on_wake(T + s(5));
    assert!(outs(&mut machine).is_empty());
    machine.on_wake(T + s(6));
    assert!(matches!(outs(&mut machine)[..], [Out::Commands { after: 5, .. }]));
    machine.on_frame(T, CONTROL, ack(6));
    assert!(matches!(ended(&mut machine), End::Senseless(_)), "nothing was given");
}

#[test]
fn a_gateway_that_takes_none_gets_them_again_after_a_while() {
    let mut machine = welcomed(&[2]);
    outs(&mut machine);
    machine.on_commands(T, Some(&rows(3, 4)));
    machine.on_frame(T, CONTROL, Body::CommandsAck(Ack { mark: 2 }));
    let out = outs(&mut machine);
    assert!(!out.iter().any(|out| matches!(out, Out::Commands { .. })), "{out:?}");
    assert_eq!(machine.wake_at(), Some(T + s(5)));
    machine.on_wake(T + s(5));
    assert!(matches!(outs(&mut machine)[..], [Out::Commands { after: 2, .. }]));
    // Numbers leap where the cloud was restored: a frame ends before the leap.
    let mut leap = rows(3, 4);
    leap.extend(rows(9, 9));
    machine.on_commands(T, Some(&leap));
    assert_eq!(commands(&outs(&mut machine)), [3, 4]);
    machine.on_frame(T, CONTROL, Body::CommandsAck(Ack { mark: 4 }));
    outs(&mut machine);
    machine.on_commands(T, Some(&leap[2..]));
    assert_eq!(commands(&outs(&mut machine)), [9]);
    machine.on_commands(T, Some(&rows(10, 10)));
    assert!(outs(&mut machine).is_empty(), "nobody asked");
    let mut machine = welcomed(&[2]);
    outs(&mut machine);
    let huge = Row { body: vec![7; batch::MAX_PLAIN], ..rows(3, 3).remove(0) };
    machine.on_commands(T, Some(&[huge]));
    assert!(matches!(ended(&mut machine), End::Unsendable(_)));
}

#[test]
fn silence_is_asked_then_given_up() {
    let mut machine = open();
    let mut pings = Vec::new();
    for second in 0..=60 {
        machine.on_wake(T + s(second));
        for out in outs(&mut machine) {
            match out {
                Out::Send { body: Body::Ping(_), .. } => pings.push(second),
                Out::End(End::Silent(silence)) => assert_eq!((second, silence), (60, s(60))),
                Out::Commands { .. } => machine.on_commands(T + s(second), Some(&[])),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(pings, [15, 30, 45]);
    let mut machine = open();
    machine.on_frame(T, CONTROL, Body::Ping(Ping { number: 5 }));
    let out = outs(&mut machine);
    assert_eq!(sent(&out, CONTROL), [&Body::Pong(Ping { number: 5 })]);
    assert_eq!(receives(&out, CONTROL), 1);
    for number in 0..70 {
        machine.on_frame(T, CONTROL, Body::Ping(Ping { number }));
    }
    assert!(matches!(ended(&mut machine), End::Senseless(_)), "a flood");
    for body in [Body::Ping(Ping { number: 1 }), Body::Pong(Ping { number: 1 })] {
        let mut machine = welcomed(&[1]);
        machine.on_frame(T, CONTROL, body);
        assert!(matches!(ended(&mut machine), End::Senseless(_)), "not in release 0.1");
    }
    let mut machine = open();
    machine.on_frame(T, CONTROL, packed(1, 2));
    assert!(matches!(ended(&mut machine), End::Senseless(_)));
    // A gateway of release 0.1 sends no pings, so that silence says nothing.
    let mut machine = welcomed(&[1]);
    outs(&mut machine);
    machine.on_commands(T, Some(&[]));
    machine.on_wake(T + s(500));
    assert!(matches!(outs(&mut machine)[..], [Out::Commands { .. }]));
}

#[test]
fn silence_is_looked_for_while_commands_are_under_way_too() {
    for (versions, pulse) in [(&[2, 1][..], true), (&[1][..], false)] {
        let mut machine = welcomed(versions);
        outs(&mut machine);
        machine.on_commands(T, Some(&rows(3, 4)));
        // No look is due before they are answered.
        let keep_alive = Settings::default().liveness.keep_alive;
        assert_eq!(machine.wake_at(), pulse.then_some(T + keep_alive), "{versions:?}");
    }
}

#[test]
fn live_values_are_passed_on_from_one_stream_of_their_own() {
    let live = |n: usize| {
        let rows = vec![crate::live::LiveRow { at_micros: 1, body: b"{}".to_vec() }; n];
        Body::Live(Live { tail: "t".into(), rows, dropped: 0, ended: None })
    };
    let passed = |machine: &mut CloudMachine| {
        let out: Vec<Out> = std::iter::from_fn(|| machine.poll()).collect();
        assert!(!out.iter().any(|out| matches!(out, Out::End(_))), "{out:?}");
        let taken = sent(&out, 1).iter().filter(|body| matches!(body, Body::Ack(_))).count();
        let passed = out.iter().filter(|out| matches!(out, Out::Live(_))).count();
        assert_eq!(taken, passed, "each is answered");
        passed
    };
    let open = |live| {
        let mut machine = CloudMachine::new(Settings { live, ..Settings::default() }, T);
        machine.on_frame(T, CONTROL, hello(&[2], &[]));
        machine.on_welcome(T, Ok(Marks::default()));
        while machine.poll().is_some() {}
        machine
    };
    let mut machine = open(true);
    machine.on_open(1);
    machine.on_frame(T, 1, live(1));
    machine.on_frame(T, 1, live(2));
    assert_eq!(passed(&mut machine), 2);
    // A second such stream, another frame on it, a frame that is too large, and a cloud that takes none.
    let dropped = |mut machine: CloudMachine, stream, body| {
        machine.on_frame(T, stream, body);
        let end = std::iter::from_fn(|| machine.poll()).any(|out| matches!(out, Out::End(End::Senseless(_))));
        assert!(end);
    };
    machine.on_open(2);
    dropped(machine, 2, live(1));
    for body in [Body::Ack(Ack { mark: 1 }), live(9_000)] {
        let mut machine = open(true);
        machine.on_open(1);
        machine.on_frame(T, 1, live(1));
        dropped(machine, 1, body);
    }
    let mut machine = open(false);
    machine.on_open(1);
    dropped(machine, 1, live(1));
}
