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

/// What is wrong with it.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let filter = &config.log.filter;
    if let Err(error) = filter.parse::<Targets>() {
        report.push(
            doc.fault(&at("log", "filter"), format!("`{filter}` is no filter of the log: {error}"))
                .label("expected levels such as \"info,engawa_field=debug\""),
        );
    }
}
