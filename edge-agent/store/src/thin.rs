//! What rows of measured values become when there is less room for them: pure.
//!
//! A block of rows becomes one gap record ([`Change::Thinned`]) and fewer rows. These take the last numbers of the block,
//! the record the one before them, and the numbers before it have no rows any more.

use engawa_model::{Change, PointId, Quality, Role, RoomId, Thinning, Timestamp, Value};
use std::collections::BTreeMap;

/// A row of a block.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Its number.
    pub(crate) seq: u64,
    /// When it was written, microseconds.
    pub(crate) at_us: i64,
    /// Its kind.
    pub(crate) kind: String,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// What a block has become.
#[derive(Debug)]
pub(crate) struct Thin {
    /// The gap record.
    pub(crate) record: Change,
    /// When it was written: as the last row of the block.
    pub(crate) at_us: i64,
    /// The first number of the block; those from here to the record's have no row any more.
    pub(crate) first: u64,
    /// The number of the record; `kept` follow.
    pub(crate) seq: u64,
    /// When, kind, body.
    pub(crate) kept: Vec<(i64, String, Vec<u8>)>,
}

/// How many numbers before a row's own it stands for.
pub(crate) fn numbers_before(kind: &str, body: &[u8]) -> u64 {
    if kind != "thinned" {
        return 0;
    }
    match serde_json::from_slice(body) {
        Ok(Change::Thinned { numbers, .. }) => numbers,
        _ => 0,
    }
}

struct Group {
    point: PointId,
    room: Option<RoomId>,
    role: Option<Role>,
    at_us: i64,
    since: Timestamp,
    until: Timestamp,
    count: u32,
    good: u32,
    min: f64,
    max: f64,
    sum: f64,
    last: Option<Value>,
    quality: Quality,
    /// The row itself, while it is the only one.
    only: Option<(String, Vec<u8>)>,
}

impl Group {
    fn join(&mut self, next: Self) {
        self.at_us = self.at_us.max(next.at_us);
        self.since = self.since.min(next.since);
        if next.until >= self.until {
            (self.until, self.last, self.quality) = (next.until, next.last, next.quality);
        }
        self.count = self.count.saturating_add(next.count);
        self.good = self.good.saturating_add(next.good);
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
        self.sum += next.sum;
        self.only = None;
    }

    fn row(self) -> (i64, String, Vec<u8>) {
        if let Some((kind, body)) = self.only {
            return (self.at_us, kind, body);
        }
        let of = |number: f64| (self.good > 0).then_some((number * 1000.0).round() / 1000.0);
        let summary = Change::Summary {
            point: self.point,
            room: self.room,
            role: self.role,
            since: self.since,
            until: self.until,
            count: self.count,
            good: self.good,
            min: of(self.min),
            max: of(self.max),
            mean: of(self.sum / f64::from(self.good.max(1))),
            last: self.last,
            quality: self.quality,
        };
        (self.at_us, summary.kind().to_owned(), json(&summary))
    }
}

/// A change of our own plain types always has a JSON form.
pub(crate) fn json(change: &Change) -> Vec<u8> {
    serde_json::to_vec(change).unwrap_or_default()
}

enum Read {
    Values(Group),
    Record { values: u64, lost: u64, since: Timestamp, until: Timestamp, how: Thinning },
    Other(String, Vec<u8>),
}

fn read(row: Raw) -> Read {
    let Raw { at_us, kind, body, .. } = row;
    match serde_json::from_slice(&body) {
        Ok(Change::Reported { point, room, role, value, quality, sampled }) => {
            let number = value.as_ref().and_then(Value::as_f64).filter(|x| x.is_finite());
            let number = number.filter(|_| quality == Quality::Good);
            Read::Values(Group {
                point,
                room,
                role,
                at_us,
                since: sampled,
                until: sampled,
                count: 1,
                good: u32::from(number.is_some()),
                min: number.unwrap_or(f64::INFINITY),
                max: number.unwrap_or(f64::NEG_INFINITY),
                sum: number.unwrap_or(0.0),
                last: value,
                quality,
                only: Some((kind, body)),
            })
        }
        Ok(Change::Summary {
            point,
            room,
            role,
            since,
            until,
            count,
            good,
            min,
            max,
            mean,
            last,
            quality,
        }) => Read::Values(Group {
            point,
            room,
            role,
            at_us,
            since,
            until,
            count,
            good,
            min: min.unwrap_or(f64::INFINITY),
            max: max.unwrap_or(f64::NEG_INFINITY),
            sum: mean.unwrap_or(0.0) * f64::from(good),
            last,
            quality,
            only: Some((kind, body)),
        }),
        Ok(Change::Thinned { values, lost, since, until, how, .. }) => {
            Read::Record { values, lost, since, until, how }
        }
        // Of another release: it goes on as it is.
        _ => Read::Other(kind, body),
    }
}

