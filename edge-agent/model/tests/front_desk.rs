//! What the front desk's records do to the house, case by case: the rules that a day as a whole does not show.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::*;
use jiff::SignedDuration;

struct House {
    property: Property,
    now: Timestamp,
    changes: Vec<Change>,
    intents: Vec<Intent>,
}

fn spec() -> PropertySpec {
    PropertySpec {
        id: "h".into(),
        zone: "UTC".to_owned(),
        currency: Currency::new("EUR").unwrap(),
        climate: engawa_model::testing::climate(),
        rooms: ["101", "102"].map(|id| RoomSpec { id: id.into() }).to_vec(),
        devices: vec![DeviceSpec {
            id: "d".into(),
            room: Some("101".into()),
            profile: "p".into(),
            points: [("leak", Role::Leak), ("window", Role::Window)]
                .map(|(name, role)| PointSpec {
                    name: name.into(),
                    role: Some(role),
                    unit: None,
                    writable: false,
                    min: None,
                    max: None,
                })
                .into(),
        }],
        resync_every_s: 3600,
        order_ttl_s: 600,
    }
}

impl House {
    fn new() -> Self {
        Self::of(Property::new(spec()))
    }

    fn of(property: Property) -> Self {
        let mut house =
            Self { property, now: "2026-07-15T10:00:00Z".parse().unwrap(), changes: vec![], intents: vec![] };
        house.seen("1", "101").link(true, "alive");
        house.clear();
        house
    }

    fn clear(&mut self) -> &mut Self {
        self.changes.clear();
        self.intents.clear();
        self
    }

    fn fact(&mut self, fact: Fact) -> &mut Self {
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents);
        self
    }

    fn pass(&mut self, milliseconds: i64) -> &mut Self {
        self.now = self.now.checked_add(SignedDuration::from_millis(milliseconds)).unwrap();
        self.fact(Fact::Tick)
    }

    fn link(&mut self, up: bool, detail: &str) -> &mut Self {
        self.fact(Fact::Link { link: PMS_LINK.into(), up, detail: detail.into() })
    }

    fn seen(&mut self, stay: &str, room: &str) -> &mut Self {
        self.seen_with(stay, room, GuestRecord::default(), RoomFlags::default())
    }

    fn seen_with(&mut self, stay: &str, room: &str, guest: GuestRecord, flags: RoomFlags) -> &mut Self {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest,
            flags,
        })
    }

    fn gone(&mut self, stay: Option<&str>, room: &str, listed: bool) -> &mut Self {
        self.fact(Fact::GuestGone { room: room.into(), stay: stay.map(StayId::from), listed })
    }

    fn flags(&mut self, room: &str, flags: RoomFlags) -> &mut Self {
        self.fact(Fact::RoomFlagged { room: room.into(), flags })
    }

    fn post(&mut self, key: &str) -> &mut Self {
        let amount = Money { minor: 1050, currency: Currency::new("EUR").unwrap() };
        let action =
            Action::Post { room: "101".into(), stay: None, amount, text: "Bar".into(), outlet: None };
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        self.fact(Fact::Asked { command })
    }

    fn answer(&mut self, number: u32, status: &str) -> &mut Self {
        self.fact(Fact::PostingAnswered {
            number: PostingNumber(number),
            status: status.into(),
            text: Some("so".into()),
        })
    }

    fn counted(&self, reason: &str) -> u64 {
        self.property.counters().get(reason).copied().unwrap_or(0)
    }

    fn kinds(&self) -> Vec<&str> {
        self.changes.iter().map(Change::kind).collect()
    }

    fn asked_for_lists(&self) -> usize {
        self.intents.iter().filter(|intent| **intent == Intent::RequestResync).count()
    }

    fn posting(&self, number: u32) -> &Posting {
        &self.property.postings()[&PostingNumber(number)]
    }

    fn outcome(&self, key: &str) -> Option<CommandOutcome> {
        self.property.commands()[&key.into()].ended.clone().map(|(_, outcome)| outcome)
    }

    fn sent(&self) -> usize {
        self.intents.iter().filter(|intent| matches!(intent, Intent::SendPosting { .. })).count()
    }
}

