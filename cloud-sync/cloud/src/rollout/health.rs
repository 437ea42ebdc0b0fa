//! How a ring is: what has become of its gateways, and whether that is reason to stop. Pure.

use super::SECOND;
use super::machine::Now;
use super::plan::{Ring, WHOLE};
use super::rings::Place;
use super::state::{Rollout, Row, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// A gateway that was confirmed, goes away within [`WATCHED`] and is not connected for so long counts as lost.
pub const LOST: i64 = 15 * 60 * SECOND;
/// The first hour after a gateway was confirmed: its alerts are compared, and that it goes away is held against the release.
/// Later it is its line's.
pub const WATCHED: i64 = 3_600 * SECOND;
/// By so much clocks may differ, µs.
const CLOCKS: i64 = 300 * SECOND;
/// Gateways that must have ended before a ring is compared with the one before.
pub const COMPARED_FROM: usize = 5;
/// So many alerts more in an hour, on each gateway, than twice those of the ring before, are worse.
pub const MORE_ALERTS: f64 = 0.5;

/// What has become of a ring's gateways.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// All of them.
    pub gateways: usize,
    /// Their turn has not come.
    pub queued: usize,
    /// Their turn has come, and they have not.
    pub assigned: usize,
    /// They were told, and have not told of anything.
    pub told: usize,
    /// They fetch, or have everything.
    pub fetching: usize,
    /// They wait for their window.
    pub waiting: usize,
    /// They change over, or are on trial.
    pub trial: usize,
    /// The version has proven itself on them.
    pub confirmed: usize,
    /// They went back, could not install it, or refused it.
    pub failed: usize,
    /// They switched, and have not been heard of in time.
    pub overdue: usize,
    /// They were confirmed, and are not connected any more.
    pub lost: usize,
    /// They were not there in time.
    pub away: usize,
    /// Their turn was taken back, or they can't go back.
    pub left: usize,
    /// Alerts of those that were confirmed, in their first hour.
    pub alerts: u64,
    /// Over how many hours these came, all gateways together.
    pub hours: f64,
    /// Failures that are new since somebody looked: these stop a rollout.
    #[serde(skip)]
    pub fresh: usize,
    /// Of these, the lost ones.
    #[serde(skip)]
    pub fresh_lost: usize,
    /// Those that are waited for, and not in vain.
    #[serde(skip)]
    pub pending: usize,
    /// Of whom nobody expects to be confirmed any more, since somebody has looked.
    #[serde(skip)]
    pub forgiven: usize,
    /// When the last of them ended, µs.
    #[serde(skip)]
    pub last_end: i64,
    /// Why they failed.
    #[serde(skip)]
    pub reasons: BTreeMap<String, usize>,
}

impl Tally {
    /// Not well: failed, silent since they switched, or lost after they were confirmed.
    pub fn unwell(&self) -> usize {
        self.failed + self.overdue + self.lost
    }

    /// Of whom the outcome is known.
    pub fn ended(&self) -> usize {
        self.confirmed + self.failed + self.overdue
    }

    /// The commonest reasons of failures, most frequent first.
    pub fn commonest(&self, most: usize) -> Vec<(String, usize)> {
        let mut reasons: Vec<(String, usize)> =
            self.reasons.iter().map(|(reason, count)| (reason.clone(), *count)).collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        reasons.truncate(most);
        reasons
    }

    /// Alerts in an hour on each gateway, where they were watched for an hour in all.
    fn alert_rate(&self) -> Option<f64> {
        // Far below 2^52.
        (self.hours >= 1.0).then(|| self.alerts as f64 / self.hours)
    }

    fn add(&mut self, rollout: &Rollout, place: &Place<'_>, now: Now) {
        self.gateways += 1;
        let connected = place.member.is_some_and(|member| member.connected);
        let seen = place.member.and_then(|member| member.seen_micros).unwrap_or(0);
        let Some(row) = place.row else {
            if !connected && now.is_past(rollout.ring_micros, rollout.plan.away_after_s) {
                self.away += 1;
                self.forgive(rollout, rollout.ring_micros);
            } else {
                self.queued += 1;
                self.pending += 1;
            }
            return;
        };
        let ended = row.ended_micros.unwrap_or(row.step_micros);
        if place.member.is_none() && (!row.step.is_end() || row.step == Step::Away) {
            // It was revoked: nobody waits for it, and it says nothing of the release.
            self.left += 1;
            return;
        }
        match row.step {
            Step::Confirmed => {
                self.confirmed += 1;
                self.alerts += u64::from(row.alerts);
                // Far below 2^52 µs.
                self.hours += (now.micros - ended).clamp(0, WATCHED) as f64 / WATCHED as f64;
                let watched = ended.saturating_add(WATCHED);
                if place.member.is_some() && is_lost(connected, seen.max(ended), now) && seen <= watched {
                    self.lost += 1;
                    let fresh = self.fresh;
                    self.note(
                        rollout,
                        seen.max(ended),
                        "not connected since the hour in which it was updated",
                    );
                    self.fresh_lost += self.fresh - fresh;
                }
                self.last_end = self.last_end.max(ended);
            }
            // Its clock may be a little ahead.
            Step::Refused if rollout.plan.is_over(ended.saturating_add(CLOCKS)) => {
                self.left += 1;
                self.last_end = self.last_end.max(ended);
            }
            Step::Refused | Step::RolledBack | Step::Failed => {
                self.failed += 1;
                self.last_end = self.last_end.max(ended);
                let reason = if row.reason.is_empty() { row.step.word() } else { &row.reason };
                self.note(rollout, ended, reason);
                self.forgive(rollout, ended);
            }
            Step::Away => {
                self.away += 1;
                self.forgive(rollout, row.step_micros);
            }
            Step::Cancelled | Step::Stays => self.left += 1,
            Step::Switching | Step::Trial if overdue(rollout, row, now) => {
                self.overdue += 1;
                self.note(rollout, row.step_micros, "no word since it switched over");
                self.forgive(rollout, row.step_micros);
            }
            step => {
                self.pending += 1;
                *match step {
                    Step::Assigned => &mut self.assigned,
                    Step::Told | Step::Offered => &mut self.told,
                    Step::Waiting => &mut self.waiting,
                    Step::Switching | Step::Trial => &mut self.trial,
                    _ => &mut self.fetching,
                } += 1;
            }
        }
    }

