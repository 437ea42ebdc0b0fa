//! The I/O side of Modbus TCP: one socket, many lanes.
//!
//! One task reads, hands each answer to its lane, and writes what the lanes asked since its last turn: requests and
//! answers that come together cost one write and one read. A connection with a single lane is written to by the lane
//! itself.
//!
//! Never: a request sent twice; anything sent after the connection has ended.

use super::LineCounters;
use super::failure::{Failure, short};
use super::mbap::{Event, Mux};
use super::slot::{Keeper, Mailbox};
use futures::task::AtomicWaker;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What waits for a socket that takes no more: every lane's longest request. At the bound the connection is broken.
const MOST_WAITING: usize = 32 * 260;
/// What is read at once.
const READ: usize = 4096;

/// The lanes of a connection.
pub(super) struct Many {
    inner: Mutex<Inner>,
    /// Wakes the task: bytes wait, or it shall end.
    task: AtomicWaker,
    open: AtomicBool,
    counters: Arc<LineCounters>,
}

struct Inner {
    mux: Mux,
    mailboxes: Vec<Mailbox>,
    waiting: Vec<u8>,
    /// The socket, where a lane may write to it by itself.
    direct: Option<Arc<OwnedWriteHalf>>,
    closing: bool,
}

/// A plain socket whose writing half is shared.
pub(super) struct Plain {
    read: OwnedReadHalf,
    write: Arc<OwnedWriteHalf>,
}

impl Plain {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read, write: Arc::new(write) }
    }
}

/// A stream of the task; some can be written to by the lanes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn direct(&self) -> Option<Arc<OwnedWriteHalf>> {
        None
    }
}

impl Stream for Plain {
    fn direct(&self) -> Option<Arc<OwnedWriteHalf>> {
        Some(Arc::clone(&self.write))
    }
}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

impl Stream for tokio_rustls::client::TlsStream<TcpStream> {}

impl Many {
    /// Takes over a connection; `first` is where its transaction numbers begin.
    pub(super) fn start(
        mut stream: impl Stream,
        lanes: usize,
        first: u16,
        counters: Arc<LineCounters>,
    ) -> Arc<Self> {
        let inner = Inner {
            mux: Mux::new(lanes, first),
            mailboxes: (0..lanes).map(|_| Mailbox::default()).collect(),
            waiting: Vec::new(),
            // Requests of several lanes come together: the task writes them as one. A single lane needs no detour.
            direct: (lanes == 1).then(|| stream.direct()).flatten(),
            closing: false,
        };
        let many = Arc::new(Self {
            inner: Mutex::new(inner),
            task: AtomicWaker::new(),
            open: AtomicBool::new(true),
            counters,
        });
        let of_task = Ends(Arc::clone(&many));
        tokio::spawn(async move {
            let mut buffer = vec![0; READ];
            let why = std::future::poll_fn(|cx| of_task.0.turn(cx, &mut stream, &mut buffer)).await;
            of_task.0.end(&why);
            tracing::debug!(%why, "a Modbus connection has ended");
        });
        many
    }

