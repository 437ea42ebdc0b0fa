//! The proof: what the hotel says that it played, against what the cloud's database holds.
//!
//! Exactly once means here: every stay, move, check-out and charge of the hotel's own log has one row in the cloud and
//! no row is there without it; every change of a set point on the Modbus wire has its own order in the cloud, in the
//! order of the wire, and every order ended once.
//!
//! Why orders and not "done" alone: when the agent is killed between its write on the wire and the commit of the
//! outcome, a newer order may take the older one's place. The older one then ended as superseded though the wire saw
//! it. Without kills each order that the wire saw ended as done, and the proof demands that too.

use crate::played::{self, Event, hundredths};
use crate::sqlite::Database;
use anyhow::Context;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Set points that differ by at most this are the same, hundredths of °C: thermostats round.
const SAME: i64 = 5;
/// Differences that are named in a check's words.
const NAMED: usize = 5;

/// Whether processes were killed while the day was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// Nothing was killed: postings can't be doubtful.
    Quiet,
    /// Agent and cloud were killed: a posting that was on its way is doubtful, as it must be.
    WithKills,
}

/// One thing that was checked.
#[derive(Clone, Debug)]
pub struct Check {
    /// What.
    pub name: String,
    /// How many the hotel has.
    pub hotel: usize,
    /// How many the cloud has.
    pub cloud: usize,
    /// What is wrong; empty where all is well.
    pub faults: Vec<String>,
}

impl Check {
    fn new(name: &str, hotel: usize, cloud: usize, faults: Vec<String>) -> Self {
        Self { name: name.to_owned(), hotel, cloud, faults }
    }

    /// True where nothing is wrong.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A row of the cloud's journal.
struct Row {
    lane: i64,
    seq: i64,
    kind: String,
    body: Value,
}

impl Row {
    fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }
}

/// Checks the whole day.
///
/// # Errors
/// The database can't be read.
pub fn check(events: &[Event], cloud: &Database, day: Day) -> anyhow::Result<Vec<Check>> {
    let rows = rows(cloud)?;
    let mut checks = vec![
        same(
            "stays checked in",
            played::of(events, "checked_in")
                .map(|event| [event.text("stay"), event.text("room")].join(" in ")),
            of(&rows, "checked_in").map(|row| [row.text("stay"), row.text("room")].join(" in ")),
        ),
        same(
            "moves",
            played::of(events, "moved")
                .map(|event| format!("{} {}->{}", event.text("stay"), event.text("from"), event.text("to"))),
            of(&rows, "moved")
                .map(|row| format!("{} {}->{}", row.text("stay"), row.text("from"), row.text("to"))),
        ),
        same(
            "stays checked out",
            played::of(events, "checked_out")
                .map(|event| [event.text("stay"), event.text("room")].join(" from ")),
            of(&rows, "checked_out").map(|row| [row.text("stay"), row.text("room")].join(" from ")),
        ),
    ];
    checks.extend(charges(events, &rows, day));
    checks.extend(setpoints(events, &rows, day));
    checks.push(dense(&rows));
    Ok(checks)
}

fn rows(cloud: &Database) -> anyhow::Result<Vec<Row>> {
    let found = cloud.rows("SELECT lane, seq, kind, body FROM journal ORDER BY epoch, lane, seq")?;
    found
        .into_iter()
        .map(|row| {
            let text = row["body"].as_str().context("a row of the journal has no body")?;
            Ok(Row {
                lane: row["lane"].as_i64().unwrap_or_default(),
                seq: row["seq"].as_i64().unwrap_or_default(),
                kind: row["kind"].as_str().unwrap_or_default().to_owned(),
                body: serde_json::from_str(text)
                    .with_context(|| format!("a body that is not JSON: {text}"))?,
            })
        })
        .collect()
}

fn of<'a>(rows: &'a [Row], kind: &'a str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.kind == kind)
}

/// The two sides as bags: everything as often here as there.
fn same(name: &str, hotel: impl Iterator<Item = String>, cloud: impl Iterator<Item = String>) -> Check {
    let (mut counts, mut sums) = (BTreeMap::<String, (usize, usize)>::new(), (0, 0));
    for item in hotel {
        counts.entry(item).or_default().0 += 1;
        sums.0 += 1;
    }
    for item in cloud {
        counts.entry(item).or_default().1 += 1;
        sums.1 += 1;
    }
    let wrong = counts.into_iter().filter(|(_, (hotel, cloud))| hotel != cloud);
    let faults =
        wrong.map(|(item, (hotel, cloud))| format!("{item}: {hotel} in the hotel, {cloud} in the cloud"));
    Check::new(name, sums.0, sums.1, faults.take(NAMED).collect())
}

