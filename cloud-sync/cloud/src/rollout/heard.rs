//! What a gateway tells of its update, in a journal row or when it asks, and what becomes of its turn. Pure.

use super::acts::short;
use super::plan::Kind;
use super::state::{BY_GATEWAY, Block, Entry, Row, Step, Write};
use engawa_model::{UpdateNote, UpdateStep};

/// What a gateway tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The rollout; empty: it was updated from a stick.
    pub rollout: String,
    /// The version.
    pub version: String,
    /// Its number; 0: not known.
    pub number: u64,
    /// Of which attempt; `None`: it does not say.
    pub attempt: Option<u32>,
    /// How far.
    pub step: Step,
    /// Why.
    pub reason: String,
}

/// Of a journal row.
pub fn of(note: &UpdateNote) -> Heard {
    let step = match note.step {
        UpdateStep::Offered => Step::Offered,
        UpdateStep::Refused => Step::Refused,
        UpdateStep::Downloading => Step::Downloading,
        UpdateStep::Ready => Step::Ready,
        UpdateStep::Waiting => Step::Waiting,
        UpdateStep::Switching => Step::Switching,
        UpdateStep::Trial => Step::Trial,
        UpdateStep::Confirmed => Step::Confirmed,
        UpdateStep::RolledBack => Step::RolledBack,
        UpdateStep::Failed => Step::Failed,
    };
    Heard {
        rollout: note.rollout.clone().unwrap_or_default(),
        version: short(&note.version),
        number: note.number,
        attempt: Some(note.attempt),
        step,
        reason: short(note.reason.as_deref().unwrap_or_default()),
    }
}

/// What becomes of the turn, and what is to be written. `None`: nothing new.
pub fn heard(row: &Row, kind: Kind, heard: &Heard, micros: i64) -> Option<(Row, Vec<Write>)> {
    let other = heard.number != 0 && heard.number != row.number;
    let earlier = heard.attempt.is_some_and(|attempt| attempt != row.attempt);
    if row.rollout != heard.rollout || other || earlier || row.version != heard.version {
        return None;
    }
    // What has ended was seen to end: a row of before that comes late, or again, does not open it. What failed may be tried
    // again and hold, and what held may go back; the other way round nothing is believed, so that no turn changes for ever.
    let rank = |step| match step {
        Step::Failed => 1,
        Step::Confirmed => 2,
        Step::RolledBack => 3,
        Step::Stays => 4,
        _ => 0,
    };
    if row.step == heard.step || (rank(row.step) > 0 && rank(heard.step) <= rank(row.step)) {
        return None;
    }
    let ended_micros = heard.step.is_end().then_some(micros);
    let after = Row {
        step: heard.step,
        step_micros: micros,
        reason: heard.reason.clone(),
        ended_micros,
        told_micros: row.told_micros.or(Some(micros)),
        ..row.clone()
    };
    let mut writes = vec![Write::Row(Box::new(after.clone()))];
    if heard.step.is_end() {
        writes.push(Write::Log(Entry {
            at_micros: micros,
            rollout: row.rollout.clone(),
            gateway: row.gateway.clone(),
            who: "gateway".to_owned(),
            what: heard.step.word().to_owned(),
            detail: short(&format!("{} {}", row.version, heard.reason)).trim_end().to_owned(),
        }));
    }
    writes.extend(blocks(&row.gateway, kind, heard, micros));
    Some((after, writes))
}

/// What is to be written where a gateway's journal tells this; `turn`: its turn in the rollout that it names, and of which layer.
pub fn taken(turn: Option<(&Row, Kind)>, gateway: &str, told: &Heard, micros: i64) -> Vec<Write> {
    match turn {
        Some((row, kind)) => heard(row, kind, told, micros).map(|(_, writes)| writes).unwrap_or_default(),
        None => blocks(gateway, Kind::Application, told, micros).into_iter().collect(),
    }
}

/// A version that a gateway went back from is never offered to it again.
pub fn blocks(gateway: &str, kind: Kind, heard: &Heard, micros: i64) -> Option<Write> {
    (heard.step == Step::RolledBack).then(|| {
        Write::Block(Block {
            gateway: gateway.to_owned(),
            kind,
            version: heard.version.clone(),
            why: if heard.reason.is_empty() {
                "it went back".to_owned()
            } else {
                format!("it went back: {}", heard.reason)
            },
            by: BY_GATEWAY.to_owned(),
            at_micros: micros,
        })
    })
}

/// An alert that was raised just now: neither raised again, nor escalated, nor cleared.
pub fn is_new(alert: &engawa_model::Alert) -> bool {
    alert.active && alert.count == 1 && alert.level == 0 && alert.acknowledged.is_none()
}
