//! The cloud's end of a session.
//!
//! Who speaks comes from the certificate. Everything else a gateway says is checked here, before it gets to a store: what
//! can't be ends the session with a reason. What waits in memory is bounded for each lane, whatever the gateway does: the
//! next frame of a stream is taken from the line only when [`Out::Receive`] says so.

mod commands;
mod credit;
mod lane;
#[cfg(test)]
mod tests;

pub use credit::CreditBounds;

use crate::batch::{BatchError, Form};
use crate::dictionary;
use crate::frame::{
    Ack, Body, Credit, FIRST_VERSION, Hello, Mark, Ping, Refused, VERSION, VERSIONS, Welcome, Why,
};
use crate::live::{Live, LiveIn, TooLarge};
use crate::liveness::{Due, Liveness, Pings, Pulse};
use crate::ports::{Ingested, Refusal, Row, Skip};
use crate::trust::Distrust;
use crate::update::{Question, QuestionsIn};
use commands::Handing;
use lane::{Job, LaneIn};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Lanes that one gateway may have.
pub const MOST_LANES: usize = 16;
/// When a gateway whose store is not available may try again, seconds.
const UNAVAILABLE_RETRY_S: u32 = 10;
/// When a gateway that is turned away may try again, seconds: somebody has to do something first.
const REFUSED_RETRY_S: u32 = 60;
/// How often a store that fails is asked again before the session is given up.
const MOST_FAILURES: u32 = 6;
/// The rest after its first failure; it doubles.
const FAILURE_REST: Duration = Duration::from_millis(500);
/// The longest rest that a store can ask for.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Times and bounds of the cloud's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a lane may send before it is stored.
    pub credit: CreditBounds,
    /// How long silence may last.
    pub liveness: Liveness,
    /// How long the hello may take.
    pub handshake: Duration,
    /// How often commands are looked for though nobody said that there are new ones.
    pub look: Duration,
    /// Commands in one frame.
    pub commands: usize,
    /// Whether live values are taken.
    pub live: bool,
    /// Whether questions about updates are answered.
    pub updates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credit: CreditBounds::default(),
            liveness: Liveness::default(),
            handshake: Duration::from_secs(10),
            look: Duration::from_secs(5),
            commands: 64,
            live: false,
            updates: false,
        }
    }
}

/// A frame that ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum CloudSessionError {
    /// Something else was due.
    #[error("expected {expected}, got something else")]
    Unexpected {
        /// What was due.
        expected: &'static str,
    },
    /// No version in common.
    #[error("the gateway speaks versions {0:?} of the protocol, this release {VERSIONS:?}")]
    Version(Vec<u32>),
    /// A lane's number that can't be, is not in the hello, or is there twice; or too many lanes.
    #[error("lane {0} can't be")]
    Lane(u32),
    /// More than the lane's credit.
    #[error("lane {lane} sends more than it may")]
    Credit {
        /// The lane.
        lane: u8,
    },
    /// A gap that can't be.
    #[error("lane {lane}: a gap from {from} to {to} can't be")]
    Skip {
        /// The lane.
        lane: u8,
        /// The first row that is gone.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Live values that can't be.
    #[error(transparent)]
    Live(#[from] TooLarge),
    /// A batch that can't be read.
    #[error("a batch of lane {lane}")]
    Batch {
        /// The lane.
        lane: u8,
        /// Why.
        #[source]
        source: BatchError,
    },
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The gateway may not talk; it has been told, or is told by the connection's close.
    #[error("{0}")]
    Refused(Refusal),
    /// It said something that can't be.
    #[error(transparent)]
    Senseless(#[from] CloudSessionError),
    /// Nothing was heard for too long.
    #[error("nothing was heard for {} s", .0.as_secs())]
    Silent(Duration),
    /// The store has failed too often.
    #[error("the cloud's store failed")]
    Store,
    /// A command of our own can't be sent.
    #[error("commands can't be packed: {0}")]
    Unsendable(String),
}

/// What a gateway's first frame comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The epoch of its journal.
    pub epoch: u64,
    /// How far its lanes are written.
    pub heads: Vec<(u8, u64)>,
    /// How far the commands are durable there.
    pub inbox: u64,
    /// The agent's release, for people.
    pub release: String,
    /// The life of its journal before this one, whose marks it wants to know too.
    pub previous: Option<u64>,
}

/// The marks that a gateway may go on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Of its epoch.
    pub present: Vec<(u8, u64)>,
    /// Of the epoch before, where the greeting names one.
    pub previous: Vec<(u8, u64)>,
}

/// The stream that the gateway opened first.
pub const CONTROL: u32 = 0;

