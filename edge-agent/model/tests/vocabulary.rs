//! What others store, sign, send and read: words, numbers and lanes that must never change, and texts that must not tell.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::firewall::{DeviceWrites, FirewallConfig, Refusal, RoleLimits};
use engawa_model::rules::RuleFile;
use engawa_model::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[test]
fn lanes_have_their_numbers_for_ever() {
    let numbers = [
        (Lane::Control, 1),
        (Lane::Alarms, 2),
        (Lane::Stays, 3),
        (Lane::Audit, 4),
        (Lane::Telemetry, 5),
        (Lane::Bulk, 6),
    ];
    assert_eq!(numbers.map(|(lane, _)| lane), Lane::ALL);
    for (lane, number) in numbers {
        assert_eq!((lane.number(), Lane::from_number(number)), (number, Some(lane)));
    }
    assert_eq!((Lane::from_number(0), Lane::from_number(7)), (None, None));
}

#[test]
fn each_change_travels_on_the_lane_of_its_urgency() {
    let alert = Alert {
        kind: AlertKind::Leak,
        source: "room 101".into(),
        active: true,
        count: 1,
        first: at(0),
        last: at(0),
        text: "water on the floor".into(),
        level: 0,
        acknowledged: None,
    };
    let action = Action::Service { room: "101".into(), sign: "make-up".into() };
    let health = (DeviceState::Well, None);
    for (lane, kind, change) in [
        (
            Lane::Control,
            "command_ended",
            Change::CommandEnded { key: "k".into(), outcome: CommandOutcome::Done },
        ),
        (Lane::Alarms, "alert", Change::Alert { alert }),
        (Lane::Alarms, "link", Change::Link { link: "pms".into(), up: true, detail: "alive".into() }),
        (
            Lane::Alarms,
            "device_health",
            Change::DeviceHealth { device: "d".into(), room: None, state: health.0, reason: health.1 },
        ),
        (
            Lane::Alarms,
            "device_found",
            Change::DeviceFound { id: "f".into(), name: "Lamp".into(), make: None, model: None },
        ),
        (Lane::Alarms, "device_found_gone", Change::DeviceFoundGone { id: "f".into() }),
        (Lane::Alarms, "started", Change::Started { clean: true }),
        (
            Lane::Audit,
            "command_accepted",
            Change::CommandAccepted { key: "k".into(), source: CommandSource::Local, action },
        ),
        (Lane::Audit, "audit_head", Change::AuditHead { rows: 1, hash: "00".into() }),
        (
            Lane::Telemetry,
            "reported",
            Change::Reported {
                point: PointId::new("d", "t"),
                room: None,
                role: None,
                value: None,
                quality: Quality::Good,
                sampled: at(0),
            },
        ),
        (Lane::Stays, "business_date", Change::BusinessDate { date: "2026-07-15".parse().unwrap() }),
    ] {
        assert_eq!((change.lane(), change.kind()), (lane, kind));
        assert_eq!(serde_json::to_value(&change).unwrap()["kind"], kind, "the word is the serialized one");
    }
}

#[test]
fn a_tombstone_is_signed_over_these_very_words() {
    let erasure = |reason| Erasure {
        stay: "47\n11".into(),
        record: "0a".into(),
        at: at(1),
        reason,
        signer: "s".into(),
        signature: "t".into(),
    };
    assert_eq!(
        erasure(ErasureReason::Asked).message(),
        "engawa erasure v1\n1800000001000000\nasked\n0a\n47\n11"
    );
    assert!(erasure(ErasureReason::Retention).message().contains("\nretention\n"));
}

#[test]
fn refusals_of_the_wall_have_a_counter_and_say_what_and_until_when() {
    let until = "2027-01-15T08:00:05Z".parse().unwrap();
    for (refusal, counter, again, words) in [
        (Refusal::Source, "firewall-source", None, "`sources` says who may"),
        (
            Refusal::Range { value: 31.5, min: 5.0, max: 30.0 },
            "firewall-range",
            None,
            "31.5 is outside 5 to 30",
        ),
        (Refusal::Dwell { until }, "firewall-dwell", Some(until), "again from 08:00:05 UTC"),
        (
            Refusal::Budget { of: "room", limit: 90, until },
            "firewall-budget",
            Some(until),
            "the room had its 90 writes of this minute; again from 08:00:05 UTC",
        ),
    ] {
        assert_eq!((refusal.counter(), refusal.until()), (counter, again));
        let text = refusal.to_string();
        assert!(text.starts_with("the write firewall: ") && text.contains(words), "{text}");
    }
}

