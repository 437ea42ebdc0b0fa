//! `engawa sync reconcile`.

use super::{name, open};
use crate::config::Loaded;
use anyhow::{Context, bail};
use engawa_link::{Renewal, Tuning};
use engawa_model::{Change, Lane};
use engawa_protocol::frame::Mark;
use engawa_protocol::ports::Row;
use engawa_protocol::reconcile::{MOST_ROWS, Print, Search, SyncStanding};
use engawa_store::{JournalRow, LaneMarks, Reader, begin_anew_when_opened, is_in_use};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds in which the place is found where two journals part: each is a question, and leaves a fiftieth of what is open.
const MOST_ROUNDS: usize = 16;
/// How long the cloud may take to see that the agent's last session is over; it misses signs of life sooner.
const LAST_SESSION: Duration = Duration::from_secs(90);
/// Rows that a block of thinned ones may have; the store makes none of more.
const MOST_IN_BLOCK: usize = 16_384;

/// One lane at both ends.
struct Ends {
    lane: Lane,
    mark: LaneMarks,
    /// What the cloud has of this epoch.
    cloud: u64,
    /// The last number up to which both have the same rows.
    shared: u64,
    /// The last number that the cloud may have in another form: what was thinned here since.
    doubtful: u64,
}

impl Ends {
    /// The cloud has rows that this journal has not, or other ones.
    fn parted(&self) -> bool {
        self.shared < self.cloud
    }

    fn to_send(&self) -> u64 {
        self.mark.head - self.doubtful
    }
}

