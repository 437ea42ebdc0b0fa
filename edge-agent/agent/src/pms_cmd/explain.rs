//! `engawa pms explain`: records in plain words.

use super::Fault;
use super::capture::{self, Entry, mark};
use engawa_pms::codec::mask_card_numbers;
use engawa_pms::explain::{Explanation, explain as in_words};
use serde_json::json;
use std::io::{self, BufRead, Write};
use std::path::Path;

/// What to explain, and how.
#[derive(clap::Args)]
pub(crate) struct Explain {
    /// A record (it has a `|`), a capture, or `-` for lines from standard input.
    #[arg(value_parser = crate::words_args::filled)]
    what: String,
    /// Show every field, also of captures.
    #[arg(long)]
    fields: bool,
    /// One JSON object a record, for scripts.
    #[arg(long)]
    json: bool,
}

/// True where nothing is wrong.
pub(super) fn explain(arguments: &Explain) -> Result<bool, Fault> {
    let mut out = crate::answer::lock();
    let mut sound = true;
    let mut show = |entry: &Entry, fields: bool| -> Result<(), Fault> {
        // Whatever was typed in: a card number is shown nowhere.
        let text = mask_card_numbers(&entry.text);
        let explained = in_words(&text, entry.direction);
        sound &= explained.faults.is_empty();
        let written = if arguments.json {
            as_json(&mut out, entry, &text, &explained)
        } else {
            as_text(&mut out, entry, &text, &explained, fields)
        };
        written.map_err(|error| Fault::Failed(format!("writing: {error}")))
    };
    if arguments.what == "-" {
        for (n, line) in io::stdin().lock().lines().enumerate() {
            let line = line.map_err(|error| Fault::Wrong(format!("line {}: {error}", n + 1)))?;
            if let Some(entry) = capture::entry(n + 1, &line) {
                show(&entry, arguments.fields)?;
            }
        }
    } else if arguments.what.contains('|') {
        let Some(entry) = capture::entry(1, &arguments.what) else {
            return Err(Fault::Wrong("that is a comment, not a record".to_owned()));
        };
        show(&entry, true)?;
    } else {
        for entry in capture::load(Path::new(&arguments.what))? {
            show(&entry, arguments.fields)?;
        }
    }
    Ok(sound)
}

fn as_text(
    out: &mut impl Write,
    entry: &Entry,
    text: &str,
    explained: &Explanation,
    fields: bool,
) -> io::Result<()> {
    let mark = entry.direction.map_or("    ", mark);
    // Line ends within a message's text would break the columns.
    let shown: String = text.chars().map(|c| if c.is_control() { '\u{b7}' } else { c }).collect();
    writeln!(out, "{:>5} {mark} {shown}", entry.line)?;
    for fault in &explained.faults {
        writeln!(out, "           {:>width$} {}", "^", fault.what, width = fault.at)?;
    }
    writeln!(out, "           {}", explained.says)?;
    if fields {
        for field in &explained.fields {
            let value: String =
                field.value.chars().map(|c| if c.is_control() { '\u{b7}' } else { c }).collect();
            let means = field.means.as_ref().map_or_else(String::new, |means| format!("  ({means})"));
            writeln!(out, "             {}  {:<24} {value}{means}", field.id, field.name)?;
        }
    }
    Ok(())
}

fn as_json(out: &mut impl Write, entry: &Entry, text: &str, explained: &Explanation) -> io::Result<()> {
    let fields: Vec<_> = explained
        .fields
        .iter()
        .map(
            |field| json!({ "id": field.id, "name": field.name, "value": field.value, "means": field.means }),
        )
        .collect();
    let faults: Vec<_> =
        explained.faults.iter().map(|fault| json!({ "at": fault.at, "what": fault.what })).collect();
    let all = json!({ "line": entry.line, "from": entry.direction.map(mark).map(|mark| mark.trim_end_matches('>')),
        "record": text, "says": explained.says, "fields": fields, "faults": faults });
    writeln!(out, "{all}")
}
