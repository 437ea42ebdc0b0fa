//! The settings of a link: what is usual, what is refused and why, and how a place reads.
#![allow(clippy::unwrap_used, reason = "tests")]

use engawa_pms::serial::{Parity, SerialConfig};
use engawa_pms::shell::{Clock, SystemClock};
use engawa_pms::{Dialect, FreeField, PmsConfig, TlsConfig, Use};
use std::path::PathBuf;

fn good() -> PmsConfig {
    PmsConfig::new("10.0.0.5:5010")
}

fn tls() -> TlsConfig {
    let [ca_file, cert_file, key_file] = ["ca.crt", "own.crt", "own.key"].map(PathBuf::from);
    TlsConfig { ca_file, cert_file, key_file, server_name: None }
}

fn faults(config: &PmsConfig) -> Vec<(&'static str, String)> {
    config.validate()
}

/// What it is, the settings, and the field with what its fault begins with; no field: nothing is wrong.
type Row<'a> = (&'a str, PmsConfig, Option<(&'a str, &'a str)>);

fn table(rows: &[Row<'_>]) {
    for (name, config, want) in rows {
        let found = faults(config);
        match want {
            None => assert_eq!(found, [], "{name}"),
            Some((field, words)) => {
                assert_eq!(found.len(), 1, "{name}: {found:?}");
                assert!(found[0].0 == *field && found[0].1.starts_with(words), "{name}: {found:?}");
            }
        }
    }
}

#[test]
fn where_the_pms_is() {
    let at = |address: &str| PmsConfig::new(address);
    let line = || PmsConfig::serial(SerialConfig::new("/dev/ttyUSB0"));
    let no = Some(("address", "`"));
    table(&[
        ("good", good(), None),
        ("the last port", at("pms:65535"), None),
        ("IPv6", at("[::1]:5010"), None),
        ("no port", at("pms"), no),
        ("port 0", at("pms:0"), no),
        ("a port too many", at("pms:65536"), no),
        ("no host", at(":5010"), no),
        ("nothing", at(""), Some(("address", "where is the PMS?"))),
        ("a line", line(), None),
        (
            "both",
            PmsConfig { address: "pms:5010".to_owned(), ..line() },
            Some(("address", "a link has an `address` or")),
        ),
        ("TLS on a line", PmsConfig { tls: Some(tls()), ..line() }, Some(("tls", "there is no TLS"))),
        ("TLS", PmsConfig { tls: Some(tls()), ..good() }, None),
    ]);
    assert!(faults(&at("pms"))[0].1.contains("`pms` is not host:port"));
    assert_eq!(good().place(), "10.0.0.5:5010");
    assert_eq!(PmsConfig { tls: Some(tls()), ..good() }.place(), "10.0.0.5:5010, TLS");
    assert_eq!(line().place(), "/dev/ttyUSB0 at 9600 baud");
}

#[test]
fn names_numbers_and_codes() {
    let named = |name: &str| PmsConfig { name: Some(name.to_owned()), ..good() };
    let interface = |interface: &str| PmsConfig { interface: interface.to_owned(), ..good() };
    let digits = |digits| PmsConfig { amount_digits: Some(digits), ..good() };
    let code =
        |status: &str| PmsConfig { status_codes: [(status.to_owned(), "77".to_owned())].into(), ..good() };
    let (name, two) = (Some(("name", "expected letters")), Some(("interface", "expected two capitals")));
    let second = "expected at least 1 second";
    table(&[
        ("a name", named("villas"), None),
        ("letters, digits, signs", named("A-9_z"), None),
        ("an empty name", named(""), name),
        ("a blank", named("the villas"), name),
        ("a colon", named("a:b"), name),
        ("EM", interface("EM"), None),
        ("three", interface("EMS"), two),
        ("small", interface("Em"), two),
        ("one", interface("E"), two),
        ("none", interface(""), two),
        ("no digits", digits(0), None),
        ("four digits", digits(4), None),
        ("five digits", digits(5), Some(("amount_digits", "expected 0 to 4"))),
        ("idle", PmsConfig { idle_s: 300, ..good() }, None),
        ("idle for long", PmsConfig { idle_s: 301, ..good() }, None),
        ("too often", PmsConfig { idle_s: 299, ..good() }, Some(("idle_s", "a FIAS link may be checked"))),
        (
            "one second",
            PmsConfig { greet_s: 1, start_s: 1, answer_s: 1, reconnect_max_s: 1, inquiry_s: 1, ..good() },
            None,
        ),
        ("greet", PmsConfig { greet_s: 0, ..good() }, Some(("greet_s", second))),
        ("start", PmsConfig { start_s: 0, ..good() }, Some(("start_s", second))),
        ("answer", PmsConfig { answer_s: 0, ..good() }, Some(("answer_s", second))),
        ("reconnect", PmsConfig { reconnect_max_s: 0, ..good() }, Some(("reconnect_max_s", second))),
        ("inquiry", PmsConfig { inquiry_s: 0, ..good() }, Some(("inquiry_s", second))),
        ("a status", code("make-up"), None),
        ("no status", code("makeup"), Some(("status_codes", "`makeup` is not one of dirty-vacant, "))),
    ]);
}

#[test]
fn uses_and_what_belongs_to_them() {
    let uses = |uses: &[Use]| PmsConfig { uses: uses.iter().copied().collect(), ..good() };
    let encoders = |config: PmsConfig| PmsConfig { encoders: ["1".to_owned()].into(), ..config };
    let free = |field: &str, config: PmsConfig| PmsConfig {
        free_fields: [(field.to_owned(), FreeField::Phone)].into(),
        ..config
    };
    let wants = |name: &'static str, used| (name, uses(&[used]), Some(("uses", "`")));
    table(&[
        ("one kind of rights", uses(&[Use::Guests, Use::Rights]), None),
        ("the other", uses(&[Use::Guests, Use::RightsAtCheckIn]), None),
        (
            "both",
            uses(&[Use::Guests, Use::Rights, Use::RightsAtCheckIn]),
            Some(("uses", "`rights` and `rights-at-check-in`")),
        ),
        wants("rights at check-in", Use::RightsAtCheckIn),
        wants("groups", Use::Groups),
        wants("no-post", Use::NoPost),
        wants("messages", Use::Messages),
        wants("bill", Use::Bill),
        wants("locator", Use::Locator),
        (
            "with guests",
            uses(&[Use::Guests, Use::Groups, Use::NoPost, Use::Messages, Use::Bill, Use::Locator]),
            None,
        ),
        ("needs no guests", uses(&[Use::Postings, Use::Keys, Use::WakeUp, Use::Rights]), None),
        ("encoders", encoders(uses(&[Use::Keys])), None),
        ("encoders without keys", encoders(uses(&[Use::Guests])), Some(("encoders", "needs `keys`"))),
        ("a free field", free("A0", good()), None),
        ("the last free field", free("A9", good()), None),
        ("without guests", free("A0", uses(&[Use::Postings])), Some(("free_fields", "needs `guests`"))),
        ("another field", free("B0", good()), Some(("free_fields", "`B0` is not one"))),
        ("no digit", free("AA", good()), Some(("free_fields", "`AA` is not one"))),
        ("three", free("A10", good()), Some(("free_fields", "`A10` is not one"))),
    ]);
}

#[test]
fn the_line_and_what_is_usual() {
    let line = |serial: SerialConfig| PmsConfig::serial(serial);
    let usual = || SerialConfig::new("/dev/ttyUSB0");
    table(&[
        ("1,200", line(SerialConfig { baud: 1_200, ..usual() }), None),
        ("38,400", line(SerialConfig { baud: 38_400, ..usual() }), None),
        (
            "115,200",
            line(SerialConfig { baud: 115_200, ..usual() }),
            Some(("serial.baud", "115200 is no speed of a FIAS line; expected one of 1200, ")),
        ),
        ("seven", line(SerialConfig { data_bits: 7, ..usual() }), None),
        (
            "six",
            line(SerialConfig { data_bits: 6, ..usual() }),
            Some(("serial.data_bits", "expected 7 or 8")),
        ),
        (
            "nine",
            line(SerialConfig { data_bits: 9, ..usual() }),
            Some(("serial.data_bits", "expected 7 or 8")),
        ),
        ("no port", line(SerialConfig::new(" ")), Some(("serial.port", "expected a serial port"))),
    ]);
    assert_eq!((usual().baud, usual().data_bits, usual().parity), (9_600, 8, Parity::None));
    let read: SerialConfig = serde_json::from_str(r#"{"port": "/dev/ttyUSB0"}"#).unwrap();
    assert_eq!(read, usual());
    let read: PmsConfig = serde_json::from_str(r#"{"address": "10.0.0.5:5010"}"#).unwrap();
    assert_eq!(read, good());
    assert_eq!((read.greet_s, read.start_s, read.answer_s, read.idle_s), (3, 60, 30, 300));
    assert_eq!((read.reconnect_max_s, read.inquiry_s, read.interface.as_str()), (30, 60, "EM"));
}

#[test]
fn digits_of_amounts_are_the_sites_then_the_dialects() {
    let with = |amount_digits, dialect| PmsConfig { amount_digits, dialect, ..good() };
    assert_eq!(with(None, Dialect::Fias).digits_for(0), None);
    assert_eq!(with(None, Dialect::OperaIfc8).digits_for(0), Some(2));
    assert_eq!(with(Some(0), Dialect::OperaIfc8).digits_for(0), Some(0));
    assert_eq!(with(Some(3), Dialect::Fias).digits_for(2), Some(3));
}

#[test]
fn codes_of_statuses_both_ways() {
    let own = PmsConfig { status_codes: [("make-up".to_owned(), "MU".to_owned())].into(), ..good() };
    for (config, status, code) in
        [(&good(), "make-up", "9"), (&own, "make-up", "MU"), (&own, "dirty-vacant", "1"), (&own, "off", "10")]
    {
        assert_eq!((config.status_code(status), config.status_word(code)), (Some(code), Some(status)));
    }
    assert_eq!((own.status_code("makeup"), own.status_word("9")), (None, None));
}

#[test]
fn the_clock_of_the_system_goes_right() {
    let before = engawa_model::Timestamp::now();
    let told = SystemClock.now();
    assert!(before <= told && told <= engawa_model::Timestamp::now());
}
