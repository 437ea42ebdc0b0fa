//! A house with two PMS: what one says is nothing to the other's guests.

use crate::{
    Action, Change, Command, CommandSource, Currency, Date, Entity, Fact, GuestRecord, Intent, LinkId, Money,
    Observation, PMS_LINK, PostingNumber, PostingState, Presence, Property, PropertyId, PropertySpec,
    RoomFlags, RoomId, StayEnd, StayId, Timestamp,
};
use std::collections::BTreeMap;

const VILLAS: &str = "pms-villas";

struct House {
    property: Property,
    now: Timestamp,
    changes: Vec<Change>,
    intents: Vec<Intent>,
}

fn spec() -> PropertySpec {
    PropertySpec {
        id: PropertyId::from("resort"),
        zone: "Europe/Berlin".into(),
        ..crate::testing::house(["101", "102", "V12", "V13"])
    }
}

fn serve(property: &mut Property) {
    let villas = ["V12", "V13"].map(|room| (RoomId::from(room), LinkId::from(VILLAS)));
    property.serve(vec![LinkId::from(PMS_LINK), LinkId::from(VILLAS)], villas.into());
}

impl House {
    fn new() -> Self {
        let mut property = Property::new(spec());
        serve(&mut property);
        let now = "2026-07-15T10:00:00Z".parse().unwrap();
        Self { property, now, changes: vec![], intents: vec![] }
    }

    /// Both links up, both lists asked for and answered with nobody.
    fn open() -> Self {
        let mut house = Self::new();
        for link in [PMS_LINK, VILLAS] {
            house.up(link, true).at(link, Fact::ResyncBegun).at(link, Fact::ResyncDone);
        }
        house.changes.clear();
        house.intents.clear();
        house
    }

    fn fact(&mut self, fact: Fact) -> &mut Self {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents);
        self
    }

    /// A fact as the link tells it.
    fn at(&mut self, link: &str, fact: Fact) -> &mut Self {
        match link {
            PMS_LINK => self.fact(fact),
            link => self.fact(Fact::AtLink { link: link.into(), what: Box::new(fact) }),
        }
    }

    fn up(&mut self, link: &str, up: bool) -> &mut Self {
        self.fact(Fact::Link { link: link.into(), up, detail: "alive".into() })
    }

    fn seen(&mut self, stay: &str, room: &str) -> &mut Self {
        let link = self.property.pms_of(&room.into()).to_string();
        let seen = Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: true,
            guest: GuestRecord::default(),
            flags: RoomFlags::default(),
        };
        self.at(&link, seen)
    }

    fn post(&mut self, key: &str, room: &str) -> &mut Self {
        let amount = Money { minor: 500, currency: Currency::new("EUR").unwrap() };
        let action =
            Action::Post { room: room.into(), stay: None, amount, text: "Water".into(), outlet: None };
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        self.fact(Fact::Asked { command })
    }

    fn stays(&self) -> Vec<&str> {
        self.property.stays().keys().map(StayId::as_str).collect()
    }

    fn state(&self, number: u32) -> PostingState {
        self.property.postings()[&PostingNumber(number)].state
    }
}

#[test]
fn a_list_of_one_never_touches_the_others_guests() {
    let mut house = House::open();
    house.seen("1", "101").seen("2", "102").seen("villas:1", "V12");
    house.at(VILLAS, Fact::ResyncBegun).at(PMS_LINK, Fact::ResyncBegun).seen("1", "101");
    house.at(VILLAS, Fact::ResyncDone);
    assert_eq!(house.stays(), ["1", "2"], "the villas' list had nobody");
    house.at(PMS_LINK, Fact::ResyncDone);
    assert_eq!(house.stays(), ["1"]);
    let ended = |change: &&Change| matches!(change, Change::CheckedOut { .. });
    assert_eq!(
        house.changes.iter().filter(ended).collect::<Vec<_>>(),
        [
            &Change::CheckedOut {
                stay: "villas:1".into(),
                room: "V12".into(),
                reason: StayEnd::MissingInList
            },
            &Change::CheckedOut { stay: "2".into(), room: "102".into(), reason: StayEnd::MissingInList },
        ]
    );
}

