//! The cloud: its database, with the transactions of the real store, and the driver of its machine.

use crate::flaw::Flaw;
use crate::line::Line;
use engawa_protocol::cloud::{CONTROL, CloudMachine, Marks, Out, Settings};
use engawa_protocol::ports::{Ingested, Refusal, Row, Skip};
use engawa_protocol::trust::{self, Kept, Taken, Turn};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Key = (u64, u8);

/// What survives the end of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct CloudDisk {
    /// The epoch that the gateway spoke of last: transactions of another one are over.
    epoch: u64,
    /// Rows as they were stored, in order, by epoch and lane.
    pub(crate) rows: BTreeMap<Key, Vec<Row>>,
    pub(crate) marks: BTreeMap<Key, u64>,
    /// A projection: how often the effect of each id was taken.
    pub(crate) effects: BTreeMap<u64, u32>,
    /// The gateway's newest turn.
    pub(crate) turn: Option<Kept>,
    pub(crate) gaps: BTreeMap<Key, Vec<Skip>>,
    pub(crate) commands: Vec<Row>,
    pub(crate) command_head: u64,
    pub(crate) command_mark: u64,
}

impl CloudDisk {
    fn mark(&self, epoch: u64, lane: u8) -> u64 {
        self.marks.get(&(epoch, lane)).copied().unwrap_or(0)
    }

    fn hello(&self, epoch: u64, heads: &[(u8, u64)]) -> Result<Vec<(u8, u64)>, Refusal> {
        let marks = heads.iter().map(|(lane, edge)| {
            let cloud = self.mark(epoch, *lane);
            if cloud > *edge {
                Err(Refusal::EdgeBehind { lane: *lane, cloud, edge: *edge })
            } else {
                Ok((*lane, cloud))
            }
        });
        marks.collect()
    }

    /// What a transaction does, and its answer.
    fn ingest(&mut self, epoch: u64, lane: u8, rows: &[Row], flaw: Option<Flaw>) -> Result<Ingested, String> {
        let mut mark = self.mark(epoch, lane);
        for row in rows {
            if row.seq <= mark && flaw != Some(Flaw::NoDeduplication) {
                continue;
            }
            if row.seq > mark + 1 {
                self.marks.insert((epoch, lane), mark);
                return Ok(Ingested::Gap(mark));
            }
            self.store(epoch, lane, row)?;
            mark = mark.max(row.seq);
        }
        self.marks.insert((epoch, lane), mark);
        Ok(Ingested::Upto(mark))
    }

    fn store(&mut self, epoch: u64, lane: u8, row: &Row) -> Result<(), String> {
        self.rows.entry((epoch, lane)).or_default().push(row.clone());
        for id in crate::ids::of(row)? {
            *self.effects.entry(id).or_default() += 1;
        }
        Ok(())
    }

    fn skip(&mut self, epoch: u64, lane: u8, skip: &Skip) -> Ingested {
        let mark = self.mark(epoch, lane);
        if skip.to <= mark {
            return Ingested::Upto(mark);
        }
        if skip.from > mark + 1 {
            return Ingested::Gap(mark);
        }
        let gap = Skip { from: mark + 1, ..skip.clone() };
        self.gaps.entry((epoch, lane)).or_default().push(gap);
        self.marks.insert((epoch, lane), skip.to);
        Ingested::Upto(skip.to)
    }

    pub(crate) fn send(&mut self) {
        self.command_head += 1;
        let seq = self.command_head;
        let body = format!("command {seq}").into_bytes();
        self.commands.push(Row { seq, at_micros: 0, kind: "set_point".into(), body });
    }

    /// Numbering goes on above what the gateway has, as in the real store.
    fn acknowledged(&mut self, mark: u64) {
        self.command_mark = self.command_mark.max(mark);
        self.command_head = self.command_head.max(mark);
    }
}

