//! Plays a history, and says whether both ends kept their promises.

use crate::cloud::{Cloud, CloudDisk};
use crate::edge::{Edge, EdgeDisk};
use crate::flaw::Flaw;
use crate::line::Line;
use crate::script::{LANES, Step};
use engawa_protocol::edge::End;
use engawa_protocol::ports::Row;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// Rounds in which both ends must come to rest on a good line.
const MOST_ROUNDS: u32 = 3_000;

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
        self.edge_restores += other.edge_restores;
        self.cloud_restores += other.cloud_restores;
        self.commands += other.commands;
    }
}

struct World {
    now: Duration,
    edge: Edge,
    cloud: Cloud,
    line: Line,
    next_id: u64,
    edge_backup: Option<EdgeDisk>,
    cloud_backup: Option<CloudDisk>,
    /// Every row that could not be lost any more, as it was then.
    settled: BTreeMap<(u64, u8, u64), Row>,
    /// The cloud's marks as they were last seen: they never go back but by a restore.
    marks: BTreeMap<(u64, u8), u64>,
    tally: Tally,
}

/// Plays the steps, then lets both ends come to rest.
///
/// # Errors
/// The promise that was not kept.
pub fn play(steps: &[Step], flaw: Option<Flaw>) -> Result<Tally, Fault> {
    let mut world = World {
        now: Duration::from_secs(1),
        edge: Edge::new(),
        cloud: Cloud::new(flaw),
        line: Line::default(),
        next_id: 1,
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
    let done = world.come_to_rest().and_then(|()| world.compare());
    done.map_err(|what| Fault { step: None, what })?;
    Ok(world.tally)
}

impl World {
    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Write { lane, rows, soon } => {
                for _ in 0..rows {
                    self.edge.disk.write(lane, self.next_id, soon);
                    self.next_id += 1;
                }
            }
            Step::Settle => self.edge.disk.settle(),
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
            Step::Commit => drop(self.cloud.commit(self.now)),
            Step::Move { up, stream, bytes } => drop(self.line.carry(up, stream, bytes)),
            Step::Flow(rounds) => {
                for _ in 0..rounds {
                    self.round()?;
                }
            }
            Step::Cut => self.cut(),
            Step::Sleep(seconds) => self.sleep(Duration::from_secs(u64::from(seconds))),
            Step::EdgeKilled => self.cut(),
            Step::EdgePowerCut => {
                self.cut();
                self.edge.disk.power_cut();
            }
            Step::CloudKilled => {
                self.cloud.killed();
                self.cut();
            }
            // A copy of a database is of what was forced to the disk.
            Step::EdgeBackup => {
                let mut copy = self.edge.disk.clone();
                copy.power_cut();
                self.edge_backup = Some(copy);
            }
            Step::EdgeRestored => {
                // One restore a history: see the crate's limits.
                if let Some(copy) = self.edge_backup.take().filter(|_| self.tally.edge_restores == 0) {
                    self.cut();
                    self.edge.disk = copy;
                    let epoch = self.edge.disk.epoch + 1;
                    self.edge.disk.begin_anew(epoch);
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
            Step::Prune => self.edge.disk.prune(),
            Step::Busy(count) => self.cloud.busy = count,
            Step::Failing(count) => self.cloud.failing = count,
        }
        Ok(())
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
        if !self.edge.is_connected() {
            self.cut();
            self.edge.connect(self.now);
            self.cloud.connect(self.now);
        }
        let worked = self.edge.work(self.now, &mut self.line)?;
        self.hang_up()?;
        Ok(worked)
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
        let epoch = self.edge.disk.epoch;
        for (lane, disk) in &self.edge.disk.lanes {
            for (seq, row) in disk.rows.range(..=disk.settled) {
                self.settled.entry((epoch, *lane, *seq)).or_insert_with(|| row.clone());
            }
            let mark = self.cloud.disk.marks.get(&(epoch, *lane)).copied().unwrap_or(0);
            if disk.acked > mark && self.tally.cloud_restores == 0 {
                return Err(format!(
                    "lane {lane}: the gateway believes {}, the cloud has {mark}",
                    disk.acked
                ));
            }
        }
        for (key, mark) in &self.cloud.disk.marks {
            let before = self.marks.insert(*key, *mark).unwrap_or(0);
            if before > *mark {
                return Err(format!("the mark of {key:?} went back from {before} to {mark}"));
            }
        }
        match self.cloud.disk.effects.iter().find(|(_, count)| **count > 1) {
            Some((body, count)) => Err(format!("{body} has its effect {count} times")),
            None => Ok(()),
        }
    }

    fn is_at_rest(&self) -> bool {
        let disk = &self.edge.disk;
        let lane = |lane: &u8| {
            let mark = self.cloud.disk.marks.get(&(disk.epoch, *lane)).copied().unwrap_or(0);
            let lane = &disk.lanes[lane];
            mark == lane.head && lane.acked >= lane.head
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
        Ok(worked | self.cloud.commit(self.now))
    }

    fn come_to_rest(&mut self) -> Result<(), String> {
        (self.cloud.busy, self.cloud.failing) = (0, 0);
        self.edge.disk.settle();
        for round in 0..MOST_ROUNDS {
            let worked = self.round()?;
            self.watch()?;
            if self.is_at_rest() {
                return Ok(());
            }
            if !worked || round % 64 == 63 {
                self.sleep(Duration::from_secs(5));
            }
        }
        let heads: Vec<String> = (self.edge.disk.lanes.iter())
            .map(|(lane, disk)| {
                let mark = self.cloud.disk.marks.get(&(self.edge.disk.epoch, *lane));
                format!("lane {lane}: head {}, acked {}, mark {mark:?}", disk.head, disk.acked)
            })
            .collect();
        Err(format!(
            "they never come to rest: {}; commands {} of {}",
            heads.join("; "),
            self.cloud.disk.command_mark,
            self.cloud.disk.command_head
        ))
    }

    /// Row by row.
    fn compare(&mut self) -> Result<(), String> {
        let cloud = &self.cloud.disk;
        for (key, rows) in &cloud.rows {
            if rows.windows(2).any(|pair| pair[0].seq >= pair[1].seq) {
                return Err(format!("{key:?}: the rows are not in order"));
            }
            if let Some(row) =
                rows.iter().find(|row| self.settled.get(&(key.0, key.1, row.seq)) != Some(*row))
            {
                return Err(format!("{key:?}: row {} is not what the gateway wrote", row.seq));
            }
        }
        let epoch = self.edge.disk.epoch;
        for (lane, disk) in &self.edge.disk.lanes {
            let rows = cloud.rows.get(&(epoch, *lane)).map(Vec::as_slice).unwrap_or_default();
            let gaps = cloud.gaps.get(&(epoch, *lane)).map(Vec::as_slice).unwrap_or_default();
            for seq in 1..=disk.head {
                if rows.binary_search_by_key(&seq, |row| row.seq).is_ok() {
                    continue;
                }
                let gap = gaps.iter().find(|gap| (gap.from..=gap.to).contains(&seq));
                let gap = gap.ok_or_else(|| format!("lane {lane}: row {seq} is neither there nor missed"))?;
                if gap.reason == "pruned" {
                    if self.tally.cloud_restores == 0 {
                        return Err(format!("lane {lane}: row {seq} is gone, and no cloud was restored"));
                    }
                    continue;
                }
                // Carried over, and there under its old number.
                let row = self.settled.get(&(epoch, *lane, seq));
                let body = row.map(|row| String::from_utf8_lossy(&row.body).into_owned()).unwrap_or_default();
                if cloud.effects.get(&body) != Some(&1) && self.tally.cloud_restores == 0 {
                    return Err(format!("lane {lane}: row {seq} was skipped, and is nowhere"));
                }
            }
        }
        let inbox = &self.edge.disk.inbox;
        if inbox.windows(2).any(|pair| pair[0].seq >= pair[1].seq) {
            return Err("a command came twice".into());
        }
        if self.tally.edge_restores + self.tally.cloud_restores == 0 && *inbox != cloud.commands {
            return Err(format!("{} commands of {} arrived", inbox.len(), cloud.commands.len()));
        }
        self.tally.rows = cloud.rows.values().map(|rows| rows.len() as u64).sum();
        self.tally.gaps = cloud.gaps.values().map(|gaps| gaps.len() as u64).sum();
        self.tally.welcomes = self.edge.welcomes;
        self.tally.commands = inbox.len() as u64;
        Ok(())
    }
}