/// The length of what becomes one row, microseconds.
fn slot_us(how: Thinning) -> i64 {
    match how {
        Thinning::PerMinute => 60_000_000,
        _ => 3_600_000_000,
    }
}

/// Leaves the last minute or hour of a block to the next one, where it may go on; not where it is most of the block.
pub(crate) fn whole_slots(block: &mut Vec<Raw>, how: Thinning) {
    let slot = |row: &Raw| row.at_us.div_euclid(slot_us(how));
    let Some(last) = block.last().map(slot) else { return };
    if let Some(end) = block.iter().rposition(|row| slot(row) != last)
        && end + 1 >= block.len() / 2
        && how != Thinning::Dropped
    {
        block.truncate(end + 1);
    }
}

/// Makes one row of all that a point told in a minute or an hour; with `Dropped`, nothing. `None` where that saves less
/// than one row in eight.
pub(crate) fn thin(block: Vec<Raw>, how: Thinning) -> Option<Thin> {
    let (first, last) = (block.first()?, block.last()?);
    // What a life of the journal before this one has thinned reaches below its first number.
    let first_number = first.seq.saturating_sub(numbers_before(&first.kind, &first.body)).max(1);
    let (last_seq, last_at, rows) = (last.seq, last.at_us, block.len());
    let slot_us = slot_us(how);
    let at = |us: i64| Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH);
    let (mut since, mut until) = (at(first.at_us), at(last_at));
    let mut gravest = how;
    let (mut values, mut lost) = (0_u64, 0_u64);
    let mut groups: BTreeMap<(PointId, i64), Group> = BTreeMap::new();
    let mut kept = Vec::new();
    for row in block {
        let at_us = row.at_us;
        match read(row) {
            Read::Record { values: of, lost: already, since: from, until: to, how } => {
                // What its rows stand for is counted with them.
                let _ = of;
                lost += already;
                (since, until) = (since.min(from), until.max(to));
                gravest = gravest.max(how);
            }
            Read::Values(group) if how == Thinning::Dropped => lost += u64::from(group.count),
            Read::Values(group) => {
                values += u64::from(group.count);
                let slot = (group.point.clone(), at_us.div_euclid(slot_us));
                match groups.get_mut(&slot) {
                    Some(before) => before.join(group),
                    None => {
                        groups.insert(slot, group);
                    }
                }
            }
            Read::Other(..) if how == Thinning::Dropped => lost += 1,
            Read::Other(kind, body) => kept.push((at_us, kind, body)),
        }
    }
    kept.extend(groups.into_values().map(Group::row));
    if (kept.len() + 1) * 8 > rows * 7 {
        return None;
    }
    kept.sort_by_key(|(at_us, ..)| *at_us);
    let into = kept.len() as u64;
    // No underflow: there are fewer rows than before, and each had a number.
    let seq = last_seq - into;
    let numbers = seq.saturating_sub(first_number);
    let record = Change::Thinned { numbers, values, into, lost, since, until, how: gravest };
    Some(Thin { record, at_us: last_at, first: first_number, seq, kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(seq: u64, second: i64, point: &str, value: f64) -> Raw {
        let sampled = Timestamp::from_second(second).unwrap();
        let change = Change::Reported {
            point: PointId::new(point, "t"),
            room: Some(RoomId::from("101")),
            role: Some(Role::RoomTemperature),
            value: Some(Value::Float(value)),
            quality: Quality::Good,
            sampled,
        };
        Raw { seq, at_us: second * 1_000_000, kind: "reported".into(), body: json(&change) }
    }

    fn record(thin: &Thin) -> (u64, u64, u64, u64, Thinning) {
        let Change::Thinned { numbers, values, into, lost, how, .. } = thin.record else { panic!() };
        (numbers, values, into, lost, how)
    }

    #[test]
    fn a_minute_becomes_a_row_for_each_point_and_lonely_values_stay_as_they_are() {
        let mut block: Vec<Raw> = (0..60).map(|n| reported(100 + n, 600 + n as i64, "a", n as f64)).collect();
        block.push(reported(160, 659, "b", 5.0));
        let lonely = block[60].body.clone();
        let thin = thin(block, Thinning::PerMinute).unwrap();
        assert_eq!(record(&thin), (58, 61, 2, 0, Thinning::PerMinute));
        assert_eq!(thin.seq, 158, "the record, then rows 159 and 160");
        let Ok(Change::Summary { count, good, min, max, mean, last, .. }) =
            serde_json::from_slice(&thin.kept[0].2)
        else {
            panic!()
        };
        assert_eq!((count, good, min, max, mean), (60, 60, Some(0.0), Some(59.0), Some(29.5)));
        assert_eq!(last, Some(Value::Float(59.0)));
        assert_eq!(thin.kept[1].2, lonely);
    }

    #[test]
    fn thinned_again_it_says_the_same_of_more() {
        let minutes: Vec<Raw> = (0..600).map(|n| reported(1 + n, n as i64, "a", (n % 7) as f64)).collect();
        let raw: Vec<f64> = (0..600).map(|n| f64::from(n % 7)).collect();
        let first = thin(minutes, Thinning::PerMinute).unwrap();
        let stored = |thin: Thin| -> Vec<Raw> {
            let record =
                Raw { seq: thin.seq, at_us: thin.at_us, kind: "thinned".into(), body: json(&thin.record) };
            let rows = thin.kept.into_iter().enumerate();
            let rows =
                rows.map(|(n, (at_us, kind, body))| Raw { seq: thin.seq + 1 + n as u64, at_us, kind, body });
            std::iter::once(record).chain(rows).collect()
        };
        assert_eq!(record(&first), (589, 600, 10, 0, Thinning::PerMinute));
        let second = thin(stored(first), Thinning::PerHour).unwrap();
        assert_eq!(record(&second), (598, 600, 1, 0, Thinning::PerHour), "every number from 1 on is told of");
        let Ok(Change::Summary { count, mean, .. }) = serde_json::from_slice(&second.kept[0].2) else {
            panic!()
        };
        assert_eq!(count, 600);
        assert!((mean.unwrap() - raw.iter().sum::<f64>() / 600.0).abs() < 0.01);
        let mut third = stored(second);
        third.extend((0..20).map(|n| reported(601 + n, 700 + n as i64, "a", 1.0)));
        let third = thin(third, Thinning::Dropped).unwrap();
        assert_eq!(record(&third), (619, 0, 0, 620, Thinning::Dropped));
        assert_eq!(third.seq, 620);
    }

    #[test]
    fn a_block_ends_with_a_whole_hour_where_that_leaves_most_of_it() {
        let rows =
            |of: std::ops::Range<u64>| of.map(|n| reported(n, n as i64 * 60, "a", 1.0)).collect::<Vec<_>>();
        let ends = |mut block: Vec<Raw>, how| {
            whole_slots(&mut block, how);
            block.last().map(|row| row.seq)
        };
        assert_eq!(ends(rows(0..130), Thinning::PerHour), Some(119));
        assert_eq!(ends(rows(0..70), Thinning::PerHour), Some(59));
        assert_eq!(ends(rows(0..50), Thinning::PerHour), Some(49), "one hour alone");
        assert_eq!(ends(rows(0..130), Thinning::Dropped), Some(129));
    }

    #[test]
    fn what_saves_nothing_is_left_alone_and_what_is_not_known_goes_on() {
        let lonely: Vec<Raw> = (0..50).map(|n| reported(1 + n, n as i64 * 7200, "a", 1.0)).collect();
        assert!(thin(lonely, Thinning::PerHour).is_none());
        let mut block: Vec<Raw> = (0..50).map(|n| reported(1 + n, n as i64, "a", 1.0)).collect();
        let strange =
            Raw { seq: 51, at_us: 60_000_000, kind: "of_tomorrow".into(), body: b"{\"x\":1}".to_vec() };
        block.push(strange.clone());
        let thin = thin(block, Thinning::PerHour).unwrap();
        assert!(thin.kept.iter().any(|(_, kind, body)| *kind == strange.kind && *body == strange.body));
    }
}
