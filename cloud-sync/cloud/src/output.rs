//! What goes to standard output, and how text of others is shown.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes a line to standard output.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    // At once, however many lines it has: whoever reads the first only may be gone before the next.
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

/// Writes one line to standard error; where that is closed, nobody reads it.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `text` for a terminal: what a gateway wrote must not move the cursor or change the colours.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            // Writing to a string never fails.
            let _ = write!(plain, "\\u{{{:x}}}", u32::from(character));
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(plain("Zürich 101 \"x\""), "Zürich 101 \"x\"");
        assert_eq!(plain("\u{1b}[2J\u{9b}1m\n"), "\\u{1b}[2J\\u{9b}1m\\u{a}");
    }
}
