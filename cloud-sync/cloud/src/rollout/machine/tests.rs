//! Fleets of chance under rollouts, with a virtual clock and a cloud that is killed at any moment; and each rule by itself.

use super::*;
use crate::rollout::acts::{self, By};
use crate::rollout::answer::{Asking, answer};
use crate::rollout::heard::{self, Heard};
use crate::rollout::plan::{Cohort, Plan, Release, Ring, WHOLE, Who, usual_rings};
use crate::rollout::state::Member;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

mod turns;

const MINUTE: i64 = 60 * SECOND;
const NEW: u64 = 30;

fn ring(name: &str, who: Who) -> Ring {
    Ring { name: name.into(), who, soak_s: 600, in_flight: 0, fail_count: 2, fail_share: 50, worse_by: 50 }
}

fn shares() -> Vec<Ring> {
    vec![ring("canary", Who::Share(50)), ring("early", Who::Share(250)), ring("all", Who::Share(WHOLE))]
}

fn variant(version: &str, number: u64) -> (Kind, String, Variant) {
    let manifest = format!("engawa/t/{version}/manifest.json");
    let (triple, hardware) = ("t".to_owned(), vec!["board".to_owned()]);
    (Kind::Application, version.to_owned(), Variant { triple, hardware, number, floor: 0, manifest })
}

fn catalogue() -> Catalogue {
    Catalogue::of(vec![variant("0.2.0", 20), variant("0.3.0", NEW)])
}

fn plan(rings: Vec<Ring>) -> Plan {
    Plan {
        release: Release {
            kind: Kind::Application,
            version: "0.3.0".into(),
            variants: vec![variant("0.3.0", NEW).2],
        },
        cohort: Cohort::default(),
        rings,
        conditions: serde_json::Value::Null,
        away_after_s: 6 * 3_600,
        trial_s: 1_800,
        proof: 500,
        catalogue: 0,
    }
}

/// What a box would do, and how far it is.
#[derive(Clone, Default)]
struct Box_ {
    fails: bool,
    /// It answers nothing once it has switched.
    dies: bool,
    at: Option<(Heard, u32)>,
    went_back: bool,
}

struct World {
    fleet: Fleet,
    boxes: BTreeMap<String, Box_>,
    random: StdRng,
    now: Now,
    id: String,
    /// Everybody who was ever told, and of what.
    told: Vec<(String, String)>,
}

impl World {
    fn new(seed: u64, gateways: usize, rings: Vec<Ring>) -> Self {
        let mut fleet = Fleet::default();
        let mut boxes = BTreeMap::new();
        for n in 0..gateways {
            let gateway = format!("gw-{n}");
            let software = Software {
                version: "0.2.0".into(),
                number: 20,
                triple: "t".into(),
                hardware: "board".into(),
                ..Software::default()
            };
            let member = Member {
                gateway: gateway.clone(),
                property: format!("p-{}", n / 3),
                software: Some(software),
                connected: true,
                seen_micros: Some(0),
                ..Member::default()
            };
            fleet.members.insert(gateway.clone(), member);
            boxes.insert(gateway, Box_::default());
        }
        let now = Now { micros: 1_000 * MINUTE, serving_since: 0 };
        let mut world =
            Self { fleet, boxes, random: StdRng::seed_from_u64(seed), now, id: String::new(), told: vec![] };
        let (rollout, writes) = acts::create(&world.fleet, plan(rings), world.by()).unwrap();
        world.id = rollout.id;
        world.write(&writes);
        world
    }