#[test]
fn each_is_asked_for_its_own_list_and_has_a_limit_of_its_own() {
    let mut house = House::new();
    house.up(PMS_LINK, true);
    assert_eq!(house.intents, [Intent::RequestResync]);
    house.up(VILLAS, true);
    let villas = Intent::AtLink { link: VILLAS.into(), what: Box::new(Intent::RequestResync) };
    assert_eq!((house.intents.len(), house.intents.last()), (2, Some(&villas)));
    // One is cut and asked for again; the other's debt is none of its.
    house.at(VILLAS, Fact::ResyncBegun).at(PMS_LINK, Fact::ResyncBegun).at(PMS_LINK, Fact::ResyncDone);
    house.intents.clear();
    house.up(VILLAS, false).up(VILLAS, true);
    assert_eq!(house.intents, [villas]);
    let command =
        Command { key: "k".into(), source: CommandSource::Local, expires: None, action: Action::Resync };
    house.intents.clear();
    house.at(VILLAS, Fact::ResyncBegun).at(VILLAS, Fact::ResyncDone).fact(Fact::Asked { command });
    assert_eq!(house.intents.len(), 2, "staff ask all of them");
}

#[test]
fn charges_go_to_the_pms_of_their_room_and_wait_for_that_one_alone() {
    let mut house = House::open();
    house.at(VILLAS, Fact::NightAuditBegun).post("a", "V12").post("b", "101");
    assert_eq!((house.state(1), house.state(2)), (PostingState::Pending, PostingState::InFlight));
    assert!(house.property.night_audit());
    house.at(VILLAS, Fact::NightAuditDone { date: None, hour: None });
    assert_eq!(house.state(1), PostingState::InFlight, "both fly at once: each PMS has one");
    assert!(matches!(
        house.intents.last(),
        Some(Intent::AtLink { link, what }) if link.as_str() == VILLAS && matches!(**what, Intent::SendPosting { .. })
    ));
    house.up(VILLAS, false);
    assert_eq!((house.state(1), house.state(2)), (PostingState::Doubtful, PostingState::InFlight));
}

#[test]
fn the_business_date_is_the_first_ones() {
    let mut house = House::open();
    let date = |text: &str| text.parse::<Date>().unwrap();
    house.at(VILLAS, Fact::PmsDate { date: date("2026-07-14") });
    assert_eq!(house.property.business_date(), None);
    house.at(PMS_LINK, Fact::PmsDate { date: date("2026-07-15") });
    house.at(VILLAS, Fact::NightAuditBegun);
    house.at(VILLAS, Fact::NightAuditDone { date: Some(date("2026-07-16")), hour: Some(3) });
    assert_eq!(house.property.business_date(), Some(date("2026-07-15")));
    house.at(PMS_LINK, Fact::NightAuditDone { date: Some(date("2026-07-16")), hour: Some(3) });
    assert_eq!(house.property.business_date(), Some(date("2026-07-16")));
}

#[test]
fn what_is_kept_of_one_pms_is_as_it_always_was_and_the_others_come_back_too() {
    let old =
        br#"{"business_date":"2026-07-15","night_audit":true,"last_posting":7,"last_order":3,"owed":"cut",
        "resync_asked":"2026-07-15T09:00:00Z","resyncs_cut":2,"last_wake":0,"last_charge":0}"#;
    let property = Property::restore(spec(), [("meta", "", old.as_slice())]).unwrap();
    assert!(property.night_audit());
    let again: serde_json::Value = serde_json::from_slice(&property.save(&Entity::Meta).unwrap()).unwrap();
    assert_eq!(again, serde_json::from_slice::<serde_json::Value>(old).unwrap());

    let mut house = House::open();
    house.at(VILLAS, Fact::NightAuditBegun);
    let saved = house.property.save(&Entity::Meta).unwrap();
    let mut property = Property::restore(spec(), [("meta", "", saved.as_slice())]).unwrap();
    serve(&mut property);
    assert!(property.night_audit());
    assert_eq!(property.save(&Entity::Meta).unwrap(), saved);
}

/// xorshift64*: enough to mix days; the same seed plays the same again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % most
    }
}

