//! The store behind the link, on PostgreSQL.

use super::authority::{self, Agreed};
use super::{Intake, Replica, Store, commands, gateways, settings, standing, trust};
use crate::live::Hub;
use crate::releases::Served;
use crate::rollout::answer::asked;
use crate::rollout::cohorts::Cohorts;
use crate::store::StoreError;
use crate::trust::settings::Policy;
use crate::trust::{Now, signing};
use data_encoding::HEXLOWER;
use engawa_link::pki::{CertificateAuthority, PkiError, request_key};
use engawa_link::{regions, rotation};
use engawa_model::Timestamp;
use engawa_protocol::bucket::Limits;
use engawa_protocol::live::Live;
use engawa_protocol::ports::{CloudStore, Enrolled, Ingested, Later, Refusal, Row, Skip, StoreFault};
use engawa_protocol::reconcile::{AskSync, SyncStanding};
use engawa_protocol::trust::{Distrust, Peer, Regions, Session, Standing, Turn};
use engawa_protocol::update::{FetchAsk, FetchPiece, UpdateAsk, UpdateTold};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a question may take: a database that hangs is one that is not there.
const ANSWER: Duration = Duration::from_secs(10);
/// The same where what was known before does as well.
const QUICK: Duration = Duration::from_secs(2);
/// Looks in a row at which this replica may lack the authority that signs: its folder may be in the middle of being copied.
const LOOKS_WITHOUT: u32 = 4;
/// Sessions in one question for their standing.
const STANDINGS: usize = 2_000;

/// The authorities in the cloud's folder.
pub struct Authorities {
    /// With the next one, while there is one.
    whole: CertificateAuthority,
    /// Without it.
    present: CertificateAuthority,
    /// The certificate of the one before, PEM, and its pin, where it was changed.
    retired: Option<(String, [u8; 32])>,
}

impl Authorities {
    /// Those in `dir`.
    ///
    /// # Errors
    /// Files that are absent, open to others, or can't be used.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let whole = CertificateAuthority::load(dir)?;
        let is_there = |pin| whole.pin() == pin || whole.next_pin() == Some(pin);
        // In the middle of a `finish` it is still one of them.
        let retired = rotation::retired(dir)?.filter(|(_, pin)| !is_there(*pin));
        Ok(Self { present: CertificateAuthority::load(dir)?.without_next(), whole, retired })
    }

    /// All that are trusted.
    pub fn whole(&self) -> &CertificateAuthority {
        &self.whole
    }
}

/// What was read last, every few seconds.
#[derive(Clone, Default)]
struct Known {
    policy: Option<Policy>,
    agreed: Agreed,
}

/// The database and the authority, as the link wants them.
pub struct End {
    store: Store,
    intake: Intake,
    replica: Replica,
    authorities: RwLock<Arc<Authorities>>,
    known: RwLock<Known>,
    /// Looks in a row at which the authority that signs was not this replica's.
    looks_without: AtomicU32,
    left_behind: CancellationToken,
    live: Hub,
    releases: Served,
    cohorts: Cohorts,
}