#[test]
fn equipment_flags_are_news_once_and_go_with_the_last_guest() {
    let mut house = House::new();
    let on = RoomFlags {
        do_not_disturb: Some(true),
        message_light: Some(true),
        class_of_service: Some("3".into()),
        minibar_right: Some("MU".into()),
        tv_right: Some("TU".into()),
        video_right: Some("VN".into()),
    };
    house.flags("101", on.clone()).flags("101", on.clone());
    assert_eq!(house.changes, [Change::RoomFlagged { room: "101".into(), flags: on.clone() }]);
    assert_eq!(house.property.rooms()[&"101".into()].flags, on);
    // Only what differs is told; what a record leaves out stays.
    let other = RoomFlags {
        do_not_disturb: Some(true),
        message_light: Some(false),
        class_of_service: Some("1".into()),
        ..RoomFlags::default()
    };
    house.clear().flags("101", other);
    let news =
        RoomFlags { message_light: Some(false), class_of_service: Some("1".into()), ..RoomFlags::default() };
    assert_eq!(house.changes, [Change::RoomFlagged { room: "101".into(), flags: news }]);
    let is = RoomFlags { message_light: Some(false), class_of_service: Some("1".into()), ..on.clone() };
    assert_eq!(house.property.rooms()[&"101".into()].flags, is);
    // A sharer's leaving changes nothing; the last one's puts out what was on.
    house.seen("2", "101").clear().gone(Some("1"), "101", false);
    assert_eq!(house.kinds(), ["checked_out"]);
    house.clear().gone(Some("2"), "101", false);
    let off = RoomFlags { do_not_disturb: Some(false), ..RoomFlags::default() };
    assert!(house.changes.contains(&Change::RoomFlagged { room: "101".into(), flags: off }));
    assert_eq!(house.property.rooms()[&"101".into()].flags, RoomFlags::default());
    // With a guest's record, too; and a room that is not there is counted.
    house.clear().seen_with("3", "102", GuestRecord::default(), on);
    assert_eq!(house.kinds(), ["checked_in", "room_flagged"]);
    house.flags("999", RoomFlags::default()).seen("4", "999").gone(None, "999", false);
    assert_eq!(house.counted("unknown-room"), 3);
}

#[test]
fn each_particular_of_a_guest_is_taken_and_one_that_is_left_out_stays() {
    let mut house = House::new();
    let personal = |text: &str| Some(Personal::new(text.to_owned()));
    let all = GuestRecord {
        name: personal("n"),
        first_name: personal("f"),
        title: personal("t"),
        language: Some("ja".into()),
        arrival: Some("2026-07-15".parse().unwrap()),
        departure: Some("2026-07-17".parse().unwrap()),
        vip: Some("V1".into()),
        phone: personal("p"),
        email: personal("e"),
        group: Some("g".into()),
        no_post: Some(true),
    };
    let particulars = |stay: &Stay| GuestRecord {
        name: stay.name.clone(),
        first_name: stay.first_name.clone(),
        title: stay.title.clone(),
        language: stay.language.clone(),
        arrival: stay.arrival,
        departure: stay.departure,
        vip: stay.vip.clone(),
        phone: stay.phone.clone(),
        email: stay.email.clone(),
        group: stay.group.clone(),
        no_post: stay.no_post,
    };
    house.seen_with("1", "101", all.clone(), RoomFlags::default()).seen("1", "101");
    assert_eq!(particulars(&house.property.stays()[&"1".into()]), all);
    assert_eq!(house.kinds(), ["stay_changed"], "and the record that tells nothing new is no change");
    house.seen_with("2", "102", all.clone(), RoomFlags::default());
    assert_eq!(particulars(&house.property.stays()[&"2".into()]), all);
    let stay = &house.property.stays()[&"2".into()];
    assert_eq!((stay.since, stay.comfort, &stay.room), (house.now, None, &"102".into()));
}

