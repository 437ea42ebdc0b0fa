//! The stream that a codec has in place of a socket: what it writes is a request, what it reads is the answer that the
//! line's keeper has found good.
//!
//! Why: the codec takes the next bytes for its answer, whatever they are. So it gets to see nothing else.

use super::failure::Failure;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The line's side of a lane's stream.
pub(super) trait Keeper: Send + Sync + 'static {
    /// Takes a whole request of lane `lane`.
    fn ask(&self, lane: usize, frame: &[u8]);
    /// The lane waits no longer.
    fn give_up(&self, lane: usize);
    /// Runs `with` on the lane's mailbox.
    fn mailbox(&self, lane: usize, with: &mut dyn FnMut(&mut Mailbox));
    /// Whether the connection is there.
    fn is_open(&self) -> bool;
    /// Whether no lane waits for anything.
    fn is_idle(&self) -> bool;
    /// Ends the connection.
    fn close(&self);
}

/// What has come for a lane: nothing, an answer or the reason why there is none.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    answer: Vec<u8>,
    /// So many bytes of it are read.
    read: usize,
    pub(super) failure: Option<Failure>,
    /// Answers to requests given up have come for the unit that it waits for.
    pub(super) late: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Empty, for a new request.
    pub(super) fn clear(&mut self) {
        self.answer.clear();
        (self.read, self.failure, self.late) = (0, None, false);
    }

    pub(super) fn put(&mut self, answer: &[u8]) -> Option<Waker> {
        self.answer.clear();
        self.answer.extend_from_slice(answer);
        self.read = 0;
        self.waker.take()
    }

    pub(super) fn fail(&mut self, failure: Failure) -> Option<Waker> {
        self.failure.get_or_insert(failure);
        self.waker.take()
    }
}

/// A codec's end.
pub(super) struct Slot<K> {
    keeper: Arc<K>,
    lane: usize,
}

impl<K> Slot<K> {
    pub(super) fn new(keeper: Arc<K>, lane: usize) -> Self {
        Self { keeper, lane }
    }
}

impl<K> fmt::Debug for Slot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {}", self.lane)
    }
}

impl<K: Keeper> AsyncRead for Slot<K> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut poll = Poll::Pending;
        self.keeper.mailbox(self.lane, &mut |mailbox| {
            let left = &mailbox.answer[mailbox.read..];
            if !left.is_empty() {
                let count = left.len().min(buffer.remaining());
                buffer.put_slice(&left[..count]);
                mailbox.read += count;
                poll = Poll::Ready(Ok(()));
            } else if mailbox.failure.is_some() {
                // What it is stays in the mailbox for the lane.
                poll = Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            } else if mailbox.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                mailbox.waker = Some(cx.waker().clone());
            }
        });
        poll
    }
}

impl<K: Keeper> AsyncWrite for Slot<K> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, frame: &[u8]) -> Poll<io::Result<usize>> {
        // The codec's sink holds a whole frame before it writes, and writes all it holds.
        self.keeper.ask(self.lane, frame);
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
