//! The store behind the link: what sessions ask, answered from the database.

use crate::live::Hub;
use crate::releases::Served;
use crate::rollout::cohorts::Cohorts;
use crate::store::{Readers, StoreError, Writer, commands, gateways, ingest, standing, trust as trust_store};
use engawa_link::pki::CertificateAuthority;
use engawa_model::Timestamp;
use engawa_protocol::bucket::Limits;
use engawa_protocol::live::Live;
use engawa_protocol::ports::{CloudStore, Enrolled, Ingested, Later, Refusal, Row, Skip, StoreFault};
use engawa_protocol::reconcile::{AskSync, SyncStanding};
use engawa_protocol::trust::{Distrust, Peer, Regions, Session, Standing, Turn};
use engawa_protocol::update::{FetchAsk, FetchPiece, UpdateAsk, UpdateTold};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

mod rollouts;
mod trust;

/// Batches that may wait for the writer at once: what it takes in one group.
const MOST_BATCHES: usize = 128;
/// Sessions in one question for their standing: a few milliseconds of a thread.
const STANDINGS: usize = 500;

/// The database and the authority, as the link wants them. SQLite blocks, so it is asked off the async threads: by so many
/// at once and no more, since ten thousand gateways that come back together would each take a thread and a connection.
/// Rows do not wait for those who knock.
pub struct End {
    file: Arc<OneFile>,
    batches: Semaphore,
    questions: Semaphore,
    live: Hub,
    releases: Served,
}

struct OneFile {
    writer: Writer,
    readers: Readers,
    authority: RwLock<Arc<CertificateAuthority>>,
    cohorts: Arc<Cohorts>,
}

impl End {
    /// Over the database `path`, whose writer is `writer`.
    pub fn new(path: PathBuf, writer: Writer, authority: CertificateAuthority) -> Self {
        let authority = RwLock::new(Arc::new(authority));
        Self {
            file: Arc::new(OneFile {
                writer,
                readers: Readers::new(path),
                authority,
                cohorts: Arc::default(),
            }),
            batches: Semaphore::new(MOST_BATCHES),
            questions: Semaphore::new(Readers::KEPT),
            live: Hub::default(),
            releases: Served::default(),
        }
    }

    /// The repository of releases, to be set before the cloud serves.
    pub fn releases(&self) -> &Served {
        &self.releases
    }

    /// Where live values are to be heard.
    pub fn hub(&self) -> &Hub {
        &self.live
    }

    /// From now on this authority signs.
    pub fn replace_authority(&self, authority: CertificateAuthority) {
        *self.file.authority.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&OneFile) -> T + Send + 'static,
    ) -> Result<T, StoreFault> {
        self.in_turn(&self.questions, ask).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        turns: &Semaphore,
        ask: impl FnOnce(&OneFile) -> T + Send + 'static,
    ) -> Result<T, StoreFault> {
        let fault = |error| StoreFault::new("asking the cloud's database", error);
        let _turn = turns.acquire().await.map_err(|error| StoreFault::new("waiting for a turn", error))?;
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || ask(&file)).await.map_err(fault)
    }

    async fn trusting<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&OneFile) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.blocking(ask).await.unwrap_or(Err(Refusal::Unavailable))
    }
}

