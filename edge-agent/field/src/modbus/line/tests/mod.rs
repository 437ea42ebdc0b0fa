//! A bad line in virtual time: whatever noise, halves, flipped bits and late answers do, a value is right or there is
//! none. Every register's value tells its address, so that a wrong one is recognised; and with the drain taken out the
//! same line does report wrong ones.

use super::failure::Failure;
use super::frames::sealed;
use super::rtu::{Act, LATE, Rtu, Timing};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const UNIT: u8 = 5;
const LONGEST: Duration = Duration::from_millis(100);
const REQUESTS: usize = 60;

/// What a bad line made of the answers: right ones, and wrong ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    right: usize,
    wrong: usize,
}

fn value(address: u16) -> u16 {
    10_000 + address
}

/// The pieces of one answer with their times.
fn spoilt(random: &mut SmallRng, now: Duration, address: u16) -> Vec<(Duration, Vec<u8>)> {
    let [high, low] = value(address).to_be_bytes();
    let mut answer = sealed(&[UNIT, 3, 2, high, low]);
    let mut at = now + LONGEST.mul_f64(random.random_range(0.02..0.5));
    match random.random_range(0..10) {
        0 => return Vec::new(),
        1 => answer.truncate(random.random_range(1..answer.len())),
        2 => {
            let bit = random.random_range(0..answer.len() * 8);
            answer[bit / 8] ^= 1 << (bit % 8);
        }
        3 => {
            let noise: Vec<u8> = (0..random.random_range(1..20)).map(|_| random.random()).collect();
            answer.splice(0..0, noise);
        }
        // Late, but not later than the line says that it bears.
        4 | 5 => at = now + LONGEST.mul_f64(random.random_range(0.9..f64::from(LATE))),
        6 => answer.extend(answer.clone()),
        7 => {
            // In two pieces, close enough to be one.
            let rest = answer.split_off(random.random_range(1..answer.len()));
            return vec![(at, answer), (at + Duration::from_millis(3), rest)];
        }
        _ => {}
    }
    vec![(at, answer)]
}

fn play(seed: u64, drains: bool) -> Outcome {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut now = Duration::ZERO;
    let mut rtu = Rtu::new(Timing::serial(19_200, Duration::ZERO), now);
    rtu.drains = drains;
    let mut coming: Vec<(Duration, Vec<u8>)> = Vec::new();
    let mut outcome = Outcome::default();
    for _ in 0..REQUESTS {
        let address: u16 = random.random_range(0..500);
        let [high, low] = address.to_be_bytes();
        let mut act = rtu.ask(now, sealed(&[UNIT, 3, high, low, 0, 1]), LONGEST);
        // A request ends after its own time and the debts before it: far fewer steps than this.
        for _step in 0..1_000 {
            match act.take() {
                Some(Act::Send(_)) => coming.extend(spoilt(&mut random, now, address)),
                Some(Act::Answer(frame)) => {
                    let is = u16::from_be_bytes([frame[3], frame[4]]);
                    *(if is == value(address) { &mut outcome.right } else { &mut outcome.wrong }) += 1;
                    break;
                }
                Some(Act::Fail(_)) => break,
                None => {}
            }
            coming.sort_by_key(|(at, _)| *at);
            let wake = rtu.wake().expect("a request is under way");
            match coming.first() {
                Some((at, _)) if *at <= wake => {
                    let (at, bytes) = coming.remove(0);
                    now = now.max(at);
                    act = rtu.bytes(now, &bytes);
                }
                _ => {
                    now = now.max(wake);
                    act = rtu.tick(now);
                }
            }
        }
        // The poller's own pace.
        now += Duration::from_millis(random.random_range(0..20));
        while let Some(n) = coming.iter().position(|(at, _)| *at <= now) {
            let (_, bytes) = coming.remove(n);
            assert_eq!(rtu.bytes(now, &bytes), None, "nothing is asked");
        }
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_right_or_there_is_none(seed in any::<u64>()) {
        let outcome = play(seed, true);
        prop_assert_eq!(outcome.wrong, 0, "SEED={}", seed);
        prop_assert!(outcome.right > REQUESTS / 10, "SEED={}: {:?}", seed, outcome);
    }
}

#[test]
fn without_the_drain_wrong_values_are_reported() {
    let wrong: usize = (0..50).map(|seed| play(seed, false).wrong).sum();
    assert!(wrong > 0, "the test above would not see what the drain is for");
    assert_eq!((0..50).map(|seed| play(seed, true).wrong).sum::<usize>(), 0);
}

#[test]
fn a_request_that_left_late_has_no_answer() {
    let mut rtu = Rtu::new(Timing::serial(9_600, Duration::ZERO), Duration::ZERO);
    let frame = vec![5, 3, 0, 0, 0, 1, 0x85, 0x8e];
    let (longest, mut now) = (Duration::from_millis(100), Duration::from_millis(10));
    assert_eq!(rtu.ask(now, frame.clone(), longest), Some(Act::Send(frame.clone())));
    assert_eq!(rtu.sent(now, Duration::from_millis(2)), None, "as it should be");
    now += Duration::from_millis(1);
    let held_up = Duration::from_millis(90);
    assert_eq!(rtu.sent(now, held_up), Some(Act::Fail(Failure::HeldUp(held_up))));
    assert_eq!(rtu.ask(now, frame.clone(), longest), None, "the unit is left alone for a while");
    now = rtu.wake().unwrap();
    assert!(now > longest * LATE);
    assert_eq!(rtu.tick(now), Some(Act::Send(frame)));
}
