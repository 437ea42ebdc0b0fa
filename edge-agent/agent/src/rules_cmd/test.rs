//! `engawa rules test`: a recorded day under other rules.

use super::ended;
use crate::cli::{Form, WRONG, show};
use crate::config::{self, files, rules};
use anyhow::Context as _;
use clap::{Args, ValueHint};
use engawa_model::RoomId;
use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::{Policy, RuleFile};
use engawa_rules::{Act, Broken, Day, Outcome, Strictness, compare, replay};
use jiff::tz::TimeZone;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// Which day, which rules.
#[derive(Args)]
pub(crate) struct Test {
    /// The recorded day.
    #[arg(long, value_hint = ValueHint::FilePath)]
    day: PathBuf,
    /// The rules that are tried, on top of the others.
    #[arg(long, value_hint = ValueHint::FilePath)]
    rules: Option<PathBuf>,
    /// The configuration whose rules and firewall are the present ones; without it those of the recorded day.
    #[arg(long, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Only this room.
    #[arg(long)]
    room: Option<String>,
    /// Refuse a day with a broken line in its middle, in place of passing over the line.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    form: Form,
}

impl Test {
    pub(super) fn run(&self) -> u8 {
        let day = match self.day() {
            Ok(day) => day,
            Err(error) => return ended(Err(error.into())),
        };
        if let Some(room) = &self.room
            && let Err(error) = known(room, &day)
        {
            return ended(Err(error.into()));
        }
        tell_broken(&day.broken);
        match self.policies(&day) {
            Ok((now, tried)) => ended(self.play(&day, now, tried).map_err(Into::into)),
            Err(reports) => {
                show(&reports);
                WRONG
            }
        }
    }

    fn day(&self) -> anyhow::Result<Day> {
        let file = std::fs::File::open(&self.day).with_context(|| {
            format!("opening the recorded day {} (`engawa rules days` lists them)", self.day.display())
        })?;
        let strictness = if self.strict { Strictness::Strict } else { Strictness::Lenient };
        Day::read(std::io::BufReader::new(file), strictness)
            .with_context(|| format!("reading {}", self.day.display()))
    }

    /// What governs the house now, and what is tried.
    fn policies(&self, day: &Day) -> Result<(Policy, Option<Policy>), Vec<engawa_diag::Report>> {
        let (mut files, arrival, firewall) = match (&self.config, &day.header.in_force) {
            (Some(path), _) => {
                let loaded = config::load(path)?;
                (loaded.rules, loaded.config.rules.arrival_time, loaded.config.firewall)
            }
            (None, Some(rules)) => (rules.files.clone(), rules.arrival_time, rules.firewall.clone()),
            (None, None) => {
                eprintln!(
                    "engawa: this day does not say the rules of its house: the standard ones stand for the present ones"
                );
                let usual = rules::RulesConfig::default().arrival_time;
                (vec![engawa_rules::standard().0], usual, FirewallConfig::default())
            }
        };
        let spec = &day.header.property;
        let rooms: Vec<RoomId> = spec.rooms.iter().map(|room| room.id.clone()).collect();
        let policy = |files: &[RuleFile]| {
            let files: Vec<&RuleFile> = files.iter().collect();
            rules::policy(&files, &rooms, &spec.zone, arrival, &firewall)
        };
        let now = policy(&files);
        let Some(path) = &self.rules else { return Ok((now, None)) };
        let name = path.display().to_string();
        let tried = files::read(path).and_then(|text| engawa_rules::load(&name, &text, Some(&rooms)));
        files.push(tried.map_err(|report| vec![report])?);
        Ok((now, Some(policy(&files))))
    }

    fn play(&self, day: &Day, now: Policy, tried: Option<Policy>) -> anyhow::Result<()> {
        let zone = now.zone.clone();
        let present = replay(day, now)?;
        let mut out = crate::answer::lock();
        if day.gaps > 0 {
            eprintln!("engawa: {} observations of this day could not be recorded", day.gaps);
        }
        let Some(tried) = tried else {
            for act in present.acts.iter().filter(|act| self.shows(act)) {
                self.line(&mut out, &zone, " ", act)?;
            }
            return self.told(&mut out, day, &[("these rules", &present)]);
        };
        let other = replay(day, tried)?;
        let difference = compare(&present, &other);
        for (only_first, act) in difference.lines.iter().filter(|(_, act)| self.shows(act)) {
            self.line(&mut out, &zone, if *only_first { "-" } else { "+" }, act)?;
        }
        self.told(&mut out, day, &[("present rules", &present), ("rules tried", &other)])?;
        if !self.form.json {
            let plural = |count: usize| if count == 1 { "" } else { "s" };
            let (lines, places) = (difference.lines.len(), difference.places);
            writeln!(out, "{lines} difference{} in {places} place{}", plural(lines), plural(places))?;
        }
        Ok(())
    }

    fn shows(&self, act: &Act) -> bool {
        self.room.as_ref().is_none_or(|room| act.place == *room)
    }

    fn line(
        &self,
        out: &mut impl std::io::Write,
        zone: &TimeZone,
        sign: &str,
        act: &Act,
    ) -> std::io::Result<()> {
        if self.form.json {
            let line = json!({ "sign": sign.trim(), "at": act.at, "place": act.place, "what": act.what });
            return writeln!(out, "{line}");
        }
        let local = zone.to_datetime(act.at);
        writeln!(out, "{sign} {}  {:<8} {}", local.strftime("%m-%d %H:%M:%S"), act.place, act.what)
    }

    fn told(
        &self,
        out: &mut impl std::io::Write,
        day: &Day,
        outcomes: &[(&str, &Outcome)],
    ) -> anyhow::Result<()> {
        if self.form.json {
            return Ok(());
        }
        writeln!(out, "\n{} observations since {}", day.observations.len(), day.header.begun)?;
        for (name, outcome) in outcomes {
            let held = ["held-for-guest", "held-for-staff"]
                .iter()
                .filter_map(|name| outcome.counters.get(*name))
                .sum::<u64>();
            let refused: u64 = outcome
                .counters
                .iter()
                .filter(|(name, _)| name.starts_with("firewall-"))
                .map(|(_, n)| n)
                .sum();
            writeln!(
                out,
                "{name:<14} {:>6} writes, {:>4} alerts, {held:>4} held back for people, {refused:>4} by the firewall",
                outcome.writes, outcome.alerts
            )?;
        }
        Ok(())
    }
}

/// A room of the day's house, not of another.
fn known(room: &str, day: &Day) -> anyhow::Result<()> {
    /// Rooms that are named where one is wrong.
    const NAMED: usize = 12;
    let rooms = &day.header.property.rooms;
    if rooms.iter().any(|known| known.id.as_str() == room) {
        return Ok(());
    }
    let named: Vec<&str> = rooms.iter().take(NAMED).map(|room| room.id.as_str()).collect();
    let more = rooms.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    anyhow::bail!("there is no room `{room}` in this day: its house has {}{more}", named.join(", "))
}

/// What of the day could not be read.
fn tell_broken(broken: &Broken) {
    for (line, why) in &broken.named {
        eprintln!("engawa: line {line} is broken and passed over: {why}");
    }
    if broken.count > 0 {
        let (count, plural) = (broken.count, if broken.count == 1 { "" } else { "s" });
        eprintln!("engawa: {count} broken line{plural} passed over; --strict refuses such a day");
    }
    if broken.cut {
        eprintln!("engawa: the last line has no end, as a power cut leaves it: it is passed over");
    }
}