impl CloudStore for End {
    fn hello<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        heads: &'a [(u8, u64)],
    ) -> Later<'a, Result<Vec<(u8, u64)>, Refusal>> {
        let (gateway, heads) = (gateway.to_owned(), heads.to_owned());
        Box::pin(async move {
            self.blocking(move |file| file.hello(&gateway, epoch, &heads))
                .await
                .unwrap_or(Err(Refusal::Unavailable))
        })
    }

    fn marks_of<'a>(&'a self, gateway: &'a str, epoch: u64) -> Later<'a, Result<Vec<(u8, u64)>, StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move { self.blocking(move |file| file.marks_of(&gateway, epoch)).await? })
    }

    fn ingest<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move {
            self.in_turn(&self.batches, move |file| file.ingest(&gateway, epoch, lane, rows)).await?
        })
    }

    fn skip<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
        skip: Skip,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move {
            self.in_turn(&self.batches, move |file| file.skip(&gateway, epoch, lane, rows, skip)).await?
        })
    }

    fn commands<'a>(
        &'a self,
        gateway: &'a str,
        after: u64,
        max: usize,
    ) -> Later<'a, Result<Vec<Row>, StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move { self.blocking(move |file| file.commands(&gateway, after, max)).await? })
    }

    fn commands_acknowledged<'a>(&'a self, gateway: &'a str, mark: u64) -> Later<'a, Result<(), StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move { self.blocking(move |file| file.commands_acknowledged(&gateway, mark)).await? })
    }

    fn enrol<'a>(&'a self, claim_secret: &'a str, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        let (secret, csr) = (claim_secret.to_owned(), csr_pem.to_owned());
        Box::pin(async move {
            self.blocking(move |file| file.enrol(&secret, &csr)).await.unwrap_or(Err(Refusal::Unavailable))
        })
    }

    fn admitted<'a>(&'a self, gateway: &'a str) -> Later<'a, bool> {
        let gateway = gateway.to_owned();
        // A database that does not answer admits nobody.
        Box::pin(async move { self.blocking(move |file| file.admitted(&gateway)).await.unwrap_or(false) })
    }

    fn seen<'a>(&'a self, gateway: &'a str, connected: bool, address: &'a str) -> Later<'a, ()> {
        if !connected {
            self.live.gone(gateway);
        }
        let (gateway, address) = (gateway.to_owned(), address.to_owned());
        Box::pin(async move {
            // What can be said of a failure is said there.
            let _ = self.blocking(move |file| file.seen(&gateway, connected, &address)).await;
        })
    }

    fn greet<'a>(&'a self, peer: &'a Peer, turn: Option<Turn>) -> Later<'a, Result<u64, Refusal>> {
        let peer = peer.clone();
        Box::pin(async move { self.trusting(move |file| file.greet(&peer, turn)).await })
    }

    fn standing<'a>(&'a self, peer: &'a Peer, turn: Option<Turn>) -> Later<'a, Result<(), Refusal>> {
        let peer = peer.clone();
        Box::pin(async move { self.trusting(move |file| file.standing(&peer, turn)).await })
    }

    fn standings<'a>(&'a self, sessions: &'a [Session]) -> Later<'a, Vec<Result<(), Refusal>>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(sessions.len());
            for some in sessions.chunks(STANDINGS) {
                let (asked, count) = (some.to_vec(), some.len());
                let answers = self.blocking(move |file| file.standings(&asked)).await;
                all.extend(answers.unwrap_or_else(|_| vec![Err(Refusal::Unavailable); count]));
            }
            all
        })
    }

    fn certificate<'a>(&'a self, peer: &'a Peer) -> Later<'a, Result<Standing, Refusal>> {
        let peer = peer.clone();
        Box::pin(async move { self.trusting(move |file| file.certificate(&peer)).await })
    }

    fn renew<'a>(&'a self, peer: &'a Peer, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        let (peer, csr) = (peer.clone(), csr_pem.to_owned());
        Box::pin(async move { self.trusting(move |file| file.renew(&peer, &csr)).await })
    }

    fn proven<'a>(&'a self, peer: &'a Peer) -> Later<'a, Result<(), Refusal>> {
        let peer = peer.clone();
        Box::pin(async move { self.trusting(move |file| file.proven(&peer)).await })
    }

    fn sync_standing<'a>(
        &'a self,
        peer: &'a Peer,
        ask: &'a AskSync,
    ) -> Later<'a, Result<SyncStanding, Refusal>> {
        let (peer, ask) = (peer.clone(), ask.clone());
        Box::pin(async move { self.trusting(move |file| file.sync_standing(&peer, &ask)).await })
    }

    fn limits(&self) -> Later<'_, Limits> {
        Box::pin(async move { self.blocking(OneFile::limits).await.unwrap_or_default() })
    }

    fn takes_updates(&self) -> bool {
        self.releases.is_set()
    }

    fn update_told<'a>(
        &'a self,
        gateway: &'a str,
        ask: &'a UpdateAsk,
    ) -> Later<'a, Result<UpdateTold, StoreFault>> {
        let (gateway, ask) = (gateway.to_owned(), ask.clone());
        Box::pin(async move { self.blocking(move |file| file.update_told(&gateway, &ask)).await? })
    }

    fn time_told(&self, now_s: i64) -> Later<'_, i64> {
        Box::pin(self.releases.time(now_s))
    }

    fn fetch<'a>(
        &'a self,
        _gateway: &'a str,
        ask: &'a FetchAsk,
    ) -> Later<'a, Result<FetchPiece, StoreFault>> {
        Box::pin(self.releases.fetch(ask))
    }

    fn takes_live(&self) -> bool {
        true
    }

    fn live(&self, gateway: &str, live: Live) {
        self.live.live(gateway, live);
    }

    fn regions(&self) -> Later<'_, Option<Regions>> {
        Box::pin(async move { self.blocking(OneFile::regions).await.unwrap_or(None) })
    }

    fn claimed_property<'a>(&'a self, claim_secret: &'a str) -> Later<'a, Option<String>> {
        let secret = claim_secret.to_owned();
        Box::pin(async move {
            let asked = self.blocking(move |file| {
                file.readers.with(|connection| gateways::claimed_property(connection, &secret))
            });
            // A database that does not answer refuses the claim a moment later, and says so.
            asked.await.ok()?.ok()?
        })
    }
}

fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

fn fault(context: &'static str) -> impl Fn(StoreError) -> StoreFault {
    move |error| StoreFault::new(context, error)
}

