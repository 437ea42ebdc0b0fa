//! What people do with rollouts. Pure: each act is refused with the reason, or becomes rows and a line of the audit.

use super::Refused;
use super::machine;
use super::plan::{Kind, Plan, good_word};
use super::rings::{Outside, place};
use super::state::{Block, Entry, Fleet, Rollout, Row, State, Step, Write};
use std::collections::BTreeSet;

/// Rollouts that are kept: of a fleet that has had so many each new one takes the place of the oldest that has ended. What the
/// audit says of that one stays.
pub const MOST_ROLLOUTS: usize = 10_000;
/// The longest reason, characters.
pub const MOST_REASON: usize = 500;

/// Who does it, why, and when (µs).
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Who.
    pub who: &'a str,
    /// Why; may be empty.
    pub why: &'a str,
    /// When.
    pub micros: i64,
}

impl By<'_> {
    fn log(&self, rollout: &str, gateway: &str, what: &str, detail: &str) -> Write {
        let detail =
            [detail, self.why].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(": ");
        Write::Log(Entry {
            at_micros: self.micros,
            rollout: rollout.to_owned(),
            gateway: gateway.to_owned(),
            who: self.who.to_owned(),
            what: what.to_owned(),
            detail: short(&detail),
        })
    }

    /// Who says it and why, for people.
    fn said(&self) -> String {
        if self.why.is_empty() {
            format!("by {}", self.who)
        } else {
            format!("by {}: {}", self.who, self.why)
        }
    }
}

/// Refuses a plan whose time is over: no gateway would switch.
fn check_time(plan: &Plan, by: By<'_>) -> Result<(), Refused> {
    if plan.is_over(by.micros) {
        return Err(Refused::because("its time is over (--not-after): no gateway would switch any more"));
    }
    Ok(())
}

/// A text of somebody else's, as it is kept: in one line, and not too long.
pub fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_REASON).collect()
}

/// The rollout of this name.
///
/// # Errors
/// There is none.
pub fn named<'a>(fleet: &'a Fleet, id: &str) -> Result<&'a Rollout, Refused> {
    let missing =
        || Refused(format!("there is no rollout `{id}`: `engawa-cloud rollout list` has all of them"));
    fleet.rollouts.get(id).ok_or_else(missing)
}

fn changed(rollout: &Rollout, state: State, reason: &str, by: By<'_>) -> Rollout {
    Rollout { state, reason: short(reason), changed_micros: by.micros, ..rollout.clone() }
}

fn wrong_state(rollout: &Rollout, act: &str, wanted: &str) -> Refused {
    let why = if rollout.reason.is_empty() { String::new() } else { format!(" ({})", rollout.reason) };
    Refused(format!(
        "rollout {} is {}{why}: {act} needs one that is {wanted}",
        rollout.id,
        rollout.state.word()
    ))
}

/// Makes one; it is begun by [`start`].
///
/// # Errors
/// A plan that makes no sense, a blocked version, too many rollouts that have not ended.
pub fn create(fleet: &Fleet, plan: Plan, by: By<'_>) -> Result<(Rollout, Vec<Write>), Refused> {
    plan.check()?;
    check_time(&plan, by)?;
    let (kind, version) = (plan.release.kind, plan.release.version.clone());
    if fleet.blocked_everywhere(kind, &version) {
        return Err(Refused(format!(
            "version {version} is blocked: `engawa-cloud rollout blocked` says why, `engawa-cloud rollout unblock {version}` offers it again"
        )));
    }
    let mut writes = Vec::new();
    if fleet.rollouts.len() >= MOST_ROLLOUTS {
        let ended = fleet
            .rollouts
            .values()
            .filter(|rollout| matches!(rollout.state, State::Done | State::Aborted))
            .min_by_key(|rollout| rollout.number)
            .ok_or_else(|| {
                Refused(format!(
                    "there are {MOST_ROLLOUTS} rollouts, and none of them has ended: give up those that nobody needs (`engawa-cloud rollout abort`), and the oldest makes room"
                ))
            })?;
        writes.push(Write::Forget(ended.id.clone()));
        let what = format!("{MOST_ROLLOUTS} rollouts are kept, and this is the oldest that has ended");
        writes.push(By { why: "", ..by }.log(&ended.id, "", "forgotten", &what));
    }
    let number = fleet.rollouts.values().map(|rollout| rollout.number).max().unwrap_or(0) + 1;
    let rollout = Rollout {
        id: format!("r-{number}"),
        number,
        plan,
        state: State::Draft,
        reason: String::new(),
        ring: 0,
        ring_micros: by.micros,
        judged_micros: 0,
        created_by: by.who.to_owned(),
        created_micros: by.micros,
        changed_micros: by.micros,
    };
    let what = format!("{} {version} to {}", kind.word(), rollout.plan.cohort.words());
    let log = by.log(&rollout.id, "", "created", &what);
    writes.extend([Write::Rollout(Box::new(rollout.clone())), log]);
    Ok((rollout, writes))
}