    fn by(&self) -> By<'static> {
        By { who: "ann", why: "", micros: self.now.micros }
    }

    fn write(&mut self, writes: &[Write]) {
        writes.iter().for_each(|write| self.fleet.apply(write));
    }

    fn start(&mut self) {
        let writes = acts::start(&self.fleet, &self.id, self.by()).unwrap();
        self.write(&writes);
    }

    fn rollout(&self) -> &Rollout {
        &self.fleet.rollouts[&self.id]
    }

    fn state(&self) -> State {
        self.rollout().state
    }

    fn rows(&self) -> Vec<&Row> {
        self.fleet.rows_of(&self.id).collect()
    }

    fn count(&self, step: Step) -> usize {
        self.rows().iter().filter(|row| row.step == step).count()
    }

    /// The cloud looks; true where it lived to store what it decided.
    fn tick(&mut self, killed: bool) {
        let rollout = self.rollout().clone();
        let decisions = step(&rollout, &self.fleet, Some(Look::from(&catalogue())), self.now);
        assert_eq!(
            decisions,
            step(&rollout, &self.fleet, Some(Look::from(&catalogue())), self.now),
            "rows alone decide"
        );
        if killed {
            return;
        }
        let assigns = decisions
            .iter()
            .any(|decision| matches!(decision, Decision::Assign(row) if row.step != Step::Away));
        let writes = writes(&rollout, decisions, self.now);
        self.write(&writes);
        let after = self.rollout().clone();
        if assigns {
            assert!(after.state == State::Running, "{:?} gives nobody a turn", after.state);
            let placed = place(&after, &self.fleet);
            let cohort = placed.rings.iter().map(Vec::len).sum::<usize>() + placed.unplaced;
            let open = &after.plan.rings[after.ring as usize];
            if let Who::Share(share) = open.who {
                let allowed = (cohort * share as usize).div_ceil(WHOLE as usize);
                assert!(self.rows().len() <= allowed, "{} turns, {allowed} allowed", self.rows().len());
            }
            let open_now = self.rows().iter().filter(|row| !row.step.is_end()).count();
            assert!(open.in_flight == 0 || open_now <= open.in_flight as usize, "{open_now} on the way");
        }
    }

    /// A gateway asks, and goes on with what it was told.
    fn asks(&mut self, gateway: &str, killed: bool) {
        let member = self.fleet.members[gateway].clone();
        let mut software = member.software.clone().unwrap();
        let at = self.boxes[gateway].at.clone();
        if at.as_ref().is_some_and(|(heard, _)| heard.step == Step::Trial) {
            software.state = "trial".into();
        }
        let turn = self.fleet.row(&self.id, gateway).cloned();
        let asking = Asking {
            turns: turn.clone().map(|row| (self.rollout().clone(), row)).into_iter().collect(),
            blocked: self
                .fleet
                .blocks
                .iter()
                .filter(|block| block.gateway.is_empty() || block.gateway == gateway)
                .map(|block| (block.kind, block.version.clone()))
                .collect(),
            soon: true,
        };
        let (told, writes) = answer(&software, None, &asking, self.now.micros);
        if killed {
            return;
        }
        self.write(&writes);
        if told.version.is_empty() {
            // Not wanted any more: what has not switched is dropped.
            let of = self.boxes.get_mut(gateway).unwrap();
            of.at = of.at.take().filter(|(heard, _)| heard.step.is_trying());
            return;
        }
        let row = self.fleet.row(&self.id, gateway).expect("nobody is told who has no turn");
        assert!(row.told_micros.is_some() && row.number == told.number && row.version == told.version);
        assert!(self.state().tells() || row.back, "{:?} tells nobody", self.state());
        assert!(
            !self.fleet.is_blocked(gateway, Kind::Application, &told.version),
            "a blocked version is offered"
        );
        assert!(
            !(self.boxes[gateway].went_back && told.version == "0.3.0"),
            "offered again after it went back"
        );
        self.told.push((gateway.to_owned(), told.version.clone()));
        let of = self.boxes.get_mut(gateway).unwrap();
        if of.at.as_ref().is_none_or(|(heard, _)| heard.number != told.number) {
            let (rollout, version, number) = (told.rollout, told.version, told.number);
            of.at = Some((
                Heard {
                    rollout,
                    version,
                    number,
                    attempt: None,
                    step: Step::Downloading,
                    reason: String::new(),
                },
                0,
            ));
        }
    }

    /// A box goes one step further, and its journal row reaches the cloud.
    fn works(&mut self, gateway: &str) {
        let of = self.boxes.get_mut(gateway).unwrap();
        let Some((heard, _)) = &mut of.at else { return };
        heard.step = match heard.step {
            Step::Downloading => Step::Waiting,
            Step::Waiting => Step::Trial,
            _ if of.dies && heard.version == "0.3.0" => return,
            _ if of.fails && heard.version == "0.3.0" => {
                of.went_back = true;
                heard.reason = "the PMS link is down".into();
                Step::RolledBack
            }
            _ => Step::Confirmed,
        };
        let heard = heard.clone();
        let software = self.fleet.members.get_mut(gateway).unwrap().software.as_mut().unwrap();
        match heard.step {
            Step::Trial | Step::Confirmed => {
                (software.version, software.number) = (heard.version.clone(), heard.number);
            }
            Step::RolledBack => (software.version, software.number) = ("0.2.0".into(), 20),
            _ => {}
        }
        if heard.step.is_end() {
            of.at = None;
        }
        // Rows come at least once; what is there twice counts once.
        for _ in 0..2 {
            let Some(row) = self.fleet.row(&self.id, gateway).cloned() else { return };
            if let Some((_, writes)) = heard::heard(&row, Kind::Application, &heard, self.now.micros) {
                self.write(&writes);
            }
        }
    }

    /// A minute in which everything may happen.
    fn minute(&mut self, kills: f64) {
        self.now.micros += MINUTE;
        let killed = self.random.random_bool(kills);
        if killed {
            self.now.serving_since = self.now.micros;
        }
        self.tick(killed);
        let gateways: Vec<String> = self.boxes.keys().cloned().collect();
        for gateway in gateways {
            if !self.fleet.members[&gateway].connected {
                continue;
            }
            let (asks, works) = (self.random.random_bool(0.3), self.random.random_bool(0.3));
            if asks {
                let killed = self.random.random_bool(kills);
                self.asks(&gateway, killed);
            }
            if works {
                self.works(&gateway);
            }
        }
    }

    fn until_rest(&mut self, minutes: usize) {
        for _ in 0..minutes {
            if !self.state().moves() {
                return;
            }
            self.minute(0.0);
        }
        panic!("still {:?} after {minutes} minutes: {:?}", self.state(), self.rows());
    }
}