#[test]
fn who_is_gone_and_from_where() {
    let mut house = House::new();
    house.gone(Some("7"), "101", false);
    assert_eq!((house.counted("gone-unknown-stay"), house.asked_for_lists()), (1, 0));
    // In a list a guest elsewhere is half of a move; live it contradicts what was known.
    house.gone(Some("1"), "102", true);
    assert_eq!((house.counted("gone-from-another-room"), house.asked_for_lists()), (1, 0));
    house.gone(Some("1"), "102", false);
    assert_eq!((house.counted("gone-from-another-room"), house.asked_for_lists()), (2, 1));
    house.gone(Some("1"), "102", false);
    assert_eq!(house.asked_for_lists(), 1, "once an hour");
    house.pass(3_600_000);
    assert_eq!(house.asked_for_lists(), 2);
    // A vacancy of a list without its envelope proves nothing.
    house.gone(None, "101", true);
    assert_eq!((house.counted("listed-vacancy-without-envelope"), house.property.stays().len()), (1, 1));
    house.clear().gone(None, "101", false);
    let reason = StayEnd::RoomVacated;
    assert_eq!(house.changes, [Change::CheckedOut { stay: "1".into(), room: "101".into(), reason }]);
    house.gone(None, "101", false);
    assert_eq!(house.changes.len(), 1);
}

#[test]
fn a_list_says_who_is_missing_and_how_many_it_had() {
    let mut house = House::new();
    house.seen("2", "102").seen("3", "102").clear().fact(Fact::ResyncBegun);
    assert!(house.property.resync().is_some());
    house
        .seen("1", "101")
        .seen("2", "102")
        .gone(Some("2"), "102", true)
        .seen("3", "102")
        .fact(Fact::ResyncDone);
    let begun = Change::Resync { phase: "begun".into(), listed: None, link: None };
    let missing = Change::CheckedOut { stay: "2".into(), room: "102".into(), reason: StayEnd::MissingInList };
    let done = Change::Resync { phase: "done".into(), listed: Some(2), link: None };
    assert_eq!(house.changes, [begun, missing, done]);
    assert!(house.property.resync().is_none());
    house.fact(Fact::ResyncDone).fact(Fact::ResyncAsked);
    assert_eq!((house.counted("list-end-without-begin"), house.counted("resync-asked")), (1, 1));
}

#[test]
fn a_list_without_an_end_is_given_up_and_asked_for_again_three_times() {
    let mut house = House::new();
    let longest = 15 * 60 * 1000;
    for n in 1..=3 {
        house.fact(Fact::ResyncBegun);
        let due = house.property.next_wake().unwrap();
        assert_eq!(due.duration_since(house.now), SignedDuration::from_millis(longest + 1));
        house.pass(longest);
        assert!(house.property.resync().is_some());
        house.pass(1);
        assert!(house.property.resync().is_none());
        assert_eq!(house.asked_for_lists(), n, "asked at once");
    }
    // From the fourth on at the ordinary interval, counted from the last request.
    house.fact(Fact::ResyncBegun).pass(longest + 1);
    assert_eq!(house.asked_for_lists(), 3);
    let due = house.property.next_wake().unwrap();
    house.pass(due.duration_since(house.now).as_millis() as i64 - 1);
    assert_eq!(house.asked_for_lists(), 3);
    house.pass(1);
    assert_eq!(house.asked_for_lists(), 4);
    // A whole one forgives.
    house.fact(Fact::ResyncBegun).seen("1", "101").fact(Fact::ResyncDone).fact(Fact::ResyncBegun);
    house.link(false, "gone").link(true, "alive");
    assert_eq!(house.asked_for_lists(), 5);
    assert_eq!(house.kinds().iter().filter(|kind| **kind == "resync").count(), 4 * 2 + 2 + 2);
}

#[test]
fn an_empty_house_asks_for_a_list_and_staff_need_not_wait() {
    let mut house = House::new();
    house.gone(None, "101", false).link(false, "x").link(true, "alive");
    assert_eq!(house.asked_for_lists(), 1);
    // Within the hour the house does not ask by itself again, and once somebody is there it needn't.
    house.link(false, "x").link(true, "alive").seen("9", "101").pass(3_600_000);
    assert_eq!(house.asked_for_lists(), 1);
    for key in ["a", "b"] {
        let command =
            Command { key: key.into(), source: CommandSource::Local, expires: None, action: Action::Resync };
        house.fact(Fact::Asked { command });
        assert_eq!(house.outcome(key), Some(CommandOutcome::Done));
    }
    assert_eq!(house.asked_for_lists(), 3);
    // A crash owes one, a clean start none.
    house.fact(Fact::Started { clean: true }).link(true, "alive");
    assert_eq!(house.asked_for_lists(), 3);
    house.pass(3_600_000).fact(Fact::Started { clean: false }).link(true, "alive");
    assert_eq!(house.asked_for_lists(), 4);
}

