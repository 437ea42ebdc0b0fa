//! Tables: a line of names, then a line a stay (RFC 4180; also `;` and tabs between fields).

use super::super::guests::{day, language, personal};
use super::{File, Listed, When};
use engawa_model::{GuestRecord, RoomId, StayId};
use jiff::civil::{Date, DateTime};

/// The columns.
const COLUMNS: [&str; 11] = [
    "room",
    "arrival",
    "departure",
    "id",
    "name",
    "first_name",
    "title",
    "language",
    "phone",
    "email",
    "vip",
];
const WANTED: [&str; 3] = ["room", "arrival", "departure"];

pub(super) fn read(file: &mut File<'_>, text: &str) {
    let header = text.lines().next().unwrap_or_default();
    let most = |c: char| header.matches(c).count();
    let between = [';', '\t'].into_iter().find(|c| most(*c) > most(',')).unwrap_or(',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(between).unwrap_or(b','))
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let names: Vec<String> = match records.next() {
        Some(Ok(names)) => {
            names.iter().map(|name| name.to_ascii_lowercase().replace([' ', '-'], "_")).collect()
        }
        Some(Err(_)) => return file.wrong(1, 1, "this is no table: expected a line of column names"),
        None => return file.wrong(1, 1, "the file is empty: expected at least the column names"),
    };
    let mut sound = true;
    for (n, name) in (1..).zip(&names) {
        if !COLUMNS.contains(&name.as_str()) {
            // The name of a column is shown: it is no guest's.
            file.wrong(1, n, format!("there is no column `{name}`: expected one of {}", COLUMNS.join(", ")));
            sound = false;
        } else if names.iter().filter(|other| *other == name).count() > 1 {
            file.wrong(1, n, format!("the column `{name}` is there twice"));
            sound = false;
        }
    }
    for wanted in WANTED {
        if !names.iter().any(|name| name == wanted) {
            file.wrong(1, 1, format!("the column `{wanted}` is missing"));
            sound = false;
        }
    }
    if !sound {
        return;
    }
    let mut any = false;
    for record in records {
        any = true;
        match record {
            Ok(record) => row(file, &names, &record),
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                file.wrong(line, 1, "this line can't be read: is a quotation mark left open?");
            }
        }
    }
    if !any {
        // Taken for the whole house, it would check everybody out.
        file.wrong(1, 1, "there is no stay below the column names: a list of nobody is not taken");
    }
}

fn row(file: &mut File<'_>, names: &[String], record: &csv::StringRecord) {
    let line = record.position().map_or(1, csv::Position::line);
    if record.iter().all(str::is_empty) {
        return;
    }
    if let Some(n) = record.iter().position(|field| field.contains(['\n', '\r'])) {
        // It would swallow the stays that follow.
        return file.wrong(line, n as u64 + 1, "a line break within a field: is a quotation mark left open?");
    }
    if record.len() < names.len() {
        let what = format!(
            "there are {} fields for {} columns: is a separator missing, or a quotation mark left open?",
            record.len(),
            names.len()
        );
        return file.wrong(line, record.len() as u64, what);
    }
    if record.len() > names.len() {
        let column = names.len() as u64 + 1;
        return file.wrong(
            line,
            column,
            format!("there are {} fields for {} columns", record.len(), names.len()),
        );
    }
    let place = |name: &str| names.iter().position(|known| known == name);
    let column = |name: &str| place(name).map_or(1, |n| n as u64 + 1);
    let field = |name: &str| place(name).and_then(|n| record.get(n)).filter(|text| !text.is_empty());
    let before = file.mistakes.len();
    let room = field("room").map(RoomId::from);
    match &room {
        None => file.wrong(line, column("room"), "the room is missing"),
        Some(room) if !file.reading.rooms.contains(room) => {
            file.wrong(
                line,
                column("room"),
                format!("there is no room `{room}`: rooms are in property.rooms"),
            );
        }
        Some(_) => {}
    }
    let mut times = Vec::new();
    for (name, usual) in [("arrival", file.reading.check_in), ("departure", file.reading.check_out)] {
        let at = field(name).and_then(when).and_then(|when| when.instant(file.reading, usual));
        if at.is_none() {
            let what = format!("the {name} is no date: expected 2026-07-15, or 2026-07-15T16:00");
            file.wrong(line, column(name), what);
        }
        times.extend(at);
    }
    if let [from, until] = times[..]
        && until <= from
    {
        file.wrong(line, column("departure"), "the departure is not after the arrival");
    }
    if file.mistakes.len() > before {
        return;
    }
    let (Some(room), [from, until]) = (room, &times[..]) else { return };
    let (from, until) = (*from, *until);
    let arrival = day(Some(from), &file.reading.zone);
    let made = || format!("list:{room}:{}", arrival.map(|day| day.to_string()).unwrap_or_default());
    let listed = Listed {
        stay: StayId::new(field("id").map_or_else(made, str::to_owned)),
        from,
        until,
        timed: field("arrival").and_then(when).is_some_and(When::is_timed),
        guest: GuestRecord {
            name: personal(field("name")),
            first_name: personal(field("first_name")),
            title: personal(field("title")),
            language: language(field("language")),
            arrival,
            departure: day(Some(until), &file.reading.zone),
            vip: field("vip").map(str::to_owned),
            phone: personal(field("phone")),
            email: personal(field("email")),
            group: None,
            no_post: None,
        },
        room,
    };
    let at = file.at(line, 1);
    file.stays.push((at, listed));
}

/// `2026-07-15`, `2026-07-15T16:00`, `2026-07-15 16:00:30`, in the property's time.
fn when(text: &str) -> Option<When> {
    if text.len() == 10 {
        return text.parse::<Date>().ok().map(When::Day);
    }
    text.parse::<DateTime>().ok().map(When::Local)
}
