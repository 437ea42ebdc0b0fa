use super::*;
use crate::frame::{Credit, Mark};
use crate::ports::Origin;

const T: Duration = Duration::from_secs(100);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn row(seq: u64) -> Row {
    Row { seq, at_micros: 1, kind: "moved".into(), body: format!(r#"{{"n":{seq}}}"#).into_bytes() }
}

/// A row that no compressor makes small.
fn noise(seq: u64, length: usize) -> Row {
    let mut state = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let body = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    Row { body: body.take(length).collect(), ..row(seq) }
}

fn rows(from: u64, to: u64) -> Vec<Row> {
    (from..=to).map(row).collect()
}

fn start() -> Start {
    let heads = vec![(1, 0), (3, 10), (5, 1_000)];
    Start { epoch: 7, heads, inbox: 2, release: "test".into(), previous: None }
}

fn outs(machine: &mut EdgeMachine) -> Vec<Out> {
    std::iter::from_fn(|| machine.poll(T)).collect()
}

fn welcome(version: u32, marks: &[(u32, u64)]) -> Welcome {
    let marks = marks.iter().map(|(lane, seq)| Mark { lane: *lane, seq: *seq }).collect();
    Welcome { version, marks, credit: 1 << 20, dictionary: 1, previous: vec![], live: false, updates: false }
}

fn open_with(start: Start, welcome: Welcome) -> EdgeMachine {
    let mut machine = EdgeMachine::new(Settings::default(), start, T);
    machine.on_frame(T, Stream::Control, Body::Welcome(welcome));
    machine
}

/// Welcomed, with lane 3 at 4, and everything done but the first read.
fn open() -> (EdgeMachine, Want) {
    let mut machine = open_with(start(), welcome(2, &[(3, 4)]));
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!("nothing to read") };
    (machine, want)
}

fn ended(machine: &mut EdgeMachine) -> End {
    match outs(machine).pop() {
        Some(Out::End(end)) => end,
        other => panic!("not ended: {other:?}"),
    }
}

fn gone(reason: &str, told: bool) -> Option<Gone> {
    Some(Gone { reason: reason.to_owned(), told })
}

fn shipped(out: &Out) -> Vec<u64> {
    match out {
        Out::Send { body: Body::Rows(packed), .. } => {
            batch::unpack(packed).unwrap().iter().map(|row| row.seq).collect()
        }
        other => panic!("no rows: {other:?}"),
    }
}

#[test]
fn it_greets_opens_its_lanes_and_tells_the_journal() {
    let mut machine = EdgeMachine::new(Settings::default(), start(), T);
    let out = outs(&mut machine);
    let [Out::Send { stream: Stream::Control, body: Body::Hello(hello) }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((hello.versions.as_slice(), hello.epoch, hello.inbox), (&VERSIONS[..], 7, 2));
    assert_eq!((hello.dictionaries.clone(), hello.previous), (dictionary::known(), None));
    assert!(!machine.is_at_rest());
    // A lane that this release does not have, and one that can't be.
    let marks = welcome(2, &[(3, 4), (9, 50), (300, 50)]);
    machine.on_frame(T, Stream::Control, Body::Welcome(marks));
    let out = outs(&mut machine);
    let lane =
        |lane| Out::Send { stream: Stream::Lane(lane), body: Body::Lane(frame::Lane { lane: lane.into() }) };
    let want = [
        Out::Welcomed { version: 2 },
        Out::Open(1),
        lane(1),
        Out::Open(3),
        lane(3),
        Out::Open(5),
        lane(5),
        Out::Acknowledged { lane: 3, mark: 4 },
    ];
    assert_eq!(out[..8], want);
    assert!(matches!(&out[8..], [Out::Read(Want { lane: 3, after: 4, max_rows: 256, max_bytes: 65_536 })]));
}

#[test]
fn urgent_lanes_go_first_and_one_read_at_a_time() {
    let (mut machine, want) = open();
    machine.on_written(1, 1);
    assert_eq!(outs(&mut machine), []);
    machine.on_rows(T, want, &rows(5, 10));
    let out = outs(&mut machine);
    assert_eq!(shipped(&out[0]), [5, 6, 7, 8, 9, 10]);
    let Out::Read(want) = out[1] else { panic!("{out:?}") };
    assert_eq!((want.lane, want.after), (1, 0), "the alarm goes before everything");
    machine.on_rows(T, want, &[row(1)]);
    let out = outs(&mut machine);
    assert!(matches!(out[1], Out::Read(Want { lane: 5, after: 0, .. })), "{out:?}");
    machine.on_written(3, 9);
    assert!(matches!(outs(&mut machine)[..], []), "a head never goes back");
}

#[test]
fn bulk_is_bounded_until_it_is_acknowledged_and_may_be_held() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(5, 10));
    let (mut after, mut last) = (0, 0);
    while let Some(Out::Read(want)) = outs(&mut machine).pop() {
        assert_eq!((want.lane, want.after), (5, after));
        let many: Vec<Row> = (after + 1..=after + 8).map(|seq| noise(seq, 4_000)).collect();
        machine.on_rows(T, want, &many);
        // Frames of bulk are no longer than 16 KiB: four such rows, the first batch has eight.
        last = after;
        after += 4;
        assert!(after < 200, "never full");
    }
    assert_eq!(after, 20, "five frames of nearly 16 KiB are the first above 64 KiB");
    machine.on_frame(T + s(1), Stream::Lane(5), Body::Ack(Ack { mark: last }));
    let out = outs(&mut machine);
    assert_eq!(out[0], Out::Acknowledged { lane: 5, mark: 16 });
    assert!(matches!(out[1], Out::Read(Want { lane: 5, after: 20, .. })));
    machine.on_frame(T + s(1), Stream::Lane(5), Body::Ack(Ack { mark: last }));
    assert_eq!(outs(&mut machine), [], "no news");
    let Out::Read(want) = out[1] else { panic!() };
    machine.hold_bulk(true);
    machine.on_rows(T, want, &[noise(21, 10)]);
    assert_eq!(outs(&mut machine).len(), 1, "what was read goes, and no more");
    machine.hold_bulk(false);
    assert_eq!(outs(&mut machine).len(), 1);
    assert!(machine.bulk_window() >= 16 << 10);
}

