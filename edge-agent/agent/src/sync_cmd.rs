//! `engawa sync`: the journal and the cloud beside each other, and what to do where they don't fit.

mod reconcile;

use crate::cli::{Failure, File, Form};
use crate::config::Loaded;
use anyhow::Context;
use clap::Subcommand;
use engawa_model::{Lane, Timestamp};
use engawa_store::{DATABASE_FILE, DatabaseKey, LaneMarks, Reader};
use serde_json::json;
use std::io::Write;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compare the journal with what the cloud has, and have it begin anew where the two went different ways
    ///
    /// For a gateway that the cloud turns away because its disk was restored or cloned. Says what is at both ends and what
    /// would happen; changes nothing without --yes. Refuses while another box lives under the same identity.
    #[command(after_help = "How it goes, where the cloud says that it has more than the gateway:
  1  see that no other box has this gateway's name: switch it off, or give it another name (engawa enroll --replace)
  2  where the cloud has fenced it: engawa-cloud gateways unfence NAME
  3  systemctl stop engawa; engawa sync reconcile; engawa sync reconcile --yes; systemctl start engawa

Nothing is lost by it: what the cloud does not have yet is sent in the new epoch, what it has is left out.")]
    Reconcile {
        #[command(flatten)]
        file: File,
        /// Do it: the journal begins a new epoch at the agent's next start.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        form: Form,
    },
}

impl Command {
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Reconcile { file, .. } => file,
        }
    }
}

pub(crate) fn main(command: &Command, loaded: &Loaded) -> Result<(), Failure> {
    match command {
        Command::Reconcile { yes, form, .. } => Ok(reconcile::reconcile(loaded, *yes, form.json)?),
    }
}

pub(crate) fn open(loaded: &Loaded) -> anyhow::Result<(Reader, DatabaseKey)> {
    let key = DatabaseKey::load(&loaded.key_file())?;
    let path = loaded.config.store.dir.join(DATABASE_FILE);
    let reader = Reader::open(&path, &key).context("there is no journal before the agent's first start")?;
    Ok((reader, key))
}

/// One lane as it is shown.
struct Row {
    name: String,
    mark: LaneMarks,
    budget: u64,
    /// Numbers after what the cloud has that have no row any more.
    absent: u64,
    oldest: Option<Timestamp>,
}

/// The lane's name, as in the configuration.
pub(crate) fn name(lane: Lane) -> String {
    let name = serde_json::to_value(lane).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or("?").to_owned()
}

fn rows(loaded: &Loaded, reader: &Reader) -> anyhow::Result<Vec<Row>> {
    let (marks, budget) = (reader.marks()?, loaded.config.journal.limits().budget);
    let row = |lane: Lane| {
        let number = lane.number();
        let mark = marks.iter().find(|mark| mark.lane == number).copied();
        let mark = mark.unwrap_or(LaneMarks { lane: number, ..LaneMarks::default() });
        let waiting = reader.journal(number, mark.acked, 1, 0)?;
        let oldest = waiting.first().and_then(|row| Timestamp::from_microsecond(row.at_micros).ok());
        let absent = (mark.head - mark.acked).saturating_sub(reader.count(number, mark.acked)?);
        Ok(Row { name: name(lane), mark, budget: budget.of(lane), absent, oldest })
    };
    Lane::ALL.into_iter().map(row).collect()
}

/// Prints how far each lane is, what room it takes, and what is missing in it. Reads the store, so it also works while the
/// agent is stopped.
pub(crate) fn status(loaded: &Loaded, as_json: bool) -> anyhow::Result<()> {
    let (reader, _) = open(loaded)?;
    let (rows, epoch, over) = (rows(loaded, &reader)?, reader.epoch()?, reader.carried_over()?);
    let mut out = crate::answer::lock();
    if as_json {
        for Row { name, mark, budget, absent, oldest } in rows {
            let line = json!({ "lane": name, "written": mark.head, "acknowledged": mark.acked,
                "waiting": mark.head - mark.acked, "absent": absent, "bytes": mark.bytes, "budget": budget,
                "oldest_waiting": oldest, "epoch": epoch });
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    match epoch {
        Some(epoch) => writeln!(out, "epoch {epoch}")?,
        None => writeln!(out, "the journal has not begun yet")?,
    }
    if let Some(over) = over {
        writeln!(out, "carried over from epoch {}, which a copy of the database ended", over.epoch)?;
    }
    writeln!(
        out,
        "\n{:<10} {:>10} {:>12} {:>10} {:>8} {:>16}  oldest that waits",
        "lane", "written", "acknowledged", "waiting", "absent", "room"
    )?;
    for Row { name, mark, budget, absent, oldest } in rows {
        #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
        let (mib, of) = (mark.bytes as f64 / f64::from(1 << 20), budget as f64 / f64::from(1 << 20));
        let oldest = oldest.map_or_else(|| "-".to_owned(), |at| at.to_string());
        writeln!(
            out,
            "{name:<10} {:>10} {:>12} {:>10} {absent:>8} {:>16}  {oldest}",
            mark.head,
            mark.acked,
            mark.head - mark.acked,
            format!("{mib:.1} of {of:.0} MiB"),
        )?;
    }
    writeln!(
        out,
        "\nabsent: numbers whose rows were thinned away; the row after them tells what they have become"
    )?;
    Ok(())
}
