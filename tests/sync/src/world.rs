//! Plays a history, and says whether both ends kept their promises.

use crate::cloud::{Cloud, CloudDisk};
use crate::disk::{Disk, Place};
use crate::edge::{Edge, EdgeDisk, numbers_before};
use crate::flaw::Flaw;
use crate::ids;
use crate::line::Line;
use crate::real::RealDisk;
use crate::script::{LANES, Step};
use engawa_protocol::edge::End;
use engawa_protocol::ports::Row;
use engawa_protocol::trust::Turn;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// Rounds in which both ends must come to rest on a good line.
const MOST_ROUNDS: u32 = 3_000;
/// The twin's secrets are even, the other box's odd.
const SECRET_OF_TWIN: u64 = 1 << 20;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// At which step; `None`: at the end.
    pub step: Option<usize>,
    /// What.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "at step {step}: {}", self.what),
            None => write!(f, "at the end: {}", self.what),
        }
    }
}

/// What histories had in them: a campaign that never reaches something tests nothing there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Rows that the cloud has.
    pub rows: u64,
    /// Sessions that were welcomed.
    pub welcomes: u64,
    /// Gaps that were recorded.
    pub gaps: u64,
    /// Blocks of rows that were thinned.
    pub thinned: u64,
    /// Boxes that were cloned.
    pub clones: u64,
    /// Fences that were raised.
    pub fences: u64,
    /// Restores of the gateway.
    pub edge_restores: u64,
    /// Restores of the cloud.
    pub cloud_restores: u64,
    /// Commands that arrived.
    pub commands: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.welcomes += other.welcomes;
        self.gaps += other.gaps;
        self.thinned += other.thinned;
        self.clones += other.clones;
        self.fences += other.fences;
        self.edge_restores += other.edge_restores;
        self.cloud_restores += other.cloud_restores;
        self.commands += other.commands;
    }
}

struct World<D: Disk> {
    now: Duration,
    edge: Edge<D>,
    /// Which of the boxes with this identity is on the line, and the other one's disk.
    of: u8,
    other: Option<D>,
    /// Which one the cloud has spoken with last; `None` before the first.
    known: Option<u8>,
    /// The cloud has seen two boxes, and takes neither until somebody has looked.
    fenced: bool,
    cloud: Cloud,
    line: Line,
    /// The next id of each lane.
    next: BTreeMap<u8, u64>,
    edge_backup: Option<D::Copy>,
    cloud_backup: Option<CloudDisk>,
    /// Every row that could not be lost any more, as it was then.
    settled: BTreeMap<Place, Row>,
    /// The cloud's marks as they were last seen: they never go back but by a restore.
    marks: BTreeMap<(u64, u8), u64>,
    tally: Tally,
}

/// Plays the steps, then lets both ends come to rest.
///
/// # Errors
/// The promise that was not kept.
pub fn play(steps: &[Step], flaw: Option<Flaw>) -> Result<Tally, Fault> {
    play_with::<EdgeDisk>(steps, flaw)
}

/// As [`play`], with the gateway's real store on the real disk. It is never cloned, and its power is never cut: a process
/// that ends is all (`tests/power` cuts).
///
/// # Errors
/// The promise that was not kept.
pub fn play_on_store(steps: &[Step], flaw: Option<Flaw>) -> Result<Tally, Fault> {
    play_with::<RealDisk>(steps, flaw)
}

fn play_with<D: Disk>(steps: &[Step], flaw: Option<Flaw>) -> Result<Tally, Fault> {
    let at_end = |what| Fault { step: None, what };
    let mut disk = D::new().map_err(at_end)?;
    if flaw == Some(Flaw::ThinsTogether) {
        disk.thins_together();
    }
    let mut world = World {
        now: Duration::from_secs(1),
        edge: Edge::new(disk),
        of: 0,
        other: None,
        known: None,
        fenced: false,
        cloud: Cloud::new(flaw),
        line: Line::default(),
        next: LANES.iter().map(|lane| (*lane, ids::first(*lane) + 1)).collect(),
        edge_backup: None,
        cloud_backup: None,
        settled: BTreeMap::new(),
        marks: BTreeMap::new(),
        tally: Tally::default(),
    };
    for (number, step) in steps.iter().enumerate() {
        let done = world.step(*step).and_then(|()| world.watch());
        done.map_err(|what| Fault { step: Some(number), what })?;
    }
    world.come_to_rest().and_then(|()| world.compare()).map_err(at_end)?;
    Ok(world.tally)
}

