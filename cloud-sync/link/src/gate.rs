//! The cloud's gate: whom a certificate lets in for what, how fast, and for how long.

use crate::peer::peer_of;
use crate::transport::{Connection, SendHalf};
use crate::{LinkError, stream};
use engawa_protocol::bucket::{Bucket, Limits, Taken};
use engawa_protocol::cloud::{self as session, CloudSessionError};
use engawa_protocol::frame::{Body, Enrolled, Refused};
use engawa_protocol::ports::{CloudStore, Ingested, Refusal, Row, StoreFault};
use engawa_protocol::trust::{Distrust, Nothing, Peer, Renew, Turn, TurnTaken};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Gateways whose buckets are kept. At the bound those that are full, and so say nothing, are forgotten first; then all.
const MOST_GATEWAYS: usize = 20_000;
/// Lanes from this number on are bulky, and pay from a purse of their own: an alarm does not wait for what telemetry owes.
const FIRST_BULK_LANE: u8 = 5;
/// Questions on one connection for renewal.
const MOST_QUESTIONS: usize = 4;

/// What each gateway has left of its limits.
pub(crate) struct Gate {
    began: Instant,
    purses: Mutex<HashMap<String, Purse>>,
}

struct Purse {
    limits: Limits,
    rows: [Bucket; 2],
    bytes: [Bucket; 2],
    connections: Bucket,
}

impl Purse {
    fn new(limits: Limits, now: Duration) -> Self {
        let ([rows, bytes], burst) = rates(limits);
        let bucket = |rate: f64| Bucket::new(rate, rate * burst, now);
        let most = f64::from(limits.connections_per_minute);
        Self {
            limits,
            rows: [bucket(rows); 2],
            bytes: [bucket(bytes); 2],
            connections: Bucket::new(most / 60.0, most, now),
        }
    }

    fn adjust(&mut self, limits: Limits, now: Duration) {
        if self.limits == limits {
            return;
        }
        let ([rows, bytes], burst) = rates(limits);
        self.rows.iter_mut().for_each(|bucket| bucket.adjust(rows, rows * burst, now));
        self.bytes.iter_mut().for_each(|bucket| bucket.adjust(bytes, bytes * burst, now));
        let most = f64::from(limits.connections_per_minute);
        self.connections.adjust(most / 60.0, most, now);
        self.limits = limits;
    }

    fn is_full(&mut self, now: Duration) -> bool {
        let mut all = self.rows.iter_mut().chain(&mut self.bytes).chain([&mut self.connections]);
        all.all(|bucket| bucket.is_full(now))
    }
}

fn rates(limits: Limits) -> ([f64; 2], f64) {
    ([f64::from(limits.rows_per_s), f64::from(limits.bytes_per_s)], f64::from(limits.burst_s))
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), purses: Mutex::default() }
    }

    fn purse<T>(
        &self,
        gateway: &str,
        limits: Option<Limits>,
        with: impl FnOnce(&mut Purse, Duration) -> T,
    ) -> T {
        let now = self.began.elapsed();
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        if !purses.contains_key(gateway) && purses.len() >= MOST_GATEWAYS {
            purses.retain(|_, purse| !purse.is_full(now));
            if purses.len() >= MOST_GATEWAYS {
                purses.clear();
            }
        }
        let purse =
            purses.entry(gateway.to_owned()).or_insert_with(|| Purse::new(limits.unwrap_or_default(), now));
        if let Some(limits) = limits {
            purse.adjust(limits, now);
        }
        with(purse, now)
    }

    /// May this gateway connect once more?
    ///
    /// # Errors
    /// It has come too often.
    pub(crate) async fn connect(&self, store: &dyn CloudStore, peer: &Peer) -> Result<(), LinkError> {
        let limits = store.limits().await;
        self.purse(&peer.gateway, Some(limits), |purse, now| purse.connections.try_one(now)).map_err(|wait| {
            LinkError::Refused {
                reason: format!(
                    "gateway `{}` connects more than {} times a minute",
                    peer.gateway, limits.connections_per_minute
                ),
                retry_after_s: u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1),
            }
        })
    }

    /// Waits as long as a batch of so many rows and bytes has to wait. Nothing is dropped: the gateway's next batch waits on
    /// its own stream. Whoever does not wait until then has not paid.
    pub(crate) async fn pace<'a>(&'a self, gateway: &'a str, lane: u8, batch: &[Row]) -> Charge<'a> {
        let (rows, bytes) = (batch.len(), batch.iter().map(|row| row.body.len()).sum::<usize>());
        let purse = usize::from(lane >= FIRST_BULK_LANE);
        #[allow(clippy::cast_precision_loss, reason = "a frame is at most 1 MiB")]
        let (rows, bytes) = (rows as f64, bytes as f64);
        let (rows, bytes) = self.purse(gateway, None, |purses, now| {
            (purses.rows[purse].take(rows, now), purses.bytes[purse].take(bytes, now))
        });
        let mut charge = Charge { gate: self, gateway, purse, rows, bytes, unused: true };
        let wait = rows.wait.max(bytes.wait);
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
        // From here on the store may have it, though its answer be cut.
        charge.unused = false;
        charge
    }
}

/// What a batch was charged; given back when it is dropped unused.
pub(crate) struct Charge<'a> {
    gate: &'a Gate,
    gateway: &'a str,
    purse: usize,
    rows: Taken,
    bytes: Taken,
    unused: bool,
}

