//! What is meant where a site says nothing, and what is wrong where it says something else.

use super::super::drive::house;
use super::*;
use serde_json::{Value, json};

fn read(config: &Value) -> HostedConfig {
    serde_json::from_value(config.clone()).unwrap()
}

fn ohip() -> Value {
    json!({ "url": "https://opera.example", "hotel": "HQ1", "client_id": "ohip", "app_key": "key-1" })
}

fn apaleo() -> Value {
    json!({ "property": "MUC", "client_id": "APP" })
}

#[test]
fn what_is_not_said_is_as_documented() {
    let config =
        read(&json!({ "mews": {}, "apaleo": apaleo(), "ohip": ohip(), "import": { "folder": "lists" } }));
    let paces = (config.poll_s, config.list_s, config.answer_s, config.reconnect_max_s);
    assert_eq!((paces, config.day_ends.as_str()), ((30, 900, 30, 300), "03:00"));
    assert!(!config.insecure_loopback);
    let (mews, apaleo) = (config.mews.unwrap(), config.apaleo.unwrap());
    assert_eq!((mews.url.as_str(), mews.events.as_str()), ("https://api.mews.com", "wss://ws.mews.com"));
    let urls = (apaleo.url.as_str(), apaleo.identity_url.as_str());
    assert_eq!(urls, ("https://api.apaleo.com", "https://identity.apaleo.com"));
    assert_eq!((apaleo.service_type.as_str(), apaleo.vat_type.as_str()), ("Other", "Normal"));
    let ohip = config.ohip.unwrap();
    assert_eq!((ohip.scope.as_str(), ohip.stream_pause_s), ("urn:opc:hgbu:ws:__myscopes__", 15));
    let import = config.import.unwrap();
    assert_eq!((import.check_in.as_str(), import.check_out.as_str()), ("15:00", "11:00"));
}

#[test]
fn a_time_of_day_has_two_digits_each() {
    for (text, want) in [
        ("00:00", Some((0, 0))),
        ("03:30", Some((3, 30))),
        ("23:59", Some((23, 59))),
        ("24:00", None),
        ("12:60", None),
        ("3:00", None),
        ("03:0", None),
        ("003:00", None),
        ("03:00:00", None),
        ("0300", None),
        ("", None),
    ] {
        let want = want.map(|(hour, minute)| Time::constant(hour, minute, 0, 0));
        assert_eq!(time(text), want, "{text}");
    }
}