#[test]
fn an_urgent_lane_is_bounded_by_itself() {
    let (mut machine, want) = open();
    machine.on_written(3, 2_000);
    let big: Vec<Row> = (5..=9).map(|seq| noise(seq, 60_000)).collect();
    machine.on_rows(T, want, &big);
    let out = outs(&mut machine);
    assert_eq!(shipped(&out[0]), [5, 6, 7, 8, 9], "an urgent frame may be long");
    assert!(matches!(out[1], Out::Read(Want { lane: 5, .. })), "more than 256 KiB are under way: {out:?}");
}

#[test]
fn many_small_frames_are_bounded_too() {
    let (mut machine, mut want) = open();
    machine.on_written(3, 5_000);
    for seq in 5..5 + MOST_FLYING as u64 {
        assert_eq!((want.lane, want.after), (3, seq - 1));
        machine.on_rows(T, want, &[row(seq)]);
        let Some(Out::Read(next)) = outs(&mut machine).pop() else { panic!("nothing more at {seq}") };
        want = next;
    }
    assert_eq!(want.lane, 5);
}

#[test]
fn a_gap_goes_back_to_its_mark_and_what_is_read_meanwhile_is_dropped() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(5, 10));
    let Some(Out::Read(bulk)) = outs(&mut machine).pop() else { panic!() };
    machine.on_rows(T, bulk, &rows(1, 3));
    let Some(Out::Read(bulk)) = outs(&mut machine).pop() else { panic!() };
    machine.on_frame(T, Stream::Lane(3), Body::Gap(Ack { mark: 6 }));
    machine.on_frame(T, Stream::Lane(5), Body::Gap(Ack { mark: 0 }));
    machine.on_rows(T, bulk, &rows(4, 5));
    let out = outs(&mut machine);
    assert_eq!(out[0], Out::Acknowledged { lane: 3, mark: 6 }, "{out:?}");
    assert!(matches!(out[1..], [Out::Read(Want { lane: 3, after: 6, .. })]), "{out:?}");
    // An answer to what was sent before the gap is still believed, and moves on.
    machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 10 }));
    let Out::Read(want) = out[1] else { panic!() };
    machine.on_rows(T, want, &rows(7, 10));
    let out = outs(&mut machine);
    assert!(matches!(
        out[..],
        [Out::Acknowledged { lane: 3, mark: 10 }, Out::Read(Want { lane: 5, after: 0, .. })]
    ));
}