impl Charge<'_> {
    /// The store has answered. What it did not take comes again, and is charged then.
    pub(crate) fn settle(mut self, answer: &Result<Ingested, StoreFault>) {
        self.unused = matches!(answer, Ok(Ingested::Busy { .. }) | Err(_));
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if self.unused {
            self.gate.purse(self.gateway, None, |purses, now| {
                purses.rows[self.purse].give_back(self.rows, now);
                purses.bytes[self.purse].give_back(self.bytes, now);
            });
        }
    }
}

/// The gateway that the verified client certificate names.
///
/// # Errors
/// It names none.
pub(crate) fn peer(connection: &Connection) -> Result<Peer, LinkError> {
    connection.certificate().and_then(|certificate| peer_of(&certificate)).ok_or_else(|| LinkError::Refused {
        reason: "it has shown no certificate of a gateway".to_owned(),
        retry_after_s: 0,
    })
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// True where the certificate's time is over.
pub(crate) fn expired(peer: &Peer) -> bool {
    peer.not_after_s < now_s()
}

/// A gateway that is at home in another region asks where that is; it is told, and that is all.
///
/// # Errors
/// The stream broke.
pub(crate) async fn where_to(store: &dyn CloudStore, up: &mut SendHalf) -> Result<(), LinkError> {
    let regions = store.regions().await.unwrap_or_default();
    stream::send(up, Body::Regions(regions)).await
}

/// May the gateway have a session with this certificate and this turn? Gives what is sent before the welcome.
pub(crate) async fn greet(
    store: &dyn CloudStore,
    peer: &Peer,
    turn: Option<Turn>,
) -> Result<Option<Body>, Refusal> {
    if expired(peer) {
        return Err(Distrust::Expired(peer.gateway.clone()).into());
    }
    let number = store.greet(peer, turn).await?;
    Ok(turn.map(|_| Body::TurnTaken(TurnTaken { number })))
}

/// A connection for renewal: questions of a gateway about its certificate, each on a stream of its own. A certificate
/// whose time is over gets to here and no further.
pub(crate) async fn renewal(
    store: &dyn CloudStore,
    peer: &Peer,
    connection: &Connection,
) -> Result<(), LinkError> {
    for _ in 0..MOST_QUESTIONS {
        let (mut up, mut down) = connection.accept().await?;
        let answer = match stream::receive(&mut down).await? {
            Some(Body::Ask(Nothing {})) => store.certificate(peer).await.map(Body::Standing),
            Some(Body::Renew(Renew { csr_pem })) => store.renew(peer, &csr_pem).await.map(|renewed| {
                Body::Enrolled(Enrolled {
                    gateway: renewed.gateway,
                    certificate_pem: renewed.certificate_pem,
                    ca_pem: renewed.ca_pem,
                    property: String::new(),
                })
            }),
            Some(Body::Prove(Nothing {})) if !expired(peer) => {
                store.proven(peer).await.map(|()| Body::Proven(Nothing {}))
            }
            Some(Body::AskSync(ask)) => store.sync_standing(peer, &ask).await.map(Body::SyncStanding),
            Some(Body::Prove(_)) => Err(Distrust::Expired(peer.gateway.clone()).into()),
            _ => {
                return Err(LinkError::Gateway(CloudSessionError::Unexpected {
                    expected: "a question about a certificate",
                }));
            }
        };
        let answer = answer.unwrap_or_else(|refusal| {
            tracing::warn!(gateway = %peer.gateway, serial = %peer.serial, %refusal, "a gateway's question is turned away");
            session::turn_away(&refusal)
        });
        let last = matches!(answer, Body::Refused(Refused { .. }));
        stream::send(&mut up, answer).await?;
        // A peer that has gone needs nothing more.
        let _ = up.finish().await;
        if last {
            connection.closed().await;
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Limits =
        Limits { rows_per_s: 10, bytes_per_s: 1_000, burst_s: 10, connections_per_minute: 60 };
    const LANE: u8 = FIRST_BULK_LANE;

    #[tokio::test]
    async fn only_what_the_store_may_have_taken_is_charged() {
        let gate = Gate::new();
        gate.purse("g", Some(SLOW), |_, _| ());
        let row = |seq| Row { seq, at_micros: 0, kind: "kind".to_owned(), body: vec![0; 10] };
        let batch: Vec<Row> = (1..=90).map(row).collect();
        let pace = |for_ms| tokio::time::timeout(Duration::from_millis(for_ms), gate.pace("g", LANE, &batch));
        let owes = || gate.purse("g", None, |purse, now| purse.rows[1].take(0.0, now).wait > Duration::ZERO);
        // It is busy, or fails, again and again.
        for _ in 0..20 {
            let busy = Ingested::Busy { mark: 0, pause: Duration::ZERO };
            pace(1_000).await.unwrap().settle(&Ok(busy));
            let fault = StoreFault { context: "a full disk".to_owned(), source: None };
            pace(1_000).await.unwrap().settle(&Err(fault));
        }
        assert!(!owes());
        // Taken: the next one has to wait, and its connection ends meanwhile, whenever it comes.
        pace(1_000).await.unwrap().settle(&Ok(Ingested::Upto(90)));
        for _ in 0..20 {
            assert!(pace(1).await.is_err());
        }
        assert!(!owes());
    }
}
