//! What is done with a repository so that it stays good: its expiry watched, its timestamp renewed, old releases retired.

use super::{Releases, show};
use crate::asker::{self, asker};
use crate::desk::Home;
use crate::output::{plain, say};
use crate::release::audit;
use crate::release::draft::Draft;
use crate::release::expiry;
use crate::release::folder::Folder;
use crate::release::online::{self, By, Online};
use crate::release::retire;
use anyhow::{Context, bail};
use engawa_cloud::rollout::in_use::in_use;
use engawa_cloud::rollout::plan::Kind;
use engawa_cloud::store::DATABASE_FILE;
use jiff::Timestamp as Instant;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How expiry is told.
#[derive(clap::Args)]
pub(crate) struct Telling {
    /// Fail where root or targets have fewer days left: for a job that somebody hears of.
    #[arg(long, value_name = "DAYS")]
    within: Option<i64>,
    /// One JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
    /// Gauges in Prometheus' text format, as node_exporter's textfile collector reads them.
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
}

/// `engawa-cloud release expiry`.
pub(super) fn expiry(
    home: &Home,
    releases: &Releases,
    telling: &Telling,
    now: Instant,
) -> anyhow::Result<()> {
    let all = expiry::all(&releases.folder(home))?;
    if telling.metrics {
        say(expiry::metrics(&all, now).trim_end())?;
    } else {
        for expiry in &all {
            say(&if telling.json { expiry.json(now).to_string() } else { expiry.line(now) })?;
        }
    }
    let late = all.iter().filter(|expiry| expiry.is_peoples());
    let late = telling.within.and_then(|days| late.into_iter().find(|late| late.days_left(now) < days));
    if let Some(late) = late {
        let left = match late.days_left(now) {
            _ if late.expires <= now => format!("has expired at {}", late.expires),
            left => format!("is good for {left} days more"),
        };
        bail!(
            "the releases' {} metadata {left}: sign it anew (engawa-cloud release root, create or revoke), or gateways take no release any more",
            late.role
        );
    }
    Ok(())
}

/// `engawa-cloud release renew`.
pub(super) fn renew(home: &Home, releases: &Releases, by: By, who: &str) -> anyhow::Result<()> {
    let folder = releases.folder(home);
    let online = Online::load(&home.dir)?;
    if folder.timestamp()?.is_none() {
        bail!(
            "there is no published repository in {}: see `engawa-cloud release init`",
            folder.dir().display()
        );
    }
    online::renew(&folder, &online, by)?;
    audit::renewed(&folder, who, by.now, by.is_right)?;
    enter(home, &folder);
    let renewed = folder.timestamp()?.context("the timestamp that was just written is gone")?.metadata;
    say(&format!("the timestamp is version {}, good until {}", renewed.version, renewed.expires))
}

/// Who signs by the cloud's keys, and what is said of this machine's clock.
#[derive(clap::Args)]
pub(crate) struct Clock {
    /// Sign though the newest timestamp says that it was signed later than now: the clock that signed it was ahead, and this one
    /// is right. Look at it first.
    #[arg(long)]
    clock_is_right: bool,
    /// Who does it, for the audit; without it, the login.
    #[arg(long = "as", value_name = "NAME", value_parser = asker::name)]
    who: Option<String>,
}

impl Clock {
    /// The time by which is signed.
    pub(super) fn by(&self, now: Instant) -> By {
        By { now, is_right: self.clock_is_right }
    }

    /// Who it is.
    pub(super) fn who(&self) -> String {
        asker(self.who.clone()).unwrap_or_else(|| "somebody".to_owned())
    }
}

/// Enters what the repository's audit says into the cloud's, where its database is at hand; `serve` does so too.
pub(super) fn enter(home: &Home, folder: &Folder) {
    if home.database.is_none() && !home.dir.join(DATABASE_FILE).exists() {
        return;
    }
    let entered =
        audit::entries(folder).and_then(|entries| home.desk().and_then(|desk| desk.publications(&entries)));
    if let Err(error) = entered {
        eprintln!(
            "it is not in the cloud's audit yet, and `serve` enters it from {}: {error:#}",
            audit::path(folder).display()
        );
    }
}

/// `engawa-cloud release log`.
pub(super) fn log(folder: &Folder, limit: u32, json: bool) -> anyhow::Result<()> {
    let entries = audit::entries(folder)?;
    if entries.is_empty() && !json {
        return say(&format!("{} has no line: nothing was published", audit::path(folder).display()));
    }
    for (_, entry) in entries.into_iter().rev().take(limit as usize) {
        if json {
            let line = serde_json::json!({
                "at_micros": entry.at_micros, "who": entry.who, "what": entry.what, "detail": entry.detail,
            });
            say(&line.to_string())?;
            continue;
        }
        let at = Instant::from_microsecond(entry.at_micros)
            .map_or_else(|_| "-".to_owned(), |at| format!("{at:.0}"));
        say(&plain(&format!("{at} {:<12} {:<11} {}", entry.who, entry.what, entry.detail)))?;
    }
    Ok(())
}

/// Which versions somebody has by now, or may go back to.
pub(super) fn in_use_now(home: &Home) -> anyhow::Result<BTreeSet<(Kind, String)>> {
    let fleet = home.desk().and_then(|desk| desk.fleet(None)).context(
        "releases go that were not revoked, and who has them is asked first: on the machine with the cloud's database, or with --even-in-use",
    )?;
    Ok(in_use(&fleet))
}

/// What is retired.
#[derive(clap::Args)]
pub(crate) struct Retiring {
    /// The draft's folder.
    #[arg(long, value_hint = clap::ValueHint::DirPath)]
    draft: PathBuf,
    /// How many releases stay of each line: the newest, by number, of what runs on one triple and one set of boards.
    #[arg(long, default_value_t = retire::KEPT, value_parser = at_least_one, value_name = "COUNT")]
    keep: usize,
    /// Only of this triple (or, of system images, this board).
    #[arg(long)]
    triple: Option<String>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number from 1 on".to_owned())
}

/// `engawa-cloud release retire`.
pub(super) fn retire(home: &Home, releases: &Releases, what: &Retiring, now: Instant) -> anyhow::Result<()> {
    // First, so that without it no draft is begun: nobody knows who has what.
    let fleet = home.desk()?.fleet(None).context("which releases gateways have is asked first")?;
    let draft = Draft::new(Path::new(&what.draft));
    let mut targets = draft.edit(&releases.folder(home), now)?;
    let retired = retire::retire(&mut targets, what.keep, what.triple.as_deref(), &in_use(&fleet));
    for folder in &retired.in_use {
        say(&plain(&format!("stays: {folder}, which a gateway or a rollout has")))?;
    }
    if retired.gone.is_empty() {
        bail!(
            "nothing is older than the newest {} of its line and used by nobody: nothing is retired",
            what.keep
        );
    }
    let silent = fleet.members.values().filter(|member| member.software.is_none()).count();
    if silent > 0 {
        say(&format!("{silent} gateways have never told what they run: see `engawa-cloud rollout fleet`"))?;
    }
    draft.put_targets(&targets)?;
    show(&draft, false)
}