/// Begins one.
///
/// # Errors
/// It was begun before, there is nobody whom it would reach, or another one is under way to the same gateways.
pub fn start(fleet: &Fleet, id: &str, by: By<'_>) -> Result<Vec<Write>, Refused> {
    let rollout = named(fleet, id)?;
    if rollout.state != State::Draft {
        return Err(wrong_state(rollout, "start", "a draft"));
    }
    let (kind, version) = (rollout.plan.release.kind, &rollout.plan.release.version);
    if fleet.blocked_everywhere(kind, version) {
        return Err(Refused(format!(
            "version {version} is blocked: `engawa-cloud rollout unblock {version}` offers it again"
        )));
    }
    check_time(&rollout.plan, by)?;
    let placed = place(rollout, fleet);
    let reached: BTreeSet<&str> = placed.rings.iter().flatten().map(|(gateway, _)| *gateway).collect();
    if reached.is_empty() {
        if placed.outside.is_empty() {
            return Err(Refused(format!(
                "rollout {id} reaches nobody: there is no gateway in its cohort ({}); `engawa-cloud rollout fleet --gateways` lists all",
                rollout.plan.cohort.words()
            )));
        }
        let count = |why| placed.outside.iter().filter(|(_, of)| *of == why).count();
        return Err(Refused(format!(
            "rollout {id} reaches nobody: of the gateways of its cohort ({}) {} have it or a newer one, {} have never asked for updates, {} are of a machine it is not made for, {} have it blocked, {} may not go so far back",
            rollout.plan.cohort.words(),
            count(Outside::HasIt),
            count(Outside::Silent),
            count(Outside::Unfit),
            count(Outside::Blocked),
            count(Outside::BelowFloor)
        )));
    }
    let others = fleet
        .rollouts
        .values()
        .filter(|other| other.id != id && other.state.holds() && other.plan.release.kind == kind);
    for other in others {
        let theirs = place(other, fleet);
        let both = theirs.rings.iter().flatten().filter(|(gateway, place)| {
            reached.contains(gateway) && place.row.is_none_or(|row| !row.step.is_end())
        });
        let both = both.count();
        if both > 0 {
            return Err(Refused(format!(
                "rollout {} ({}, {}) is to {both} of the same gateways: wait for its end, or `engawa-cloud rollout abort {}` first",
                other.id,
                other.plan.release.version,
                other.state.word(),
                other.id
            )));
        }
    }
    let started = Rollout { ring: 0, ring_micros: by.micros, ..changed(rollout, State::Running, "", by) };
    let what = format!("{version} to {} gateways", reached.len());
    Ok(vec![Write::Rollout(Box::new(started)), by.log(id, "", "started", &what)])
}

/// Nobody else is told until it is resumed; who was told goes on.
///
/// # Errors
/// It is not running.
pub fn pause(fleet: &Fleet, id: &str, by: By<'_>) -> Result<Vec<Write>, Refused> {
    let rollout = named(fleet, id)?;
    if rollout.state != State::Running {
        return Err(wrong_state(rollout, "pause", "running"));
    }
    let paused = changed(rollout, State::Paused, &by.said(), by);
    Ok(vec![Write::Rollout(Box::new(paused)), by.log(id, "", "paused", "")])
}

