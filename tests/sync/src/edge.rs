//! The gateway: its disk, with the transactions of the real store, and the driver of its machine.

use crate::disk::{Disk, Place};
use crate::line::Line;
use crate::script::LANES;
use engawa_protocol::edge::{Bounds, EdgeMachine, End, Out, Settings, Start, Stream, Want};
use engawa_protocol::flow::FlowBounds;
use engawa_protocol::ports::{Gone, Origin, Previous, Row};
use engawa_protocol::trust::Turn;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The lane whose rows are thinned.
const BULK: u8 = 5;
/// Rows that become one, with a record before it.
const BLOCK: usize = 40;
/// Fewer are left alone: there must be room for the record and the row.
const FEWEST: usize = 4;

/// One lane on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneDisk {
    pub(crate) rows: BTreeMap<u64, Row>,
    pub(crate) head: u64,
    /// What a power cut would leave.
    pub(crate) settled: u64,
    pub(crate) acked: u64,
    /// Rows up to here may have been handed out, and are not thinned.
    sent: u64,
}

/// What survives the end of the process.
#[derive(Clone, Debug)]
pub(crate) struct EdgeDisk {
    pub(crate) epoch: u64,
    pub(crate) lanes: BTreeMap<u8, LaneDisk>,
    pub(crate) previous: Option<Previous>,
    pub(crate) inbox: Vec<Row>,
    pub(crate) inbox_mark: u64,
    turn: Turn,
    /// Thins what was carried over together with new rows (a flaw).
    mixes: bool,
}

/// How many numbers before a row's own it tells of.
pub(crate) fn numbers_before(row: &Row) -> u64 {
    if row.kind != "thinned" {
        return 0;
    }
    let body: Result<serde_json::Value, _> = serde_json::from_slice(&row.body);
    body.ok().and_then(|body| body["numbers"].as_u64()).unwrap_or(0)
}

impl EdgeDisk {
    /// The disk is an older copy: what the cloud is not known to have gets new numbers, under a new epoch.
    pub(crate) fn begin_anew(&mut self, epoch: u64, shared: Option<&BTreeMap<u8, (u64, u64)>>) {
        let mut lanes = Vec::new();
        for (lane, disk) in &mut self.lanes {
            // One lane begins with a row of its own, as the real journal's alarms do.
            let first = if *lane == LANES[0] { 2 } else { 1 };
            let LaneDisk { acked, head, sent, .. } = *disk;
            let certain = if *lane == BULK { sent.clamp(acked, head) - acked } else { head - acked };
            // What somebody has found to be the same ends where the other life went its own way.
            let found = shared.map(|shared| shared.get(lane).copied().unwrap_or((0, 0)));
            let (last, same) = found.map_or((head, certain), |(shared, doubtful)| {
                let shared = shared.clamp(acked, head);
                (doubtful.clamp(shared, head), shared - acked)
            });
            lanes.push(Origin { lane: *lane, first, acked, head: last, same });
            let old = std::mem::take(&mut disk.rows);
            for (seq, mut row) in old.into_iter().filter(|(seq, _)| *seq > acked) {
                row.seq = seq - acked + first - 1;
                disk.rows.insert(row.seq, row);
            }
            if first == 2 {
                let body = format!(r#"{{"began":{epoch}}}"#).into_bytes();
                disk.rows.insert(1, Row { seq: 1, at_micros: 0, kind: "epoch_began".into(), body });
            }
            disk.head = head - acked + first - 1;
            (disk.settled, disk.acked, disk.sent) = (disk.head, 0, 0);
        }
        self.previous = Some(Previous { epoch: self.epoch, lanes });
        self.epoch = epoch;
    }

    fn carried(&self) -> Option<&Origin> {
        self.previous.as_ref()?.lanes.iter().find(|origin| origin.lane == BULK)
    }

    /// The number of the last row that was carried over.
    fn carried_last(&self) -> u64 {
        self.carried().map_or(0, |origin| origin.first + origin.head - origin.acked - 1)
    }
}

impl Disk for EdgeDisk {
    type Copy = Self;

