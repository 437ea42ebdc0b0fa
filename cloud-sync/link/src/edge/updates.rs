//! Updates over the link, at the gateway's end: what the cloud wants it to run, and files of the repository of releases.
//!
//! [`updates`] makes both ends of a desk: [`UpdateLine`] asks and blocks, and is a [`Source`], as is each [`LineSource`] of it;
//! several may ask side by side. [`UpdatePort`] goes into the link,
//! which answers what is asked as long as there is a session with a cloud that does so. One question is under way at a time,
//! on a stream of its own, no faster than [`UpdateLine::set_rate`] says. Nothing waits here for a connection: without one the answer
//! is [`SourceFault::Away`].

use crate::transport::{Carrier, Connection};
use crate::{LinkError, stream};
use engawa_protocol::bucket::Bucket;
use engawa_protocol::frame::Body;
use engawa_protocol::update::{FetchAsk, FetchPiece, Pieces, URGENCY, UpdateAsk, UpdateTold};
use engawa_release::source::{MOST_PIECE, Piece, Source, SourceFault};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, mpsc, watch};

/// How long an answer may take: longer than a dead connection lives.
const ANSWER: Duration = Duration::from_secs(120);
/// Questions that may wait for the link: an asker has one at a time, and may have given one up.
const WAITING: usize = 8;
/// How often an asker looks whether it is still to wait.
const LOOK: Duration = Duration::from_millis(200);
/// The slowest rate, bytes a second: at a lower one a piece would take longer than an asker waits.
const SLOWEST: u64 = 1 << 10;
/// Pieces are no longer than this over TCP, whose one order of bytes others wait in.
const MOST_TCP_PIECE: u32 = 32 << 10;
/// The largest burst, as a part of a second at the rate.
const BURST: f64 = 0.5;

struct Asked {
    question: Body,
    answer: blocking::SyncSender<Body>,
    /// Whoever asks, for as long as it waits.
    asker: Weak<()>,
}

impl Asked {
    fn is_given_up(&self) -> bool {
        self.asker.strong_count() == 0
    }
}

struct Shared {
    /// Bytes a second; 0: no limit.
    rate: AtomicU64,
    /// How much is to be asked for at once.
    pieces: Mutex<Pieces>,
    /// Whether there is a session with a cloud that answers.
    open: watch::Sender<bool>,
    /// Whether bulk waits, on a costly line.
    held: watch::Sender<bool>,
}

/// The asker's end. Its methods block: never call them on an async thread.
pub struct UpdateLine {
    shared: Arc<Shared>,
    questions: mpsc::Sender<Asked>,
}

/// The link's end.
#[derive(Clone)]
pub struct UpdatePort {
    shared: Arc<Shared>,
    questions: Arc<tokio::sync::Mutex<mpsc::Receiver<Asked>>>,
}

/// A desk for questions about updates, with so many bytes a second for files (0: no limit; never fewer than 1 KiB).
pub fn updates(rate: u64) -> (UpdateLine, UpdatePort) {
    let shared = Arc::new(Shared {
        rate: AtomicU64::new(bounded(rate)),
        pieces: Mutex::default(),
        open: watch::Sender::new(false),
        held: watch::Sender::new(false),
    });
    let (questions, asked) = mpsc::channel(WAITING);
    let line = UpdateLine { shared: Arc::clone(&shared), questions };
    (line, UpdatePort { shared, questions: Arc::new(tokio::sync::Mutex::new(asked)) })
}

