//! Which effects a row has: each thing that happened has an id, and its effect is to be taken once. A row that others were
//! thinned to stands for theirs.

use engawa_protocol::ports::Row;
use serde_json::Value;

/// The ids of lane `lane` begin here, so that no two lanes share one.
pub(crate) fn first(lane: u8) -> u64 {
    u64::from(lane) << 40
}

/// The lane that an id is of.
pub(crate) fn lane_of(id: u64) -> u64 {
    id >> 40
}

/// Seconds since 1970 at which the first measured value was sampled.
pub(crate) const BEGAN: i64 = 1_790_000_000;
/// So many points tell values in turn, a value a second.
pub(crate) const POINTS: u64 = 10;

/// What the row stands for; nothing for one that only tells of others.
pub(crate) fn of(row: &Row) -> Result<Vec<u64>, String> {
    let body: Value =
        serde_json::from_slice(&row.body).map_err(|error| format!("row {}: {error}", row.seq))?;
    let strange = || format!("row {} can't be read: {body}", row.seq);
    Ok(match row.kind.as_str() {
        "thinned" | "epoch_began" | "gap" => vec![],
        // Of the real store.
        "link" => vec![number(&body["detail"]).ok_or_else(strange)?],
        "moved" => vec![number(&body["stay"]).ok_or_else(strange)?],
        "reported" if body["sampled"].is_string() => vec![value(&body["sampled"]).ok_or_else(strange)?],
        "summary" if body["since"].is_string() => {
            let (since, until) = value(&body["since"]).zip(value(&body["until"])).ok_or_else(strange)?;
            let step = usize::try_from(POINTS).unwrap_or(1);
            let all: Vec<u64> = (since..=until).step_by(step).collect();
            // All values of a point between its first and its last, or it can't be told which.
            if body["count"].as_u64() != Some(all.len() as u64) {
                return Err(strange());
            }
            all
        }
        // Of the made-up one.
        "summary" => body["ids"].as_array().ok_or_else(strange)?.iter().filter_map(Value::as_u64).collect(),
        _ => vec![body["id"].as_u64().ok_or_else(strange)?],
    })
}

fn number(text: &Value) -> Option<u64> {
    text.as_str()?.parse().ok()
}

fn value(at: &Value) -> Option<u64> {
    let at: engawa_model::Timestamp = at.as_str()?.parse().ok()?;
    Some(first(5) + u64::try_from(at.as_second() - BEGAN).ok()?)
}
