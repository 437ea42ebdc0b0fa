//! What the session needs from the stores at both ends. The edge's methods may block on disk: the link calls them off the
//! async threads. The cloud's are futures, since thousands of gateways wait for one database.
//!
//! Terms: a *row* is one journal entry, its body frozen when it was written; a *lane* is a row's class of
//! urgency, with dense sequence numbers from 1; an *epoch* is the random id of one journal's life (new
//! after a restore or a new disk); a *mark* is the highest sequence number that is durable.

use crate::bucket::Limits;
use crate::live::Live;
use crate::reconcile::{AskSync, SyncStanding};
use crate::trust::{Peer, Regions, Session, Standing, Turn};
use crate::update::{FetchAsk, FetchPiece, UpdateAsk, UpdateTold};
use std::fmt;
use std::pin::Pin;

/// One journal row or one command, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Dense within (gateway, lane, epoch), from 1.
    pub seq: u64,
    /// When it happened, microseconds since the Unix epoch, UTC.
    pub at_micros: i64,
    /// The kind of the body, such as `checked_in`.
    pub kind: String,
    /// The body: JSON, UTF-8, never changed after it was written.
    pub body: Vec<u8>,
}

/// Where the first rows of a journal's life come from, when its database was an older copy: they were written in the life
/// before, and the cloud may have some of them under their old numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The epoch of the life before.
    pub epoch: u64,
    /// The lanes that were carried over.
    pub lanes: Vec<Origin>,
}

/// One lane that was carried over: its old row `acked + n` is now row `first - 1 + n`.
///
/// The cloud's mark of the life before tells which of them it has, as far as they are the same in both lives. Where it has
/// more than that, it has some of the rest in another form (measured values that were thinned in one life and not in the
/// other): nobody can tell which, so none of the rest is sent, and the cloud is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The lane.
    pub lane: u8,
    /// The number that the first row carried over has now.
    pub first: u64,
    /// The old number before it: what the cloud was known to have.
    pub acked: u64,
    /// The old number of the last one.
    pub head: u64,
    /// So many of the numbers that were carried over, from the first on, have the same rows in both lives.
    pub same: u64,
}

/// What went wrong in a store, in words for the log.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct StoreFault {
    /// What was being done.
    pub context: String,
    /// Why it failed.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreFault {
    /// A fault while doing `context`.
    pub fn new(
        context: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { context: context.to_string(), source: Some(source.into()) }
    }
}

/// The edge's end: its journal and its durable inbox.
pub trait EdgeStore: Send + Sync + 'static {
    /// The journal's epoch.
    fn epoch(&self) -> u64;
    /// Where the first rows of this epoch come from, if they were carried over from the life before. Asked before each
    /// hello: what was carried over and may still be sent is not changed from then on.
    fn previous(&self) -> Result<Option<Previous>, StoreFault> {
        Ok(None)
    }
    /// The lanes that the journal has, most urgent first.
    fn lanes(&self) -> Vec<u8>;
    /// Rows of `lane` after `after`, in order, at most `max_rows` and (but for the first) `max_bytes` of bodies. Numbers
    /// are left out only where rows are gone: see [`EdgeStore::gone`].
    fn read(&self, lane: u8, after: u64, max_rows: usize, max_bytes: usize) -> Result<Vec<Row>, StoreFault>;
    /// Why the rows `from..=to` of `lane` are gone for good; `None` where they are not known to be gone, so that a read which
    /// missed them is a fault. Asked when a read leaves them out.
    fn gone(&self, lane: u8, from: u64, to: u64) -> Result<Option<Gone>, StoreFault> {
        let _ = (lane, from, to);
        Ok(None)
    }
    /// The highest sequence number written in `lane` (0: none).
    fn head(&self, lane: u8) -> Result<u64, StoreFault>;
    /// The cloud has `lane` durably up to `mark`.
    fn acknowledged(&self, lane: u8, mark: u64) -> Result<(), StoreFault>;
    /// The mark of the command inbox.
    fn inbox_mark(&self) -> Result<u64, StoreFault>;
    /// Stores commands durably, in order; those at or below the mark are skipped. Returns the new mark.
    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault>;
    /// The next live values that somebody watches, at most so many bytes of bodies, and none once there are no more. Asked
    /// when the journal was written, while the cloud takes them; what is not asked for in time is dropped behind this and
    /// counted. Must not block.
    fn live(&self, max_bytes: usize) -> Option<Live> {
        let _ = max_bytes;
        None
    }
    /// Live values were dropped on the way to the line: of this tail so many.
    fn live_lost(&self, tail: &str, values: u64) {
        let _ = (tail, values);
    }
    /// The connection has ended, and with it whatever was watched over it.
    fn live_over(&self) {}
}

