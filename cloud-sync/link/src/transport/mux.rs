//! Streams over one TLS connection on TCP (yamux). Beside the streams of those who talk there is the line's own, which
//! the gateway opens first: it carries the heart-beat and the reason of the end, as QUIC does by itself.
//!
//! Bounds: streams ([`MOST_STREAMS`]), what each may send before it is read (yamux: 256 KiB), streams that wait to be
//! accepted ([`WAITING`]; a further one is reset), frames of the line (the protocol's).

use super::{Ended, REASON};
use crate::{LinkError, Tuning};
use engawa_protocol::line::{Beat, LineBody, LineFrame, MOST_LINE_FRAME, closing};
use futures::{SinkExt, StreamExt};
use prost::Message;
use rustls::pki_types::CertificateDer;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_rustls::TlsStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use tokio_util::io::{InspectReader, InspectWriter};

/// Streams of one connection: the line's, control, lanes.
const MOST_STREAMS: usize = 2 + 16;
/// Streams that wait to be accepted, or to be opened.
const WAITING: usize = 16;
/// What the kernel may hold unsent, bytes: whatever is behind it can still be overtaken by an alarm.
const UNSENT: u32 = 16 << 10;
/// How long the last frames may take.
const GOODBYE: Duration = Duration::from_secs(1);

type Counted = InspectReader<InspectWriter<TcpStream, Counter>, Counter>;
type Counter = Box<dyn FnMut(&[u8]) + Send + Sync>;
type Line = Framed<Compat<yamux::Stream>, LengthDelimitedCodec>;

/// A TCP connection that counts its bytes.
pub(crate) struct Wire {
    io: Counted,
    counts: Counts,
    address: SocketAddr,
}

#[derive(Clone, Default)]
struct Counts {
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Wire {
    /// Prepares a fresh connection: small packets go at once, and a dead line is found in `idle`.
    pub(crate) fn new(stream: TcpStream, idle: Duration) -> std::io::Result<Self> {
        let address = stream.peer_addr()?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(Some(idle))?;
        let counts = Counts::default();
        let counter = |count: &Arc<AtomicU64>| -> Counter {
            let count = Arc::clone(count);
            Box::new(move |bytes: &[u8]| {
                count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            })
        };
        let io =
            InspectReader::new(InspectWriter::new(stream, counter(&counts.sent)), counter(&counts.received));
        Ok(Self { io, counts, address })
    }

    /// Splits it for the handshake; [`Mux::start`] takes both.
    pub(crate) fn parts(self) -> (Counted, Rest) {
        (self.io, Rest { counts: self.counts, address: self.address })
    }
}

/// What a wire leaves for after the handshake.
pub(crate) struct Rest {
    counts: Counts,
    address: SocketAddr,
}

/// A connection's streams.
pub(crate) struct Mux {
    opens: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    accepted: Mutex<mpsc::Receiver<yamux::Stream>>,
    ended: watch::Receiver<Option<Ended>>,
    close: watch::Sender<Option<(u32, String)>>,
    gone: watch::Receiver<bool>,
    rtt: Arc<AtomicU64>,
    counts: Counts,
    certificate: Option<CertificateDer<'static>>,
    address: SocketAddr,
}

impl Mux {
    /// Takes a connection whose handshake is over. The gateway's end opens the line's stream and waits for the first
    /// answer: a cloud that does not want this certificate says so only now.
    pub(crate) async fn start(
        tls: TlsStream<Counted>,
        rest: Rest,
        tuning: &Tuning,
    ) -> Result<Self, LinkError> {
        let Rest { counts, address } = rest;
        let client = matches!(tls, TlsStream::Client(_));
        let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.map(|certificate| certificate.clone().into_owned());
        let mut config = yamux::Config::default();
        config.set_max_num_streams(MOST_STREAMS);
        config.set_max_connection_receive_window(Some(MOST_STREAMS * yamux::DEFAULT_CREDIT as usize));
        let mode = if client { yamux::Mode::Client } else { yamux::Mode::Server };
        let connection = yamux::Connection::new(tls.compat(), config, mode);
        let (opens, asked) = mpsc::channel(WAITING);
        let (incoming, mut accepted) = mpsc::channel(WAITING);
        let (stop, stopped) = oneshot::channel();
        let (over, gone) = watch::channel(false);
        let (broke, fault) = oneshot::channel();
        tokio::spawn(async move {
            let fault = drive(connection, asked, incoming, stopped).await;
            // Whoever would want to know has gone where this fails.
            let _ = broke.send(fault);
            over.send_replace(true);
        });
        let first = async { if client { ask(&opens).await } else { accepted.recv().await } };
        let stream = tokio::time::timeout(tuning.handshake, first).await;
        let Some(stream) = stream.map_err(|_| LinkError::Silent { address })? else {
            let fault = fault.await.ok().flatten().unwrap_or_else(|| "it ended at once".to_owned());
            return Err(LinkError::Connect { address, source: Ended::Tcp(fault) });
        };
        let (close, closes) = watch::channel(None);
        let (end, mut ended) = watch::channel(None);
        let rtt = Arc::new(AtomicU64::new(0));
        let (answered, first_answer) = oneshot::channel();
        let keeper = Keeper {
            line: LengthDelimitedCodec::builder()
                .max_frame_length(MOST_LINE_FRAME)
                .new_framed(stream.compat()),
            counts: counts.clone(),
            rtt: Arc::clone(&rtt),
            keep_alive: tuning.keep_alive,
            idle: tuning.idle,
            answered: Some(answered),
            asked: None,
        };
        tokio::spawn(async move {
            let mut reason = keeper.keep(closes).await;
            let _ = stop.send(());
            if let (Ended::Tcp(words), Ok(Ok(Some(fault)))) =
                (&mut reason, tokio::time::timeout(REASON, fault).await)
            {
                *words = fault;
            }
            end.send_replace(Some(reason));
        });
        if client {
            match tokio::time::timeout(tuning.handshake, first_answer).await {
                Err(_) => return Err(LinkError::Silent { address }),
                Ok(Ok(())) => {}
                // It ended instead.
                Ok(Err(_)) => {
                    let ended = tokio::time::timeout(GOODBYE, ended.wait_for(Option::is_some)).await;
                    let source = ended.ok().and_then(|ended| ended.ok()?.clone());
                    let source = source.unwrap_or_else(|| Ended::Tcp("it ended at once".to_owned()));
                    return Err(LinkError::Connect { address, source });
                }
            }
        }
        let accepted = Mutex::new(accepted);
        Ok(Self { opens, accepted, ended, close, gone, rtt, counts, certificate, address })
    }

