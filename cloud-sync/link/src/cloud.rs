//! The cloud's end: takes gateways' connections, stores their rows and hands them their commands.
//!
//! Bounds: connections ([`MOST_CONNECTIONS`]), handshakes in progress, streams and windows of a connection (see
//! `Tuning`), frames (see the protocol). A lane's batches are stored one after another, so a gateway that sends faster
//! than the disk takes waits on its own stream.

use crate::identity::gateway_of;
use crate::pki::CertificateAuthority;
use crate::{LinkError, Tuning, stream, tls};
use engawa_protocol::batch;
use engawa_protocol::cloud::{self as session, CloudSessionError, Greeting, MOST_LANES};
use engawa_protocol::frame::{Ack, Body, Enrol, Enrolled};
use engawa_protocol::ports::{CloudStore, Ingested, Refusal};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Gateways that may be connected at once; further ones are turned away until one goes.
const MOST_CONNECTIONS: usize = 12_000;
/// Connections above which an address must first prove that it is its own (QUIC's Retry).
const RETRY_ABOVE: usize = 1_000;
/// Handshakes that may wait to be looked at.
const MOST_INCOMING: usize = 1_024;
/// What is kept of one connection before its handshake is looked at, bytes.
const INCOMING_BUFFER: u64 = 64 << 10;
/// Commands in one frame.
const COMMANDS: usize = 64;
/// How often commands are looked for though nobody said that there are new ones.
const LOOK: Duration = Duration::from_secs(5);
/// How long the good-bye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// The application codes with which the cloud closes a connection.
const GOING: VarInt = VarInt::from_u32(0);
const NOT_ADMITTED: VarInt = VarInt::from_u32(1);
const SENSELESS: VarInt = VarInt::from_u32(2);
const FAILED: VarInt = VarInt::from_u32(4);

/// What the cloud's end works with.
pub struct CloudEnd {
    /// Where it listens (UDP).
    pub listen: SocketAddr,
    /// The authority.
    pub authority: CertificateAuthority,
    /// The cloud's own certificate, PEM.
    pub server_certificate_pem: String,
    /// Its key, PEM.
    pub server_key_pem: String,
    /// The database.
    pub store: Arc<dyn CloudStore>,
    /// Changes when there may be new commands.
    pub commands: watch::Receiver<u64>,
    /// Times and bounds.
    pub tuning: Tuning,
}

/// The cloud's end, listening.
pub struct BoundCloud {
    endpoint: Endpoint,
    address: SocketAddr,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    store: Arc<dyn CloudStore>,
    commands: watch::Receiver<u64>,
    tuning: Tuning,
}

impl CloudEnd {
    /// Opens the socket.
    ///
    /// # Errors
    /// Certificates that can't be used, or an address that can't be had.
    pub fn bind(self) -> Result<BoundCloud, LinkError> {
        let Self { listen, authority, server_certificate_pem, server_key_pem, store, commands, tuning } =
            self;
        let mut config = tls::cloud(&server_certificate_pem, &server_key_pem, authority.pem())?;
        config
            .transport_config(tuning.transport())
            .max_incoming(MOST_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER * 1_024);
        let fault = |source| LinkError::Socket { address: listen, source };
        let endpoint = Endpoint::server(config, listen).map_err(fault)?;
        let address = endpoint.local_addr().map_err(fault)?;
        Ok(BoundCloud { endpoint, address, shared: Shared { store, commands, tuning } })
    }
}

impl BoundCloud {
    /// Where it listens, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `cancel`.
    ///
    /// # Errors
    /// The socket is lost.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), LinkError> {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        // They end with this future: a set of tasks aborts what it still has.
        let mut tasks = JoinSet::new();
        loop {
            let incoming = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = tasks.join_next() => continue,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            if self.endpoint.open_connections() > RETRY_ABOVE && !incoming.remote_address_validated() {
                // Sent, or lost: the client asks again either way.
                let _ = incoming.retry();
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let (shared, cancel) = (self.shared.clone(), cancel.clone());
            tasks.spawn(async move {
                let address = incoming.remote_address();
                if let Some(Err(error)) = cancel.run_until_cancelled(shared.serve(incoming)).await {
                    tracing::info!(%address, reason = %error.in_words(), "a connection has ended");
                }
                drop(place);
            });
        }
        self.endpoint.close(GOING, b"the cloud restarts");
        // What does not end in time is aborted.
        let _ = tokio::time::timeout(GOODBYE, async {
            while tasks.join_next().await.is_some() {}
            self.endpoint.wait_idle().await;
        })
        .await;
        Ok(())
    }
}

