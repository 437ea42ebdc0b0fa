//! Whatever is in a file: a report or a value, never a panic, and every fault lies within the text.
#![allow(clippy::unwrap_used, missing_docs, dead_code, reason = "tests")]

use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    count: u8,
    ratio: Option<f64>,
    kind: Kind,
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    words: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Small,
    Large,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Part {
    id: String,
    on: bool,
}

const GOOD: &str = "name = 'x'\ncount = 3\nratio = 1.5\nkind = 'small'\n[[parts]]\nid = 'a'\non = true\n[words]\nhello = 'there'\n";

fn look(text: &str) -> Result<Sample, engawa_diag::Report> {
    let read = engawa_diag::parse::<Sample>("sample.toml", text);
    if let Err(report) = &read {
        assert!(!report.is_empty(), "a refusal without a fault");
        for fault in &report.faults {
            assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not within the text");
            let place = report.position(fault);
            assert!(place.line >= 1 && place.column >= 1);
        }
        assert!(report.to_string().contains("sample.toml"));
    }
    read
}

#[test]
fn a_good_text_is_read_as_it_is() {
    let sample = look(GOOD).unwrap();
    assert_eq!((sample.count, sample.kind, sample.parts.len(), sample.words.len()), (3, Kind::Small, 1, 1));
}

#[test]
fn every_fault_is_found_at_once() {
    let text = "nam = 'x'\ncount = 300\nratio = 'half'\nkind = 'medium'\n[[parts]]\nid = 5\non = 'yes'\n";
    let report = look(text).unwrap_err();
    let lines: Vec<usize> = report.faults.iter().map(|fault| report.position(fault).line).collect();
    for line in [1, 2, 3, 4, 6, 7] {
        assert!(lines.contains(&line), "line {line} is not in {report}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = look(&text);
    }

    #[test]
    fn no_slip_in_a_good_text_makes_it_panic(at in 0..GOOD.len(), with in "[ -~\n\t\u{0}äö]{0,6}", cut in 0..20_usize) {
        let end = (at + cut).min(GOOD.len());
        let _ = look(&format!("{}{with}{}", &GOOD[..at], &GOOD[end..]));
    }
}
