//! The cloud's end: takes gateways' connections, stores their rows and hands them their commands.
//!
//! Bounds: connections ([`MOST_CONNECTIONS`]), handshakes in progress, streams and windows of a connection (see
//! `Tuning`), frames (see the protocol). A lane's batches are stored one after another, so a gateway that sends faster
//! than the disk takes waits on its own stream.

mod admission;
mod session;
mod updates;

use crate::doors::{Arrival, Doors, Knock};
use crate::gate::{self, Gate};
use crate::pki::CertificateAuthority;
use crate::transport::{Connection, Purpose, SendHalf};
use crate::{CloudTrust, LinkError, Tuning, stream, tls};
use admission::Admission;
use engawa_protocol::cloud::{CloudSessionError, turn_away};
use engawa_protocol::frame::{Body, Enrol, Enrolled};
use engawa_protocol::ports::{CloudStore, Refusal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Gateways that may be connected at once; further ones are turned away until one goes.
const MOST_CONNECTIONS: usize = 12_000;
/// How long the good-bye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// The application codes with which the cloud closes a connection.
const GOING: u32 = 0;
const NOT_ADMITTED: u32 = 1;
const SENSELESS: u32 = 2;
const FAILED: u32 = 4;
/// What gateways are told when the cloud ends.
const RESTARTS: &str = "the cloud restarts";

/// What the cloud's end works with.
pub struct CloudEnd {
    /// Where it listens (UDP).
    pub listen: SocketAddr,
    /// Where it listens for gateways whose UDP does not get through (TCP); without it, at the same address and port.
    pub listen_tcp: Option<SocketAddr>,
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
    doors: Doors,
    trust: Arc<CloudTrust>,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    store: Arc<dyn CloudStore>,
    commands: watch::Receiver<u64>,
    tuning: Tuning,
    gate: Arc<Gate>,
    admission: Arc<Admission>,
}

impl CloudEnd {
    /// Opens the doors.
    ///
    /// # Errors
    /// Certificates that can't be used, or an address that can't be had.
    pub fn bind(self) -> Result<BoundCloud, LinkError> {
        let Self {
            listen,
            listen_tcp,
            authority,
            server_certificate_pem,
            server_key_pem,
            store,
            commands,
            tuning,
        } = self;
        let trusted = authority.trusted_pem();
        let trust = Arc::new(CloudTrust::new(&server_certificate_pem, &server_key_pem, &trusted)?);
        let tls = tls::cloud(&trust)?;
        let doors = Doors::open(listen, listen_tcp, &tls, server_key_pem.as_bytes(), &tuning)?;
        let gate = Arc::new(Gate::new());
        Ok(BoundCloud {
            doors,
            trust,
            shared: Shared { store, commands, tuning, gate, admission: Arc::default() },
        })
    }
}

impl BoundCloud {
    /// Where it listens (UDP), with its real port.
    pub fn address(&self) -> SocketAddr {
        self.doors.udp_address()
    }

    /// Where it listens (TCP), with its real port.
    pub fn tcp_address(&self) -> SocketAddr {
        self.doors.tcp_address()
    }

    /// What it shows and whom it trusts, to be changed while it serves.
    pub fn trust(&self) -> Arc<CloudTrust> {
        Arc::clone(&self.trust)
    }

    /// Serves until `cancel`.
    ///
    /// # Errors
    /// The socket is lost.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), LinkError> {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        // They end with this future: a set of tasks aborts what it still has.
        let mut tasks = JoinSet::new();
        let (shared, stopping) = (self.shared.clone(), cancel.clone());
        tasks.spawn(async move {
            let watching = shared.admission.watch(shared.store.as_ref(), &shared.tuning);
            // Nothing comes of it but that it has ended.
            let _: Option<()> = stopping.run_until_cancelled(watching).await;
        });
        loop {
            let arrived = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = tasks.join_next() => continue,
                arrived = self.doors.next() => arrived,
            };
            let Some((arrival, address, knock)) = arrived else { break };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                if let Arrival::Quic(incoming) = arrival {
                    incoming.refuse();
                }
                continue;
            };
            let (shared, cancel) = (self.shared.clone(), cancel.clone());
            tasks.spawn(async move {
                match shared.serve(arrival, address, knock, &cancel).await {
                    // Whoever scans ports, or a load balancer's look whether somebody is there: no gateway's trouble.
                    Err(error @ LinkError::Stranger { .. }) => {
                        tracing::debug!(%address, reason = %error.in_words(), "somebody knocked and did not come in");
                    }
                    Err(error) => {
                        tracing::info!(%address, reason = %error.in_words(), "a connection has ended");
                    }
                    Ok(()) => {}
                }
                drop(place);
            });
        }
        self.doors.close(GOING, RESTARTS);
        // What does not end in time is aborted.
        let _ = tokio::time::timeout(GOODBYE, async {
            while tasks.join_next().await.is_some() {}
            self.doors.wait_idle().await;
        })
        .await;
        Ok(())
    }
}