    /// Leaves out as many of the lost as there would be without the release: of `others` gateways that don't have it `gone`
    /// went away too.
    pub fn excuse(&mut self, (gone, others): (usize, usize)) {
        let usual = (self.confirmed * gone).div_ceil(others.max(1));
        self.fresh -= self.fresh_lost.min(usual);
    }

    /// A failure of this moment.
    fn note(&mut self, rollout: &Rollout, at: i64, reason: &str) {
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
        if at > rollout.judged_micros {
            self.fresh += 1;
        }
    }

    fn forgive(&mut self, rollout: &Rollout, at: i64) {
        if at <= rollout.judged_micros {
            self.forgiven += 1;
        }
    }
}

fn is_lost(connected: bool, seen: i64, now: Now) -> bool {
    !connected && now.micros - seen.max(now.serving_since) > LOST
}

/// How many of the gateways that don't have the release have gone away since its first turn, and of how many that were there.
pub fn usual(rings: &[Vec<(&str, Place<'_>)>], now: Now) -> (usize, usize) {
    let places = || rings.iter().flatten().map(|(_, place)| place);
    let first = places().filter_map(|place| place.row).map(|row| row.assigned_micros).min();
    let first = first.unwrap_or(now.micros);
    let without = |place: &&Place<'_>| {
        place.row.is_none_or(|row| row.step.is_before() || matches!(row.step, Step::Away | Step::Refused))
    };
    let (mut gone, mut others) = (0, 0);
    for member in places().filter(without).filter_map(|place| place.member) {
        let seen = member.seen_micros.unwrap_or(0);
        if member.connected || seen >= first {
            others += 1;
            gone += usize::from(is_lost(member.connected, seen, now));
        }
    }
    (gone, others)
}

/// A gateway that has switched and should have been heard of.
pub fn overdue(rollout: &Rollout, row: &Row, now: Now) -> bool {
    now.is_past(row.step_micros, rollout.plan.trial_s)
}

/// Counts a ring.
pub fn tally(rollout: &Rollout, places: &[(&str, Place<'_>)], now: Now) -> Tally {
    let mut tally = Tally::default();
    for (_, place) in places {
        tally.add(rollout, place, now);
    }
    tally
}

fn percent(part: usize, of: usize) -> f64 {
    // Far below 2^52.
    part as f64 * 100.0 / of.max(1) as f64
}

/// Why the rollout must stop for the sake of this ring; `before`: the ring before, where there is one.
pub fn judge(ring: &Ring, tally: &Tally, before: Option<(&Ring, &Tally)>) -> Option<String> {
    let (ended, fresh) = (tally.ended(), tally.fresh);
    let share = |part: usize, of: usize| part as u64 * u64::from(WHOLE) / (of as u64).max(1);
    // In a small ring one is many.
    let of_ring = (tally.gateways * ring.fail_share as usize).div_ceil(WHOLE as usize).max(1);
    let enough = fresh >= of_ring.min(ring.fail_count as usize);
    if fresh > 0 && enough && share(fresh, ended) >= u64::from(ring.fail_share) {
        let reasons = tally.commonest(3);
        let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count}x {why}")).collect();
        return Some(format!(
            "ring {}: {fresh} of {ended} failed ({:.1} %, the limit is {} and {:.1} %): {}",
            ring.name,
            percent(fresh, ended),
            ring.fail_count,
            f64::from(ring.fail_share) / 10.0,
            reasons.join("; ")
        ));
    }
    let (earlier, before) = before?;
    if fresh > 0 && ended >= COMPARED_FROM && before.ended() > 0 {
        let (this, that) = (share(fresh, ended), share(before.unwell(), before.ended()));
        if this > that + u64::from(ring.worse_by) {
            return Some(format!(
                "ring {}: {fresh} of {ended} are unwell ({:.1} %), in ring {} it were {} of {} ({:.1} %)",
                ring.name,
                percent(fresh, ended),
                earlier.name,
                before.unwell(),
                before.ended(),
                percent(before.unwell(), before.ended())
            ));
        }
    }
    let (this, that) = (tally.alert_rate()?, before.alert_rate()?);
    (tally.confirmed >= COMPARED_FROM && this > 2.0 * that + MORE_ALERTS).then(|| {
        format!(
            "ring {}: {this:.2} alerts an hour on each gateway since it was updated, in ring {} it were {that:.2}",
            ring.name, earlier.name
        )
    })
}

/// Why the ring has not shown that the release works, though nobody is waited for any more.
pub fn unproven(rollout: &Rollout, ring: &Ring, tally: &Tally) -> Option<String> {
    let expected = tally.gateways.saturating_sub(tally.forgiven + tally.left);
    let needed = (expected * rollout.plan.proof as usize).div_ceil(WHOLE as usize);
    let well = tally.confirmed.saturating_sub(tally.lost);
    (well < needed).then(|| {
        format!(
            "ring {}: {well} of {expected} gateways were confirmed, {:.0} % are asked for: {} were away, {} failed",
            ring.name,
            f64::from(rollout.plan.proof) / 10.0,
            tally.away,
            tally.failed + tally.overdue
        )
    })
}
