//! The shell: one connection, one owner. It moves bytes, facts and intents between the PMS (a socket, or a serial line), the
//! house and the state machine, and knows nothing of FIAS.

mod carrier;

use crate::auth::AuthKey;
use crate::config::PmsConfig;
use crate::link::{Backoff, Link, Out};
use carrier::{Carrier, Heard};
use engawa_model::{Fact, Intent, Observation, ObservationSink, SinkClosed, Timestamp};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use ring::rand::SecureRandom;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A link that is lost sooner after it came alive was taken from us: the pauses go on growing.
const STEADY: SignedDuration = SignedDuration::from_secs(30);
/// So many such losses in a row are told to people.
const CONTESTED: u32 = 3;
/// The longest file that can hold an AuthKey.
const MOST_KEY_FILE: u64 = 1024;

/// What carries a link's bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

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
        let mut contested = 0;
        let mut failing: Option<Timestamp> = None;
        loop {
            let connected = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                connected = self.connect(&mut link) => connected,
            };
            let mut alive_since = None;
            let why = match connected {
                Ok(carrier) => match self.converse(&mut link, carrier, &cancel, &mut alive_since).await? {
                    End::Stopped => return Ok(()),
                    End::Broken(why) => why,
                },
                Err(why) => why,
            };
            let now = self.clock.now();
            // Only a link that stayed up ends the growing pauses: neither a PMS that greets and hangs up, nor another client
            // that takes the port from us as often as we take it back, is hammered.
            let steady = alive_since.is_some_and(|since| now.duration_since(since) >= STEADY);
            if steady {
                backoff.reset();
            }
            contested = if alive_since.is_some() && !steady { contested + 1 } else { 0 };
            let why = if contested >= CONTESTED {
                format!(
                    "{why}; {contested} times soon after the start: does another program use this PMS's port?"
                )
            } else {
                why
            };
            tracing::warn!(pms = %self.config.place(), %why, "the PMS link is down");
            if alive_since.is_some() {
                failing = None;
            }
            let (since, pause) = (*failing.get_or_insert(now), backoff.pause());
            let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
            let (since, next) = (self.wall(since), self.wall(until));
            link.trying_again(format!("trying again; down since {since}: {why}"));
            link.on_closed(&format!("{why}; down since {since}, tried again at {next}"));
            self.drain(&mut link, None).await?;
            if !self.pause(&mut link, &cancel, until).await? {
                return Ok(());
            }
        }
    }

    /// An instant on the clocks of the property, for people.
    fn wall(&self, at: Timestamp) -> String {
        self.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    async fn connect(&self, link: &mut Link) -> Result<Carrier, String> {
        if let Some(path) = &self.config.auth_key_file {
            let (key, nonce) = proof_of(path.clone()).await?;
            link.prove_with(key, nonce);
        }
        match &self.config.serial {
            Some(serial) => Carrier::serial(serial),
            None => Ok(Carrier::stream(crate::tcp::dial(&self.config).await?)),
        }
    }

    /// Waits before the next attempt; what the house wants meanwhile is answered at once. False: stop.
    async fn pause(
        &mut self,
        link: &mut Link,
        cancel: &CancellationToken,
        until: Timestamp,
    ) -> Result<bool, SinkClosed> {
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
        mut carrier: Carrier,
        cancel: &CancellationToken,
        alive_since: &mut Option<Timestamp>,
    ) -> Result<End, SinkClosed> {
        let (mut stopping, mut ended) = (false, false);
        let mut heard_anything = false;
        tracing::info!(pms = %self.config.place(), "connected to the PMS");
        link.on_connected(self.clock.now());
        loop {
            if let Some(end) = self.drain(link, Some(&mut carrier)).await? {
                return Ok(if stopping { End::Stopped } else { end });
            }
            if stopping && !std::mem::replace(&mut ended, true) {
                // The good-bye is out. A PMS that reads to the end closes now; what it still sends is read until then.
                if carrier.end().await.is_err() {
                    return Ok(End::Stopped);
                }
            }
            if link.is_alive() {
                alive_since.get_or_insert(self.clock.now());
            }
            let wake = [link.wake_at(), carrier.wake_at()].into_iter().flatten().min();
            tokio::select! {
                () = cancel.cancelled(), if !stopping => {
                    stopping = true;
                    if !link.end(self.clock.now()) {
                        return Ok(End::Stopped);
                    }
                }
                () = self.clock.sleep_until(wake.unwrap_or(Timestamp::MAX)), if wake.is_some() => {
                    let now = self.clock.now();
                    if link.wake_at().is_some_and(|at| at <= now) {
                        link.on_wake(now);
                    }
                    carrier.on_wake(now);
                }
                heard = carrier.read() => match heard {
                    Heard::Closed => return Ok(match (stopping, heard_anything) {
                        (true, _) => End::Stopped,
                        (false, true) => End::Broken("the PMS closed the connection".to_owned()),
                        (false, false) => End::Broken(
                            "the PMS closed the connection before its first record: it may have another client".to_owned(),
                        ),
                    }),
                    Heard::Failed(_) if stopping => return Ok(End::Stopped),
                    Heard::Failed(why) => return Ok(End::Broken(format!("reading from the PMS: {why}"))),
                    Heard::Bytes => {
                        heard_anything = true;
                        let now = self.clock.now();
                        carrier.hand_over(now, link);
                    }
                },
                intent = self.intents.recv(), if !stopping => match intent {
                    Some(intent) => link.on_intent(self.clock.now(), &intent),
                    None => return Ok(End::Stopped),
                },
            }
        }
    }

    /// Does what the state machines want done, until neither wants anything. `Some`: the connection is over.
    async fn drain(
        &self,
        link: &mut Link,
        mut carrier: Option<&mut Carrier>,
    ) -> Result<Option<End>, SinkClosed> {
        let mut end = None;
        let mut why = None;
        loop {
            while let Some(warning) = link.warning() {
                tracing::warn!(pms = %self.config.place(), "{warning}");
            }
            while let Some(out) = link.poll() {
                match out {
                    Out::Observe(fact) => {
                        if let Fact::Link { up: false, detail, .. } = &fact {
                            why = Some(detail.clone());
                        }
                        self.sink.report(Observation::new(self.clock.now(), fact)).await?;
                    }
                    Out::Send(bytes) => {
                        if let (Some(carrier), None) = (carrier.as_deref_mut(), &end) {
                            end = carrier.send(self.clock.now(), &bytes).await.err().map(End::Broken);
                        }
                    }
                    Out::Close => {
                        end = Some(End::Broken(why.clone().unwrap_or_else(|| "given up".to_owned())))
                    }
                }
            }
            let Some(carrier) = carrier.as_deref_mut().filter(|_| end.is_none()) else { return Ok(end) };
            match carrier.work(self.clock.now(), link).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(why) => end = Some(End::Broken(why)),
            }
        }
    }
}

/// The key in `path`, read at each connection, and a nonce that never was.
async fn proof_of(path: std::path::PathBuf) -> Result<(AuthKey, [u8; 16]), String> {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || {
        let length = std::fs::metadata(&path)?.len();
        if length > MOST_KEY_FILE {
            return Err(std::io::Error::other(format!("{length} bytes are too many for an AuthKey")));
        }
        std::fs::read_to_string(&path)
    });
    let text = read.await.map_err(|error| format!("reading {shown}: {error}"))?;
    let text = text.map_err(|error| format!("reading {shown}: {error}"))?;
    let key = AuthKey::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
    let mut nonce = [0; 16];
    let random = ring::rand::SystemRandom::new();
    random.fill(&mut nonce).map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok((key, nonce))
}