impl UpdateLine {
    /// Whether somebody answers just now; changes with the connection.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.shared.open.subscribe()
    }

    /// From now on files come with so many bytes a second; 0: no limit, and never fewer than 1 KiB.
    pub fn set_rate(&self, rate: u64) {
        self.shared.rate.store(bounded(rate), Ordering::Relaxed);
    }

    /// Tells the cloud what runs here, and hears what is meant to.
    ///
    /// # Errors
    /// [`SourceFault::Away`] where nobody answers just now.
    pub fn told(&self, ask: UpdateAsk) -> Result<UpdateTold, SourceFault> {
        match self.ask(Body::UpdateAsk(ask), None)? {
            Body::UpdateTold(told) if told.fault.is_empty() => Ok(told),
            Body::UpdateTold(told) => {
                Err(SourceFault::Away(format!("the cloud can't say what is to run here: {}", told.fault)))
            }
            _ => Err(senseless("what is to run here")),
        }
    }

    /// A source over this line that gives up as soon as `going` is false.
    pub fn source(self: &Arc<Self>, going: Arc<AtomicBool>) -> LineSource {
        LineSource { line: Arc::clone(self), going }
    }

    fn ask(&self, question: Body, going: Option<&AtomicBool>) -> Result<Body, SourceFault> {
        let away = || SourceFault::Away("there is no link to a cloud that answers about updates".to_owned());
        if !*self.shared.open.borrow() {
            return Err(away());
        }
        let (answer, answered) = blocking::sync_channel(1);
        let waits = Arc::new(());
        let asked = Asked { question, answer, asker: Arc::downgrade(&waits) };
        self.questions.try_send(asked).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                SourceFault::Away("the cloud still owes answers about updates".to_owned())
            }
            mpsc::error::TrySendError::Closed(_) => away(),
        })?;
        let began = Instant::now();
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(body) => return Ok(body),
                Err(blocking::RecvTimeoutError::Disconnected) => {
                    let why = "the link to the cloud went down before the answer";
                    return Err(SourceFault::Away(why.to_owned()));
                }
                Err(blocking::RecvTimeoutError::Timeout) if began.elapsed() >= ANSWER => {
                    let why = format!("the cloud has not answered for {} s", ANSWER.as_secs());
                    return Err(SourceFault::Away(why));
                }
                Err(blocking::RecvTimeoutError::Timeout)
                    if going.is_some_and(|going| !going.load(Ordering::Relaxed)) =>
                {
                    return Err(SourceFault::Away("nobody waits for it any more".to_owned()));
                }
                Err(blocking::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn piece(
        &self,
        name: &str,
        offset: u64,
        most: usize,
        going: Option<&AtomicBool>,
    ) -> Result<Option<Piece>, SourceFault> {
        engawa_release::name::in_repository(name)?;
        if *self.shared.held.borrow() {
            return Err(SourceFault::Away(
                "the line is a costly one: releases wait for the other".to_owned(),
            ));
        }
        let allowed = self.pieces().size(self.shared.rate.load(Ordering::Relaxed));
        let most = u32::try_from(most.min(MOST_PIECE)).unwrap_or(u32::MAX).min(allowed);
        let ask = FetchAsk { name: name.to_owned(), offset, most };
        let Body::FetchPiece(FetchPiece { total, bytes, missing, fault }) =
            self.ask(Body::FetchAsk(ask), going)?
        else {
            return Err(senseless("bytes of a release"));
        };
        if !fault.is_empty() {
            return Err(SourceFault::Away(format!("the cloud can't read {name}: {fault}")));
        }
        if bytes.len() > most as usize {
            return Err(senseless("as many bytes as were asked for"));
        }
        Ok((!missing).then(|| Piece { bytes: bytes.to_vec(), total }))
    }

    fn pieces(&self) -> Pieces {
        *self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rate that a piece comes at in time.
fn bounded(rate: u64) -> u64 {
    if rate == 0 { 0 } else { rate.max(SLOWEST) }
}

impl Source for UpdateLine {
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        self.piece(name, offset, most, None)
    }
}

/// A source that somebody can stop ([`UpdateLine::source`]).
pub struct LineSource {
    line: Arc<UpdateLine>,
    going: Arc<AtomicBool>,
}

impl Source for LineSource {
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        self.line.piece(name, offset, most, Some(&self.going))
    }
}

fn senseless(what: &str) -> SourceFault {
    SourceFault::Away(format!("the cloud has answered something else than {what}"))
}