/// What is to be done.
#[derive(Debug)]
pub enum Out {
    /// The next frame of this stream may come. Streams are numbered as they were opened, from [`CONTROL`].
    Receive(u32),
    /// May the gateway talk, and from where? Answered by [`CloudMachine::on_welcome`].
    Hello(Greeting),
    /// A frame goes out. Frames of one stream keep their order.
    Send {
        /// Where.
        stream: u32,
        /// What.
        body: Body,
    },
    /// Rows are to be stored: answered by [`CloudMachine::on_ingested`]. One batch a stream.
    Ingest {
        /// The stream, for the answer.
        stream: u32,
        /// The lane.
        lane: u8,
        /// The rows.
        rows: Vec<Row>,
    },
    /// Rows are to be stored and a gap behind them is to be recorded, together; answered in the same way.
    Skip {
        /// The stream, for the answer.
        stream: u32,
        /// The lane.
        lane: u8,
        /// The rows; there may be none.
        rows: Vec<Row>,
        /// The gap.
        skip: Skip,
    },
    /// Commands are to be looked for: answered by [`CloudMachine::on_commands`]. One at a time.
    Commands {
        /// After this number.
        after: u64,
        /// At most so many.
        max: usize,
    },
    /// The gateway has the commands durably up to the mark.
    CommandsAcknowledged(u64),
    /// Live values for whoever watches. Not answered.
    Live(Live),
    /// A question about updates. Its answer goes out on its stream without the machine, which is then told:
    /// [`CloudMachine::on_answered`]. One at a time.
    Question {
        /// The stream.
        stream: u32,
        /// The question.
        question: Question,
    },
    /// The session is over, and the connection is to be closed once what was sent is out.
    End(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting { until: Duration },
    Asking,
    Open,
    Ended,
}

/// One session of the cloud.
#[derive(Debug)]
pub struct CloudMachine {
    settings: Settings,
    phase: Phase,
    version: u32,
    form: Form,
    dictionary: u32,
    inbox: u64,
    /// Lanes of the hello whose streams have not come yet.
    expected: Vec<u8>,
    /// Streams whose first frame has not come yet.
    unnamed: Vec<u32>,
    lanes: BTreeMap<u32, LaneIn>,
    /// The stream of live values, once it is there.
    live: Option<(u32, LiveIn)>,
    /// The stream of questions about updates, once it is there.
    updates: Option<(u32, QuestionsIn)>,
    handing: Handing,
    pulse: Pulse,
    pings: Pings,
    out: VecDeque<Out>,
}

impl CloudMachine {
    /// A session that begins now, on a new connection whose first stream is there.
    pub fn new(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            phase: Phase::Greeting { until: now.saturating_add(settings.handshake) },
            version: VERSION,
            form: Form::Plain,
            dictionary: 0,
            inbox: 0,
            expected: Vec::new(),
            unnamed: Vec::new(),
            lanes: BTreeMap::new(),
            live: None,
            updates: None,
            handing: Handing::default(),
            pulse: Pulse::new(settings.liveness, now),
            pings: Pings::default(),
            out: VecDeque::from([Out::Receive(CONTROL)]),
        }
    }

