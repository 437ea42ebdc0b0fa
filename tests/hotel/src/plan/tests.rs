//! What must hold of any day.

use super::*;
use crate::rooms::rooms;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn day(seed: u64, count: usize, seconds: u64) -> Vec<Event> {
    let numbers: Vec<String> = rooms(count).into_iter().map(|room| room.number).collect();
    plan(seed, &numbers, seconds)
}

/// Plays the day in memory and fails where something can't be.
fn check(events: &[Event], seconds: u64) -> Result<(), TestCaseError> {
    let mut house: BTreeMap<&str, &str> = BTreeMap::new();
    let mut stays = BTreeSet::new();
    let mut keys = BTreeSet::new();
    let mut texts = BTreeSet::new();
    let mut last_of_stay: BTreeMap<&str, u64> = BTreeMap::new();
    let mut last_of_room: BTreeMap<&str, u64> = BTreeMap::new();
    let mut knob: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut before, mut audit) = (0, false);
    for event in events {
        prop_assert!(event.at >= before && event.at < seconds * 1000, "{event:?} after {before}");
        before = event.at;
        let (stay, rooms): (&str, Vec<&str>) = match &event.what {
            What::CheckIn { guest, room } => {
                prop_assert!(stays.insert(&guest.stay), "a stay arrives once");
                house.insert(&guest.stay, room);
                (&guest.stay, vec![room])
            }
            What::Move { stay, from, to } => {
                prop_assert_ne!(from, to);
                prop_assert_eq!(house.insert(stay, to), Some(from.as_str()), "moves from where it is");
                (stay, vec![from, to])
            }
            What::CheckOut { stay, room } => {
                prop_assert_eq!(house.remove(stay.as_str()), Some(room.as_str()), "leaves from where it is");
                (stay, vec![room])
            }
            What::Audit { begins } => {
                prop_assert_ne!(audit, *begins);
                audit = *begins;
                continue;
            }
            What::Charge(charge) => {
                prop_assert_eq!(house.get(charge.stay.as_str()), Some(&charge.room.as_str()));
                prop_assert!(keys.insert(&charge.key) && texts.insert(&charge.text) && charge.minor > 0);
                prop_assert!(charge.text.len() <= 20, "the gateway sends 20 characters (field CT)");
                continue;
            }
            What::Wall { room, celsius } => {
                prop_assert!(house.values().any(|inside| inside == room), "somebody is there to turn it");
                prop_assert!((19.0..=26.0).contains(celsius));
                let since = last_of_room.get(room.as_str()).map_or(u64::MAX, |last| event.at - last);
                prop_assert!(since >= QUIET_BEFORE_MS);
                knob.insert(room, event.at);
                continue;
            }
            What::Window { .. } | What::Presence { .. } => continue,
        };
        prop_assert!(!audit, "nobody comes or goes during night audit");
        if let Some(last) = last_of_stay.insert(stay, event.at) {
            prop_assert!(event.at - last >= STAY_GAP_MS, "{event:?} too soon after {last}");
        }
        for room in rooms {
            if let Some(last) = last_of_room.insert(room, event.at) {
                prop_assert!(event.at - last >= ROOM_GAP_MS, "{event:?} too soon after {last}");
            }
            if let Some(turned) = knob.get(room) {
                prop_assert!(event.at - turned >= QUIET_AFTER_MS, "{event:?} too soon after the knob");
            }
        }
    }
    prop_assert!(!audit, "night audit ends");
    Ok(())
}

proptest! {
    #[test]
    fn any_day_can_be(seed in any::<u64>(), count in 1_usize..120, seconds in SHORTEST_S..600) {
        check(&day(seed, count, seconds), seconds)?;
    }

    #[test]
    fn one_seed_is_one_day(seed in any::<u64>()) {
        prop_assert_eq!(day(seed, 30, 120), day(seed, 30, 120));
        prop_assert_ne!(day(seed, 30, 120), day(seed.wrapping_add(1), 30, 120));
    }
}

#[test]
fn a_usual_day_has_something_of_everything() {
    let events = day(7, 40, 120);
    let count = |test: fn(&What) -> bool| events.iter().filter(|event| test(&event.what)).count();
    assert!(count(|what| matches!(what, What::CheckIn { .. })) >= 30);
    assert!(count(|what| matches!(what, What::Move { .. })) >= 3);
    assert!(count(|what| matches!(what, What::CheckOut { .. })) >= 20);
    assert!(count(|what| matches!(what, What::Charge(_))) >= 30);
    assert!(count(|what| matches!(what, What::Wall { .. })) >= 4);
    assert!(count(|what| matches!(what, What::Window { .. })) >= 10);
    assert_eq!(count(|what| matches!(what, What::Audit { .. })), 2);
    let mut shared = false;
    let mut rooms: BTreeMap<&str, i32> = BTreeMap::new();
    for event in &events {
        match &event.what {
            What::CheckIn { room, .. } => *rooms.entry(room).or_default() += 1,
            What::CheckOut { room, .. } => *rooms.entry(room).or_default() -= 1,
            What::Move { from, to, .. } => {
                *rooms.entry(from).or_default() -= 1;
                *rooms.entry(to).or_default() += 1;
            }
            _ => {}
        }
        shared |= rooms.values().any(|guests| *guests == 2);
    }
    assert!(shared, "two stays in one room");
}
