//! Boundaries of lists: sizes, moments, separators, and what a line has to have.

use super::tests::{mistakes, reading};
use super::*;
use engawa_model::Fact;
use std::fmt::Write;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn names(stays: &[Listed]) -> Vec<String> {
    stays.iter().map(|one| format!("{} in {}", one.stay, one.room)).collect()
}

#[test]
fn the_separator_is_what_the_header_has_most_of() {
    let row = |header: &str, row: &str| reading().read([("a.csv", &*format!("{header}\n{row}\n"))]);
    for (header, line) in [
        ("room,arrival,departure,id", "101,2026-07-15,2026-07-16,7"),
        ("room;arrival;departure;id", "101;2026-07-15;2026-07-16;7"),
        ("room\tarrival\tdeparture\tid", "101\t2026-07-15\t2026-07-16\t7"),
    ] {
        assert_eq!(names(&row(header, line).unwrap()), ["7 in 101"], "{header}");
    }
    // As many of the one as of the other: it is the comma.
    let told = mistakes("a.csv", "room;x,arrival\n");
    assert!(told[0].starts_with("a.csv:1:1: there is no column `room;x`"), "{told:?}");
}

#[test]
fn a_column_is_there_once() {
    let told = mistakes("a.csv", "room,arrival,departure,room\n");
    let want = ["a.csv:1:1: the column `room` is there twice", "a.csv:1:4: the column `room` is there twice"];
    assert_eq!(told, want);
}

#[test]
fn a_row_has_as_many_fields_as_there_are_columns() {
    let header = "room,arrival,departure,name\n";
    for (row, want) in [
        ("101,2026-07-15,2026-07-16", "a.csv:2:3: there are 3 fields for 4 columns: is a separator missing"),
        ("101,2026-07-15,2026-07-16,x,y,z", "a.csv:2:5: there are 6 fields for 4 columns"),
        ("101,\"2026-07-15\n101\",2026-07-16,x", "a.csv:2:2: a line break within a field"),
        ("101,2026-07-15,2026-07-15T15:00,x", "a.csv:2:3: the departure is not after the arrival"),
        (",,,", "a.csv:0"),
    ] {
        let told = mistakes("a.csv", &format!("{header}{row}\n"));
        if want == "a.csv:0" {
            assert_eq!(told, [] as [&str; 0], "an empty line of a table is none");
        } else {
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(want), "{told:?}");
        }
    }
    assert_eq!(
        mistakes("a.csv", &format!("{header}101,2026-07-15,2026-07-15T15:00:01,x\n")),
        [] as [&str; 0]
    );
    let told = mistakes("a.csv", header);
    assert_eq!(told, ["a.csv:1:1: there is no stay below the column names: a list of nobody is not taken"]);
    // What is wrong in itself is not also told as being there twice.
    let told =
        mistakes("a.csv", &format!("{header}999,2026-07-15,2026-07-16,x\n999,2026-07-15,2026-07-16,x\n"));
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn a_stay_is_all_that_its_row_says() {
    let text = "room,arrival,departure,id,name,first_name,title,language,phone,email,vip\n\
                101,2026-07-15T23:30,2026-07-18,,Okonkwo,Ada,Mrs,en_GB,+44 20,a@example.com,2\n";
    let stays = reading().read([("a.csv", text)]).unwrap();
    let personal = |text| super::super::guests::personal(Some(text));
    let guest = GuestRecord {
        name: personal("Okonkwo"),
        first_name: personal("Ada"),
        title: personal("Mrs"),
        language: Some("en-GB".to_owned()),
        arrival: Some("2026-07-15".parse().unwrap()),
        departure: Some("2026-07-18".parse().unwrap()),
        vip: Some("2".to_owned()),
        phone: personal("+44 20"),
        email: personal("a@example.com"),
        ..GuestRecord::default()
    };
    let (stay, room) = (StayId::from("list:101:2026-07-15"), RoomId::from("101"));
    let (from, until) = (at("2026-07-15T21:30:00Z"), at("2026-07-18T09:00:00Z"));
    assert_eq!(stays, [Listed { stay, room, from, until, timed: true, guest }]);
}

