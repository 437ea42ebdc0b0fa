//! The bounds of each lane, at their last step and the one after.

use super::*;
use crate::flow::FlowBounds;

const T: Duration = Duration::from_secs(100);
const URGENT: u8 = 3;
const BULK: u8 = 5;

fn lanes() -> Lanes {
    let flow = FlowBounds { start: 1_000, min: 1_000, max: 1_000 };
    let bounds = Bounds { flow, urgent_in_flight: 500, ..Bounds::default() };
    Lanes::new(bounds, &[(URGENT, 100), (BULK, 100)])
}

/// Which lane goes next.
fn next(lanes: &Lanes) -> Option<u8> {
    lanes.next(T).map(|want| want.lane)
}

#[test]
fn an_urgent_lane_goes_on_below_its_bound_only() {
    let mut lanes = lanes();
    lanes.sent(T, URGENT, 1, 499);
    assert_eq!(next(&lanes), Some(URGENT));
    lanes.sent(T, URGENT, 2, 1);
    assert_eq!(next(&lanes), Some(BULK));
    assert_eq!(lanes.acknowledged(T, URGENT, 1), Ok(true));
    assert_eq!((next(&lanes), lanes.lanes[&URGENT].flying_bytes), (Some(URGENT), 1));
    assert_eq!(lanes.acknowledged(T, URGENT, 2), Ok(true));
    assert_eq!(lanes.lanes[&URGENT].flying_bytes, 0);
}

#[test]
fn bulk_goes_on_below_the_window_only_and_what_is_acknowledged_frees_it() {
    let mut lanes = lanes();
    lanes.written(URGENT, 0);
    lanes.lanes.remove(&URGENT);
    lanes.sent(T, BULK, 1, 999);
    assert_eq!(next(&lanes), Some(BULK));
    lanes.sent(T, BULK, 2, 1);
    assert_eq!((next(&lanes), lanes.bulk_flying), (None, 1_000));
    let full: Vec<bool> =
        lanes.lanes[&BULK].flying.iter().filter_map(|flight| Some(flight.measured?.1)).collect();
    assert_eq!(full, [false, true], "the window was full with the second");
    assert_eq!(lanes.acknowledged(T + Duration::from_millis(40), BULK, 1), Ok(true));
    assert_eq!((next(&lanes), lanes.bulk_flying), (Some(BULK), 1));
    lanes.sent(T, BULK, 3, 300);
    assert_eq!(lanes.gap(T + Duration::from_millis(50), BULK, 1), Ok(false));
    assert_eq!((lanes.bulk_flying, lanes.lanes[&BULK].flying_bytes), (0, 0));
}

#[test]
fn the_first_of_what_is_under_way_is_measured_from_its_own_moment() {
    let mut lanes = lanes();
    let sent = |lanes: &Lanes, at: usize| lanes.lanes[&BULK].flying[at].measured.unwrap().0;
    lanes.sent(T, BULK, 1, 10);
    // The second's rate counts from the first, which is still under way.
    lanes.sent(T + Duration::from_secs(1), BULK, 2, 10);
    let mut window = Window::new(lanes.bounds.flow);
    let (first, second) = (window.stamp(T, true), window.stamp(T + Duration::from_secs(1), false));
    assert_eq!((sent(&lanes, 0), sent(&lanes, 1)), (first, second));
}

#[test]
fn a_frame_may_begin_below_the_credit_only() {
    let mut lanes = lanes();
    lanes.lanes.remove(&BULK);
    assert_eq!(lanes.welcomed(&[], Some(50)), Ok(vec![]));
    lanes.sent(T, URGENT, 1, 49);
    assert_eq!(next(&lanes), Some(URGENT));
    lanes.sent(T, URGENT, 2, 1);
    assert_eq!(next(&lanes), None);
}

#[test]
fn a_lane_rests_until_its_moment_and_not_longer() {
    let mut lanes = lanes();
    lanes.lanes.remove(&BULK);
    let rest = Credit { limit: 1_000, retry_after_ms: 500 };
    assert_eq!(lanes.credit(T, URGENT, rest), Ok(()));
    let then = T + Duration::from_millis(500);
    assert_eq!((lanes.wake_at(T), next(&lanes)), (Some(then), None));
    assert_eq!(lanes.wake_at(then), None, "it is there");
    lanes.sent(T, URGENT, 100, 1);
    assert_eq!(lanes.wake_at(T), None, "nothing waits");
    lanes.written(URGENT, 101);
    assert_eq!(lanes.next(then).map(|want| want.lane), Some(URGENT));
}

#[test]
fn heads_are_told_as_they_are() {
    let heads: Vec<(u32, u64)> = lanes().heads().iter().map(|mark| (mark.lane, mark.seq)).collect();
    assert_eq!(heads, [(3, 100), (5, 100)]);
}

#[test]
fn what_is_known_of_the_life_before_has_its_exact_ends() {
    let origin = |first, acked, head, same| Origin { lane: URGENT, first, acked, head, same };
    let known = |origin, mark| {
        let mut lanes = lanes();
        lanes.carried(origin, mark);
        lanes.lanes[&URGENT].known.map(|known| (known.from, known.to, known.same))
    };
    assert_eq!(known(origin(1, 10, 20, 10), 10), None, "the cloud has none of it");
    assert_eq!(known(origin(1, 10, 20, 10), 11), Some((1, 1, true)));
    assert_eq!(known(origin(4, 10, 20, 10), 13), Some((4, 6, true)));
    assert_eq!(known(origin(0, 10, 20, 10), 13), None, "there is no number 0");
    assert_eq!(known(origin(4, 10, 20, 2), 12), Some((4, 5, true)));
    assert_eq!(known(origin(4, 10, 20, 2), 13), Some((4, 13, false)));
    assert_eq!(known(origin(200, 10, 20, 10), 13), None, "beyond the end of the lane");
    assert_eq!(known(origin(100, 10, 20, 10), 13), Some((100, 100, true)), "cut at the end");
    assert_eq!(known(origin(1, 10, 20, 0), 10), None, "nothing is the same, and nothing is there");
}

#[test]
fn no_batch_runs_into_what_is_known() {
    for (sent, most) in [(0, 5), (3, 2), (4, 1), (8, 256)] {
        let mut lanes = lanes();
        lanes.carried(Origin { lane: URGENT, first: 6, acked: 10, head: 13, same: 3 }, 13);
        lanes.lanes.get_mut(&URGENT).unwrap().sent = sent;
        let want = lanes.next(T).unwrap();
        assert_eq!((want.after, want.max_rows), (sent, most));
        assert_eq!(lanes.known(URGENT), None);
    }
    let mut lanes = lanes();
    lanes.carried(Origin { lane: URGENT, first: 6, acked: 10, head: 13, same: 3 }, 13);
    for (sent, is_known) in [(4, false), (5, true), (7, true), (8, false)] {
        lanes.lanes.get_mut(&URGENT).unwrap().sent = sent;
        assert_eq!(lanes.known(URGENT).map(|known| known.to), is_known.then_some(8), "after {sent}");
    }
}