/// Charges: one posting for each, booked at most once, and the cloud says what the hotel's ledger says.
fn charges(events: &[Event], rows: &[Row], day: Day) -> [Check; 2] {
    // The last row of a posting tells its state.
    let mut postings: BTreeMap<i64, &Row> = BTreeMap::new();
    for row in of(rows, "posting") {
        postings.insert(row.body["number"].as_i64().unwrap_or_default(), row);
    }
    let asked = same(
        "charges",
        played::of(events, "charged").map(|event| {
            format!(
                "{} room {} {} {}",
                event.text("key"),
                event.text("room"),
                event.number("minor"),
                event.text("currency")
            )
        }),
        postings.values().map(|row| {
            let amount = &row.body["amount"];
            format!(
                "{} room {} {} {}",
                row.text("key"),
                row.text("room"),
                amount["minor"].as_i64().unwrap_or_default(),
                amount["currency"].as_str().unwrap_or_default()
            )
        }),
    );
    let mut faults = Vec::new();
    let mut booked: BTreeMap<i64, usize> = BTreeMap::new();
    for event in played::of(events, "booked") {
        *booked.entry(event.number("number")).or_default() += 1;
    }
    let refused: BTreeSet<i64> = played::of(events, "refused").map(|event| event.number("number")).collect();
    for (number, times) in booked.iter().filter(|(_, times)| **times > 1) {
        faults.push(format!("P# {number} was booked {times} times"));
    }
    for number in booked.keys().filter(|number| !postings.contains_key(number)) {
        faults.push(format!("P# {number} is booked in the hotel and unknown to the cloud"));
    }
    let mut posted = 0;
    for (number, row) in &postings {
        let state = row.text("state");
        posted += usize::from(state == "posted");
        let fits = match state.as_str() {
            "posted" => booked.contains_key(number),
            "refused" => refused.contains(number) && !booked.contains_key(number),
            // It may be booked or not: that is what doubtful says.
            "doubtful" => day == Day::WithKills,
            _ => false,
        };
        if !fits {
            let hotel = if booked.contains_key(number) { "booked" } else { "not booked" };
            faults.push(format!("P# {number} is {state} in the cloud and {hotel} in the hotel"));
        }
    }
    faults.truncate(NAMED);
    [asked, Check::new("postings as the ledger has them", booked.len(), posted, faults)]
}

/// The orders of one room, in the order in which the house made them.
struct Order {
    value: i64,
    ends: Vec<String>,
    on_wire: bool,
}

fn setpoints(events: &[Event], rows: &[Row], day: Day) -> [Check; 2] {
    let mut orders: BTreeMap<String, Vec<(String, Order)>> = BTreeMap::new();
    let mut faults = Vec::new();
    for row in rows.iter().filter(|row| row.kind == "ordered" || row.kind == "order_ended") {
        let of_room = orders.entry(row.text("room")).or_default();
        if row.kind == "ordered" {
            let value = hundredths(&row.body["value"]);
            of_room.push((row.text("key"), Order { value, ends: Vec::new(), on_wire: false }));
        } else {
            let outcome = row.body["outcome"]["outcome"].as_str().unwrap_or_default().to_owned();
            match of_room.iter_mut().find(|(key, _)| *key == row.text("key")) {
                Some((_, order)) => order.ends.push(outcome),
                None => faults.push(format!("{} ended without having been ordered", row.text("key"))),
            }
        }
    }
    let ordered: usize = orders.values().map(Vec::len).sum();
    let mut ended = 0;
    for (room, of_room) in &orders {
        for (key, order) in of_room {
            ended += order.ends.len();
            if order.ends.len() != 1 {
                faults.push(format!("room {room}: {key} ended {} times: {:?}", order.ends.len(), order.ends));
            }
        }
    }
    faults.truncate(NAMED);
    let ends = Check::new("set points ordered, each ended once", ordered, ended, faults);

    let mut faults = Vec::new();
    let mut changes = 0;
    for event in played::of(events, "setpoint_written") {
        changes += 1;
        let (room, value) = (event.text("room"), event.hundredths("celsius"));
        // The wire keeps the order of the house: what is matched once is passed.
        let of_room = orders.entry(room.clone()).or_default();
        let passed = of_room.iter().rposition(|(_, order)| order.on_wire).map_or(0, |last| last + 1);
        match of_room[passed..].iter_mut().find(|(_, order)| (order.value - value).abs() <= SAME) {
            Some((_, order)) => order.on_wire = true,
            None => faults.push(format!(
                "room {room}: {value} hundredths of °C on the wire without an order of its own"
            )),
        }
    }
    let all = || {
        orders.iter().flat_map(|(room, of_room)| of_room.iter().map(move |(key, order)| (room, key, order)))
    };
    for (room, key, order) in all().filter(|(_, _, order)| order.on_wire && day == Day::Quiet) {
        if order.ends != ["done"] {
            faults.push(format!("room {room}: {key} was on the wire and ended as {:?}", order.ends));
        }
    }
    let on_wire = all().filter(|(_, _, order)| order.on_wire).count();
    faults.truncate(NAMED);
    [Check::new("set points on the Modbus wire, each with its order", changes, on_wire, faults), ends]
}

