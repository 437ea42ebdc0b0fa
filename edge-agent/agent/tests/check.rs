//! `engawa check` on broken configurations: each shows all its faults at once, at their places, and how to mend them.
//! What is shown is kept as snapshots beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn engawa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args(arguments)
        .current_dir(folder())
        .env_remove("ENGAWA_CONFIG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_broken_configuration_has_one_clear_report() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20);
    for file in files {
        let output = engawa(&["check", &file]);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {shown}");
        assert!(output.stdout.is_empty(), "{file}: {}", text(&output.stdout));
        let name = file.trim_end_matches(".toml").to_owned();
        insta::assert_snapshot!(name, shown);
        // Beside the snapshot: every fault has its file, line and column, also for scripts.
        let lines = text(&engawa(&["check", "--json", &file]).stdout);
        assert!(!lines.is_empty(), "{file}");
        for line in lines.lines() {
            let fault: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                fault["line"].as_u64().unwrap() > 0 && fault["column"].as_u64().unwrap() > 0,
                "{file}: {line}"
            );
            assert!(fault["file"].as_str().unwrap().ends_with(".toml"), "{file}: {line}");
        }
    }
}

#[test]
fn what_is_no_file_is_said_to_be_none() {
    for (path, words) in [("nowhere.toml", "can't be read"), (".", "a folder")] {
        let output = engawa(&["check", path]);
        assert_eq!(output.status.code(), Some(2));
        let shown = text(&output.stderr);
        assert!(shown.contains(words) && shown.contains(path), "{shown}");
    }
    let large = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(large.path(), "#".repeat(10 << 20)).unwrap();
    let shown = text(&engawa(&["check", large.path().to_str().unwrap()]).stderr);
    assert!(shown.contains("more than"), "{shown}");
}

#[test]
fn a_sound_configuration_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engawa.toml");
    let text_of_file = "[property]\nid = 'grand'\nname = 'Grand Hotel'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101']\n\
        [climate]\ncomfort_c = 22\neco_heating_c = 18\neco_cooling_c = 26\n[store]\ndir = 'data'\n";
    std::fs::write(&path, text_of_file).unwrap();
    let output = engawa(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "Grand Hotel (grand): 1 rooms, 0 devices, 0 Modbus buses, no PMS, no cloud\n"
    );
}

#[test]
fn files_that_are_named_and_not_there_are_found_at_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engawa.toml");
    let text_of_file = "[property]\nid = 'grand'\nname = 'Grand Hotel'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101']\n\
        [climate]\ncomfort_c = 22\neco_heating_c = 18\neco_cooling_c = 26\n[store]\ndir = 'data'\n\
        [pms]\naddress = 'pms.example:5010'\nauth_key_file = 'auth.key'\n\
        tls = { ca_file = 'ca.pem', cert_file = 'cert.pem', key_file = 'folder' }\n";
    std::fs::write(&path, text_of_file).unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::write(dir.path().join("cert.pem"), "").unwrap();
    let check = || engawa(&["check", "--json", path.to_str().unwrap()]);
    let output = check();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    let faults: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |line: u64, word: &str| {
        faults.iter().any(|fault| fault["line"] == line && fault.to_string().contains(word))
    };
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(at(15, "auth.key") && at(16, "ca.pem") && at(16, "this is a folder"), "{faults:?}");
    std::fs::remove_dir(dir.path().join("folder")).unwrap();
    for name in ["auth.key", "ca.pem", "folder"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(check().status.code(), Some(0), "{}", text(&check().stdout));
}