#[test]
fn a_cloud_that_asks_for_ever_is_given_up() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(5, 10));
    for _ in 0..16 {
        machine.on_frame(T, Stream::Lane(3), Body::Gap(Ack { mark: 4 }));
    }
    assert!(!outs(&mut machine).iter().any(|out| matches!(out, Out::End(_))));
    machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 5 }));
    for _ in 0..16 {
        machine.on_frame(T, Stream::Lane(3), Body::Gap(Ack { mark: 5 }));
    }
    assert!(!outs(&mut machine).iter().any(|out| matches!(out, Out::End(_))), "news begins it anew");
    machine.on_frame(T, Stream::Lane(3), Body::Gap(Ack { mark: 5 }));
    assert_eq!(ended(&mut machine), End::Senseless(SessionError::Gaps { lane: 3, mark: 5 }));
}

#[test]
fn a_gap_frees_what_was_under_way() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(5, 10));
    for _ in 0..8 {
        while let Some(Out::Read(want)) = outs(&mut machine).pop() {
            machine.on_rows(T, want, &[noise(want.after + 1, 15_000)]);
        }
        machine.on_frame(T, Stream::Lane(5), Body::Gap(Ack { mark: 0 }));
    }
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!("the window leaks") };
    assert_eq!(want.after, 0);
}

#[test]
fn credits_bound_a_lane_and_a_rest_is_kept() {
    let mut machine = open_with(start(), Welcome { credit: 100, ..welcome(2, &[(3, 4)]) });
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
    machine.on_rows(T, want, &[noise(5, 200)]);
    let out = outs(&mut machine);
    assert_eq!(shipped(&out[0]), [5]);
    assert!(matches!(out[1], Out::Read(Want { lane: 5, .. })), "lane 3 has used its credit");
    let Out::Read(bulk) = out[1] else { panic!() };
    machine.on_rows(T, bulk, &[noise(1, 200)]);
    assert_eq!(outs(&mut machine).len(), 1);
    // Less than before is not believed; more is.
    machine.on_frame(T, Stream::Lane(3), Body::Credit(Credit { limit: 5, retry_after_ms: 0 }));
    assert_eq!(outs(&mut machine), []);
    machine.on_frame(T, Stream::Lane(3), Body::Credit(Credit { limit: 1_000, retry_after_ms: 2_000 }));
    assert_eq!(outs(&mut machine), []);
    assert_eq!(machine.wake_at(T), Some(T + s(2)));
    machine.on_wake(T + s(2));
    assert!(matches!(machine.poll(T + s(2)), Some(Out::Read(Want { lane: 3, after: 5, .. }))));
    // A rest is never longer than a minute.
    machine.on_rows(T + s(2), Want { lane: 3, after: 5, max_rows: 1, max_bytes: 1 }, &[row(6)]);
    machine.poll(T + s(2));
    machine.on_frame(
        T + s(2),
        Stream::Lane(3),
        Body::Credit(Credit { limit: 1_000, retry_after_ms: u32::MAX }),
    );
    assert_eq!(machine.poll(T + s(61)), None);
    assert!(matches!(machine.poll(T + s(62)), Some(Out::Read(Want { lane: 3, after: 6, .. }))));
}

#[test]
fn rows_that_are_gone_are_told() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(8, 10));
    assert_eq!(outs(&mut machine), [Out::Gone { lane: 3, from: 5, to: 7, at_micros: 1 }]);
    machine.on_gone(T, 3, (5, 7), 1, gone("kept for a day", false));
    let out = outs(&mut machine);
    let skip = Skip { from: 5, to: 7, reason: "kept for a day".into() };
    assert_eq!(out[0], Out::Send { stream: Stream::Lane(3), body: Body::Skip(skip) });
    assert!(matches!(out[1], Out::Read(Want { lane: 3, after: 7, .. })));
    machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 7 }));
    assert_eq!(outs(&mut machine), [Out::Acknowledged { lane: 3, mark: 7 }]);
    // A hole within a batch ends the batch; nothing at all is a hole up to the head.
    let Out::Read(want) = out[1] else { panic!() };
    machine.on_rows(T, want, &[row(8), row(10)]);
    let out = outs(&mut machine);
    assert_eq!(shipped(&out[0]), [8]);
    let Out::Read(want) = out[1] else { panic!() };
    machine.on_rows(T, want, &[]);
    assert_eq!(outs(&mut machine), [Out::Gone { lane: 3, from: 9, to: 10, at_micros: 0 }]);
    machine.on_gone(T, 3, (9, 10), 0, None);
    assert_eq!(ended(&mut machine), End::Missing { lane: 3, after: 8 });
}

