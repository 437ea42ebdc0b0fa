//! Lists, sound and broken: each mistake with its line and column, and never a guest's name.

use super::*;

pub(super) fn reading() -> Reading {
    let config =
        ImportConfig { folder: "lists".into(), check_in: "15:00".to_owned(), check_out: "11:00".to_owned() };
    let rooms = ["101", "102", "0103"].map(RoomId::from);
    Reading::new(&config, TimeZone::get("Europe/Berlin").unwrap(), rooms)
}

pub(super) fn mistakes(name: &str, text: &str) -> Vec<String> {
    let read = reading().read([(name, text)]);
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn tables_of_every_dialect() {
    for text in [
        "room,arrival,departure,name,id\n0103,2026-07-15,2026-07-18,\"Okonkwo, Mrs\",7\n",
        "\u{feff}Name;Room;Arrival;Departure;ID\r\n\"Okonkwo, Mrs\";0103;2026-07-15;2026-07-18;7\r\n\r\n",
        "room\tid\tarrival\tdeparture\tname\n0103\t7\t2026-07-15T15:00\t2026-07-18 11:00:00\tOkonkwo, Mrs",
    ] {
        let stays = reading().read([("stays.csv", text)]).unwrap();
        let [one] = stays.as_slice() else { panic!("{stays:?}") };
        assert_eq!((one.stay.as_str(), one.room.as_str()), ("7", "0103"));
        assert_eq!(one.from.to_string(), "2026-07-15T13:00:00Z");
        assert_eq!(one.until.to_string(), "2026-07-18T09:00:00Z");
        assert_eq!(one.guest.name.as_ref().unwrap().reveal(), "Okonkwo, Mrs");
    }
}

#[test]
fn each_mistake_of_a_table_is_at_its_place() {
    let text = "room,arrival,departure,name\n\
                101,2026-07-15,2026-07-18,Okonkwo\n\
                999,15.7.2026,2026-07-18,Okonkwo\n\
                102,2026-07-18,2026-07-15,Okonkwo\n\
                ,2026-07-15,,Okonkwo\n\
                101,2026-07-15,2026-07-19,Okonkwo\n\
                101,2026-08-15,2026-08-19,Okonkwo,more\n";
    let told = mistakes("stays.csv", text);
    assert_eq!(
        told,
        [
            "stays.csv:3:1: there is no room `999`: rooms are in property.rooms",
            "stays.csv:3:2: the arrival is no date: expected 2026-07-15, or 2026-07-15T16:00",
            "stays.csv:4:3: the departure is not after the arrival",
            "stays.csv:5:1: the room is missing",
            "stays.csv:5:3: the departure is no date: expected 2026-07-15, or 2026-07-15T16:00",
            "stays.csv:7:5: there are 5 fields for 4 columns",
            "stays.csv:6:1: this stay is there already (stays.csv, line 2): each once",
        ]
    );
    assert!(!told.concat().contains("Okonkwo"));
    assert_eq!(mistakes("a.csv", ""), ["a.csv:1:1: the file is empty: expected at least the column names"]);
    let told = mistakes("a.csv", "room,arival\n");
    assert!(told[0].starts_with("a.csv:1:2: there is no column `arival`"), "{told:?}");
    assert_eq!(
        told[1..],
        ["a.csv:1:1: the column `arrival` is missing", "a.csv:1:1: the column `departure` is missing"]
    );
}

#[test]
fn calendars_with_zones_folds_and_alarms() {
    let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:a@x\r\nDTSTART;VALUE=DATE:20261024\r\n\
                DTEND;VALUE=DATE:20261026\r\nSUMMARY:Okon\r\n kwo\\, Mrs\r\nBEGIN:VALARM\r\nSUMMARY:no\r\nEND:VALARM\r\n\
                END:VEVENT\r\nBEGIN:VEVENT\r\nUID:b@x\r\nDTSTART;TZID=\"Asia/Tokyo\":20260715T150000\r\n\
                DTEND:20260716T010000Z\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:c@x\r\nSTATUS:CANCELLED\r\nEND:VEVENT\r\n\
                END:VCALENDAR\r\n";
    let stays = reading().read([("101.ics", text)]).unwrap();
    let told: Vec<String> =
        stays.iter().map(|one| format!("{} {} {}", one.stay, one.from, one.until)).collect();
    // The first lasts over the change of the clock.
    assert_eq!(
        told,
        [
            "calendar:101:a@x 2026-10-24T13:00:00Z 2026-10-26T10:00:00Z",
            "calendar:101:b@x 2026-07-15T06:00:00Z 2026-07-16T01:00:00Z"
        ]
    );
    assert_eq!(stays[0].guest.name.as_ref().unwrap().reveal(), "Okonkwo, Mrs");
}

#[test]
fn each_mistake_of_a_calendar_is_at_its_place() {
    let event = |lines: &str| format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{lines}END:VEVENT\nEND:VCALENDAR\n");
    let dates = "UID:u\nDTSTART:20260715\nDTEND:20260716\n";
    for (name, text, want) in [
        ("a.ics", "hello\n".to_owned(), "a.ics:1:1: this is no calendar: expected BEGIN:VCALENDAR"),
        (
            "a.ics",
            event(dates),
            "a.ics:2:1: no room: name the file by its room, such as 101.ics, or add LOCATION",
        ),
        (
            "a.ics",
            event(&format!("{dates}LOCATION:9\n")),
            "a.ics:6:10: there is no room `9`: name the file by its room, such as 101.ics",
        ),
        (
            "101.ics",
            event(&format!("{dates}RRULE:FREQ=DAILY\n")),
            "101.ics:6:1: a repeated event is no stay: write each stay as an event of its own",
        ),
        (
            "101.ics",
            event("UID:u\nDTSTART;TZID=Nowhere/X:20260715T100000\nDTEND:20260716\n"),
            "101.ics:4:24: DTSTART is no date: expected 20260715, 20260715T150000 or 20260715T130000Z",
        ),
        ("101.ics", event("UID:u\nSUMMARY:Okonkwo\n"), "101.ics:2:1: the event needs UID, DTSTART and DTEND"),
        (
            "101.ics",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:u\n".to_owned(),
            "101.ics:3:1: the calendar ends too early: expected END:VCALENDAR",
        ),
    ] {
        assert_eq!(mistakes(name, &text), [want]);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC*|(BEGIN:|END:|VEVENT|VCALENDAR|DTSTART|:|;|\"|\r\n|\t|room|arrival|,|2026-07-15| )*") {
        let _ = reading().read([("101.ics", text.as_str()), ("b.csv", text.as_str())]);
    }
}

#[test]
fn a_pipe_among_the_lists_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("p.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mistake = super::read_file(&pipe).unwrap_err();
    assert!(mistake.to_string().contains("this is no file"), "{mistake}");
    assert!(super::read_folder(dir.path()).is_err());
}

#[test]
fn who_comes_within_two_days_is_expected_with_the_time_where_the_list_has_one() {
    let text = "room,arrival,departure,name,id\n101,2026-07-14,2026-07-18,Sato,1\n102,2026-07-16T18:30,2026-07-18,Mori,2\n\
                0103,2026-07-17,2026-07-19,Abe,3\n101,2026-07-20,2026-07-22,Ito,4\n";
    let mut agenda = Agenda::default();
    agenda.replace(reading().read([("stays.csv", text)]).unwrap());
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let told = |facts: Vec<engawa_model::Fact>| -> Vec<String> {
        let word = |fact| match fact {
            engawa_model::Fact::ArrivalExpected { stay, room, date, eta, .. } => {
                let eta = eta.map_or("some time".to_owned(), |eta| eta.to_string());
                Some(format!("{stay} to {room} on {} at {eta}", date.unwrap()))
            }
            engawa_model::Fact::ArrivalCancelled { stay } => Some(format!("not {stay}")),
            _ => None,
        };
        facts.into_iter().filter_map(word).collect()
    };
    let now = at("2026-07-15T10:00:00Z");
    assert_eq!(told(agenda.list(now)), ["2 to 102 on 2026-07-16 at 2026-07-16T16:30:00Z"]);
    assert_eq!(told(agenda.list(now)), [] as [&str; 0], "told once");
    // The next one is told when its time comes near, without a new list.
    let next = agenda.next_change(now).unwrap();
    assert_eq!(next, at("2026-07-15T13:00:00Z"));
    assert_eq!(told(agenda.pass(next)), ["3 to 0103 on 2026-07-17 at some time"]);
    let less = text.replace("0103,2026-07-17,2026-07-19,Abe,3\n", "");
    agenda.replace(reading().read([("stays.csv", less.as_str())]).unwrap());
    assert_eq!(told(agenda.list(next)), ["not 3"]);
}
