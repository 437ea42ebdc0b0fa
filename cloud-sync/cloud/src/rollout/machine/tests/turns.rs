//! Turns: tried again, taken back, old ones, those of who was away; and what is bounded.

use super::*;
use crate::rollout::answer::asked;
use engawa_protocol::update::UpdateAsk;

#[test]
fn a_failed_gateway_has_another_turn_when_somebody_says_so() {
    let mut rings = vec![ring("all", Who::Share(WHOLE))];
    rings[0].fail_count = 100;
    rings[0].fail_share = WHOLE;
    let mut world = World::new(14, 4, rings);
    world.start();
    world.tick(false);
    let row = world.fleet.row("r-1", "gw-2").unwrap().clone();
    let (rollout, version, number) = ("r-1".to_owned(), "0.3.0".to_owned(), NEW);
    let failed = Heard {
        rollout,
        version,
        number,
        attempt: None,
        step: Step::Failed,
        reason: "the disk is full".into(),
    };
    let (_, writes) = heard::heard(&row, Kind::Application, &failed, world.now.micros).unwrap();
    world.write(&writes);
    world.asks("gw-2", false);
    assert!(world.told.is_empty(), "what failed is not told again by itself");
    let retried = acts::retry(&world.fleet, "r-1", "gw-2", world.by()).unwrap();
    world.write(&retried);
    world.until_rest(24 * 60);
    assert_eq!(world.count(Step::Confirmed), 4);
}

/// What a gateway has found bad it takes in a later attempt, and says then what came of which.
#[test]
fn another_turn_is_told_as_another_attempt() {
    let mut world = World::new(22, 2, vec![ring("all", Who::Share(WHOLE))]);
    world.start();
    world.tick(false);
    let first = world.fleet.row("r-1", "gw-1").unwrap().clone();
    world.write(&[Write::Row(Box::new(Row { step: Step::Failed, ended_micros: Some(1), ..first }))]);
    let retried = acts::retry(&world.fleet, "r-1", "gw-1", world.by()).unwrap();
    world.write(&retried);
    let software = world.fleet.members["gw-1"].software.clone().unwrap();
    let ask = |world: &World, last_attempt| {
        let last = UpdateAsk {
            last_rollout: "r-1".into(),
            last_outcome: "failed".into(),
            last_attempt,
            ..UpdateAsk::default()
        };
        let last = asked(&last, "eu-1", 1).1;
        let row = world.fleet.row("r-1", "gw-1").unwrap().clone();
        let asking = Asking { turns: vec![(world.rollout().clone(), row)], ..Asking::default() };
        answer(&software, last.as_ref(), &asking, world.now.micros)
    };
    let (told, writes) = ask(&world, 0);
    assert_eq!((told.attempt, told.back, told.version.as_str()), (1, false, "0.3.0"));
    world.write(&writes);
    let row = world.fleet.row("r-1", "gw-1").unwrap().clone();
    world.write(&[Write::Row(Box::new(Row { step: Step::Trial, ..row }))]);
    assert!(ask(&world, 0).1.is_empty(), "what came of the first attempt is not the second's");
    world.write(&ask(&world, 1).1);
    assert_eq!(world.fleet.row("r-1", "gw-1").unwrap().step, Step::Failed);
}

#[test]
fn a_way_back_is_told_as_one() {
    let mut world = done(23, 2, |_| ());
    let back = acts::back(&world.fleet, "r-1", world.by()).unwrap();
    world.write(&back);
    world.tick(false);
    let row = world.fleet.row("r-1", "gw-0").unwrap().clone();
    let software = world.fleet.members["gw-0"].software.clone().unwrap();
    let asking = Asking { turns: vec![(world.rollout().clone(), row)], ..Asking::default() };
    let (told, _) = answer(&software, None, &asking, world.now.micros);
    assert_eq!((told.back, told.attempt, told.version.as_str()), (true, 0, "0.2.0"));
    let frame = engawa_protocol::update::UpdateTold::from(told);
    assert!(frame.back && frame.attempt == 0);
}

