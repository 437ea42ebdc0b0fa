//! What the rows add up to: rooms, stays and postings.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use common::{Cloud, EPOCH, GATEWAY, change_row};
use engawa_cloud::store::listing::{self, LogFilter};
use engawa_model::{
    Change, Currency, Money, PointId, PostingNumber, PostingState, Quality, Role, RoomFlags, StayEnd,
    Timestamp, Value,
};

fn checked_in(stay: &str, room: &str) -> Change {
    let day = |day| Some(engawa_model::Date::constant(2026, 11, day));
    Change::CheckedIn {
        stay: stay.into(),
        room: room.into(),
        language: Some("de".into()),
        arrival: day(24),
        departure: day(26),
    }
}

fn checked_out(stay: &str, room: &str) -> Change {
    Change::CheckedOut { stay: stay.into(), room: room.into(), reason: StayEnd::CheckedOut }
}

fn moved(stay: &str, from: &str, to: &str) -> Change {
    Change::Moved { stay: stay.into(), from: from.into(), to: to.into() }
}

fn reported(role: Option<Role>, value: Option<Value>, quality: Quality) -> Change {
    let sampled = Timestamp::UNIX_EPOCH;
    Change::Reported {
        point: PointId::new("t", "x"),
        room: Some("101".into()),
        role,
        value,
        quality,
        sampled,
    }
}

fn stays(cloud: &Cloud) -> Vec<String> {
    let rooms = listing::rooms(&cloud.connection, Some(GATEWAY)).unwrap();
    let counted = cloud.query("SELECT room, stays FROM room_state ORDER BY room");
    let listed: Vec<String> =
        rooms.iter().map(|room| format!("{}|{}", room.room, room.stays.len())).collect();
    assert_eq!(counted, listed, "the count and the stays agree");
    rooms.into_iter().map(|room| format!("{}: {}", room.room, room.stays.join(" "))).collect()
}

#[test]
fn guests_come_move_and_leave() {
    let mut cloud = Cloud::new();
    cloud.tell(EPOCH, &[checked_in("S1", "101"), checked_in("S2", "101"), checked_in("S3", "102")]);
    assert_eq!(stays(&cloud), ["101: S1 S2", "102: S3"]);
    cloud.tell(EPOCH, &[moved("S2", "101", "102"), checked_out("S1", "101")]);
    assert_eq!(stays(&cloud), ["101: ", "102: S2 S3"], "by arrival in the house");
    // Checked in again elsewhere: a stay is in one room.
    cloud.tell(EPOCH, &[checked_in("S3", "103")]);
    assert_eq!(stays(&cloud), ["101: ", "102: S2", "103: S3"]);
    cloud.tell(
        EPOCH,
        &[Change::StayChanged {
            stay: "S3".into(),
            room: "103".into(),
            language: Some("ja".into()),
            arrival: None,
            departure: Some(engawa_model::Date::constant(2026, 11, 30)),
        }],
    );
    let stay = cloud.query("SELECT room, language, arrival, departure, left_at FROM stay WHERE stay = 'S3'");
    assert_eq!(stay, ["103|ja|2026-11-24|2026-11-30|-"]);
}

#[test]
fn a_row_that_comes_twice_has_its_effect_once() {
    let mut cloud = Cloud::new();
    let rows = [change_row(1, &checked_in("S1", "101")), change_row(2, &moved("S1", "101", "102"))];
    cloud.ingest(EPOCH, 3, &rows);
    let before = (stays(&cloud), cloud.query("SELECT * FROM stay"), cloud.query("SELECT * FROM room_state"));
    cloud.ingest(EPOCH, 3, &rows);
    assert_eq!(
        before,
        (stays(&cloud), cloud.query("SELECT * FROM stay"), cloud.query("SELECT * FROM room_state"))
    );
    assert_eq!(before.0, ["101: ", "102: S1"]);
}

#[test]
fn a_new_disk_begins_in_the_middle_of_stays() {
    let mut cloud = Cloud::new();
    cloud.tell(EPOCH, &[checked_in("S1", "101"), checked_in("S2", "102"), checked_in("S3", "103")]);
    let done = |listed| Change::Resync { phase: "done".into(), listed: Some(listed), link: None };
    // In the same life the list has nothing to correct here: the gateway checks out what is missing.
    cloud.tell(EPOCH, &[done(1)]);
    assert_eq!(stays(&cloud), ["101: S1", "102: S2", "103: S3"]);
    // A restored gateway still knows its stays, and tells only of what is new: nothing is concluded.
    cloud.tell(8, &[moved("S2", "102", "202"), done(3)]);
    assert_eq!(stays(&cloud), ["101: S1", "102: ", "103: S3", "202: S2"]);
    // A new disk knows nothing, and tells of the whole house: S1 and S3 have left meanwhile.
    cloud.tell(9, &[checked_in("S2", "202"), checked_in("S4", "101"), done(2)]);
    assert_eq!(stays(&cloud), ["101: S4", "102: ", "103: ", "202: S2"]);
    // Moves and departures of stays that were never seen to come.
    cloud.tell(9, &[moved("S8", "104", "105"), checked_out("S9", "106")]);
    assert_eq!(stays(&cloud), ["101: S4", "102: ", "103: ", "104: ", "105: S8", "106: ", "202: S2"]);
}

