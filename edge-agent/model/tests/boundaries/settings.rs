//! Settings at work in the house: what each of them changes, who may set it, and what is told to the cloud.

use crate::house::{House, restored};
use engawa_model::settings::*;
use engawa_model::*;
use serde_json::json;

fn number(number: f64) -> Option<SettingValue> {
    Some(SettingValue::Number(number))
}

fn text(text: &str) -> Option<SettingValue> {
    Some(SettingValue::Text(text.into()))
}

fn on(on: bool) -> Option<SettingValue> {
    Some(SettingValue::Switch(on))
}

impl House {
    fn setting(&mut self, name: &str, value: Option<SettingValue>) -> &mut Self {
        let key = format!("set-{}-{}", name, self.property.commands().len());
        self.ask(&key, Action::SetSetting { name: name.into(), value, by: Some("ann".into()) });
        assert!(self.done(&key), "{name}: {:?}", self.end(&key));
        self
    }

    /// The cloud has written a setting, knowing of `own`.
    fn cloud_sets(&mut self, name: &str, own: &Register, value: Option<SettingValue>) -> Register {
        let mut clock = Clock::default();
        let field = field(name).unwrap();
        let document = write(field, Node::Cloud, own, value, "fleet", &mut clock, self.now).unwrap();
        let key = format!("merge-{}-{}", name, self.property.commands().len());
        let action = Action::MergeSetting { name: name.into(), document: Box::new(document.clone()) };
        self.ask_as(CommandSource::Cloud, &key, action);
        assert!(self.done(&key), "{name}: {:?}", self.end(&key));
        document
    }
}

fn setpoints(house: &mut House) -> Vec<(String, f64)> {
    let writes = house.writes().into_iter();
    writes.filter_map(|(point, value)| Some((point, value.as_f64()?))).collect()
}

#[test]
fn a_new_eco_goes_to_the_vacant_rooms_at_once_and_a_new_comfort_to_the_others() {
    let mut house = House::new();
    house.comes("1", "101").obey();
    house.setting("climate.eco-heating-c", number(18.0));
    let wrote = [("d-102/setpoint", 18.0), ("e-102/setpoint", 18.0), ("d-103/setpoint", 18.0)];
    assert_eq!(setpoints(&mut house), wrote.map(|(point, value)| (point.to_owned(), value)));
    house.obey().setting("climate.comfort-c", number(21.0));
    assert_eq!(setpoints(&mut house), [("d-101/setpoint".to_owned(), 21.0)]);
    // What the guest has chosen stands.
    house.obey().pass(1).set("101", "setpoint", 24.0).clear().setting("climate.comfort-c", number(20.0));
    assert_eq!(setpoints(&mut house), []);
    house.setting("climate.comfort-c", None).setting("climate.season", text("cooling"));
    assert_eq!(
        (house.property.climate().comfort_c, house.property.climate().season),
        (22.0, Season::Cooling)
    );
    assert!(setpoints(&mut house).iter().all(|(_, celsius)| *celsius == 27.0));
}

#[test]
fn a_configuration_that_is_read_again_lies_under_the_settings_and_takes_effect() {
    let mut house = House::new();
    house.comes("1", "101").obey().clear();
    let climate = ClimateDefaults { comfort_c: 21.0, ..house.property.spec().climate.clone() };
    let days = || [("privacy.retention-days", SettingValue::Number(30.0))];
    house.property.retune(climate.clone(), 3600, 600, days());
    house.fact(Fact::Tick);
    assert_eq!(setpoints(&mut house), [("d-101/setpoint".to_owned(), 21.0)]);
    assert_eq!(house.property.retention_days(), Some(30));
    // Somebody's setting is on top; what is no longer in the file is as without it.
    house.obey().setting("climate.comfort-c", number(20.0)).obey().clear();
    house.property.retune(ClimateDefaults { comfort_c: 23.0, ..climate }, 3600, 600, []);
    house.fact(Fact::Tick);
    assert_eq!((setpoints(&mut house), house.property.retention_days()), (vec![], None));
    house.setting("climate.comfort-c", None);
    assert_eq!(setpoints(&mut house), [("d-101/setpoint".to_owned(), 23.0)]);
}

