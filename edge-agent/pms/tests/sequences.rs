//! Sequences of records, read and written again: without a byte's difference where they are well formed, said why
//! where not; and understood by a link, or refused with a reason, never dropped without a word.
//!
//! `FIAS_SEQUENCES=DIR cargo test -p engawa-pms --test sequences -- --nocapture` does the same with another folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

use engawa_model::Fact;
use engawa_pms::codec::{FrameEvent, Framer, Record, faults};
use engawa_pms::link::{Link, Out};
use engawa_pms::{Charset, PmsConfig};
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};

/// One record of a sequence.
struct Line {
    place: String,
    from_pms: bool,
    text: String,
    odd: Vec<String>,
}

fn lines(folder: &Path) -> Vec<Line> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut all: Vec<Line> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (n, line) in text.lines().enumerate() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "pms" | "PMS>" | "<" | "gw" | "IFC>" | ">" => all.push(Line {
                    place: format!("{}:{}", file.file_name().unwrap().display(), n + 1),
                    from_pms: matches!(word, "pms" | "PMS>" | "<"),
                    text: rest.to_owned(),
                    odd: vec![],
                }),
                "odd" => all.last_mut().unwrap().odd.push(rest.to_owned()),
                _ => {}
            }
        }
    }
    assert!(!all.is_empty(), "{}: no record in any .txt file", folder.display());
    all
}

/// The body of the frame that the record makes, through the framer.
fn written_again(body: &[u8]) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    let mut framer = Framer::new();
    framer.push(&[&[2], body, &[3]].concat(), |event| found.push(event));
    let [FrameEvent::Body(read)] = &found[..] else { return None };
    let frame = Record::decode(read, Charset::Utf8)?.encode(Charset::Utf8);
    Some(frame[1..frame.len() - 1].to_vec())
}

/// What a living link makes of a record of the PMS: facts and answers.
fn heard(text: &str) -> usize {
    let now = "2026-07-15T10:15:00Z".parse().unwrap();
    let mut link = Link::new(PmsConfig::new("pms:5010"), TimeZone::UTC);
    link.on_connected(now);
    for record in ["LS|", "LA|"] {
        link.on_bytes(now, format!("\x02{record}\x03").as_bytes());
    }
    while link.poll().is_some() {}
    assert!(link.is_alive());
    link.on_bytes(now, format!("\x02{text}\x03").as_bytes());
    let mut count = 0;
    while let Some(out) = link.poll() {
        count += usize::from(matches!(out, Out::Observe(_) | Out::Send(_)));
        if let Out::Observe(fact @ Fact::GuestSeen { .. }) = out {
            assert!(!format!("{fact:?}").contains("Mill"), "a name in a debug text");
        }
    }
    count
}

/// Round trip and reasons of one record; gives the reasons.
fn tried(line: &Line) -> Vec<String> {
    let body = line.text.as_bytes();
    let odd = faults(body, Charset::Utf8);
    let same = written_again(body).is_some_and(|again| again == body);
    let explained = odd.iter().any(|fault| fault.changes_bytes);
    assert_eq!(same, !explained, "{}: `{}` comes out the same: {same}; said: {odd:?}", line.place, line.text);
    // An LA of a living link is heard, and that is all: answering it could go on for ever.
    if line.from_pms && !line.text.starts_with("LA") {
        assert!(heard(&line.text) > 0, "{}: `{}` was dropped without a word", line.place, line.text);
    }
    odd.iter().map(ToString::to_string).collect()
}

#[test]
fn the_committed_sequences_come_out_as_they_came_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sequences");
    let (mut count, mut odd) = (0, 0);
    let mut unsaid = String::new();
    for line in lines(&folder) {
        let found = tried(&line);
        count += 1;
        odd += usize::from(!found.is_empty());
        for found in found.iter().filter(|found| !line.odd.iter().any(|odd| found.contains(odd))) {
            unsaid += &format!("{}: `{}`: {found}\n", line.place, line.text);
        }
        for odd in &line.odd {
            assert!(
                found.iter().any(|found| found.contains(odd)),
                "{}: not said: {odd}; but {found:?}",
                line.place
            );
        }
    }
    assert!(unsaid.is_empty(), "found odd and not expected to be:\n{unsaid}");
    println!("{count} records, {odd} of them odd and said why");
    assert!(count > 150 && odd > 20, "{count} records, {odd} odd");
}

#[test]
fn a_folder_of_the_environment_comes_out_as_it_came_in() {
    let Some(folder) = std::env::var_os("FIAS_SEQUENCES") else { return };
    let all = lines(Path::new(&folder));
    let mut same = 0;
    for line in &all {
        let found = tried(line);
        same += usize::from(
            written_again(line.text.as_bytes()).is_some_and(|again| again == line.text.as_bytes()),
        );
        for found in found {
            println!("{}: `{}`: {found}", line.place, line.text);
        }
    }
    println!("{same} of {} records come out as they came in; the others are explained above", all.len());
}