impl<D: Disk> World<D> {
    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Write { lane, rows, soon } => {
                let next = self.next.entry(lane).or_insert(1);
                let count = u64::from(rows) * D::rows_for_one(lane);
                let ids: Vec<u64> = (*next..*next + count).collect();
                let written = self.edge.disk.write(lane, &ids, soon)?;
                *next += written as u64;
            }
            Step::Settle => self.edge.disk.settle()?,
            Step::Command => self.cloud.command(self.now),
            Step::EdgeWorks(count) => {
                for _ in 0..count {
                    self.edge_works()?;
                }
            }
            Step::CloudWorks(count) => {
                for _ in 0..count {
                    self.cloud_works()?;
                }
            }
            Step::Commit => drop(self.cloud.commit(self.now)?),
            Step::Move { up, stream, bytes } => drop(self.line.carry(up, stream, bytes)),
            Step::Flow(rounds) => {
                for _ in 0..rounds {
                    self.round()?;
                }
            }
            Step::Cut => self.cut(),
            Step::Sleep(seconds) => self.sleep(Duration::from_secs(u64::from(seconds))),
            Step::EdgeKilled => {
                self.cut();
                self.edge.disk.killed()?;
            }
            Step::EdgePowerCut => {
                self.cut();
                self.edge.disk.power_cut()?;
            }
            Step::CloudKilled => {
                self.cloud.killed();
                self.cut();
            }
            Step::EdgeBackup => self.edge_backup = Some(self.edge.disk.copy()?),
            Step::EdgeRestored => {
                // One restore a history: see the crate's limits.
                if let Some(copy) = self.edge_backup.take().filter(|_| self.tally.edge_restores == 0) {
                    self.cut();
                    self.edge.disk.put_back(copy)?;
                    self.tally.edge_restores += 1;
                }
            }
            Step::CloudBackup => self.cloud_backup = Some(self.cloud.disk.clone()),
            Step::CloudRestored => {
                if let Some(copy) = self.cloud_backup.clone() {
                    self.cloud.killed();
                    self.cut();
                    self.cloud.disk = copy;
                    self.marks = self.cloud.disk.marks.clone();
                    self.tally.cloud_restores += 1;
                }
            }
            Step::Prune => self.edge.disk.prune()?,
            Step::Thin => {
                if let Some((lane, first, last)) = self.edge.disk.thin()? {
                    let (of, epoch) = (self.of, self.edge.disk.epoch());
                    self.settled.retain(|place, _| {
                        (place.0, place.1, place.2) != (of, epoch, lane) || !(first..=last).contains(&place.3)
                    });
                    self.tally.thinned += 1;
                }
            }
            Step::Cloned => self.cloned(),
            Step::Other => self.other(),
            Step::Unfence => self.unfence(),
            Step::Busy(count) => self.cloud.busy = count,
            Step::Failing(count) => self.cloud.failing = count,
        }
        Ok(())
    }

    /// One clone a history.
    fn cloned(&mut self) {
        if self.tally.clones > 0 || self.tally.edge_restores + self.tally.cloud_restores > 0 {
            return;
        }
        let Some(mut twin) = self.edge.disk.twin() else { return };
        // Turns tell boxes apart from their next session on: see the crate's limits.
        self.cut();
        // Each draws the secret of its next turn by itself.
        twin.turn().mine = SECRET_OF_TWIN;
        let other = 1 - self.of;
        let rows: Vec<_> = self.settled.iter().filter(|(place, _)| place.0 == self.of).collect();
        let rows: Vec<(Place, Row)> =
            rows.into_iter().map(|(place, row)| ((other, place.1, place.2, place.3), row.clone())).collect();
        self.settled.extend(rows);
        self.other = Some(twin);
        self.tally.clones += 1;
    }

    /// The other box takes the line; this one goes on writing nothing, which is all that its house does meanwhile.
    fn other(&mut self) {
        if let Some(other) = &mut self.other {
            std::mem::swap(other, &mut self.edge.disk);
            self.of = 1 - self.of;
            self.cut();
        }
    }

    /// The box on the line stays, the other is switched off. Where the cloud knows the other one's rows, this one is to begin
    /// a new epoch with what the cloud has not (`engawa sync reconcile`).
    fn unfence(&mut self) {
        if !self.fenced {
            return;
        }
        self.cut();
        (self.fenced, self.other) = (false, None);
        self.cloud.unfence();
        if self.known != Some(self.of) {
            self.reconcile();
        }
    }

    /// What is the same at both ends is left out, and so is what the cloud may have in another form: it was thinned here since.
    fn reconcile(&mut self) {
        let epoch = self.edge.disk.epoch();
        let shared = LANES.map(|lane| {
            let (acked, mark) = (self.edge.disk.acked(lane), self.mark(epoch, lane));
            let ours = self.edge.disk.rows(lane).unwrap_or_default();
            let theirs = self.cloud.disk.rows.get(&(epoch, lane)).map(Vec::as_slice).unwrap_or_default();
            let is_there = |row: &Row| {
                let at = theirs.binary_search_by_key(&row.seq, |row| row.seq);
                at.is_ok_and(|at| theirs[at] == *row)
            };
            let waiting = ours.iter().filter(|row| row.seq > acked);
            let shared = waiting.take_while(|row| is_there(row)).last().map_or(acked, |row| row.seq);
            // Where a block that was thinned begins at or below the mark and ends above it, all of it is in doubt.
            let block = ours
                .iter()
                .filter(|row| row.kind == "thinned")
                .map(|row| (row.seq - numbers_before(row), row.seq + 1));
            let block = block.filter(|(first, last)| *first <= mark && mark < *last).map(|(_, last)| last);
            let doubtful =
                if lane == 5 && shared < mark { mark.max(block.max().unwrap_or(0)) } else { shared };
            (lane, (shared, doubtful))
        });
        self.edge.disk.reconcile(&shared.into());
    }

    fn cut(&mut self) {
        self.edge.disconnect();
        self.cloud.disconnect();
        self.line = Line::default();
    }

    /// A process that sleeps, or whose clock leaps, sees its timers once, late.
    fn sleep(&mut self, time: Duration) {
        self.now += time;
        if self.edge.wake_at(self.now).is_some_and(|at| at <= self.now) {
            self.edge.on_wake(self.now);
        }
        if self.cloud.wake_at().is_some_and(|at| at <= self.now) {
            self.cloud.on_wake(self.now);
        }
    }

    fn edge_works(&mut self) -> Result<bool, String> {
        if !self.edge.is_connected() && !self.connect()? {
            return Ok(false);
        }
        let worked = self.edge.work(self.now, &mut self.line)?;
        self.hang_up()?;
        Ok(worked)
    }

    /// False where the box may not talk.
    fn connect(&mut self) -> Result<bool, String> {
        self.cut();
        if self.fenced {
            return Ok(false);
        }
        let turn = *self.edge.disk.turn();
        if !self.cloud.takes(&turn) {
            self.fenced = true;
            self.tally.fences += 1;
            return Ok(false);
        }
        let number = self.cloud.disk.turn.map_or(0, |kept| kept.number);
        *self.edge.disk.turn() = Turn { number, last: turn.mine, mine: turn.mine + 2 };
        self.known = Some(self.of);
        self.edge.connect(self.now)?;
        self.cloud.connect(self.now);
        Ok(true)
    }

    fn cloud_works(&mut self) -> Result<bool, String> {
        let worked = self.cloud.work(self.now, &mut self.line)?;
        self.hang_up()?;
        Ok(worked)
    }

    /// A session that is over ends the connection. Some reasons must never come up between two sound ends.
    fn hang_up(&mut self) -> Result<(), String> {
        if let Some(end) = self.edge.end.take() {
            match end {
                End::Silent(_) => {}
                end => return Err(format!("the gateway gave up: {end}")),
            }
            self.cut();
        }
        if let Some(end) = self.cloud.end.take() {
            if !end.starts_with("nothing was heard") && end != "the cloud's store failed" {
                return Err(format!("the cloud gave up: {end}"));
            }
            self.cut();
        }
        Ok(())
    }

    /// What holds at every moment.
    fn watch(&mut self) -> Result<(), String> {
        let epoch = self.edge.disk.epoch();
        self.edge.disk.note(self.of, &mut self.settled);
        for lane in LANES {
            let (acked, mark) = (self.edge.disk.acked(lane), self.mark(epoch, lane));
            if acked > mark && self.tally.cloud_restores == 0 {
                return Err(format!("lane {lane}: the gateway believes {acked}, the cloud has {mark}"));
            }
        }
        for (key, mark) in &self.cloud.disk.marks {
            let before = self.marks.insert(*key, *mark).unwrap_or(0);
            if before > *mark {
                return Err(format!("the mark of {key:?} went back from {before} to {mark}"));
            }
        }
        match self.cloud.disk.effects.iter().find(|(_, count)| **count > 1) {
            Some((id, count)) => {
                let (lane, id) =
                    (ids::lane_of(*id), id - ids::first(u8::try_from(ids::lane_of(*id)).unwrap_or(0)));
                Err(format!("{id} of lane {lane} has its effect {count} times"))
            }
            None => Ok(()),
        }
    }

    fn mark(&self, epoch: u64, lane: u8) -> u64 {
        self.cloud.disk.marks.get(&(epoch, lane)).copied().unwrap_or(0)
    }

    fn is_at_rest(&self) -> bool {
        let disk = &self.edge.disk;
        let lane = |lane: &u8| {
            let head = disk.head(*lane);
            self.mark(disk.epoch(), *lane) == head && disk.acked(*lane) >= head
        };
        LANES.iter().all(lane) && self.cloud.disk.command_mark >= self.cloud.disk.command_head
    }

    /// What a good line brings in a moment; false where nobody had anything to do.
    fn round(&mut self) -> Result<bool, String> {
        let mut worked = false;
        for stream in 0..4 {
            worked |= self.line.carry(true, stream, u16::MAX) | self.line.carry(false, stream, u16::MAX);
        }
        for _ in 0..8 {
            worked |= self.edge_works()? | self.cloud_works()?;
        }
        Ok(worked | self.cloud.commit(self.now)?)
    }

    fn come_to_rest(&mut self) -> Result<(), String> {
        (self.cloud.busy, self.cloud.failing) = (0, 0);
        self.edge.disk.settle()?;
        for round in 0..MOST_ROUNDS {
            self.unfence();
            let worked = self.round()?;
            self.watch()?;
            if self.is_at_rest() {
                return Ok(());
            }
            if !worked || round % 64 == 63 {
                self.sleep(Duration::from_secs(5));
            }
        }
        let disk = &self.edge.disk;
        let lanes = LANES.map(|lane| {
            let (head, acked, mark) = (disk.head(lane), disk.acked(lane), self.mark(disk.epoch(), lane));
            format!("lane {lane}: head {head}, acked {acked}, mark {mark}")
        });
        Err(format!(
            "they never come to rest: {}; commands {} of {}",
            lanes.join("; "),
            self.cloud.disk.command_mark,
            self.cloud.disk.command_head
        ))
    }

    /// Row by row.
    fn compare(&mut self) -> Result<(), String> {
        for ((epoch, lane), rows) in &self.cloud.disk.rows {
            if rows.windows(2).any(|pair| pair[0].seq >= pair[1].seq) {
                return Err(format!("epoch {epoch} lane {lane}: the rows are not in order"));
            }
            self.wrote(*epoch, *lane, rows)?;
        }
        for lane in LANES {
            self.compare_lane(lane)?;
        }
        let (inbox, cloud) = (self.edge.disk.inbox(), &self.cloud.disk);
        if inbox.windows(2).any(|pair| pair[0].seq >= pair[1].seq) {
            return Err("a command came twice".into());
        }
        let copies = self.tally.edge_restores + self.tally.cloud_restores + self.tally.clones;
        if copies == 0 && inbox != cloud.commands {
            return Err(format!("{} commands of {} arrived", inbox.len(), cloud.commands.len()));
        }
        self.tally.rows = cloud.rows.values().map(|rows| rows.len() as u64).sum();
        self.tally.gaps = cloud.gaps.values().map(|gaps| gaps.len() as u64).sum();
        self.tally.welcomes = self.edge.welcomes;
        self.tally.commands = inbox.len() as u64;
        Ok(())
    }

    /// All of the rows are as one and the same box wrote them.
    fn wrote(&self, epoch: u64, lane: u8, rows: &[Row]) -> Result<(), String> {
        if self.settled.is_empty() {
            return Ok(());
        }
        let mut wrong = Vec::new();
        for of in [0, 1] {
            let other = rows.iter().find(|row| self.settled.get(&(of, epoch, lane, row.seq)) != Some(*row));
            match other {
                None => return Ok(()),
                Some(row) => wrong.push(row.seq.to_string()),
            }
        }
        Err(format!("epoch {epoch} lane {lane}: row {} is not what the gateway wrote", wrong.join(" or ")))
    }

    /// Every number is there, or in a gap that says why; and what the gateway has, the cloud has.
    fn compare_lane(&mut self, lane: u8) -> Result<(), String> {
        let (epoch, head) = (self.edge.disk.epoch(), self.edge.disk.head(lane));
        let local = self.edge.disk.rows(lane)?;
        let cloud = &self.cloud.disk;
        let rows = cloud.rows.get(&(epoch, lane)).map(Vec::as_slice).unwrap_or_default();
        let gaps = cloud.gaps.get(&(epoch, lane)).map(Vec::as_slice).unwrap_or_default();
        let put_back = self.tally.cloud_restores > 0;
        let gap_of = |seq: u64| gaps.iter().find(|gap| (gap.from..=gap.to).contains(&seq));
        for seq in 1..=head {
            if rows.binary_search_by_key(&seq, |row| row.seq).is_ok() {
                continue;
            }
            let gap =
                gap_of(seq).ok_or_else(|| format!("lane {lane}: row {seq} is neither there nor missed"))?;
            match gap.reason.as_str() {
                "pruned" if put_back => {}
                "pruned" => return Err(format!("lane {lane}: row {seq} is gone, and no cloud was restored")),
                "thinned" => {
                    let next = rows.iter().find(|row| row.seq > gap.to);
                    if next.is_none_or(|row| row.kind != "thinned") {
                        return Err(format!("lane {lane}: no row tells what {seq} has become"));
                    }
                }
                reason if reason.contains("epoch before") => {}
                reason => return Err(format!("lane {lane}: row {seq} is missing for {reason}")),
            }
        }
        // What it stands for: taken once, now or in the life before. It is not said to be so where the cloud has a part of it.
        for row in &local {
            let said = gap_of(row.seq).is_some_and(|gap| gap.reason.contains("in another form"));
            for id in ids::of(row)? {
                if cloud.effects.get(&id) != Some(&1) && !said && !put_back {
                    return Err(format!("lane {lane}: {id:x} of row {} is nowhere", row.seq));
                }
            }
        }
        Ok(())
    }
}