    fn new() -> Result<Self, String> {
        Ok(Self {
            epoch: 1,
            lanes: LANES.iter().map(|lane| (*lane, LaneDisk::default())).collect(),
            previous: None,
            inbox: Vec::new(),
            inbox_mark: 0,
            turn: Turn { number: 0, last: 0, mine: 1 },
            mixes: false,
        })
    }

    /// Small, so that bounds are reached in a short history.
    fn bounds() -> Bounds {
        Bounds {
            flow: FlowBounds { start: 600, min: 300, max: 2_000 },
            urgent_in_flight: 900,
            batch_bytes: 400,
            batch_rows: 6,
            bulk_frame: 300,
            ..Bounds::default()
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn head(&self, lane: u8) -> u64 {
        self.lanes.get(&lane).map_or(0, |disk| disk.settled)
    }

    fn acked(&self, lane: u8) -> u64 {
        self.lanes.get(&lane).map_or(0, |disk| disk.acked)
    }

    fn previous(&mut self) -> Result<Option<Previous>, String> {
        let last = self.carried_last();
        if let Some(disk) = self.lanes.get_mut(&BULK) {
            disk.sent = disk.sent.max(last);
        }
        Ok(self.previous.clone())
    }

    fn read(&mut self, want: Want) -> Result<Vec<Row>, String> {
        let Some(disk) = self.lanes.get_mut(&want.lane) else { return Ok(Vec::new()) };
        let rows = disk.rows.range(want.after + 1..=disk.settled.max(want.after + 1));
        let rows: Vec<Row> = rows
            .filter(|(seq, _)| **seq <= disk.settled)
            .take(want.max_rows)
            .map(|(_, row)| row.clone())
            .collect();
        disk.sent = disk.sent.max(rows.last().map_or(0, |row| row.seq));
        Ok(rows)
    }

    fn gone(&mut self, lane: u8, from: u64, to: u64) -> Result<Option<Gone>, String> {
        let Some(disk) = self.lanes.get(&lane) else { return Ok(None) };
        let next = disk.rows.range(from..).next();
        if next.is_some_and(|(seq, _)| *seq <= to) {
            return Ok(None);
        }
        let deleted = next.map_or(to, |(seq, row)| seq.saturating_sub(numbers_before(row) + 1)).min(to);
        if from > deleted {
            return Ok(Some(Gone { reason: "thinned".to_owned(), told: true }));
        }
        Ok((deleted <= disk.acked).then(|| Gone { reason: "pruned".to_owned(), told: false }))
    }

    fn acknowledged(&mut self, lane: u8, mark: u64) -> Result<(), String> {
        if let Some(disk) = self.lanes.get_mut(&lane) {
            disk.acked = disk.acked.max(mark);
        }
        Ok(())
    }

    fn inbox_mark(&self) -> u64 {
        self.inbox_mark
    }

    fn inbox(&self) -> &[Row] {
        &self.inbox
    }

    fn accept(&mut self, commands: Vec<Row>) -> Result<u64, String> {
        for row in commands {
            if row.seq > self.inbox_mark {
                self.inbox_mark = row.seq;
                self.inbox.push(row);
            }
        }
        Ok(self.inbox_mark)
    }

    fn turn(&mut self) -> &mut Turn {
        &mut self.turn
    }

    fn write(&mut self, lane: u8, ids: &[u64], soon: bool) -> Result<usize, String> {
        let Some(disk) = self.lanes.get_mut(&lane) else { return Ok(0) };
        for id in ids {
            disk.head += 1;
            let body = format!(r#"{{"id":{id},"lane":{lane},"point":"d-101/room_temp"}}"#).into_bytes();
            // A kind that no release knows is a row like any other.
            let kind = if id.is_multiple_of(5) { "of_the_future" } else { "reported" };
            let at_micros = i64::try_from(*id).unwrap_or(0);
            disk.rows.insert(disk.head, Row { seq: disk.head, at_micros, kind: kind.into(), body });
        }
        if !soon {
            self.settle()?;
        }
        Ok(ids.len())
    }

    fn rows_for_one(_lane: u8) -> u64 {
        1
    }

    fn settle(&mut self) -> Result<(), String> {
        for disk in self.lanes.values_mut() {
            disk.settled = disk.head;
        }
        Ok(())
    }

    fn killed(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn power_cut(&mut self) -> Result<(), String> {
        for disk in self.lanes.values_mut() {
            disk.rows.retain(|seq, _| *seq <= disk.settled);
            disk.head = disk.settled;
        }
        Ok(())
    }

    fn prune(&mut self) -> Result<(), String> {
        for disk in self.lanes.values_mut() {
            disk.rows.retain(|seq, _| *seq > disk.acked);
        }
        Ok(())
    }

    fn thin(&mut self) -> Result<Option<(u8, u64, u64)>, String> {
        let (carried, mixes) = (self.carried_last(), self.mixes);
        let Some(disk) = self.lanes.get_mut(&BULK) else { return Ok(None) };
        let after = disk.sent.max(disk.acked);
        let mut block: Vec<Row> =
            disk.rows.range(after + 1..).take(BLOCK).map(|(_, row)| row.clone()).collect();
        block.retain(|row| row.seq <= disk.settled);
        if !mixes && block.first().is_some_and(|row| row.seq <= carried) {
            block.retain(|row| row.seq <= carried);
        }
        let (Some(one), Some(last)) = (block.first(), block.last()) else { return Ok(None) };
        if block.len() < FEWEST {
            return Ok(None);
        }
        let (first, from, last) = (one.seq.saturating_sub(numbers_before(one)).max(1), one.seq, last.seq);
        let mut ids = Vec::new();
        for row in &block {
            ids.extend(crate::ids::of(row)?);
            disk.rows.remove(&row.seq);
        }
        let at_micros = block.last().map_or(0, |row| row.at_micros);
        let record = format!(r#"{{"numbers":{}}}"#, last - 1 - first).into_bytes();
        let ids = serde_json::json!({ "ids": ids }).to_string().into_bytes();
        for (seq, kind, body) in [(last - 1, "thinned", record), (last, "summary", ids)] {
            disk.rows.insert(seq, Row { seq, at_micros, kind: kind.to_owned(), body });
        }
        let origins = self.previous.iter_mut().flat_map(|previous| &mut previous.lanes);
        for origin in origins.filter(|origin| origin.lane == BULK && from <= carried) {
            origin.same = origin.same.min(first - origin.first);
        }
        // What is not settled is not thinned; what is thinned is.
        Ok(Some((BULK, first, last)))
    }

    fn copy(&mut self) -> Result<Self, String> {
        // A copy of a database is of what was forced to the disk.
        let mut copy = self.clone();
        copy.power_cut()?;
        Ok(copy)
    }

    fn put_back(&mut self, copy: Self) -> Result<(), String> {
        let turn = self.turn;
        *self = copy;
        // It is beside the database, and in no copy of it.
        self.turn = turn;
        self.begin_anew(self.epoch + 1, None);
        Ok(())
    }

    fn twin(&mut self) -> Option<Self> {
        Some(self.clone())
    }

    fn reconcile(&mut self, shared: &BTreeMap<u8, (u64, u64)>) {
        // Another number than the other box would take.
        self.begin_anew(self.epoch + 100, Some(shared));
    }

    fn thins_together(&mut self) {
        self.mixes = true;
    }

    fn rows(&mut self, lane: u8) -> Result<Vec<Row>, String> {
        Ok(self.lanes.get(&lane).map(|disk| disk.rows.values().cloned().collect()).unwrap_or_default())
    }

    fn note(&self, of: u8, settled: &mut BTreeMap<Place, Row>) {
        for (lane, disk) in &self.lanes {
            for (seq, row) in disk.rows.range(..=disk.settled) {
                settled.entry((of, self.epoch, *lane, *seq)).or_insert_with(|| row.clone());
            }
        }
    }
}

/// What the disk was asked and has not answered.
#[derive(Debug)]
enum Asked {
    Rows(Want),
    Gone(u8, u64, u64, i64),
    Accept(Vec<Row>),
    Acknowledged(u8, u64),
}

/// The gateway's process.
pub(crate) struct Edge<D> {
    pub(crate) disk: D,
    session: Option<Session>,
    pub(crate) welcomes: u64,
    pub(crate) end: Option<End>,
}

struct Session {
    machine: EdgeMachine,
    asked: VecDeque<Asked>,
    /// Lanes in the order of their streams, from 1.
    streams: Vec<u8>,
}

impl<D: Disk> Edge<D> {
    pub(crate) fn new(disk: D) -> Self {
        Self { disk, session: None, welcomes: 0, end: None }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) fn connect(&mut self, now: Duration) -> Result<(), String> {
        let start = Start {
            epoch: self.disk.epoch(),
            heads: LANES.iter().map(|lane| (*lane, self.disk.head(*lane))).collect(),
            inbox: self.disk.inbox_mark(),
            release: "test".into(),
            previous: self.disk.previous()?,
        };
        let settings =
            Settings { bounds: D::bounds(), handshake: Duration::from_secs(30), ..Settings::default() };
        let machine = EdgeMachine::new(settings, start, now);
        self.session = Some(Session { machine, asked: VecDeque::new(), streams: Vec::new() });
        self.end = None;
        Ok(())
    }

    pub(crate) fn disconnect(&mut self) {
        self.session = None;
    }

    pub(crate) fn wake_at(&self, now: Duration) -> Option<Duration> {
        self.session.as_ref()?.machine.wake_at(now)
    }

    pub(crate) fn on_wake(&mut self, now: Duration) {
        if let Some(session) = &mut self.session {
            session.machine.on_wake(now);
        }
    }

    /// Does one thing; false where there was none.
    pub(crate) fn work(&mut self, now: Duration, line: &mut Line) -> Result<bool, String> {
        let Some(session) = &mut self.session else { return Ok(false) };
        for lane in LANES {
            session.machine.on_written(lane, self.disk.head(lane));
        }
        for stream in line.arrived_down() {
            let of = if stream == 0 {
                Stream::Control
            } else {
                Stream::Lane(session.streams[stream as usize - 1])
            };
            if let Some(body) = line.pipe(false, stream).frame()? {
                session.machine.on_frame(now, of, body);
                return Ok(true);
            }
        }
        if let Some(out) = session.machine.poll(now) {
            match out {
                Out::Open(lane) => session.streams.push(lane),
                Out::Send { stream, body } => {
                    let number = match stream {
                        Stream::Control => 0,
                        Stream::Lane(lane) => {
                            let at = session.streams.iter().position(|known| *known == lane);
                            u32::try_from(at.ok_or("a lane without a stream")? + 1).unwrap_or(0)
                        }
                    };
                    line.send(true, number, body);
                }
                Out::Read(want) => session.asked.push_back(Asked::Rows(want)),
                Out::Gone { lane, from, to, at_micros } => {
                    session.asked.push_back(Asked::Gone(lane, from, to, at_micros));
                }
                Out::Acknowledged { lane, mark } => session.asked.push_back(Asked::Acknowledged(lane, mark)),
                Out::Accept(commands) => session.asked.push_back(Asked::Accept(commands)),
                Out::Welcomed { .. } => self.welcomes += 1,
                Out::Rebind => {}
                Out::End(end) => {
                    self.session = None;
                    self.end = Some(end);
                }
            }
            return Ok(true);
        }
        match session.asked.pop_front() {
            None => return Ok(false),
            Some(Asked::Rows(want)) => session.machine.on_rows(now, want, &self.disk.read(want)?),
            Some(Asked::Gone(lane, from, to, at_micros)) => {
                let gone = self.disk.gone(lane, from, to)?;
                session.machine.on_gone(now, lane, (from, to), at_micros, gone);
            }
            Some(Asked::Accept(commands)) => {
                let mark = self.disk.accept(commands)?;
                session.machine.on_accepted(mark);
            }
            Some(Asked::Acknowledged(lane, mark)) => self.disk.acknowledged(lane, mark)?,
        }
        Ok(true)
    }
}
