//! `[log]`: what the log says.

use super::{Config, check::at};
use engawa_diag::{Doc, Report};
use serde::Deserialize;
use tracing_subscriber::filter::Targets;

/// The section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// Levels, as `RUST_LOG` has them, which goes before this.
    pub(crate) filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        // The broker's own words would say that it lets everybody in: who may do what is decided by its hooks.
        Self { filter: "info,mqtt5=warn".to_owned() }
    }
}

/// Levels as they are written: `info,engawa_field=debug`. An empty part says nothing.
///
/// # Errors
/// What is wrong with them, in plain words.
pub(crate) fn levels(filter: &str) -> Result<Targets, String> {
    if filter.contains('[') {
        let why = "fields and spans in brackets are not understood: write PROGRAM=LEVEL, such as engawa_field=debug";
        return Err(why.to_owned());
    }
    // Of an empty part the parser would make that all is shown which is an error, and nothing else.
    let parts: Vec<&str> = filter.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join(",").parse().map_err(|error: tracing_subscriber::filter::ParseError| error.to_string())
}

/// What is wrong with it.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let filter = &config.log.filter;
    if let Err(error) = levels(filter) {
        report.push(
            doc.fault(&at("log", "filter"), format!("`{filter}` is no filter of the log: {error}"))
                .label("expected levels such as \"info,engawa_field=debug\""),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn an_empty_part_says_nothing_and_brackets_are_refused() {
        for filter in ["info,mqtt5=warn", "info,mqtt5=warn,", " info , ,mqtt5=warn", ",info,mqtt5=warn"] {
            let levels = levels(filter).unwrap();
            assert!(levels.would_enable("engawa", &Level::INFO), "{filter}");
            assert!(!levels.would_enable("engawa", &Level::DEBUG), "{filter}");
            assert!(levels.would_enable("mqtt5::broker", &Level::WARN), "{filter}");
            assert!(!levels.would_enable("mqtt5::broker", &Level::INFO), "{filter}");
        }
        assert!(levels("info,engawa_field[{device}]=debug").unwrap_err().contains("engawa_field=debug"));
        assert!(levels("info,engawa=loud").is_err());
    }
}
