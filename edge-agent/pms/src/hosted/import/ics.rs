//! Calendars: an event a stay (RFC 5545, as far as a list of stays needs it).
//!
//! Written here because the crates that read calendars bring a second library for time, and tell no columns. Only
//! what a stay needs is read: content lines, VEVENT with UID, DTSTART, DTEND, SUMMARY, LOCATION and STATUS. A repeated
//! event is no stay and is said to be none.

use super::super::guests::{day, personal};
use super::{File, Listed, When};
use engawa_model::{GuestRecord, RoomId, StayId};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// One content line, unfolded, with the place where it began.
struct Line {
    number: u64,
    text: String,
}

/// An event that is being read.
#[derive(Default)]
struct Event {
    line: u64,
    uid: Option<String>,
    start: Option<When>,
    end: Option<When>,
    summary: Option<String>,
    location: Option<(u64, u64, String)>,
    cancelled: bool,
    broken: bool,
}

pub(super) fn read(file: &mut File<'_>, text: &str) {
    let lines = unfold(text);
    if lines.first().is_none_or(|line| !line.text.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return file.wrong(1, 1, "this is no calendar: expected BEGIN:VCALENDAR");
    }
    let named = file.name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(stem, _)| stem);
    let of_file = named.map(RoomId::from).filter(|room| file.reading.rooms.contains(room));
    let mut event: Option<Event> = None;
    // Parts within an event, such as alarms, have properties of the same names.
    let mut inner = 0_u32;
    let mut ended = false;
    for line in &lines {
        let Some((name, parameters, value, column)) = property(&line.text) else {
            file.wrong(line.number, 1, "this line is no property: expected NAME:value");
            continue;
        };
        match (name.as_str(), &mut event) {
            ("BEGIN", None) if value.eq_ignore_ascii_case("VEVENT") => {
                event = Some(Event { line: line.number, ..Event::default() });
            }
            ("BEGIN", Some(_)) => inner += 1,
            ("END", Some(_)) if inner > 0 => inner -= 1,
            ("END", Some(_)) => {
                if let Some(done) = event.take() {
                    finish(file, done, of_file.as_ref());
                }
            }
            ("END", None) if value.eq_ignore_ascii_case("VCALENDAR") => ended = true,
            (_, Some(event)) if inner == 0 => one(file, event, line, &name, &parameters, value, column),
            _ => {}
        }
    }
    if event.is_some() || !ended {
        let last = lines.last().map_or(1, |line| line.number);
        file.wrong(last, 1, "the calendar ends too early: expected END:VCALENDAR");
    }
}

fn one(
    file: &mut File<'_>,
    event: &mut Event,
    line: &Line,
    name: &str,
    parameters: &[(String, String)],
    value: &str,
    column: u64,
) {
    match name {
        "UID" => event.uid = Some(value.to_owned()),
        "SUMMARY" => event.summary = Some(unescape(value)),
        "LOCATION" => event.location = Some((line.number, column, unescape(value))),
        "STATUS" => event.cancelled = value.eq_ignore_ascii_case("CANCELLED"),
        "DTSTART" | "DTEND" => {
            let at = when(value, parameters);
            match at {
                Some(at) if name == "DTSTART" => event.start = Some(at),
                Some(at) => event.end = Some(at),
                None => {
                    event.broken = true;
                    let what =
                        format!("{name} is no date: expected 20260715, 20260715T150000 or 20260715T130000Z");
                    file.wrong(line.number, column, what);
                }
            }
        }
        "RRULE" | "RDATE" => {
            event.broken = true;
            file.wrong(line.number, 1, "a repeated event is no stay: write each stay as an event of its own");
        }
        _ => {}
    }
}

fn finish(file: &mut File<'_>, event: Event, of_file: Option<&RoomId>) {
    if event.cancelled || event.broken {
        return;
    }
    let room = match (event.location, of_file) {
        (_, Some(room)) => room.clone(),
        (Some((line, column, text)), None) => {
            let room = RoomId::from(text.trim());
            if !file.reading.rooms.contains(&room) {
                let what = format!("there is no room `{room}`: name the file by its room, such as 101.ics");
                return file.wrong(line, column, what);
            }
            room
        }
        (None, None) => {
            let what = "no room: name the file by its room, such as 101.ics, or add LOCATION";
            return file.wrong(event.line, 1, what);
        }
    };
    let (Some(uid), Some(start), Some(end)) = (event.uid, event.start, event.end) else {
        return file.wrong(event.line, 1, "the event needs UID, DTSTART and DTEND");
    };
    let from = start.instant(file.reading, file.reading.check_in);
    let until = end.instant(file.reading, file.reading.check_out);
    let (Some(from), Some(until)) = (from, until) else {
        return file.wrong(event.line, 1, "the event is outside the years that can be counted");
    };
    if until <= from {
        return file.wrong(event.line, 1, "DTEND is not after DTSTART");
    }
    let guest = GuestRecord {
        name: personal(event.summary.as_deref()),
        arrival: day(Some(from), &file.reading.zone),
        departure: day(Some(until), &file.reading.zone),
        ..GuestRecord::default()
    };
    let at = file.at(event.line, 1);
    // Two rooms' calendars may use the same identifiers.
    let stay = StayId::new(format!("calendar:{room}:{uid}"));
    file.stays.push((at, Listed { stay, room, from, until, timed: start.is_timed(), guest }));
}

/// Content lines: a line that begins with a blank goes on with the one before (RFC 5545, 3.1).
fn unfold(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let text = text.strip_suffix('\r').unwrap_or(text);
        match (text.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some(last)) => last.text.push_str(more),
            _ if text.is_empty() => {}
            _ => lines.push(Line { number, text: text.to_owned() }),
        }
    }
    lines
}

type Parameters = Vec<(String, String)>;

/// Name, parameters, value, and the column where the value begins.
fn property(text: &str) -> Option<(String, Parameters, &str, u64)> {
    let mut quoted = false;
    let colon = text.char_indices().find(|(_, c)| {
        if *c == '"' {
            quoted = !quoted;
        }
        *c == ':' && !quoted
    })?;
    let (head, value) = (&text[..colon.0], &text[colon.0 + 1..]);
    let mut parts = head.split(';');
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_uppercase();
    let parameters = parts.filter_map(|part| {
        let (key, value) = part.split_once('=')?;
        Some((key.to_ascii_uppercase(), value.trim_matches('"').to_owned()))
    });
    let column = text[..=colon.0].chars().count() as u64 + 1;
    Some((name, parameters.collect(), value, column))
}

fn when(value: &str, parameters: &[(String, String)]) -> Option<When> {
    if value.len() == 8 {
        return Date::strptime("%Y%m%d", value).ok().map(When::Day);
    }
    let (text, utc) = match value.strip_suffix('Z') {
        Some(text) => (text, true),
        None => (value, false),
    };
    let at = DateTime::strptime("%Y%m%dT%H%M%S", text).ok()?;
    if utc {
        return TimeZone::UTC.to_timestamp(at).ok().map(When::Instant);
    }
    match parameters.iter().find(|(name, _)| name == "TZID") {
        None => Some(When::Local(at)),
        Some((_, zone)) => {
            let zone = TimeZone::get(zone).ok()?;
            zone.to_ambiguous_timestamp(at).compatible().ok().map(When::Instant)
        }
    }
}

/// RFC 5545, 3.3.11.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push(' '),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}
