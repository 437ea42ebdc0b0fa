//! `engawa-cloud rollout`: what is released to whom, how it goes, and what stops it.

mod plan;

use crate::asker::{self, asker};
use crate::desk::{Desk, Home};
use crate::output::{plain, say};
use clap::{Args, Subcommand};
use engawa_cloud::rollout::acts::{self, By};
use engawa_cloud::rollout::machine::Now;
use engawa_cloud::rollout::plan::{Kind, Release};
use engawa_cloud::rollout::report::report;
use engawa_cloud::rollout::state::{Fleet, Software, Write};
use engawa_cloud::store::StoreError;
use engawa_model::Timestamp;
use plan::NewRollout;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// What can be done with rollouts.
#[derive(Subcommand)]
pub(crate) enum RolloutAct {
    /// Make a rollout of a published release; `start` begins it
    #[command(
        after_help = "Rings are passed one after another: each ends, soaks, and is compared with the one before. Without \
        --ring: canary:10%, early:30%, all, an hour apart. Each gateway judges the conditions by itself, by its \
        property's clocks.\n\nExamples:\n  engawa-cloud rollout create 0.3.0 --window 02:00-05:00 --start\n  engawa-cloud \
        rollout create 0.3.0 --label pilot --ring first:label=canary,soak=1d --ring half:50%,soak=6h,in-flight=100,fail=3/2% \
        --ring rest:all"
    )]
    Create(Box<NewRollout>),
    /// List rollouts, newest last: state, ring, how many have it
    List {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Show one: rings, what their gateways are at, why some failed, what comes next
    Show {
        /// Which, such as r-3.
        id: String,
        /// Each gateway that has had its turn, too.
        #[arg(long)]
        gateways: bool,
        /// JSON, for scripts; with --gateways one more object a line.
        #[arg(long)]
        json: bool,
    },
    /// Begin a rollout
    Start(Said),
    /// Tell nobody else until `resume`; who was told goes on
    Pause(Said),
    /// Go on with one that was paused, or that halted: what halted it counts as looked at
    Resume(Said),
    /// Give a rollout up; who has the version keeps it
    Abort(Said),
    /// Have all that have the version go back to what they had; the version is blocked
    Back(Said),
    /// Give a gateway that failed another turn
    Retry {
        /// Of which rollout.
        id: String,
        /// Which gateway.
        gateway: String,
        #[command(flatten)]
        words: Words,
    },
    /// Offer a version to nobody any more, or not to one gateway; what runs of it halts
    Block {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        words: Words,
    },
    /// Offer a blocked version again
    Unblock {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        words: Words,
    },
    /// List blocked versions, with who blocked them and why
    Blocked {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Give a gateway labels, or take them: cohorts and rings name them
    #[command(after_help = "Example:\n  engawa-cloud rollout label grand-1 --add canary --remove pilot")]
    Label {
        /// Which gateway.
        gateway: String,
        /// A label that it gets; may be given several times.
        #[arg(long)]
        add: Vec<String>,
        /// A label that it loses; may be given several times.
        #[arg(long)]
        remove: Vec<String>,
        #[command(flatten)]
        words: Words,
    },
    /// List which versions run on how many gateways, or on which
    Fleet {
        /// Each gateway.
        #[arg(long)]
        gateways: bool,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// The audit, newest first: who published, revoked and released what to whom, what stopped it, what became of each gateway
    Log {
        /// Only of this rollout.
        id: Option<String>,
        /// Only of this gateway.
        #[arg(long)]
        gateway: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
}

/// Who says it, and why: for the audit.
#[derive(Args)]
pub(crate) struct Words {
    /// Why; it is kept in the audit.
    #[arg(long, default_value = "")]
    why: String,
    /// Who does it, for the audit; without it, the login.
    #[arg(long = "as", value_name = "NAME", value_parser = asker::name)]
    who: Option<String>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// An act on one rollout.
#[derive(Args)]
pub(crate) struct Said {
    /// Which, such as r-3.
    id: String,
    #[command(flatten)]
    words: Words,
}

/// A version, for all or for a gateway.
#[derive(Args)]
pub(crate) struct Which {
    /// Which version.
    version: String,
    /// Only for this gateway.
    #[arg(long, default_value = "", hide_default_value = true)]
    gateway: String,
    /// It is a version of the system image, not of the application.
    #[arg(long)]
    system: bool,
}

impl Which {
    fn kind(&self) -> Kind {
        if self.system { Kind::System } else { Kind::Application }
    }
}

/// `engawa-cloud rollout`.
pub(crate) fn rollout(home: &Home, act: RolloutAct) -> anyhow::Result<()> {
    let desk = home.desk()?;
    match act {
        RolloutAct::Create(new) => plan::create(home, &desk, &new),
        RolloutAct::List { json } => list(&desk, json),
        RolloutAct::Show { id, gateways, json } => show(&desk, &id, gateways, json),
        RolloutAct::Start(said) => on(&desk, &said, acts::start, "is running"),
        RolloutAct::Pause(said) => on(&desk, &said, acts::pause, "is paused: nobody else is told"),
        RolloutAct::Resume(said) => on(&desk, &said, acts::resume, "is running again"),
        RolloutAct::Abort(said) => on(&desk, &said, acts::abort, "is aborted: who has the version keeps it"),
        RolloutAct::Back(said) => on(&desk, &said, acts::back, "goes back, and its version is blocked"),
        RolloutAct::Retry { id, gateway, words } => {
            act_on(&desk, Some(&id), &words, |fleet, by| acts::retry(fleet, &id, &gateway, by))?;
            told(&words, &format!("gateway `{gateway}` has another turn in rollout {id}"))
        }
        RolloutAct::Block { which, words } => {
            let (kind, version, gateway) = (which.kind(), &which.version, &which.gateway);
            act_on(&desk, Some(""), &words, |fleet, by| acts::block(fleet, kind, version, gateway, by))?;
            let fleet = desk.fleet(None)?;
            let unknown = if is_known(&fleet, kind, version) {
                ""
            } else {
                "; no rollout is about such a version, and no gateway has told that it runs it: look whether it is written right"
            };
            told(&words, &format!("version {version} is blocked for {}{unknown}", whom(gateway)))
        }
        RolloutAct::Unblock { which, words } => {
            let (kind, version, gateway) = (which.kind(), &which.version, &which.gateway);
            act_on(&desk, Some(""), &words, |fleet, by| acts::unblock(fleet, kind, version, gateway, by))?;
            told(&words, &format!("version {version} may be offered to {} again", whom(gateway)))
        }
        RolloutAct::Blocked { json } => {
            lines(desk.blocked_versions()?.as_slice(), json, "no version is blocked", |block| {
                format!(
                    "{:<11} {:<12} for {:<20} {}  by {}: {}",
                    block.kind.word(),
                    block.version,
                    whom(&block.gateway),
                    instant(block.at_micros),
                    block.by,
                    block.why
                )
            })
        }
        RolloutAct::Label { gateway, add, remove, words } => {
            if add.is_empty() && remove.is_empty() {
                anyhow::bail!("nothing to do: name a label with --add or --remove");
            }
            act_on(&desk, Some(""), &words, |fleet, by| {
                let labels =
                    add.iter().map(|label| (label, true)).chain(remove.iter().map(|label| (label, false)));
                let mut writes = Vec::new();
                for (label, on) in labels {
                    writes.extend(acts::label(fleet, &gateway, label, on, by)?);
                }
                Ok(writes)
            })?;
            told(&words, &format!("gateway `{gateway}` is labelled anew"))
        }
        RolloutAct::Fleet { gateways, json } => fleet(&desk, gateways, json),
        RolloutAct::Log { id, gateway, limit, json } => {
            if let Some(id) = &id {
                acts::named(&desk.fleet(Some(id))?, id)?;
            }
            let entries = desk.rollout_log(id.as_deref(), gateway.as_deref(), limit)?;
            let none = match &gateway {
                Some(gateway) => format!("the audit has no line of gateway `{}`", gateway.escape_debug()),
                None => "the audit has no line yet".to_owned(),
            };
            lines(&entries, json, &none, |entry| {
                format!(
                    "{} {:<8} {:<20} {:<12} {:<13} {}",
                    instant(entry.at_micros),
                    or_dash(&entry.rollout),
                    or_dash(&entry.gateway),
                    entry.who,
                    entry.what,
                    entry.detail
                )
            })
        }
    }
}

/// Whether a rollout is about a version, or a gateway runs it. A slip in a version must not look like a version that is blocked.
fn is_known(fleet: &Fleet, kind: Kind, version: &str) -> bool {
    let released = |release: &Release| release.kind == kind && release.version == version;
    let runs = |software: &Software| match kind {
        Kind::Application => software.version == version,
        Kind::System => software.system == version,
    };
    fleet.rollouts.values().any(|rollout| released(&rollout.plan.release))
        || fleet.members.values().any(|member| member.software.as_ref().is_some_and(runs))
}

fn whom(gateway: &str) -> String {
    if gateway.is_empty() { "all".to_owned() } else { format!("gateway `{gateway}`") }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn instant(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| "-".to_owned(), |at| format!("{at:.0}"))
}

/// The time for a report: nothing is excused by a cloud that was away.
fn now() -> Now {
    Now { micros: Timestamp::now().as_microsecond(), serving_since: 0 }
}

/// A line for each; where there is none, people are told so (`none`).
fn lines<T: Serialize>(
    items: &[T],
    json: bool,
    none: &str,
    line: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    let text = |item| if json { Ok(serde_json::to_string(item)?) } else { Ok(plain(&line(item))) };
    let all: Vec<String> = items.iter().map(text).collect::<anyhow::Result<_>>()?;
    match (all.is_empty(), json) {
        (false, _) => say(&all.join("\n")),
        (true, false) => say(none),
        (true, true) => Ok(()),
    }
}

/// Says that it is done.
fn told(words: &Words, what: &str) -> anyhow::Result<()> {
    if words.json { say(&json!({ "done": what }).to_string()) } else { say(what) }
}

/// Does what an act decides, in one transaction.
fn act_on(
    desk: &Desk,
    of: Option<&str>,
    words: &Words,
    act: impl FnOnce(&Fleet, By<'_>) -> Result<Vec<Write>, engawa_cloud::rollout::Refused>,
) -> anyhow::Result<()> {
    let who = asker(words.who.clone()).unwrap_or_else(|| "somebody".to_owned());
    let by = By { who: &who, why: &words.why, micros: Timestamp::now().as_microsecond() };
    desk.rollout_act(of, |fleet| act(fleet, by).map(|writes| ((), writes)).map_err(StoreError::from))
}

type Act =
    for<'a, 'b, 'c> fn(&'a Fleet, &'b str, By<'c>) -> Result<Vec<Write>, engawa_cloud::rollout::Refused>;

fn on(desk: &Desk, said: &Said, act: Act, outcome: &str) -> anyhow::Result<()> {
    act_on(desk, Some(&said.id), &said.words, |fleet, by| act(fleet, &said.id, by))?;
    told(&said.words, &format!("rollout {} {outcome}", said.id))
}

fn list(desk: &Desk, json: bool) -> anyhow::Result<()> {
    let fleet = desk.fleet(None)?;
    let mut rollouts: Vec<_> = fleet.rollouts.values().collect();
    rollouts.sort_by_key(|rollout| rollout.number);
    let reports: Vec<_> = rollouts.into_iter().map(|rollout| report(rollout, &fleet, now())).collect();
    let none = "there is no rollout: `engawa-cloud rollout create` makes one";
    lines(&reports, json, none, engawa_cloud::rollout::report::Report::line)
}

fn show(desk: &Desk, id: &str, gateways: bool, json: bool) -> anyhow::Result<()> {
    let fleet = desk.fleet(Some(id))?;
    let report = report(acts::named(&fleet, id)?, &fleet, now());
    if json {
        say(&serde_json::to_string(&report)?)?;
    } else {
        let text = report.text(now());
        say(&text.lines().map(plain).collect::<Vec<_>>().join("\n"))?;
    }
    if !gateways {
        return Ok(());
    }
    if !json {
        say("")?;
    }
    let rows: Vec<_> = fleet.rows_of(id).collect();
    lines(&rows, json, "no gateway has had its turn", |row| {
        let ring = report.rollout.plan.rings.get(row.ring as usize).map_or("-", |ring| &ring.name);
        format!(
            "{:<20} {:<12} {:<11} since {}  {} -> {}  {}",
            row.gateway,
            ring,
            row.step.word(),
            instant(row.step_micros),
            row.from_version,
            row.version,
            row.reason
        )
    })
}

fn fleet(desk: &Desk, gateways: bool, json: bool) -> anyhow::Result<()> {
    let fleet = desk.fleet(Some(""))?;
    let members: Vec<_> = fleet.members.values().collect();
    if gateways {
        return lines(&members, json, "there is no gateway", |member| {
            let labels: Vec<&str> = member.labels.iter().map(String::as_str).collect();
            let what = member.software.as_ref().map_or_else(
                || "has never asked for updates".to_owned(),
                |software| {
                    format!(
                        "{} ({}) in slot {}, system {}, {} on {}, floor {}, asked {}",
                        software.version,
                        software.number,
                        or_dash(&software.slot),
                        or_dash(&software.system),
                        or_dash(&software.triple),
                        or_dash(&software.hardware),
                        software.floor,
                        instant(software.asked_micros)
                    )
                },
            );
            format!("{:<20} {:<16} {what}  {}", member.gateway, member.property, labels.join(" "))
        });
    }
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Runs {
        version: String,
        triple: String,
        hardware: String,
        system: String,
        gateways: usize,
        connected: usize,
    }
    let mut runs: BTreeMap<[String; 4], (usize, usize)> = BTreeMap::new();
    for member in members {
        let software = member.software.clone().unwrap_or_default();
        let key = [software.version, software.triple, software.hardware, software.system];
        let count = runs.entry(key).or_default();
        count.0 += 1;
        count.1 += usize::from(member.connected);
    }
    let runs: Vec<Runs> = runs
        .into_iter()
        .map(|([version, triple, hardware, system], (gateways, connected))| Runs {
            version,
            triple,
            hardware,
            system,
            gateways,
            connected,
        })
        .collect();
    lines(&runs, json, "there is no gateway", |runs| {
        let version = if runs.version.is_empty() { "never asked" } else { &runs.version };
        format!(
            "{version:<14} {:<28} {:<14} system {:<10} {:>6} gateways, {:>6} connected",
            or_dash(&runs.triple),
            or_dash(&runs.hardware),
            or_dash(&runs.system),
            runs.gateways,
            runs.connected
        )
    })
}