/// Why rows are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// In plain words, for the cloud's record.
    pub reason: String,
    /// The row after them tells what they have become. A cloud of release 0.1, which knows no gaps, then gets a row of the kind
    /// [`Skip::ABSENT`] for each; for others it has no way to be told.
    pub told: bool,
}

/// Rows that will never come: the edge does not have them any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// Why, in plain words.
    pub reason: String,
}

impl Skip {
    /// The kind of the row that stands in the cloud's journal for them, under the last one's number.
    pub const KIND: &'static str = "gap";
    /// The kind of the row that goes to a cloud of release 0.1 for each of them.
    pub const ABSENT: &'static str = "absent";
}

/// How the cloud answers a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// Durable up to this mark.
    Upto(u64),
    /// The batch starts after a hole: send again from after this mark.
    Gap(u64),
    /// The database is busy: nothing was stored, or it is not known (the same is then sent again). The lane is durable up to
    /// `mark` at least, and may go on after `pause`.
    Busy {
        /// What is durable.
        mark: u64,
        /// How long the lane is to rest.
        pause: std::time::Duration,
    },
}

/// Why the cloud turns a gateway away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The identity is not enrolled here, or was revoked.
    #[error("gateway `{0}` is not enrolled here or was revoked")]
    Unknown(String),
    /// The cloud has more of this epoch than the gateway: a restored or cloned disk.
    #[error(
        "lane {lane}: the cloud is at {cloud}, the gateway only at {edge}: its disk was restored or cloned; where no other box has its name, stop it, and run `engawa sync reconcile` on it: it then begins a new journal"
    )]
    EdgeBehind {
        /// Which lane.
        lane: u8,
        /// The cloud's mark.
        cloud: u64,
        /// The gateway's head.
        edge: u64,
    },
    /// The store did not answer; try again later.
    #[error("the cloud's store is not available")]
    Unavailable,
    /// A claim code that is unknown, used, or expired.
    #[error("the claim code is unknown, used, or expired")]
    BadClaim,
    /// A certificate request that can't be signed.
    #[error("the certificate request can't be signed: {0}")]
    BadRequest(String),
    /// The claim code is of another property than the gateway.
    #[error(
        "the claim code is of property `{claimed}`, the gateway is meant for `{wanted}`; the code is not used up"
    )]
    OtherProperty {
        /// The gateway's.
        wanted: String,
        /// The code's.
        claimed: String,
    },
    /// What the certificate, the region or the turn says against it.
    #[error(transparent)]
    Trust(#[from] crate::trust::Distrust),
}

/// What a newly enrolled gateway gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The gateway's identity, as in the certificate's SAN URI `engawa://gateway/<id>`.
    pub gateway: String,
    /// The client certificate, PEM.
    pub certificate_pem: String,
    /// The private CA, PEM.
    pub ca_pem: String,
}

