//! What happens next in a rollout. Pure: from rows and the time, so that whoever asks again after a crash is told the same.

use super::SECOND;
use super::catalogue::{Catalogue, Look};
use super::health::{Tally, judge, tally, unproven, usual};
use super::plan::{Kind, Variant};
use super::rings::{Place, has, place};
use super::state::{Entry, Fleet, Rollout, Row, Software, State, Step, Write};
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// When it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// µs since 1970, UTC.
    pub micros: i64,
    /// Since when somebody has served without a break, µs: before it nobody could be heard, which is held against nobody.
    pub serving_since: i64,
}

impl Now {
    /// True where `after_s` have passed since `from`. While nobody served nobody could come: a break puts the end off, once, by
    /// no more than the same time again.
    pub fn is_past(self, from: i64, after_s: u32) -> bool {
        let after = i64::from(after_s) * SECOND;
        self.micros > self.serving_since.clamp(from, from.saturating_add(after)).saturating_add(after)
    }
}

/// What is decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is this gateway's turn.
    Assign(Box<Row>),
    /// A turn has changed: it is given up, taken back, or turned round.
    Change(Box<Row>),
    /// The next ring is open.
    Open(u32),
    /// It stops by itself.
    Halt(String),
    /// Some wait for a newer copy of the repository, or (false) nobody does any more.
    Wait(bool),
    /// It has ended.
    Finish(State, String),
}

/// Behind the reason of a rollout that goes back, where it waits.
const WAITS: &str = "; some wait, since the cloud's copy of the releases is behind what was seen, and does not have what they would go back to: bring it up to date";

/// What is decided now. `look`: what the repository has; `None`: it can't be read, and nothing is concluded.
pub fn step(rollout: &Rollout, fleet: &Fleet, look: Option<Look<'_>>, now: Now) -> Vec<Decision> {
    // A copy of the repository that is older than the rollout knows nothing of it.
    let old = |look: Look<'_>| look.behind || look.catalogue.version() < rollout.plan.catalogue;
    let look = look.map(|look| Look { behind: old(look), ..look });
    match rollout.state {
        State::Running => {
            let whole = look.filter(|look| !look.behind);
            forward(rollout, fleet, whole.map(|look| look.catalogue), now)
        }
        State::RollingBack => backward(rollout, fleet, look, now),
        State::Draft | State::Paused | State::Halted | State::Done | State::Aborted => vec![],
    }
}

fn forward(rollout: &Rollout, fleet: &Fleet, catalogue: Option<&Catalogue>, now: Now) -> Vec<Decision> {
    let plan = &rollout.plan;
    let release = &plan.release;
    let over = plan.is_over(now.micros);
    if fleet.blocked_everywhere(release.kind, &release.version) {
        return vec![Decision::Halt(format!("version {} is blocked", release.version))];
    }
    let gone = |variant: &&Variant| catalogue.is_some_and(|known| !known.has(&variant.manifest));
    if let Some(variant) = release.variants.iter().find(gone) {
        return vec![Decision::Halt(format!(
            "release {} is not in the repository any more (revoked?): {} is not among its targets",
            release.version, variant.manifest
        ))];
    }
    let mut decisions: Vec<Decision> =
        fleet.rows_of(&rollout.id).filter_map(|row| gave_up(rollout, row, fleet, now)).collect();
    let placed = place(rollout, fleet);
    let mut tallies: Vec<Tally> = placed.rings.iter().map(|places| tally(rollout, places, now)).collect();
    let usual = usual(&placed.rings, now);
    tallies.iter_mut().for_each(|tally| tally.excuse(usual));

    let mut ring =
        usize::try_from(rollout.ring).unwrap_or(usize::MAX).min(plan.rings.len().saturating_sub(1));
    let mut before = None;
    for (of, tally) in plan.rings.iter().zip(&tallies).take(ring + 1) {
        if let Some(why) = judge(of, tally, before) {
            decisions.push(Decision::Halt(why));
            return decisions;
        }
        if tally.ended() > 0 {
            before = Some((of, tally));
        }
    }
    let end = || {
        let confirmed: usize = tallies.iter().map(|tally| tally.confirmed).sum();
        let all: usize = tallies.iter().map(|tally| tally.gateways).sum();
        format!("{confirmed} of {all} gateways have it")
    };
    if over {
        // Who has switched is waited for, and nobody else.
        if tallies.iter().all(|tally| tally.trial == 0) {
            decisions.push(Decision::Finish(State::Done, format!("its time is over: {}", end())));
        }
        return decisions;
    }
    // An empty ring is passed at once; any other soaks.
    let mut since = rollout.ring_micros;
    while let (Some(of), Some(tally)) = (plan.rings.get(ring), tallies.get(ring)) {
        if tally.gateways > 0 {
            let soaked =
                tally.last_end.max(since).saturating_add(i64::from(of.soak_s) * SECOND) <= now.micros;
            if tally.pending > 0 || !soaked {
                break;
            }
            if ring + 1 < plan.rings.len()
                && let Some(why) = unproven(rollout, of, tally)
            {
                decisions.push(Decision::Halt(why));
                return decisions;
            }
        }
        if ring + 1 == plan.rings.len() {
            let there = decisions.len();
            let absent = |row: &mut Row| {
                row.step = Step::Away;
                row.reason = "not connected while it ran".to_owned();
            };
            for (number, places) in placed.rings.iter().enumerate() {
                for (_, place) in places {
                    decisions.extend(turn(rollout, number, place, now).map(|mut row| {
                        absent(&mut row);
                        Decision::Assign(Box::new(row))
                    }));
                }
            }
            let absent = decisions.len() - there;
            let later =
                if absent > 0 { format!(", {absent} get it when they are back") } else { String::new() };
            decisions.push(Decision::Finish(State::Done, end() + &later));
            return decisions;
        }
        ring += 1;
        since = now.micros;
        decisions.push(Decision::Open(u32::try_from(ring).unwrap_or(u32::MAX)));
    }
    assign(rollout, fleet, &placed.rings, ring, now, &mut decisions);
    decisions
}

