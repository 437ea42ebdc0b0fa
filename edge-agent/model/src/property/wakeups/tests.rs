//! Wake-up calls as a table of days and nights, and what must have rung.

use super::*;
use crate::{
    Command, CommandSource, Fact, GuestRecord, Observation, PMS_LINK, Presence, PropertySpec, RoomFlags,
};

struct House {
    property: Property,
    spec: PropertySpec,
    wake: WakeSpec,
    now: Timestamp,
    changes: Vec<Change>,
    intents: Vec<(Timestamp, Intent)>,
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn local(text: &str) -> DateTime {
    text.parse().unwrap()
}

impl House {
    fn new(zone: &str, now: &str) -> Self {
        let spec = PropertySpec { zone: zone.into(), ..crate::testing::house(["101", "102", "103"]) };
        // Only two rooms have something that rings.
        let wake = WakeSpec {
            rooms: WakeRooms::These(["101", "102"].map(RoomId::from).into()),
            ..WakeSpec::default()
        };
        let mut house = Self {
            property: Property::new(spec.clone()),
            spec,
            wake,
            now: instant(now),
            changes: vec![],
            intents: vec![],
        };
        house.property.ring_with(house.wake.clone());
        house.link(true);
        for (stay, room) in [("1", "101"), ("2", "102"), ("3", "103")] {
            house.seen(stay, room);
        }
        house.changes.clear();
        house.intents.clear();
        house
    }

    fn link(&mut self, up: bool) -> &mut Self {
        self.fact(Fact::Link { link: PMS_LINK.into(), up, detail: "alive".into() })
    }

    fn fact(&mut self, fact: Fact) -> &mut Self {
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents.into_iter().map(|intent| (self.now, intent)));
        self
    }

    fn seen(&mut self, stay: &str, room: &str) -> &mut Self {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord { language: Some("ja".to_owned()), ..GuestRecord::default() },
            flags: RoomFlags::default(),
        })
    }

    fn gone(&mut self, stay: &str, room: &str) -> &mut Self {
        self.fact(Fact::GuestGone { room: room.into(), stay: Some(stay.into()), listed: false })
    }

    /// WR
    fn wr(&mut self, room: &str, at: &str) -> &mut Self {
        let at = local(at);
        let time = at.strftime("%H%M%S").to_string();
        self.fact(Fact::WakeUpAsked { room: room.into(), at: Some(at), time: Some(time) })
    }

    /// WC
    fn wc(&mut self, room: &str, at: Option<&str>) -> &mut Self {
        self.fact(Fact::WakeUpCleared { room: room.into(), at: at.map(local) })
    }

    fn ask(&mut self, key: &str, action: Action) -> Option<crate::CommandOutcome> {
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        self.fact(Fact::Asked { command });
        self.property.commands()[&key.into()].ended.clone().map(|(_, outcome)| outcome)
    }

    fn answered(&mut self, key: &str, room: &str) -> Option<crate::CommandOutcome> {
        self.ask(key, Action::WakeAnswered { room: room.into(), id: None })
    }

    /// Time passes, as the agent lets it: from one wake of the property to the next.
    fn until(&mut self, until: &str) -> &mut Self {
        let until = instant(until);
        while let Some(wake) = self.property.next_wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.fact(Fact::Tick);
        }
        self.now = until;
        self.fact(Fact::Tick)
    }

    /// The process ends and starts again from what was stored.
    fn kill(&mut self) -> &mut Self {
        let rows: Vec<_> = self
            .property
            .entities()
            .into_iter()
            .filter_map(|entity| Some((entity.kind(), entity.key(), self.property.save(&entity)?)))
            .collect();
        let rows = rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice()));
        self.property = Property::restore(self.spec.clone(), rows).unwrap();
        self.property.ring_with(self.wake.clone());
        self.fact(Fact::Started { clean: false })
    }

    /// When which room rang, and which ring it was.
    fn rang(&self) -> Vec<(String, &str, u8)> {
        let rings = self.intents.iter().filter_map(|(at, intent)| match intent {
            Intent::Wake { room, ring, .. } => Some((at.to_string(), room.as_str(), *ring)),
            _ => None,
        });
        rings.collect()
    }

    /// What the PMS was told: room, time as it wrote it, word.
    fn told(&self) -> Vec<(&str, Option<&str>, WakeWord)> {
        let told = self.intents.iter().filter_map(|(_, intent)| match intent {
            Intent::TellWakeUp { room, time, word, .. } => Some((room.as_str(), time.as_deref(), *word)),
            _ => None,
        });
        told.collect()
    }

    fn states(&self) -> Vec<WakeState> {
        let states = self.changes.iter().filter_map(|change| match change {
            Change::WakeUp { state, .. } => Some(*state),
            _ => None,
        });
        states.collect()
    }

    fn alert(&self, room: &str) -> Option<&str> {
        let of = |source: String| self.property.alerts().get(&source).filter(|alert| alert.active);
        let alert = of(format!("wake_up:room {room}"))
            .or_else(|| of(format!("wake_up:room {room}, as asked for")))?;
        Some(alert.text.as_str())
    }
}