    /// Where the next connection's numbers begin.
    pub(super) fn next_number(&self) -> u16 {
        self.lock().mux.next()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can panic half-way; if it did, the numbers would still be good.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what there is and writes what waits, until the connection ends; then why.
    fn turn<S: Stream>(&self, cx: &mut Context<'_>, stream: &mut S, buffer: &mut [u8]) -> Poll<String> {
        self.task.register(cx.waker());
        loop {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Poll::Ready("the other side has closed it".to_owned());
                }
                Poll::Ready(Ok(())) => {
                    if let Err(why) = self.came(read.filled()) {
                        return Poll::Ready(why);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(super::tls::in_words(&error)),
                Poll::Pending => break,
            }
        }
        let mut inner = self.lock();
        if inner.closing {
            return Poll::Ready("it was given up".to_owned());
        }
        while !inner.waiting.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, &inner.waiting) {
                Poll::Ready(Ok(0)) => return Poll::Ready("it takes no more bytes".to_owned()),
                Poll::Ready(Ok(count)) => {
                    inner.waiting.drain(..count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(super::tls::in_words(&error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        drop(inner);
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(super::tls::in_words(&error)),
            _ => Poll::Pending,
        }
    }

    fn came(&self, bytes: &[u8]) -> Result<(), String> {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        let Inner { mux, mailboxes, .. } = &mut *inner;
        let (mut late, mut stray) = (Vec::new(), Vec::new());
        let fed = mux.feed(bytes, |event| match event {
            Event::Answer(lane, frame) => wakers.extend(mailboxes[lane].put(frame)),
            Event::Wrong(lane, why) => wakers.extend(mailboxes[lane].fail(Failure::Garbage(short(&why)))),
            Event::Late(unit) => late.push(unit),
            Event::Stray(unit, why) => stray.push((unit, why)),
        });
        for unit in late {
            self.counters.late.fetch_add(1, Ordering::Relaxed);
            for lane in mux.waiting_for(unit) {
                mailboxes[lane].late = true;
            }
        }
        for (unit, why) in stray {
            self.counters.late.fetch_add(1, Ordering::Relaxed);
            // It can be nobody's answer but of those who wait for this unit, and which of them can't be known.
            for lane in mux.waiting_for(unit) {
                mux.give_up(lane);
                wakers.extend(mailboxes[lane].fail(Failure::Garbage(why.clone())));
            }
        }
        let ended = fed.map_err(|(unit, why)| {
            for lane in unit.map(|unit| mux.waiting_for(unit)).unwrap_or_default() {
                wakers.extend(mailboxes[lane].fail(Failure::Garbage(why.clone())));
            }
            format!("garbage: {why}")
        });
        drop(inner);
        wakers.into_iter().for_each(std::task::Waker::wake);
        ended
    }

    /// The connection is over: whoever waits is told why.
    fn end(&self, why: &str) {
        let mut inner = self.lock();
        self.open.store(false, Ordering::Release);
        inner.closing = true;
        inner.direct = None;
        inner.waiting.clear();
        let wakers: Vec<_> = inner
            .mailboxes
            .iter_mut()
            .filter_map(|mailbox| mailbox.fail(Failure::Broken(why.to_owned())))
            .collect();
        drop(inner);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// A request had no answer in time: why, as far as can be told.
    pub(super) fn in_vain(&self, lane: usize, longest: Duration) -> Failure {
        let mut inner = self.lock();
        let unfinished = inner.mux.unfinished();
        let late = inner.mailboxes[lane].late;
        inner.mux.give_up(lane);
        let Some((bytes, of)) = unfinished else {
            return if late { Failure::Late(longest) } else { Failure::Silent(longest) };
        };
        // A frame that stays unfinished: where the next one begins can't be known.
        let half = Failure::Half(bytes, longest);
        let other = of.filter(|of| *of != lane);
        if let Some(waker) = other.and_then(|of| inner.mailboxes[of].fail(half.clone())) {
            waker.wake();
        }
        drop(inner);
        self.close();
        if other.is_some() { Failure::Silent(longest) } else { half }
    }
}

impl Keeper for Many {
    fn ask(&self, lane: usize, frame: &[u8]) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let mut sent = [0; 260];
        let whole = sent.get_mut(..frame.len());
        let asked = match whole {
            Some(copy) => {
                copy.copy_from_slice(frame);
                inner.mux.ask(lane, copy).map(|()| &*copy)
            }
            None => Err(format!("a request of {} bytes; the longest is 260", frame.len())),
        };
        let mut failure = match (&asked, inner.closing) {
            (_, true) => Some(Failure::NoConnection("the connection has ended".to_owned())),
            (Err(why), _) => Some(Failure::Garbage(why.clone())),
            (Ok(_), false) => None,
        };
        if let (Ok(mut rest), None) = (asked, &failure) {
            if let (Some(socket), true) = (&inner.direct, inner.waiting.is_empty()) {
                match socket.try_write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => failure = Some(Failure::Broken(error.to_string())),
                }
            }
            if !rest.is_empty() && failure.is_none() {
                if inner.waiting.is_empty() {
                    self.task.wake();
                }
                inner.waiting.extend_from_slice(rest);
            }
        }
        let full = inner.waiting.len() > MOST_WAITING || inner.mux.owed() >= super::mbap::MOST_OWED;
        if full || matches!(failure, Some(Failure::Broken(_))) {
            inner.closing = true;
            self.task.wake();
        }
        if let Some(waker) = failure.and_then(|failure| inner.mailboxes[lane].fail(failure)) {
            waker.wake();
        }
    }

    fn give_up(&self, lane: usize) {
        self.lock().mux.give_up(lane);
    }

    fn mailbox(&self, lane: usize, with: &mut dyn FnMut(&mut Mailbox)) {
        with(&mut self.lock().mailboxes[lane]);
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn is_idle(&self) -> bool {
        self.lock().mux.is_idle()
    }

    fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.lock().closing = true;
        self.task.wake();
    }
}

/// Ends the lanes with the task, however it ends.
struct Ends(Arc<Many>);

impl Drop for Ends {
    fn drop(&mut self) {
        // Who has been told a reason already keeps that.
        self.0.end("its task has ended");
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket: &TcpStream = (*self.write).as_ref();
        loop {
            match socket.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            match socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
