//! The command line, as people and scripts use it: the real program in a folder of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use common::{Ran, program, run};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

/// A folder with a cloud.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        let made = home.run("init", &["--name", "127.0.0.1"]);
        assert_eq!((made.status, made.err.as_str()), (0, ""), "{made:?}");
        home
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        let dir = self.folder.path().to_str().unwrap();
        run(&[&[command, "--dir", dir], arguments].concat())
    }

    fn with_gateway() -> Self {
        let home = Self::new();
        assert_eq!(home.run("claim", &["--property", "grand", "--gateway", "grand-1"]).status, 0);
        home
    }
}

fn failed(ran: &Ran, status: i32, words: &str) {
    assert_eq!(ran.status, status, "{ran:?}");
    assert!(ran.err.contains(words), "expected `{words}` in {ran:?}");
    assert_eq!(ran.out, "", "an error is not on standard output");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
}

#[test]
fn a_cloud_is_made_once() {
    let home = Home::new();
    for (file, mode) in [
        ("ca.key", 0o600),
        ("server.key", 0o600),
        ("cloud.db", 0o600),
        ("ca.pem", 0o600),
        ("server.pem", 0o600),
    ] {
        let found = fs::metadata(home.dir().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
    let before = fs::read(home.dir().join("ca.key")).unwrap();
    failed(&home.run("init", &[]), 1, "made once");
    assert_eq!(fs::read(home.dir().join("ca.key")).unwrap(), before);
    fs::remove_file(home.dir().join("ca.pem")).unwrap();
    failed(&home.run("init", &[]), 1, "cut short");
    failed(&home.run("claim", &["--property", "p", "--gateway", "g"]), 1, "no usable cloud");
    let fresh = tempfile::tempdir().unwrap();
    let dir = fresh.path().join("a/b");
    failed(&run(&["init", "--dir", dir.to_str().unwrap(), "--name", "cloud:8443"]), 1, "without a port");
    assert!(!dir.exists(), "nothing is made for a wrong name");
    let made = run(&["init", "--dir", dir.to_str().unwrap()]);
    assert_eq!(made.status, 0, "{made:?}");
    assert!(made.out.contains("localhost, 127.0.0.1, ::1"), "{made:?}");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_that_was_open_is_closed_and_an_open_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&["init", "--dir", dir, "--name", "127.0.0.1"]).status, 0);
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    for key in ["server.key", "ca.key"] {
        let path = folder.path().join(key);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = run(&["serve", "--dir", dir, "--listen", "127.0.0.1:0"]);
        assert!(
            refused.status == 1 && refused.err.contains(key) && refused.err.contains("644"),
            "{refused:?}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn an_empty_database_is_no_database() {
    let home = Home::new();
    for command in ["gateways", "serve", "settings", "certificates"] {
        let ran = program()
            .args([command, "--dir", home.dir().to_str().unwrap()])
            .env("ENGAWA_CLOUD_DATABASE", " ")
            .output()
            .unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && err.contains("ENGAWA_CLOUD_DATABASE is empty: unset it"), "{err}");
    }
}

#[test]
fn serve_says_where_it_listens_for_both() {
    use std::io::{BufRead, BufReader};
    let home = Home::new();
    let mut serving = program()
        .args([
            "serve",
            "--dir",
            home.dir().to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--listen-tcp",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(serving.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
    serving.kill().unwrap();
    serving.wait().unwrap();
    let address = |line: &str| line.parse::<std::net::SocketAddr>().unwrap();
    let udp = address(lines[0].strip_prefix("listening on ").unwrap());
    let tcp = lines[1].strip_prefix("listening on ").and_then(|line| line.strip_suffix(" by TCP"));
    assert_ne!(udp, address(tcp.unwrap()), "{lines:?}");
}

#[test]
fn a_claim_prints_the_code_alone() {
    let home = Home::new();
    let claim = home.run("claim", &["--property", "grand", "--gateway", "grand-1", "--hours", "2"]);
    assert_eq!(claim.status, 0, "{claim:?}");
    let code: engawa_link::ClaimCode = claim.out.trim_end().parse().unwrap();
    let stored = fs::read(home.dir().join("cloud.db")).unwrap();
    let secret = code.secret.as_bytes();
    assert!(!stored.windows(secret.len()).any(|window| window == secret), "the secret is not kept");
    let claim = home.run("claim", &["--property", "grand", "--gateway", "grand-2", "--json"]);
    let line = &claim.json()[0];
    assert_eq!((&line["property"], &line["gateway"]), (&json!("grand"), &json!("grand-2")));
    line["code"].as_str().unwrap().parse::<engawa_link::ClaimCode>().unwrap();
    line["expires"].as_str().unwrap().parse::<engawa_model::Timestamp>().unwrap();

    for wrong in ["", "a b", "../x", "ä", "-"] {
        let property = format!("--property={wrong}");
        failed(&home.run("claim", &[&property, "--gateway", "g"]), 1, "letters, digits");
    }
    failed(
        &home.run("claim", &["--property", "other", "--gateway", "grand-1"]),
        1,
        "belongs to property `grand`",
    );
    failed(&home.run("claim", &["--property", "p", "--gateway", "g", "--hours", "0"]), 2, "--hours");
    failed(&home.run("claim", &["--property", "p", "--gateway", "g", "--name", "a\u{1b}b"]), 1, "--name");
    let listed = home.run("gateways", &["--json"]).json();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!("grand-1"), &json!("claimed")));
    assert_eq!(listed[0]["connected"], json!(false));
}

#[test]
fn a_command_is_stored_once_per_key() {
    let home = Home::with_gateway();
    let send = |arguments: &[&str]| home.run("send", &[&["grand-1"], arguments].concat());
    let first = send(&["--key", "k1", "--json", "setpoint", "101", "22.5"]);
    assert_eq!(first.json(), [json!({"gateway": "grand-1", "key": "k1", "seq": 1, "new": true})]);
    let again = send(&["--key", "k1", "--json", "setpoint", "101", "22.5"]);
    assert_eq!(again.json(), [json!({"gateway": "grand-1", "key": "k1", "seq": 1, "new": false})]);
    failed(&send(&["--key", "k1", "setpoint", "101", "23"]), 1, "key `k1` was already used");
    let plain = send(&["setpoint", "101", "-3"]);
    assert!(plain.out.starts_with("command 2 for `grand-1` with key cloud-"), "{plain:?}");
    let another = send(&["setpoint", "101", "-3"]);
    assert!(another.out.starts_with("command 3 "), "without a key each is its own: {another:?}");

    let listed = home.run("commands", &["grand-1", "--json"]).json();
    assert_eq!(listed.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(
        listed[2]["body"]["action"],
        json!({"do": "set-role", "room": "101", "role": "climate-setpoint", "value": 22.5})
    );
    assert_eq!(home.run("gateways", &["--json"]).json()[0]["waiting"], json!(3));
}

#[test]
fn every_form_of_a_command_says_what_is_meant() {
    let home = Home::with_gateway();
    let forms: &[(&[&str], serde_json::Value)] = &[
        (
            &["setpoint", " 07", "21"],
            json!({"do": "set-role", "room": " 07", "role": "climate-setpoint", "value": 21.0}),
        ),
        (
            &["post", "101", "12.50", "EUR", "Bar, 2 Helles", "--stay", "88123", "--outlet", "BAR"],
            json!({"do": "post", "room": "101", "stay": "88123", "amount": {"minor": 1250, "currency": "EUR"}, "text": "Bar, 2 Helles", "outlet": "BAR"}),
        ),
        (
            &["post", "101", "-1500", "JPY", "credit"],
            json!({"do": "post", "room": "101", "stay": null, "amount": {"minor": -1500, "currency": "JPY"}, "text": "credit", "outlet": null}),
        ),
        (
            &["room-status", "101", "clean-vacant"],
            json!({"do": "room-status", "room": "101", "status": "clean-vacant"}),
        ),
        (&["service", "101", "make-up"], json!({"do": "service", "room": "101", "sign": "make-up"})),
        (&["resync"], json!({"do": "resync"})),
        (
            &["json", r#"{"do":"set-point","point":{"device":"t1","point":"x"},"value":true}"#],
            json!({"do": "set-point", "point": {"device": "t1", "point": "x"}, "value": true}),
        ),
    ];
    for (arguments, want) in forms {
        let sent = home.run("send", &[&["grand-1", "--expires-s", "60"], *arguments].concat());
        assert_eq!(sent.status, 0, "{sent:?}");
        let stored = &home.run("commands", &["--limit", "1", "--json"]).json()[0];
        assert_eq!(stored["body"]["action"], *want, "{arguments:?}");
        assert_eq!(stored["body"]["source"], "cloud");
        let time = |field: &str| stored[field].as_str().unwrap().parse::<engawa_model::Timestamp>().unwrap();
        assert_eq!((time("expires") - time("at")).as_secs(), 60);
    }
}

#[test]
fn what_can_not_be_meant_is_refused_and_nothing_is_stored() {
    let home = Home::with_gateway();
    let send = |arguments: &[&str]| home.run("send", &[&["grand-1"], arguments].concat());
    let long = "x".repeat(9_000);
    for (arguments, status, words) in [
        (vec!["post", "101", "12.505", "EUR", "Bar"], 1, "at most 2 decimals, such as 12.55"),
        (vec!["post", "101", "12.5", "JPY", "Bar"], 1, "at most 0 decimals, such as 12"),
        (vec!["post", "101", "12,50", "EUR", "Bar"], 1, "not an amount in EUR"),
        (vec!["post", "101", "99999999999999999999", "EUR", "Bar"], 1, "not an amount in EUR"),
        (vec!["post", "101", "12.50", "eur", "Bar"], 1, "three capital letters"),
        (vec!["post", "101", "12.50", "EUR", "B\u{1c}ar"], 1, "control character"),
        (vec!["post", "101", "12.50", "EUR", &long], 1, "too long"),
        (vec!["post", "101", "12.50", "EUR", " "], 1, "the text of a charge is empty"),
        (vec!["setpoint", "101", "NaN"], 1, "not a set point"),
        (vec!["setpoint", "101", "inf"], 1, "not a set point"),
        (vec!["setpoint", "101", "warm"], 2, "invalid"),
        (vec!["setpoint", "", "21"], 2, "expected 1 to 64 characters"),
        (vec!["setpoint", "1\u{2}1", "21"], 2, "control character"),
        (vec!["room-status", "101", "clean"], 2, "clean-vacant"),
        (vec!["service", "101", "nope"], 2, "do-not-disturb"),
        (vec!["json", "{"], 1, "not one that this release knows"),
        (vec!["json", r#"{"do":"explode"}"#], 1, "not one that this release knows"),
        (vec!["--key", "", "resync"], 1, "--key"),
        (vec!["--key", "a\nb", "resync"], 1, "--key"),
        (vec!["--expires-s", "0", "resync"], 2, "--expires-s"),
        (vec!["--wait", "18446744073709551615", "resync"], 2, "--wait"),
        (vec![], 2, "Usage"),
    ] {
        failed(&send(&arguments), status, words);
    }
    failed(&home.run("send", &["nobody", "resync"]), 1, "no gateway `nobody`");
    assert!(home.run("commands", &["--json"]).out.is_empty());
}

#[test]
fn waiting_without_an_answer_says_so() {
    let home = Home::with_gateway();
    let waited = home.run("send", &["grand-1", "--key", "k", "--wait", "0", "resync"]);
    failed(&waited, 4, "has not ended after 0 s; it is sent");
    assert!(waited.err.contains("no `engawa-cloud serve` runs"), "{waited:?}");
    let waited = home.run("send", &["grand-1", "--key", "k", "--wait", "0", "--json", "resync"]);
    assert_eq!((waited.status, &waited.json()[0]["state"]), (4, &json!("sent")), "{waited:?}");
}

#[test]
fn a_revoked_gateway_is_out_for_good() {
    let home = Home::with_gateway();
    assert_eq!(home.run("revoke", &["grand-1"]).status, 0);
    assert_eq!(home.run("gateways", &["--json"]).json()[0]["status"], "revoked");
    failed(&home.run("claim", &["--property", "grand", "--gateway", "grand-1"]), 1, "was revoked");
    failed(&home.run("send", &["grand-1", "resync"]), 1, "was revoked");
    failed(&home.run("revoke", &["nobody"]), 1, "no gateway `nobody`");
}

#[test]
fn a_wrong_folder_is_named_and_stays_as_it_is() {
    let empty = tempfile::tempdir().unwrap();
    let dir = empty.path().to_str().unwrap();
    for arguments in [
        vec!["gateways"],
        vec!["rooms"],
        vec!["log"],
        vec!["commands"],
        vec!["send", "g", "resync"],
        vec!["revoke", "g"],
        vec!["serve", "--listen", "127.0.0.1:0"],
        vec!["claim", "--property", "p", "--gateway", "g"],
    ] {
        let ran = program().args(&arguments).env("ENGAWA_CLOUD_DIR", dir).output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains(dir) && err.contains("engawa-cloud init"), "{arguments:?}: {err}");
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn listings_name_an_unknown_gateway_and_may_be_cut() {
    let home = Home::with_gateway();
    for list in ["rooms", "log", "commands"] {
        failed(&home.run(list, &["nobody"]), 1, "no gateway `nobody`");
        failed(&home.run(list, &["nobody", "--json"]), 1, "no gateway `nobody`");
        assert_eq!(home.run(list, &["grand-1", "--json"]).status, 0);
    }
    failed(&home.run("log", &["--limit", "0"]), 2, "--limit");
    // A reader that has gone is no failure, and no panic.
    for arguments in [vec!["gateways"], vec!["completions", "bash"], vec!["send", "grand-1", "resync"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program();
        command.args(&arguments).env("ENGAWA_CLOUD_DIR", home.dir()).stdout(writer).stderr(Stdio::piped());
        let ran = command.output().unwrap();
        assert_eq!((ran.status.code(), ran.stderr.len()), (Some(0), 0), "{arguments:?}");
    }
}

#[test]
fn help_teaches_and_completions_complete() {
    for command in [
        "init",
        "serve",
        "claim",
        "gateways",
        "rooms",
        "log",
        "send",
        "tail",
        "bundle",
        "commands",
        "revoke",
        "completions",
    ] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.status, 0);
        assert!(help.out.contains("Usage"), "{help:?}");
    }
    let help = run(&["--help"]).out;
    assert!(help.contains("Exit status") && help.contains("engawa-cloud claim"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).out.contains("room-status"), "{shell}");
    }
}

#[test]
fn others_read_the_journal_as_its_schema_says() {
    let mut cloud = common::Cloud::new();
    cloud.ingest(common::EPOCH, 3, &[common::row(1), common::row(2)]);
    cloud.ingest(u64::MAX, 5, &[common::row(1)]);
    let sqlite = |sql: &str| {
        let read = std::process::Command::new("sqlite3").arg("-readonly").arg(cloud.path()).arg(sql).output();
        let read = read.expect("the program sqlite3, which is not ours, to be installed");
        assert!(read.status.success(), "{sql}: {}", String::from_utf8_lossy(&read.stderr));
        String::from_utf8(read.stdout).unwrap()
    };
    let rows = sqlite(
        "SELECT gateway, epoch, lane, seq, at_micros, kind, received_micros, json_extract(body, '$.n') FROM journal",
    );
    let wanted = "grand-1|7|3|1|5|night_audit|1000000|1\ngrand-1|7|3|2|5|night_audit|1000000|2\ngrand-1|-1|5|1|5|night_audit|1000000|1\n";
    assert_eq!(rows, wanted);
    let version = engawa_cloud::store::migrations::LATEST;
    let found = sqlite("PRAGMA integrity_check; PRAGMA foreign_key_check; PRAGMA user_version");
    assert_eq!(found, format!("ok\n{version}\n"));
    assert!(include_str!("../SCHEMA.md").contains(&format!("the schema, {version} now.")));

    // The queries and the names that SCHEMA.md gives.
    let schema = include_str!("../SCHEMA.md");
    let (_, queries) = schema.split_once("```sql").unwrap();
    let (queries, _) = queries.split_once("```").unwrap();
    assert_eq!(
        sqlite(queries),
        "3|999.995\n5|999.995\n",
        "nothing is missing, and two lanes took their time"
    );
    for column in sqlite("SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'room_state'").lines() {
        let (table, column) = column.split_once('.').unwrap();
        assert!(schema.contains(&format!("`{table}`")) && schema.contains(&format!("`{column}`")), "{table}.{column}");
    }
}