#[test]
fn rows_that_can_not_be_read_for_now_are_not_missing() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(5, 7));
    let out = outs(&mut machine);
    let Some(Out::Read(want)) = out.last().cloned() else { panic!("{out:?}") };
    assert_eq!((want.lane, want.after), (3, 7));
    // The journal's disk takes nothing: only what was handed out before can be read, and all of that was sent.
    for head in [7, 2] {
        machine.on_written(3, head);
    }
    machine.on_rows(T, want, &[]);
    assert!(matches!(outs(&mut machine)[..], [Out::Read(Want { lane: 5, .. })]), "the others go on");
    machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 7 }));
    assert_eq!(outs(&mut machine), [Out::Acknowledged { lane: 3, mark: 7 }]);
    // There is room again.
    machine.on_rows(T, Want { lane: 5, after: 0, ..want }, &rows(1, 1));
    machine.on_written(3, 10);
    machine.on_written(5, 0);
    let out = outs(&mut machine);
    let Some(Out::Read(want)) = out.last().cloned() else { panic!("{out:?}") };
    assert_eq!((want.lane, want.after), (3, 7));
    machine.on_rows(T, want, &rows(8, 10));
    assert_eq!(shipped(&outs(&mut machine)[0]), [8, 9, 10]);
    // What was sent once can be sent again, whatever is said of it.
    machine.on_frame(T, Stream::Lane(5), Body::Gap(Ack { mark: 0 }));
    assert!(matches!(outs(&mut machine)[..], [Out::Read(Want { lane: 5, after: 0, .. })]));
}

#[test]
fn an_answer_to_an_old_question_does_nothing() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(8, 10));
    outs(&mut machine);
    for (from, to) in [(6, 7), (5, 4), (5, 11)] {
        machine.on_gone(T, 3, (from, to), 1, None);
        assert!(
            matches!(outs(&mut machine)[..], [Out::Read(Want { lane: 3, after: 4, .. })]),
            "{from}..={to}"
        );
    }
    machine.on_gone(T, 9, (1, 1), 1, None);
    machine.on_rows(T, Want { lane: 9, ..want }, &[]);
    // Rows that were asked for before, in front of those that are wanted.
    machine.on_rows(T, want, &rows(2, 6));
    assert_eq!(shipped(&outs(&mut machine)[0]), [5, 6]);
}

#[test]
fn a_cloud_of_release_0_1_is_told_of_no_gap() {
    let mut machine = open_with(start(), welcome(1, &[(3, 4)]));
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
    machine.on_rows(T, want, &rows(8, 10));
    let Some(Out::Gone { .. }) = outs(&mut machine).pop() else { panic!() };
    machine.on_gone(T, 3, (5, 7), 1, gone("kept for a day", false));
    assert_eq!(ended(&mut machine), End::Missing { lane: 3, after: 4 });
}

#[test]
fn a_cloud_of_release_0_1_gets_a_row_for_each_number_that_a_row_tells_of() {
    let heads = vec![(3, 10_000)];
    let mut machine = open_with(Start { heads, ..start() }, welcome(1, &[(3, 4)]));
    let (mut expected, mut frames) = (5, 0);
    loop {
        let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
        machine.on_rows(T, want, &[Row { at_micros: 77, ..row(9_000) }]);
        let out = outs(&mut machine);
        let Some(Out::Gone { lane: 3, from, to: 8_999, at_micros: 77 }) = out.last().cloned() else {
            // Everything before is told: the row itself.
            assert_eq!(shipped(&out[0]), [9_000]);
            break;
        };
        assert_eq!(from, expected);
        machine.on_gone(T, 3, (from, 8_999), 77, gone("thinned", true));
        let Some(Out::Send { stream: Stream::Lane(3), body: Body::Rows(packed) }) = machine.poll(T) else {
            panic!()
        };
        let rows = batch::unpack(&packed).unwrap();
        assert!(rows.iter().all(|row| row.at_micros == 77 && row.kind == "absent"));
        assert!(rows.iter().all(|row| row.body == br#"{"kind":"absent"}"#));
        assert!(rows.len() <= MAX_ROWS && packed.crc32c.is_none(), "as release 0.1 reads it");
        assert_eq!(rows.first().map(|row| row.seq), Some(expected));
        (expected, frames) = (expected + rows.len() as u64, frames + 1);
        machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: expected - 1 }));
    }
    assert_eq!((expected, frames), (9_000, 3));
}

