//! `engawa pms resync`: the PMS is asked for the list of the house.

use super::Fault;
use crate::asking::ask;
use crate::cli::{Failure, show};
use crate::config;
use clap::{Args, ValueHint};
use engawa_pms::link::link_id;
use serde_json::json;
use std::path::PathBuf;

/// `engawa pms resync`.
#[derive(Args)]
pub(crate) struct Resync {
    /// Which PMS, as `engawa status` names its link, or by its name in [[pms]]; all where absent.
    link: Option<String>,
    /// The list that comes is right, whoever it checks out.
    #[arg(long, requires = "link")]
    accept: bool,
    /// The configuration.
    #[arg(long, env = "ENGAWA_CONFIG", default_value = "/etc/engawa/engawa.toml", value_hint = ValueHint::FilePath)]
    config: PathBuf,
}

/// Asks the running agent.
pub(super) fn resync(resync: &Resync) -> Result<bool, Fault> {
    let loaded = config::load(&resync.config).map_err(|reports| {
        show(&reports);
        Fault::Wrong(format!("{} can't be used", resync.config.display()))
    })?;
    let known = loaded.config.pms_link_ids();
    if known.is_empty() {
        return Err(Fault::Wrong(
            "this house has no PMS that could be asked: see [pms] and [hosted]".to_owned(),
        ));
    }
    let link = match &resync.link {
        None => None,
        Some(word) => {
            let meant = known.iter().find(|link| link.as_str() == word || **link == link_id(Some(word)));
            let names = || known.iter().map(|link| format!("`{link}`")).collect::<Vec<_>>().join(", ");
            Some(meant.ok_or_else(|| {
                Fault::Wrong(format!("there is no PMS `{word}`: this house has {}", names()))
            })?)
        }
    };
    ask(&loaded, "pms", json!({ "do": "ask-list", "link": link, "accept": resync.accept })).map_err(
        |failure| match failure {
            Failure::NotRunning(error) => Fault::NotRunning(format!("{error:#}")),
            Failure::Failed(error) => Fault::Failed(format!("{error:#}")),
        },
    )?;
    let whom = link.map_or_else(|| "every PMS".to_owned(), |link| format!("`{link}`"));
    let believed = if resync.accept { "; its list is believed, whoever it checks out" } else { "" };
    println!("{whom} is asked for the list of the house{believed}; `engawa log` tells when it is complete");
    Ok(true)
}