#[test]
fn eco_never_costs_more_than_comfort() {
    let mut house = House::new();
    house.setting("climate.comfort-c", number(16.0));
    assert_eq!(house.property.climate().eco_heating_c, 16.0);
    house.setting("climate.comfort-c", number(28.0));
    assert_eq!(
        (house.property.climate().eco_heating_c, house.property.climate().eco_cooling_c),
        (17.0, 28.0)
    );
}

#[test]
fn a_limit_cuts_what_the_house_wants_and_refuses_what_others_want() {
    let mut house = House::new();
    house.setting("climate.highest-c", number(21.0)).clear().comes("1", "101");
    assert_eq!(setpoints(&mut house), [("d-101/setpoint".to_owned(), 21.0)], "comfort is 22");
    house.ask_point("much", "d-101/setpoint", 21.5);
    house.refused("much", "climate.highest-c lets no room be set higher than 21 °C");
    house.ask_point("fan", "d-101/fan", 30.0);
    assert_eq!(house.end("fan"), None, "a fan is no climate");
    house.ask_point("enough", "d-101/setpoint", 21.0);
    house.setting("climate.lowest-c", number(18.0)).ask_point("little", "d-101/setpoint", 17.9);
    house.refused("little", "climate.lowest-c lets no room be set lower than 18 °C");
    // Where they cross the upper one holds.
    house.setting("climate.highest-c", number(16.0)).ask_point("crossed", "d-101/setpoint", 18.0);
    house.refused("crossed", "higher than 16 °C");
}

#[test]
fn rules_ask_for_quiet_hours_and_look_again_when_they_begin() {
    let quiet = json!({ "name": "quiet", "when": { "quiet": true, "occupied": true },
        "then": { "setpoint": { "celsius": 19.0 } } });
    let mut house = House::under(json!([quiet]));
    house.comes("1", "101").obey().pass(1);
    assert_eq!(house.on("101"), [""; 0]);
    // It is nine in the morning.
    house.setting("quiet.from", text("22:00"));
    assert_eq!(house.on("101"), [""; 0], "without an end there are none");
    house.setting("quiet.until", text("06:00"));
    assert_eq!(house.on("101"), [""; 0]);
    house.until("2027-01-15T20:59:59Z".parse().unwrap());
    assert_eq!(house.on("101"), [""; 0]);
    house.until("2027-01-15T21:00:01Z".parse().unwrap());
    assert_eq!(house.on("101"), ["quiet"]);
    house.obey().until("2027-01-16T05:00:01Z".parse().unwrap());
    assert_eq!(house.on("101"), [""; 0]);
    house.setting("quiet.until", text("06:30")).pass(1);
    assert_eq!(house.on("101"), ["quiet"], "they take effect at once");
    house.setting("quiet.from", None).pass(1);
    assert_eq!(house.on("101"), [""; 0]);
}

#[test]
fn a_feature_of_the_cloud_is_switched_there_alone() {
    let warm = json!({ "name": "warm", "when": { "occupied": false,
        "arriving": { "within_min": 600, "warm_up": true } }, "then": { "setpoint": { "of": "comfort" } } });
    let mut house = House::under(json!([warm]));
    let eta = Some("2027-01-15T09:00:00Z".parse().unwrap());
    house.ask("eta", Action::ExpectArrival { stay: "7".into(), room: "101".into(), date: None, at: eta });
    assert_eq!(house.on("101"), ["warm"]);
    house.ask("no", Action::SetSetting { name: "feature.pre-arrival".into(), value: on(false), by: None });
    house.refused("no", "in the cloud only");
    house.cloud_sets("feature.pre-arrival", &Register::default(), on(false));
    house.pass(1);
    assert_eq!(house.on("101"), [""; 0]);
}