#[test]
fn a_calendar_is_whole_and_its_lines_are_properties() {
    let whole = |inner: &str| format!("BEGIN:VCALENDAR\n{inner}END:VCALENDAR\n");
    let stay = "BEGIN:VEVENT\nUID:u\nDTSTART:20260715\nDTEND:20260716\nEND:VEVENT\n";
    let early = |line| vec![format!("101.ics:{line}:1: the calendar ends too early: expected END:VCALENDAR")];
    let none = Vec::new;
    for (text, want) in [
        (whole(stay), none()),
        // Parts that are no stay; lines that are empty.
        (whole(&format!("BEGIN:VTIMEZONE\nTZID:x\nEND:VTIMEZONE\n\n{stay}\r\n")), none()),
        (format!("BEGIN:VCALENDAR\n{stay}"), early(6)),
        (format!("BEGIN:VCALENDAR\n{stay}BEGIN:VTIMEZONE\nEND:VTIMEZONE\n"), early(8)),
        (format!("{}BEGIN:VEVENT\nUID:v\n", whole(stay)), early(9)),
        (
            whole(&format!("{stay}no property\n")),
            vec!["101.ics:7:1: this line is no property: expected NAME:value".to_owned()],
        ),
        (
            whole(&format!("{stay}:x\n")),
            vec!["101.ics:7:1: this line is no property: expected NAME:value".to_owned()],
        ),
        (
            whole("BEGIN:VEVENT\nUID:u\nDTSTART:20260716\nDTEND;X=\"a:b\":20260715\nEND:VEVENT\n"),
            vec!["101.ics:2:1: DTEND is not after DTSTART".to_owned()],
        ),
        (
            whole("BEGIN:VEVENT\nUID:u\nDTSTART:20260715T100000Z\nDTEND:20260715T100000Z\nEND:VEVENT\n"),
            vec!["101.ics:2:1: DTEND is not after DTSTART".to_owned()],
        ),
        (
            whole("BEGIN:VEVENT\nUID:u\nDTSTART:20260715\nDTEND;X=\"ü:b\":x\nEND:VEVENT\n"),
            vec![
                "101.ics:5:15: DTEND is no date: expected 20260715, 20260715T150000 or 20260715T130000Z"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(mistakes("101.ics", &text), want, "{text}");
    }
}

#[test]
fn an_event_is_a_stay_with_its_days() {
    let text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:u\nDTSTART:20260715T233000\nDTEND;VALUE=DATE:20260718\n\
                SUMMARY:Okonkwo\\n Ada\\\nLOCATION: 0103 \nSTATUS:CONFIRMED\nEND:VEVENT\nEND:VCALENDAR\n";
    let stays = reading().read([("all.ics", text)]).unwrap();
    let guest = GuestRecord {
        name: super::super::guests::personal(Some("Okonkwo  Ada")),
        arrival: Some("2026-07-15".parse().unwrap()),
        departure: Some("2026-07-18".parse().unwrap()),
        ..GuestRecord::default()
    };
    let (stay, room) = (StayId::from("calendar:0103:u"), RoomId::from("0103"));
    let (from, until) = (at("2026-07-15T21:30:00Z"), at("2026-07-18T09:00:00Z"));
    assert_eq!(stays, [Listed { stay, room, from, until, timed: true, guest }]);
}

#[test]
fn lists_hold_so_many_stays_and_tell_so_many_mistakes() {
    let mut text = String::from("id,room,arrival,departure\n");
    for n in 0..MOST_STAYS {
        writeln!(text, "{n},101,2026-07-15,2026-07-16").unwrap();
    }
    assert_eq!(reading().read([("a.csv", text.as_str())]).unwrap().len(), MOST_STAYS);
    let more = "id,room,arrival,departure\nx,101,2026-07-15,2026-07-16\n";
    let told = reading().read([("a.csv", text.as_str()), ("b.csv", more)]).unwrap_err();
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["b.csv:2:1: there are more than 20000 stays"]);
    let wrong =
        format!("id,room,arrival,departure\n{}", "x,999,2026-07-15,2026-07-16\n".repeat(MOST_FAULTS + 9));
    assert_eq!(mistakes("a.csv", &wrong).len(), MOST_FAULTS);
}

#[test]
fn a_guest_is_here_from_the_first_moment_to_before_the_last() {
    let text = "id,room,arrival,departure\n1,101,2026-07-15T12:00,2026-07-15T14:00\n2,102,2026-07-17T12:00,2026-07-18\n";
    let stays = reading().read([("a.csv", text)]).unwrap();
    let words = |facts: Vec<Fact>| -> Vec<String> {
        let word = |fact| match fact {
            Fact::GuestSeen { stay, .. } => format!("seen {stay}"),
            Fact::GuestGone { stay: Some(stay), .. } => format!("gone {stay}"),
            Fact::ArrivalExpected { stay, .. } => format!("due {stay}"),
            Fact::ArrivalCancelled { stay } => format!("not {stay}"),
            other => format!("{other:?}"),
        };
        facts.into_iter().map(word).collect()
    };
    let fresh = || {
        let mut agenda = Agenda::default();
        agenda.replace(stays.clone());
        agenda
    };
    for (now, count, listed) in [
        ("2026-07-15T09:59:59Z", 0, vec!["ResyncBegun", "ResyncDone", "due 1"]),
        ("2026-07-15T10:00:00Z", 1, vec!["ResyncBegun", "seen 1", "ResyncDone", "due 2"]),
        ("2026-07-15T11:59:59Z", 1, vec!["ResyncBegun", "seen 1", "ResyncDone", "due 2"]),
        ("2026-07-15T12:00:00Z", 0, vec!["ResyncBegun", "ResyncDone", "due 2"]),
    ] {
        let mut agenda = fresh();
        assert_eq!(
            (agenda.count(at(now)), words(agenda.list(at(now)))),
            (count, listed.iter().map(ToString::to_string).collect()),
            "{now}"
        );
    }
    // The same, as time passes: each moment is the next change, and only once.
    let mut agenda = fresh();
    let mut now = at("2026-07-12T00:00:00Z");
    let mut told = words(agenda.list(now));
    let mut moments = Vec::new();
    while let Some(next) = agenda.next_change(now) {
        assert!(next > now);
        now = next;
        moments.push(now.to_string());
        told.extend(words(agenda.pass(now)));
        assert_eq!(words(agenda.pass(now)), [] as [&str; 0], "told once");
    }
    assert_eq!(
        moments,
        [
            "2026-07-13T10:00:00Z",
            "2026-07-15T10:00:00Z",
            "2026-07-15T12:00:00Z",
            "2026-07-17T10:00:00Z",
            "2026-07-18T09:00:00Z"
        ]
    );
    assert_eq!(told, ["ResyncBegun", "ResyncDone", "due 1", "seen 1", "due 2", "gone 1", "seen 2", "gone 2"]);
    // The list says itself who has left.
    let mut agenda = fresh();
    agenda.list(at("2026-07-15T10:00:00Z"));
    let told = words(agenda.list(at("2026-07-15T12:00:00Z")));
    assert_eq!(told, ["gone 1", "ResyncBegun", "ResyncDone"]);
}