#[test]
fn fleets_of_chance_are_never_told_more_than_their_ring_allows() {
    let seeds: u64 = std::env::var("ROLLOUTS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rings = shares();
        for ring in &mut rings {
            ring.in_flight = if random.random_bool(0.5) { 0 } else { random.random_range(1..8) };
            ring.soak_s = random.random_range(0..3_600);
        }
        let gateways = random.random_range(1..80);
        let mut world = World::new(seed, gateways, rings);
        let sick = [0.0, 0.02, 0.1, 0.6][random.random_range(0..4)];
        for of in world.boxes.values_mut() {
            of.fails = random.random_bool(sick);
            of.dies = random.random_bool(sick / 4.0);
        }
        world.start();
        let kills = [0.0, 0.2, 0.7][random.random_range(0..3)];
        for _ in 0..(3 * 24 * 60) {
            if !matches!(world.state(), State::Running | State::Paused | State::RollingBack) {
                break;
            }
            world.minute(kills);
            if random.random_bool(0.01) {
                let gateway = format!("gw-{}", random.random_range(0..gateways));
                let member = world.fleet.members.get_mut(&gateway).unwrap();
                (member.connected, member.seen_micros) = (!member.connected, Some(world.now.micros));
            }
            let act = match (random.random_range(0..2_000), world.state()) {
                (0..4, State::Running) => acts::pause(&world.fleet, &world.id, world.by()),
                (0..200, State::Paused) => acts::resume(&world.fleet, &world.id, world.by()),
                (4, State::Running) => acts::back(&world.fleet, &world.id, world.by()),
                _ => Ok(vec![]),
            };
            world.write(&act.unwrap());
        }
        // After a halt, an end, or a way back nobody hears of the new version.
        if world.state() != State::Done {
            let before = world.told.len();
            for gateway in world.boxes.keys().cloned().collect::<Vec<_>>() {
                world.asks(&gateway, false);
            }
            let late: Vec<_> = world.told.drain(before..).filter(|(_, version)| version == "0.3.0").collect();
            assert!(late.is_empty(), "{:?} told {late:?}, seed {seed}", world.state());
        }
        *ends.entry(world.state().word()).or_default() += 1;
    }
    // The fleets were of all kinds.
    if seeds >= 40 {
        for end in ["done", "halted", "aborted"] {
            assert!(ends.get(end).is_some_and(|count| *count > 1), "{ends:?}");
        }
    }
    assert!(!ends.contains_key("running") && !ends.contains_key("rolling_back"), "{ends:?}");
}

#[test]
fn a_healthy_release_reaches_all_ring_after_ring() {
    let mut world = World::new(1, 100, shares());
    world.start();
    world.tick(false);
    assert_eq!(world.rows().len(), 5, "5 % first");
    world.until_rest(24 * 60);
    assert_eq!((world.state(), world.count(Step::Confirmed)), (State::Done, 100));
    let refused = acts::abort(&world.fleet, &world.id, world.by()).unwrap_err().to_string();
    assert!(refused.contains("is done already") && refused.contains("rollout back r-1"), "{refused}");
    let opened: Vec<u32> = world.rows().iter().map(|row| row.ring).collect();
    assert_eq!([0, 1, 2].map(|ring| opened.iter().filter(|of| **of == ring).count()), [5, 20, 75]);
}

