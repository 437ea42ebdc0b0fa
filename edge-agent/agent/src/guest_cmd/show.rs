//! Guests as they are printed.

use engawa_store::vault::GuestFile;
use std::io::Write;

/// Prints what was found.
pub(super) fn files(found: &[GuestFile], as_json: bool) -> anyhow::Result<()> {
    let mut out = crate::answer::lock();
    for file in found {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(file)?)?;
            continue;
        }
        let name: Vec<&str> =
            ["title", "first_name", "name"].into_iter().filter_map(|part| file.particular(part)).collect();
        let name = match file.dark {
            Some("erased") => "(erased)".to_owned(),
            Some(_) => "(can't be read: its key is lost)".to_owned(),
            None if name.is_empty() => "(no name)".to_owned(),
            None => name.join(" "),
        };
        let left = file.left.map_or_else(|| "in the house".to_owned(), |left| format!("left {left}"));
        writeln!(out, "{:<12} room {:<8} {name}  {left}", file.reservation.as_str(), file.rooms.join(", "))?;
        let dates =
            [("arrival", &file.arrival), ("departure", &file.departure), ("language", &file.language)];
        let mut about: Vec<String> =
            dates.iter().filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?))).collect();
        about.extend(
            ["phone", "email"].iter().filter_map(|part| Some(format!("{part} {}", file.particular(part)?))),
        );
        if !about.is_empty() {
            writeln!(out, "{:<12} {}", "", about.join(", "))?;
        }
    }
    if found.is_empty() && !as_json {
        writeln!(out, "nobody found")?;
    }
    Ok(())
}