#[test]
fn other_switches_and_numbers_are_in_force() {
    let mut house = House::new();
    house.property.welcome_to("Grand");
    let told = |house: &mut House| {
        let told = house.intents.iter().any(|intent| matches!(intent, Intent::TellGuest { .. }));
        house.clear();
        told
    };
    house.comes("1", "101");
    assert!(told(&mut house));
    house.setting("feature.guest-texts", on(false)).clear().comes("2", "102").goes("2", "102");
    assert!(!told(&mut house));
    assert_eq!(house.property.retention_days(), None);
    house.property.set_defaults([("privacy.retention-days", SettingValue::Number(30.0))]);
    assert_eq!(house.property.retention_days(), Some(30));
    house.setting("privacy.retention-days", number(7.0));
    assert_eq!(house.property.retention_days(), Some(7));
    house.property.speak("en");
    assert_eq!(house.property.guest_language(), Some("en"));
    house.setting("language.guests", text("ja"));
    assert_eq!((house.property.guest_language(), house.property.language()), (Some("ja"), Some("en")));
    house.setting("climate.guest-hold-s", number(60.0)).comes("3", "103").obey().pass(1);
    house.set("103", "setpoint", 24.5);
    let hold = house.property.rooms()[&"103".into()].hold.unwrap();
    assert_eq!(hold.until.duration_since(house.now).as_secs(), 60);
}

#[test]
fn what_both_wrote_is_a_conflict_with_both_values_in_the_log_and_for_the_cloud() {
    let mut house = House::new();
    let name = "climate.comfort-c";
    house.setting(name, number(20.0)).clear();
    let known = house.property.registers()[name].clone();
    house.setting(name, number(21.0)).clear().pass(60);
    house.cloud_sets(name, &known, number(23.0));
    assert_eq!(house.property.setting(name), Some(&SettingValue::Number(23.0)), "the later one");
    let noted = house.changes.iter().find_map(|change| match change {
        Change::SettingNote { note, .. } => Some((change.lane(), (**note).clone())),
        _ => None,
    });
    let Some((Lane::Audit, Note::Conflict { conflict })) = noted else { panic!("{noted:?}") };
    assert_eq!((conflict.edge.value, conflict.cloud.value), (number(21.0), number(23.0)));
    let row = house.changes.iter().find(|change| change.kind() == "setting").unwrap();
    assert_eq!(row.lane(), Lane::Stays, "the cloud does not know the gateway's write yet");
    let log: Vec<&Note> = house.property.setting_log().map(|entry| &entry.note).collect();
    assert!(matches!(
        log[..],
        [
            Note::Written { .. },
            Note::Written { .. },
            Note::Written { node: Node::Cloud, .. },
            Note::Conflict { .. }
        ]
    ));
    // The same once more: nothing.
    let again = house.property.registers()[name].clone();
    house.clear();
    let action = Action::MergeSetting { name: name.into(), document: Box::new(again) };
    house.ask_as(CommandSource::Cloud, "again", action);
    assert_eq!(house.kinds(), ["command_accepted", "command_ended"]);
}

#[test]
fn who_may_not_and_what_is_not_there_is_refused_in_words() {
    let mut house = House::new();
    let set = |name: &str, value| Action::SetSetting { name: name.into(), value, by: None };
    let merge = |name: &str| Action::MergeSetting { name: name.into(), document: Box::default() };
    for (source, key, action, why) in [
        (CommandSource::Local, "a", set("climate.nothing", number(1.0)), "no setting `climate.nothing`"),
        (CommandSource::Local, "b", set("climate.comfort-c", number(99.0)), "from 5 to 35"),
        (CommandSource::Local, "c", set("guest.light", on(true)), "needs the guest's stay"),
        (CommandSource::Mqtt, "d", set("climate.comfort-c", number(20.0)), "by staff at the gateway"),
        (CommandSource::Cloud, "e", set("climate.comfort-c", number(20.0)), "engawa-cloud settings set"),
        (CommandSource::Local, "f", merge("climate.comfort-c"), "only the cloud"),
        (CommandSource::Cloud, "g", merge("climate.later"), "no setting `climate.later` in this release"),
    ] {
        house.ask_as(source, key, action);
        house.refused(key, why);
    }
    let mut bad = Register::default();
    bad.seen.cloud.ms = -1;
    let action = Action::MergeSetting { name: "climate.comfort-c".into(), document: Box::new(bad) };
    house.ask_as(CommandSource::Cloud, "h", action);
    house.refused("h", "can't be");
    assert!(house.property.registers().is_empty());
    assert!(house.kinds().iter().all(|kind| kind.starts_with("command_")), "{:?}", house.kinds());
}