#[test]
fn a_release_that_fails_on_a_tenth_halts_in_the_first_ring() {
    let mut world = World::new(2, 500, usual_rings());
    for (n, of) in world.boxes.values_mut().enumerate() {
        of.fails = n % 10 == 0;
    }
    world.start();
    world.until_rest(24 * 60);
    assert_eq!((world.state(), world.rollout().ring), (State::Halted, 0), "{}", world.rollout().reason);
    assert!(world.rows().len() <= 50 && world.rollout().reason.contains("PMS link is down"));
    // Looked at, it goes on, and halts again for new failures alone.
    let old = world.count(Step::RolledBack);
    let resumed = acts::resume(&world.fleet, &world.id, world.by()).unwrap();
    world.write(&resumed);
    world.tick(false);
    assert_eq!(world.state(), State::Running);
    world.until_rest(24 * 60);
    assert!(world.count(Step::RolledBack) > old);
}

#[test]
fn a_ring_that_is_worse_than_the_one_before_halts() {
    let mut rings = shares();
    // Failures alone would not stop it.
    rings.iter_mut().for_each(|ring| ring.fail_share = WHOLE);
    let mut world = World::new(3, 100, rings);
    world.start();
    while world.rollout().ring == 0 {
        world.minute(0.0);
    }
    for of in world.boxes.values_mut() {
        of.fails = world.random.random_bool(0.3);
    }
    world.until_rest(24 * 60);
    assert_eq!((world.state(), world.rollout().ring), (State::Halted, 1));
    assert!(world.rollout().reason.contains("in ring canary it were 0 of 5"), "{}", world.rollout().reason);
}

#[test]
fn a_ring_with_more_alerts_than_the_one_before_halts() {
    let mut rings = shares();
    rings.iter_mut().for_each(|ring| ring.soak_s = 2 * 3_600);
    let mut world = World::new(4, 100, rings);
    world.start();
    while world.rollout().ring == 0 {
        world.minute(0.0);
    }
    while world.rows().iter().filter(|row| row.ring == 1 && row.step == Step::Confirmed).count() < 20 {
        world.minute(0.0);
    }
    for row in world.fleet.rows.get_mut(&world.id).unwrap().values_mut().filter(|row| row.ring == 1) {
        row.alerts = 2;
    }
    world.until_rest(24 * 60);
    assert_eq!(world.state(), State::Halted);
    assert!(world.rollout().reason.contains("alerts an hour"), "{}", world.rollout().reason);
}

#[test]
fn a_box_that_is_silent_after_its_switch_counts_as_failed() {
    let mut world = World::new(5, 40, shares());
    world.boxes.values_mut().for_each(|of| of.dies = true);
    world.start();
    world.until_rest(24 * 60);
    assert_eq!((world.state(), world.rollout().ring), (State::Halted, 0));
    assert!(world.rollout().reason.contains("no word since it switched over"), "{}", world.rollout().reason);
}

#[test]
fn a_box_that_is_lost_after_it_was_confirmed_counts_as_failed_but_for_a_cloud_that_was_away() {
    let mut rings = shares();
    rings.iter_mut().for_each(|ring| ring.soak_s = 4 * 3_600);
    let mut world = World::new(6, 40, rings);
    world.start();
    while world.count(Step::Confirmed) < 2 {
        world.minute(0.0);
    }
    let given: Vec<String> = world.rows().iter().map(|row| row.gateway.clone()).collect();
    for gateway in given {
        let member = world.fleet.members.get_mut(&gateway).unwrap();
        (member.connected, member.seen_micros) = (false, Some(world.now.micros));
    }
    world.now.micros += 30 * MINUTE;
    world.now.serving_since = world.now.micros;
    world.tick(false);
    assert_eq!(world.state(), State::Running, "the cloud has just come back itself");
    world.now.micros += 30 * MINUTE;
    world.tick(false);
    assert_eq!(world.state(), State::Halted);
    assert!(world.rollout().reason.contains("not connected since"), "{}", world.rollout().reason);
}