const TOLD: fn(WakeId, WakeWord) -> Fact = |id, word| Fact::WakeUpTold { id, word };

#[test]
fn calls_ring_by_the_wall_across_both_changes_of_the_clocks() {
    // Zone, the time on the wall, the instant that it means. Each zone with its two changes of 2026, where it has any:
    // an hour in Berlin and New York, half an hour on Lord Howe Island.
    let nights = [
        // 29 March: 02:00 CET becomes 03:00 CEST.
        ("Europe/Berlin", "2026-03-28T06:30:00", "2026-03-28T05:30:00Z"),
        ("Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
        ("Europe/Berlin", "2026-03-29T02:00:00", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29T02:59:59", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29T06:30:00", "2026-03-29T04:30:00Z"),
        // 25 October: 03:00 CEST becomes 02:00 CET.
        ("Europe/Berlin", "2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
        ("Europe/Berlin", "2026-10-25T02:00:00", "2026-10-25T00:00:00Z"),
        ("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
        ("Europe/Berlin", "2026-10-25T06:30:00", "2026-10-25T05:30:00Z"),
        // 8 March: 02:00 EST becomes 03:00 EDT.
        ("America/New_York", "2026-03-08T01:30:00", "2026-03-08T06:30:00Z"),
        ("America/New_York", "2026-03-08T02:15:00", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-03-08T03:15:00", "2026-03-08T07:15:00Z"),
        ("America/New_York", "2026-03-08T06:30:00", "2026-03-08T10:30:00Z"),
        // 1 November: 02:00 EDT becomes 01:00 EST.
        ("America/New_York", "2026-11-01T01:15:00", "2026-11-01T05:15:00Z"),
        ("America/New_York", "2026-11-01T02:00:00", "2026-11-01T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:30:00", "2026-11-01T11:30:00Z"),
        // 5 April: 02:00 +11:00 becomes 01:30 +10:30.
        ("Australia/Lord_Howe", "2026-04-05T01:29:00", "2026-04-04T14:29:00Z"),
        ("Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45:00Z"),
        ("Australia/Lord_Howe", "2026-04-05T02:00:00", "2026-04-04T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05T06:30:00", "2026-04-04T20:00:00Z"),
        // 4 October: 02:00 +10:30 becomes 02:30 +11:00.
        ("Australia/Lord_Howe", "2026-10-04T01:59:00", "2026-10-03T15:29:00Z"),
        ("Australia/Lord_Howe", "2026-10-04T02:10:00", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-10-04T02:30:00", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-10-04T06:30:00", "2026-10-03T19:30:00Z"),
        // No changes.
        ("Asia/Tokyo", "2026-03-29T02:30:00", "2026-03-28T17:30:00Z"),
        ("Asia/Tokyo", "2026-10-25T02:30:00", "2026-10-24T17:30:00Z"),
    ];
    for (zone, wall, due) in nights {
        let due = instant(due);
        let evening = due.checked_sub(SignedDuration::from_hours(10)).unwrap();
        let mut house = House::new(zone, &evening.to_string());
        house.wr("101", wall);
        let just_before = due.checked_sub(SignedDuration::from_millis(1)).unwrap();
        house.until(&just_before.to_string());
        assert_eq!(house.rang(), [], "{zone} {wall}: too early");
        assert_eq!(house.property.next_wake(), Some(due), "{zone} {wall}");
        house.until(&due.to_string());
        assert_eq!(house.rang(), [(due.to_string(), "101", 1)], "{zone} {wall}");
        // Once, also where the same time on the wall comes again an hour later.
        house.answered("k", "101");
        let later = due.checked_add(SignedDuration::from_hours(3)).unwrap();
        house.until(&later.to_string());
        assert_eq!(house.rang().len(), 1, "{zone} {wall}");
        let time = local(wall).strftime("%H%M%S").to_string();
        assert_eq!(house.told(), [("101", Some(time.as_str()), WakeWord::Answered)]);
    }
}

#[test]
fn a_call_rings_three_times_then_staff_go_and_the_pms_hears_it_once() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("101", "2026-07-16T06:30:00").wr("101", "2026-07-16T06:30:00");
    house.until("2026-07-16T04:44:59Z");
    let at = |minute: u8, ring| (format!("2026-07-16T04:{minute}:00Z"), "101", ring);
    assert_eq!(house.rang(), [at(30, 1), at(35, 2), at(40, 3)]);
    assert_eq!((house.told(), house.alert("101")), (vec![], None));
    house.until("2026-07-16T06:00:00Z");
    assert!(house.alert("101").unwrap().contains("06:30 was not answered"));
    assert_eq!(house.told(), [("101", Some("063000"), WakeWord::Unanswered)]);
    assert_eq!(house.states().last(), Some(&WakeState::Unanswered));
    assert!(matches!(house.intents.last(), Some((_, Intent::TellWakeUp { .. }))));
    assert!(house.intents.iter().any(|(_, intent)| matches!(intent, Intent::EndWake { .. })));
    // A repeated record is no new call; staff's word ends the alert.
    house.wr("101", "2026-07-16T06:30:00").until("2026-07-16T07:00:00Z");
    assert_eq!(house.rang().len(), 3);
    assert_eq!(house.answered("k", "101"), Some(crate::CommandOutcome::Done));
    assert_eq!(house.alert("101"), None);
    assert!(matches!(house.answered("k2", "101"), Some(crate::CommandOutcome::Refused { .. })));
}

#[test]
fn the_answer_names_the_guests_language_and_stops_the_bell() {
    let mut house = House::new("Asia/Tokyo", "2026-07-15T20:00:00Z");
    house.wr("102", "2026-07-16T06:30:15").until("2026-07-15T21:30:15Z");
    let Some((_, Intent::Wake { language, at, ring: 1, .. })) = house.intents.first() else {
        panic!("{:?}", house.intents)
    };
    assert_eq!((language.as_deref(), *at), (Some("ja"), local("2026-07-16T06:30:15")));
    assert!(house.property.ringing(&"102".into()).is_some());
    house.answered("k", "102");
    assert!(house.property.ringing(&"102".into()).is_none());
    house.until("2026-07-15T23:00:00Z");
    assert_eq!(house.rang().len(), 1);
    assert_eq!(house.told(), [("102", Some("063015"), WakeWord::Answered)]);
    assert_eq!(house.states(), [WakeState::Waiting, WakeState::Ringing, WakeState::Answered]);
}

#[test]
fn a_room_without_a_bell_is_staffs_business_at_the_minute() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("103", "2026-07-16T06:30:00").until("2026-07-16T04:29:59Z");
    assert_eq!(house.alert("103"), None);
    house.until("2026-07-16T04:30:00Z");
    assert!(house.alert("103").unwrap().contains("wake by hand"));
    assert_eq!(house.rang(), []);
    house.answered("k", "103");
    assert_eq!((house.alert("103"), house.told().len()), (None, 1));
    // Nobody went.
    house.wr("103", "2026-07-16T08:00:00").until("2026-07-16T06:16:00Z");
    assert!(house.alert("103").unwrap().contains("not answered"));
    assert_eq!(house.told().last().unwrap().2, WakeWord::Unanswered);
}

#[test]
fn what_can_not_be_kept_stays_an_alert_whatever_rings_meanwhile() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.fact(Fact::WakeUpAsked { room: "101".into(), at: None, time: None });
    // Another call of the room neither takes its words nor ends it.
    house.wr("101", "2026-07-15T22:05:00").until("2026-07-15T20:05:30Z");
    house.fact(Fact::WakeUpCleared { room: "101".into(), at: Some("2026-07-15T22:05:00".parse().unwrap()) });
    assert!(house.alert("101").unwrap().contains("ask at the desk"));
    house.fact(Fact::WakeUpCleared { room: "101".into(), at: None });
    assert_eq!(house.alert("101"), None);
}

#[test]
fn what_can_not_be_kept_is_an_alert() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.fact(Fact::WakeUpAsked { room: "101".into(), at: None, time: None });
    assert!(house.alert("101").unwrap().contains("ask at the desk"));
    house.wr("999", "2026-07-16T06:30:00");
    assert_eq!((house.alert("999"), house.property.counters()["unknown-room"]), (None, 1), "not ours");
    assert_eq!(house.property.counters()["wake-up-without-time"], 1);
    // The PMS's queue brings a call too late: within the grace it rings, after it staff ask.
    house.wr("102", "2026-07-15T21:50:00");
    assert_eq!(house.rang().len(), 1);
    house.wr("102", "2026-07-15T21:44:00");
    assert!(house.alert("102").unwrap().contains("could not be rung in time"));
    assert_eq!(house.told(), [("102", Some("214400"), WakeWord::Missed)]);
    // Not more than a room can mean.
    for minute in 0..MOST_IN_ROOM {
        house.wr("101", &format!("2026-07-17T06:{minute:02}:00"));
    }
    house.wr("101", "2026-07-18T06:30:00");
    assert!(house.alert("101").unwrap().contains("can't be kept: 32 calls"));
    assert_eq!(house.property.wakes.open_in(&"101".into()), MOST_IN_ROOM);
}

