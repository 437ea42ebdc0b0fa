//! The gateway: its disk, with the transactions of the real store, and the driver of its machine.

use crate::line::Line;
use crate::script::LANES;
use engawa_protocol::edge::{Bounds, EdgeMachine, End, Out, Settings, Start, Stream, Want};
use engawa_protocol::flow::FlowBounds;
use engawa_protocol::ports::{Origin, Previous, Row};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One lane on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneDisk {
    pub(crate) rows: BTreeMap<u64, Row>,
    pub(crate) head: u64,
    /// What a power cut would leave.
    pub(crate) settled: u64,
    pub(crate) acked: u64,
}

/// What survives the end of the process.
#[derive(Clone, Debug)]
pub(crate) struct EdgeDisk {
    pub(crate) epoch: u64,
    pub(crate) lanes: BTreeMap<u8, LaneDisk>,
    pub(crate) previous: Option<Previous>,
    pub(crate) inbox: Vec<Row>,
    pub(crate) inbox_mark: u64,
}

impl EdgeDisk {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 1,
            lanes: LANES.iter().map(|lane| (*lane, LaneDisk::default())).collect(),
            previous: None,
            inbox: Vec::new(),
            inbox_mark: 0,
        }
    }

    pub(crate) fn write(&mut self, lane: u8, id: u64, soon: bool) {
        let Some(disk) = self.lanes.get_mut(&lane) else { return };
        disk.head += 1;
        let body = format!(r#"{{"id":{id},"lane":{lane},"point":"d-101/room_temp"}}"#).into_bytes();
        // A kind that no release knows is a row like any other.
        let kind = if id.is_multiple_of(5) { "of_the_future" } else { "reported" };
        let row = Row { seq: disk.head, at_micros: i64::try_from(id).unwrap_or(0), kind: kind.into(), body };
        disk.rows.insert(disk.head, row);
        if !soon {
            self.settle();
        }
    }

    /// A durable commit takes everything that was written before it.
    pub(crate) fn settle(&mut self) {
        for disk in self.lanes.values_mut() {
            disk.settled = disk.head;
        }
    }

    pub(crate) fn power_cut(&mut self) {
        for disk in self.lanes.values_mut() {
            disk.rows.retain(|seq, _| *seq <= disk.settled);
            disk.head = disk.settled;
        }
    }

    pub(crate) fn prune(&mut self) {
        for disk in self.lanes.values_mut() {
            disk.rows.retain(|seq, _| *seq > disk.acked);
        }
    }

    /// The disk is an older copy: what the cloud is not known to have gets new numbers, under a new epoch.
    pub(crate) fn begin_anew(&mut self, epoch: u64) {
        let mut lanes = Vec::new();
        for (lane, disk) in &mut self.lanes {
            // One lane begins with a row of its own, as the real journal's alarms do.
            let first = if *lane == LANES[0] { 2 } else { 1 };
            lanes.push(Origin { lane: *lane, first, acked: disk.acked, head: disk.head });
            let old = std::mem::take(&mut disk.rows);
            for (seq, mut row) in old.into_iter().filter(|(seq, _)| *seq > disk.acked) {
                row.seq = seq - disk.acked + first - 1;
                disk.rows.insert(row.seq, row);
            }
            if first == 2 {
                let body = format!(r#"{{"began":{epoch}}}"#).into_bytes();
                disk.rows.insert(1, Row { seq: 1, at_micros: 0, kind: "epoch_began".into(), body });
            }
            disk.head = disk.head - disk.acked + first - 1;
            (disk.settled, disk.acked) = (disk.head, 0);
        }
        self.previous = Some(Previous { epoch: self.epoch, lanes });
        self.epoch = epoch;
    }

    /// What the session sees of a lane's end: only what a power cut can't take.
    fn head(&self, lane: u8) -> u64 {
        self.lanes.get(&lane).map_or(0, |disk| disk.settled)
    }

    fn read(&self, want: Want) -> Vec<Row> {
        let Some(disk) = self.lanes.get(&want.lane) else { return Vec::new() };
        let rows = disk.rows.range(want.after + 1..=disk.settled.max(want.after + 1));
        rows.filter(|(seq, _)| **seq <= disk.settled)
            .take(want.max_rows)
            .map(|(_, row)| row.clone())
            .collect()
    }

    fn gone(&self, lane: u8, from: u64, to: u64) -> Option<String> {
        let disk = self.lanes.get(&lane)?;
        let absent = disk.rows.range(from..=to).next().is_none();
        (absent && to <= disk.acked).then(|| "pruned".to_owned())
    }

    fn accept(&mut self, commands: Vec<Row>) -> u64 {
        for row in commands {
            if row.seq > self.inbox_mark {
                self.inbox_mark = row.seq;
                self.inbox.push(row);
            }
        }
        self.inbox_mark
    }
}

/// What the disk was asked and has not answered.
#[derive(Debug)]
enum Asked {
    Rows(Want),
    Gone(u8, u64, u64),
    Accept(Vec<Row>),
    Acknowledged(u8, u64),
}

/// The gateway's process.
pub(crate) struct Edge {
    pub(crate) disk: EdgeDisk,
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

/// Small, so that bounds are reached in a short history.
fn settings() -> Settings {
    let bounds = Bounds {
        flow: FlowBounds { start: 600, min: 300, max: 2_000 },
        urgent_in_flight: 900,
        batch_bytes: 400,
        batch_rows: 6,
        bulk_frame: 300,
        ..Bounds::default()
    };
    Settings { bounds, handshake: Duration::from_secs(30), ..Settings::default() }
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self { disk: EdgeDisk::new(), session: None, welcomes: 0, end: None }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) fn connect(&mut self, now: Duration) {
        let start = Start {
            epoch: self.disk.epoch,
            heads: LANES.iter().map(|lane| (*lane, self.disk.head(*lane))).collect(),
            inbox: self.disk.inbox_mark,
            release: "test".into(),
            previous: self.disk.previous.clone(),
        };
        let machine = EdgeMachine::new(settings(), start, now);
        self.session = Some(Session { machine, asked: VecDeque::new(), streams: Vec::new() });
        self.end = None;
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
                Out::Gone { lane, from, to } => session.asked.push_back(Asked::Gone(lane, from, to)),
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
            Some(Asked::Rows(want)) => session.machine.on_rows(now, want, &self.disk.read(want)),
            Some(Asked::Gone(lane, from, to)) => {
                session.machine.on_gone(now, lane, from, to, self.disk.gone(lane, from, to));
            }
            Some(Asked::Accept(commands)) => {
                let mark = self.disk.accept(commands);
                session.machine.on_accepted(mark);
            }
            Some(Asked::Acknowledged(lane, mark)) => {
                if let Some(disk) = self.disk.lanes.get_mut(&lane) {
                    disk.acked = disk.acked.max(mark);
                }
            }
        }
        Ok(true)
    }
}