    pub(super) async fn open(&self) -> Result<Compat<yamux::Stream>, LinkError> {
        match ask(&self.opens).await {
            Some(stream) => Ok(stream.compat()),
            None => Err(LinkError::Broken(self.closed().await)),
        }
    }

    pub(super) async fn accept(&self) -> Result<Compat<yamux::Stream>, LinkError> {
        match self.accepted.lock().await.recv().await {
            Some(stream) => Ok(stream.compat()),
            None => Err(LinkError::Broken(self.closed().await)),
        }
    }

    pub(super) fn close(&self, code: u32, words: &str) {
        self.close.send_if_modified(|close| {
            // The first reason counts.
            let first = close.is_none();
            close.get_or_insert_with(|| (code, words.to_owned()));
            first
        });
    }

    pub(super) async fn closed(&self) -> Ended {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Ended::Tcp("its task has ended".to_owned()))
    }

    pub(super) fn close_reason(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    pub(super) fn ended(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.clone()
    }

    /// Waits until the socket is closed.
    pub(super) async fn gone(&self) {
        // An error says that the task has gone too.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt.load(Ordering::Relaxed))
    }

    pub(super) fn traffic(&self) -> (u64, u64) {
        (self.counts.sent.load(Ordering::Relaxed), self.counts.received.load(Ordering::Relaxed))
    }
}

async fn ask(opens: &mpsc::Sender<oneshot::Sender<yamux::Stream>>) -> Option<yamux::Stream> {
    let (reply, stream) = oneshot::channel();
    opens.send(reply).await.ok()?;
    stream.await.ok()
}

/// Moves the bytes of all streams until the connection ends or `stop` comes. Gives what broke, where something did.
async fn drive(
    mut connection: yamux::Connection<Compat<TlsStream<Counted>>>,
    mut asked: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    accepted: mpsc::Sender<yamux::Stream>,
    mut stop: oneshot::Receiver<()>,
) -> Option<String> {
    let mut waiting: Option<oneshot::Sender<yamux::Stream>> = None;
    let ended = poll_fn(|cx| {
        loop {
            if waiting.is_none()
                && let Poll::Ready(Some(reply)) = asked.poll_recv(cx)
            {
                waiting = Some(reply);
            }
            if waiting.is_none() {
                break;
            }
            match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    // Who asked may have given up; then the stream is reset.
                    let _ = waiting.take().map(|reply| reply.send(stream));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(error.to_string())),
                Poll::Pending => break,
            }
        }
        loop {
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    // At the bound the stream is reset.
                    let _ = accepted.try_send(stream);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error.to_string())),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        // Last, so that what was sent before is under way.
        if std::pin::Pin::new(&mut stop).poll(cx).is_ready() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    if ended.is_none() {
        // What does not go out in time is lost: the other end finds the socket closed.
        let _ = tokio::time::timeout(GOODBYE, poll_fn(|cx| connection.poll_close(cx))).await;
    }
    ended
}

