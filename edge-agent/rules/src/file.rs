//! Rule files: read with all faults at once, each at its place.

use engawa_diag::{Doc, Path, Report};
use engawa_model::RoomId;
use engawa_model::rules::RuleFile;

/// The product's own rules, as they are written.
const STANDARD: &str = include_str!("standard.toml");

/// The product's own rules, and their text.
pub fn standard() -> (RuleFile, &'static str) {
    // They are tested when this is built; without them the house still has comfort, eco, leak and smoke.
    (engawa_diag::parse("standard.toml", STANDARD).unwrap_or_default(), STANDARD)
}

/// Reads and checks the rule file `text`, named `file` in reports. Where `rooms` are known, the file's must be among them.
///
/// # Errors
/// All faults of the text.
pub fn load(file: &str, text: &str, rooms: Option<&[RoomId]>) -> Result<RuleFile, Report> {
    let parsed = engawa_diag::read::<RuleFile>(file, text);
    let (doc, mut report) = (parsed.doc, parsed.report);
    let Some(rules) = parsed.value else { return Err(report) };
    for fault in rules.faults() {
        let place = path(&fault.at);
        let around = doc.span_of(&place);
        let within =
            |found: &engawa_diag::Fault| around.start <= found.span.start && found.span.end <= around.end;
        if doc.has(&place) && report.faults.iter().any(within) {
            // It only follows from what is wrong within.
            continue;
        }
        // A fault of a key that is not there belongs to the table that should have it.
        let shown = if doc.has(&place) {
            doc.fault(&place, fault.message)
        } else {
            missing(&doc, &fault.at, fault.message)
        };
        report.push(shown.help(fault.help));
    }
    if let Some(rooms) = rooms {
        unknown_rooms(&rules, rooms, &doc, &mut report);
    }
    report.sort();
    if report.is_empty() { Ok(rules) } else { Err(report) }
}

fn path(at: &[String]) -> Path {
    at.iter().fold(Path::root(), |path, step| match step.parse::<usize>() {
        Ok(index) => path.index(index),
        Err(_) => path.key(step),
    })
}

fn missing(doc: &Doc, at: &[String], message: String) -> engawa_diag::Fault {
    let mut at = at.to_vec();
    while !at.is_empty() && !doc.has(&path(&at)) {
        at.pop();
    }
    doc.fault(&path(&at), message)
}

fn unknown_rooms(rules: &RuleFile, rooms: &[RoomId], doc: &Doc, report: &mut Report) {
    let mut check = |place: Path, room: &RoomId| {
        if !rooms.contains(room) {
            let near = engawa_diag::nearest(room.as_str(), rooms.iter().map(RoomId::as_str));
            let help = near.map_or("rooms are written as in property.rooms".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            report.push(doc.fault(&place, format!("there is no room `{room}`")).help(help));
        }
    };
    for (name, of_type) in &rules.types {
        for (n, room) in of_type.iter().enumerate() {
            check(Path::root().key("types").key(name).index(n), room);
        }
    }
    for (n, rule) in rules.rule.iter().enumerate() {
        for (m, room) in rule.rooms.iter().enumerate() {
            check(Path::root().key("rule").index(n).key("rooms").index(m), room);
        }
    }
}
