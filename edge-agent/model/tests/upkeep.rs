//! Commands for the gateway itself: refused with a reason when senseless, ended once, done anew after a restart.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn house() -> Property {
    let setpoint = PointSpec {
        name: "setpoint".into(),
        role: Some(Role::ClimateSetpoint),
        unit: None,
        writable: true,
        min: None,
        max: None,
    };
    Property::new(PropertySpec {
        id: "grand".into(),
        zone: "UTC".into(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 28.0,
            season: Season::Heating,
            guest_hold_s: 0,
        },
        rooms: vec![RoomSpec { id: "101".into() }, RoomSpec { id: "102".into() }],
        devices: vec![DeviceSpec {
            id: "t".into(),
            room: Some("101".into()),
            profile: "p".into(),
            points: [setpoint].into(),
        }],
        resync_every_s: 3_600,
        order_ttl_s: 3_600,
    })
}

fn ask(house: &mut Property, key: &str, source: CommandSource, action: Action) -> Applied {
    let command = Command { key: key.into(), source, expires: Some(at(600)), action };
    house.apply(&Observation::new(at(1), Fact::Asked { command }))
}

fn refused(applied: &Applied) -> Option<&str> {
    applied.changes.iter().find_map(|change| match change {
        Change::CommandEnded { outcome: CommandOutcome::Refused { reason }, .. } => Some(reason.as_str()),
        _ => None,
    })
}

fn tail(of: &str, for_s: u32) -> Action {
    Action::Tail { of: Watched::parse(of).unwrap(), for_s, by: Some("ann".into()) }
}