/// A PMS as a map, and a link that loses records: the house agrees after each whole list, and the other PMS's guests
/// are what they were.
#[test]
fn after_every_list_the_house_agrees_with_that_pms_whatever_was_lost() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    let mut dice = Dice(seed);
    for day in 0..400 {
        let mut house = House::open();
        let mut truth: [BTreeMap<String, &str>; 2] = Default::default();
        let links = [(PMS_LINK, ["101", "102"], ""), (VILLAS, ["V12", "V13"], "villas:")];
        for step in 0..60 {
            let which = dice.below(2);
            let (link, rooms, prefix) = links[which];
            let stay = format!("{prefix}{}", dice.below(6));
            let lost = dice.below(4) == 0;
            match dice.below(8) {
                0..=3 => {
                    let room = rooms[dice.below(2)];
                    truth[which].insert(stay.clone(), room);
                    if !lost {
                        house.seen(&stay, room);
                    }
                }
                4..=5 => {
                    if let Some(room) = truth[which].remove(&stay)
                        && !lost
                    {
                        let gone = Fact::GuestGone {
                            room: room.into(),
                            stay: Some(stay.as_str().into()),
                            listed: false,
                        };
                        house.at(link, gone);
                    }
                }
                _ => {
                    let (other, _, _) = links[1 - which];
                    let of_other = |house: &House| -> Vec<(String, String)> {
                        let stays = house.property.stays().values();
                        let others = stays.filter(|stay| house.property.pms_of(&stay.room).as_str() == other);
                        others.map(|stay| (stay.id.to_string(), stay.room.to_string())).collect()
                    };
                    let before = of_other(&house);
                    let whole = dice.below(3) > 0;
                    house.at(link, Fact::ResyncBegun);
                    let turned_out = house.changes.len();
                    for (stay, room) in &truth[which] {
                        house.seen(stay, room);
                    }
                    for room in rooms.iter().filter(|room| !truth[which].values().any(|of| of == *room)) {
                        let vacant = Fact::GuestGone { room: (*room).into(), stay: None, listed: true };
                        house.at(link, vacant);
                    }
                    assert!(
                        !house.changes[turned_out..].iter().any(|c| matches!(c, Change::CheckedOut { .. })),
                        "seed {seed}, day {day}, step {step}: somebody was turned out within a list"
                    );
                    if whole {
                        house.at(link, Fact::ResyncDone);
                        let of_link =
                            |stay: &&crate::Stay| house.property.pms_of(&stay.room).as_str() == link;
                        let ours: BTreeMap<String, &str> = house
                            .property
                            .stays()
                            .values()
                            .filter(of_link)
                            .map(|stay| (stay.id.to_string(), stay.room.as_str()))
                            .collect();
                        assert_eq!(ours, truth[which], "seed {seed}, day {day}, step {step}");
                    } else {
                        house.up(link, false).up(link, true);
                    }
                    assert_eq!(of_other(&house), before, "seed {seed}, day {day}, step {step}");
                }
            }
        }
    }
}

fn wants_key(house: &mut House, link: &str, coder: &str, room: &str) {
    let request = crate::KeyRequest {
        kind: crate::KeyKind::New,
        coder: coder.into(),
        workstation: None,
        room: Some(room.into()),
        stay: None,
        from: None,
        arrival: None,
        departure: None,
        until: None,
        areas: None,
        suite: vec![],
    };
    house.at(link, Fact::Pms { said: crate::PmsFact::KeyAsked { request, served: true } });
}

fn answers_key(house: &mut House, key: &str, coder: &str) -> Option<crate::CommandOutcome> {
    let action = Action::AnswerKey {
        coder: coder.into(),
        workstation: None,
        status: "OK".into(),
        text: None,
        card: None,
        room: None,
    };
    let command = Command { key: key.into(), source: CommandSource::Mqtt, expires: None, action };
    house.fact(Fact::Asked { command });
    house.property.commands()[&key.into()].ended.clone().map(|(_, outcome)| outcome)
}

#[test]
fn encoders_of_two_pms_that_are_called_alike_are_two() {
    let mut house = House::open();
    wants_key(&mut house, PMS_LINK, "1", "101");
    wants_key(&mut house, VILLAS, "1", "V12");
    assert_eq!(house.intents, [], "neither is busy");
    assert_eq!(house.property.keys_wanted().count(), 2);
    let unclear = answers_key(&mut house, "a", "1");
    assert!(
        matches!(&unclear, Some(crate::CommandOutcome::Refused { reason }) if reason.contains("several PMS")),
        "{unclear:?}"
    );
    house.up(VILLAS, false);
    assert_eq!(answers_key(&mut house, "b", "1"), Some(crate::CommandOutcome::Done));
    assert!(
        matches!(house.intents.last(), Some(Intent::AnswerKey { answer }) if answer.room == Some("101".into()))
    );
}