#[test]
fn a_call_goes_with_its_guest() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("101", "2026-07-16T06:30:00").seen("1", "102");
    // Two live in 102 now; what is asked there is the room's, until it is empty.
    house.wr("102", "2026-07-16T07:00:00").seen("2", "103");
    house.until("2026-07-16T04:30:00Z");
    assert_eq!(house.rang(), [("2026-07-16T04:30:00Z".to_owned(), "102", 1)]);
    // It rings on in the new room.
    house.seen("1", "101");
    let ends = house.intents.iter().filter(|(_, intent)| matches!(intent, Intent::EndWake { .. })).count();
    assert_eq!((ends, house.rang().last().map(|ring| ring.1)), (1, Some("101")));
    let open: Vec<_> = house.property.wake_ups().filter(|call| call.state.is_open()).collect();
    assert_eq!(open.iter().map(|call| call.room.as_str()).collect::<Vec<_>>(), ["101", "101"]);
    house.seen("1", "103");
    assert!(house.alert("103").unwrap().contains("wake by hand"), "the new room has no bell");
    // Leaving ends them all.
    house.gone("1", "103").until("2026-07-16T09:00:00Z");
    assert_eq!(house.states().iter().filter(|state| **state == WakeState::GuestLeft).count(), 2);
    assert_eq!(house.rang().len(), 2);
}

