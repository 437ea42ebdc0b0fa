//! `engawa-cloud rollout create`: the plan from the words of the command line.

use crate::asker::{self, asker};
use crate::desk::{Desk, Home};
use crate::output::say;
use anyhow::Context;
use clap::{Args, ValueEnum};
use engawa_cloud::rollout::Refused;
use engawa_cloud::rollout::acts::{self, By};
use engawa_cloud::rollout::catalogue::folder::Shelf;
use engawa_cloud::rollout::plan::{Cohort, Kind, Plan, Ring, WHOLE, seconds, share, usual_rings};
use engawa_cloud::rollout::report::report;
use engawa_cloud::store::StoreError;
use engawa_model::Timestamp;
use engawa_release::conditions::{Conditions, Hours};
use serde_json::json;
use std::path::PathBuf;

/// When a gateway does not switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NotDuring {
    /// An hour around the usual time of night audit.
    NightAudit,
    /// While guests come.
    CheckInPeak,
    /// At no such time; while a night audit runs nothing is switched all the same.
    None,
}

/// A new rollout.
#[derive(Args)]
pub(crate) struct NewRollout {
    /// Which version, as it was published.
    version: String,
    /// It is a version of the system image, not of the application: gateways that run one install it and start anew.
    #[arg(long)]
    system: bool,
    /// Only gateways of this property; may be given several times. Without any of these: all gateways.
    #[arg(long, help_heading = "Cohort")]
    property: Vec<String>,
    /// Only gateways with this label (or another one named); may be given several times.
    #[arg(long, help_heading = "Cohort")]
    label: Vec<String>,
    /// Only gateways of this region; may be given several times.
    #[arg(long, help_heading = "Cohort")]
    region: Vec<String>,
    /// Only gateways on this board; may be given several times.
    #[arg(long, help_heading = "Cohort")]
    hardware: Vec<String>,
    /// Only this gateway; may be given several times.
    #[arg(long, help_heading = "Cohort")]
    gateway: Vec<String>,
    /// A ring: NAME:WHO[,soak=1h][,in-flight=50][,fail=2/2%][,worse=5%], WHO being 10% (of the cohort, the rings before
    /// included), all, or label=NAME; may be given several times, in their order.
    #[arg(long, value_name = "RING", value_parser = ring, help_heading = "Rings")]
    ring: Vec<Ring>,
    /// A gateway that has not begun in this time is not waited for any more; it gets the release when it is back.
    #[arg(long, value_name = "TIME", default_value = "48h", value_parser = time, help_heading = "Rings")]
    away_after: u32,
    /// A gateway that has switched and is not heard of for so long counts as failed.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time, help_heading = "Rings")]
    trial: u32,
    /// A ring, but for the last, ends well only where so much of it was confirmed.
    #[arg(long, value_name = "PERCENT", default_value = "50%", value_parser = part, help_heading = "Rings")]
    proof: u32,
    /// Switch only in these hours of the property's day.
    #[arg(long, value_name = "FROM-TO", value_parser = hours, help_heading = "Conditions")]
    window: Option<Hours>,
    /// Do not switch at these times.
    #[arg(
        long,
        value_delimiter = ',',
        default_values = ["night-audit", "check-in-peak"],
        help_heading = "Conditions"
    )]
    not_during: Vec<NotDuring>,
    /// The hours of check-in, where the house does not know when guests come.
    #[arg(long, value_name = "FROM-TO", value_parser = hours, help_heading = "Conditions")]
    check_in: Option<Hours>,
    /// Do not switch before, such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "INSTANT", help_heading = "Conditions")]
    not_before: Option<Timestamp>,
    /// Do not switch from then on.
    #[arg(long, value_name = "INSTANT", help_heading = "Conditions")]
    not_after: Option<Timestamp>,
    /// Do not switch in a house that is fuller than this, percent of its rooms.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Conditions")]
    fullest: Option<u8>,
    /// The repository of releases [default: releases in the cloud's folder].
    #[arg(long, value_name = "DIR", env = "ENGAWA_CLOUD_RELEASES", value_hint = clap::ValueHint::DirPath)]
    releases: Option<PathBuf>,
    /// Begin it at once.
    #[arg(long)]
    start: bool,
    /// Why; it is kept in the audit.
    #[arg(long, default_value = "", hide_default_value = true)]
    why: String,
    /// Who does it, for the audit; without it, the login.
    #[arg(long = "as", value_name = "NAME", value_parser = asker::name)]
    who: Option<String>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
}

