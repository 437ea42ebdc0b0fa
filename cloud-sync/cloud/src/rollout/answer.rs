//! What a gateway is told that asks for its version. Pure.

use super::acts::short;
use super::heard::{self, Heard};
use super::machine::installed;
use super::plan::Kind;
use super::rings::has;
use super::state::{Rollout, Row, Software, State, Step, Write};
use engawa_protocol::update::{UpdateAsk, UpdateTold};
use std::collections::BTreeSet;

/// A gateway that was told comes again after so many seconds.
const TOLD_AGAIN_S: u32 = 300;
/// One that has refused: it has fetched to find that out.
const REFUSED_AGAIN_S: u32 = 3_600;
/// One that may be told something at any time: a rollout runs that means it, and in which it has had no turn; or it has had one in
/// a rollout that has begun and not ended, and may be to go back, or to try again.
const SOON_S: u32 = 60;
/// One of whom nothing is wanted.
const IDLE_S: u32 = 900;

/// What is wanted of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// By which rollout.
    pub rollout: String,
    /// Which version; empty: nothing is wanted.
    pub version: String,
    /// Its number.
    pub number: u64,
    /// The path of its manifest among the targets.
    pub manifest: String,
    /// Conditions, JSON.
    pub conditions: Vec<u8>,
    /// When it is to ask again, seconds.
    pub ask_again_s: u32,
    /// Which attempt it is, 0 the first.
    pub attempt: u32,
    /// It is the way back: the house waits for no window of its own.
    pub back: bool,
}

/// What is known when one gateway asks.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// Its turns that have not ended for good, with their rollouts; whom else these mean is not looked at.
    pub turns: Vec<(Rollout, Row)>,
    /// Versions that it, or anybody, is not offered.
    pub blocked: BTreeSet<(Kind, String)>,
    /// Its turn in a rollout that is under way, the way back or another attempt may come at any time.
    pub soon: bool,
}

/// True where this turn is told of.
fn tells(rollout: &Rollout, row: &Row, micros: i64) -> bool {
    let open = match row.step {
        Step::Confirmed | Step::RolledBack | Step::Failed | Step::Cancelled | Step::Stays => false,
        Step::Away | Step::Refused => true,
        step => step.is_before() || step.is_trying(),
    };
    let state = match rollout.state {
        State::Paused => row.told_micros.is_some(),
        // Who was away when all went back goes back when it returns.
        State::Aborted => row.back,
        state => state.tells(),
    };
    open && state && (row.back || !rollout.plan.is_over(micros))
}

/// What it is told, and what is to be written for it first: that it was told, and what it has shown by asking. `last` is what it
/// says of the last try; its version is that of its turn.
pub fn answer(software: &Software, last: Option<&Heard>, asking: &Asking, micros: i64) -> (Told, Vec<Write>) {
    let mut writes = Vec::new();
    let mut turns: Vec<(&Rollout, Row)> = Vec::new();
    for (rollout, row) in &asking.turns {
        let mut row = row.clone();
        // Its journal says so too; what is heard twice counts once.
        let shown =
            has(software, rollout.plan.release.kind, &row.version, row.number) && !software.on_trial();
        let confirmed = Heard {
            rollout: row.rollout.clone(),
            version: row.version.clone(),
            number: row.number,
            attempt: None,
            step: Step::Confirmed,
            reason: String::new(),
        };
        // Of what went before its turn was turned round it may still tell; what came of an earlier attempt says so itself.
        let last = last.filter(|_| !row.back && row.step.is_trying()).map(|last| Heard {
            version: row.version.clone(),
            number: row.number,
            ..last.clone()
        });
        for heard in last.iter().chain(shown.then_some(&confirmed)) {
            if let Some((after, more)) = heard::heard(&row, rollout.plan.release.kind, heard, micros) {
                row = after;
                writes.extend(more);
            }
        }
        let kind = rollout.plan.release.kind;
        let open = !row.step.is_end() || matches!(row.step, Step::Away | Step::Refused);
        if open && !software.on_trial() && row.is_passed(kind, software) {
            row = row.cancelled("it has a newer one", micros);
            writes.push(Write::Row(Box::new(row.clone())));
        }
        turns.push((rollout, row));
    }
    let wanted = turns.iter().filter(|(rollout, row)| {
        let kind = rollout.plan.release.kind;
        tells(rollout, row, micros)
            && !row.is_passed(kind, software)
            && !has(software, kind, &row.version, row.number)
            && !(asking.blocked.contains(&(kind, row.version.clone())))
            && (kind == Kind::System || row.number >= software.floor)
    });
    let Some((rollout, row)) = wanted.max_by_key(|(rollout, _)| rollout.number) else {
        let ask_again_s = if asking.soon { SOON_S } else { IDLE_S };
        return (Told { ask_again_s, ..Told::default() }, writes);
    };
    let told = Told {
        rollout: rollout.id.clone(),
        version: row.version.clone(),
        number: row.number,
        manifest: row.manifest.clone(),
        conditions: conditions(rollout, row),
        ask_again_s: if row.step == Step::Refused { REFUSED_AGAIN_S } else { TOLD_AGAIN_S },
        attempt: row.attempt,
        back: row.back,
    };
    if row.told_micros.is_none() || matches!(row.step, Step::Assigned | Step::Away) {
        let mut after = row.clone();
        after.told_micros = row.told_micros.or(Some(micros));
        after.step_micros = micros;
        after.reason = String::new();
        if matches!(row.step, Step::Assigned | Step::Away) {
            after.step = Step::Told;
        }
        if row.step == Step::Away {
            // It is back: its time begins anew, and what it has now is what it would go back to.
            after.assigned_micros = micros;
            let kind = rollout.plan.release.kind;
            if !row.back && !software.on_trial() {
                let (version, number) = installed(software, kind);
                (after.from_version, after.from_number) = (version.to_owned(), number);
            }
        }
        writes.push(Write::Row(Box::new(after)));
    }
    (told, writes)
}