#[test]
fn a_room_is_looked_up_at_its_own_pms() {
    let mut house = House::open();
    let find = |query: &str| Action::FindGuests {
        query: crate::Personal::new(query.to_owned()),
        outlet: None,
        most: None,
    };
    for (key, query) in [("a", "V12"), ("b", "101"), ("c", "Sato")] {
        let command =
            Command { key: key.into(), source: CommandSource::Local, expires: None, action: find(query) };
        house.fact(Fact::Asked { command });
    }
    let at = |intent: &Intent| match intent {
        Intent::AtLink { link, .. } => link.to_string(),
        _ => PMS_LINK.to_owned(),
    };
    assert_eq!(house.intents.iter().map(at).collect::<Vec<_>>(), [VILLAS, PMS_LINK, PMS_LINK]);
    // Each ends with the link that it was asked on.
    house.up(VILLAS, false);
    let ended = |house: &House, key: &str| house.property.commands()[&key.into()].ended.is_some();
    assert_eq!(["a", "b", "c"].map(|key| ended(&house, key)), [true, false, false]);
}

/// Twelve guests in two rooms, and a list of the first PMS that names only `listed` of them.
fn twelve(house: &mut House, listed: &[&str]) {
    house.at(PMS_LINK, Fact::ResyncBegun);
    for stay in listed {
        house.seen(stay, "101");
    }
    house.at(PMS_LINK, Fact::ResyncDone);
}

#[test]
fn a_list_that_would_empty_the_house_turns_nobody_out_until_staff_say_so() {
    let names: Vec<String> = (1..=12).map(|n| n.to_string()).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let doubt = |house: &House| {
        let alert = house.property.alerts().get("list_doubted:pms");
        alert.filter(|alert| alert.active).map(|alert| alert.text.clone())
    };
    let mut house = House::open();
    twelve(&mut house, &all);
    house.seen("villas:1", "V12");
    // As many as half may leave in one list.
    twelve(&mut house, &all[..6]);
    assert_eq!((house.stays().len(), doubt(&house)), (7, None));
    twelve(&mut house, &all);

    for listed in [&all[..0], &all[..5], &all[..5]] {
        house.changes.clear();
        twelve(&mut house, listed);
        assert_eq!(house.stays().len(), 13, "nobody is turned out, also the second time");
        assert!(doubt(&house).is_some_and(|text| text.contains("--accept pms")), "{:?}", doubt(&house));
        assert!(
            house
                .changes
                .iter()
                .any(|change| matches!(change, Change::Resync { phase, .. } if phase == "doubted"))
        );
    }
    // Records of single guests go on meanwhile, and a list that says less is acted upon.
    let gone = Fact::GuestGone { room: "101".into(), stay: Some("12".into()), listed: false };
    house.at(PMS_LINK, gone);
    twelve(&mut house, &all[..10]);
    assert_eq!((house.stays().len(), doubt(&house)), (11, None), "the doubt is over");

    // Staff's word is for the list that is asked for now, of that PMS, over a restart, and for a while only.
    let accept = |house: &mut House, key: &str, link: &str| {
        let action = Action::AskList { link: Some(link.into()), accept: true };
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        house.fact(Fact::Asked { command });
        house.property.commands()[&key.into()].ended.clone().map(|(_, outcome)| outcome)
    };
    house.intents.clear();
    let none = accept(&mut house, "x", "pms-nobody");
    assert!(matches!(none, Some(crate::CommandOutcome::Refused { reason }) if reason.contains("pms-villas")));
    accept(&mut house, "a", VILLAS);
    twelve(&mut house, &all[..1]);
    assert_eq!(house.stays().len(), 11, "the other PMS's list was accepted");
    accept(&mut house, "b", PMS_LINK);
    assert!(house.intents.contains(&Intent::RequestResync), "a new list is asked for: the old one is old");
    house.now = house.now.checked_add(jiff::SignedDuration::from_mins(31)).unwrap();
    twelve(&mut house, &all[..1]);
    assert_eq!(house.stays().len(), 11, "too late");
    accept(&mut house, "c", PMS_LINK);
    house.property = {
        let rows: Vec<_> = house
            .property
            .entities()
            .into_iter()
            .map(|entity| (entity.kind(), entity.key(), house.property.save(&entity).unwrap()))
            .collect();
        let rows = rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice()));
        Property::restore(spec(), rows).unwrap()
    };
    serve(&mut house.property);
    twelve(&mut house, &all[..1]);
    assert_eq!((house.stays(), doubt(&house)), (vec!["1", "villas:1"], None));

    // A house may believe every list.
    let mut house = House::open();
    house.property.guard_lists(crate::ListGuard { percent: 100, ..crate::ListGuard::default() });
    twelve(&mut house, &all);
    twelve(&mut house, &[]);
    assert_eq!(house.stays(), Vec::<&str>::new());
}
