//! Recorded days: what is in them, what is not, and what other rules make of them.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod house;

use engawa_model::rules::RuleFile;
use engawa_model::{Fact, Property, Value};
use engawa_rules::{Broken, Day, DayError, Header, InForce, Outcome, Strictness, compare, line, replay};
use house::House;

/// A winter's day in two rooms, as a recorder writes it.
fn recorded() -> String {
    let mut house = House::standard();
    let header = line(&Header::of(&house.property, house.now));
    house.seen.clear();
    house.expect("4711", "101", "2027-01-15T13:00:00Z").pass(2 * 3600);
    house.warm("101", 21.0).pass(3 * 3600);
    house.comes("4711", "101").pass(120).on("101", "door").off("101", "door").on("101", "motion").pass(1800);
    // A window, for a short while and for longer.
    house.on("101", "window").pass(180).off("101", "window").pass(900);
    house.on("101", "window").pass(1200).off("101", "window").pass(600);
    // The guest likes it warmer, and goes out.
    house.set("101", "setpoint", Value::Float(23.5)).pass(600).off("101", "motion").pass(9000);
    house.on("101", "motion").pass(60).off("101", "motion").pass(7200).on("101", "motion").pass(600);
    house.on("101", "minibar").off("101", "minibar").pass(600);
    house.on("102", "leak").pass(400).off("102", "leak").pass(600);
    house.goes("4711", "101").pass(3600);
    house.fact(engawa_model::Fact::ResyncBegun);
    let lines = house.seen.iter().map(line);
    std::iter::once(header).chain(lines).map(|line| line + "\n").collect()
}

fn played(day: &Day, files: &[&RuleFile]) -> Outcome {
    replay(day, house::policy(&day.header.property, files)).unwrap()
}

fn shown(outcome: &Outcome) -> Vec<String> {
    outcome.acts.iter().map(|act| format!("{} {act}", act.at.strftime("%H:%M:%S"))).collect()
}

#[test]
fn the_sample_day_is_what_a_recorder_writes() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/day.jsonl");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, recorded()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text == recorded(), "renew it with: RENEW=1 cargo test -p engawa-rules --test day");
    assert!(!text.contains("Sakura") && !text.contains("Ito"), "a guest's name is in it");
    assert!(!text.contains("\"written\""), "what the house wrote is in it");
}