/// An answer of the cloud's store that may take its time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The cloud's end. `gateway` always comes from the client certificate, never from a payload.
pub trait CloudStore: Send + Sync + 'static {
    /// A gateway has connected with this epoch and these heads (lane, head): its marks (lane, mark), or why not.
    fn hello<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        heads: &'a [(u8, u64)],
    ) -> Later<'a, Result<Vec<(u8, u64)>, Refusal>>;
    /// The marks of an epoch that has ended (lane, mark), without any effect: what came of it before the gateway's disk
    /// was put back.
    fn marks_of<'a>(&'a self, gateway: &'a str, epoch: u64) -> Later<'a, Result<Vec<(u8, u64)>, StoreFault>>;
    /// Stores rows exactly once: rows and mark in one transaction; rows at or below the mark are skipped.
    fn ingest<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Later<'a, Result<Ingested, StoreFault>>;
    /// Stores `rows` as [`Self::ingest`] does, records that those of `skip`, which follow, will never come, and why, and moves the
    /// mark over all of them, in one transaction. A gap at or below the mark changes nothing; one behind a hole is
    /// [`Ingested::Gap`].
    fn skip<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
        skip: Skip,
    ) -> Later<'a, Result<Ingested, StoreFault>>;
    /// Commands for `gateway` after `after`, in order, at most `max`.
    fn commands<'a>(
        &'a self,
        gateway: &'a str,
        after: u64,
        max: usize,
    ) -> Later<'a, Result<Vec<Row>, StoreFault>>;
    /// The gateway has the commands durably up to `mark`.
    fn commands_acknowledged<'a>(&'a self, gateway: &'a str, mark: u64) -> Later<'a, Result<(), StoreFault>>;
    /// Redeems a one-time claim (its secret as it was shown) for a certificate over the CSR (PEM).
    fn enrol<'a>(&'a self, claim_secret: &'a str, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>>;
    /// True while the gateway may talk.
    fn admitted<'a>(&'a self, gateway: &'a str) -> Later<'a, bool>;
    /// The gateway was seen now (`true`: connected, `false`: gone), from this address.
    fn seen<'a>(&'a self, gateway: &'a str, connected: bool, address: &'a str) -> Later<'a, ()>;
    /// A gateway comes for a session with this certificate, and with its turn where its release has turns: the number
    /// of the turn that is noted for it (0: none), or why it may not.
    fn greet<'a>(&'a self, peer: &'a Peer, turn: Option<Turn>) -> Later<'a, Result<u64, Refusal>> {
        Box::pin(async move {
            let _ = turn;
            admitted(self, peer).await.map(|()| 0)
        })
    }
    /// May the session that began with this certificate and this turn go on?
    fn standing<'a>(&'a self, peer: &'a Peer, turn: Option<Turn>) -> Later<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let _ = turn;
            admitted(self, peer).await
        })
    }
    /// The same for all sessions of this cloud, in their order; asked every few seconds. A store that can answer for
    /// many at once should.
    fn standings<'a>(&'a self, sessions: &'a [Session]) -> Later<'a, Vec<Result<(), Refusal>>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(sessions.len());
            for session in sessions {
                all.push(self.standing(&session.peer, session.turn).await);
            }
            all
        })
    }
    /// How the gateway's certificate stands: whether it is to be renewed, and which authorities are trusted.
    fn certificate<'a>(&'a self, peer: &'a Peer) -> Later<'a, Result<Standing, Refusal>> {
        no_renewal(peer)
    }
    /// Signs another certificate for the gateway, over the new key of the CSR (PEM).
    fn renew<'a>(&'a self, peer: &'a Peer, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        let _ = csr_pem;
        no_renewal(peer)
    }
    /// The gateway has shown that it works with this certificate.
    fn proven<'a>(&'a self, peer: &'a Peer) -> Later<'a, Result<(), Refusal>> {
        no_renewal(peer)
    }
    /// How the cloud stands to a gateway's journal: for whoever is about to have it begin anew. Changes nothing.
    fn sync_standing<'a>(
        &'a self,
        _peer: &'a Peer,
        _ask: &'a AskSync,
    ) -> Later<'a, Result<SyncStanding, Refusal>> {
        let refusal = Refusal::BadRequest("this cloud does not tell how it stands to a journal".to_owned());
        Box::pin(std::future::ready(Err(refusal)))
    }
    /// What one gateway may send, and how often it may connect.
    fn limits(&self) -> Later<'_, Limits> {
        Box::pin(std::future::ready(Limits::default()))
    }
    /// Whether anybody here can watch live values.
    fn takes_live(&self) -> bool {
        false
    }
    /// Live values of a gateway, to be passed on to whoever watches. Must not block or keep them.
    fn live(&self, gateway: &str, live: Live) {
        let _ = (gateway, live);
    }
    /// Whether [`Self::update_told`] and [`Self::fetch`] are answered.
    fn takes_updates(&self) -> bool {
        false
    }
    /// A gateway tells what it runs and asks what it is meant to run.
    fn update_told<'a>(
        &'a self,
        gateway: &'a str,
        ask: &'a UpdateAsk,
    ) -> Later<'a, Result<UpdateTold, StoreFault>> {
        let _ = (gateway, ask);
        Box::pin(std::future::ready(Ok(UpdateTold::default())))
    }
    /// This machine's time, seconds since 1970, as a gateway may be told it; 0: its clock is not to be believed.
    fn time_told(&self, now_s: i64) -> Later<'_, i64> {
        Box::pin(std::future::ready(now_s))
    }
    /// A gateway asks for bytes of a file of the repository of releases. The name comes from the gateway, unchecked.
    fn fetch<'a>(&'a self, gateway: &'a str, ask: &'a FetchAsk) -> Later<'a, Result<FetchPiece, StoreFault>> {
        let _ = (gateway, ask);
        Box::pin(std::future::ready(Ok(FetchPiece { missing: true, ..FetchPiece::default() })))
    }
    /// The regions and their addresses, as the authority has signed them.
    fn regions(&self) -> Later<'_, Option<Regions>> {
        Box::pin(std::future::ready(None))
    }
    /// The property of the gateway that a claim names; `None` where there is no such claim, or nobody knows.
    fn claimed_property<'a>(&'a self, claim_secret: &'a str) -> Later<'a, Option<String>> {
        let _ = claim_secret;
        Box::pin(std::future::ready(None))
    }
}

async fn admitted<S: CloudStore + ?Sized>(store: &S, peer: &Peer) -> Result<(), Refusal> {
    if store.admitted(&peer.gateway).await { Ok(()) } else { Err(Refusal::Unknown(peer.gateway.clone())) }
}

fn no_renewal<'a, T: Send + 'a>(_peer: &'a Peer) -> Later<'a, Result<T, Refusal>> {
    let refusal = Refusal::BadRequest("this cloud keeps no record of certificates".to_owned());
    Box::pin(std::future::ready(Err(refusal)))
}