/// The journal of each lane has no hole: a row that was lost would leave one.
fn dense(rows: &[Row]) -> Check {
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut faults = Vec::new();
    for row in rows {
        let before = last.insert(row.lane, row.seq).unwrap_or(0);
        if row.seq != before + 1 {
            faults.push(format!("lane {}: {} comes after {before}", row.lane, row.seq));
        }
    }
    faults.truncate(NAMED);
    let heads = last.values().sum::<i64>();
    Check::new("journal rows, without a hole", usize::try_from(heads).unwrap_or(0), rows.len(), faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(event: &str, body: Value) -> Event {
        Event { at: 0, event: event.to_owned(), body }
    }

    fn row(seq: i64, kind: &str, body: Value) -> Row {
        Row { lane: 3, seq, kind: kind.to_owned(), body }
    }

    fn order(seq: i64, key: &str, value: f64) -> Row {
        row(seq, "ordered", json!({ "key": key, "room": "101", "value": value }))
    }

    fn end(seq: i64, key: &str, outcome: &str) -> Row {
        row(seq, "order_ended", json!({ "key": key, "room": "101", "outcome": { "outcome": outcome } }))
    }

    fn wire(celsius: f64) -> Event {
        event("setpoint_written", json!({ "room": "101", "celsius": celsius }))
    }

    #[test]
    fn a_bag_that_differs_names_the_difference() {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>().into_iter();
        assert!(same("x", list(&["a", "b"]), list(&["b", "a"])).holds());
        let twice = same("x", list(&["a"]), list(&["a", "a"]));
        assert_eq!(twice.faults, ["a: 1 in the hotel, 2 in the cloud"]);
        assert!(!same("x", list(&["a"]), list(&[])).holds());
    }

    #[test]
    fn a_write_without_an_order_or_out_of_order_is_a_fault() {
        let rows = [order(1, "a", 22.0), end(2, "a", "done"), order(3, "b", 18.0), end(4, "b", "done")];
        let good = setpoints(&[wire(22.0), wire(18.02)], &rows, Day::Quiet);
        assert!(good.iter().all(Check::holds), "{good:?}");
        for events in [&[wire(18.0), wire(22.0)][..], &[wire(22.0), wire(22.0)], &[wire(25.0)]] {
            assert!(!setpoints(events, &rows, Day::WithKills)[0].holds(), "{events:?}");
        }
    }

    #[test]
    fn an_order_ends_once() {
        for rows in
            [vec![order(1, "a", 22.0)], vec![order(1, "a", 22.0), end(2, "a", "done"), end(3, "a", "done")]]
        {
            assert!(!setpoints(&[], &rows, Day::WithKills)[1].holds());
        }
        let superseded =
            [order(1, "a", 22.0), end(2, "a", "superseded"), order(3, "b", 18.0), end(4, "b", "done")];
        assert!(setpoints(&[wire(22.0), wire(18.0)], &superseded, Day::WithKills).iter().all(Check::holds));
        assert!(!setpoints(&[wire(22.0), wire(18.0)], &superseded, Day::Quiet)[0].holds());
    }

    #[test]
    fn a_posting_is_what_the_ledger_says() {
        let charged =
            || event("charged", json!({ "key": "k", "room": "101", "minor": 5, "currency": "EUR" }));
        let booked = || event("booked", json!({ "number": 1 }));
        let posting = |state: &str| {
            let amount = json!({ "minor": 5, "currency": "EUR" });
            [row(
                1,
                "posting",
                json!({ "number": 1, "key": "k", "room": "101", "amount": amount, "state": state }),
            )]
        };
        let holds = |events: &[Event], state: &str, day| {
            charges(events, &posting(state), day).iter().all(Check::holds)
        };
        assert!(holds(&[charged(), booked()], "posted", Day::Quiet));
        assert!(holds(&[charged()], "doubtful", Day::WithKills));
        assert!(!holds(&[charged()], "doubtful", Day::Quiet));
        assert!(!holds(&[charged()], "posted", Day::WithKills), "nothing was booked");
        assert!(!holds(&[charged(), booked()], "pending", Day::WithKills));
        assert!(!holds(&[charged(), booked(), booked()], "posted", Day::WithKills), "booked twice");
        assert!(!holds(&[charged(), booked()], "refused", Day::WithKills));
    }

    #[test]
    fn a_hole_is_seen() {
        assert!(dense(&[row(1, "x", json!({})), row(2, "x", json!({}))]).holds());
        assert!(!dense(&[row(1, "x", json!({})), row(3, "x", json!({}))]).holds());
        assert!(!dense(&[row(2, "x", json!({}))]).holds());
    }
}