/// Tells the store when a gateway has gone, however its connection ended.
struct Presence {
    shared: Shared,
    gateway: String,
    address: String,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let (store, gateway, address) =
            (Arc::clone(&self.shared.store), self.gateway.clone(), self.address.clone());
        // A task of its own; where the runtime is ending, the start of the next one says that nobody is connected.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.seen(&gateway, false, &address).await });
        }
    }
}

impl Shared {
    async fn serve(&self, incoming: Incoming) -> Result<(), LinkError> {
        let address = incoming.remote_address();
        let connecting = async { incoming.await.map_err(LinkError::Broken) };
        let connection = tokio::time::timeout(self.tuning.handshake, connecting)
            .await
            .map_err(|_| LinkError::Silent { address })??;
        let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let protocol = data.and_then(|data| data.protocol).unwrap_or_default();
        let ended = if protocol == tls::ALPN_ENROLL {
            self.enrol(&connection).await
        } else {
            self.gateway(&connection).await
        };
        if let Err(error) = &ended {
            let (code, words) = match error {
                LinkError::Refused { .. } => (NOT_ADMITTED, error.to_string()),
                LinkError::Gateway(_) | LinkError::Frame(_) => (SENSELESS, error.in_words()),
                LinkError::Store(_) => (FAILED, "the cloud's store failed".to_owned()),
                _ => (GOING, String::new()),
            };
            connection.close(code, words.as_bytes());
        }
        ended
    }

    /// Signs a new gateway's certificate.
    async fn enrol(&self, connection: &Connection) -> Result<(), LinkError> {
        let asking = async {
            let (up, mut down) = connection.accept_bi().await.map_err(LinkError::Broken)?;
            Ok::<_, LinkError>((up, stream::receive(&mut down).await?))
        };
        let asked = tokio::time::timeout(self.tuning.handshake, asking).await;
        let (mut up, body) =
            asked.map_err(|_| LinkError::Silent { address: connection.remote_address() })??;
        let Some(Body::Enrol(Enrol { secret, csr_pem })) = body else {
            return Err(LinkError::Gateway(CloudSessionError::Unexpected {
                expected: "a request for enrolment",
            }));
        };
        let enrolled = self.store.enrol(&secret, &csr_pem).await;
        let answer = match enrolled {
            Ok(enrolled) => Body::Enrolled(Enrolled {
                gateway: enrolled.gateway,
                certificate_pem: enrolled.certificate_pem,
                ca_pem: enrolled.ca_pem,
            }),
            Err(refusal) => session::refused(&refusal),
        };
        stream::send(&mut up, answer).await?;
        finish(&mut up, connection).await;
        Ok(())
    }

    /// Serves an enrolled gateway.
    async fn gateway(&self, connection: &Connection) -> Result<(), LinkError> {
        let address = connection.remote_address();
        let Some(gateway) = peer(connection) else {
            return Err(LinkError::Refused {
                reason: "it has shown no certificate of a gateway".to_owned(),
                retry_after_s: 0,
            });
        };
        let greeting = async {
            let (up, mut down) = connection.accept_bi().await.map_err(LinkError::Broken)?;
            let body = stream::receive(&mut down).await?;
            Ok::<_, LinkError>((up, down, session::greeting(body).map_err(LinkError::Gateway)?))
        };
        let greeted = tokio::time::timeout(self.tuning.handshake, greeting).await;
        let (mut up, down, Greeting { epoch, heads, inbox }) =
            greeted.map_err(|_| LinkError::Silent { address })??;
        let welcomed = if self.store.admitted(&gateway).await {
            self.store.hello(&gateway, epoch, &heads).await
        } else {
            Err(Refusal::Unknown(gateway.clone()))
        };
        let marks = match welcomed {
            Ok(marks) => marks,
            Err(refusal) => {
                tracing::warn!(%gateway, %address, %refusal, "a gateway is turned away");
                stream::send(&mut up, session::refused(&refusal)).await?;
                finish(&mut up, connection).await;
                return Err(LinkError::Refused { reason: refusal.to_string(), retry_after_s: 0 });
            }
        };
        self.store.seen(&gateway, true, &address.to_string()).await;
        let _presence =
            Presence { shared: self.clone(), gateway: gateway.clone(), address: address.to_string() };
        stream::send(&mut up, session::welcome(&marks)).await?;
        tracing::info!(%gateway, %address, "a gateway is connected");
        self.exchange(connection, &gateway, epoch, inbox, up, down).await
    }