impl OneFile {
    fn hello(&self, gateway: &str, epoch: u64, heads: &[(u8, u64)]) -> Result<Vec<(u8, u64)>, Refusal> {
        let greeted = self.readers.with(|connection| {
            let known = gateways::is_known_epoch(connection, gateway, epoch)?;
            Ok((ingest::hello(connection, gateway, epoch, heads)?, known))
        });
        let greeted = greeted.and_then(|(marks, known)| {
            if marks.is_ok() && !known {
                // Before any command goes out: what the lost disk may have done is not to be done again.
                let gateway = gateway.to_owned();
                self.writer
                    .run(move |connection| gateways::epoch_seen(connection, &gateway, epoch, now()))?;
            }
            Ok(marks)
        });
        greeted.unwrap_or_else(|error| {
            tracing::error!(%gateway, error = &error as &dyn std::error::Error, "a gateway could not be welcomed");
            Err(Refusal::Unavailable)
        })
    }

    fn marks_of(&self, gateway: &str, epoch: u64) -> Result<Vec<(u8, u64)>, StoreFault> {
        self.readers
            .with(|connection| ingest::marks_of(connection, gateway, epoch))
            .map_err(fault("reading the marks of a gateway's earlier epoch"))
    }

    fn ingest(&self, gateway: &str, epoch: u64, lane: u8, rows: Vec<Row>) -> Result<Ingested, StoreFault> {
        let gateway = gateway.to_owned();
        self.writer
            .run(move |connection| ingest::ingest(connection, &gateway, epoch, lane, &rows, now()))
            .map_err(fault("storing a gateway's rows"))
    }

    fn skip(
        &self,
        gateway: &str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
        skip: Skip,
    ) -> Result<Ingested, StoreFault> {
        let gateway = gateway.to_owned();
        self.writer
            .run(move |connection| {
                // One transaction: the group's savepoint.
                match ingest::ingest(connection, &gateway, epoch, lane, &rows, now())? {
                    Ingested::Upto(_) => ingest::skip(connection, &gateway, epoch, lane, &skip, now()),
                    stopped => Ok(stopped),
                }
            })
            .map_err(fault("recording a gap in a gateway's rows"))
    }

    fn sync_standing(&self, peer: &Peer, ask: &AskSync) -> Result<SyncStanding, Refusal> {
        // A gateway that is fenced for its twin may ask, and nothing else.
        let fenced = match self.standing(peer, None) {
            Err(Refusal::Trust(fence @ Distrust::Fenced { .. })) => fence.to_string(),
            standing => standing.map(|()| String::new())?,
        };
        let standing = self.readers.with(|connection| standing::standing(connection, peer, ask));
        let mut standing = standing.map_err(|error| unavailable(&error))?;
        if !fenced.is_empty() {
            standing.twin = fenced;
        }
        Ok(standing)
    }

    fn commands(&self, gateway: &str, after: u64, max: usize) -> Result<Vec<Row>, StoreFault> {
        self.readers
            .with(|connection| commands::after(connection, gateway, after, max))
            .map_err(fault("reading a gateway's commands"))
    }

    fn commands_acknowledged(&self, gateway: &str, mark: u64) -> Result<(), StoreFault> {
        if mark == 0 {
            return Ok(());
        }
        let gateway = gateway.to_owned();
        self.writer
            .run(move |connection| commands::acknowledged(connection, &gateway, mark, now()))
            .map_err(fault("marking commands as acknowledged"))
    }

    fn enrol(&self, claim_secret: &str, csr_pem: &str) -> Result<Enrolled, Refusal> {
        // Signed before the writer is asked, so that no gateway's rows wait for a signature; the writer looks again.
        let (secret, csr) = (claim_secret.to_owned(), csr_pem.to_owned());
        let claimed = self.readers.with(|connection| gateways::claimed(connection, &secret, &csr, now()));
        let gateway = claimed.map_err(|error| unavailable(&error))?.ok_or(Refusal::BadClaim)?;
        let authority = self.authority();
        let (certificate, peer) = self.sign(&authority, &gateway, &csr)?;
        let (signer, at) = (authority.signing_pin(), now());
        let used = self.writer.run(move |connection| {
            let enrolled = gateways::enrol(connection, &secret, &csr, at, |named| {
                if named == gateway { Ok(certificate) } else { Err(Refusal::BadClaim) }
            })?;
            if enrolled.is_ok() {
                trust_store::enrolled(connection, &peer, signer, at)?;
            }
            Ok(enrolled)
        });
        let (gateway, certificate_pem) = used.map_err(|error| unavailable(&error))??;
        tracing::info!(%gateway, "a gateway is enrolled");
        Ok(Enrolled { gateway, certificate_pem, ca_pem: authority.trusted_pem() })
    }

    fn admitted(&self, gateway: &str) -> bool {
        self.readers.with(|connection| gateways::admitted(connection, gateway)).unwrap_or(false)
    }

    fn seen(&self, gateway: &str, connected: bool, address: &str) {
        let (gateway, address) = (gateway.to_owned(), address.to_owned());
        let seen = self
            .writer
            .run(move |connection| gateways::seen(connection, &gateway, connected, &address, now()));
        if let Err(error) = seen {
            tracing::warn!(error = &error as &dyn std::error::Error, "a gateway's presence was not noted");
        }
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a gateway's claim or certificate could not be looked at"
    );
    Refusal::Unavailable
}