#[test]
fn settings_survive_a_restart_and_are_told_once_more() {
    let mut house = House::new();
    house.setting("climate.eco-heating-c", number(18.0)).setting("quiet.from", text("22:00"));
    let mut again = House::of(restored(&house.rows()));
    assert_eq!(again.property.climate().eco_heating_c, 18.0);
    assert_eq!(again.rows(), house.rows());
    again.fact(Fact::Started { clean: true });
    assert_eq!(again.kinds(), ["started", "setting", "setting"]);
    // The clock goes on, too: the next stamp is later, though the wall stands.
    let before = again.property.registers()["quiet.from"].newest();
    again.setting("quiet.until", text("06:00"));
    assert!(again.property.registers()["quiet.until"].newest() > before);
}

#[test]
fn the_log_is_bounded() {
    let mut house = House::new();
    for n in 0..1_003_u32 {
        house.setting("climate.highest-c", number(f64::from(20 + n % 2)));
    }
    assert_eq!(house.property.setting_log().count(), 1_000);
    assert_eq!(house.touched.iter().filter(|entity| matches!(entity, Entity::SettingEntry(_))).count(), 2);
}

#[test]
fn what_a_guest_prefers_is_for_the_stay_and_leaves_the_house_only_where_it_is_shared() {
    let mut house = House::new();
    let prefer =
        |name: &str, wish| Action::SetPreference { stay: "1".into(), name: name.into(), wish, by: None };
    house.ask("early", prefer("guest.temperature-c", number(20.0)));
    house.refused("early", "no guest of reservation `1`");
    house.comes("1", "101").obey().clear().ask("warm", prefer("guest.temperature-c", number(20.0)));
    assert!(house.done("warm"));
    assert_eq!(setpoints(&mut house), [("d-101/setpoint".to_owned(), 20.0)]);
    let stay = |house: &House| house.property.stays()[&"1".into()].clone();
    assert_eq!(house.property.comfort_of(&stay(&house)), Some(20.0));
    house.ask("word", prefer("guest.language", text("ja"))).ask("light", prefer("guest.light", on(true)));
    assert_eq!(house.property.language_of(&stay(&house)), Some("ja"));
    let saved = house.saved(&Entity::Stay("1".into()));
    assert!(!saved.contains("20.0") && !saved.contains("ja"), "read where it lies sealed: {saved}");
    assert_eq!(house.writes().iter().filter(|(_, value)| *value == Value::Bool(true)).count(), 2);
    for kind in ["preference", "comfort_chosen", "stay_changed"] {
        assert!(!house.kinds().contains(&kind), "not shared: {kind}");
    }
    let told = serde_json::to_string(&house.changes).unwrap();
    assert!(!told.contains("\"ja\"") && !told.contains("\"wish\":{"), "{told}");
    let accepted = serde_json::to_string(&house.changes[0]).unwrap();
    assert!(accepted.contains("set-preference") && accepted.contains("\"wish\":null"), "{accepted}");
    let merge = |register| Action::MergePreference {
        stay: "1".into(),
        name: "guest.light".into(),
        register: Some(Box::new(register)),
    };
    house.ask_as(CommandSource::Cloud, "no", merge(Register::default()));
    house.refused("no", "privacy.share-preferences is off");

    house.setting("privacy.share-preferences", on(true));
    let shared = |house: &House| house.kinds().iter().filter(|kind| **kind == "preference").count();
    assert_eq!(shared(&house), 3, "what was noted before is told then");
    house.setting("climate.comfort-c", number(21.0));
    assert_eq!(shared(&house), 3, "and once");
    house.clear().ask("dark", prefer("guest.light", on(false)));
    assert!(house.kinds().contains(&"preference"));
    let own = house.property.preferences(&"1".into()).unwrap()["guest.light"].clone();
    let light = field("guest.light").unwrap();
    let theirs = write(light, Node::Cloud, &own, on(true), "app", &mut Clock::default(), house.now).unwrap();
    house.clear().ask_as(CommandSource::Cloud, "app", merge(theirs));
    assert!(house.done("app"));
    assert_eq!(
        house.property.preferences(&"1".into()).unwrap()["guest.light"].value(light),
        on(true).as_ref()
    );

    house.goes("1", "101");
    assert_eq!(house.property.preferences(&"1".into()), None);
    assert!(house.touched.contains(&Entity::Preferences("1".into())));
    assert!(house.property.save(&Entity::Preferences("1".into())).is_none());
}

