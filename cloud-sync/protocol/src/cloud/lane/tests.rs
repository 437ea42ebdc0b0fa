//! What waits on one stream, to the byte.

use super::*;
use crate::batch::Form;

const T: Duration = Duration::from_secs(100);

fn lane() -> LaneIn {
    LaneIn::new(3, CreditBounds::default())
}

fn body(rows: &[Row]) -> Body {
    Body::Rows(batch::pack(rows, Form::Columns { dictionary: 0 }).unwrap())
}

fn row(seq: u64, bytes: usize) -> Row {
    Row { seq, at_micros: 1, kind: "k".into(), body: vec![7; bytes] }
}

#[test]
fn the_next_frame_may_come_below_each_bound() {
    for (frames, bytes, may) in [
        (0, 0, true),
        (0, MOST_BYTES - 1, true),
        (0, MOST_BYTES, false),
        (MOST_WAITING - 1, 0, true),
        (MOST_WAITING, 0, false),
    ] {
        let mut lane = lane();
        lane.waiting_bytes = bytes;
        let skip = Skip { from: 1, to: 1, reason: String::new() };
        lane.waiting.extend((0..frames).map(|_| (Waiting::Skip(skip.clone()), 0)));
        assert_eq!(lane.receive(), may, "{frames} frames, {bytes} bytes");
        assert!(!lane.receive(), "one at a time");
    }
}

#[test]
fn what_is_stored_or_was_sent_too_early_waits_no_more() {
    let mut lane = lane();
    let frames = [body(&[row(1, 10)]), body(&[row(2, 500)]), body(&[row(9, 2_000)])];
    let sizes = frames.clone().map(|body| frame::size(&body));
    for body in frames {
        lane.take(body, true).unwrap();
    }
    assert_eq!(lane.waiting_bytes, sizes.iter().sum::<u64>());
    assert!(matches!(lane.next(T), Ok(Some(Job::Rows(rows))) if rows.len() == 2));
    assert!(matches!(lane.next(T), Ok(None)), "one job at a time");
    lane.answered(T);
    assert_eq!((lane.waiting_bytes, lane.waiting.len()), (sizes[2], 1));
    // What was sent before the hole was heard of is dropped.
    lane.holed(2);
    assert!(matches!(lane.next(T), Ok(None)));
    assert_eq!((lane.waiting_bytes, lane.waiting.len()), (0, 0));
}

#[test]
fn frames_go_together_up_to_the_longest_batch() {
    for (more, together) in [(0, 2), (1, 1)] {
        let mut lane = lane();
        let first = body(&[row(1, 1_000)]);
        let Body::Rows(packed) = &first else { panic!() };
        let rest = MAX_PLAIN - packed.plain_length as usize + more;
        lane.take(first, true).unwrap();
        lane.take(body(&crate::batch::tests::of_plain_length(2, rest)), true).unwrap();
        let Ok(Some(Job::Rows(rows))) = lane.next(T) else { panic!() };
        assert_eq!(rows.len(), together, "{more} bytes more");
    }
}
