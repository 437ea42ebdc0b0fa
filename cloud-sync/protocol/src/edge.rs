//! The edge's end of a session.
//!
//! It greets, opens a stream for each lane, and from then on asks its driver for rows of the most urgent lane that may
//! send, packs them, and takes the answers. It holds no rows: what it has sent and not heard of is read again.

mod lanes;
#[cfg(test)]
mod tests;

pub use lanes::MOST_FLYING;

use crate::batch::{self, BatchError, Form, MAX_ROWS};
use crate::dictionary;
use crate::flow::FlowBounds;
use crate::frame::{
    self, Ack, Body, FIRST_VERSION, Hello, Ping, Refused, Skip, VERSION, VERSIONS, Welcome, Why,
};
use crate::live::{LIVE, Live};
use crate::liveness::{Due, Liveness, Pings, Pulse};
use crate::ports::{self, Gone, Previous, Row};
use lanes::Lanes;
use std::collections::VecDeque;
use std::time::Duration;

/// Bounds of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Frames of all bulky lanes under way without an acknowledgement.
    pub flow: FlowBounds,
    /// The same for each other lane, bytes.
    pub urgent_in_flight: u64,
    /// Bodies in one batch, bytes before compression.
    pub batch_bytes: usize,
    /// Rows in one batch.
    pub batch_rows: usize,
    /// Compressed rows in one frame of a bulky lane, bytes: an alarm waits for no longer frame. One row may be more.
    pub bulk_frame: usize,
    /// Lanes from this number on are bulky.
    pub first_bulk_lane: u8,
    /// The longest rest that a cloud can ask for.
    pub longest_rest: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            flow: FlowBounds::default(),
            urgent_in_flight: 256 << 10,
            batch_bytes: 64 << 10,
            batch_rows: 256,
            bulk_frame: 16 << 10,
            first_bulk_lane: 5,
            longest_rest: Duration::from_secs(60),
        }
    }
}

/// Times and bounds of the edge's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What may be under way.
    pub bounds: Bounds,
    /// How long silence may last.
    pub liveness: Liveness,
    /// How long the cloud's welcome may take; zero: as long as silence may last.
    pub handshake: Duration,
}

/// What the journal says at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its epoch.
    pub epoch: u64,
    /// How far its lanes are written, most urgent first.
    pub heads: Vec<(u8, u64)>,
    /// How far the cloud's commands are durable.
    pub inbox: u64,
    /// The agent's release, for people.
    pub release: String,
    /// Where its first rows come from, if they were carried over from another epoch.
    pub previous: Option<Previous>,
}

/// What is to be read from the journal and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The lane.
    pub lane: u8,
    /// Rows after this number.
    pub after: u64,
    /// At most so many.
    pub max_rows: usize,
    /// At most so many bytes of bodies, but for the first row.
    pub max_bytes: usize,
}

/// A stream of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// The talk about the talk, and commands.
    Control,
    /// A lane's.
    Lane(u8),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "frames are the usual ones, and are taken at once")]