impl End {
    /// Over `store`, as `replica`. Starts the intake's workers, on the current runtime. Before it serves, and every few
    /// seconds, it is to be [tended](Self::tend).
    pub fn new(store: Store, replica: Replica, authorities: Authorities) -> Self {
        Self {
            intake: Intake::start(&store),
            store,
            replica,
            authorities: RwLock::new(Arc::new(authorities)),
            known: RwLock::default(),
            looks_without: AtomicU32::new(0),
            left_behind: CancellationToken::new(),
            live: Hub::default(),
            releases: Served::default(),
            cohorts: Cohorts::default(),
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

    /// Cancelled once this replica has not had the authority that signs for several looks: it would turn those gateways
    /// away that have the newest certificates, and is to serve no more.
    pub fn left_behind(&self) -> CancellationToken {
        self.left_behind.clone()
    }

    /// The folder has changed.
    pub fn replace_authorities(&self, authorities: Authorities) {
        // Until the others are heard again: an authority too many for seconds cuts nobody off, one too few does.
        self.known.write().unwrap_or_else(PoisonError::into_inner).agreed.retired_lives = true;
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authorities);
    }

    /// Tells the other replicas which authorities this one has, and hears which signs, and what is set.
    ///
    /// # Errors
    /// PostgreSQL's; what was known before holds.
    pub async fn tend(&self) -> Result<(), StoreError> {
        let authorities = self.authorities();
        let retired = authorities.retired.as_ref().map(|(_, pin)| *pin);
        let asking = async {
            let client = self.store.client().await?;
            let agreed = authority::agree(&client, &self.replica.id, &authorities.whole, retired).await?;
            Ok(Known { agreed, policy: Some(settings::policy(&client).await?) })
        };
        let known = in_time(asking).await?;
        if signer(&authorities, &known.agreed).is_some() {
            self.looks_without.store(0, Ordering::Relaxed);
        } else {
            if self.looks_without.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= LOOKS_WITHOUT {
                self.left_behind.cancel();
            }
            tracing::error!(
                authority = known.agreed.signing,
                "another authority signs now, and this replica's folder does not have it: copy the folder of another replica"
            );
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    fn authorities(&self) -> Arc<Authorities> {
        Arc::clone(&self.authorities.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Which of the authorities signs; `None`: one that this folder does not have.
fn signer<'a>(authorities: &'a Authorities, agreed: &Agreed) -> Option<&'a CertificateAuthority> {
    let is = |pin: [u8; 32]| HEXLOWER.encode(&pin) == agreed.signing;
    if is(authorities.present.pin()) {
        Some(&authorities.present)
    } else {
        is(authorities.whole.signing_pin()).then_some(&authorities.whole)
    }
}

/// What gateways are to trust: while another replica still has the authority before, that one too.
fn trusted(authorities: &Authorities, agreed: &Agreed) -> String {
    let whole = authorities.whole.trusted_pem();
    match &authorities.retired {
        Some((retired, _)) if agreed.retired_lives => format!("{}\n{retired}", whole.trim_end()),
        _ => whole,
    }
}

/// A database that hangs does not answer, either.
async fn in_time<T>(asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER, asking).await.unwrap_or(Err(StoreError::Slow(ANSWER)))
}

impl End {
    async fn welcome(
        &self,
        gateway: &str,
        epoch: u64,
        heads: &[(u8, u64)],
    ) -> Result<Result<Vec<(u8, u64)>, Refusal>, StoreError> {
        let mut client = self.store.client().await?;
        gateways::welcome(&mut client, gateway, epoch, heads, now()).await
    }

    async fn sign(&self, secret: &str, csr: &str) -> Result<Result<Enrolled, Refusal>, StoreError> {
        let mut client = self.store.client().await?;
        // Signed before the claim is locked; the transaction looks again.
        let Some(gateway) = gateways::claimed(&client, secret, csr, now()).await? else {
            return Ok(Err(Refusal::BadClaim));
        };
        let (authorities, agreed) = (self.authorities(), self.known().agreed);
        let Some(authority) = signer(&authorities, &agreed) else { return Ok(Err(Refusal::Unavailable)) };
        let policy = settings::policy(&client).await?;
        let (certificate_pem, peer) = match signing::sign(authority, &gateway, csr, policy.valid_micros) {
            Ok(signed) => signed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let pin = authority.signing_pin();
        if !gateways::enrol_signed(&mut client, secret, csr, &peer, pin, now()).await? {
            return Ok(Err(Refusal::BadClaim));
        }
        tracing::info!(%gateway, "a gateway is enrolled");
        Ok(Ok(Enrolled { gateway, certificate_pem, ca_pem: trusted(&authorities, &agreed) }))
    }

    /// A gateway of another region is told where to go.
    async fn at_home(&self, peer: &Peer) -> Result<Result<(), Refusal>, StoreError> {
        let authorities = self.authorities();
        let Some(away) = signing::away(&authorities.whole, peer) else { return Ok(Ok(())) };
        let known = settings::regions(&self.store.client().await?).await?;
        Ok(Err(signing::elsewhere(peer, away, known)))
    }

    async fn greeted(&self, peer: &Peer, turn: Option<Turn>) -> Result<Result<u64, Refusal>, StoreError> {
        if let Err(refusal) = self.at_home(peer).await? {
            return Ok(Err(refusal));
        }
        trust::greet(&mut self.store.client().await?, peer, turn, now()).await
    }

    async fn stands(&self, peer: &Peer) -> Result<Result<Standing, Refusal>, StoreError> {
        if let Err(refusal) = self.at_home(peer).await? {
            return Ok(Err(refusal));
        }
        let (authorities, agreed) = (self.authorities(), self.known().agreed);
        let Some(authority) = signer(&authorities, &agreed) else { return Ok(Err(Refusal::Unavailable)) };
        let now = Now { signer: authority.signing_pin(), region: authority.region(), micros: now() };
        let due = trust::due(&self.store.client().await?, peer, now).await?;
        Ok(due.map(|due| Standing { due, authorities_pem: trusted(&authorities, &agreed) }))
    }

    async fn renewed(&self, peer: &Peer, csr_pem: &str) -> Result<Result<Enrolled, Refusal>, StoreError> {
        if let Err(refusal) = self.at_home(peer).await? {
            return Ok(Err(refusal));
        }
        let key = match request_key(csr_pem) {
            Ok(key) => key,
            Err(error) => return Ok(Err(Refusal::BadRequest(error.to_string()))),
        };
        let (authorities, agreed) = (self.authorities(), self.known().agreed);
        let Some(authority) = signer(&authorities, &agreed) else { return Ok(Err(Refusal::Unavailable)) };
        let now = Now { signer: authority.signing_pin(), region: authority.region(), micros: now() };
        let mut client = self.store.client().await?;
        // Asked before it is signed; the transaction looks again.
        if let Err(refusal) = trust::may_renew(&client, peer, key, now).await? {
            return Ok(Err(refusal));
        }
        let policy = settings::policy(&client).await?;
        let (certificate_pem, next) =
            match signing::sign(authority, &peer.gateway, csr_pem, policy.valid_micros) {
                Ok(signed) => signed,
                Err(refusal) => return Ok(Err(refusal)),
            };
        if let Err(refusal) = trust::renewed(&mut client, peer, &next, now).await? {
            return Ok(Err(refusal));
        }
        tracing::info!(gateway = %peer.gateway, old = %peer.serial, new = %next.serial, "a certificate is renewed");
        let ca_pem = trusted(&authorities, &agreed);
        Ok(Ok(Enrolled { gateway: peer.gateway.clone(), certificate_pem, ca_pem }))
    }

    async fn worked(&self, peer: &Peer) -> Result<Result<(), Refusal>, StoreError> {
        trust::proven(&mut self.store.client().await?, peer, now()).await
    }

    async fn directory(&self) -> Result<Option<Regions>, StoreError> {
        let known = settings::regions(&self.store.client().await?).await?;
        Ok(regions::sign(&self.authorities().whole, &known).ok())
    }
}

/// What comes of a question, refusals and faults alike: a database that does not answer is no reason to call a gateway
/// unknown.
async fn judged<T>(
    what: &str,
    asking: impl Future<Output = Result<Result<T, Refusal>, StoreError>>,
) -> Result<T, Refusal> {
    in_time(asking).await.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "{what}");
        Err(Refusal::Unavailable)
    })
}

/// A late commit of the connection before may have moved the mark beyond what this one has sent; it is told of what it has
/// sent only.
fn bounded(answer: Ingested, last: u64) -> Ingested {
    match answer {
        Ingested::Upto(mark) => Ingested::Upto(mark.min(last)),
        other => other,
    }
}

impl CloudStore for End {
    fn hello<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        heads: &'a [(u8, u64)],
    ) -> Later<'a, Result<Vec<(u8, u64)>, Refusal>> {
        Box::pin(judged("a gateway could not be welcomed", self.welcome(gateway, epoch, heads)))
    }

    fn marks_of<'a>(&'a self, gateway: &'a str, epoch: u64) -> Later<'a, Result<Vec<(u8, u64)>, StoreFault>> {
        Box::pin(async move {
            let reading = async { gateways::marks_of(&self.store.client().await?, gateway, epoch).await };
            in_time(reading).await.map_err(fault("reading the marks of a gateway's earlier epoch"))
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
            let last = rows.last().map_or(0, |row| row.seq);
            let stored = self.intake.ingest(gateway, epoch, lane, rows).await;
            stored.map(|answer| bounded(answer, last)).map_err(fault("storing a gateway's rows"))
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
        let last = skip.to;
        let recording = self.intake.skip(gateway, epoch, lane, rows, skip);
        Box::pin(async move {
            let recorded = recording.await.map(|answer| bounded(answer, last));
            recorded.map_err(fault("recording a gap in a gateway's rows"))
        })
    }

    fn commands<'a>(
        &'a self,
        gateway: &'a str,
        after: u64,
        max: usize,
    ) -> Later<'a, Result<Vec<Row>, StoreFault>> {
        Box::pin(async move {
            let reading = async { commands::after(&self.store.client().await?, gateway, after, max).await };
            in_time(reading).await.map_err(fault("reading a gateway's commands"))
        })
    }

    fn commands_acknowledged<'a>(&'a self, gateway: &'a str, mark: u64) -> Later<'a, Result<(), StoreFault>> {
        Box::pin(async move {
            if mark == 0 {
                return Ok(());
            }
            let noting =
                async { commands::acknowledged(&mut self.store.client().await?, gateway, mark, now()).await };
            in_time(noting).await.map_err(fault("marking commands as acknowledged"))
        })
    }

    fn enrol<'a>(&'a self, claim_secret: &'a str, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        Box::pin(judged("a claim could not be redeemed", self.sign(claim_secret, csr_pem)))
    }

    fn claimed_property<'a>(&'a self, claim_secret: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move {
            let client = self.store.client().await.ok()?;
            // A database that does not answer refuses the claim a moment later, and says so.
            gateways::claimed_property(&client, claim_secret).await.ok()?
        })
    }

    fn admitted<'a>(&'a self, gateway: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            let asking = async { gateways::status(&self.store.client().await?, gateway, false).await };
            // A database that does not answer admits nobody.
            in_time(asking).await.is_ok_and(|status| status.is_some_and(|status| status.admitted()))
        })
    }

    fn greet<'a>(&'a self, peer: &'a Peer, turn: Option<Turn>) -> Later<'a, Result<u64, Refusal>> {
        Box::pin(judged("a gateway could not be greeted", self.greeted(peer, turn)))
    }

    fn standing<'a>(&'a self, peer: &'a Peer, turn: Option<Turn>) -> Later<'a, Result<(), Refusal>> {
        let asking = async move { trust::standing(&self.store.client().await?, peer, turn).await };
        Box::pin(judged("whether a gateway may go on is not known", asking))
    }

    fn standings<'a>(&'a self, sessions: &'a [Session]) -> Later<'a, Vec<Result<(), Refusal>>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(sessions.len());
            for some in sessions.chunks(STANDINGS) {
                let asking = async { trust::standings(&self.store.client().await?, some).await };
                match in_time(asking).await {
                    Ok(answers) => all.extend(answers),
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "whether gateways may go on is not known"
                        );
                        // The others would wait for the same.
                        break;
                    }
                }
            }
            all.resize(sessions.len(), Err(Refusal::Unavailable));
            all
        })
    }

    fn certificate<'a>(&'a self, peer: &'a Peer) -> Later<'a, Result<Standing, Refusal>> {
        Box::pin(judged("a certificate could not be looked at", self.stands(peer)))
    }

    fn renew<'a>(&'a self, peer: &'a Peer, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        Box::pin(judged("a certificate could not be renewed", self.renewed(peer, csr_pem)))
    }

    fn proven<'a>(&'a self, peer: &'a Peer) -> Later<'a, Result<(), Refusal>> {
        Box::pin(judged("a certificate's use could not be noted", self.worked(peer)))
    }

    fn limits(&self) -> Later<'_, Limits> {
        // Each replica keeps its own purses: a gateway is connected to one of them.
        Box::pin(async move {
            let asking = async { settings::policy(&self.store.client().await?).await };
            let policy = tokio::time::timeout(QUICK, in_time(asking)).await;
            match policy {
                Ok(Ok(policy)) => policy.limits,
                _ => self.known().policy.map(|policy| policy.limits).unwrap_or_default(),
            }
        })
    }

    fn regions(&self) -> Later<'_, Option<Regions>> {
        Box::pin(async move { in_time(self.directory()).await.unwrap_or(None) })
    }

    fn sync_standing<'a>(
        &'a self,
        peer: &'a Peer,
        ask: &'a AskSync,
    ) -> Later<'a, Result<SyncStanding, Refusal>> {
        Box::pin(async move {
            // A gateway that is fenced for its twin may ask, and nothing else.
            let fenced = match CloudStore::standing(self, peer, None).await {
                Err(Refusal::Trust(fence @ Distrust::Fenced { .. })) => fence.to_string(),
                standing => standing.map(|()| String::new())?,
            };
            let asking = async {
                let client = self.store.client().await?;
                standing::standing(&client, &peer.gateway, ask).await.map(Ok)
            };
            let standing = judged("how a gateway stands is not known", asking).await?;
            Ok(if fenced.is_empty() { standing } else { SyncStanding { twin: fenced, ..standing } })
        })
    }

    fn takes_updates(&self) -> bool {
        self.releases.is_set()
    }

    fn update_told<'a>(
        &'a self,
        gateway: &'a str,
        ask: &'a UpdateAsk,
    ) -> Later<'a, Result<UpdateTold, StoreFault>> {
        Box::pin(async move {
            let authorities = self.authorities();
            let (software, last) = asked(ask, authorities.whole().region().unwrap_or_default(), now());
            let asking = async {
                let mut client = self.store.client().await?;
                super::rollouts::told(&mut client, &self.cohorts, gateway, &software, last.as_ref(), now())
                    .await
            };
            in_time(asking).await.map(Into::into).map_err(fault("telling a gateway its version"))
        })
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

    fn seen<'a>(&'a self, gateway: &'a str, connected: bool, address: &'a str) -> Later<'a, ()> {
        if !connected {
            self.live.gone(gateway);
        }
        Box::pin(async move {
            let noting = async {
                let client = self.store.client().await?;
                gateways::seen(&client, gateway, &self.replica.id, connected, address, now()).await
            };
            if let Err(error) = in_time(noting).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_of_nothing_that_it_has_not_sent() {
        assert_eq!(bounded(Ingested::Upto(20), 15), Ingested::Upto(15));
        assert_eq!(bounded(Ingested::Upto(12), 15), Ingested::Upto(12));
        assert_eq!(bounded(Ingested::Gap(3), 15), Ingested::Gap(3));
    }
}