#[test]
fn a_wall_is_right_up_to_its_limits() {
    let limits = |min, max, dwell_s| RoleLimits { min, max, dwell_s, sources: None };
    let mut config = FirewallConfig { dwell_s: 3600, ..FirewallConfig::default() };
    config.role.insert(Role::ClimateSetpoint, limits(Some(20.0), Some(20.0), Some(3600)));
    assert_eq!(config.faults(), [], "an hour, and one value alone");
    config.role.insert(Role::ClimateSetpoint, limits(Some(20.1), Some(20.0), Some(3601)));
    config.role.insert(Role::Light, limits(Some(f64::NAN), Some(f64::INFINITY), None));
    let keys: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        ["role.climate_setpoint.dwell_s", "role.climate_setpoint.min", "role.light.min", "role.light.max"]
            .map(|key| key.replace("climate_setpoint", role_word(Role::ClimateSetpoint).as_str()))
    );
}

fn role_word(role: Role) -> String {
    serde_json::to_value(role).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn refusals_a_minute_apart_do_not_repeat() {
    let mut device = DeviceWrites::default();
    assert!(!device.refused(at(0), 2));
    assert!(!device.refused(at(60), 2), "the first is a minute old");
    assert!(device.refused(at(119), 2));
}

#[test]
fn what_is_personal_does_not_reach_a_text() {
    let name = Personal::new("Sato".to_owned());
    assert_eq!((format!("{name}"), format!("{name:?}")), ("[personal]".into(), "[personal]".into()));
    let action = Action::AnswerKey {
        coder: "1".into(),
        workstation: None,
        status: "OK".into(),
        text: None,
        card: Some(Personal::new("04a1b2".into())),
        room: None,
    };
    let text = serde_json::to_string(&action.without_personal()).unwrap();
    assert!(text.contains("[personal]") && !text.contains("04a1b2"), "{text}");
}

#[test]
fn numbers_and_values_are_shown_as_they_are() {
    assert_eq!(Currency::new("JPY").unwrap().to_string(), "JPY");
    assert_eq!((WakeId(7).to_string(), PostingNumber(12).to_string()), ("7".into(), "12".into()));
    let values = [Value::Bool(true), Value::Int(-3), Value::Float(21.5), Value::Text("eco".into())];
    assert_eq!(values.map(|value| value.to_string()), ["true", "-3", "21.5", "eco"]);
}

#[test]
fn a_request_to_the_pms_is_about_its_room() {
    let room = || RoomId::from("101");
    let report = PmsRequest::RoomReport { room: room(), report: RoomReport::default() };
    assert_eq!(report.room(), Some(&room()));
    let query = Personal::new("Sa".to_owned());
    assert_eq!(
        PmsRequest::FindGuests { number: PostingNumber(1), query, outlet: None, most: None }.room(),
        None
    );
}

#[test]
fn a_check_has_nine_of_each_and_adds_up() {
    let nine = Slip { subtotals: vec![100; MOST_SUBTOTALS], ..Slip::default() };
    assert_eq!(nine.check(900), Ok(()));
    assert!(nine.check(901).unwrap_err().contains("add up to 900"));
    let ten = Slip { taxes: vec![1; MOST_SUBTOTALS + 1], ..Slip::default() };
    assert_eq!(ten.check(10), Err("taxes: at most 9, not 10".into()));
    assert_eq!(Slip::default().check(5), Ok(()), "no parts, nothing to add");
    assert!(PostingDetail::Plain.is_plain());
    assert!(!PostingDetail::Slip(nine).is_plain());
}

#[test]
fn a_rule_is_enabled_unless_it_says_otherwise() {
    let file: RuleFile =
        serde_json::from_str(r#"{"rule":[{"name":"a"},{"name":"b","enabled":false}]}"#).unwrap();
    assert_eq!(file.rule.iter().map(|rule| rule.enabled).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_write_is_remembered_for_a_minute() {
    let (mut one, mut both) = (DeviceWrites::default(), DeviceWrites::default());
    both.wrote(at(0), &"light".into());
    both.wrote(at(60), &"light".into());
    one.wrote(at(60), &"light".into());
    assert_eq!(both, one);
    both.wrote(at(119), &"light".into());
    assert_ne!(both, one);
}

#[test]
fn one_of_an_article_is_meant_where_no_count_is_given() {
    let article: Article = serde_json::from_str(r#"{"article":4000}"#).unwrap();
    assert_eq!(article, Article { article: 4000, count: 1 });
}