fn done(seed: u64, gateways: usize, change: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(seed, gateways, vec![ring("all", Who::Share(WHOLE))]);
    change(&mut world);
    world.start();
    world.until_rest(48 * 60);
    assert_eq!(world.state(), State::Done);
    world
}

/// What stays in the repository: what runs, what may still be told, and what somebody would go back to.
#[test]
fn what_somebody_has_or_may_go_back_to_is_in_use() {
    use crate::rollout::in_use::in_use;
    let has =
        |world: &World, version: &str| in_use(&world.fleet).contains(&(Kind::Application, version.into()));
    let mut world = World::new(24, 2, vec![ring("all", Who::Share(WHOLE))]);
    assert!(has(&world, "0.3.0") && has(&world, "0.2.0") && !has(&world, ""), "a draft is meant");
    world.start();
    world.until_rest(48 * 60);
    assert_eq!(world.state(), State::Done);
    assert!(has(&world, "0.3.0") && has(&world, "0.2.0"), "it can be gone back from");
    newer(&mut world, "gw-0");
    newer(&mut world, "gw-1");
    assert!(has(&world, "0.4.0") && !has(&world, "0.3.0") && !has(&world, "0.2.0"), "nobody has them");
}

fn newer(world: &mut World, gateway: &str) {
    let software = world.fleet.members.get_mut(gateway).unwrap().software.as_mut().unwrap();
    (software.version, software.number) = ("0.4.0".into(), 40);
    software.asked_micros = world.now.micros;
}

#[test]
fn an_old_turn_takes_no_gateway_down_from_a_newer_release() {
    let mut world = done(15, 4, |world| world.fleet.members.get_mut("gw-0").unwrap().connected = false);
    newer(&mut world, "gw-0");
    world.asks("gw-0", false);
    assert!(world.told.iter().all(|(gateway, _)| gateway != "gw-0"));
    assert_eq!(world.fleet.row("r-1", "gw-0").unwrap().step, Step::Cancelled);
}

#[test]
fn going_back_is_for_those_that_have_the_version() {
    let mut world = done(16, 4, |_| ());
    newer(&mut world, "gw-0");
    let back = acts::back(&world.fleet, "r-1", world.by()).unwrap();
    world.write(&back);
    world.until_rest(48 * 60);
    assert_eq!(world.fleet.row("r-1", "gw-0").unwrap().step, Step::Cancelled);
    assert!(world.rollout().reason.contains("3 gateways went back"), "{}", world.rollout().reason);
    let mut world = done(16, 2, |_| ());
    newer(&mut world, "gw-0");
    newer(&mut world, "gw-1");
    let refused = acts::back(&world.fleet, "r-1", world.by()).unwrap_err().to_string();
    assert!(refused.contains("nobody has 0.3.0") && refused.contains("rollout block 0.3.0"), "{refused}");
}

#[test]
fn who_waits_for_its_window_is_not_away() {
    let mut world = World::new(17, 10, vec![ring("all", Who::Share(WHOLE))]);
    world.start();
    world.tick(false);
    for n in 0..10 {
        let gateway = format!("gw-{n}");
        world.asks(&gateway, false);
        world.works(&gateway);
    }
    // One of them is switched off.
    for _ in 0..(5 * 24 * 60) {
        world.now.micros += MINUTE;
        for n in 1..10 {
            let member = world.fleet.members.get_mut(&format!("gw-{n}")).unwrap();
            member.software.as_mut().unwrap().asked_micros = world.now.micros;
        }
        world.tick(false);
    }
    assert_eq!((world.state(), world.count(Step::Waiting), world.count(Step::Away)), (State::Running, 9, 1));
    // It is back: its time begins anew.
    world.asks("gw-0", false);
    world.tick(false);
    assert_eq!(world.fleet.row("r-1", "gw-0").unwrap().step, Step::Told);
}