fn tasks(applied: &Applied) -> Vec<(&str, &Upkeep)> {
    let task = |intent: &'_ Intent| matches!(intent, Intent::Upkeep { .. });
    let found = applied.intents.iter().filter(|intent| task(intent));
    found
        .filter_map(|intent| match intent {
            Intent::Upkeep { key, task } => Some((key.as_str(), task)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_senseless_is_refused_with_its_reason() {
    let mut house = house();
    let cloud = CommandSource::Cloud;
    for (n, (source, action, why)) in [
        (CommandSource::Local, tail("room/101", 60), "only the cloud"),
        (cloud, tail("room/999", 60), "there is no room `999`"),
        (cloud, tail("room/102", 60), "room/102 has no points"),
        (cloud, tail("device/x", 60), "there is no device `x`"),
        (cloud, tail("room/101", 0), "expected 1 to 3600"),
        (cloud, tail("room/101", 4000), "expected 1 to 3600"),
        (cloud, Action::EndTail { tail: "none".into(), by: None }, "no tail `none` runs"),
        (cloud, Action::Reload { by: Some("a\nb".into()) }, "names who asks"),
        (cloud, update("1.4"), "is not a version"),
        (cloud, from_a_stick("/media/stick"), "only its own command line"),
        (CommandSource::Local, from_a_stick("media"), "an absolute path"),
    ]
    .into_iter()
    .enumerate()
    {
        let applied = ask(&mut house, &format!("k{n}"), source, action.clone());
        assert!(refused(&applied).is_some_and(|reason| reason.contains(why)), "{action:?}: {applied:?}");
        assert!(tasks(&applied).is_empty());
        let accepted = applied.changes.iter().any(|c| matches!(c, Change::CommandAccepted { .. }));
        assert!(accepted, "recorded all the same");
    }
}

#[test]
fn tails_have_a_bound_and_end_by_their_key() {
    let mut house = house();
    for n in 0..MOST_TAILS {
        let applied = ask(&mut house, &format!("t{n}"), CommandSource::Cloud, tail("room/101", 60));
        let until = at(61);
        assert_eq!(tasks(&applied)[0].1, &Upkeep::Tail { of: Watched::Room("101".into()), until });
    }
    let more = ask(&mut house, "more", CommandSource::Cloud, tail("device/t", 60));
    assert!(refused(&more).unwrap().contains("4 tails run already"));
    let end = Action::EndTail { tail: "t1".into(), by: None };
    let applied = ask(&mut house, "end", CommandSource::Cloud, end);
    assert_eq!(tasks(&applied), [("end", &Upkeep::EndTail { tail: "t1".into() })]);
    let end = UpkeepEnd { outcome: CommandOutcome::Done, note: Some("7 values".into()), bundle: vec![] };
    let over = house.apply(&Observation::new(at(2), Fact::UpkeepDone { key: "t1".into(), end }));
    assert_eq!(over.changes[0], Change::CommandNoted { key: "t1".into(), note: "7 values".into() });
    assert_eq!(over.changes[1], Change::CommandEnded { key: "t1".into(), outcome: CommandOutcome::Done });
    assert!(
        refused(&ask(&mut house, "t9", CommandSource::Cloud, tail("room/101", 9))).is_none(),
        "room again"
    );

    // The stored form has the note, and a restart ends what ran.
    let again = house.apply(&Observation::new(at(3), Fact::Started { clean: false }));
    let ended: Vec<_> = again.changes.iter().filter(|c| matches!(c, Change::CommandEnded { .. })).collect();
    assert_eq!(ended.len(), MOST_TAILS, "{ended:?}");
    assert_eq!(house.commands()[&CommandKey::from("t1")].note.as_deref(), Some("7 values"));
}

#[test]
fn a_bundle_and_its_end_are_one_step_and_come_once() {
    let mut house = house();
    let asked = ask(&mut house, "b", CommandSource::Cloud, Action::Diagnose { by: Some("ann".into()) });
    assert_eq!(tasks(&asked), [("b", &Upkeep::Diagnose)]);
    let twice = ask(&mut house, "c", CommandSource::Cloud, Action::Diagnose { by: None });
    assert!(refused(&twice).unwrap().contains("under way"));
    // The process ended before it was gathered: it is gathered anew.
    let again = house.apply(&Observation::new(at(5), Fact::Started { clean: false }));
    assert_eq!(tasks(&again), [("b", &Upkeep::Diagnose)]);
    let piece = |number| BundlePiece {
        number,
        of: 2,
        bytes: 9,
        sha256: "aa".into(),
        piece_sha256: "bb".into(),
        data: Some("AAAA".into()),
    };
    let end = UpkeepEnd { outcome: CommandOutcome::Done, note: None, bundle: vec![piece(1), piece(2)] };
    let told = Observation::new(at(6), Fact::UpkeepDone { key: "b".into(), end });
    let done = house.apply(&told);
    let lanes: Vec<Lane> = done.changes.iter().map(Change::lane).collect();
    assert_eq!(lanes, [Lane::Bulk, Lane::Bulk, Lane::Control]);
    let body = serde_json::to_value(&done.changes[0]).unwrap();
    assert_eq!(
        (&body["kind"], &body["key"], &body["number"]),
        (&"bundle_piece".into(), &"b".into(), &1.into())
    );
    assert_eq!(serde_json::from_value::<Change>(body).unwrap(), done.changes[0]);
    assert!(house.apply(&told).changes.is_empty(), "once");
}

#[test]
fn what_is_too_late_is_not_begun_after_a_restart() {
    let mut house = house();
    ask(&mut house, "r", CommandSource::Cloud, Action::Reload { by: None });
    let late = house.apply(&Observation::new(at(700), Fact::Started { clean: false }));
    let ended = Change::CommandEnded { key: "r".into(), outcome: CommandOutcome::Expired };
    assert!(late.changes.contains(&ended) && tasks(&late).is_empty(), "{late:?}");
}

fn update(version: &str) -> Action {
    Action::Update {
        version: version.into(),
        channel: "stable".into(),
        window: None,
        from: None,
        clock_is_right: false,
        by: Some("ann".into()),
    }
}

fn from_a_stick(folder: &str) -> Action {
    let Action::Update { version, channel, window, by, .. } = update("1.4.0") else { unreachable!() };
    Action::Update { version, channel, window, from: Some(folder.into()), clock_is_right: true, by }
}

#[test]
fn an_update_waits_for_its_time_over_restarts_and_ends_once() {
    let mut house = house();
    let wanted = Upkeep::Update { version: "1.4.0".into(), window: None, from: None, clock_is_right: false };
    let asked = ask(&mut house, "u", CommandSource::Cloud, update("1.4.0"));
    assert_eq!(tasks(&asked), [("u", &wanted)]);
    let other = ask(&mut house, "v", CommandSource::Cloud, update("1.5.0"));
    assert!(refused(&other).unwrap().contains("under way"));
    // Long after the command's own time: the new release has started, and goes on with it.
    let again = house.apply(&Observation::new(at(90_000), Fact::Started { clean: true }));
    assert_eq!(tasks(&again), [("u", &wanted)]);
    assert_eq!(house.open_upkeep(), [Intent::Upkeep { key: "u".into(), task: wanted }]);
    let end = UpkeepEnd { outcome: CommandOutcome::Done, note: None, bundle: vec![] };
    let done = house.apply(&Observation::new(at(90_001), Fact::UpkeepDone { key: "u".into(), end }));
    assert_eq!(done.changes, [Change::CommandEnded { key: "u".into(), outcome: CommandOutcome::Done }]);
    assert!(house.open_upkeep().is_empty());
}

#[test]
fn a_step_of_an_update_is_one_row_however_often_it_is_told_and_is_kept_over_a_restart() {
    let mut house = house();
    let step = |step, reason: Option<&str>| UpdateNote {
        rollout: Some("r1".into()),
        attempt: 0,
        version: "1.4.0".into(),
        number: 7,
        step,
        reason: reason.map(str::to_owned),
    };
    let tell = |house: &mut Property, second, update| {
        house.apply(&Observation::new(at(second), Fact::Updated { update }))
    };
    let long = "x".repeat(MOST_UPDATE_REASON) + "tail";
    for (second, note) in
        [step(UpdateStep::Trial, None), step(UpdateStep::RolledBack, Some(&long))].into_iter().enumerate()
    {
        let second = i64::try_from(second).unwrap();
        let told = tell(&mut house, second, note.clone());
        assert!(matches!(&told.changes[..], [Change::Update { update }] if update.step == note.step));
        assert!(told.touched.contains(&Entity::Updates));
        assert!(tell(&mut house, second + 1, note).changes.is_empty(), "told twice");
    }
    let kept = house.save(&Entity::Updates).unwrap();
    let again = Property::restore(house.spec().clone(), [("updates", "", kept.as_slice())]).unwrap();
    let steps: Vec<_> = again.updates().map(|(_, note)| note.step).collect();
    assert_eq!(steps, [UpdateStep::Trial, UpdateStep::RolledBack]);
    let reason = again.updates().last().unwrap().1.reason.clone().unwrap();
    assert_eq!(reason.len(), MOST_UPDATE_REASON, "a bound, not a refusal");
    for n in 0..100_u64 {
        let mut note = step(UpdateStep::Offered, None);
        note.number = n;
        tell(&mut house, 10, note);
    }
    assert_eq!(house.updates().count(), MOST_UPDATE_HISTORY);
}

#[test]
fn the_beginning_of_night_audits_is_learnt() {
    let mut house = house();
    for night in 0..9 {
        house.apply(&Observation::new(at(night * 86_400), Fact::NightAuditBegun));
        house.apply(&Observation::new(at(night * 86_400 + 1), Fact::NightAuditBegun));
        house.apply(&Observation::new(
            at(night * 86_400 + 900),
            Fact::NightAuditDone { date: None, hour: None },
        ));
    }
    let expected: Vec<_> = (2..9).map(|night| at(night * 86_400)).collect();
    assert_eq!(house.night_audits(), expected, "the last week, each once");
}