pub enum Out {
    /// A stream for the lane is to be opened; its first frame follows.
    Open(u8),
    /// A frame goes out. Frames of one stream keep their order.
    Send {
        /// Where.
        stream: Stream,
        /// What.
        body: Body,
    },
    /// Rows are to be read: answered by [`EdgeMachine::on_rows`]. One at a time.
    Read(Want),
    /// Are these rows gone for good? Answered by [`EdgeMachine::on_gone`]. Counts as the one read.
    Gone {
        /// The lane.
        lane: u8,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
        /// When the row after them happened, microseconds since 1970: it comes back with the answer.
        at_micros: i64,
    },
    /// The journal is to be told that the cloud has the lane durably up to the mark.
    Acknowledged {
        /// The lane.
        lane: u8,
        /// The mark.
        mark: u64,
    },
    /// Commands are to be made durable: answered by [`EdgeMachine::on_accepted`]. One batch at a time.
    Accept(Vec<Row>),
    /// The cloud has welcomed the gateway.
    Welcomed {
        /// The version that is spoken.
        version: u32,
    },
    /// The line is silent: another local port is to be tried.
    Rebind,
    /// The session is over, and the connection is to be closed.
    End(End),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The cloud turned the gateway away.
    #[error("the cloud refuses this gateway: {reason}")]
    Refused {
        /// Why, in its words.
        reason: String,
        /// The same for programs.
        why: Why,
        /// When to come again; `None`: not said.
        retry_after: Option<Duration>,
    },
    /// Nothing was heard for too long.
    #[error("nothing was heard for {} s", .0.as_secs())]
    Silent(Duration),
    /// The cloud said something that can't be.
    #[error(transparent)]
    Senseless(#[from] SessionError),
    /// The journal no longer has rows that the cloud wants, and does not say that they are gone.
    #[error("the cloud wants the rows of lane {lane} after {after}, and the journal does not have them")]
    Missing {
        /// The lane.
        lane: u8,
        /// The last row that the cloud has.
        after: u64,
    },
    /// A row of our own can't be sent.
    #[error("row {after} of lane {lane} or the next can't be packed: {reason}")]
    Unsendable {
        /// The lane.
        lane: u8,
        /// The row before.
        after: u64,
        /// Why.
        reason: String,
    },
}

/// Something that this session can't have got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The cloud speaks none of our versions.
    #[error("the cloud wants version {0} of the protocol, this release speaks {VERSIONS:?}")]
    Version(u32),
    /// A mark above everything that was written.
    #[error("the cloud claims to have lane {lane} up to {mark}, which is written only up to {head}")]
    Ahead {
        /// The lane.
        lane: u8,
        /// What the cloud says.
        mark: u64,
        /// What is true.
        head: u64,
    },
    /// A lane that nobody opened.
    #[error("the cloud speaks of lane {0}, which this session does not have")]
    Lane(u8),
    /// It asks for the same rows for ever.
    #[error("the cloud wants the rows of lane {lane} after {mark} again and again, and takes none")]
    Gaps {
        /// The lane.
        lane: u8,
        /// The mark.
        mark: u64,
    },
    /// Something else was due.
    #[error("expected {expected}, got something else")]
    Unexpected {
        /// What was due.
        expected: &'static str,
    },
    /// Commands that can't be read.
    #[error("commands that can't be used: {0}")]
    Commands(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting { until: Duration },
    Open,
    Ended,
}

/// The stream of live values.
#[derive(Clone, Copy, Debug, Default)]
struct LiveOut {
    open: bool,
    /// A frame is under way that the cloud has not taken yet.
    flying: bool,
}

/// One session of the edge.
#[derive(Debug)]
pub struct EdgeMachine {
    phase: Phase,
    version: u32,
    form: Form,
    previous: Option<Previous>,
    lanes: Lanes,
    pulse: Pulse,
    out: VecDeque<Out>,
    /// A read or a question for a gap is under way.
    reading: bool,
    /// Commands are being made durable.
    accepting: bool,
    pings: Pings,
    /// The stream of live values; `None`: this cloud takes none.
    live: Option<LiveOut>,
    /// Whether the cloud answers questions about updates.
    updates: bool,
}

impl EdgeMachine {
    /// A session that begins now, on a new connection.
    pub fn new(settings: Settings, start: Start, now: Duration) -> Self {
        let Settings { bounds, liveness, handshake } = settings;
        let lanes = Lanes::new(bounds, &start.heads);
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            epoch: start.epoch,
            heads: lanes.heads(),
            inbox: start.inbox,
            release: start.release,
            dictionaries: dictionary::known(),
            previous: start.previous.as_ref().map(|previous| previous.epoch),
        };
        let handshake = if handshake.is_zero() { liveness.idle } else { handshake };
        Self {
            phase: Phase::Greeting { until: now.saturating_add(handshake) },
            version: VERSION,
            form: Form::Plain,
            previous: start.previous,
            lanes,
            pulse: Pulse::new(liveness, now),
            out: VecDeque::from([Out::Send { stream: Stream::Control, body: Body::Hello(hello) }]),
            reading: false,
            accepting: false,
            pings: Pings::default(),
            live: None,
            updates: false,
        }
    }

    /// What is to be done next; nothing until something happens.
    pub fn poll(&mut self, now: Duration) -> Option<Out> {
        if let Some(out) = self.out.pop_front() {
            return Some(out);
        }
        if self.phase != Phase::Open || self.reading {
            return None;
        }
        let want = loop {
            let want = self.lanes.next(now)?;
            let Some((to, reason)) = self.known(want) else { break want };
            let skip = Body::Skip(Skip { from: want.after + 1, to, reason });
            self.ship(now, want.lane, to, skip);
            if let Some(out) = self.out.pop_front() {
                return Some(out);
            }
        };
        self.reading = true;
        Some(Out::Read(want))
    }