/// It goes on. What had halted it counts as looked at: only new failures halt it again.
///
/// # Errors
/// It is neither paused nor halted, or its version is blocked.
pub fn resume(fleet: &Fleet, id: &str, by: By<'_>) -> Result<Vec<Write>, Refused> {
    let rollout = named(fleet, id)?;
    if !matches!(rollout.state, State::Paused | State::Halted) {
        return Err(wrong_state(rollout, "resume", "paused or halted"));
    }
    let release = &rollout.plan.release;
    if fleet.blocked_everywhere(release.kind, &release.version) {
        return Err(Refused(format!(
            "version {0} is blocked: `engawa-cloud rollout unblock {0}` offers it again",
            release.version
        )));
    }
    let mut resumed = changed(rollout, State::Running, "", by);
    let mut what = String::new();
    if rollout.state == State::Halted {
        resumed.judged_micros = by.micros;
        what = format!("in spite of: {}", rollout.reason);
    }
    Ok(vec![Write::Rollout(Box::new(resumed)), by.log(id, "", "resumed", &what)])
}

/// It is given up. Who has the version keeps it.
///
/// # Errors
/// It has ended, and nobody is left whom it would still reach.
pub fn abort(fleet: &Fleet, id: &str, by: By<'_>) -> Result<Vec<Write>, Refused> {
    let rollout = named(fleet, id)?;
    let open: Vec<&Row> =
        fleet.rows_of(id).filter(|row| row.step.is_before() || row.step == Step::Away).collect();
    // One that is done still goes to whoever was away.
    if rollout.state == State::Aborted || (rollout.state == State::Done && open.is_empty()) {
        return Err(Refused(format!(
            "rollout {id} is {} already, and nobody is left to be told: there is nothing to give up; `engawa-cloud rollout back {id}` takes its version back",
            rollout.state.word()
        )));
    }
    let mut writes = vec![
        Write::Rollout(Box::new(changed(rollout, State::Aborted, &by.said(), by))),
        by.log(id, "", "aborted", ""),
    ];
    writes.extend(
        open.into_iter().map(|row| Write::Row(Box::new(row.cancelled("the rollout was aborted", by.micros)))),
    );
    Ok(writes)
}

/// Whoever has the version, or is about to, goes back to what was there before; the version is blocked for all.
///
/// # Errors
/// It was never begun, goes back already, or nobody has the version of it.
pub fn back(fleet: &Fleet, id: &str, by: By<'_>) -> Result<Vec<Write>, Refused> {
    let rollout = named(fleet, id)?;
    if matches!(rollout.state, State::Draft | State::RollingBack) {
        return Err(wrong_state(rollout, "back", "begun, and not going back yet"));
    }
    let has = |row: &&Row| {
        let software = fleet.members.get(&row.gateway).and_then(|member| member.software.as_ref());
        let given = row.step == Step::Confirmed || row.step.is_trying();
        !row.back && given && machine::keeps(rollout, row, software)
    };
    if matches!(rollout.state, State::Done | State::Aborted) && fleet.rows_of(id).find(has).is_none() {
        let version = &rollout.plan.release.version;
        return Err(Refused(format!(
            "nobody has {version} of rollout {id} any more: `engawa-cloud rollout block {version}` keeps it from being offered"
        )));
    }
    let release = &rollout.plan.release;
    let mut writes = vec![
        Write::Rollout(Box::new(changed(rollout, State::RollingBack, &by.said(), by))),
        by.log(id, "", "rolling_back", ""),
    ];
    if !fleet.blocked_everywhere(release.kind, &release.version) {
        let why = format!("rollout {id} was rolled back");
        writes.extend(block(fleet, release.kind, &release.version, "", By { why: &why, ..by })?);
    }
    Ok(writes)
}