#[test]
fn gateways_that_are_away_do_not_hold_a_ring_up_for_ever_nor_prove_anything() {
    let mut world = World::new(7, 40, vec![ring("half", Who::Share(500)), ring("all", Who::Share(WHOLE))]);
    let placed = place(world.rollout(), &world.fleet);
    let half: Vec<String> = placed.rings[0].iter().map(|(gateway, _)| (*gateway).to_owned()).collect();
    for gateway in &half[..6] {
        world.fleet.members.get_mut(gateway).unwrap().connected = false;
    }
    world.start();
    while world.rollout().ring == 0 {
        world.minute(0.0);
        assert_eq!(world.state(), State::Running);
    }
    let waited = (world.now.micros - 1_000 * MINUTE) / MINUTE;
    assert!((6 * 60..6 * 60 + 60).contains(&waited), "{waited} minutes");
    world.until_rest(48 * 60);
    assert_eq!((world.state(), world.count(Step::Confirmed), world.count(Step::Away)), (State::Done, 34, 6));
    // Who is back gets it, also after the end; that can still be given up.
    acts::abort(&world.fleet, &world.id, world.by()).unwrap();
    world.asks(&half[0], false);
    assert_eq!(world.told.last(), Some(&(half[0].clone(), "0.3.0".to_owned())));

    // Of a ring of which most are away nothing is concluded.
    let mut world = World::new(7, 40, vec![ring("half", Who::Share(500)), ring("all", Who::Share(WHOLE))]);
    for gateway in &half[..16] {
        world.fleet.members.get_mut(gateway).unwrap().connected = false;
    }
    world.start();
    world.until_rest(48 * 60);
    assert_eq!((world.state(), world.rollout().ring), (State::Halted, 0));
    assert!(world.rollout().reason.contains("4 of 20 gateways were confirmed"), "{}", world.rollout().reason);
}

#[test]
fn labels_come_before_shares_and_fewer_are_on_the_way_than_may_be() {
    let mut rings = shares();
    rings.insert(0, ring("labelled", Who::Label("canary".into())));
    rings.iter_mut().for_each(|ring| ring.in_flight = 3);
    let mut world = World::new(8, 60, rings);
    for gateway in ["gw-7", "gw-50"] {
        let labelled = acts::label(&world.fleet, gateway, "canary", true, world.by()).unwrap();
        world.write(&labelled);
    }
    world.start();
    world.tick(false);
    let first: Vec<&str> = world.rows().iter().map(|row| row.gateway.as_str()).collect();
    assert_eq!(first, ["gw-50", "gw-7"]);
    world.until_rest(48 * 60);
    assert_eq!((world.state(), world.count(Step::Confirmed)), (State::Done, 60));
}

#[test]
fn whom_it_does_not_fit_it_does_not_reach() {
    let mut world = World::new(9, 10, vec![ring("all", Who::Share(WHOLE))]);
    let software = |world: &mut World, n: usize, change: fn(&mut Software)| {
        change(world.fleet.members.get_mut(&format!("gw-{n}")).unwrap().software.as_mut().unwrap());
    };
    software(&mut world, 0, |software| software.triple = "other".into());
    software(&mut world, 1, |software| software.hardware = "other".into());
    software(&mut world, 2, |software| software.number = 31);
    software(&mut world, 3, |software| software.floor = 31);
    world.fleet.members.get_mut("gw-4").unwrap().software = None;
    let blocked = acts::block(&world.fleet, Kind::Application, "0.3.0", "gw-5", world.by()).unwrap();
    world.write(&blocked);
    world.start();
    world.tick(false);
    let reached: Vec<&str> = world.rows().iter().map(|row| row.gateway.as_str()).collect();
    assert_eq!(reached, ["gw-6", "gw-7", "gw-8", "gw-9"]);
}

#[test]
fn all_go_back_to_what_they_had_but_not_below_their_floor() {
    let mut world = World::new(10, 20, vec![ring("all", Who::Share(WHOLE))]);
    world.start();
    world.until_rest(24 * 60);
    assert_eq!(world.state(), State::Done);
    world.fleet.members.get_mut("gw-3").unwrap().software.as_mut().unwrap().floor = 25;
    let back = acts::back(&world.fleet, &world.id, world.by()).unwrap();
    world.write(&back);
    assert!(world.fleet.blocked_everywhere(Kind::Application, "0.3.0"));
    world.until_rest(24 * 60);
    assert_eq!(world.state(), State::Aborted);
    assert!(
        world.rollout().reason.contains("19 gateways went back, 1 could not"),
        "{}",
        world.rollout().reason
    );
    let versions =
        world.fleet.members.values().filter(|member| member.software.as_ref().unwrap().number == 20);
    assert_eq!(versions.count(), 19);
    assert_eq!(
        world.fleet.row(&world.id, "gw-3").unwrap().reason,
        "0.2.0 has number 20, and its floor is 25"
    );
}

