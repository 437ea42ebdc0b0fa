//! The conformance table: each record of the specification, each way that it goes, and the conversations that play it.
//!
//! A conversation counts because it is replayed through the link, the model and the store, in memory and over a socket,
//! by the tests beside this one. Printed with
//! `cargo test -p engawa-e2e --test fias_cases conformance -- --nocapture`.

use super::case::{self, Case};
use super::memory;
use engawa_pms::Charset;
use engawa_pms::codec::dictionary::{RECORDS, Way, pairs};
use engawa_pms::codec::{Record, faults};
use std::collections::{BTreeMap, BTreeSet};

/// Records that the house does not speak, and why.
const NOT_SPOKEN: &[(&str, Way, &str)] = &[
    ("VA", Way::Out, "no direct dialling numbers are handed out: EN, ES and EP are never asked for"),
    ("LO", Way::Out, "its fields are in no public source; a locator is asked for with LP"),
    ("LF", Way::Out, "its fields are in no public source; a locator is asked for with LP"),
];

/// What the conversations play of one record, one way.
#[derive(Default)]
struct Played {
    cases: BTreeSet<String>,
    /// Fields that came with a value at least once.
    fields: BTreeSet<String>,
}

fn text_record(text: &str) -> Option<Record> {
    Record::decode(text.as_bytes(), Charset::Utf8)
}

fn every_case() -> Vec<Case> {
    let mut names: Vec<String> = std::fs::read_dir(case::folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".case")?.to_owned()))
        .collect();
    names.sort();
    names.iter().map(|name| case::load(name)).collect()
}

fn played() -> BTreeMap<(String, Way), Played> {
    let mut all: BTreeMap<(String, Way), Played> = BTreeMap::new();
    let mut note = |record: &Record, way: Way, case: &Case| {
        let played = all.entry((record.id().to_owned(), way)).or_default();
        played.cases.insert(case.name.split('-').next().unwrap().to_owned());
        played
            .fields
            .extend(record.fields().filter(|(_, value)| !value.is_empty()).map(|(id, _)| id.to_owned()));
    };
    for case in every_case() {
        for step in case.steps.iter().filter(|step| step.word == "pms") {
            if let Some(record) = text_record(&step.text) {
                note(&record, Way::In, &case);
            }
        }
        // Only what a case demands counts as played, with the fields that it demands.
        for step in case.steps.iter().filter(|step| step.word == "sent") {
            if let Some(record) = text_record(&step.text) {
                note(&record, Way::Out, &case);
            }
        }
    }
    all
}

#[test]
fn every_record_has_a_conversation_each_way() {
    let played = played();
    let mut lacking = Vec::new();
    println!("| record | way | what | fields played | conversations |\n|---|---|---|---|---|");
    for kind in RECORDS {
        for way in kind.ways() {
            let arrow = if way == Way::In { "in" } else { "out" };
            let known = pairs(kind.mandatory).count() + pairs(kind.optional).count();
            let reason = NOT_SPOKEN.iter().find(|(id, other, _)| *id == kind.id && *other == way);
            let found = played.get(&(kind.id.to_owned(), way));
            match (found, reason) {
                (Some(found), _) => {
                    let fields: Vec<_> = found.fields.iter().filter(|field| kind.may_have(field)).collect();
                    let cases: Vec<_> = found.cases.iter().map(String::as_str).collect();
                    let (count, cases) = (fields.len(), cases.join(" "));
                    println!("| {} | {arrow} | {} | {count} of {known} | {cases} |", kind.id, kind.name);
                    let missing: Vec<_> =
                        pairs(kind.mandatory).filter(|field| !found.fields.contains(*field)).collect();
                    if !missing.is_empty() {
                        lacking.push(format!("{} {arrow}: never with {}", kind.id, missing.join(", ")));
                    }
                }
                (None, Some((.., reason))) => {
                    println!("| {} | {arrow} | {} | not spoken: {reason} | |", kind.id, kind.name);
                }
                (None, None) => lacking.push(format!("{} {arrow}: no conversation plays it", kind.id)),
            }
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
    for (id, way, _) in NOT_SPOKEN {
        assert!(!played.contains_key(&((*id).to_owned(), *way)), "{id} is spoken: strike it from the list");
    }
}

/// Whatever the gateway sends in any conversation is well formed, known, and was announced with LR.
#[test]
fn what_is_sent_was_announced() {
    let mut records = 0;
    for case in every_case() {
        let mut announced: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for sent in memory::replay(&case) {
            let record = text_record(&sent).unwrap();
            records += 1;
            match record.id() {
                "LD" => announced.clear(),
                "LR" => {
                    let fields = pairs(record.get("FL").unwrap()).map(str::to_owned).collect();
                    announced.insert(record.get("RI").unwrap().to_owned(), fields);
                }
                "LS" | "LA" | "LE" | "DR" => {}
                id => {
                    let fields =
                        announced.get(id).unwrap_or_else(|| panic!("{}: {id} without LR", case.name));
                    for (field, _) in record.fields() {
                        assert!(fields.contains(field), "{}: {field} of {sent} was not announced", case.name);
                    }
                }
            }
            assert_eq!(faults(sent.as_bytes(), Charset::Utf8), [], "{}: {sent}", case.name);
        }
    }
    assert!(records > 500, "only {records} records were sent");
}