/// Keeps the line's stream.
struct Keeper {
    line: Line,
    counts: Counts,
    rtt: Arc<AtomicU64>,
    keep_alive: Duration,
    idle: Duration,
    /// Told at the first answer, or when there will be none.
    answered: Option<oneshot::Sender<()>>,
    /// The ping that waits for its answer.
    asked: Option<(u64, Instant)>,
}

impl Keeper {
    async fn keep(mut self, mut closes: watch::Receiver<Option<(u32, String)>>) -> Ended {
        let mut beat = tokio::time::interval(self.keep_alive);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut number, mut heard, mut heard_at) = (0, 0, Instant::now());
        loop {
            let sent = tokio::select! {
                frame = self.line.next() => match frame {
                    Some(Ok(bytes)) => match self.take(&bytes).await {
                        Ok(()) => Ok(()),
                        Err(ended) => return ended,
                    },
                    Some(Err(error)) => return Ended::Tcp(error.to_string()),
                    None => return Ended::Tcp("the other end has closed the connection".to_owned()),
                },
                _ = beat.tick() => {
                    let now = self.counts.received.load(Ordering::Relaxed);
                    if now != heard {
                        (heard, heard_at) = (now, Instant::now());
                    } else if heard_at.elapsed() >= self.idle {
                        return Ended::Tcp("timed out".to_owned());
                    }
                    number += 1;
                    self.asked.get_or_insert((number, Instant::now()));
                    self.send(LineBody::Ping(Beat { number })).await
                }
                changed = closes.changed() => {
                    // Whoever had the connection let it go: nobody has a reason to give.
                    let reason = if changed.is_ok() { closes.borrow_and_update().clone() } else { None };
                    let (code, words) = reason.unwrap_or_default();
                    let _ = self.send(closing(code, &words)).await;
                    return Ended::Here;
                }
            };
            if let Err(ended) = sent {
                return ended;
            }
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let frame =
            LineFrame::decode(bytes).map_err(|error| Ended::Tcp(format!("a frame of the line: {error}")))?;
        match frame.body {
            Some(LineBody::Ping(beat)) => self.send(LineBody::Pong(beat)).await?,
            Some(LineBody::Pong(Beat { number })) => {
                if let Some((_, at)) = self.asked.take_if(|(asked, _)| *asked <= number) {
                    let micros = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.rtt.store(micros, Ordering::Relaxed);
                }
                // Whoever waited may have given up.
                let _ = self.answered.take().map(|answered| answered.send(()));
            }
            Some(LineBody::Closing(closing)) => {
                return Err(Ended::Closed { code: closing.code, words: closing.words });
            }
            None => {}
        }
        Ok(())
    }

    async fn send(&mut self, body: LineBody) -> Result<(), Ended> {
        let frame = Bytes::from(LineFrame { body: Some(body) }.encode_to_vec());
        match tokio::time::timeout(self.idle, self.line.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Tcp(error.to_string())),
            Err(_) => Err(Ended::Tcp("timed out".to_owned())),
        }
    }
}