/// Going back is for a reason: it waits for no window. Conditions of which nothing is said are the usual ones (nothing).
fn conditions(rollout: &Rollout, row: &Row) -> Vec<u8> {
    if row.back {
        return br#"{"audit_margin_min":0,"check_in":null}"#.to_vec();
    }
    if rollout.plan.conditions.is_null() {
        return Vec::new();
    }
    // A JSON value always has its text.
    serde_json::to_vec(&rollout.plan.conditions).unwrap_or_default()
}

impl Software {
    /// As it is kept: what a gateway says may be anything.
    pub fn bounded(mut self) -> Self {
        for text in [
            &mut self.version,
            &mut self.slot,
            &mut self.triple,
            &mut self.hardware,
            &mut self.system,
            &mut self.state,
            &mut self.region,
        ] {
            *text = short(text).chars().take(64).collect();
        }
        self
    }
}

/// What a gateway tells of itself is stored when it is new, and at least so often, µs.
const NOTED: i64 = 600 * super::SECOND;

impl Software {
    /// True where `now` is to be stored in place of this.
    pub fn is_stale(&self, now: &Self) -> bool {
        let same = Self { asked_micros: now.asked_micros, ..self.clone() } == *now;
        !same || now.asked_micros - self.asked_micros > NOTED
    }
}

/// What a gateway's question tells of it: its software, and what came of its last try. Its version is not told of the latter:
/// [`answer`] takes that of its turn.
pub fn asked(ask: &UpdateAsk, region: &str, micros: i64) -> (Software, Option<Heard>) {
    let software = Software {
        version: ask.version.clone(),
        number: ask.number,
        slot: ask.slot.clone(),
        triple: ask.triple.clone(),
        hardware: ask.hardware.clone(),
        system: ask.system_version.clone(),
        system_number: ask.system_number,
        state: ask.state.clone(),
        floor: ask.floor,
        region: region.to_owned(),
        asked_micros: micros,
    };
    let last = Step::of_outcome(&ask.last_outcome).map(|step| Heard {
        rollout: short(&ask.last_rollout),
        version: String::new(),
        number: 0,
        attempt: Some(ask.last_attempt),
        step,
        reason: short(&ask.last_reason),
    });
    (software.bounded(), last)
}

impl From<Told> for UpdateTold {
    fn from(told: Told) -> Self {
        Self {
            rollout: told.rollout,
            version: told.version,
            number: told.number,
            target: told.manifest,
            conditions: told.conditions,
            ask_again_s: told.ask_again_s,
            attempt: told.attempt,
            back: told.back,
            ..Self::default()
        }
    }
}