#[test]
fn a_line_that_is_down_and_a_gateway_that_is_revoked_are_no_failures() {
    let mut rings = usual_rings();
    rings[0].soak_s = 10 * 86_400;
    let mut world = World::new(18, 200, rings);
    world.start();
    while world.count(Step::Confirmed) < 20 {
        world.minute(0.0);
    }
    world.now.micros += 5 * 24 * 60 * MINUTE;
    let given: Vec<String> = world.rows().iter().map(|row| row.gateway.clone()).collect();
    let member = world.fleet.members.get_mut(&given[0]).unwrap();
    (member.connected, member.seen_micros) = (false, Some(world.now.micros));
    world.fleet.members.remove(&given[1]);
    world.now.micros += 16 * MINUTE;
    world.tick(false);
    assert_eq!(world.state(), State::Running, "{}", world.rollout().reason);
}

#[test]
fn when_its_time_is_over_nobody_begins_and_nobody_has_failed() {
    let mut world = World::new(19, 20, usual_rings());
    world.fleet.rollouts.get_mut("r-1").unwrap().plan.conditions =
        serde_json::json!({ "not_after": "1970-01-02T00:00:00Z" });
    world.start();
    world.tick(false);
    let gateway = world.rows()[0].gateway.clone();
    world.asks(&gateway, false);
    world.now.micros = 24 * 60 * MINUTE + MINUTE;
    let row = world.fleet.row("r-1", &gateway).unwrap().clone();
    let (rollout, version, number) = ("r-1".to_owned(), "0.3.0".to_owned(), NEW);
    let over = Heard {
        rollout,
        version,
        number,
        attempt: None,
        step: Step::Refused,
        reason: "its time is over".into(),
    };
    let (_, writes) = heard::heard(&row, Kind::Application, &over, world.now.micros).unwrap();
    world.write(&writes);
    world.tick(false);
    assert_eq!((world.state(), world.count(Step::Cancelled)), (State::Done, 1));
    let told = world.told.len();
    world.asks(&gateway, false);
    assert_eq!(world.told.len(), told);
}

#[test]
fn an_older_copy_of_the_repository_concludes_nothing() {
    let mut world = World::new(20, 4, shares());
    world.fleet.rollouts.get_mut("r-1").unwrap().plan.catalogue = 7;
    world.start();
    let without = Catalogue::of(vec![variant("0.2.0", 20)]);
    let halts = |version| {
        let known = without.clone().at(version);
        matches!(
            &step(world.rollout(), &world.fleet, Some((&known).into()), world.now)[..],
            [Decision::Halt(_)]
        )
    };
    assert!(!halts(6) && halts(7));
}

#[test]
fn a_turn_does_not_change_for_ever_and_blocks_are_bounded() {
    let mut world = done(21, 2, |_| ());
    let says = |step, version: &str| Heard {
        rollout: "r-1".into(),
        version: version.into(),
        number: 0,
        attempt: None,
        step,
        reason: String::new(),
    };
    let mut changes = 0;
    for step in [Step::RolledBack, Step::Confirmed].into_iter().cycle().take(20) {
        let row = world.fleet.row("r-1", "gw-0").unwrap().clone();
        if let Some((_, writes)) = heard::heard(&row, Kind::Application, &says(step, "0.3.0"), 1) {
            changes += 1;
            world.write(&writes);
        }
    }
    assert_eq!(changes, 1);
    for n in 0..100 {
        let told = says(Step::RolledBack, &format!("1.0.{n}"));
        world.fleet.apply(&heard::blocks("gw-1", Kind::Application, &told, n).unwrap());
    }
    let kept = world.fleet.blocks.iter().filter(|block| block.gateway == "gw-1");
    assert_eq!(kept.count(), crate::rollout::state::MOST_BLOCKS);
}