/// A turn that has not begun in time, or whose time is over. Who has begun has more of it with each word: it may wait for a
/// window that is days away, or have a slow line.
fn gave_up(rollout: &Rollout, row: &Row, fleet: &Fleet, now: Now) -> Option<Decision> {
    if !row.step.is_before() {
        return None;
    }
    if !row.back && rollout.plan.is_over(now.micros) {
        return Some(Decision::Change(Box::new(row.cancelled("its time is over", now.micros))));
    }
    let mut since = row.assigned_micros.max(row.step_micros);
    if matches!(row.step, Step::Downloading | Step::Ready | Step::Waiting) {
        let software = fleet.members.get(&row.gateway).and_then(|member| member.software.as_ref());
        since = since.max(software.map_or(0, |software| software.asked_micros));
    }
    now.is_past(since, rollout.plan.away_after_s).then(|| {
        let reason =
            format!("{} for longer than {}", row.step.word(), super::plan::spoken(rollout.plan.away_after_s));
        Decision::Change(Box::new(Row { step: Step::Away, step_micros: now.micros, reason, ..row.clone() }))
    })
}

/// Gives turns to gateways of the open rings that are there.
fn assign(
    rollout: &Rollout,
    fleet: &Fleet,
    rings: &[Vec<(&str, Place<'_>)>],
    ring: usize,
    now: Now,
    decisions: &mut Vec<Decision>,
) {
    let plan = &rollout.plan;
    let on_the_way = fleet.rows_of(&rollout.id).filter(|row| !row.step.is_end()).count();
    let most = plan.rings.get(ring).map_or(0, |ring| ring.in_flight as usize);
    let mut room = if most == 0 { usize::MAX } else { most.saturating_sub(on_the_way) };
    // One at a time: a gateway on its way elsewhere comes later.
    let busy: BTreeSet<&str> = fleet
        .rollouts
        .values()
        .filter(|other| other.id != rollout.id && other.state.holds())
        .flat_map(|other| fleet.rows_of(&other.id))
        .filter(|row| !row.step.is_end())
        .map(|row| row.gateway.as_str())
        .collect();
    for (number, places) in rings.iter().enumerate().take(ring + 1) {
        for (gateway, place) in places {
            if room == 0 {
                return;
            }
            if busy.contains(gateway) || !place.member.is_some_and(|member| member.connected) {
                continue;
            }
            let Some(row) = turn(rollout, number, place, now) else { continue };
            room -= 1;
            decisions.push(Decision::Assign(Box::new(row)));
        }
    }
}

/// The turn of a gateway that has had none.
fn turn(rollout: &Rollout, ring: usize, place: &Place<'_>, now: Now) -> Option<Row> {
    let (Some(member), None) = (place.member, place.row) else { return None };
    let (software, release) = (member.software.as_ref()?, &rollout.plan.release);
    let variant = release.variant(software)?;
    let (from_version, from_number) = installed(software, release.kind);
    Some(Row {
        rollout: rollout.id.clone(),
        gateway: member.gateway.clone(),
        ring: u32::try_from(ring).unwrap_or(u32::MAX),
        attempt: 0,
        back: false,
        version: release.version.clone(),
        number: variant.number,
        manifest: variant.manifest.clone(),
        from_version: from_version.to_owned(),
        from_number,
        assigned_micros: now.micros,
        told_micros: None,
        step: Step::Assigned,
        step_micros: now.micros,
        reason: String::new(),
        ended_micros: None,
        alerts: 0,
    })
}

/// What is installed of a layer.
pub(super) fn installed(software: &Software, kind: Kind) -> (&str, u64) {
    let version = match kind {
        Kind::Application => &software.version,
        Kind::System => &software.system,
    };
    (version, software.installed(kind))
}

/// True where a gateway that was given the version has it still, as far as is known. What it has told of its software may be
/// older than its turn's end.
pub(super) fn keeps(rollout: &Rollout, row: &Row, software: Option<&Software>) -> bool {
    let kind = rollout.plan.release.kind;
    row.step.is_trying()
        || software.is_none_or(|software| {
            has(software, kind, &row.version, row.number)
                || software.on_trial()
                || (software.asked_micros <= row.step_micros && !row.is_passed(kind, software))
        })
}

/// Who has the version, or may have it, is to have again what was there before. That is older than the rollout: a copy of the
/// repository that is behind is likely to have it, and gateways judge it by what they know. Only who would go back to what such a
/// copy lacks waits for a newer one.
fn backward(rollout: &Rollout, fleet: &Fleet, look: Option<Look<'_>>, now: Now) -> Vec<Decision> {
    let Some(look) = look else { return vec![] };
    let mut decisions = Vec::new();
    let (mut open, mut back, mut stay, mut wait) = (0, 0, 0, 0);
    for row in fleet.rows_of(&rollout.id) {
        let software = fleet.members.get(&row.gateway).and_then(|member| member.software.as_ref());
        let changed = match row.step {
            _ if row.back => gave_up(rollout, row, fleet, now),
            Step::Confirmed if !keeps(rollout, row, software) => {
                Some(Decision::Change(Box::new(row.cancelled("it has another version by now", now.micros))))
            }
            Step::Confirmed | Step::Switching | Step::Trial => {
                let turned = turned(rollout, row, software, look, now);
                wait += usize::from(turned.is_none());
                turned
            }
            step if step.is_before() || matches!(step, Step::Away | Step::Refused) => {
                Some(Decision::Change(Box::new(row.cancelled("the rollout goes back", now.micros))))
            }
            _ => None,
        };
        let after = match &changed {
            Some(Decision::Change(row)) => row,
            _ => row,
        };
        open += usize::from(after.back && !after.step.is_end());
        back += usize::from(after.back && after.step == Step::Confirmed);
        stay += usize::from(after.step == Step::Stays || (after.back && after.step.is_bad()));
        decisions.extend(changed);
    }
    if open == 0 && wait == 0 {
        let stay = if stay > 0 { format!(", {stay} could not") } else { String::new() };
        decisions
            .push(Decision::Finish(State::Aborted, format!("rolled back: {back} gateways went back{stay}")));
    } else if rollout.reason.ends_with(WAITS) != (wait > 0) {
        decisions.push(Decision::Wait(wait > 0));
    }
    decisions
}

/// A turn that is turned round, or stays; `None`: a copy of the repository that is behind does not say which.
fn turned(
    rollout: &Rollout,
    row: &Row,
    software: Option<&Software>,
    look: Look<'_>,
    now: Now,
) -> Option<Decision> {
    let kind = rollout.plan.release.kind;
    let catalogue = look.catalogue;
    if look.behind
        && software.is_some_and(|software| catalogue.find(kind, &row.from_version, software).is_none())
    {
        return None;
    }
    let target = software.ok_or_else(|| "it has never asked".to_owned()).and_then(|software| {
        let variant = catalogue
            .find(kind, &row.from_version, software)
            .ok_or_else(|| format!("{} is not in the repository for it", row.from_version))?;
        if kind == Kind::Application && variant.number < software.floor {
            let (version, number, floor) = (&row.from_version, variant.number, software.floor);
            return Err(format!("{version} has number {number}, and its floor is {floor}"));
        }
        Ok(variant)
    });
    let mut turned = Row { step_micros: now.micros, ..row.clone() };
    match target {
        Ok(variant) => {
            turned.back = true;
            turned.version.clone_from(&row.from_version);
            turned.number = variant.number;
            turned.manifest.clone_from(&variant.manifest);
            turned.from_version.clone_from(&row.version);
            turned.from_number = row.number;
            turned.assigned_micros = now.micros;
            turned.told_micros = None;
            turned.step = Step::Assigned;
            turned.ended_micros = None;
            turned.reason = String::new();
        }
        Err(why) => {
            turned.step = Step::Stays;
            turned.ended_micros = Some(now.micros);
            turned.reason = why;
        }
    }
    Some(Decision::Change(Box::new(turned)))
}

/// Goes on with all rollouts of `fleet`, which is then as the database will be: what is to be stored, and those that have
/// changed their state, with the reason.
pub fn go_on(fleet: &mut Fleet, look: Option<Look<'_>>, now: Now) -> (Vec<Write>, Vec<Rollout>) {
    let moving: Vec<Rollout> =
        fleet.rollouts.values().filter(|rollout| rollout.state.moves()).cloned().collect();
    let (mut all, mut changed) = (Vec::new(), Vec::new());
    for rollout in moving {
        let decisions = step(&rollout, fleet, look, now);
        for write in writes(&rollout, decisions, now) {
            fleet.apply(&write);
            if let Write::Rollout(after) = &write
                && after.state != rollout.state
            {
                changed.push((**after).clone());
            }
            all.push(write);
        }
    }
    (all, changed)
}

/// What is to be stored for `decisions`: in one transaction, with the rollout as it was when they were made.
pub fn writes(rollout: &Rollout, decisions: Vec<Decision>, now: Now) -> Vec<Write> {
    let mut after = rollout.clone();
    let mut writes = Vec::new();
    let entry = |gateway: &str, what: &str, detail: String| {
        Write::Log(Entry {
            at_micros: now.micros,
            rollout: rollout.id.clone(),
            gateway: gateway.to_owned(),
            who: "cloud".to_owned(),
            what: what.to_owned(),
            detail,
        })
    };
    for decision in decisions {
        match decision {
            Decision::Assign(row) => {
                let ring = rollout.plan.rings.get(row.ring as usize).map_or("", |ring| &ring.name);
                let detail = format!(
                    "{} {} -> {}, ring {ring}",
                    rollout.plan.release.kind.word(),
                    row.from_version,
                    row.version
                );
                writes.push(entry(&row.gateway, row.step.word(), detail));
                writes.push(Write::Row(row));
            }
            Decision::Change(row) => {
                let (what, detail) = if row.back && row.step == Step::Assigned {
                    ("turned_back", format!("{} -> {}", row.from_version, row.version))
                } else {
                    (row.step.word(), row.reason.clone())
                };
                writes.push(entry(&row.gateway, what, detail));
                writes.push(Write::Row(row));
            }
            Decision::Open(ring) => {
                (after.ring, after.ring_micros) = (ring, now.micros);
                let name = rollout.plan.rings.get(ring as usize).map_or("", |ring| &ring.name);
                writes.push(entry("", "ring_opened", name.to_owned()));
            }
            Decision::Halt(reason) => {
                (after.state, after.reason) = (State::Halted, reason.clone());
                writes.push(entry("", "halted", reason));
            }
            Decision::Wait(waits) => {
                let before = after.reason.strip_suffix(WAITS).unwrap_or(&after.reason).to_owned();
                let (what, behind) = if waits { ("waits", WAITS) } else { ("goes_on", "") };
                writes.push(entry("", what, behind.trim_start_matches("; ").to_owned()));
                after.reason = before + behind;
            }
            Decision::Finish(state, reason) => {
                (after.state, after.reason) = (state, reason.clone());
                writes.push(entry("", state.word(), reason));
            }
        }
    }
    if after != *rollout {
        after.changed_micros = now.micros;
        writes.push(Write::Rollout(Box::new(after)));
    }
    writes
}