#[test]
fn what_was_thinned_since_comes_neither_twice_nor_in_part() {
    let mark = |lane, seq| Mark { lane, seq };
    // 1..=10 were 51..=60, and the first four are certainly the same.
    let previous =
        Previous { epoch: 6, lanes: vec![Origin { lane: 5, first: 1, acked: 50, head: 60, same: 4 }] };
    let start = Start { heads: vec![(5, 20)], previous: Some(previous), ..start() };
    for (had, skipped, words) in [
        (0, None, ""),
        (50, None, ""),
        (53, Some(3), "the cloud has them"),
        (54, Some(4), "the cloud has them"),
        (55, Some(10), "in another form"),
        (99, Some(10), "in another form"),
    ] {
        let welcome = Welcome { previous: vec![mark(5, had)], ..welcome(2, &[]) };
        let out = outs(&mut open_with(start.clone(), welcome));
        let skip = out.iter().find_map(|out| match out {
            Out::Send { body: Body::Skip(skip), .. } => Some(skip.clone()),
            _ => None,
        });
        assert_eq!(skip.as_ref().map(|skip| skip.to), skipped, "the cloud has {had}");
        assert!(skip.is_none_or(|skip| skip.from == 1 && skip.reason.contains(words)), "{words}");
        let Some(Out::Read(want)) = out.last() else { panic!("{out:?}") };
        assert_eq!(want.after, skipped.unwrap_or(0));
    }
}

#[test]
fn rows_of_the_life_before_are_not_sent_twice() {
    let origin = |lane, first, acked, head| Origin { lane, first, acked, head, same: head - acked };
    // Lane 1: row 1 is new, 2..=6 were 101..=105. Lane 3: 1..=10 were 51..=60.
    let previous =
        Previous { epoch: 6, lanes: vec![origin(1, 2, 100, 105), origin(3, 1, 50, 60), origin(9, 1, 0, 5)] };
    let heads = vec![(1, 6), (3, 10)];
    let start = Start { heads, previous: Some(previous), ..start() };
    let mark = |lane, seq| Mark { lane, seq };
    // The original went on after the copy was made: only what the copy has counts.
    let had = vec![mark(1, 103), mark(3, 99), mark(9, 5)];
    let mut machine = EdgeMachine::new(Settings::default(), start.clone(), T);
    let Some(Out::Send { body: Body::Hello(hello), .. }) = machine.poll(T) else { panic!() };
    assert_eq!(hello.previous, Some(6));
    machine.on_frame(T, Stream::Control, Body::Welcome(Welcome { previous: had, ..welcome(2, &[]) }));
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
    assert_eq!((want.lane, want.after, want.max_rows), (1, 0, 1), "only the row before");
    machine.on_rows(T, want, &rows(1, 1));
    let out = outs(&mut machine);
    let Out::Send { body: Body::Skip(skip), .. } = &out[1] else { panic!("{out:?}") };
    assert_eq!((skip.from, skip.to), (2, 4));
    let Out::Read(want) = out[2] else { panic!("{out:?}") };
    assert_eq!((want.lane, want.after, want.max_rows), (1, 4, 256));
    machine.on_rows(T, want, &rows(5, 6));
    let out = outs(&mut machine);
    let Out::Send { stream: Stream::Lane(3), body: Body::Skip(skip) } = &out[1] else { panic!("{out:?}") };
    assert_eq!((skip.from, skip.to), (1, 10));
    assert_eq!(out.len(), 2, "and then there is nothing more");
    // A cloud that has nothing of it gets everything; one of release 0.1 was not even asked.
    for (version, previous) in [(2, vec![mark(1, 100)]), (2, vec![]), (1, vec![mark(1, 103)])] {
        let mut machine = open_with(start.clone(), Welcome { previous, ..welcome(version, &[]) });
        let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
        assert_eq!((want.lane, want.after, want.max_rows), (1, 0, 256));
    }
}

