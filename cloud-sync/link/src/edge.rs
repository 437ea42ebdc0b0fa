//! The gateway's end: keeps a connection to the cloud, ships the journal up and takes commands down.

use crate::{Identity, LinkError, Tuning, stream, tls};
use engawa_protocol::batch;
use engawa_protocol::edge::{EdgeSession, Want};
use engawa_protocol::frame::{Ack, Body, Lane, Refused, Rows};
use engawa_protocol::ports::{EdgeStore, StoreFault};
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Frames of the cloud that wait to be handled; more wait on the wire.
const EVENTS: usize = 64;
/// How often the journal is looked at though nobody said that it was written: a lost word must not stop the sync.
const LOOK: Duration = Duration::from_secs(2);
/// A connection that lasted this long was a good one: the pauses begin small again.
const GOOD: Duration = Duration::from_secs(30);

/// How long the good-bye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How the link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected.
    Down {
        /// Why, in plain words.
        reason: String,
    },
    /// Connected and welcomed.
    Up {
        /// Since when.
        since: SystemTime,
        /// The cloud's address.
        address: String,
    },
}

/// What the gateway's end works with.
pub struct EdgeLink {
    /// The cloud, `host:port`.
    pub cloud: String,
    /// Who we are.
    pub identity: Identity,
    /// The journal and the inbox.
    pub store: Arc<dyn EdgeStore>,
    /// Told when the journal was written.
    pub wake: Arc<Notify>,
    /// How the link is; kept up to date.
    pub state: watch::Sender<LinkState>,
    /// Times and bounds.
    pub tuning: Tuning,
    /// Spreads the pauses between attempts.
    pub seed: u64,
}

/// What the cloud said.
enum Event {
    Ack(u8, u64),
    Gap(u8, u64),
    Commands(Rows),
    Ended(LinkError),
}