    /// The last of the rows that are wanted next and that the cloud has under the numbers of the life before, or may have.
    fn known(&self, want: Want) -> Option<(u64, String)> {
        let epoch = self.previous.as_ref()?.epoch;
        let known = self.lanes.known(want.lane)?;
        let reason = if known.same {
            format!("the cloud has them as rows of the epoch before, {epoch}")
        } else {
            format!(
                "the cloud has a part of them in another form, as rows of the epoch before, {epoch}: they were thinned after \
                 this journal was copied, and are left out so that nothing comes twice"
            )
        };
        Some((known.to, reason))
    }

    /// When [`EdgeMachine::on_wake`] is due, if nothing happens before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        let pulse = (self.version > FIRST_VERSION).then(|| self.pulse.wake_at());
        match self.phase {
            Phase::Greeting { until } => Some(until),
            Phase::Open => pulse.into_iter().chain(self.lanes.wake_at(now)).min(),
            Phase::Ended => None,
        }
    }

    /// Time has passed.
    pub fn on_wake(&mut self, now: Duration) {
        match self.phase {
            Phase::Greeting { until } if now >= until => self.end(End::Silent(self.pulse.silence(now))),
            Phase::Open if self.version > FIRST_VERSION => match self.pulse.due(now) {
                None => {}
                Some(Due::Ping(number)) => self.control(Body::Ping(Ping { number })),
                Some(Due::Rebind(number)) => {
                    self.out.push_back(Out::Rebind);
                    self.control(Body::Ping(Ping { number }));
                }
                Some(Due::Dead) => self.end(End::Silent(self.pulse.silence(now))),
            },
            _ => {}
        }
    }

    /// A frame has come.
    pub fn on_frame(&mut self, now: Duration, stream: Stream, body: Body) {
        self.pulse.heard(now);
        let done = match (self.phase, stream) {
            (Phase::Ended, _) => Ok(()),
            (Phase::Greeting { .. }, Stream::Control) => self.greeted(body),
            (Phase::Greeting { .. }, Stream::Lane(lane)) => Err(SessionError::Lane(lane)),
            (Phase::Open, Stream::Control) => self.on_control(now, body),
            (Phase::Open, Stream::Lane(lane)) => self.on_lane(now, lane, body),
        };
        if let Err(error) = done {
            self.end(End::Senseless(error));
        }
    }

    /// A stream was finished by the cloud, which it does only when it says so on the control stream before.
    pub fn on_finished(&mut self, stream: Stream) {
        if stream == Stream::Lane(LIVE) {
            // It watches no more; the rest goes on.
            self.live = None;
            return;
        }
        let expected = match stream {
            Stream::Control => "more on the control stream",
            Stream::Lane(_) => "an acknowledgement",
        };
        self.end(End::Senseless(SessionError::Unexpected { expected }));
    }

    /// The journal's lane is written up to `head`.
    pub fn on_written(&mut self, lane: u8, head: u64) {
        self.lanes.written(lane, head);
    }

    /// The answer to [`Out::Read`].
    pub fn on_rows(&mut self, now: Duration, want: Want, rows: &[Row]) {
        self.reading = false;
        let Want { lane, after, .. } = want;
        // After a gap meanwhile, others are wanted.
        let Some((sent, head)) = self.lanes.place(lane) else { return };
        if self.phase != Phase::Open || sent != after {
            return;
        }
        let behind = rows.iter().position(|row| row.seq > after).unwrap_or(rows.len());
        let rows = &rows[behind..];
        let (next, at_micros) =
            rows.first().map_or((head.saturating_add(1), 0), |row| (row.seq, row.at_micros));
        if next != after + 1 {
            self.reading = true;
            self.out.push_back(Out::Gone { lane, from: after + 1, to: next - 1, at_micros });
            return;
        }
        if rows.is_empty() {
            return;
        }
        let whole = rows.windows(2).take_while(|pair| pair[1].seq - pair[0].seq == 1).count() + 1;
        match pack_some(&rows[..whole], self.form, self.lanes.frame_bytes(lane)) {
            Ok((packed, last)) => self.ship(now, lane, last, Body::Rows(packed)),
            Err(error) => self.end(End::Unsendable { lane, after, reason: error.to_string() }),
        }
    }

    /// The answer to [`Out::Gone`]: why the rows are gone; `None` where they are not known to be.
    pub fn on_gone(
        &mut self,
        now: Duration,
        lane: u8,
        (from, to): (u64, u64),
        at_micros: i64,
        why: Option<Gone>,
    ) {
        self.reading = false;
        let Some((sent, head)) = self.lanes.place(lane) else { return };
        // After a gap meanwhile, others are wanted.
        if self.phase != Phase::Open || sent.checked_add(1) != Some(from) || to < from || to > head {
            return;
        }
        match why {
            Some(Gone { reason, .. }) if self.version > FIRST_VERSION => {
                self.ship(now, lane, to, Body::Skip(Skip { from, to, reason }));
            }
            Some(Gone { told: true, .. }) => self.stand_in(now, lane, from, to, at_micros),
            // A cloud of release 0.1 knows no gaps.
            _ => self.end(End::Missing { lane, after: sent }),
        }
    }

    /// A cloud of release 0.1 gets a row for each number that has none: as many as go together; the rest is asked for again.
    fn stand_in(&mut self, now: Duration, lane: u8, from: u64, to: u64, at_micros: i64) {
        let kind = ports::Skip::ABSENT;
        let body = format!(r#"{{"kind":"{kind}"}}"#).into_bytes();
        let row = |seq| Row { seq, at_micros, kind: kind.to_owned(), body: body.clone() };
        let rows: Vec<Row> = (from..=to).take(MAX_ROWS).map(row).collect();
        match pack_some(&rows, self.form, self.lanes.frame_bytes(lane)) {
            Ok((packed, last)) => self.ship(now, lane, last, Body::Rows(packed)),
            Err(error) => self.end(End::Unsendable { lane, after: from - 1, reason: error.to_string() }),
        }
    }

    fn ship(&mut self, now: Duration, lane: u8, last: u64, body: Body) {
        self.lanes.sent(now, lane, last, frame::size(&body));
        self.out.push_back(Out::Send { stream: Stream::Lane(lane), body });
    }

    /// The answer to [`Out::Accept`]: the commands are durable up to `mark`.
    pub fn on_accepted(&mut self, mark: u64) {
        self.accepting = false;
        self.control(Body::CommandsAck(Ack { mark }));
    }

    /// Whether bulky lanes wait, since the line is a costly one just now. Urgent lanes go on.
    pub fn hold_bulk(&mut self, hold: bool) {
        self.lanes.hold_bulk = hold;
    }

    /// True where live values may be sent: one frame at a time, so that an alarm waits for no more, and never on a costly
    /// line.
    pub fn takes_live(&self) -> bool {
        let free = self.live.is_some_and(|live| !live.flying);
        self.phase == Phase::Open && free && !self.lanes.hold_bulk
    }

    /// Live values are to be sent, on the stream of the number [`LIVE`].
    pub fn on_live(&mut self, live: Live) {
        if !self.takes_live() {
            return;
        }
        let before = self.live.replace(LiveOut { open: true, flying: true });
        if before.is_some_and(|before| !before.open) {
            self.out.push_back(Out::Open(LIVE));
        }
        self.out.push_back(Out::Send { stream: Stream::Lane(LIVE), body: Body::Live(live) });
    }

    /// True where the cloud answers questions about updates, on a stream that is the driver's own: see [`crate::update`].
    pub fn takes_updates(&self) -> bool {
        self.phase == Phase::Open && self.updates
    }

    /// True where the cloud has everything that is written.
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Open && self.lanes.at_rest()
    }

    /// What the bulky lanes may have under way just now, bytes.
    pub fn bulk_window(&self) -> u64 {
        self.lanes.bulk_window()
    }

    fn greeted(&mut self, body: Body) -> Result<(), SessionError> {
        match body {
            Body::Welcome(welcome) => self.welcomed(&welcome),
            Body::Refused(refused) => {
                self.refused(refused);
                Ok(())
            }
            _ => Err(SessionError::Unexpected { expected: "an answer to the hello" }),
        }
    }

    fn welcomed(&mut self, welcome: &Welcome) -> Result<(), SessionError> {
        if !VERSIONS.contains(&welcome.version) {
            return Err(SessionError::Version(welcome.version));
        }
        self.version = welcome.version;
        // A dictionary that is not ours was not offered: a cloud that wants it does not get it.
        self.form = Form::of(welcome.version, dictionary::common(&[welcome.dictionary]));
        let credit = (welcome.version > FIRST_VERSION).then_some(welcome.credit);
        let marks = self.lanes.welcomed(&welcome.marks, credit)?;
        if welcome.version > FIRST_VERSION {
            for origin in self.previous.iter().flat_map(|previous| &previous.lanes) {
                let had = welcome.previous.iter().find(|mark| mark.lane == u32::from(origin.lane));
                self.lanes.carried(*origin, had.map_or(0, |mark| mark.seq));
            }
        }
        self.live = (welcome.live && welcome.version > FIRST_VERSION).then(LiveOut::default);
        self.updates = welcome.updates && welcome.version > FIRST_VERSION;
        self.phase = Phase::Open;
        self.out.push_back(Out::Welcomed { version: welcome.version });
        for lane in self.lanes.numbers() {
            self.out.push_back(Out::Open(lane));
            let body = Body::Lane(frame::Lane { lane: u32::from(lane) });
            self.out.push_back(Out::Send { stream: Stream::Lane(lane), body });
        }
        for (lane, mark) in marks {
            self.out.push_back(Out::Acknowledged { lane, mark });
        }
        Ok(())
    }

    fn on_control(&mut self, now: Duration, body: Body) -> Result<(), SessionError> {
        match body {
            Body::Ping(Ping { number }) if self.version > FIRST_VERSION => {
                if !self.pings.may_answer(now) {
                    return Err(SessionError::Unexpected { expected: "fewer pings" });
                }
                self.control(Body::Pong(Ping { number }));
            }
            Body::Pong(_) if self.version > FIRST_VERSION => {}
            Body::Commands(_) if self.accepting => {
                return Err(SessionError::Unexpected {
                    expected: "no commands before the last are answered",
                });
            }
            Body::Commands(rows) => {
                let commands =
                    batch::unpack(&rows).map_err(|error| SessionError::Commands(error.to_string()))?;
                self.accepting = true;
                self.out.push_back(Out::Accept(commands));
            }
            Body::Refused(refused) => self.refused(refused),
            _ => return Err(SessionError::Unexpected { expected: "commands" }),
        }
        Ok(())
    }

    fn on_lane(&mut self, now: Duration, lane: u8, body: Body) -> Result<(), SessionError> {
        if lane == LIVE {
            let (Body::Ack(_), Some(live)) = (body, &mut self.live) else {
                return Err(SessionError::Unexpected { expected: "no answer without live values" });
            };
            live.flying = false;
            return Ok(());
        }
        let (news, mark) = match body {
            Body::Ack(Ack { mark }) => (self.lanes.acknowledged(now, lane, mark)?, mark),
            Body::Gap(Ack { mark }) => (self.lanes.gap(now, lane, mark)?, mark),
            Body::Credit(credit) if self.version > FIRST_VERSION => {
                return self.lanes.credit(now, lane, credit);
            }
            _ => return Err(SessionError::Unexpected { expected: "an acknowledgement" }),
        };
        if news {
            self.out.push_back(Out::Acknowledged { lane, mark });
        }
        Ok(())
    }

    fn refused(&mut self, refused: Refused) {
        let why = refused.why();
        let retry_after =
            (refused.retry_after_s > 0).then(|| Duration::from_secs(u64::from(refused.retry_after_s)));
        self.end(End::Refused { reason: refused.reason, why, retry_after });
    }

    fn control(&mut self, body: Body) {
        if self.phase != Phase::Ended {
            self.out.push_back(Out::Send { stream: Stream::Control, body });
        }
    }

    fn end(&mut self, end: End) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            self.out.push_back(Out::End(end));
        }
    }
}

/// As many of the rows as fit into `most` bytes when they are compressed, but one at least, and the last one's number.
pub(crate) fn pack_some(rows: &[Row], form: Form, most: usize) -> Result<(frame::Rows, u64), BatchError> {
    let mut count = rows.len();
    loop {
        let some = &rows[..count];
        let last = some.last().map_or(0, |row| row.seq);
        match batch::pack(some, form) {
            Ok(packed) if count <= 1 || packed.zstd.len() <= most => return Ok((packed, last)),
            Err(error) if count <= 1 => return Err(error),
            Ok(_) | Err(_) => count = count.div_ceil(2),
        }
    }
}