/// A transaction that is not committed yet.
#[derive(Debug)]
struct Job {
    stream: u32,
    epoch: u64,
    lane: u8,
    what: What,
    /// Its answer was given before (a flaw).
    told: bool,
}

#[derive(Debug)]
enum What {
    Rows(Vec<Row>),
    Skip(Vec<Row>, Skip),
    /// Rows whose mark was moved before (a flaw).
    Marked(Vec<Row>),
}

/// The cloud's process.
pub(crate) struct Cloud {
    pub(crate) disk: CloudDisk,
    session: Option<Session>,
    /// Transactions of connections that have ended: they are committed all the same, if the process lives.
    orphans: Vec<Job>,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) busy: u8,
    pub(crate) failing: u8,
    pub(crate) end: Option<String>,
}

struct Session {
    machine: CloudMachine,
    epoch: u64,
    /// Streams from which the next frame may be taken.
    leave: BTreeSet<u32>,
    opened: BTreeSet<u32>,
    jobs: Vec<Job>,
    commands: Option<(u64, usize)>,
}

impl Cloud {
    pub(crate) fn new(flaw: Option<Flaw>) -> Self {
        Self {
            disk: CloudDisk::default(),
            session: None,
            orphans: Vec::new(),
            flaw,
            busy: 0,
            failing: 0,
            end: None,
        }
    }

    pub(crate) fn connect(&mut self, now: Duration) {
        self.session = Some(Session {
            machine: CloudMachine::new(Settings::default(), now),
            epoch: 0,
            leave: BTreeSet::new(),
            opened: BTreeSet::from([CONTROL]),
            jobs: Vec::new(),
            commands: None,
        });
        self.end = None;
    }