#[test]
fn the_date_of_business_after_an_audit() {
    let date = |text: &str| Some(text.parse::<Date>().unwrap());
    for (told, hour, is) in [
        (date("2026-07-16"), Some(11), date("2026-07-16")),
        (date("2026-07-16"), Some(12), date("2026-07-17")),
        (date("2026-07-16"), Some(23), date("2026-07-17")),
        (date("2026-07-16"), None, date("2026-07-16")),
        (None, None, date("2026-07-16")),
    ] {
        let mut house = House::new();
        house.fact(Fact::PmsDate { date: "2026-07-15".parse().unwrap() });
        // Only the first clock of the PMS counts.
        house.fact(Fact::PmsDate { date: "2030-01-01".parse().unwrap() }).clear();
        house.fact(Fact::NightAuditBegun).fact(Fact::NightAuditBegun);
        assert!(house.property.night_audit());
        house.fact(Fact::NightAuditDone { date: told, hour });
        assert!(!house.property.night_audit());
        assert_eq!(house.property.business_date(), is, "{told:?} {hour:?}");
        assert_eq!(house.kinds(), ["night_audit", "night_audit", "business_date"]);
        house.clear().fact(Fact::NightAuditDone { date: is, hour: Some(1) });
        assert_eq!(house.kinds(), [""; 0]);
    }
    let mut house = House::new();
    house.fact(Fact::NightAuditDone { date: None, hour: None });
    assert_eq!((house.counted("night-audit-without-date"), house.property.business_date()), (1, None));
}

#[test]
fn what_the_pms_answers_to_a_posting() {
    for (status, words) in [
        ("NG", "not found"),
        ("NP", "no-post"),
        ("UR", "not to retry"),
        ("CO", "credit limit"),
        ("DM", "subtotals"),
        ("DN", "denied"),
        ("IA", "invalid account"),
        ("FX", "not allowed"),
        ("NF", "feature is off"),
        ("??", "refused by the PMS"),
    ] {
        let mut house = House::new();
        house.post("k").answer(1, status);
        assert_eq!(house.posting(1).state, PostingState::Refused);
        let Some(CommandOutcome::Refused { reason }) = house.outcome("k") else { panic!("{status}") };
        assert!(reason.contains(words) && reason.contains(status) && reason.ends_with(": so"), "{reason}");
        house.answer(1, "OK").answer(9, "OK");
        assert_eq!(house.posting(1).state, PostingState::Refused);
        assert_eq!((house.counted("answer-repeated"), house.counted("answer-to-unknown-posting")), (1, 1));
    }
}

#[test]
fn again_later_is_half_a_minute_and_not_for_ever() {
    let mut house = House::new();
    house.post("k").answer(1, "RY");
    let posting = house.posting(1);
    assert_eq!(
        (posting.state, posting.tries, posting.answer.as_deref()),
        (PostingState::Pending, 1, Some("RY"))
    );
    assert_eq!(house.property.next_wake(), Some(posting.not_before));
    assert_eq!(posting.not_before.duration_since(house.now), SignedDuration::from_secs(30));
    house.pass(29_999);
    assert_eq!(house.sent(), 1);
    house.pass(1);
    assert_eq!((house.sent(), house.posting(1).tries), (2, 2));
    // NA without an audit is the same; the end of one is a new chance at once.
    house.answer(1, "NA").fact(Fact::NightAuditBegun).pass(60_000);
    assert_eq!((house.sent(), house.property.next_wake()), (2, None));
    house.fact(Fact::NightAuditDone { date: None, hour: None });
    assert_eq!(house.sent(), 3);
    house.answer(1, "NA").fact(Fact::NightAuditDone { date: None, hour: None });
    assert_eq!(house.sent(), 4);
    while house.posting(1).state != PostingState::Refused {
        house.answer(1, "RY").pass(30_000);
        assert!(house.sent() <= 50);
    }
    assert_eq!(house.sent(), 50);
}

