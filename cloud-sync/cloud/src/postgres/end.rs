//! The store behind the link, on PostgreSQL.

use super::{Intake, Replica, Store, commands, gateways};
use crate::store::StoreError;
use engawa_link::pki::CertificateAuthority;
use engawa_model::Timestamp;
use engawa_protocol::ports::{CloudStore, Enrolled, Ingested, Later, Refusal, Row, Skip, StoreFault};
use engawa_protocol::trust::{Peer, Turn};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a gateway's certificate is valid. On PostgreSQL there is no record of certificates yet, and so no renewal;
/// revocation does not wait for it: the database is asked at each connection and every few seconds after.
const CERTIFICATE_VALID: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The database and the authority, as the link wants them.
pub struct End {
    store: Store,
    intake: Intake,
    replica: Replica,
    authority: Arc<CertificateAuthority>,
}

impl End {
    /// Over `store`, as `replica`. Starts the intake's workers, on the current runtime.
    pub fn new(store: Store, replica: Replica, authority: CertificateAuthority) -> Self {
        Self { intake: Intake::start(&store), store, replica, authority: Arc::new(authority) }
    }

    async fn welcome(
        &self,
        gateway: &str,
        epoch: u64,
        heads: &[(u8, u64)],
    ) -> Result<Result<Vec<(u8, u64)>, Refusal>, StoreError> {
        let mut client = self.store.client().await?;
        let (marks, known) = match gateways::hello(&client, gateway, epoch, heads).await? {
            Ok(greeted) => greeted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !known {
            // Before any command goes out: what the lost disk may have done is not to be done again.
            gateways::epoch_seen(&mut client, gateway, epoch, now()).await?;
        }
        Ok(Ok(marks))
    }

    async fn sign(&self, secret: &str, csr: &str) -> Result<Result<Enrolled, Refusal>, StoreError> {
        let mut client = self.store.client().await?;
        // Signed before the claim is locked; the transaction looks again.
        let Some(gateway) = gateways::claimed(&client, secret, csr, now()).await? else {
            return Ok(Err(Refusal::BadClaim));
        };
        let from = SystemTime::now();
        let certificate = match self.authority.sign_gateway(&gateway, csr, from, from + CERTIFICATE_VALID) {
            Ok(certificate) => certificate,
            Err(error) => return Ok(Err(Refusal::BadRequest(error.to_string()))),
        };
        let used = gateways::enrol(&mut client, secret, csr, now(), |named| {
            if named == gateway { Ok(certificate) } else { Err(Refusal::BadClaim) }
        });
        Ok(used.await?.map(|(gateway, certificate_pem)| {
            tracing::info!(%gateway, "a gateway is enrolled");
            Enrolled { gateway, certificate_pem, ca_pem: self.authority.pem().to_owned() }
        }))
    }
}

impl End {
    /// A database that does not answer is no reason to call a gateway unknown.
    async fn may_talk(&self, gateway: &str) -> Result<(), Refusal> {
        let asking = async { gateways::status(&self.store.client().await?, gateway, false).await };
        let status =
            asking.await.map_err(|error| unavailable("whether a gateway may talk is not known", &error))?;
        if status.is_some_and(|status| status.admitted()) {
            Ok(())
        } else {
            Err(Refusal::Unknown(gateway.to_owned()))
        }
    }
}

impl CloudStore for End {
    fn hello<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        heads: &'a [(u8, u64)],
    ) -> Later<'a, Result<Vec<(u8, u64)>, Refusal>> {
        Box::pin(async move {
            self.welcome(gateway, epoch, heads)
                .await
                .unwrap_or_else(|error| Err(unavailable("a gateway could not be welcomed", &error)))
        })
    }

    fn marks_of<'a>(&'a self, gateway: &'a str, epoch: u64) -> Later<'a, Result<Vec<(u8, u64)>, StoreFault>> {
        Box::pin(async move {
            let reading = async { gateways::marks_of(&self.store.client().await?, gateway, epoch).await };
            reading.await.map_err(fault("reading the marks of a gateway's earlier epoch"))
        })
    }

    fn ingest<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        Box::pin(async move {
            self.intake.ingest(gateway, epoch, lane, rows).await.map_err(fault("storing a gateway's rows"))
        })
    }

    fn skip<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        skip: Skip,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        let recording = self.intake.skip(gateway, epoch, lane, skip);
        Box::pin(async move { recording.await.map_err(fault("recording a gap in a gateway's rows")) })
    }

    fn commands<'a>(
        &'a self,
        gateway: &'a str,
        after: u64,
        max: usize,
    ) -> Later<'a, Result<Vec<Row>, StoreFault>> {
        Box::pin(async move {
            let reading = async { commands::after(&self.store.client().await?, gateway, after, max).await };
            reading.await.map_err(fault("reading a gateway's commands"))
        })
    }

    fn commands_acknowledged<'a>(&'a self, gateway: &'a str, mark: u64) -> Later<'a, Result<(), StoreFault>> {
        Box::pin(async move {
            if mark == 0 {
                return Ok(());
            }
            let noting =
                async { commands::acknowledged(&mut self.store.client().await?, gateway, mark, now()).await };
            noting.await.map_err(fault("marking commands as acknowledged"))
        })
    }

    fn enrol<'a>(&'a self, claim_secret: &'a str, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        Box::pin(async move {
            self.sign(claim_secret, csr_pem)
                .await
                .unwrap_or_else(|error| Err(unavailable("a claim could not be redeemed", &error)))
        })
    }

    fn admitted<'a>(&'a self, gateway: &'a str) -> Later<'a, bool> {
        // A database that does not answer admits nobody.
        Box::pin(async move { self.may_talk(gateway).await.is_ok() })
    }

    fn greet<'a>(&'a self, peer: &'a Peer, _turn: Option<Turn>) -> Later<'a, Result<u64, Refusal>> {
        Box::pin(async move { self.may_talk(&peer.gateway).await.map(|()| 0) })
    }

    fn standing<'a>(&'a self, peer: &'a Peer, _turn: Option<Turn>) -> Later<'a, Result<(), Refusal>> {
        Box::pin(self.may_talk(&peer.gateway))
    }

    fn seen<'a>(&'a self, gateway: &'a str, connected: bool, address: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            let noting = async {
                let client = self.store.client().await?;
                gateways::seen(&client, gateway, &self.replica.id, connected, address, now()).await
            };
            if let Err(error) = noting.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a gateway's presence was not noted"
                );
            }
        })
    }
}

fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

fn fault(context: &'static str) -> impl Fn(StoreError) -> StoreFault {
    move |error| StoreFault::new(context, error)
}

fn unavailable(what: &str, error: &StoreError) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
    Refusal::Unavailable
}
