//! The TCP shell: one connection, one owner. It moves bytes, facts and intents between the socket, the house and
//! the state machine, and knows nothing of FIAS.

use crate::config::PmsConfig;
use crate::link::{Backoff, Link, Out};
use engawa_model::{Fact, Intent, Observation, ObservationSink, SinkClosed, Timestamp};
use jiff::tz::TimeZone;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A PMS that does not take our bytes for this long is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the shell gets its time from; a test drives it by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Ready at `at`.
    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let left = at.duration_since(self.now());
        Box::pin(tokio::time::sleep(Duration::try_from(left).unwrap_or_default()))
    }
}

/// What the shell works with.
pub struct Shell<C> {
    /// The link's settings.
    pub config: PmsConfig,
    /// The property's time zone.
    pub zone: TimeZone,
    /// Where facts go.
    pub sink: Arc<dyn ObservationSink>,
    /// What the house wants of the PMS; bounded by its maker.
    pub intents: mpsc::Receiver<Intent>,
    /// The clock.
    pub clock: C,
    /// Spreads the pauses between attempts.
    pub seed: u64,
}

/// How a connection ended.
enum End {
    /// The gateway stops.
    Stopped,
    /// It broke; why.
    Broken(String),
}

impl<C: Clock> Shell<C> {
    /// Keeps the link until `cancel`, then ends it with LE.
    ///
    /// # Errors
    /// The house has stopped taking observations.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), SinkClosed> {
        let mut link = Link::new(self.config.clone(), self.zone.clone());
        let mut backoff = Backoff::new(self.config.reconnect_max_s, self.seed);
        loop {
            let attempt = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.config.address));
            let connected = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                connected = attempt => connected,
            };
            let why = match connected {
                Ok(Ok(stream)) => match self.converse(&mut link, stream, &cancel, &mut backoff).await? {
                    End::Stopped => return Ok(()),
                    End::Broken(why) => why,
                },
                Ok(Err(error)) => format!("no connection to {}: {error}", self.config.address),
                Err(_) => format!("no answer from {} in {CONNECT_TIMEOUT:?}", self.config.address),
            };
            tracing::warn!(%why, "the PMS link is down");
            link.on_closed(&why);
            self.drain(&mut link, None).await?;
            if !self.pause(&mut link, &cancel, backoff.pause()).await? {
                return Ok(());
            }
        }
    }

    /// Waits before the next attempt; what the house wants meanwhile is answered at once. False: stop.
    async fn pause(
        &mut self,
        link: &mut Link,
        cancel: &CancellationToken,
        pause: jiff::SignedDuration,
    ) -> Result<bool, SinkClosed> {
        let until = self.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(false),
                () = self.clock.sleep_until(until) => return Ok(true),
                intent = self.intents.recv() => match intent {
                    Some(intent) => {
                        link.on_intent(self.clock.now(), &intent);
                        self.drain(link, None).await?;
                    }
                    None => return Ok(false),
                },
            }
        }
    }

    async fn converse(
        &mut self,
        link: &mut Link,
        mut stream: TcpStream,
        cancel: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<End, SinkClosed> {
        let mut buffer = [0_u8; 4096];
        let mut stopping = false;
        // Small records, each waited for: Nagle's algorithm would hold them back.
        if let Err(error) = stream.set_nodelay(true) {
            return Ok(End::Broken(format!("setting up the connection: {error}")));
        }
        tracing::info!(address = %self.config.address, "connected to the PMS");
        link.on_connected(self.clock.now());
        loop {
            if let Some(end) = self.drain(link, Some(&mut stream)).await? {
                return Ok(if stopping { End::Stopped } else { end });
            }
            let wake = link.wake_at();
            tokio::select! {
                () = cancel.cancelled(), if !stopping => {
                    stopping = true;
                    if !link.end(self.clock.now()) {
                        return Ok(End::Stopped);
                    }
                }
                () = self.clock.sleep_until(wake.unwrap_or(Timestamp::MAX)), if wake.is_some() => {
                    link.on_wake(self.clock.now());
                }
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return Ok(if stopping { End::Stopped } else { End::Broken("the PMS closed the connection".into()) }),
                    Ok(count) => {
                        link.on_bytes(self.clock.now(), &buffer[..count]);
                        // Only a link that came up ends the growing pauses: a PMS that greets and hangs up is not hammered.
                        if link.is_alive() {
                            backoff.reset();
                        }
                    }
                    Err(error) => return Ok(End::Broken(format!("reading from the PMS: {error}"))),
                },
                intent = self.intents.recv(), if !stopping => match intent {
                    Some(intent) => link.on_intent(self.clock.now(), &intent),
                    None => return Ok(End::Stopped),
                },
            }
        }
    }

    /// Does what the state machine wants done. `Some`: the connection is over.
    async fn drain(
        &self,
        link: &mut Link,
        mut stream: Option<&mut TcpStream>,
    ) -> Result<Option<End>, SinkClosed> {
        let mut end = None;
        let mut why = None;
        while let Some(out) = link.poll() {
            match out {
                Out::Observe(fact) => {
                    if let Fact::Link { up: false, detail, .. } = &fact {
                        why = Some(detail.clone());
                    }
                    self.sink.report(Observation::new(self.clock.now(), fact)).await?;
                }
                Out::Send(bytes) => {
                    if let (Some(stream), None) = (stream.as_deref_mut(), &end) {
                        let written = tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await;
                        end = match written {
                            Ok(Ok(())) => None,
                            Ok(Err(error)) => Some(End::Broken(format!("writing to the PMS: {error}"))),
                            Err(_) => Some(End::Broken("the PMS takes no bytes".to_owned())),
                        };
                    }
                }
                Out::Close => end = Some(End::Broken(why.clone().unwrap_or_else(|| "given up".to_owned()))),
            }
        }
        Ok(end)
    }
}