    pub(crate) fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            self.orphans.extend(session.jobs);
        }
    }

    pub(crate) fn killed(&mut self) {
        self.session = None;
        self.orphans.clear();
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.session.as_ref()?.machine.wake_at()
    }

    pub(crate) fn on_wake(&mut self, now: Duration) {
        if let Some(session) = &mut self.session {
            session.machine.on_wake(now);
        }
    }

    pub(crate) fn command(&mut self, now: Duration) {
        self.disk.send();
        if let Some(session) = &mut self.session {
            session.machine.on_commands_changed(now);
        }
    }

    /// Commits one transaction and tells what came of it; false where there was none.
    pub(crate) fn commit(&mut self, now: Duration) -> Result<bool, String> {
        if !self.orphans.is_empty() {
            let job = self.orphans.remove(0);
            // Nobody waits for the answer any more.
            let _ = self.transact(job.epoch, job.lane, &job.what)?;
            return Ok(true);
        }
        let Some(job) = self.session.as_mut().filter(|session| !session.jobs.is_empty()) else {
            return Ok(false);
        };
        let job = job.jobs.remove(0);
        let answer = if self.failing > 0 {
            self.failing -= 1;
            None
        } else if self.busy > 0 {
            self.busy -= 1;
            let mark = self.disk.mark(job.epoch, job.lane);
            Some(Ingested::Busy { mark, pause: Duration::from_secs(2) })
        } else {
            self.transact(job.epoch, job.lane, &job.what)?
        };
        if let Some(session) = self.session.as_mut().filter(|_| !job.told) {
            session.machine.on_ingested(now, job.stream, answer);
        }
        Ok(true)
    }

    fn transact(&mut self, epoch: u64, lane: u8, what: &What) -> Result<Option<Ingested>, String> {
        if epoch != self.disk.epoch {
            return Ok(None);
        }
        Ok(Some(match what {
            What::Rows(rows) => self.disk.ingest(epoch, lane, rows, self.flaw)?,
            What::Skip(rows, skip) => match self.disk.ingest(epoch, lane, rows, self.flaw)? {
                Ingested::Upto(_) => self.disk.skip(epoch, lane, skip),
                stopped => stopped,
            },
            What::Marked(rows) => {
                for row in rows {
                    self.disk.store(epoch, lane, row)?;
                }
                Ingested::Upto(self.disk.mark(epoch, lane))
            }
        }))
    }

    /// May the box that shows this turn talk? Asked before its hello.
    pub(crate) fn takes(&mut self, turn: &Turn) -> bool {
        match trust::take(self.disk.turn, turn) {
            Taken::Same(kept) => {
                self.disk.turn = Some(kept);
                true
            }
            // A cloud that does not look at turns (a flaw).
            Taken::Twin => self.flaw == Some(Flaw::NoTurns),
        }
    }

    /// Somebody has looked, and lifts the fence.
    pub(crate) fn unfence(&mut self) {
        self.disk.turn = self.disk.turn.map(|kept| Kept { secret: None, ..kept });
    }

    /// Does one thing; false where there was none.
    pub(crate) fn work(&mut self, now: Duration, line: &mut Line) -> Result<bool, String> {
        let Some(session) = &mut self.session else { return Ok(false) };
        if let Some(out) = session.machine.poll() {
            match out {
                Out::Receive(stream) => {
                    session.leave.insert(stream);
                }
                Out::Hello(greeting) => {
                    session.epoch = greeting.epoch;
                    let previous = greeting.previous.unwrap_or(0);
                    let of = self.disk.marks.iter().filter(|((epoch, _), _)| *epoch == previous);
                    let previous = of.map(|((_, lane), mark)| (*lane, *mark)).collect();
                    let present = self.disk.hello(greeting.epoch, &greeting.heads);
                    if present.is_ok() {
                        self.disk.epoch = greeting.epoch;
                    }
                    session.machine.on_welcome(now, present.map(|present| Marks { present, previous }));
                }
                Out::Send { stream, body } => line.send(false, stream, body),
                Out::Ingest { stream, lane, rows } => self.begin(now, stream, lane, What::Rows(rows)),
                Out::Skip { stream, lane, rows, skip } => {
                    self.begin(now, stream, lane, What::Skip(rows, skip));
                }
                Out::Commands { after, max } => session.commands = Some((after, max)),
                // Nobody watches here, and there is nothing to update.
                Out::Live(_) | Out::Question { .. } => {}
                Out::CommandsAcknowledged(mark) => self.disk.acknowledged(mark),
                Out::End(end) => {
                    self.disconnect();
                    self.end = Some(end.to_string());
                }
            }
            return Ok(true);
        }
        if let Some((after, max)) = session.commands.take() {
            let found: Vec<Row> =
                self.disk.commands.iter().filter(|row| row.seq > after).take(max).cloned().collect();
            session.machine.on_commands(now, Some(&found));
            return Ok(true);
        }
        for stream in line.seen_up() {
            if session.opened.insert(stream) {
                session.machine.on_open(stream);
                return Ok(true);
            }
            if session.leave.contains(&stream)
                && let Some(body) = line.pipe(true, stream).frame()?
            {
                session.leave.remove(&stream);
                session.machine.on_frame(now, stream, body);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begin(&mut self, now: Duration, stream: u32, lane: u8, mut what: What) {
        let Some(session) = &mut self.session else { return };
        let epoch = session.epoch;
        let mut told = false;
        if let What::Rows(rows) = &what {
            let (mark, last) = (self.disk.mark(epoch, lane), rows.last().map_or(0, |row| row.seq));
            let follows = last > mark && rows.first().is_some_and(|row| row.seq <= mark + 1);
            match self.flaw {
                Some(Flaw::MarkOutside) if follows => {
                    self.disk.marks.insert((epoch, lane), last);
                    what = What::Marked(rows.iter().filter(|row| row.seq > mark).cloned().collect());
                }
                Some(Flaw::AckBeforeCommit) if follows => {
                    session.machine.on_ingested(now, stream, Some(Ingested::Upto(last)));
                    told = true;
                }
                _ => {}
            }
        }
        session.jobs.push(Job { stream, epoch, lane, what, told });
    }
}