/// Somebody answers, until this is dropped; what has no answer then gets none.
struct Open {
    shared: Arc<Shared>,
    asked: OwnedMutexGuard<mpsc::Receiver<Asked>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.send_replace(false);
        while self.asked.try_recv().is_ok() {}
    }
}

impl UpdatePort {
    /// Bulk waits, or does not.
    pub(super) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Answers over the connection until it ends. An error is the connection's.
    pub(super) async fn serve(self, connection: Connection) -> LinkError {
        match self.answer(&connection).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    }

    async fn answer(self, connection: &Connection) -> Result<(), LinkError> {
        // The session before may still be ending.
        let asked = Arc::clone(&self.questions).lock_owned().await;
        let mut open = Open { shared: Arc::clone(&self.shared), asked };
        self.shared.open.send_replace(true);
        let began = Instant::now();
        let (mut streams, mut bucket, mut limit) = (None, Bucket::new(0.0, 0.0, Duration::ZERO), 0);
        while let Some(asked) = open.asked.recv().await {
            if asked.is_given_up() {
                continue;
            }
            let rate = self.shared.rate.load(Ordering::Relaxed);
            if rate != limit {
                let per_s = rate as f64;
                bucket = Bucket::new(per_s, (per_s * BURST).max(1.0), began.elapsed());
                limit = rate;
            }
            if matches!(asked.question, Body::FetchAsk(_)) {
                tokio::time::sleep(bucket.take(0.0, began.elapsed()).wait).await;
                // Its answer would only be in the way of somebody who waits.
                if asked.is_given_up() {
                    continue;
                }
            }
            let Asked { question, answer, .. } = asked;
            let question = match question {
                Body::FetchAsk(ask) if connection.carrier() == Carrier::Tcp => {
                    Body::FetchAsk(FetchAsk { most: ask.most.min(MOST_TCP_PIECE), ..ask })
                }
                other => other,
            };
            let (up, down) = match &mut streams {
                Some(streams) => streams,
                none => {
                    let (up, down) = connection.open_lane().await?;
                    up_priority(none.insert((up, down)))
                }
            };
            let asked_at = Instant::now();
            stream::send(up, question).await?;
            let Some(body) = stream::receive(down).await? else {
                return Err(LinkError::Stream("the cloud has ended the stream of updates".to_owned()));
            };
            if let Body::FetchPiece(piece) = &body {
                bucket.take(piece.bytes.len() as f64, began.elapsed());
                let mut pieces = self.shared.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                pieces.answered(piece.bytes.len(), asked_at.elapsed(), connection.rtt());
            }
            // Whoever asked may have given up.
            let _ = answer.send(body);
        }
        Ok(())
    }
}

type Streams = (crate::transport::SendHalf, crate::transport::ReceiveHalf);

fn up_priority(streams: &mut Streams) -> &mut Streams {
    streams.0.set_priority(URGENCY);
    streams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_was_given_up_is_known_as_such_and_no_rate_is_too_slow_for_a_piece() {
        let (line, port) = updates(1);
        line.shared.open.send_replace(true);
        assert_eq!(line.shared.rate.load(Ordering::Relaxed), SLOWEST);
        line.set_rate(0);
        assert_eq!(line.shared.rate.load(Ordering::Relaxed), 0, "no limit");
        let line = Arc::new(line);
        let mut stopped = line.source(Arc::new(AtomicBool::new(false)));
        let fault = stopped.read("metadata/timestamp.json", 0, 9).unwrap_err();
        assert!(matches!(&fault, SourceFault::Away(why) if why.contains("any more")), "{fault}");
        let mut asked = port.questions.try_lock().unwrap();
        assert!(asked.try_recv().unwrap().is_given_up());
        // One that somebody waits for is not.
        let waiting = std::thread::spawn(move || line.told(UpdateAsk::default()));
        let asked = asked.blocking_recv().unwrap();
        assert!(!asked.is_given_up());
        drop(asked);
        assert!(waiting.join().unwrap().is_err(), "the link is gone");
    }
}
