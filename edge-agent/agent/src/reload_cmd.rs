//! `engawa reload`: the running agent reads its configuration again.
#![allow(clippy::print_stdout, reason = "standard output is where the answer goes")]

use crate::asking::{ask_and_wait, asker};
use crate::cli::Failure;
use crate::config::{self, Loaded};
use anyhow::anyhow;
use engawa_model::CommandOutcome;
use serde_json::json;
use std::time::Duration;

/// How long the agent may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Asks the running agent, and prints what has changed.
pub(crate) fn reload(loaded: &Loaded) -> Result<(), Failure> {
    // What a file names is looked at here, too: the agent would say the same in fewer words.
    if let Err(reports) = config::check_named_files(&loaded.file) {
        crate::cli::show(&reports);
        return Err(anyhow!("{} can't be used; nothing has changed", loaded.file.display()).into());
    }
    let mut action = json!({ "do": "reload" });
    if let Some(by) = asker() {
        action["by"] = json!(by);
    }
    let report = ask_and_wait(loaded, "reload", action, LONGEST)?;
    match report.outcome {
        Some(CommandOutcome::Refused { reason } | CommandOutcome::Doubtful { reason }) => {
            Err(anyhow!("{reason}").into())
        }
        _ => {
            println!("{}", report.note.unwrap_or_else(|| "done".to_owned()));
            Ok(())
        }
    }
}