fn ring(text: &str) -> Result<Ring, Refused> {
    Ring::parse(text)
}

fn time(text: &str) -> Result<u32, String> {
    seconds(text).ok_or_else(|| "expected a time such as 90s, 30m, 6h or 2d".to_owned())
}

fn part(text: &str) -> Result<u32, String> {
    share(text).ok_or_else(|| "expected a percentage such as 50%".to_owned())
}

fn hours(text: &str) -> Result<Hours, String> {
    Hours::parse(text).map_err(|error| error.to_string())
}

impl NewRollout {
    /// The conditions, as gateways read them.
    fn conditions(&self) -> anyhow::Result<serde_json::Value> {
        let usual = Conditions::default();
        let not_during = |what| self.not_during.contains(&what);
        let conditions = Conditions {
            window: self.window,
            not_before: self.not_before,
            not_after: self.not_after,
            audit_margin_min: if not_during(NotDuring::NightAudit) { usual.audit_margin_min } else { 0 },
            check_in: self.check_in.or(usual.check_in).filter(|_| not_during(NotDuring::CheckInPeak)),
            fullest_percent: self.fullest,
        };
        conditions.check()?;
        Ok(serde_json::to_value(&conditions)?)
    }

    fn plan(&self, home: &Home) -> anyhow::Result<Plan> {
        let kind = if self.system { Kind::System } else { Kind::Application };
        let dir = self.releases.clone().unwrap_or_else(|| home.dir.join("releases"));
        let catalogue = Shelf::new(dir.clone()).look().with_context(|| {
            format!(
                "release {} can't be looked up in {} (--releases names another folder)",
                self.version,
                dir.display()
            )
        })?;
        let set = |list: &[String]| list.iter().cloned().collect();
        let mut rings = self.ring.clone();
        if rings.is_empty() {
            rings = usual_rings();
        }
        Ok(Plan {
            release: catalogue.release(kind, &self.version)?,
            cohort: Cohort {
                properties: set(&self.property),
                labels: set(&self.label),
                regions: set(&self.region),
                hardware: set(&self.hardware),
                gateways: set(&self.gateway),
            },
            rings,
            conditions: self.conditions()?,
            away_after_s: self.away_after,
            trial_s: self.trial,
            proof: self.proof.min(WHOLE),
            catalogue: catalogue.version(),
        })
    }
}

/// `engawa-cloud rollout create`.
pub(super) fn create(home: &Home, desk: &Desk, new: &NewRollout) -> anyhow::Result<()> {
    let plan = new.plan(home)?;
    let who = asker(new.who.clone()).unwrap_or_else(|| "somebody".to_owned());
    let by = By { who: &who, why: &new.why, micros: Timestamp::now().as_microsecond() };
    let made = desk.rollout_act(None, |fleet| {
        // A slip in a name must not look like a small cohort.
        for gateway in &plan.cohort.gateways {
            if !fleet.members.contains_key(gateway) {
                return Err(StoreError::NoGateway(gateway.clone()));
            }
        }
        let (rollout, mut writes) = acts::create(fleet, plan, by)?;
        let mut fleet = fleet.clone();
        writes.iter().for_each(|write| fleet.apply(write));
        if new.start {
            let more = acts::start(&fleet, &rollout.id, by)?;
            more.iter().for_each(|write| fleet.apply(write));
            writes.extend(more);
        }
        let made = acts::named(&fleet, &rollout.id)?;
        Ok((report(made, &fleet, super::now()), writes))
    })?;
    if new.json {
        return say(&serde_json::to_string(&json!(made))?);
    }
    say(&made.text(super::now()))
}
