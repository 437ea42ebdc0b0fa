//! What somebody wants to know of a rollout at three in the morning. Pure.

use super::health::{Tally, tally};
use super::machine::Now;
use super::plan::{Who, spoken};
use super::rings::{Outside, place};
use super::state::{Fleet, Rollout, State, Step};
use serde::Serialize;

/// A ring.
#[derive(Clone, Debug, Serialize)]
pub struct RingReport {
    /// Its name.
    pub ring: String,
    /// Who is in it, in words.
    pub who: String,
    /// `open`, `done` or `closed`.
    pub state: &'static str,
    /// What has become of its gateways.
    #[serde(flatten)]
    pub tally: Tally,
    /// The commonest reasons of failures.
    pub reasons: Vec<(String, usize)>,
}

/// A rollout.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which.
    #[serde(flatten)]
    pub rollout: Rollout,
    /// Its rings.
    pub rings: Vec<RingReport>,
    /// Gateways of its cohort that it reaches.
    pub reached: usize,
    /// Of the cohort: they have it or a newer one.
    pub have_it: usize,
    /// They have never asked for updates.
    pub silent: usize,
    /// It is not made for their machine.
    pub unfit: usize,
    /// It is blocked for them, or below their floor.
    pub blocked: usize,
    /// Gateways that went back, of those that are to.
    pub back: (usize, usize),
}

/// Reports on one.
pub fn report(rollout: &Rollout, fleet: &Fleet, now: Now) -> Report {
    let placed = place(rollout, fleet);
    let rings: Vec<RingReport> = rollout
        .plan
        .rings
        .iter()
        .zip(&placed.rings)
        .zip(0_u32..)
        .map(|((ring, places), number)| {
            let tally = tally(rollout, places, now);
            let state = match rollout.state {
                State::Draft => "closed",
                State::Done => "done",
                _ if number < rollout.ring => "done",
                _ if number == rollout.ring => "open",
                _ => "closed",
            };
            let who = match &ring.who {
                Who::Label(label) => format!("label {label}"),
                Who::Share(share) => format!("up to {} %", f64::from(*share) / 10.0),
            };
            RingReport { ring: ring.name.clone(), who, state, reasons: tally.commonest(3), tally }
        })
        .collect();
    let count = |why| placed.outside.iter().filter(|(_, of)| *of == why).count();
    let back = fleet.rows_of(&rollout.id).filter(|row| row.back);
    let back =
        back.fold((0, 0), |(done, all), row| (done + usize::from(row.step == Step::Confirmed), all + 1));
    Report {
        rollout: rollout.clone(),
        reached: rings.iter().map(|ring| ring.tally.gateways).sum(),
        rings,
        have_it: count(Outside::HasIt),
        silent: count(Outside::Silent),
        unfit: count(Outside::Unfit),
        blocked: count(Outside::Blocked) + count(Outside::BelowFloor),
        back,
    }
}

impl Report {
    /// The one line of a list.
    pub fn line(&self) -> String {
        let sum = |of: fn(&Tally) -> usize| self.rings.iter().map(|ring| of(&ring.tally)).sum::<usize>();
        let rollout = &self.rollout;
        let ring = rollout.plan.rings.get(rollout.ring as usize).map_or("-", |ring| &ring.name);
        format!(
            "{:<8} {:<11} {:<12} {:<12} ring {:<10} {:>5} of {:<5} confirmed {:>4} failed  {}",
            rollout.id,
            rollout.plan.release.kind.word(),
            rollout.plan.release.version,
            rollout.state.word(),
            ring,
            sum(|tally| tally.confirmed),
            self.reached,
            sum(Tally::unwell),
            rollout.reason
        )
    }

    /// All of it, for people.
    pub fn text(&self, now: Now) -> String {
        let (rollout, plan) = (&self.rollout, &self.rollout.plan);
        let mut lines = vec![format!(
            "{}: {} {} to {}, {}{}",
            rollout.id,
            plan.release.kind.word(),
            plan.release.version,
            plan.cohort.words(),
            rollout.state.word().to_uppercase().replace('_', " "),
            if rollout.reason.is_empty() { String::new() } else { format!(": {}", rollout.reason) }
        )];
        if let Some(next) = self.next(now) {
            lines.push(next);
        }
        lines.push(String::new());
        lines.push(format!(
            "{:<12} {:<12} {:<6} {:>8} {:>6} {:>5} {:>8} {:>7} {:>5} {:>9} {:>6} {:>5} {:>5}",
            "ring",
            "who",
            "state",
            "gateways",
            "queued",
            "told",
            "fetching",
            "waiting",
            "trial",
            "confirmed",
            "failed",
            "lost",
            "away"
        ));
        for ring in &self.rings {
            let tally = &ring.tally;
            lines.push(format!(
                "{:<12} {:<12} {:<6} {:>8} {:>6} {:>5} {:>8} {:>7} {:>5} {:>9} {:>6} {:>5} {:>5}",
                ring.ring,
                ring.who,
                ring.state,
                tally.gateways,
                tally.queued + tally.assigned,
                tally.told,
                tally.fetching,
                tally.waiting,
                tally.trial,
                tally.confirmed,
                tally.failed,
                tally.lost + tally.overdue,
                tally.away
            ));
            for (reason, count) in &ring.reasons {
                lines.push(format!("{:>14} x {reason}", count));
            }
        }
        if self.back.1 > 0 {
            lines.push(String::new());
            lines.push(format!("going back: {} of {} are back", self.back.0, self.back.1));
        }
        let others = [
            (self.have_it, "have it or a newer one"),
            (self.silent, "have never asked for updates"),
            (self.unfit, "are of a machine that it is not made for"),
            (self.blocked, "have it blocked, or may not go so far back"),
        ];
        let others: Vec<String> = others
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !others.is_empty() {
            lines.push(String::new());
            lines.push(format!("of the cohort, and not in it: {}", others.join("; ")));
        }
        lines.join("\n")
    }

    /// What it waits for, or what somebody is to do.
    fn next(&self, now: Now) -> Option<String> {
        let (rollout, plan) = (&self.rollout, &self.rollout.plan);
        let id = &rollout.id;
        match rollout.state {
            State::Draft => Some(format!("next: `engawa-cloud rollout start {id}`")),
            State::Paused => {
                Some(format!("next: `engawa-cloud rollout resume {id}`; nobody else is told until then"))
            }
            State::Halted => Some(format!(
                "next: `engawa-cloud rollout back {id}` has all go back, `resume {id}` goes on in spite of it, `abort {id}` leaves it; nobody is told"
            )),
            State::Running => {
                let ring = plan.rings.get(rollout.ring as usize)?;
                let tally = &self.rings.get(rollout.ring as usize)?.tally;
                if tally.pending > 0 {
                    return Some(format!("ring {} waits for {} of its gateways", ring.name, tally.pending));
                }
                let until = tally.last_end.max(rollout.ring_micros) + i64::from(ring.soak_s) * super::SECOND;
                let left = u32::try_from((until - now.micros).max(0) / super::SECOND).unwrap_or(0);
                Some(format!("ring {} soaks for {}, {} left", ring.name, spoken(ring.soak_s), spoken(left)))
            }
            State::RollingBack | State::Done | State::Aborted => None,
        }
    }
}