#[test]
fn commands_are_made_durable_before_they_are_acknowledged() {
    let (mut machine, _) = open();
    let commands = batch::pack(&rows(3, 4), Form::Plain).unwrap();
    machine.on_frame(T, Stream::Control, Body::Commands(commands.clone()));
    assert_eq!(outs(&mut machine), [Out::Accept(rows(3, 4))]);
    machine.on_accepted(4);
    let answer = Out::Send { stream: Stream::Control, body: Body::CommandsAck(Ack { mark: 4 }) };
    assert_eq!(outs(&mut machine), [answer]);
    machine.on_frame(T, Stream::Control, Body::Commands(commands.clone()));
    machine.on_frame(T, Stream::Control, Body::Commands(commands));
    assert!(matches!(ended(&mut machine), End::Senseless(SessionError::Unexpected { .. })));
    machine.on_accepted(4);
    assert_eq!(outs(&mut machine), [], "nothing goes out after the end");
}

#[test]
fn what_can_not_be_ends_the_session_with_a_reason() {
    type Case = (Stream, Body, fn(&End) -> bool);
    let garbage = frame::Rows { zstd: vec![1, 2, 3].into(), plain_length: 9, dictionary: 0, crc32c: None };
    let cases: [Case; 8] = [
        (Stream::Lane(3), Body::Ack(Ack { mark: 9 }), |end| {
            *end == End::Senseless(SessionError::Ahead { lane: 3, mark: 9, head: 4 })
        }),
        (Stream::Lane(9), Body::Ack(Ack { mark: 0 }), |end| *end == End::Senseless(SessionError::Lane(9))),
        (Stream::Lane(9), Body::Credit(Credit { limit: 1, retry_after_ms: 0 }), |end| {
            *end == End::Senseless(SessionError::Lane(9))
        }),
        (Stream::Lane(3), Body::Lane(frame::Lane { lane: 3 }), |end| matches!(end, End::Senseless(_))),
        (Stream::Control, Body::Ack(Ack { mark: 0 }), |end| matches!(end, End::Senseless(_))),
        (Stream::Control, Body::Commands(garbage), |end| {
            matches!(end, End::Senseless(SessionError::Commands(_)))
        }),
        (Stream::Control, Body::Welcome(welcome(2, &[])), |end| matches!(end, End::Senseless(_))),
        (Stream::Control, cloud_refuses(), |end| {
            matches!(end, End::Refused { why: Why::Twin, retry_after: None, .. })
        }),
    ];
    for (stream, body, wanted) in cases {
        let (mut machine, _) = open();
        machine.on_frame(T, stream, body.clone());
        let end = ended(&mut machine);
        assert!(wanted(&end), "{body:?}: {end:?}");
        machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 99 }));
        assert_eq!((machine.poll(T), machine.wake_at(T)), (None, None), "it is over");
    }
    for stream in [Stream::Control, Stream::Lane(3)] {
        let (mut machine, _) = open();
        machine.on_finished(stream);
        assert!(matches!(ended(&mut machine), End::Senseless(_)));
    }
}

fn cloud_refuses() -> Body {
    Body::Refused(Refused { reason: "a copy".into(), retry_after_s: 0, why: Why::Twin.into() })
}

#[test]
fn a_welcome_that_can_not_be_is_refused() {
    let mut machine = open_with(start(), welcome(2, &[(3, 11)]));
    let wanted = End::Senseless(SessionError::Ahead { lane: 3, mark: 11, head: 10 });
    assert_eq!(ended(&mut machine), wanted);
    let mut machine = open_with(start(), welcome(3, &[]));
    assert_eq!(ended(&mut machine), End::Senseless(SessionError::Version(3)));
    let mut machine = EdgeMachine::new(Settings::default(), start(), T);
    machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 0 }));
    assert_eq!(ended(&mut machine), End::Senseless(SessionError::Lane(3)));
    let mut machine = EdgeMachine::new(Settings::default(), start(), T);
    machine.on_frame(T, Stream::Control, Body::Ack(Ack { mark: 0 }));
    assert!(matches!(ended(&mut machine), End::Senseless(SessionError::Unexpected { .. })));
    // A dictionary that was not offered is not used.
    let mut machine = open_with(start(), Welcome { dictionary: 77, ..welcome(2, &[(3, 4)]) });
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
    machine.on_rows(T, want, &rows(5, 6));
    let Out::Send { body: Body::Rows(packed), .. } = &outs(&mut machine)[0] else { panic!() };
    assert_eq!(packed.dictionary, 0);
    assert!(packed.crc32c.is_some());
}

