//! When a charge in doubt is looked up, and what follows, to the second.

use super::super::drive::posting;
use super::*;

fn start() -> Timestamp {
    "2026-07-15T10:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    after(start(), SignedDuration::from_secs(seconds))
}

fn doubted(number: u32) -> Doubted {
    let mut posting = posting("101", None);
    posting.number = PostingNumber(number);
    Doubted { posting, since: start() }
}

fn one(ours: bool) -> Doubts {
    let mut doubts = Doubts::default();
    assert!(doubts.add(start(), doubted(7), ours));
    doubts
}

const NUMBER: PostingNumber = PostingNumber(7);

#[test]
fn the_first_look_is_after_seconds() {
    let doubts = one(true);
    assert_eq!(doubts.next_at(), Some(at(5)));
    assert_eq!(doubts.due(at(4)), None);
    assert_eq!(doubts.due(at(5)), Some(&doubted(7)));
    assert_eq!(Doubts::default().next_at(), None);
}

#[test]
fn the_one_that_has_waited_longest_is_looked_up_first() {
    let mut doubts = Doubts::default();
    for (number, seconds) in [(1, 3), (2, 1), (3, 2)] {
        doubts.add(at(seconds), doubted(number), true);
    }
    assert_eq!(doubts.next_at(), Some(at(6)));
    assert_eq!(doubts.due(at(60)), Some(&doubted(2)));
    doubts.leave(PostingNumber(2));
    assert_eq!((doubts.next_at(), doubts.due(at(60))), (Some(at(7)), Some(&doubted(3))));
}

#[test]
fn one_that_is_not_there_was_not_booked_only_when_no_server_works_on_it_any_more() {
    for (ours, end) in [(true, Verdict::NotSent), (false, Verdict::Staff)] {
        let mut doubts = one(ours);
        assert_eq!(doubts.looked(at(5), NUMBER, false), Verdict::Open);
        assert_eq!(doubts.next_at(), Some(at(120)), "the last look");
        assert_eq!(doubts.looked(at(119), NUMBER, false), Verdict::Open);
        assert_eq!(doubts.looked(at(120), NUMBER, false), end);
        assert_eq!(doubts.next_at(), None);
        assert_eq!(doubts.looked(at(121), NUMBER, true), Verdict::Staff, "it is no longer ours to judge");
    }
    assert_eq!(one(false).looked(at(5), NUMBER, true), Verdict::Booked);
}

#[test]
fn a_look_that_fails_is_repeated_ever_more_rarely_and_not_for_ever() {
    let mut doubts = one(true);
    let pauses = [30, 60, 120, 240, 480, 960, 1920, 1920, 1920, 1920, 1920];
    for pause in pauses {
        assert_eq!(doubts.failed(at(5), NUMBER), Verdict::Open);
        assert_eq!(doubts.next_at(), Some(at(5 + pause)));
    }
    assert_eq!(doubts.failed(at(5), NUMBER), Verdict::Staff, "the twelfth");
    assert_eq!((doubts.next_at(), doubts.failed(at(5), NUMBER)), (None, Verdict::Staff));
}

#[test]
fn more_than_people_can_follow_are_not_looked_up() {
    let mut doubts = Doubts::default();
    for number in 1..=200 {
        assert!(doubts.add(start(), doubted(number), true), "{number}");
    }
    assert!(!doubts.add(start(), doubted(201), true));
}