    /// Rows up and commands down, until the connection ends.
    async fn exchange(
        &self,
        connection: &Connection,
        gateway: &str,
        epoch: u64,
        inbox: u64,
        up: SendStream,
        down: RecvStream,
    ) -> Result<(), LinkError> {
        // All of them end with this future: a set of tasks aborts what it still has.
        let mut tasks: JoinSet<Result<(), LinkError>> = JoinSet::new();
        let (acked, acks) = mpsc::channel(COMMANDS);
        tasks.spawn(self.clone().take_command_acks(gateway.to_owned(), down, acked));
        tasks.spawn(self.clone().hand_out(gateway.to_owned(), inbox, up, acks));
        let mut admission = tokio::time::interval(self.tuning.admission);
        let mut lanes = 0;
        loop {
            tokio::select! {
                stream = connection.accept_bi() => {
                    let (up, down) = stream.map_err(LinkError::Broken)?;
                    lanes += 1;
                    if lanes > MOST_LANES {
                        return Err(LinkError::Gateway(CloudSessionError::Lane(u32::try_from(lanes).unwrap_or(u32::MAX))));
                    }
                    tasks.spawn(self.clone().take_lane(gateway.to_owned(), epoch, up, down));
                }
                Some(ended) = tasks.join_next() => match ended {
                    Ok(ended) => ended?,
                    Err(error) => return Err(LinkError::Stream(format!("a task of the connection: {error}"))),
                },
                _ = admission.tick() => {
                    if !self.store.admitted(gateway).await {
                        let reason = Refusal::Unknown(gateway.to_owned()).to_string();
                        // Before the lanes' tasks end: what the gateway sees first must be the reason.
                        connection.close(NOT_ADMITTED, reason.as_bytes());
                        return Err(LinkError::Refused { reason, retry_after_s: 0 });
                    }
                }
            }
        }
    }

    async fn take_lane(
        self,
        gateway: String,
        epoch: u64,
        mut up: SendStream,
        mut down: RecvStream,
    ) -> Result<(), LinkError> {
        let lane = session::lane(stream::receive(&mut down).await?).map_err(LinkError::Gateway)?;
        while let Some(body) = stream::receive(&mut down).await? {
            let rows = session::rows(lane, body).map_err(LinkError::Gateway)?;
            let ingested = self.store.ingest(&gateway, epoch, lane, rows).await;
            let answer = match ingested.map_err(LinkError::Store)? {
                Ingested::Upto(mark) => Body::Ack(Ack { mark }),
                Ingested::Gap(mark) => Body::Gap(Ack { mark }),
            };
            stream::send(&mut up, answer).await?;
        }
        Ok(())
    }

    async fn take_command_acks(
        self,
        gateway: String,
        mut down: RecvStream,
        acked: mpsc::Sender<u64>,
    ) -> Result<(), LinkError> {
        while let Some(body) = stream::receive(&mut down).await? {
            let Body::CommandsAck(Ack { mark }) = body else {
                return Err(LinkError::Gateway(CloudSessionError::Unexpected {
                    expected: "an acknowledgement of commands",
                }));
            };
            self.store.commands_acknowledged(&gateway, mark).await.map_err(LinkError::Store)?;
            if acked.send(mark).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Sends commands, one frame at a time: the next goes when the gateway has the last one durably.
    async fn hand_out(
        mut self,
        gateway: String,
        mut mark: u64,
        mut up: SendStream,
        mut acks: mpsc::Receiver<u64>,
    ) -> Result<(), LinkError> {
        // What it has acknowledged on an earlier connection may not have reached the database.
        self.store.commands_acknowledged(&gateway, mark).await.map_err(LinkError::Store)?;
        loop {
            self.commands.borrow_and_update();
            let rows = self.store.commands(&gateway, mark, COMMANDS).await.map_err(LinkError::Store)?;
            let Some(last) = rows.last().map(|row| row.seq) else {
                tokio::select! {
                    changed = self.commands.changed() => {
                        if changed.is_err() {
                            return Ok(());
                        }
                    }
                    () = tokio::time::sleep(LOOK) => {}
                }
                continue;
            };
            stream::send(&mut up, Body::Commands(batch::pack(rows).map_err(LinkError::Batch)?)).await?;
            while mark < last {
                let Some(acked) = acks.recv().await else { return Ok(()) };
                // A gateway that names less than it was given gets the rest again; one that names more is believed
                // only as far as it was given.
                let news = acked.min(last);
                if news <= mark {
                    break;
                }
                mark = news;
            }
        }
    }
}

/// The gateway that the verified client certificate names.
fn peer(connection: &Connection) -> Option<String> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    gateway_of(identity.first()?)
}

/// Lets the last frame reach the other end, which then closes.
async fn finish(up: &mut SendStream, connection: &Connection) {
    // A peer that has gone needs nothing more.
    if up.finish().is_ok() {
        let _ = tokio::time::timeout(GOODBYE, connection.closed()).await;
    }
}