    /// What is to be done next; nothing until something happens.
    pub fn poll(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// When [`CloudMachine::on_wake`] is due, if nothing happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Greeting { until } => Some(until),
            Phase::Open => {
                let pulse = (self.version > FIRST_VERSION).then(|| self.pulse.wake_at());
                let rests = self.lanes.values().filter_map(|lane| lane.rests_until);
                pulse.into_iter().chain(self.handing.look_at()).chain(rests).min()
            }
            Phase::Asking | Phase::Ended => None,
        }
    }

    /// Time has passed.
    pub fn on_wake(&mut self, now: Duration) {
        match self.phase {
            Phase::Greeting { until } if now >= until => self.end(End::Silent(self.settings.handshake)),
            Phase::Open => {
                self.pulse(now);
                self.look(now);
                let rested: Vec<u32> = (self.lanes.iter())
                    .filter(|(_, lane)| lane.rests_until.is_some_and(|until| until <= now))
                    .map(|(stream, _)| *stream)
                    .collect();
                for stream in rested {
                    self.advance(now, stream);
                }
            }
            _ => {}
        }
    }

    fn pulse(&mut self, now: Duration) {
        if self.version <= FIRST_VERSION {
            return;
        }
        match self.pulse.due(now) {
            None => {}
            Some(Due::Ping(number) | Due::Rebind(number)) => self.send(CONTROL, Body::Ping(Ping { number })),
            Some(Due::Dead) => self.end(End::Silent(self.pulse.silence(now))),
        }
    }

    /// The gateway has opened a further stream, with this number.
    pub fn on_open(&mut self, stream: u32) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.phase != Phase::Open {
            return self
                .senseless(CloudSessionError::Unexpected { expected: "no stream before the welcome" });
        }
        if self.lanes.len() + self.unnamed.len()
            >= MOST_LANES + usize::from(self.settings.live) + usize::from(self.settings.updates)
        {
            return self.senseless(CloudSessionError::Lane(stream));
        }
        self.unnamed.push(stream);
        self.out.push_back(Out::Receive(stream));
    }

    /// A frame has come that [`Out::Receive`] allowed.
    pub fn on_frame(&mut self, now: Duration, stream: u32, body: Body) {
        self.pulse.heard(now);
        let done = match self.phase {
            Phase::Ended => Ok(()),
            Phase::Greeting { .. } if stream == CONTROL => self.greeted(body),
            Phase::Greeting { .. } | Phase::Asking => {
                Err(CloudSessionError::Unexpected { expected: "a hello and nothing else" })
            }
            Phase::Open if stream == CONTROL => self.on_control(now, body),
            Phase::Open => self.on_lane(now, stream, body),
        };
        if let Err(error) = done {
            self.senseless(error);
        }
    }

    /// The gateway has finished a stream: it writes no more of that lane. A gateway that goes closes the connection.
    pub fn on_finished(&mut self, stream: u32) {
        if stream == CONTROL {
            self.senseless(CloudSessionError::Unexpected { expected: "more on the control stream" });
        }
    }

    /// The answer to [`Out::Hello`]: the marks to go on from, or why not.
    pub fn on_welcome(&mut self, now: Duration, answer: Result<Marks, Refusal>) {
        if self.phase != Phase::Asking {
            return;
        }
        let marks = match answer {
            Ok(marks) => marks,
            Err(refusal) => return self.refuse(refusal),
        };
        let wire = |marks: &[(u8, u64)]| -> Vec<Mark> {
            marks.iter().map(|(lane, seq)| Mark { lane: u32::from(*lane), seq: *seq }).collect()
        };
        let newer = self.version > FIRST_VERSION;
        let credit = if newer { LaneIn::new(0, self.settings.credit).account.limit() } else { 0 };
        let dictionary = if newer { self.dictionary } else { 0 };
        self.phase = Phase::Open;
        self.send(
            CONTROL,
            Body::Welcome(Welcome {
                version: self.version,
                marks: wire(&marks.present),
                credit,
                dictionary,
                previous: if newer { wire(&marks.previous) } else { vec![] },
                live: newer && self.settings.live,
                updates: newer && self.settings.updates,
            }),
        );
        self.out.push_back(Out::Receive(CONTROL));
        // What it has acknowledged on an earlier connection may not have reached the database.
        self.out.push_back(Out::CommandsAcknowledged(self.inbox));
        self.handing = Handing::new(self.inbox);
        self.look(now);
    }

    /// The store may have new commands.
    pub fn on_commands_changed(&mut self, now: Duration) {
        self.handing.changed();
        if self.phase == Phase::Open {
            self.look(now);
        }
    }

    /// The answer to [`Out::Commands`]; `None` where the store failed.
    pub fn on_commands(&mut self, now: Duration, rows: Option<&[Row]>) {
        if self.phase != Phase::Open {
            return;
        }
        match self.handing.found(now, self.settings.look, rows, self.form) {
            Ok(Some(packed)) => self.send(CONTROL, Body::Commands(packed)),
            Ok(None) => self.look(now),
            Err(error) => self.end(End::Unsendable(error.to_string())),
        }
    }

    /// The answer to [`Out::Ingest`] or [`Out::Skip`]; `None` where the store failed, which it may do a few times.
    pub fn on_ingested(&mut self, now: Duration, stream: u32, answer: Option<Ingested>) {
        if self.phase != Phase::Open {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&stream) else { return };
        let body = match answer {
            Some(Ingested::Upto(mark)) => {
                lane.answered(now);
                Some(Body::Ack(Ack { mark }))
            }
            Some(Ingested::Gap(mark)) => {
                lane.answered(now);
                lane.holed(mark);
                Some(Body::Gap(Ack { mark }))
            }
            None if lane.failures + 1 >= MOST_FAILURES => return self.end(End::Store),
            Some(Ingested::Busy { .. }) | None => {
                let rest = match answer {
                    Some(Ingested::Busy { pause, .. }) => pause.min(LONGEST_REST),
                    _ => FAILURE_REST * (1 << lane.failures),
                };
                lane.rest(now.saturating_add(rest), answer.is_none());
                // At most LONGEST_REST.
                let retry_after_ms = u32::try_from(rest.as_millis()).unwrap_or(u32::MAX);
                let credit = Credit { limit: lane.account.limit(), retry_after_ms };
                (self.version > FIRST_VERSION).then_some(Body::Credit(credit))
            }
        };
        if let Some(body) = body {
            self.send(stream, body);
        }
        self.advance(now, stream);
    }

    /// The gateway may not talk any more: revoked, fenced, or another box has taken its place.
    pub fn on_refused(&mut self, refusal: Refusal) {
        if self.phase != Phase::Ended {
            self.refuse(refusal);
        }
    }

    fn greeted(&mut self, body: Body) -> Result<(), CloudSessionError> {
        let Body::Hello(Hello { versions, epoch, heads, inbox, release, dictionaries, previous }) = body
        else {
            return Err(CloudSessionError::Unexpected { expected: "a hello" });
        };
        let Some(version) = VERSIONS.into_iter().find(|version| versions.contains(version)) else {
            let error = CloudSessionError::Version(versions);
            self.send(CONTROL, refused(error.to_string(), REFUSED_RETRY_S, Why::Version));
            return Err(error);
        };
        if heads.len() > MOST_LANES {
            return Err(CloudSessionError::Lane(u32::try_from(heads.len()).unwrap_or(u32::MAX)));
        }
        let mut lanes: Vec<(u8, u64)> = Vec::new();
        for Mark { lane, seq } in heads {
            match u8::try_from(lane) {
                Ok(number) if !lanes.iter().any(|(known, _)| *known == number) => lanes.push((number, seq)),
                _ => return Err(CloudSessionError::Lane(lane)),
            }
        }
        self.version = version;
        self.dictionary = dictionary::common(&dictionaries);
        self.form = Form::of(version, self.dictionary);
        self.expected = lanes.iter().map(|(lane, _)| *lane).collect();
        self.inbox = inbox;
        self.phase = Phase::Asking;
        self.out.push_back(Out::Hello(Greeting { epoch, heads: lanes, inbox, release, previous }));
        Ok(())
    }

    fn on_control(&mut self, now: Duration, body: Body) -> Result<(), CloudSessionError> {
        match body {
            Body::CommandsAck(Ack { mark }) => {
                let mark = self.handing.acknowledged(now, self.settings.look, mark);
                let mark =
                    mark.ok_or(CloudSessionError::Unexpected { expected: "no answer without commands" })?;
                self.out.push_back(Out::CommandsAcknowledged(mark));
                self.look(now);
            }
            Body::Ping(Ping { number }) if self.version > FIRST_VERSION => {
                if !self.pings.may_answer(now) {
                    return Err(CloudSessionError::Unexpected { expected: "fewer pings" });
                }
                self.send(CONTROL, Body::Pong(Ping { number }));
            }
            Body::Pong(_) if self.version > FIRST_VERSION => {}
            _ => return Err(CloudSessionError::Unexpected { expected: "an acknowledgement of commands" }),
        }
        self.out.push_back(Out::Receive(CONTROL));
        Ok(())
    }

    fn on_lane(&mut self, now: Duration, stream: u32, body: Body) -> Result<(), CloudSessionError> {
        if let Some(at) = self.unnamed.iter().position(|unnamed| *unnamed == stream) {
            let may_watch = self.settings.live && self.version > FIRST_VERSION && self.live.is_none();
            let body = match body {
                Body::Live(live) if may_watch => {
                    self.unnamed.swap_remove(at);
                    self.live = Some((stream, LiveIn::new(now)));
                    return self.on_live(now, stream, live);
                }
                Body::UpdateAsk(_) | Body::FetchAsk(_) if self.may_ask() => {
                    self.unnamed.swap_remove(at);
                    self.updates = Some((stream, QuestionsIn::new(now)));
                    return self.on_question(now, stream, body);
                }
                other => other,
            };
            let Body::Lane(lane) = body else {
                return Err(CloudSessionError::Unexpected { expected: "a lane" });
            };
            let expected = self.expected.iter().position(|known| u32::from(*known) == lane.lane);
            let number = self.expected.swap_remove(expected.ok_or(CloudSessionError::Lane(lane.lane))?);
            self.unnamed.swap_remove(at);
            self.lanes.insert(stream, LaneIn::new(number, self.settings.credit));
        } else if self.live.as_ref().is_some_and(|(number, _)| *number == stream) {
            let Body::Live(live) = body else {
                return Err(CloudSessionError::Unexpected { expected: "live values" });
            };
            return self.on_live(now, stream, live);
        } else if self.updates.as_ref().is_some_and(|(number, _)| *number == stream) {
            return self.on_question(now, stream, body);
        } else {
            let counted = self.version > FIRST_VERSION;
            let lane = self.lanes.get_mut(&stream).ok_or(CloudSessionError::Lane(stream))?;
            lane.take(body, counted)?;
        }
        self.advance(now, stream);
        Ok(())
    }

    fn on_live(&mut self, now: Duration, stream: u32, live: Live) -> Result<(), CloudSessionError> {
        let taken = self.live.as_mut().map(|(_, gate)| gate.take(now, live)).transpose()?.flatten();
        self.out.extend(taken.map(Out::Live));
        // Only now may the next one come: they are counted by nobody.
        self.send(stream, Body::Ack(Ack { mark: 0 }));
        self.out.push_back(Out::Receive(stream));
        Ok(())
    }

    fn may_ask(&self) -> bool {
        self.settings.updates && self.version > FIRST_VERSION && self.updates.is_none()
    }

    fn on_question(&mut self, now: Duration, stream: u32, body: Body) -> Result<(), CloudSessionError> {
        let question = match body {
            Body::UpdateAsk(ask) => Some(Question::Ask(ask)),
            Body::FetchAsk(ask) => Some(Question::Fetch(ask)),
            _ => None,
        };
        let taken = self.updates.as_mut().zip(question).and_then(|((_, gate), asked)| gate.take(now, asked));
        let question = taken
            .ok_or(CloudSessionError::Unexpected { expected: "few and short questions about updates" })?;
        self.out.push_back(Out::Question { stream, question });
        Ok(())
    }

    /// The answer to [`Out::Question`] has gone out.
    pub fn on_answered(&mut self, stream: u32) {
        if self.phase == Phase::Open && self.updates.as_ref().is_some_and(|(number, _)| *number == stream) {
            self.out.push_back(Out::Receive(stream));
        }
    }

    /// Gives the store what the lane has, and takes the next frame where there is room.
    fn advance(&mut self, now: Duration, stream: u32) {
        let Some(state) = self.lanes.get_mut(&stream) else { return };
        let lane = state.lane;
        match state.next(now) {
            Ok(None) => {}
            Ok(Some(Job::Rows(rows))) => self.out.push_back(Out::Ingest { stream, lane, rows }),
            Ok(Some(Job::Skip(rows, skip))) => self.out.push_back(Out::Skip { stream, lane, rows, skip }),
            Err(error) => return self.senseless(error),
        }
        if state.receive() {
            self.out.push_back(Out::Receive(stream));
        }
        if let Some(limit) = state.account.news().filter(|_| self.version > FIRST_VERSION) {
            self.send(stream, Body::Credit(Credit { limit, retry_after_ms: 0 }));
        }
    }

    fn look(&mut self, now: Duration) {
        if let Some(after) = self.handing.next(now) {
            self.out.push_back(Out::Commands { after, max: self.settings.commands });
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.send(CONTROL, turn_away(&refusal));
        self.end(End::Refused(refusal));
    }

    fn send(&mut self, stream: u32, body: Body) {
        self.out.push_back(Out::Send { stream, body });
    }

    fn senseless(&mut self, error: CloudSessionError) {
        self.end(End::Senseless(error));
    }

    fn end(&mut self, end: End) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            self.out.push_back(Out::End(end));
        }
    }
}

/// The answer to a gateway that may not talk.
pub fn turn_away(refusal: &Refusal) -> Body {
    let (retry_after_s, why) = match refusal {
        Refusal::Unavailable => (UNAVAILABLE_RETRY_S, Why::Unavailable),
        Refusal::EdgeBehind { .. } => (REFUSED_RETRY_S, Why::Behind),
        Refusal::Trust(Distrust::Fenced { .. }) => (REFUSED_RETRY_S, Why::Twin),
        Refusal::Trust(_) => (REFUSED_RETRY_S, Why::NotAdmitted),
        Refusal::Unknown(_) => (REFUSED_RETRY_S, Why::NotAdmitted),
        Refusal::BadClaim | Refusal::BadRequest(_) | Refusal::OtherProperty { .. } => {
            (REFUSED_RETRY_S, Why::Unknown)
        }
    };
    refused(refusal.to_string(), retry_after_s, why)
}

fn refused(reason: String, retry_after_s: u32, why: Why) -> Body {
    Body::Refused(Refused { reason, retry_after_s, why: i32::from(why) })
}