/// Shows both ends; with `yes` has the journal begin anew where they went different ways.
pub(crate) fn reconcile(loaded: &Loaded, yes: bool, as_json: bool) -> anyhow::Result<()> {
    let Some(cloud) = &loaded.config.cloud else {
        bail!("the configuration has no [cloud] section: there is nothing to reconcile with");
    };
    let dir = &loaded.config.store.dir;
    let (reader, key) = open(loaded)?;
    let epoch = reader.epoch()?.context("the journal has not begun yet: start the agent once")?;
    let renewal = Renewal {
        cloud: cloud.line(),
        folder: cloud.identity_dir.clone(),
        keys: cloud.keys(),
        tuning: Tuning::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = compare_alone(&renewal, &reader, epoch, dir);
    let (standing, lanes) = runtime.block_on(asking).with_context(|| format!("asking {}", cloud.named()))?;
    let running = is_in_use(dir)?;
    let mut out = crate::answer::lock();
    show(&mut out, epoch, &standing, &lanes, as_json)?;
    if !standing.twin.is_empty() {
        bail!(
            "another box lives, or has lived, under this gateway's identity ({}): nothing is changed. See that it is off, \
             lift the fence with `engawa-cloud gateways unfence`, and come again",
            standing.twin
        );
    }
    if standing.connected && !running {
        bail!(
            "a session stays open under this gateway's identity, though the agent is not running here: nothing is \
             changed. Another box has its name: find it, or renew this one's identity with `engawa enroll --replace`"
        );
    }
    // Beside JSON the words go to people, not into it.
    let mut said: Box<dyn Write> = if as_json { Box::new(std::io::stderr()) } else { Box::new(out) };
    if !lanes.iter().any(Ends::parted) {
        writeln!(said, "\nboth ends fit: nothing is to be reconciled")?;
        return Ok(());
    }
    let rows: u64 = lanes.iter().map(Ends::to_send).sum();
    writeln!(
        said,
        "\nthe two went different ways: the journal is to begin a new epoch, in which {rows} numbers are sent that the \
         cloud does not have; what it has stays there under epoch {epoch}"
    )?;
    let doubtful: u64 = lanes.iter().map(|ends| ends.doubtful - ends.shared).sum();
    if doubtful > 0 {
        writeln!(
            said,
            "{doubtful} numbers of measured values are left out, and the cloud is told so: it has some of them in another \
             form, since they were thinned here, and nothing may come twice"
        )?;
    }
    if !yes {
        writeln!(said, "nothing is changed; with --yes it is done")?;
        return Ok(());
    }
    if running {
        bail!("the agent is running: stop it first (`systemctl stop engawa`), then come again");
    }
    // Nobody reads while it is written.
    drop(reader);
    let shared = lanes.iter().map(|ends| (ends.mark.lane, (ends.shared, ends.doubtful))).collect();
    begin_anew_when_opened(dir, &key, &shared)?;
    writeln!(said, "done: the new epoch begins when the agent starts")?;
    Ok(())
}

/// [`compare`], once the last session of an agent that was stopped here is over: the cloud hears of that a moment later,
/// or, where the agent's farewell was lost, when it misses its signs of life.
async fn compare_alone(
    renewal: &Renewal,
    reader: &Reader,
    epoch: u64,
    dir: &Path,
) -> anyhow::Result<(SyncStanding, Vec<Ends>)> {
    let given_up = Instant::now() + LAST_SESSION;
    let mut told = false;
    while renewal.look(epoch, vec![]).await?.connected && !is_in_use(dir)? && Instant::now() < given_up {
        if !told {
            told = true;
            eprintln!("waiting for this gateway's last session to end, {} s at most", LAST_SESSION.as_secs());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    compare(renewal, reader, epoch).await
}

/// Finds out how far both ends are, and up to where they are the same.
async fn compare(
    renewal: &Renewal,
    reader: &Reader,
    epoch: u64,
) -> anyhow::Result<(SyncStanding, Vec<Ends>)> {
    let standing = renewal.look(epoch, vec![]).await?;
    let marks = reader.marks()?;
    let mut searches: BTreeMap<u8, Search> = BTreeMap::new();
    let mut lanes = Vec::new();
    for lane in Lane::ALL {
        let number = lane.number();
        let mark = marks.iter().find(|mark| mark.lane == number).copied();
        let mark = mark.unwrap_or(LaneMarks { lane: number, ..LaneMarks::default() });
        let cloud =
            standing.marks.iter().find(|mark| mark.lane == u32::from(number)).map_or(0, |mark| mark.seq);
        // What was acknowledged here was the same then; rows that are swept away can't be looked at any more.
        searches.insert(number, Search::new(mark.acked.min(cloud), mark.head.min(cloud)));
        lanes.push(Ends { lane, mark, cloud, shared: 0, doubtful: 0 });
    }
    let each = (MOST_ROWS / searches.len().max(1)) as u64;
    for _ in 0..MOST_ROUNDS {
        // The number that was chosen, and the row that is looked at for it.
        let mut asked: Vec<(u8, u64, Print)> = Vec::new();
        for (lane, search) in &mut searches {
            for at in search.questions(each) {
                match reader.journal(*lane, at - 1, 1, 0)?.into_iter().next() {
                    Some(row) if row.seq <= search.last_open() => {
                        let (seq, at_micros) = (row.seq, row.at_micros);
                        let row = Row { seq, at_micros, kind: row.kind, body: row.body };
                        asked.push((*lane, at, Print::of(*lane, &row)));
                    }
                    // From there on nothing is left here that could be sent.
                    _ => {
                        search.differs(at);
                        break;
                    }
                }
            }
        }
        if asked.is_empty() {
            if searches.values().all(|search| search.found().is_some()) {
                break;
            }
            continue;
        }
        let rows = asked.iter().map(|(_, _, print)| Mark { lane: print.lane, seq: print.seq }).collect();
        let prints = renewal.look(epoch, rows).await?.prints;
        for (lane, at, ours) in asked {
            let Some(search) = searches.get_mut(&lane) else { continue };
            let bodies = lane == Lane::Telemetry.number();
            if prints.iter().any(|theirs| ours.is_of_the_same(theirs, bodies)) {
                search.same(ours.seq);
            } else {
                search.differs(at);
            }
        }
    }
    for ends in &mut lanes {
        let found = searches.get(&ends.mark.lane).and_then(Search::found);
        ends.shared = found.context("the place where the journals part was not found: come again")?;
        ends.doubtful = ends.shared;
        if ends.lane == Lane::Telemetry && ends.parted() {
            ends.doubtful = end_of_block(reader, ends.mark.lane, ends.cloud)?.min(ends.mark.head);
        }
    }
    Ok((standing, lanes))
}

/// The last number of what became fewer rows together with the number `at`, or `at` itself.
fn end_of_block(reader: &Reader, lane: u8, at: u64) -> anyhow::Result<u64> {
    let end = |row: &JournalRow| match serde_json::from_slice(&row.body) {
        Ok(Change::Thinned { into, .. }) => row.seq.saturating_add(into),
        _ => row.seq,
    };
    let next = reader.journal(lane, at, 1, 0)?.into_iter().next().filter(|row| row.tells_from() <= at);
    let before = reader.journal(lane, at.saturating_sub(MOST_IN_BLOCK as u64), MOST_IN_BLOCK, usize::MAX)?;
    let before = before.iter().filter(|row| row.seq <= at).map(end).max();
    Ok(at.max(next.as_ref().map_or(0, end)).max(before.unwrap_or(0)))
}

fn show(
    out: &mut impl Write,
    epoch: u64,
    standing: &SyncStanding,
    lanes: &[Ends],
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        for ends in lanes {
            let line = json!({ "lane": name(ends.lane), "epoch": epoch, "cloud_epoch": standing.epoch,
                "written": ends.mark.head, "acknowledged": ends.mark.acked, "cloud": ends.cloud,
                "shared": ends.shared, "parted": ends.parted(), "to_send": ends.to_send(),
                "twin": standing.twin, "connected": standing.connected });
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    let theirs = standing.epoch.map_or_else(|| "none yet".to_owned(), |epoch| epoch.to_string());
    writeln!(out, "epoch of this journal    {epoch}\nepoch the cloud knows    {theirs}\n")?;
    writeln!(
        out,
        "{:<10} {:>10} {:>12} {:>10} {:>10} {:>10}",
        "lane", "written", "acknowledged", "cloud has", "the same", "to send"
    )?;
    for ends in lanes {
        writeln!(
            out,
            "{:<10} {:>10} {:>12} {:>10} {:>10} {:>10}{}",
            name(ends.lane),
            ends.mark.head,
            ends.mark.acked,
            ends.cloud,
            ends.shared,
            ends.to_send(),
            if ends.parted() { "  the cloud has others" } else { "" }
        )?;
    }
    Ok(())
}
