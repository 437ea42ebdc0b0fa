//! The outbox: rows a second into it, what a row takes on the disk, and a month without the cloud:
//! `cargo bench -p engawa-store --bench journal`.
//!
//! `ROOMS=200`, `DAYS=30`. The month is lived in simulated time, with one commit a minute, in a temporary folder.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench")]

#[path = "../tests/month/mod.rs"]
mod month;

use engawa_model::{Change, Lane, Property, Timestamp};
use engawa_store::{Batch, Durability, Limits, Store};
use month::{Hotel, live, on_disk, open};
use std::time::Instant;

fn number(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn property() -> Property {
    Property::new(engawa_model::testing::house([]))
}

/// Telemetry of a hotel, as many rows as wanted.
fn telemetry(hotel: &mut Hotel, count: usize) -> Vec<(Timestamp, Change)> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        all.extend(hotel.minute().into_iter().filter(|(_, change)| change.lane() == Lane::Telemetry));
    }
    all.truncate(count);
    all
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn outbox() {
    let property = property();
    println!("into the outbox: rows/s, each commit forced to the disk");
    for (together, rows) in [(1, 2_000), (100, 100_000), (1_000, 200_000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), Limits { ballast: 0, ..Limits::default() });
        let mut changes = telemetry(&mut Hotel::new(200, 1), rows);
        let began = Instant::now();
        while !changes.is_empty() {
            let rest = changes.split_off(together.min(changes.len()));
            let batch = Batch { changes: std::mem::replace(&mut changes, rest), ..Batch::default() };
            store.commit(&property, &batch, batch.changes[0].0, Durability::Now).unwrap();
        }
        println!("  {together:>5} in a commit  {:>9.0}", rows as f64 / began.elapsed().as_secs_f64());
    }
    // What grows is the rows alone: the schema and the log are there before.
    let dir = tempfile::tempdir().unwrap();
    let (mut hotel, rows) = (Hotel::new(200, 1), 200_000);
    let mut store = open(dir.path(), Limits { ballast: 0, ..Limits::default() });
    let changes = telemetry(&mut hotel, rows);
    let bodies: usize = changes.iter().map(|(_, change)| serde_json::to_vec(change).unwrap().len()).sum();
    let before = on_disk(dir.path());
    for group in changes.chunks(1000) {
        let batch = Batch { changes: group.to_vec(), ..Batch::default() };
        store.commit(&property, &batch, group[0].0, Durability::Soon).unwrap();
    }
    store.settle().unwrap();
    let counted = store.marks().map(|mark| mark.bytes).sum::<u64>();
    store.close().unwrap();
    let each = |bytes: u64| bytes as f64 / rows as f64;
    println!(
        "a row of telemetry on the disk: {:.0} bytes (its JSON {:.0}); counted as {:.0}",
        each(on_disk(dir.path()) - before),
        each(bodies as u64),
        each(counted)
    );
}

fn month() {
    let (rooms, days) = (number("ROOMS", 200), number("DAYS", 30));
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Limits::default());
    let mut hotel = Hotel::new(rooms, 1);
    let began = Instant::now();
    live(&mut store, &property(), &mut hotel, (i64::from(days), 1));
    let took = began.elapsed().as_secs_f64();
    store.settle().unwrap();
    println!("\n{days} days of {rooms} rooms without the cloud, lived in {took:.0} s");
    println!("  lane         written     rows kept      MiB");
    for lane in Lane::ALL {
        let mark = store.marks().find(|mark| mark.lane == lane.number()).unwrap_or_default();
        let kept = rows(&store, lane);
        println!("  {:<10}{:>10}{kept:>14}{:>9.1}", format!("{lane:?}"), mark.head, mib(mark.bytes));
    }
    println!(
        "  {} rows in all, {} of them measured values; not journalled: {}; pressure: {:?}",
        hotel.written,
        hotel.values,
        store.telemetry_dropped(),
        store.pressure()
    );
    let lost = lost(&store);
    println!("  measured values without a row or a part in one: {lost}");
    println!("  all files, what is set aside included: {:.1} MiB of 512", mib(on_disk(dir.path())));
}

/// Rows that a lane has.
fn rows(store: &Store, lane: Lane) -> usize {
    walk(store, lane, |_| 1)
}

fn lost(store: &Store) -> usize {
    walk(store, Lane::Telemetry, |row| match serde_json::from_slice(&row.body) {
        Ok(Change::Thinned { lost, .. }) => usize::try_from(lost).unwrap(),
        _ => 0,
    })
}

fn walk(store: &Store, lane: Lane, count: impl Fn(&engawa_store::JournalRow) -> usize) -> usize {
    let reader = store.reader().unwrap();
    let (mut after, mut all) = (0, 0);
    loop {
        let page = reader.journal(lane.number(), after, 10_000, usize::MAX).unwrap();
        let Some(last) = page.last() else { return all };
        after = last.seq;
        all += page.iter().map(&count).sum::<usize>();
    }
}

fn main() {
    outbox();
    month();
}
