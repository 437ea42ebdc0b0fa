//! The I/O side of RTU, on a serial port or in a TCP stream: one task that owns the stream and does what the line's
//! state machine says.
//!
//! Never: more than one request at a time; a judgement of its own.

use super::LineCounters;
use super::failure::Failure;
use super::rtu::{Act, Rtu, Timing};
use super::slot::{Keeper, Mailbox};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// A request is at most 256 bytes; a port that does not take them in this time takes none.
const WRITE: Duration = Duration::from_secs(3);

/// The one lane of an RTU line.
pub(super) struct Single {
    inner: Mutex<Inner>,
    task: Notify,
    open: AtomicBool,
    counters: Arc<LineCounters>,
}

#[derive(Default)]
struct Inner {
    mailbox: Mailbox,
    /// The next request: one, for the lane waits for each.
    request: Option<(Vec<u8>, Duration)>,
    longest: Duration,
    /// The answer of the request that the line is busy with is still wanted.
    wanted: bool,
    closing: bool,
}

impl Single {
    /// Takes over a stream.
    pub(super) fn start(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        timing: Timing,
        counters: Arc<LineCounters>,
    ) -> Arc<Self> {
        let single = Arc::new(Self {
            inner: Mutex::default(),
            task: Notify::new(),
            open: AtomicBool::new(true),
            counters,
        });
        let of_task = Ends(Arc::clone(&single));
        tokio::spawn(async move {
            let why = of_task.0.keep(stream, timing).await;
            of_task.0.end(&why);
            tracing::debug!(%why, "a Modbus line has ended");
        });
        single
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain fields: a panic elsewhere leaves them as they are.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the next request may take.
    pub(super) fn set_longest(&self, longest: Duration) {
        self.lock().longest = longest;
    }

    /// Runs the line until its stream ends; then why.
    async fn keep(&self, stream: impl AsyncRead + AsyncWrite + Unpin, timing: Timing) -> String {
        let (mut read, mut write) = tokio::io::split(stream);
        let began = Instant::now();
        let mut rtu = Rtu::new(timing, Duration::ZERO);
        let mut buffer = [0; 512];
        loop {
            let wake = rtu.wake().map(|at| tokio::time::Instant::from_std(began + at));
            let mut came = tokio::select! {
                biased;
                count = read.read(&mut buffer) => Some(count),
                () = async { tokio::time::sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)).await },
                    if wake.is_some() => None,
                () = self.task.notified(), if rtu.is_free() || self.lock().closing => None,
            };
            let looked = Instant::now();
            if came.is_none() {
                // Where this process was held up, bytes may lie there that are older than what would be sent now. Giving
                // way once lets the runtime ask the system for them.
                came = tokio::select! {
                    biased;
                    count = read.read(&mut buffer) => Some(count),
                    () = tokio::task::yield_now() => None,
                };
            }
            let act = match came {
                Some(Ok(0)) => return "the other side has closed it".to_owned(),
                Some(Ok(count)) => rtu.bytes(began.elapsed(), &buffer[..count]),
                Some(Err(error)) => return error.to_string(),
                None => rtu.tick(began.elapsed()),
            };
            if let Some(act) = act
                && let Some(why) = self.act(act, &mut write, &mut rtu, looked, began).await
            {
                return why;
            }
            let seen = rtu.take_seen();
            self.counters.late.fetch_add(seen.late, Ordering::Relaxed);
            self.counters.crc.fetch_add(seen.crc, Ordering::Relaxed);
            self.counters.noise.fetch_add(seen.noise, Ordering::Relaxed);
            if self.lock().closing {
                return "it was given up".to_owned();
            }
            let next = if rtu.is_free() { self.next() } else { None };
            if let Some((frame, longest)) = next
                && let Some(act) = rtu.ask(began.elapsed(), frame, longest)
                && let Some(why) = self.act(act, &mut write, &mut rtu, looked, began).await
            {
                return why;
            }
        }
    }

    fn next(&self) -> Option<(Vec<u8>, Duration)> {
        let mut inner = self.lock();
        let next = inner.request.take();
        inner.wanted = next.is_some();
        next
    }

    /// Does what the line says; `looked` is when nothing had come. Some: the stream has ended.
    async fn act(
        &self,
        mut act: Act,
        write: &mut (impl AsyncWrite + Unpin),
        rtu: &mut Rtu,
        looked: Instant,
        began: Instant,
    ) -> Option<String> {
        if let Act::Send(frame) = &act {
            let sending = async {
                write.write_all(frame).await?;
                let late = looked.elapsed();
                write.flush().await?;
                Ok::<_, std::io::Error>(late)
            };
            match tokio::time::timeout(WRITE, sending).await {
                Ok(Ok(late)) => act = rtu.sent(began.elapsed(), late)?,
                Ok(Err(error)) => return Some(error.to_string()),
                Err(_) => return Some("it takes no more bytes".to_owned()),
            }
        }
        let waker = match act {
            // It has been sent.
            Act::Send(_) => return None,
            Act::Answer(frame) => {
                let mut inner = self.lock();
                if inner.wanted { inner.mailbox.put(&frame) } else { None }
            }
            Act::Fail(failure) => {
                let mut inner = self.lock();
                if inner.wanted { inner.mailbox.fail(failure) } else { None }
            }
        };
        self.lock().wanted = false;
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    fn end(&self, why: &str) {
        self.open.store(false, Ordering::Release);
        let mut inner = self.lock();
        inner.closing = true;
        inner.request = None;
        let waker = inner.mailbox.fail(Failure::Broken(why.to_owned()));
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Keeper for Single {
    fn ask(&self, _lane: usize, frame: &[u8]) {
        let mut inner = self.lock();
        if inner.closing {
            let ended = Failure::NoConnection("the connection has ended".to_owned());
            let waker = inner.mailbox.fail(ended);
            drop(inner);
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
        let longest = inner.longest;
        inner.request = Some((frame.to_vec(), longest));
        drop(inner);
        self.task.notify_one();
    }

    fn give_up(&self, _lane: usize) {
        let mut inner = self.lock();
        (inner.request, inner.wanted) = (None, false);
    }

    fn mailbox(&self, _lane: usize, with: &mut dyn FnMut(&mut Mailbox)) {
        with(&mut self.lock().mailbox);
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.request.is_none() && !inner.wanted
    }

    fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.lock().closing = true;
        self.task.notify_one();
    }
}

/// Ends the lane with the task, however it ends.
struct Ends(Arc<Single>);

impl Drop for Ends {
    fn drop(&mut self) {
        // Who has been told a reason already keeps that.
        self.0.end("its task has ended");
    }
}
