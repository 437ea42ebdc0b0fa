//! The log: to standard error, and the last of it in memory, for whoever looks for a fault.
//!
//! Names of guests have a type that can't be printed; what is kept here is masked once more before it goes anywhere.

use crate::config::log::{self, LogConfig};
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Lines that are kept, and the most of one that is, bytes.
const MOST_LINES: usize = 400;
const MOST_LINE: usize = 1024;

/// What the environment says of levels, which goes before the configuration.
const VARIABLE: &str = "RUST_LOG";

/// The running log.
#[derive(Clone)]
pub(crate) struct Logging {
    filter: Option<reload::Handle<Targets, Registry>>,
    kept: Kept,
}

impl Logging {
    /// Starts the log of this process.
    pub(crate) fn start(config: &LogConfig) -> Self {
        let (wanted, fault) =
            match std::env::var(VARIABLE).ok().filter(|it| !it.is_empty()).map(|it| log::levels(&it)) {
                Some(Ok(wanted)) => (wanted, None),
                Some(Err(fault)) => (levels(config), Some(fault)),
                None => (levels(config), None),
            };
        let (filter, handle) = reload::Layer::new(wanted);
        let kept = Kept::default();
        let color = io::stderr().is_terminal();
        tracing_subscriber::registry()
            .with(filter)
            .with(tracing_subscriber::fmt::layer().with_ansi(color).with_writer(io::stderr))
            .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(kept.clone()))
            .init();
        if let Some(error) = fault {
            tracing::warn!(%error, "{VARIABLE} is not understood: the configuration's levels are in force");
        }
        Self { filter: (!is_fixed()).then_some(handle), kept }
    }

    /// From now on the log says what `config` says.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn change(&self, config: &LogConfig) -> Result<(), &'static str> {
        let Some(handle) = &self.filter else { return Err("RUST_LOG goes before it") };
        handle.reload(levels(config)).map_err(|_| "the log has ended")
    }

    /// The last lines, the oldest first.
    pub(crate) fn last(&self) -> Vec<String> {
        self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// What the configuration says; it was checked with the rest.
fn levels(config: &LogConfig) -> Targets {
    log::levels(&config.filter).unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO))
}

fn is_fixed() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<VecDeque<String>>>);

impl MakeWriter<'_> for Kept {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { kept: self.clone(), text: Vec::new() }
    }
}

/// One line on its way; kept when it is whole.
struct Line {
    kept: Kept,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MOST_LINE.saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text).trim_end().to_owned();
        if text.is_empty() {
            return;
        }
        let mut lines = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let kept = Kept::default();
        for n in 0..MOST_LINES + 3 {
            writeln!(kept.make_writer(), "line {n}").unwrap();
        }
        write!(kept.make_writer(), "{}", "x".repeat(5_000)).unwrap();
        let lines = kept.0.lock().unwrap();
        assert_eq!((lines.len(), lines[0].as_str()), (MOST_LINES, "line 4"));
        assert_eq!(lines.back().unwrap().len(), MOST_LINE);
    }
}