#[test]
fn out_and_in_again_is_a_move_and_a_day_later_it_is_not() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.gone("2", "102");
    house.wr("101", "2026-07-16T06:30:00").gone("1", "101").until("2026-07-15T20:05:00Z").seen("1", "102");
    house.until("2026-07-16T04:30:00Z");
    assert_eq!(house.rang(), [("2026-07-16T04:30:00Z".to_owned(), "102", 1)]);
    house.answered("k", "102");
    house.wr("102", "2026-07-17T06:30:00").gone("1", "102").until("2026-07-16T05:00:00Z").seen("1", "102");
    house.until("2026-07-17T07:00:00Z");
    assert_eq!(house.rang().len(), 1);
}

#[test]
fn the_pms_takes_back_one_call_or_all_of_a_room_and_hears_no_echo() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("101", "2026-07-16T06:30:00").wr("101", "2026-07-16T07:30:00").wr("101", "2026-07-16T08:30:00");
    house.wr("102", "2026-07-16T06:30:00").wc("101", Some("2026-07-16T06:30:00"));
    house.until("2026-07-16T05:30:00Z");
    assert_eq!(house.rang().iter().map(|ring| ring.1).collect::<Vec<_>>(), ["102", "102", "102", "101"]);
    // One that rings, too.
    house.wc("101", None).until("2026-07-16T08:00:00Z");
    assert_eq!(house.rang().len(), 4);
    assert_eq!(house.told().len(), 1, "only room 102's: {:?}", house.told());
    // And asks for it again.
    house.wr("101", "2026-07-16T11:30:00").wc("101", None).wr("101", "2026-07-16T11:30:00");
    house.until("2026-07-16T09:30:00Z");
    assert_eq!(house.rang().len(), 5);
    house.wc("103", None);
    assert_eq!(house.property.counters()["wake-up-cleared-unknown"], 1);
}