#[test]
fn a_welcome_is_waited_for_so_long_and_no_longer() {
    let settings = Settings { handshake: s(10), ..Settings::default() };
    let mut machine = EdgeMachine::new(settings, start(), T);
    outs(&mut machine);
    assert_eq!(machine.wake_at(T), Some(T + s(10)));
    machine.on_wake(T + s(9));
    assert_eq!(machine.poll(T), None);
    machine.on_wake(T + s(10));
    assert_eq!(ended(&mut machine), End::Silent(s(10)));
    let machine = EdgeMachine::new(Settings::default(), start(), T);
    assert_eq!(machine.wake_at(T), Some(T + s(60)));
}

#[test]
fn silence_is_asked_then_rebound_then_given_up() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(5, 10));
    outs(&mut machine);
    let ping = |number| Out::Send { stream: Stream::Control, body: Body::Ping(Ping { number }) };
    let mut seen = Vec::new();
    for second in 0..=60 {
        machine.on_wake(T + s(second));
        seen.extend(outs(&mut machine).into_iter().map(|out| (second, out)));
    }
    let want =
        [(15, ping(1)), (30, Out::Rebind), (30, ping(2)), (45, ping(3)), (60, Out::End(End::Silent(s(60))))];
    assert_eq!(seen, want);
    // An answer is a sign of life, and a ping is answered.
    let (mut machine, _) = open();
    machine.on_wake(T + s(15));
    assert_eq!(machine.poll(T), Some(ping(1)));
    machine.on_frame(T + s(16), Stream::Control, Body::Pong(Ping { number: 1 }));
    assert_eq!(machine.wake_at(T + s(16)), Some(T + s(31)));
    machine.on_frame(T + s(17), Stream::Control, Body::Ping(Ping { number: 88 }));
    let pong = Out::Send { stream: Stream::Control, body: Body::Pong(Ping { number: 88 }) };
    assert_eq!(machine.poll(T), Some(pong));
    for number in 0..70 {
        machine.on_frame(T + s(17), Stream::Control, Body::Ping(Ping { number }));
    }
    assert!(matches!(ended(&mut machine), End::Senseless(_)), "a flood");
    // A cloud of release 0.1 knows no pings, so that silence says nothing.
    let mut machine = open_with(start(), welcome(1, &[(3, 10), (5, 1_000)]));
    outs(&mut machine);
    machine.on_wake(T + s(500));
    assert_eq!((machine.poll(T), machine.wake_at(T)), (None, None));
    machine.on_frame(T, Stream::Control, Body::Pong(Ping { number: 1 }));
    assert!(matches!(ended(&mut machine), End::Senseless(_)));
}

#[test]
fn at_rest_is_when_the_cloud_has_everything() {
    let mut machine = open_with(start(), welcome(2, &[(3, 10), (5, 1_000)]));
    assert!(machine.is_at_rest());
    machine.on_written(3, 11);
    assert!(!machine.is_at_rest());
    let Some(Out::Read(want)) = outs(&mut machine).pop() else { panic!() };
    machine.on_rows(T, want, &[row(11)]);
    assert!(!machine.is_at_rest());
    machine.on_frame(T, Stream::Lane(3), Body::Ack(Ack { mark: 11 }));
    assert!(machine.is_at_rest());
}

#[test]
fn a_row_that_can_not_be_sent_is_named() {
    let (mut machine, want) = open();
    let huge = Row { body: vec![7; batch::MAX_PLAIN], ..row(5) };
    machine.on_rows(T, want, &[huge, row(6)]);
    assert!(matches!(ended(&mut machine), End::Unsendable { lane: 3, after: 4, .. }));
}

