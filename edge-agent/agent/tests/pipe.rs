//! A reader that has seen enough (`| head`) is no failure: every command that answers ends quietly at a closed pipe.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn every_command_ends_quietly_where_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("engawa.toml");
    let text = "[property]\nid = 'grand'\nname = 'Grand Hotel'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101']\n\
        [climate]\ncomfort_c = 22\neco_heating_c = 18\neco_cooling_c = 26\n[store]\ndir = 'data'\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let day = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pms/day.fias");
    let day = day.to_str().unwrap();
    for arguments in [
        &["profile", "list"][..],
        &["profile", "list", "--json"],
        &["profile", "show", "siemens-rdf302"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["check", config],
        &["check", "--json", config],
        &["rules", "list", config],
        &["rules", "list", "--json", config],
        &["devices", "plan", config],
        &["pms", "explain", "GI|RN101|G#4711|"],
        &["pms", "explain", "--json", day],
        &["pms", "replay", day],
    ] {
        let whole = Command::new(env!("CARGO_BIN_EXE_engawa")).args(arguments).output().unwrap();
        let Some(0 | 1) = whole.status.code() else {
            panic!("{arguments:?}: {}", String::from_utf8_lossy(&whole.stderr))
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
        let cut = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&cut.stderr).into_owned();
        if whole.stdout.is_empty() {
            continue;
        }
        assert_eq!((cut.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_day_that_no_calendar_has_is_said_to_be_none() {
    for (day, to) in [("2026-11-01", "9999-12-31"), ("2026-11-01", "9999"), ("0001-01-01", "2026-11-01")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
        let words = ["guest", "register", "--as", "ann", "--reason", "x", "--from", day, "--to", to];
        let out = command.args(words).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("no day between 1900 and 2999; write it as 2026-11-01"), "{said}");
    }
}