#[test]
fn staffs_own_calls_are_told_to_the_pms_when_it_can_hear() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    let at = local("2026-07-16T06:30:00");
    let ask = |room: &str, stay: Option<&str>| Action::WakeUp {
        room: room.into(),
        at,
        stay: stay.map(StayId::from),
    };
    house.link(false);
    assert_eq!(house.ask("a", ask("101", Some("1"))), Some(crate::CommandOutcome::Done));
    assert_eq!(house.told(), []);
    house.link(true);
    assert_eq!(house.told(), [("101", None, WakeWord::Asked)]);
    // Told again until the link has said that it went out.
    house.link(false).link(true);
    house.fact(TOLD(WakeId(1), WakeWord::Asked)).link(false).link(true);
    assert_eq!(house.told().len(), 2);
    let cancel = |room: &str, at| Action::CancelWakeUp { room: room.into(), at };
    assert_eq!(house.ask("b", cancel("101", Some(at))), Some(crate::CommandOutcome::Done));
    assert_eq!(house.told().last(), Some(&("101", None, WakeWord::Cleared)));
    // What it never heard of it needn't be told about.
    house.fact(TOLD(WakeId(1), WakeWord::Cleared)).link(false);
    house.ask("c", ask("102", None));
    house.ask("d", cancel("102", None));
    let before = house.told().len();
    house.link(true);
    assert_eq!(house.told().len(), before);
    for (key, wrong) in [
        ("e", ask("101", Some("2"))),
        ("f", ask("999", None)),
        ("g", Action::WakeUp { room: "101".into(), at: local("2026-07-15T06:30:00"), stay: None }),
        ("h", cancel("103", None)),
    ] {
        assert!(matches!(house.ask(key, wrong), Some(crate::CommandOutcome::Refused { .. })), "{key}");
    }
}

#[test]
fn a_word_waits_for_the_end_of_a_list() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("101", "2026-07-16T06:30:00").until("2026-07-16T04:30:00Z").fact(Fact::ResyncBegun);
    house.answered("k", "101");
    assert_eq!(house.told(), []);
    for (stay, room) in [("1", "101"), ("2", "102"), ("3", "103")] {
        house.seen(stay, room);
    }
    house.fact(Fact::ResyncDone);
    assert_eq!(house.told(), [("101", Some("063000"), WakeWord::Answered)]);
}

#[test]
fn a_kill_at_any_moment_loses_no_call_and_rings_none_twice() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("101", "2026-07-16T06:30:00").kill();
    house.until("2026-07-16T04:32:00Z");
    assert_eq!(house.rang().len(), 1);
    // While it rings: the device is told again, the count goes on.
    house.kill();
    assert_eq!(house.rang().last(), Some(&("2026-07-16T04:32:00Z".to_owned(), "101", 1)));
    house.until("2026-07-16T04:45:00Z");
    assert_eq!(house.rang().iter().map(|ring| ring.2).collect::<Vec<_>>(), [1, 1, 2, 3]);
    // Its end is told after a kill as well, and once only.
    assert_eq!(house.told(), [], "the link is down since the kill");
    house.kill().link(true);
    house.fact(TOLD(WakeId(1), WakeWord::Unanswered)).kill().link(true);
    assert_eq!(house.told(), [("101", Some("063000"), WakeWord::Unanswered)]);
    // The gateway slept through one, by minutes and by hours.
    house.wr("102", "2026-07-16T08:00:00").wr("102", "2026-07-16T09:00:00");
    house.now = instant("2026-07-16T06:10:00Z");
    house.kill();
    assert_eq!(house.rang().last(), Some(&("2026-07-16T06:10:00Z".to_owned(), "102", 1)));
    house.answered("k", "102");
    house.now = instant("2026-07-16T09:10:00Z");
    house.kill();
    assert!(house.alert("102").unwrap().contains("09:00 could not be rung in time"));
}

#[test]
fn ended_calls_are_forgotten_after_a_day() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    house.wr("101", "2026-07-16T06:30:00").until("2026-07-16T04:30:00Z");
    house.answered("k", "101");
    house.kill().until("2026-07-17T04:29:59Z");
    assert_eq!(house.property.wake_ups().count(), 1);
    house.until("2026-07-17T04:30:01Z");
    assert_eq!(house.property.wake_ups().count(), 0);
    assert_eq!(house.property.counters()["wake-up-untold"], 1, "the PMS was away all day");
}

