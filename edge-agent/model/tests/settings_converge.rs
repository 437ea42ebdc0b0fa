//! Two ends change settings by chance while messages between them are lost, repeated and reordered, clocks jump by a year and
//! processes start again from what they had stored. Afterwards both have the same, and no conflict is missing in either log.
//!
//! What should be is reckoned by an oracle that knows nothing of clocks: every write has a name of its own, and the oracle
//! keeps for each end the set of writes that it has heard of, and for each write the set that its end had heard of before.
//!
//! `HISTORIES=n` plays more. The campaign has teeth: ends with a flaw are found.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::Timestamp;
use engawa_model::settings::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// One field of each kind of rule, and both kinds of one writer.
const NAMES: [&str; 6] = [
    "climate.comfort-c",
    "climate.highest-c",
    "climate.lowest-c",
    "climate.guest-hold-s",
    "privacy.share-preferences",
    "feature.pre-arrival",
];
/// Writes of one field in one history: as many conflicts as travel with a register.
const MOST_WRITES: usize = 5;
const YEAR_S: i64 = 365 * 86_400;

/// What is broken in both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    /// Stamps are the wall's alone.
    NoCount,
    /// Conflicts are decided and not noted.
    NoRecord,
    /// A write comes after nothing but its own clock.
    NotAfter,
    /// The other end's clock is followed wherever it goes: no fault of agreement, so it must not be found.
    FollowsAll,
    /// Of two that stand side by side one is thrown away when they are joined.
    ThrowsAway,
}

/// A small generator, so that a seed is the same history on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

type Known = BTreeSet<String>;

struct End {
    me: Node,
    clock: Clock,
    registers: BTreeMap<&'static str, Register>,
    notes: Vec<(&'static str, Note)>,
    /// How far this end's wall is off, seconds.
    off_s: i64,
    /// The oracle's: what this end has heard of.
    known: BTreeMap<&'static str, Known>,
}

#[derive(Clone)]
struct Letter {
    to: Node,
    name: &'static str,
    register: Register,
    known: Known,
}

struct World {
    flaw: Flaw,
    dice: Dice,
    now_s: i64,
    ends: [End; 2],
    letters: Vec<Letter>,
    /// The oracle's: what the end of a write had heard of.
    before: BTreeMap<String, Known>,
    written: BTreeMap<&'static str, usize>,
    /// Pairs that stood side by side somewhere.
    pairs: BTreeSet<(&'static str, String, String)>,
}

/// Those of `known` that none of the others had heard of.
fn newest(known: &Known, before: &BTreeMap<String, Known>) -> Known {
    known.iter().filter(|one| known.iter().all(|other| !before[other].contains(*one))).cloned().collect()
}

impl World {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let end = |me| End {
            me,
            clock: Clock::default(),
            registers: BTreeMap::new(),
            notes: vec![],
            off_s: 0,
            known: BTreeMap::new(),
        };
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        dice.roll(2);
        Self {
            flaw,
            dice,
            now_s: 1_800_000_000,
            ends: [end(Node::Edge), end(Node::Cloud)],
            letters: vec![],
            before: BTreeMap::new(),
            written: BTreeMap::new(),
            pairs: BTreeSet::new(),
        }
    }

    fn now(&self, end: usize) -> Timestamp {
        Timestamp::from_second(self.now_s + self.ends[end].off_s).unwrap()
    }

    fn write(&mut self, end: usize, name: &'static str) -> Result<(), String> {
        if *self.written.get(name).unwrap_or(&0) >= MOST_WRITES {
            return Ok(());
        }
        let field = field(name).unwrap();
        let value = match (field.kind, self.dice.roll(4)) {
            (_, 0) => None,
            (Kind::Switch, n) => Some(SettingValue::Switch(n > 1)),
            _ => Some(SettingValue::Number(15.0 + self.dice.roll(5) as f64)),
        };
        let id = format!("w{}", self.before.len());
        let now = self.now(end);
        let flaw = self.flaw;
        let this = &mut self.ends[end];
        let own = this.registers.get(name).cloned().unwrap_or_default();
        // An end that forgets what it replaces stamps as if there were nothing.
        let base = if flaw == Flaw::NotAfter { Register::default() } else { own.clone() };
        let written = write(field, this.me, &base, value, &id, &mut this.clock, now);
        let mine = match field.writer {
            Writer::Both(_) => true,
            Writer::Edge => this.me == Node::Edge,
            Writer::Cloud => this.me == Node::Cloud,
        };
        let mut register = match written {
            Err(WriteError::NotOurs { .. }) if !mine => return Ok(()),
            Err(error) => return Err(format!("{name} at {:?}: {error}", this.me)),
            Ok(_) if !mine => return Err(format!("{name} was written at {:?}", this.me)),
            Ok(register) => register,
        };
        if flaw == Flaw::NotAfter {
            let other = this.me.other();
            register.conflicts = own.conflicts.clone();
            match other {
                Node::Edge => register.seen.edge = own.seen.edge,
                Node::Cloud => register.seen.cloud = own.seen.cloud,
            }
        }
        if flaw == Flaw::NoCount {
            let place = match this.me {
                Node::Edge => (&mut register.edge, &mut register.seen.edge),
                Node::Cloud => (&mut register.cloud, &mut register.seen.cloud),
            };
            place.1.n = 0;
            if let Some(write) = place.0 {
                write.at.n = 0;
            }
        }
        this.registers.insert(name, register);
        let known = this.known.entry(name).or_default();
        self.before.insert(id.clone(), known.clone());
        known.insert(id);
        *self.written.entry(name).or_default() += 1;
        self.send(end, name);
        Ok(())
    }