#[test]
fn what_was_revoked_or_blocked_halts() {
    let mut world = World::new(11, 20, shares());
    world.start();
    world.tick(false);
    let without = Catalogue::of(vec![variant("0.2.0", 20)]);
    let halted = step(world.rollout(), &world.fleet, Some((&without).into()), world.now);
    assert!(matches!(&halted[..], [Decision::Halt(why)] if why.contains("revoked")), "{halted:?}");
    assert!(
        step(world.rollout(), &world.fleet, None, world.now).is_empty(),
        "a folder that can't be read says nothing"
    );
    let blocked = acts::block(&world.fleet, Kind::Application, "0.3.0", "", world.by()).unwrap();
    world.write(&blocked);
    world.tick(false);
    assert_eq!(world.state(), State::Halted);
    let refused = acts::resume(&world.fleet, &world.id, world.by()).unwrap_err().to_string();
    assert!(refused.contains("is blocked"), "{refused}");
}

#[test]
fn one_gateway_is_in_one_rollout_at_a_time() {
    let mut world = World::new(12, 20, shares());
    world.start();
    world.tick(false);
    let mut newer = plan(shares());
    newer.release.version = "0.4.0".into();
    newer.release.variants[0].number = 40;
    let (second, writes) = acts::create(&world.fleet, newer, world.by()).unwrap();
    world.write(&writes);
    let refused = acts::start(&world.fleet, &second.id, world.by()).unwrap_err().to_string();
    assert!(refused.contains("rollout r-1 (0.3.0, running) is to 20 of the same gateways"), "{refused}");
    let aborted = acts::abort(&world.fleet, &world.id, world.by()).unwrap();
    world.write(&aborted);
    assert_eq!(world.count(Step::Cancelled), 1);
    acts::start(&world.fleet, &second.id, world.by()).unwrap();
}

#[test]
fn the_oldest_that_has_ended_makes_room() {
    let mut world = World::new(13, 3, shares());
    let first = world.rollout().clone();
    for number in 2..=acts::MOST_ROLLOUTS as i64 {
        let more = Rollout { id: format!("r-{number}"), number, ..first.clone() };
        world.fleet.rollouts.insert(more.id.clone(), more);
    }
    let create = |world: &World| acts::create(&world.fleet, plan(shares()), world.by());
    let refused = create(&world).unwrap_err().to_string();
    assert!(refused.contains("none of them has ended") && refused.contains("rollout abort"), "{refused}");
    for id in ["r-7", "r-3", "r-9000"] {
        world.fleet.rollouts.get_mut(id).unwrap().state = State::Aborted;
    }
    let (made, writes) = create(&world).unwrap();
    assert_eq!(made.id, "r-10001");
    world.write(&writes);
    assert_eq!(world.fleet.rollouts.len(), acts::MOST_ROLLOUTS);
    assert!(!world.fleet.rollouts.contains_key("r-3") && world.fleet.rollouts.contains_key("r-7"));
}

#[test]
fn what_is_out_of_place_is_refused_in_words() {
    let mut world = World::new(13, 3, shares());
    let fleet = &world.fleet;
    let by = world.by();
    let refusals = [
        (acts::pause(fleet, "r-1", by), "is draft"),
        (acts::resume(fleet, "r-1", by), "paused or halted"),
        (acts::back(fleet, "r-1", by), "begun"),
        (acts::start(fleet, "r-9", by), "there is no rollout `r-9`"),
        (acts::retry(fleet, "r-1", "gw-1", by), "has had no turn"),
        (acts::label(fleet, "nobody", "x", true, by), "there is no gateway `nobody`"),
        (acts::label(fleet, "gw-1", "a b", true, by), "expected up to 64 letters"),
        (acts::unblock(fleet, Kind::Application, "0.3.0", "", by), "is not blocked for all"),
    ];
    for (refusal, why) in refusals {
        assert!(refusal.unwrap_err().to_string().contains(why), "{why}");
    }
    for member in world.fleet.members.values_mut() {
        member.software.as_mut().unwrap().number = NEW;
    }
    let nobody = acts::start(&world.fleet, "r-1", world.by()).unwrap_err().to_string();
    assert!(nobody.contains("reaches nobody") && nobody.contains("3 have it or a newer one"), "{nobody}");
}