#[test]
fn one_posting_at_a_time_in_the_order_in_which_they_were_asked() {
    let mut house = House::new();
    house.fact(Fact::ResyncBegun).post("a").post("b");
    assert_eq!((house.sent(), house.property.next_wake().is_some()), (0, true));
    house.seen("1", "101").fact(Fact::ResyncDone);
    assert_eq!(
        (house.posting(1).state, house.posting(2).state),
        (PostingState::InFlight, PostingState::Pending)
    );
    house.answer(1, "OK");
    assert_eq!((house.sent(), house.outcome("a")), (2, Some(CommandOutcome::Done)));
    // The link breaks: in doubt, with an alert that a late answer takes away.
    house.link(false, "gone");
    assert_eq!(house.posting(2).state, PostingState::Doubtful);
    let alert = &house.property.alerts()["posting_doubtful:2"];
    assert!(alert.active && alert.text.contains("P# 2") && alert.text.contains("room 101"));
    assert!(matches!(house.outcome("b"), Some(CommandOutcome::Doubtful { .. })));
    house.link(true, "alive").answer(2, "OK");
    assert!(!house.property.alerts()["posting_doubtful:2"].active);
    assert_eq!(house.outcome("b"), Some(CommandOutcome::Done));
    // No answer at all, and one that was certainly not sent.
    house.post("c").fact(Fact::PostingUnanswered { number: PostingNumber(3) });
    assert_eq!(house.posting(3).state, PostingState::Doubtful);
    house.fact(Fact::PostingNotSent { number: PostingNumber(3) });
    assert_eq!((house.posting(3).state, house.outcome("c")), (PostingState::InFlight, None));
    assert!(!house.property.alerts()["posting_doubtful:3"].active);
    house.answer(3, "OK").fact(Fact::PostingUnanswered { number: PostingNumber(3) });
    house.fact(Fact::PostingNotSent { number: PostingNumber(3) });
    assert_eq!(house.posting(3).state, PostingState::Posted);
    // The process ends in between.
    house.post("d").fact(Fact::Started { clean: false });
    assert_eq!(house.posting(4).state, PostingState::Doubtful);
}

#[test]
fn numbers_begin_anew_after_the_last_and_what_waits_is_bounded() {
    let meta = br#"{"business_date":null,"night_audit":false,"last_posting":99999998,"last_order":0,"owed":null,"resync_asked":null,"resyncs_cut":0}"#;
    let mut house = House::of(Property::restore(spec(), [("meta", "", meta.as_slice())]).unwrap());
    house.link(false, "x").post("a").post("b");
    assert_eq!(house.property.postings().keys().map(|number| number.0).collect::<Vec<_>>(), [1, 99_999_999]);
    // As many as may wait, from a store; one of them goes out when the link comes up, and is in doubt when it breaks.
    let one = house.property.save(&Entity::Posting(PostingNumber(1))).unwrap();
    let rows: Vec<_> = (1..=5000).map(|n: u32| n.to_string()).collect();
    let meta = String::from_utf8(meta.to_vec()).unwrap().replace("99999998", "5000");
    let rows = rows.iter().map(|number| ("posting", number.as_str(), one.as_slice()));
    let rows = rows.chain([("meta", "", meta.as_bytes())]);
    let mut house = House::of(Property::restore(spec(), rows).unwrap());
    house.link(false, "x").clear();
    house.fact(Fact::Started { clean: true }).post("last");
    assert_eq!(house.outcome("last"), None);
    house.post("more");
    assert!(matches!(house.outcome("more"), Some(CommandOutcome::Refused { .. })));
}

#[test]
fn a_links_health_is_news_when_it_changes_and_keeps_its_since() {
    let mut house = House::new();
    let since = house.property.links()[&PMS_LINK.into()].since;
    house.pass(1000).link(true, "alive").link(true, "resync");
    let health = house.property.links()[&PMS_LINK.into()].clone();
    assert_eq!((health.since, health.detail.as_str(), house.kinds()), (since, "resync", vec![]));
    house.link(false, "gone");
    assert_eq!((house.property.links()[&PMS_LINK.into()].since, house.kinds()), (house.now, vec!["link"]));
    house.fact(Fact::Link { link: "other".into(), up: true, detail: "x".into() });
    assert_eq!(house.asked_for_lists(), 0);
}

