//! Which files are lists, how large they may be, and what a house of lists answers.

use super::super::super::config::ImportConfig;
use super::*;
use engawa_model::{CommandKey, PmsRequest, PostingDetail, PostingNumber, WakeId, WakeWord};
use jiff::tz::TimeZone;

#[test]
fn a_file_is_read_up_to_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let sized = |size: u64| {
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        read_file(&path).map(|(name, text)| (name, text.len() as u64)).map_err(|mistake| mistake.to_string())
    };
    assert_eq!(sized(MOST_BYTES), Ok(("a.csv".to_owned(), MOST_BYTES)));
    let why = "a.csv:1:1: the file has more than 8388608 bytes: is it a list of stays?";
    assert_eq!(sized(MOST_BYTES + 1), Err(why.to_owned()));
    assert_eq!(sized(MOST_BYTES * 3), Err(why.to_owned()));
}

#[test]
fn what_is_not_utf_8_is_told_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    for (bytes, line) in [(&b"\xffabc\n"[..], 1), (b"a\n\xff\n", 2), (b"a\nb\nc\xff\nd\n", 3)] {
        std::fs::write(&path, bytes).unwrap();
        let want = format!("a.csv:{line}:1: the file is not UTF-8: save it as UTF-8");
        assert_eq!(read_file(&path).unwrap_err().to_string(), want);
    }
    std::fs::write(&path, "é\n").unwrap();
    assert_eq!(read_file(&path).unwrap(), ("a.csv".to_owned(), "é\n".to_owned()));
    assert!(
        read_file(&dir.path().join("b.csv"))
            .unwrap_err()
            .to_string()
            .starts_with("b.csv:1:1: the file can't be read")
    );
}

#[test]
fn lists_are_tables_and_calendars_that_are_not_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let why = |mistake: Mistake| mistake.what;
    assert!(why(read_folder(dir.path()).unwrap_err()).starts_with("there is no list"));
    for name in [".a.csv", "notes.txt", "csv", ".ics"] {
        std::fs::write(dir.path().join(name), "no list").unwrap();
    }
    assert!(why(read_folder(dir.path()).unwrap_err()).starts_with("there is no list"));
    for name in ["b.csv", "C.CSV", "101.ics"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    let read: Vec<(String, String)> = read_folder(dir.path()).unwrap();
    let both = |name: &str| (name.to_owned(), name.to_owned());
    assert_eq!(read, [both("101.ics"), both("C.CSV"), both("b.csv")]);
    assert!(why(read_folder(&dir.path().join("none")).unwrap_err()).starts_with("the folder can't be read"));
}

#[test]
fn a_folder_holds_so_many_lists() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..MOST_FILES {
        std::fs::File::create(dir.path().join(format!("{n}.csv"))).unwrap();
    }
    assert_eq!(look(dir.path()).unwrap().len(), MOST_FILES);
    std::fs::File::create(dir.path().join("one more.csv")).unwrap();
    let why = look(dir.path()).unwrap_err();
    assert_eq!(why.what, "there are more than 2000 lists in the folder");
}

#[test]
fn what_a_pms_would_be_asked_is_answered_as_what_cannot_be_done() {
    let config = ImportConfig { folder: "x".into(), check_in: "15:00".into(), check_out: "11:00".into() };
    let reading = Reading::new(&config, TimeZone::UTC, ["101".into()]);
    let mut agenda = Agenda::default();
    let text = "id,room,arrival,departure\n7,101,2026-07-15,2026-07-16\n";
    agenda.replace(reading.read([("a.csv", text)]).unwrap());
    let now = "2026-07-15T16:00:00Z".parse().unwrap();
    let mut told = |intent: Intent, sound: bool| answer(&intent, &mut agenda, now, sound);
    let key = || CommandKey::from("k");
    let amount = engawa_model::Money { minor: 1, currency: engawa_model::Currency::new("EUR").unwrap() };
    let charge = Intent::SendPosting {
        number: PostingNumber(1),
        room: "101".into(),
        stay: None,
        amount,
        text: "x".into(),
        outlet: None,
        detail: PostingDetail::Plain,
    };
    assert_eq!(
        told(charge, true),
        [Fact::PostingAnswered {
            number: PostingNumber(1),
            status: "NF".into(),
            text: Some("the house has lists of stays and no PMS that could be charged".into())
        }]
    );
    let status = Intent::SendRoomStatus { key: key(), room: "101".into(), status: "clean-vacant".into() };
    let reason = "the house has lists of stays and no PMS that could be told".to_owned();
    assert_eq!(told(status, true), [Fact::StatusRefused { key: key(), reason }]);
    let request = PmsRequest::MessageRead { room: "101".into(), stay: "7".into(), message: "1".into() };
    let reason = "the house has lists of stays and no PMS that could be asked".to_owned();
    let said = PmsFact::NotSent { key: key(), reason };
    assert_eq!(told(Intent::AskPms { key: key(), request }, true), [Fact::Pms { said }]);
    let (id, word) = (WakeId(3), WakeWord::Asked);
    let at = "2026-07-16T07:00:00".parse().unwrap();
    let wake = Intent::TellWakeUp { id, room: "101".into(), at, time: None, word };
    assert_eq!(told(wake, true), [Fact::WakeUpTold { id, word }]);
    assert_eq!(told(Intent::RequestResync, false), [], "not before the lists were read");
    let facts = told(Intent::RequestResync, true);
    assert_eq!((&facts[..2], facts.len()), (&[Fact::ResyncAsked, Fact::ResyncBegun][..], 4));
    assert_eq!(told(Intent::EndWake { id, room: "101".into() }, true), []);
}