impl EdgeLink {
    /// Keeps the link until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut pause = self.tuning.backoff_min;
        loop {
            let began = tokio::time::Instant::now();
            // A connection never ends well by itself.
            let Err(error) = self.connect_and_sync(&cancel).await else { break };
            let reason = error.in_words();
            tracing::warn!(cloud = %self.cloud, %reason, "the link to the cloud is down");
            self.state.send_replace(LinkState::Down { reason });
            if began.elapsed() >= GOOD {
                pause = self.tuning.backoff_min;
            }
            // Full jitter: a fleet that lost its cloud must not come back in step.
            let mut wait = pause.mul_f64(random.random::<f64>()).max(self.tuning.backoff_min.min(pause));
            if let LinkError::Refused { retry_after_s, .. } = error {
                wait = wait.max(Duration::from_secs(u64::from(retry_after_s)).min(self.tuning.backoff_max));
            }
            if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
            pause = (pause * 2).min(self.tuning.backoff_max);
        }
        self.state.send_replace(LinkState::Down { reason: "the gateway stops".to_owned() });
    }

    async fn connect_and_sync(&self, cancel: &CancellationToken) -> Result<Stopped, LinkError> {
        let Identity { certificate_pem, key_pem, ca_pem, .. } = &self.identity;
        let mut config = tls::edge(certificate_pem, key_pem, ca_pem)?;
        config.transport_config(self.tuning.transport());
        let connecting = connect(&self.cloud, config, self.tuning.handshake);
        let Some(connected) = cancel.run_until_cancelled(connecting).await else { return Ok(Stopped) };
        let (endpoint, connection, address) = connected?;
        let ended = cancel.run_until_cancelled(self.sync(&connection, address)).await;
        // The cloud learns at once that we have gone, and does not wait for its time-out.
        connection.close(VarInt::from_u32(0), b"going");
        endpoint.close(VarInt::from_u32(0), b"going");
        // A good-bye that does not get through is no harm.
        let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
        match ended {
            None => Ok(Stopped),
            Some(Err(error)) => Err(error),
        }
    }

    /// Greets the cloud, then ships rows and takes commands until the connection breaks.
    async fn sync(&self, connection: &Connection, address: SocketAddr) -> Result<Infallible, LinkError> {
        let heads = self.blocking(heads).await?;
        let (epoch, inbox) = (self.store.epoch(), self.blocking(|store| store.inbox_mark()).await?);
        let mut session = EdgeSession::new(self.tuning.bounds, &heads);
        let (mut control, mut answers) = open(connection).await?;
        stream::send(&mut control, Body::Hello(session.hello(epoch, inbox, env!("CARGO_PKG_VERSION"))))
            .await?;
        let answer = tokio::time::timeout(self.tuning.handshake, stream::receive(&mut answers));
        let marks = match answer.await.map_err(|_| LinkError::Silent { address })?? {
            Some(Body::Welcome(welcome)) => session.welcomed(&welcome).map_err(LinkError::Session)?,
            Some(Body::Refused(Refused { reason, retry_after_s })) => {
                return Err(LinkError::Refused { reason, retry_after_s });
            }
            _ => return Err(closed(connection, "the cloud did not answer the hello")),
        };
        let (told, marks) = watch::channel(marks.into_iter().collect::<BTreeMap<u8, u64>>());
        self.state.send_replace(LinkState::Up { since: SystemTime::now(), address: address.to_string() });

        let (events, mut heard) = mpsc::channel(EVENTS);
        // All of them end with this future: a set of tasks aborts what it still has.
        let mut tasks = JoinSet::new();
        tasks.spawn(read_control(answers, events.clone()));
        tasks.spawn(tell_journal(Arc::clone(&self.store), marks, events.clone()));
        let mut lanes = BTreeMap::new();
        for (lane, _) in heads {
            let (mut up, down) = open(connection).await?;
            // Beside our own scheduling: what is lost and sent again goes out by urgency too.
            let _ = up.set_priority(-i32::from(lane));
            stream::send(&mut up, Body::Lane(Lane { lane: u32::from(lane) })).await?;
            tasks.spawn(read_lane(lane, down, events.clone()));
            lanes.insert(lane, up);
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while let Some(want) = session.next() {
                self.ship(&mut session, &mut lanes, want).await?;
                while let Ok(event) = heard.try_recv() {
                    self.hear(&mut session, &mut control, &told, event).await?;
                }
            }
            tokio::select! {
                event = heard.recv() => match event {
                    Some(event) => self.hear(&mut session, &mut control, &told, event).await?,
                    None => return Err(closed(connection, "all streams have ended")),
                },
                () = self.wake.notified() => self.refresh(&mut session).await?,
                _ = look.tick() => self.refresh(&mut session).await?,
                broken = connection.closed() => return Err(LinkError::Broken(broken)),
            }
        }
    }

    async fn refresh(&self, session: &mut EdgeSession) -> Result<(), LinkError> {
        for (lane, head) in self.blocking(heads).await? {
            session.written(lane, head);
        }
        Ok(())
    }

    async fn ship(
        &self,
        session: &mut EdgeSession,
        lanes: &mut BTreeMap<u8, SendStream>,
        want: Want,
    ) -> Result<(), LinkError> {
        let Want { lane, after, max_rows, max_bytes } = want;
        let rows = self.blocking(move |store| store.read(lane, after, max_rows, max_bytes)).await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(LinkError::Missing { lane, after });
        };
        if first.seq != after + 1 {
            return Err(LinkError::Missing { lane, after });
        }
        let (last, bytes) = (last.seq, rows.iter().map(|row| row.body.len()).sum());
        let packed = batch::pack(rows).map_err(LinkError::Batch)?;
        if let Some(up) = lanes.get_mut(&lane) {
            stream::send(up, Body::Rows(packed)).await?;
        }
        session.sent(lane, last, bytes);
        Ok(())
    }

    async fn hear(
        &self,
        session: &mut EdgeSession,
        control: &mut SendStream,
        told: &watch::Sender<BTreeMap<u8, u64>>,
        event: Event,
    ) -> Result<(), LinkError> {
        let note = |lane, mark| {
            told.send_modify(|marks| {
                marks.insert(lane, mark);
            });
        };
        match event {
            Event::Ack(lane, mark) => {
                if session.acknowledged(lane, mark).map_err(LinkError::Session)? {
                    note(lane, mark);
                }
            }
            Event::Gap(lane, mark) => {
                tracing::warn!(lane, mark, "the cloud found a hole and gets the rows after it again");
                if session.gap(lane, mark).map_err(LinkError::Session)? {
                    note(lane, mark);
                }
            }
            Event::Commands(rows) => {
                let commands = batch::unpack(&rows).map_err(LinkError::Batch)?;
                let mark = self.blocking(move |store| store.accept(commands)).await?;
                stream::send(control, Body::CommandsAck(Ack { mark })).await?;
            }
            Event::Ended(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks the store off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn EdgeStore) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, LinkError> {
        let store = Arc::clone(&self.store);
        let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
        asked
            .map_err(|error| LinkError::Stream(format!("the store's task: {error}")))?
            .map_err(LinkError::Store)
    }
}

/// The link was told to stop.
struct Stopped;

fn heads(store: &dyn EdgeStore) -> Result<Vec<(u8, u64)>, StoreFault> {
    store.lanes().into_iter().map(|lane| Ok((lane, store.head(lane)?))).collect()
}

async fn open(connection: &Connection) -> Result<(SendStream, RecvStream), LinkError> {
    connection.open_bi().await.map_err(LinkError::Broken)
}

/// Why the connection is closed, where it is; else `otherwise`.
fn closed(connection: &Connection, otherwise: &str) -> LinkError {
    match connection.close_reason() {
        Some(reason) => LinkError::Broken(reason),
        None => LinkError::Stream(otherwise.to_owned()),
    }
}

async fn read_lane(lane: u8, mut down: RecvStream, events: mpsc::Sender<Event>) {
    loop {
        let event = match stream::receive(&mut down).await {
            Ok(Some(Body::Ack(ack))) => Event::Ack(lane, ack.mark),
            Ok(Some(Body::Gap(ack))) => Event::Gap(lane, ack.mark),
            Ok(Some(_)) => {
                Event::Ended(LinkError::Stream(format!("lane {lane}: expected an acknowledgement")))
            }
            Ok(None) => Event::Ended(LinkError::Stream(format!("the cloud ended lane {lane}"))),
            Err(error) => Event::Ended(error),
        };
        let last = matches!(event, Event::Ended(_));
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn read_control(mut answers: RecvStream, events: mpsc::Sender<Event>) {
    loop {
        let event = match stream::receive(&mut answers).await {
            Ok(Some(Body::Commands(rows))) => Event::Commands(rows),
            Ok(Some(Body::Refused(Refused { reason, retry_after_s }))) => {
                Event::Ended(LinkError::Refused { reason, retry_after_s })
            }
            Ok(Some(_)) => Event::Ended(LinkError::Stream("expected commands".to_owned())),
            Ok(None) => Event::Ended(LinkError::Stream("the cloud ended the talk".to_owned())),
            Err(error) => Event::Ended(error),
        };
        let last = matches!(event, Event::Ended(_));
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

/// Tells the journal how far the cloud is: the newest marks, as fast as the disk takes them, and never a queue of them.
async fn tell_journal(
    store: Arc<dyn EdgeStore>,
    mut marks: watch::Receiver<BTreeMap<u8, u64>>,
    events: mpsc::Sender<Event>,
) {
    let mut told: BTreeMap<u8, u64> = BTreeMap::new();
    loop {
        let now = marks.borrow_and_update().clone();
        let news: Vec<(u8, u64)> = now
            .iter()
            .filter(|(lane, mark)| told.get(lane) != Some(mark))
            .map(|(lane, mark)| (*lane, *mark))
            .collect();
        let of_task = Arc::clone(&store);
        let telling = move || news.into_iter().try_for_each(|(lane, mark)| of_task.acknowledged(lane, mark));
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(telling).await {
            // Whoever waits for events has gone where this fails.
            let _ = events.send(Event::Ended(LinkError::Store(fault))).await;
            return;
        }
        told = now;
        if marks.changed().await.is_err() {
            return;
        }
    }
}

/// Opens a connection; gives the endpoint too, which must live as long.
pub(crate) async fn connect(
    cloud: &str,
    config: quinn::ClientConfig,
    longest: Duration,
) -> Result<(Endpoint, Connection, SocketAddr), LinkError> {
    let fault = |source| LinkError::Address { address: cloud.to_owned(), source };
    let (host, _) = cloud.rsplit_once(':').ok_or_else(|| fault(None))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut addresses = tokio::net::lookup_host(cloud).await.map_err(|source| fault(Some(source)))?;
    let address = addresses.next().ok_or_else(|| fault(None))?;
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let endpoint = Endpoint::client(any).map_err(|source| LinkError::Socket { address: any, source })?;
    let connecting = endpoint
        .connect_with(config, address, &host)
        .map_err(|error| LinkError::Tls(format!("`{host}` can't be connected to: {error}")))?;
    match tokio::time::timeout(longest, connecting).await {
        Ok(connected) => {
            let connection = connected.map_err(|source| LinkError::Connect { address, source })?;
            Ok((endpoint, connection, address))
        }
        Err(_) => Err(LinkError::Silent { address }),
    }
}