#[test]
fn rooms_show_status_flags_and_climate() {
    let mut cloud = Cloud::new();
    let status = |status: &str| Change::RoomStatus { room: "101".into(), status: status.into() };
    let flags = |flags| Change::RoomFlagged { room: "101".into(), flags };
    cloud.tell(
        EPOCH,
        &[
            status("clean-vacant"),
            status("make-up"),
            flags(RoomFlags { do_not_disturb: Some(true), ..RoomFlags::default() }),
            flags(RoomFlags { message_light: Some(false), ..RoomFlags::default() }),
            reported(Some(Role::RoomTemperature), Some(Value::Float(21.25)), Quality::Good),
            reported(Some(Role::ClimateSetpoint), Some(Value::Int(22)), Quality::Good),
            // None of these is a temperature.
            reported(Some(Role::RoomTemperature), Some(Value::Float(-40.0)), Quality::Bad),
            reported(Some(Role::RoomTemperature), None, Quality::Good),
            reported(Some(Role::RoomTemperature), Some(Value::Text("warm".into())), Quality::Good),
            reported(Some(Role::Battery), Some(Value::Int(80)), Quality::Good),
            reported(None, Some(Value::Int(5)), Quality::Good),
        ],
    );
    let room = listing::rooms(&cloud.connection, None).unwrap().remove(0);
    assert_eq!((room.housekeeping.as_deref(), room.sign.as_deref()), (Some("clean-vacant"), Some("make-up")));
    assert_eq!((room.do_not_disturb, room.message_light), (Some(true), Some(false)), "flags add up");
    assert_eq!((room.temperature, room.setpoint), (Some(21.25), Some(22.0)));
}

#[test]
fn a_posting_has_its_last_state_in_each_life_of_the_journal() {
    let mut cloud = Cloud::new();
    let posting = |number, state, answer: Option<&str>| Change::Posting {
        number: PostingNumber(number),
        key: "bar-1".into(),
        room: "101".into(),
        stay: Some("S1".into()),
        amount: Money { minor: 1250, currency: Currency::new("EUR").unwrap() },
        text: "Bar".into(),
        outlet: None,
        state,
        answer: answer.map(str::to_owned),
    };
    cloud.tell(
        EPOCH,
        &[
            posting(1, PostingState::Pending, None),
            posting(1, PostingState::InFlight, None),
            posting(1, PostingState::Posted, Some("OK")),
            posting(2, PostingState::Doubtful, None),
        ],
    );
    cloud.tell(8, &[posting(1, PostingState::Refused, Some("NG"))]);
    assert_eq!(
        cloud.query(
            "SELECT epoch, number, minor, currency, state, answer FROM posting ORDER BY epoch, number"
        ),
        ["7|1|1250|EUR|posted|OK", "7|2|1250|EUR|doubtful|-", "8|1|1250|EUR|refused|NG"]
    );
}

#[test]
fn the_log_is_newest_first_and_filtered() {
    let mut cloud = Cloud::new();
    cloud.tell(EPOCH, &[checked_in("S1", "101"), checked_out("S1", "101"), checked_in("S2", "101")]);
    let log = |kind: Option<&str>, limit| {
        let filter = LogFilter { kind: kind.map(str::to_owned), limit, ..LogFilter::default() };
        let entries = listing::log(&cloud.connection, &filter).unwrap();
        entries.into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(log(None, 2), [3, 2]);
    assert_eq!(log(Some("checked_in"), 9), [3, 1]);
    assert!(log(Some("moved"), 9).is_empty());
}

fn charge(number: u32, state: PostingState) -> Change {
    Change::Posting {
        number: PostingNumber(number),
        key: "k".into(),
        room: "101".into(),
        stay: None,
        amount: Money { minor: 1250, currency: Currency::new("EUR").unwrap() },
        text: "bar".into(),
        outlet: None,
        state,
        answer: None,
    }
}

#[test]
fn a_charge_whose_end_will_not_be_told_is_in_doubt() {
    use PostingState::{InFlight, Pending, Posted, Refused};
    let mut cloud = Cloud::new();
    let states =
        |cloud: &Cloud| cloud.query("SELECT epoch, number, state FROM posting ORDER BY epoch, number");
    cloud.tell(EPOCH, &[charge(1, Posted), charge(2, Pending), charge(3, InFlight), charge(4, Refused)]);
    // The gateway's database is one that was put back: what it still knows comes under the new epoch.
    cloud.tell(8, &[charge(2, PostingState::Doubtful), charge(5, Pending)]);
    let over = ["7|1|posted", "7|2|doubtful", "7|3|doubtful", "7|4|refused"];
    assert_eq!(states(&cloud), [&over[..], &["8|2|doubtful", "8|5|pending"]].concat());
    // The cloud's own was put back, and rows can't be had any more.
    let skip = |to| engawa_protocol::ports::Skip { from: 1, to, reason: "swept".into() };
    for (lane, state) in [(1, "8|5|pending"), (3, "8|5|doubtful")] {
        engawa_cloud::store::write(&mut cloud.connection, |connection| {
            engawa_cloud::store::ingest::skip(connection, GATEWAY, 8, lane, &skip(9), 99)
        })
        .unwrap();
        assert_eq!(states(&cloud)[5], state, "lane {lane}");
    }
    // What comes after it counts.
    cloud.tell(8, &[charge(5, Posted)]);
    assert_eq!(states(&cloud)[5], "8|5|posted");
}
