//! The PMS's socket: listens for ever, talks to one interface at a time; a newcomer takes the place of the old one,
//! as IFC8 does.
//!
//! While the link is not alive the PMS keeps its records back, as real ones do, and plays on when the link is alive
//! and the list of the house, if one is asked for, has gone out. Records that were written into a socket that then
//! broke are not sent again: for them there is the list.

use crate::clock::Clock;
use crate::fias::{Charset, Reader, Record};
use crate::plan::What;
use crate::played::Happened;
use crate::pms::{Out, Pms, with_clock};
use crate::tally::Tally;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After the link has come alive: time for the interface to ask for a list before records flow.
const BEFORE_RECORDS: Duration = Duration::from_millis(1_500);
/// After a list: time for the interface to work on it.
const AFTER_LIST: Duration = Duration::from_millis(500);
/// From LE to the end of the connection.
const GOODBYE: Duration = Duration::from_secs(2);
/// An interface that takes no bytes for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// An event for the PMS, and where to say that it is out.
pub(crate) type Cue = (What, oneshot::Sender<()>);

/// What the PMS's task works with.
pub(crate) struct PmsLine {
    pub(crate) listener: TcpListener,
    pub(crate) pms: Pms,
    pub(crate) clock: Arc<Clock>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) charset: Charset,
    /// Events of the day; one at a time.
    pub(crate) cues: mpsc::Receiver<Cue>,
    /// True while records flow.
    pub(crate) ready: watch::Sender<bool>,
}

struct Talk {
    stream: TcpStream,
    reader: Reader,
    /// When it is closed from our side.
    close_at: Option<Instant>,
}

impl PmsLine {
    /// Plays the PMS until `stop`, then ends the link with LE.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut talk: Option<Talk> = None;
        // When records flow again.
        let mut ready_at: Option<Instant> = None;
        let mut buffer = [0_u8; 4096];
        loop {
            let now_ready = *self.ready.borrow();
            let close_at = talk.as_ref().and_then(|talk| talk.close_at);
            let outs = tokio::select! {
                () = stop.cancelled() => {
                    self.goodbye(talk).await;
                    return;
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.lost();
                        // Small records: Nagle's algorithm would hold them back. Without it they only come later.
                        let _ = stream.set_nodelay(true);
                        talk = Some(Talk { stream, reader: Reader::default(), close_at: None });
                        self.pms.connected(self.clock.hotel_time())
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accepting an interface");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        vec![]
                    }
                },
                read = read(talk.as_mut(), &mut buffer) => match (read, talk.as_mut()) {
                    (Ok(count @ 1..), Some(talk)) => {
                        let records = talk.reader.push(&buffer[..count], self.charset);
                        let now = self.clock.hotel_time();
                        records.iter().flat_map(|record| self.pms.received(now, record)).collect()
                    }
                    _ => {
                        talk = None;
                        self.lost();
                        vec![]
                    }
                },
                Some((what, done)) = self.cues.recv(), if now_ready => {
                    let outs = self.pms.play(self.clock.hotel_time(), &what);
                    self.perform(&mut talk, &mut ready_at, outs).await;
                    self.tally.step();
                    // Nobody waits any more only when the play is being stopped.
                    let _ = done.send(());
                    vec![]
                }
                () = at(ready_at), if !now_ready => {
                    ready_at = None;
                    self.set_ready(self.pms.alive());
                    vec![]
                }
                () = at(close_at) => {
                    talk = None;
                    self.lost();
                    vec![]
                }
            };
            self.perform(&mut talk, &mut ready_at, outs).await;
        }
    }

    async fn perform(&mut self, talk: &mut Option<Talk>, ready_at: &mut Option<Instant>, outs: Vec<Out>) {
        for out in outs {
            match out {
                Out::Log(happened) => self.tally.enter(&happened),
                Out::Settled(text) => self.tally.settle(&text),
                Out::Alive => *ready_at = Some(Instant::now() + BEFORE_RECORDS),
                Out::Listed => *ready_at = Some(Instant::now() + AFTER_LIST),
                Out::Close => {
                    if let Some(talk) = talk {
                        talk.close_at = Some(Instant::now() + GOODBYE);
                    }
                }
                Out::Send(record) => {
                    let sent = match talk {
                        Some(talk) => write(talk, &record, self.charset).await,
                        None => Ok(()),
                    };
                    if let Err(error) = sent {
                        tracing::info!(%error, "the interface is gone");
                        *talk = None;
                        self.lost();
                    }
                }
            }
        }
        if !self.pms.alive() {
            self.set_ready(false);
        }
    }

    /// The connection is gone, if there was one.
    fn lost(&mut self) {
        if self.pms.closed() {
            self.tally.enter(&Happened::LinkLost);
        }
        self.set_ready(false);
    }

    fn set_ready(&self, ready: bool) {
        self.clock.run(ready);
        self.ready.send_if_modified(|was| std::mem::replace(was, ready) != ready);
    }

    /// Ends the link with LE. That is no loss: the log ends with what was played.
    async fn goodbye(&mut self, talk: Option<Talk>) {
        if let Some(mut talk) = talk.filter(|_| self.pms.alive()) {
            let now = self.clock.hotel_time();
            let record = with_clock(Record::new("LE"), now);
            if let Err(error) = write(&mut talk, &record, self.charset).await {
                tracing::debug!(%error, "saying LE");
            }
        }
        self.clock.run(false);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn read(talk: Option<&mut Talk>, buffer: &mut [u8]) -> io::Result<usize> {
    match talk {
        Some(talk) => talk.stream.read(buffer).await,
        None => std::future::pending().await,
    }
}

async fn write(talk: &mut Talk, record: &Record, charset: Charset) -> io::Result<()> {
    let frame = record.frame(charset);
    match tokio::time::timeout(WRITE_TIMEOUT, talk.stream.write_all(&frame)).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it takes no bytes")),
    }
}
