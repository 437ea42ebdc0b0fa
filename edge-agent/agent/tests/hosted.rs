//! The agent's program with lists of stays, and with a hosted PMS on loopback: what the command line shows of them.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::{Value, json};
use stage::Running;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn engawa(arguments: &[&str], config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args(arguments)
        .env("ENGAWA_CONFIG", config)
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap()
}

fn start(config: &Path) -> (Running, PathBuf) {
    let log = config.with_extension("log");
    let child = Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args(["run", config.to_str().unwrap()])
        .env("RUST_LOG", "debug")
        .env_remove("CREDENTIALS_DIRECTORY")
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn();
    (Running(child.unwrap()), log)
}

fn configuration(dir: &Path, hosted: &str) -> PathBuf {
    let path = dir.join("engawa.toml");
    let text = format!(
        "[property]\nid = 'test'\nname = 'Test'\nzone = 'Europe/Berlin'\ncurrency = 'EUR'\nrooms = ['101', '102']\n\
        [climate]\ncomfort_c = 22\neco_heating_c = 17\neco_cooling_c = 28\n[store]\ndir = 'data'\n\
        [mqtt]\nlisten = '127.0.0.1:0'\n[api]\nlisten = '127.0.0.1:0'\nsocket = 'engawa.sock'\n{hosted}"
    );
    let text = text.replace("'engawa.sock'", &format!("'{}'", dir.join("engawa.sock").display()));
    std::fs::write(&path, text).unwrap();
    path
}

fn stays(config: &Path) -> Vec<String> {
    let text =
        String::from_utf8(engawa(&["rooms", "--json", "--as", "test", "--reason", "test"], config).stdout)
            .unwrap();
    let rooms = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rooms
        .flat_map(|room| room["stays"].as_array().cloned().unwrap_or_default())
        .map(|stay| stay["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    stage::wait_for(what, || look().then_some(()));
}

#[test]
fn lists_are_checked_taken_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "[hosted.import]\nfolder = 'lists'\n");
    let list = dir.path().join("stays.csv");
    std::fs::write(
        &list,
        "room,arrival,departure,name\n101,2020-01-01,2090-01-01,Sato\n109,x,2090-01-01,Mori\n",
    )
    .unwrap();
    let import = |arguments: &[&str]| {
        engawa(&[&["pms", "import"], arguments, &[list.to_str().unwrap()]].concat(), &config)
    };
    let refused = import(&[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains("stays.csv:3:1: there is no room `109`") && said.contains("stays.csv:3:2"),
        "{said}"
    );
    assert!(!said.contains("Mori") && !dir.path().join("lists").exists());

    std::fs::write(
        &list,
        "room,arrival,departure,name\n101,2020-01-01,2090-01-01,Sato\n102,2089-01-01,2090-01-01,Mori\n",
    )
    .unwrap();
    let checked = String::from_utf8(import(&["--check"]).stdout).unwrap();
    assert_eq!(checked, "2 stays, 1 of them in the house now; nothing was changed\n");
    assert!(!dir.path().join("lists").exists());
    assert_eq!(import(&[]).status.code(), Some(0));
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("lists"), mode("lists/stays.csv")), (0o700, 0o600));
    let (_agent, _) = start(&config);
    wait_for("the list is taken", || stays(&config) == ["Sato"]);
    std::fs::write(&list, "room;arrival;departure;name\n102;2020-01-01;2090-01-01;Abe\n").unwrap();
    assert_eq!(import(&["--all"]).status.code(), Some(0));
    wait_for("the next list is taken", || stays(&config) == ["Abe"]);
}

/// A Mews with one guest.
fn mews(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        std::thread::spawn(move || while answer(&stream).is_some() {});
    }
}

fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = count.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked: Value = serde_json::from_slice(&body).ok()?;
    assert_eq!(asked["AccessToken"], "TOKEN-OF-ACCESS");
    let told = match first.split(' ').nth(1)?.trim_start_matches("/api/connector/v1/") {
        "configuration/get" => {
            json!({ "Enterprise": { "TimeZoneIdentifier": "Europe/Berlin", "Pricing": "Gross",
            "Currencies": [{ "Currency": "EUR", "IsDefault": true }] } })
        }
        "resources/getAll" => json!({ "Resources": [{ "Id": "r", "Name": "101" }] }),
        "reservations/getAll/2023-06-06" => json!({ "Reservations": [{ "Id": "s", "State": "Started",
            "AccountId": "k", "AssignedResourceId": "r" }] }),
        _ => json!({ "Customers": [{ "Id": "k", "LastName": "Okonkwo", "Phone": "+4917012345" }] }),
    };
    let told = told.to_string();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}", told.len()).ok()
}

#[test]
fn a_hosted_house_is_shown_and_neither_names_nor_tokens_reach_the_log() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || mews(&listener));
    let dir = tempfile::tempdir().unwrap();
    let hosted = format!(
        "[hosted]\nsecret_file = 'mews.secret'\ninsecure_loopback = true\n[hosted.mews]\nurl = '{url}'\nevents = ''\n"
    );
    let config = configuration(dir.path(), &hosted);
    let secret = dir.path().join("mews.secret");
    std::fs::write(&secret, "TOKEN-OF-CLIENT\nTOKEN-OF-ACCESS\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (agent, log) = start(&config);
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for("an open secret is refused", || text().contains("chmod 600"));
    drop(agent);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (_agent, _) = start(&config);
    wait_for("the guest is there", || stays(&config) == ["Okonkwo"]);
    let status = || String::from_utf8(engawa(&["status"], &config).stdout).unwrap();
    wait_for("the link is up", || status().contains("alive: Mews"));
    let all = text() + &status() + &String::from_utf8(engawa(&["log"], &config).stdout).unwrap();
    for word in ["Okonkwo", "+4917012345", "TOKEN-OF"] {
        assert!(!all.contains(word), "{word}: {all}");
    }
}