impl Shared {
    async fn serve(
        &self,
        arrival: Arrival,
        address: SocketAddr,
        knock: Knock,
        cancel: &CancellationToken,
    ) -> Result<(), LinkError> {
        let shaking = arrival.shake(address, &self.tuning);
        let Some(shaken) = cancel.run_until_cancelled(shaking).await else { return Ok(()) };
        let (connection, purpose) = shaken?;
        drop(knock);
        let talking = async {
            match purpose {
                Purpose::Enrol => self.enrol(&connection).await,
                Purpose::Renew => self.renewal(&connection).await,
                Purpose::Sync => self.gateway(&connection).await,
            }
        };
        let Some(ended) = cancel.run_until_cancelled(talking).await else {
            connection.close(GOING, RESTARTS);
            connection.said_goodbye().await;
            return Ok(());
        };
        if let Err(error) = &ended {
            let (code, words) = match error {
                LinkError::Refused { .. } => (NOT_ADMITTED, error.to_string()),
                LinkError::Gateway(_) | LinkError::Frame(_) => (SENSELESS, error.in_words()),
                LinkError::Store(_) => (FAILED, "the cloud's store failed".to_owned()),
                _ => (GOING, String::new()),
            };
            connection.close(code, &words);
        }
        ended
    }

    /// Signs a new gateway's certificate.
    async fn enrol(&self, connection: &Connection) -> Result<(), LinkError> {
        let asking = async {
            let (up, mut down) = connection.accept().await?;
            Ok::<_, LinkError>((up, stream::receive(&mut down).await?))
        };
        let asked = tokio::time::timeout(self.tuning.handshake, asking).await;
        let (mut up, body) = asked.map_err(|_| LinkError::Silent { address: connection.address() })??;
        let Some(Body::Enrol(Enrol { secret, csr_pem, property: wanted })) = body else {
            return Err(LinkError::Gateway(CloudSessionError::Unexpected {
                expected: "a request for enrolment",
            }));
        };
        // Before the claim is used up: a gateway that was meant for another property goes away with its code.
        let property = self.store.claimed_property(&secret).await;
        let enrolled = match &property {
            Some(property) if !wanted.is_empty() && *property != wanted => {
                Err(Refusal::OtherProperty { wanted, claimed: property.clone() })
            }
            _ => self.store.enrol(&secret, &csr_pem).await,
        };
        let answer = match enrolled {
            Ok(enrolled) => Body::Enrolled(Enrolled {
                gateway: enrolled.gateway,
                certificate_pem: enrolled.certificate_pem,
                ca_pem: enrolled.ca_pem,
                property: property.unwrap_or_default(),
            }),
            Err(refusal) => turn_away(&refusal),
        };
        stream::send(&mut up, answer).await?;
        finish(&mut up, connection).await;
        Ok(())
    }

    /// Answers a gateway's questions about its certificate.
    async fn renewal(&self, connection: &Connection) -> Result<(), LinkError> {
        let peer = gate::peer(connection)?;
        self.gate.connect(self.store.as_ref(), &peer).await?;
        let asked = gate::renewal(self.store.as_ref(), &peer, connection);
        let silent = LinkError::Silent { address: connection.address() };
        tokio::time::timeout(self.tuning.handshake, asked).await.unwrap_or(Err(silent))
    }
}

/// Lets the last frame reach the other end, which then closes.
async fn finish(up: &mut SendHalf, connection: &Connection) {
    // A peer that has gone needs nothing more.
    if up.finish().await {
        let _ = tokio::time::timeout(GOODBYE, connection.closed()).await;
    }
}