    fn send(&mut self, end: usize, name: &'static str) {
        let this = &self.ends[end];
        let (to, register) = (this.me.other(), this.registers.get(name).cloned().unwrap_or_default());
        let known = this.known.get(name).cloned().unwrap_or_default();
        self.letters.push(Letter { to, name, register, known });
    }

    fn deliver(&mut self, place: usize, keep: bool) -> Result<(), String> {
        let letter = if keep { self.letters[place].clone() } else { self.letters.swap_remove(place) };
        let end = usize::from(letter.to == Node::Cloud);
        let (now, flaw, name) = (self.now(end), self.flaw, letter.name);
        let field = field(name).unwrap();
        let this = &mut self.ends[end];
        let own = this.registers.get(name).cloned().unwrap_or_default();
        let mut taken = receive(field, this.me, &own, &letter.register, &mut this.clock, now)
            .map_err(|error| format!("{name}: {error}"))?;
        match flaw {
            Flaw::NoRecord => {
                taken.register.conflicts.clear();
                taken.notes.retain(|note| !matches!(note, Note::Conflict { .. }));
            }
            Flaw::FollowsAll => {
                let last = letter.register.newest();
                this.clock =
                    serde_json::from_value(serde_json::json!({ "last": last.max(this.clock.last()) }))
                        .unwrap();
            }
            Flaw::ThrowsAway => {
                if taken.register.edge.is_some() && taken.register.cloud.is_some() {
                    taken.register.cloud = None;
                }
            }
            Flaw::None | Flaw::NoCount | Flaw::NotAfter => {}
        }
        this.notes.extend(taken.notes.iter().map(|note| (name, note.clone())));
        this.registers.insert(name, taken.register.clone());
        let known = this.known.entry(name).or_default();
        known.extend(letter.known);
        let expected = newest(known, &self.before);
        let stands: Known = [&taken.register.edge, &taken.register.cloud]
            .into_iter()
            .flatten()
            .map(|write| write.by.clone())
            .collect();
        if stands != expected {
            return Err(format!("{name} at {:?}: {stands:?} stands, {expected:?} should", letter.to));
        }
        if let (Some(edge), Some(cloud)) = (&taken.register.edge, &taken.register.cloud) {
            self.pairs.insert((name, edge.by.clone(), cloud.by.clone()));
        }
        if taken.tell {
            self.send(end, name);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let end = self.dice.roll(2) as usize;
        match self.dice.roll(20) {
            0..=6 => {
                let name = NAMES[self.dice.roll(NAMES.len() as u64) as usize];
                self.write(end, name)?;
            }
            7..=13 if !self.letters.is_empty() => {
                let place = self.dice.roll(self.letters.len() as u64) as usize;
                let keep = self.dice.roll(4) == 0;
                self.deliver(place, keep)?;
            }
            14 if !self.letters.is_empty() => {
                let place = self.dice.roll(self.letters.len() as u64) as usize;
                self.letters.swap_remove(place);
            }
            15 => {
                self.ends[end].off_s = match self.dice.roll(4) {
                    0 => YEAR_S,
                    1 => -YEAR_S,
                    2 => 60,
                    _ => 0,
                };
            }
            16 => {
                // Started again: only what is stored is left.
                let this = &mut self.ends[end];
                let clock = serde_json::to_string(&this.clock).unwrap();
                this.clock = serde_json::from_str(&clock).unwrap();
                for register in this.registers.values_mut() {
                    *register = serde_json::from_str(&serde_json::to_string(register).unwrap()).unwrap();
                }
            }
            // Often nothing passes between two writes: only the count tells them apart.
            17 | 18 => self.now_s += self.dice.roll(3) as i64,
            _ => {}
        }
        Ok(())
    }

    /// The line is back: everything is told, until nobody has news.
    fn settle(&mut self) -> Result<(), String> {
        for name in NAMES {
            (0..2).for_each(|end| self.send(end, name));
        }
        for _ in 0..10_000 {
            if self.letters.is_empty() {
                return self.agree();
            }
            let place = self.dice.roll(self.letters.len() as u64) as usize;
            self.deliver(place, false)?;
        }
        Err("there is no end to the news".to_owned())
    }

    fn agree(&self) -> Result<(), String> {
        for name in NAMES {
            let of = |end: usize| self.ends[end].registers.get(name).cloned().unwrap_or_default();
            let (edge, cloud) = (of(0), of(1));
            let field = field(name).unwrap();
            if (&edge.edge, &edge.cloud, edge.seen) != (&cloud.edge, &cloud.cloud, cloud.seen) {
                return Err(format!("{name}: {edge:?} at the gateway, {cloud:?} in the cloud"));
            }
            if edge.value(field) != cloud.value(field) {
                return Err(format!("{name}: two values"));
            }
            if field.rule().is_none() && !(edge.conflicts.is_empty() && cloud.conflicts.is_empty()) {
                return Err(format!("{name}: of one writer, with conflicts"));
            }
        }
        for (name, edge, cloud) in &self.pairs {
            for end in &self.ends {
                let noted = end.notes.iter().filter(|(of, note)| {
                    of == name
                        && matches!(note, Note::Conflict { conflict }
                    if conflict.edge.by == *edge && conflict.cloud.by == *cloud)
                });
                match noted.count() {
                    1 => {}
                    n => return Err(format!("{name}: {edge} and {cloud} noted {n} times at {:?}", end.me)),
                }
            }
        }
        Ok(())
    }
}

fn history(seed: u64, flaw: Flaw) -> Result<usize, String> {
    let mut world = World::new(seed, flaw);
    let steps = 20 + world.dice.roll(120);
    for _ in 0..steps {
        world.step()?;
    }
    world.settle()?;
    Ok(world.pairs.len())
}

#[test]
fn both_ends_agree_and_no_conflict_goes_unrecorded() {
    let histories = std::env::var("HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let mut conflicts = 0;
    for seed in 0..histories {
        conflicts += history(seed, Flaw::None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    assert!(conflicts > histories as usize, "{conflicts} conflicts prove nothing");
}

#[test]
fn an_end_with_a_flaw_is_found() {
    for flaw in [Flaw::NoCount, Flaw::NoRecord, Flaw::NotAfter, Flaw::ThrowsAway] {
        let found = (0..100).find(|seed| history(*seed, flaw).is_err());
        assert!(found.is_some(), "{flaw:?} was not found in 100 histories");
    }
    for seed in 0..100 {
        assert_eq!(
            history(seed, Flaw::FollowsAll).err(),
            None,
            "agreement does not hang on the bound of the clock"
        );
    }
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (0..4_i64, 0..2_u32).prop_map(|(ms, n)| Stamp { ms, n })
}

fn one_write() -> impl Strategy<Value = Write> {
    (stamp(), 1..3_u32, "[ab]", prop::option::of(0..3_u8)).prop_map(|(at, version, by, value)| Write {
        at,
        version,
        by,
        value: value.map(|value| SettingValue::Number(f64::from(value))),
    })
}

prop_compose! {
    fn register()(
        edge in one_write(), cloud in one_write(), stands in (any::<bool>(), any::<bool>()),
        conflicts in prop::collection::vec((one_write(), one_write(), any::<bool>()), 0..5),
    ) -> Register {
        let seen = Seen { edge: edge.at, cloud: cloud.at };
        let keep = |write: Write, stands: bool| Some(write).filter(|write| stands && write.at != Stamp::NEVER);
        let mut all: BTreeMap<_, Conflict> = BTreeMap::new();
        for (edge, cloud, kept) in conflicts {
            let conflict = Conflict { edge, cloud, kept: if kept { Node::Edge } else { Node::Cloud } };
            all.insert(conflict.key(), conflict);
        }
        Register {
            edge: keep(edge, stands.0),
            cloud: keep(cloud, stands.1),
            seen,
            conflicts: all.into_values().collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn joining_is_commutative_associative_and_idempotent(a in register(), b in register(), c in register()) {
        prop_assert_eq!(a.check(), Ok(()));
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(a.join(&a), a.clone());
        prop_assert_eq!(a.join(&b).join(&b), a.join(&b));
        prop_assert_eq!(a.join(&b).check(), Ok(()));
    }
}
