//! The hotel's own log of what it played: `played.jsonl`, one JSON object a line.

use anyhow::Context;
use serde_json::Value;
use std::path::Path;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, microseconds since the Unix epoch.
    pub at: i64,
    /// What: `checked_in`, `moved`, ...
    pub event: String,
    /// The whole line.
    pub body: Value,
}

impl Event {
    /// A field of the line as text; empty where it is absent.
    pub fn text(&self, field: &str) -> String {
        match &self.body[field] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    /// A field of the line as a whole number.
    pub fn number(&self, field: &str) -> i64 {
        self.body[field].as_i64().unwrap_or_default()
    }

    /// A field of the line in hundredths: set points compare as whole numbers.
    pub fn hundredths(&self, field: &str) -> i64 {
        hundredths(&self.body[field])
    }
}

/// A number in hundredths.
pub fn hundredths(value: &Value) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "set points are small")]
    let rounded = (value.as_f64().unwrap_or(f64::NAN) * 100.0).round() as i64;
    rounded
}

/// Reads the whole lines of the log.
///
/// # Errors
/// It can't be read, or a line is not what it should be.
pub fn read(path: &Path) -> anyhow::Result<Vec<Event>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |(n, line): (usize, &str)| -> anyhow::Result<Event> {
        let body: Value =
            serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), n + 1))?;
        let at = body["t"].as_i64().with_context(|| format!("{}:{}: no `t`", path.display(), n + 1))?;
        let event = body["event"].as_str().unwrap_or_default().to_owned();
        Ok(Event { at, event, body })
    };
    whole.lines().enumerate().map(line).collect()
}

/// The events of one kind, in order.
pub fn of<'a>(events: &'a [Event], kind: &'a str) -> impl Iterator<Item = &'a Event> {
    events.iter().filter(move |event| event.event == kind)
}