#[test]
fn the_same_rules_do_the_same_again_and_others_the_difference() {
    let day = Day::read(recorded().as_bytes(), Strictness::Strict).unwrap();
    let standard = engawa_rules::standard().0;
    let softer = engawa_rules::load("softer.toml", include_str!("softer.toml"), None).unwrap();
    let once = played(&day, &[&standard]);
    assert_eq!(shown(&once), shown(&played(&day, &[&standard])), "a replay is not by chance");
    assert_eq!(compare(&once, &once).lines, []);
    let set = |outcome: &Outcome| {
        shown(outcome).into_iter().filter(|act| act.contains("setpoint")).collect::<Vec<_>>()
    };
    insta::assert_snapshot!("standard", shown(&once).join("\n"));
    let other = played(&day, &[&standard, &softer]);
    assert_ne!(set(&once), set(&other));
    let difference = compare(&once, &other);
    let lines = difference.lines.iter().map(|(first, act)| {
        format!("{} {} {act}", if *first { '-' } else { '+' }, act.at.strftime("%H:%M:%S"))
    });
    insta::assert_snapshot!("difference", lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_replay_does_what_the_house_did() {
    // The house as it was recorded, and the replay under its rules: the same writes at the same times.
    let day = Day::read(recorded().as_bytes(), Strictness::Strict).unwrap();
    let again = played(&day, &[&engawa_rules::standard().0]);
    assert_eq!((again.writes > 8, again.alerts > 1, day.gaps), (true, true, 0));
    assert_eq!(again.counters["held-for-guest"], 1);
    // The guest chose 23.5 at 14:20 and went out at 14:30: nothing is set back before the choice has stood its time.
    let set_back = again.acts.iter().find(|act| act.what.contains("set-back")).unwrap();
    assert_eq!(set_back.at.to_string(), "2027-01-15T16:20:00Z");
}

#[test]
fn what_is_no_day_is_said_to_be_none() {
    let good = recorded();
    let header = good.lines().next().unwrap();
    let later = header.replace("\"engawa_day\":1", "\"engawa_day\":9");
    let (one, two) = (good.lines().nth(1).unwrap(), good.lines().last().unwrap());
    let cases: [(&str, String, &str); 7] = [
        ("empty", String::new(), "the file is empty"),
        ("no JSON", "hello\n".into(), "line 1, column 1"),
        ("another thing", "{\"a\":1}\n".into(), "missing field"),
        ("a later version", later, "version 9"),
        ("broken in the middle", format!("{header}\n{{\"at\":\n"), "line 2"),
        (
            "an unknown fact",
            format!("{header}\n{{\"at\":\"2027-01-15T08:00:00Z\",\"fact\":{{\"fact\":\"moonrise\"}}}}\n"),
            "moonrise",
        ),
        ("out of order", format!("{header}\n{two}\n{one}\n"), "line 3: it happened before"),
    ];
    for (name, text, words) in cases {
        let told = Day::read(text.as_bytes(), Strictness::Strict).unwrap_err().to_string();
        assert!(told.contains(words), "{name}: {told}");
    }
    let gap = Day::read(format!("{header}\n{{\"gap\":12}}\n{one}\n").as_bytes(), Strictness::Strict).unwrap();
    assert_eq!((gap.gaps, gap.observations.len()), (12, 1));
    assert!(matches!(Day::read(&b""[..], Strictness::Strict), Err(DayError::Empty)));
}

#[test]
fn what_a_power_cut_leaves_of_a_day_is_read() {
    let good = recorded();
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let whole = Day::read(good.as_bytes(), Strictness::Strict).unwrap();
    assert_eq!(whole.broken, Broken::default());
    // Cut anywhere within any of its last lines, the lines before are all there.
    for kept in lines.len() - 3..lines.len() {
        let before = lines[..kept].concat();
        for at in 1..lines[kept].len() - 1 {
            let day =
                Day::read([&before, &lines[kept][..at]].concat().as_bytes(), Strictness::Strict).unwrap();
            assert!(
                day.observations == whole.observations[..kept - 1] && day.broken.cut,
                "line {kept}, byte {at}"
            );
        }
        let unended = [&before, lines[kept].trim_end()].concat();
        let day = Day::read(unended.as_bytes(), Strictness::Strict).unwrap();
        assert_eq!((day.observations.len(), day.broken.cut), (kept, false), "only its end is missing");
    }
    // A house that is cut is no day, and neither is one whose time runs backwards.
    assert!(matches!(
        Day::read(&good.as_bytes()[..lines[0].len() / 2], Strictness::Lenient),
        Err(DayError::Form { line: 1, .. })
    ));
    let backwards = [lines[0], lines[lines.len() - 1], lines[1]].concat();
    let refused = Day::read(backwards.as_bytes(), Strictness::Lenient);
    assert!(matches!(refused, Err(DayError::Order { line: 3 })), "{refused:?}");
}

#[test]
fn the_state_in_a_day_names_nobody() {
    let mut house = House::standard();
    house.comes("1", "101");
    let header = line(&Header::of(&house.property, house.now));
    assert!(header.contains("\"stay\",\"1\"") && !header.contains("Sakura"), "{header}");
    // And it is a state that the house starts from.
    let day = Day::read(header.as_bytes(), Strictness::Strict).unwrap();
    let mut property = Property::new(day.header.property.clone());
    property.govern(house::policy(&day.header.property, &[]));
    assert!(played(&day, &[]).acts.is_empty());
}

/// A house with a second PMS for room 102, whose guest comes, stays through a list of the first PMS, and leaves.
#[test]
fn a_day_of_two_pms_is_played_as_it_was() {
    let second = engawa_model::LinkId::from("pms-villas");
    let serve = |house: &mut House| {
        let rooms = [(engawa_model::RoomId::from("102"), second.clone())];
        house.property.serve(vec!["pms".into(), second.clone()], rooms.into());
    };
    let at = |what: Fact| Fact::AtLink { link: second.clone(), what: Box::new(what) };
    let mut house = House::standard();
    serve(&mut house);
    let in_force = InForce {
        files: vec![engawa_rules::standard().0],
        firewall: engawa_model::firewall::FirewallConfig::default(),
        arrival_time: jiff::civil::time(15, 0, 0, 0),
    };
    let header = line(&Header::of(&house.property, house.now).under(in_force.clone()));
    house.seen.clear();
    house.acts.clear();
    house.fact(Fact::Link { link: second.clone(), up: true, detail: "alive".into() });
    let guest = engawa_model::GuestRecord {
        name: Some(engawa_model::Personal::new("Sakura".into())),
        language: Some("ja".into()),
        ..Default::default()
    };
    house.fact(at(Fact::GuestSeen {
        stay: "villas:1".into(),
        room: "102".into(),
        from: None,
        presence: engawa_model::Presence::In,
        listed: false,
        guest,
        flags: Default::default(),
    }));
    house.pass(600).fact(Fact::ResyncBegun).fact(Fact::ResyncDone).pass(600);
    house
        .fact(at(Fact::GuestGone { room: "102".into(), stay: Some("villas:1".into()), listed: false }))
        .pass(600);
    let lines = house.seen.iter().map(line);
    let text: String = std::iter::once(header).chain(lines).map(|line| line + "\n").collect();
    assert!(!text.contains("Sakura"), "{text}");

    let day = Day::read(text.as_bytes(), Strictness::Strict).unwrap();
    assert_eq!(day.header.in_force.as_ref(), Some(&in_force), "its rules are in it");
    let files: Vec<&RuleFile> = day.header.in_force.iter().flat_map(|rules| &rules.files).collect();
    let acts = shown(&played(&day, &files));
    let of_102: Vec<_> = acts.iter().filter(|act| act.contains("d-102/setpoint")).collect();
    assert_eq!(
        of_102.len(),
        2,
        "comfort at check-in, eco at check-out, and nothing at the other's list: {acts:?}"
    );
    assert!(of_102[0].contains("check-in") && of_102[1].contains("check-out"), "{acts:?}");
}