#[test]
fn as_many_rows_as_fit_go_together() {
    let many: Vec<Row> = (1..=9).map(|seq| noise(seq, 1_000)).collect();
    let (packed, last) = pack_some(&many, Form::Plain, 5_300).unwrap();
    assert_eq!((last, batch::unpack(&packed).unwrap().len()), (5, 5));
    assert_eq!(pack_some(&many, Form::Plain, 1).unwrap().1, 1, "one goes in any case");
    assert_eq!(pack_some(&many, Form::Plain, usize::MAX).unwrap().1, 9);
    let exactly = pack_some(&many[..2], Form::Plain, usize::MAX).unwrap().0.zstd.len();
    assert_eq!(pack_some(&many[..2], Form::Plain, exactly).unwrap().1, 2);
    let mut odd = rows(1, 4);
    odd[3].body = vec![7; batch::MAX_PLAIN];
    assert_eq!(pack_some(&odd, Form::Plain, usize::MAX).unwrap().1, 2, "what can be packed goes");
}

#[test]
fn one_number_alone_can_be_gone() {
    let (mut machine, want) = open();
    machine.on_rows(T, want, &rows(6, 10));
    assert_eq!(outs(&mut machine), [Out::Gone { lane: 3, from: 5, to: 5, at_micros: 1 }]);
    machine.on_gone(T, 3, (5, 5), 1, gone("kept for a day", false));
    let skip = Skip { from: 5, to: 5, reason: "kept for a day".into() };
    assert_eq!(outs(&mut machine)[0], Out::Send { stream: Stream::Lane(3), body: Body::Skip(skip) });
}

#[test]
fn a_cloud_of_release_0_1_has_no_credits() {
    let mut machine = open_with(start(), welcome(1, &[(3, 4)]));
    outs(&mut machine);
    machine.on_frame(T, Stream::Lane(3), Body::Credit(Credit { limit: 1, retry_after_ms: 0 }));
    assert!(matches!(ended(&mut machine), End::Senseless(SessionError::Unexpected { .. })));
    // Nor pings, nor their answers.
    for body in [Body::Pong(Ping { number: 1 }), Body::Ping(Ping { number: 1 })] {
        let mut machine = open_with(start(), welcome(1, &[(3, 4)]));
        outs(&mut machine);
        machine.on_frame(T, Stream::Control, body);
        assert!(matches!(ended(&mut machine), End::Senseless(SessionError::Unexpected { .. })));
    }
}

#[test]
fn the_hello_says_how_far_each_lane_is() {
    let mut machine = EdgeMachine::new(Settings::default(), start(), T);
    let Some(Out::Send { body: Body::Hello(hello), .. }) = machine.poll(T) else { panic!() };
    let heads: Vec<(u32, u64)> = hello.heads.iter().map(|mark| (mark.lane, mark.seq)).collect();
    assert_eq!(heads, [(1, 0), (3, 10), (5, 1_000)]);
}

#[test]
fn live_values_go_where_they_are_taken_and_never_on_a_costly_line() {
    let live = |n: i64| Live {
        tail: "t".into(),
        rows: vec![crate::live::LiveRow { at_micros: n, body: b"{}".to_vec() }],
        dropped: 0,
        ended: None,
    };
    let mut old = open_with(start(), welcome(2, &[]));
    outs(&mut old);
    assert!(!old.takes_live());
    old.on_live(live(1));
    assert!(outs(&mut old).is_empty(), "a cloud that has not said so gets none");

    let mut machine = open_with(start(), Welcome { live: true, ..welcome(2, &[]) });
    outs(&mut machine);
    assert!(machine.takes_live());
    machine.on_live(live(1));
    assert!(!machine.takes_live(), "one under way");
    machine.on_live(live(9));
    let taken =
        |machine: &mut EdgeMachine| machine.on_frame(T, Stream::Lane(LIVE), Body::Ack(Ack { mark: 0 }));
    taken(&mut machine);
    machine.on_live(live(2));
    taken(&mut machine);
    let sent = |n| Out::Send { stream: Stream::Lane(LIVE), body: Body::Live(live(n)) };
    assert_eq!(outs(&mut machine), [Out::Open(LIVE), sent(1), sent(2)]);
    machine.hold_bulk(true);
    assert!(!machine.takes_live());
    machine.hold_bulk(false);
    machine.on_finished(Stream::Lane(LIVE));
    assert!(!machine.takes_live(), "the cloud watches no more, and the session goes on");
    assert!(outs(&mut machine).is_empty());
}