#[test]
fn an_address_is_one_host_with_tls_but_for_this_machine_in_tests() {
    for (text, insecure, sound) in [
        ("https://api.example", false, true),
        ("https://api.example:8443/", false, true),
        ("http://api.example", false, false),
        ("http://api.example", true, false),
        ("http://127.0.0.1:80", false, false),
        ("http://127.0.0.1:80", true, true),
        ("http://127.0.0.1.example:80", true, false),
        ("https://127.0.0.1:80", true, true),
        ("ftp://127.0.0.1:80", true, false),
        ("https://", false, false),
        ("https:///", false, false),
        ("https://a b", false, false),
        ("https://user@host", false, false),
        ("https://host/path", false, false),
        ("https://host?query", false, false),
        ("https://host#part", false, false),
        ("api.example", false, false),
        ("", false, false),
    ] {
        assert_eq!(is_url(text, "https", insecure.then_some("http")), sound, "{text} {insecure}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let table: Vec<(Value, Vec<(&str, &str)>)> = vec![
        (json!({ "mews": {} }), vec![]),
        (json!({ "mews": { "events": "" } }), vec![]),
        (json!({ "apaleo": apaleo() }), vec![]),
        (json!({ "ohip": ohip() }), vec![]),
        (json!({ "import": { "folder": "lists" } }), vec![]),
        (json!({}), vec![("", "no system is named")]),
        (
            json!({ "mews": {}, "ohip": ohip() }),
            vec![("ohip", "a house has one PMS, and [hosted.mews] is there already")],
        ),
        (
            json!({ "apaleo": apaleo(), "import": { "folder": "lists" } }),
            vec![("import", "[hosted.apaleo] is there already")],
        ),
        (json!({ "mews": {}, "poll_s": 4 }), vec![("poll_s", "4 s can't be meant: expected 5 to 3600")]),
        (json!({ "mews": {}, "poll_s": 5, "list_s": 60, "answer_s": 1, "reconnect_max_s": 1 }), vec![]),
        (
            json!({ "mews": {}, "poll_s": 3600, "list_s": 86400, "answer_s": 300, "reconnect_max_s": 3600 }),
            vec![],
        ),
        (
            json!({ "mews": {}, "poll_s": 3601, "list_s": 59, "answer_s": 301, "reconnect_max_s": 0 }),
            vec![
                ("poll_s", "3601 s"),
                ("list_s", "59 s can't be meant: expected 60 to 86400"),
                ("answer_s", "301 s can't be meant: expected 1 to 300"),
                ("reconnect_max_s", "0 s can't be meant: expected 1 to 3600"),
            ],
        ),
        (json!({ "mews": {}, "day_ends": "3:00" }), vec![("day_ends", "`3:00` is no time of day")]),
        (
            json!({ "mews": { "url": "http://127.0.0.1:1", "events": "ws://127.0.0.1:1" } }),
            vec![("mews.url", "expected `https://host`"), ("mews.events", "expected `wss://host`")],
        ),
        (
            json!({ "insecure_loopback": true, "mews": { "url": "http://127.0.0.1:1", "events": "ws://127.0.0.1:1" } }),
            vec![],
        ),
        (
            json!({ "apaleo": { "property": " ", "client_id": "", "url": "x", "identity_url": "y" } }),
            vec![
                ("apaleo.url", "`x` is no address"),
                ("apaleo.identity_url", "`y` is no address"),
                ("apaleo.property", "the property is empty"),
                ("apaleo.client_id", "the client_id is empty"),
            ],
        ),
        (
            json!({ "ohip": { "url": "x", "hotel": "", "client_id": " ", "app_key": "" } }),
            vec![
                ("ohip.url", "`x` is no address"),
                ("ohip.hotel", "the hotel is empty"),
                ("ohip.client_id", "the client_id is empty"),
                ("ohip.app_key", "the app_key is empty"),
            ],
        ),
        (
            json!({ "import": { "folder": "lists", "check_in": "15", "check_out": "noon" } }),
            vec![("import.check_in", "`15` is no time"), ("import.check_out", "`noon` is no time")],
        ),
    ];
    for (config, want) in table {
        let told = read(&config).validate();
        let places: Vec<String> = told.iter().map(|(place, _)| place.join(".")).collect();
        assert_eq!(places, want.iter().map(|(place, _)| *place).collect::<Vec<_>>(), "{config}");
        for ((_, words), (_, part)) in told.iter().zip(&want) {
            assert!(words.contains(part), "{words}");
        }
    }
}

#[test]
fn the_adapter_is_that_of_the_table_and_its_secrets_are_counted() {
    let made = |config: &Value, secrets: &str| {
        let made = read(config).system(house(&[]), &Secrets::of(secrets));
        made.map(|system| system.name()).map_err(|error| error.to_string())
    };
    for (config, secrets, want) in [
        (json!({ "mews": {} }), "\n client \n\naccess\n", Ok("Mews")),
        (
            json!({ "mews": {} }),
            "one\n",
            Err("the secret of Mews has 1 lines, expected 2: the client token and the access token"),
        ),
        (json!({ "apaleo": apaleo() }), "one", Ok("Apaleo")),
        (
            json!({ "apaleo": apaleo() }),
            "",
            Err("the secret of Apaleo has 0 lines, expected 1: the client secret"),
        ),
        (json!({ "ohip": ohip() }), "one", Ok("OPERA Cloud")),
        (
            json!({ "ohip": ohip() }),
            "one\ntwo",
            Err("the secret of OPERA Cloud has 2 lines, expected 1: the client secret"),
        ),
        (
            json!({ "import": { "folder": "lists" } }),
            "",
            Err(
                "[hosted] names no system that is spoken to: add [hosted.mews], [hosted.apaleo] or [hosted.ohip]",
            ),
        ),
    ] {
        assert_eq!(made(&config, secrets), want.map_err(str::to_owned), "{config}");
    }
    let pace = read(&json!({ "mews": {}, "poll_s": 7, "day_ends": "23:30" })).pace(TimeZone::UTC);
    assert_eq!((pace.poll_s, pace.list_s, pace.reconnect_max_s), (7, 900, 300));
    assert_eq!(pace.day_ends, Time::constant(23, 30, 0, 0));
}