#[test]
fn a_preference_holds_against_the_pms_and_is_taken_back_as_it_was() {
    let mut house = House::new();
    house.property.welcome_to("Grand");
    let record = || GuestRecord { language: Some("de".into()), ..GuestRecord::default() };
    house.comes_as("1", "101", record());
    let prefer =
        |name: &str, wish| Action::SetPreference { stay: "1".into(), name: name.into(), wish, by: None };
    house.ask("ja", prefer("guest.language", text("ja")));
    house.comes_as("1", "101", record());
    assert_eq!(house.property.language_in(&"101".into()), Some("ja"), "the PMS says `de` again");
    house.ask("no", prefer("guest.language", None));
    assert_eq!(house.property.language_in(&"101".into()), Some("de"));
    // The wall goes before what was preferred earlier, and what is preferred later before the wall.
    let comfort = |house: &House| house.property.comfort_of(&house.property.stays()[&"1".into()]);
    house.obey().ask("warm", prefer("guest.temperature-c", number(20.0))).obey().pass(1);
    house.set("101", "setpoint", 24.0);
    assert_eq!(comfort(&house), Some(24.0));
    house.ask("cool", prefer("guest.temperature-c", number(19.0)));
    assert_eq!(comfort(&house), Some(19.0));
    house.ask("none", prefer("guest.temperature-c", None));
    assert_eq!(comfort(&house), None);
    // The farewell is in the language of who leaves.
    house.ask("ja2", prefer("guest.language", text("ja"))).clear().goes("1", "101");
    let spoken = house.intents.iter().find_map(|intent| match intent {
        Intent::TellGuest { told } => Some(told.language.clone()),
        _ => None,
    });
    assert_eq!(spoken, Some(Some("ja".into())));
}

#[test]
fn an_erased_guest_prefers_nothing() {
    let mut house = House::new();
    house.comes_as("1", "101", GuestRecord { language: Some("de".into()), ..GuestRecord::default() });
    house.obey().pass(1).set("101", "setpoint", 24.0);
    assert_eq!(house.property.stays()[&"1".into()].comfort, Some(24.0));
    let prefer = |stay: &str| Action::SetPreference {
        stay: stay.into(),
        name: "guest.light".into(),
        wish: on(true),
        by: Some("ann".into()),
    };
    house.ask("light", prefer("1"));
    let erasure = Erasure {
        stay: "1".into(),
        record: "00".into(),
        at: house.now,
        reason: ErasureReason::Asked,
        signer: String::new(),
        signature: String::new(),
    };
    house.fact(Fact::GuestErased { erasure });
    assert_eq!(house.property.preferences(&"1".into()), None);
    let stay = &house.property.stays()[&"1".into()];
    assert_eq!((stay.comfort, stay.language.as_deref()), (None, None));
    let noted = format!("{:?}", house.property.commands()[&"light".into()].command.action);
    assert!(noted.contains("wish: None") && noted.contains("by: None"), "{noted}");
    assert!(house.touched.contains(&Entity::Command("light".into())));
    assert!(house.done("light"), "it ended before");
    house.ask("again", prefer("1"));
    house.refused("again", "was erased");
}