#[test]
fn the_business_date_turns_at_night_audit_and_a_call_stays_on_the_wall() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T16:00:00Z");
    house.fact(Fact::PmsDate { date: "2026-07-15".parse().unwrap() });
    house.wr("101", "2026-07-16T01:30:00").wr("102", "2026-07-16T06:30:00");
    // Midnight is past, the day of business is not.
    house.until("2026-07-15T23:30:00Z");
    assert_eq!(house.property.business_date(), Some("2026-07-15".parse().unwrap()));
    assert_eq!(house.rang(), [("2026-07-15T23:30:00Z".to_owned(), "101", 1)]);
    house.answered("k", "101");
    house.until("2026-07-16T01:00:00Z").fact(Fact::NightAuditBegun);
    house.wr("101", "2026-07-16T03:15:00").until("2026-07-16T01:15:00Z");
    assert_eq!(house.rang().len(), 2, "a call rings while the audit runs");
    house.answered("k2", "101");
    house.until("2026-07-16T01:20:00Z");
    house.fact(Fact::NightAuditDone { date: Some("2026-07-16".parse().unwrap()), hour: Some(3) });
    assert_eq!(house.property.business_date(), Some("2026-07-16".parse().unwrap()));
    house.until("2026-07-16T04:30:00Z");
    assert_eq!(house.rang().last(), Some(&("2026-07-16T04:30:00Z".to_owned(), "102", 1)));
    // An audit across the change of the clocks turns the date once, and the call of that night rings as the wall has it.
    let mut house = House::new("Europe/Berlin", "2026-10-24T20:00:00Z");
    house.fact(Fact::PmsDate { date: "2026-10-24".parse().unwrap() });
    house.wr("101", "2026-10-25T02:30:00").until("2026-10-25T00:10:00Z").fact(Fact::NightAuditBegun);
    house.until("2026-10-25T01:40:00Z");
    house.fact(Fact::NightAuditDone { date: Some("2026-10-25".parse().unwrap()), hour: Some(2) });
    assert_eq!(house.rang()[0].0, "2026-10-25T00:30:00Z");
    let turns = house.changes.iter().filter(|change| change.kind() == "business_date").count();
    assert_eq!((turns, house.property.business_date()), (2, Some("2026-10-25".parse().unwrap())));
}

#[test]
fn a_call_that_ended_before_the_pms_heard_of_it_is_never_told() {
    let mut house = House::new("Europe/Berlin", "2026-07-15T20:00:00Z");
    let ask = Action::WakeUp { room: "101".into(), at: local("2026-07-16T06:30:00"), stay: Some("1".into()) };
    house.link(false);
    house.ask("a", ask.clone());
    house.gone("1", "101").link(true);
    assert_eq!((house.states().last(), house.told()), (Some(&WakeState::GuestLeft), vec![]));
    // The guest was not gone at all: the call goes on, and the PMS hears of it.
    house.seen("1", "101");
    assert_eq!(house.states().last(), Some(&WakeState::Waiting));
    assert_eq!(house.told(), [("101", None, WakeWord::Asked)]);
}

#[test]
fn fifty_thousand_are_remembered_and_one_that_has_ended_makes_room() {
    let mut house = House::new("UTC", "2026-07-15T10:00:00Z");
    house.wr("101", "2026-07-15T12:00:00");
    let sample = house.property.wakes.get(WakeId(1)).unwrap().clone();
    let due = house.property.wakes.next().unwrap();
    let count = u64::try_from(MOST).unwrap();
    for n in 2..count {
        let state = if n == 7 { WakeState::Answered } else { WakeState::Waiting };
        let call = WakeCall { id: WakeId(n), room: RoomId::new(format!("r{n}")), state, ..sample.clone() };
        house.property.wakes.enter(call, due);
    }
    house.property.meta.last_wake = count - 1;
    let there = |house: &House, id: u64| house.property.wakes.get(WakeId(id)).is_some();
    house.wr("102", "2026-07-15T12:00:00");
    assert_eq!((there(&house, count), there(&house, 7), house.property.wakes.len()), (true, true, MOST));
    house.wr("102", "2026-07-15T12:01:00");
    assert_eq!((there(&house, count + 1), there(&house, 7), house.property.wakes.len()), (true, false, MOST));
    assert_eq!(house.alert("102"), None);
    house.wr("102", "2026-07-15T12:02:00");
    assert_eq!((there(&house, count + 2), house.property.wakes.len()), (false, MOST));
    assert!(house.alert("102").is_some(), "all of them wait");
}