#[test]
fn reports_of_points_and_devices() {
    let mut house = House::new();
    let report = |point: &str, value: Value, quality| Fact::Reported {
        point: PointId::new("d", point),
        value: Some(value),
        quality,
        sampled: "2026-07-15T10:00:00Z".parse().unwrap(),
    };
    house.fact(report("leak", Value::Bool(true), Quality::Bad));
    assert!(house.property.alerts().is_empty(), "what a device calls invalid is no leak");
    house.fact(report("leak", Value::Bool(true), Quality::Good));
    let alert = house.property.alerts()["leak:room 101"].clone();
    assert_eq!((alert.active, alert.count, alert.first), (true, 1, house.now));
    house.clear().fact(report("leak", Value::Bool(true), Quality::Good));
    assert_eq!(house.kinds(), [""; 0], "the same again is no news");
    house.fact(report("leak", Value::Int(0), Quality::Good));
    assert!(!house.property.alerts()["leak:room 101"].active);
    house.pass(1000).fact(report("leak", Value::Int(1), Quality::Good));
    let alert = &house.property.alerts()["leak:room 101"];
    assert_eq!((alert.active, alert.count, alert.last), (true, 2, house.now));
    house.fact(report("window", Value::Bool(true), Quality::Good)).fact(report(
        "none",
        Value::Int(1),
        Quality::Good,
    ));
    assert_eq!((house.property.alerts().len(), house.counted("unknown-point")), (1, 1));
    // A heartbeat: the value as it was, at a later time, never an earlier one.
    let beat = |point: &str, at: &str| Fact::Confirmed {
        point: PointId::new("d", point),
        sampled: at.parse().unwrap(),
    };
    house.clear().fact(beat("window", "2026-07-15T10:05:00Z")).fact(beat("window", "2026-07-15T10:01:00Z"));
    assert_eq!(house.kinds(), ["reported", "reported"]);
    let at = house.property.point(&PointId::new("d", "window")).unwrap().at;
    assert_eq!(at, "2026-07-15T10:05:00Z".parse().unwrap());
    house.clear().fact(beat("none", "2026-07-15T10:05:00Z"));
    assert_eq!((house.counted("unknown-point"), house.kinds()), (2, vec![]));
    let health = |device: &str, state, reason: Option<&str>| Fact::Health {
        device: device.into(),
        state,
        reason: reason.map(str::to_owned),
    };
    house.fact(health("d", DeviceState::Unwell, Some("a"))).fact(health("d", DeviceState::Unwell, Some("a")));
    let since = house.now;
    house.pass(1000).fact(health("d", DeviceState::Unwell, Some("b"))).fact(health(
        "x",
        DeviceState::Well,
        None,
    ));
    assert_eq!((house.kinds().len(), house.counted("unknown-device")), (2, 1));
    let is = &house.property.devices()[&"d".into()];
    assert_eq!((is.state, is.reason.as_deref(), is.since), (DeviceState::Unwell, Some("b"), Some(since)));
    house.fact(health("d", DeviceState::Well, None));
    assert_eq!(house.property.devices()[&"d".into()].since, Some(house.now));
}

#[test]
fn what_was_stored_comes_back_as_it_was() {
    let mut house = House::new();
    house.post("a").answer(1, "OK").post("b").seen("2", "102").fact(Fact::NightAuditBegun);
    house.fact(Fact::WakeUpAsked {
        room: "101".into(),
        at: Some("2026-07-16T06:30:00".parse().unwrap()),
        time: Some("063000".into()),
    });
    house.fact(Fact::Noted { device: "d".into(), note: Some("n".into()) });
    house.flags("102", RoomFlags { do_not_disturb: Some(true), ..RoomFlags::default() });
    house.fact(Fact::Reported {
        point: PointId::new("d", "leak"),
        value: Some(Value::Bool(true)),
        quality: Quality::Good,
        sampled: house.now,
    });
    let rows = |property: &Property| -> Vec<(&'static str, String, Vec<u8>)> {
        let all = property.entities().into_iter();
        all.filter_map(|entity| Some((entity.kind(), entity.key(), property.save(&entity)?))).collect()
    };
    let stored = rows(&house.property);
    let kinds: std::collections::BTreeSet<_> = stored.iter().map(|(kind, ..)| *kind).collect();
    let expected =
        ["alert", "command", "device", "link", "meta", "note", "point", "posting", "room", "stay", "wake_up"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    let again = Property::restore(
        spec(),
        stored.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice())),
    );
    let again = again.unwrap();
    assert_eq!(rows(&again), stored);
    assert_eq!(again.next_wake(), house.property.next_wake());
    assert!(Property::restore(spec(), [("stay", "1", b"{".as_slice())]).is_err());
}