/// A version is not offered any more: to a gateway, or (empty) to anybody.
///
/// # Errors
/// No such gateway; it is blocked already.
pub fn block(
    fleet: &Fleet,
    kind: Kind,
    version: &str,
    gateway: &str,
    by: By<'_>,
) -> Result<Vec<Write>, Refused> {
    require(fleet, gateway)?;
    let there = |block: &&Block| {
        (block.gateway.as_str(), block.kind, block.version.as_str()) == (gateway, kind, version)
    };
    if let Some(block) = fleet.blocks.iter().find(there) {
        let of = By { who: &block.by, why: &block.why, micros: block.at_micros };
        return Err(Refused(format!("version {version} is blocked already, {}", of.said())));
    }
    let block = Block {
        gateway: gateway.to_owned(),
        kind,
        version: version.to_owned(),
        why: short(by.why),
        by: by.who.to_owned(),
        at_micros: by.micros,
    };
    Ok(vec![Write::Block(block), by.log("", gateway, "blocked", &format!("{} {version}", kind.word()))])
}

/// A version may be offered again.
///
/// # Errors
/// It is not blocked.
pub fn unblock(
    fleet: &Fleet,
    kind: Kind,
    version: &str,
    gateway: &str,
    by: By<'_>,
) -> Result<Vec<Write>, Refused> {
    let there = |block: &Block| {
        (block.gateway.as_str(), block.kind, block.version.as_str()) == (gateway, kind, version)
    };
    if !fleet.blocks.iter().any(there) {
        let whom = if gateway.is_empty() { "all".to_owned() } else { format!("gateway `{gateway}`") };
        return Err(Refused(format!(
            "version {version} is not blocked for {whom}: `engawa-cloud rollout blocked` lists what is"
        )));
    }
    let (gateway, version) = (gateway.to_owned(), version.to_owned());
    let log = by.log("", &gateway, "unblocked", &format!("{} {version}", kind.word()));
    Ok(vec![Write::Unblock { gateway, kind, version }, log])
}

/// Gives a gateway a label, or takes it.
///
/// # Errors
/// No such gateway, or no word for a label.
pub fn label(fleet: &Fleet, gateway: &str, label: &str, on: bool, by: By<'_>) -> Result<Vec<Write>, Refused> {
    require(fleet, gateway)?;
    if !good_word(label) {
        return Err(Refused(format!(
            "label `{label}`: expected up to 64 letters, digits, `-`, `_`, `.` or `=`"
        )));
    }
    let what = if on { "labelled" } else { "unlabelled" };
    let (gateway, label) = (gateway.to_owned(), label.to_owned());
    let log = by.log("", &gateway, what, &label);
    Ok(vec![Write::Label { gateway, label, on }, log])
}

/// A gateway that failed has another turn, in the ring in which it was. It is told that this is another attempt: what it has found
/// bad in an earlier one it takes again.
///
/// # Errors
/// It has had no turn, its turn did not fail, or the version is blocked for it.
pub fn retry(fleet: &Fleet, id: &str, gateway: &str, by: By<'_>) -> Result<Vec<Write>, Refused> {
    let rollout = named(fleet, id)?;
    let row = fleet
        .row(id, gateway)
        .ok_or_else(|| Refused(format!("gateway `{gateway}` has had no turn in rollout {id}")))?;
    if !row.step.is_bad() || !rollout.state.tells() {
        return Err(Refused(format!(
            "gateway `{gateway}` is {} in rollout {id}, which is {}: only what failed in one that goes on is tried again",
            row.step.word(),
            rollout.state.word()
        )));
    }
    if fleet.is_blocked(gateway, rollout.plan.release.kind, &row.version) {
        return Err(Refused(format!(
            "version {0} is blocked for `{gateway}`, which went back from it: `engawa-cloud rollout unblock {0} --gateway {gateway}` first",
            row.version
        )));
    }
    let again = Row {
        attempt: row.attempt.saturating_add(1),
        step: Step::Assigned,
        step_micros: by.micros,
        assigned_micros: by.micros,
        told_micros: None,
        ended_micros: None,
        reason: String::new(),
        ..row.clone()
    };
    let what = format!("attempt {}, after: {}", again.attempt.saturating_add(1), row.reason);
    Ok(vec![Write::Row(Box::new(again)), by.log(id, gateway, "retried", &what)])
}

fn require(fleet: &Fleet, gateway: &str) -> Result<(), Refused> {
    if gateway.is_empty() || fleet.members.contains_key(gateway) {
        Ok(())
    } else {
        Err(Refused(format!("there is no gateway `{gateway}` here: `engawa-cloud gateways` lists them")))
    }
}
