//! Two small stores in memory, and the ends around them.
#![allow(unreachable_pub, dead_code, reason = "a module of several tests")]

use engawa_link::pki::CertificateAuthority;
use engawa_link::{BoundCloud, CloudEnd, EdgeLink, Identity, Line, LinkError, LinkState, Tuning, UpdatePort};
use engawa_protocol::live::{Live, LiveRow};
use engawa_protocol::ports::{
    CloudStore, EdgeStore, Enrolled, Ingested, Later, Refusal, Row, Skip, StoreFault,
};
use engawa_protocol::update::{FetchAsk, FetchPiece, UpdateAsk, UpdateTold};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const LANES: [u8; 3] = [1, 3, 5];

#[derive(Default)]
pub struct Journal {
    pub lanes: Mutex<BTreeMap<u8, Vec<Row>>>,
    pub told: Mutex<BTreeMap<u8, u64>>,
    pub inbox: Mutex<Vec<Row>>,
    /// Live values without end, while it is true.
    pub floods: AtomicBool,
    pub wake: Arc<Notify>,
}

impl Journal {
    pub fn write(&self, lane: u8, count: usize) {
        let mut lanes = self.lanes.lock().unwrap();
        let rows = lanes.entry(lane).or_default();
        for _ in 0..count {
            let seq = rows.len() as u64 + 1;
            let body = format!(r#"{{"lane":{lane},"n":{seq},"text":"what a row may say"}}"#).into_bytes();
            rows.push(Row { seq, at_micros: 1, kind: "test".into(), body });
        }
        drop(lanes);
        self.wake.notify_one();
    }
}

impl EdgeStore for Journal {
    fn epoch(&self) -> u64 {
        7
    }

    fn lanes(&self) -> Vec<u8> {
        LANES.to_vec()
    }

    fn read(&self, lane: u8, after: u64, max_rows: usize, max_bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let lanes = self.lanes.lock().unwrap();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in lanes.get(&lane).into_iter().flatten().skip(usize::try_from(after).unwrap()).take(max_rows)
        {
            bytes += row.body.len();
            if bytes > max_bytes && !rows.is_empty() {
                break;
            }
            rows.push(row.clone());
        }
        Ok(rows)
    }

    fn head(&self, lane: u8) -> Result<u64, StoreFault> {
        Ok(self.lanes.lock().unwrap().get(&lane).map_or(0, |rows| rows.len() as u64))
    }

    fn acknowledged(&self, lane: u8, mark: u64) -> Result<(), StoreFault> {
        let mut told = self.told.lock().unwrap();
        let before = told.insert(lane, mark).unwrap_or(0);
        assert!(before <= mark, "lane {lane}: the mark went back from {before} to {mark}");
        Ok(())
    }

    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(self.inbox.lock().unwrap().last().map_or(0, |row| row.seq))
    }

    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault> {
        let mut inbox = self.inbox.lock().unwrap();
        for row in commands {
            if row.seq > inbox.last().map_or(0, |row| row.seq) {
                inbox.push(row);
            }
        }
        Ok(inbox.last().map_or(0, |row| row.seq))
    }

    fn live(&self, max_bytes: usize) -> Option<Live> {
        let rows = vec![LiveRow { at_micros: 1, body: vec![b'7'; max_bytes] }];
        let live = Live { tail: "t".into(), rows, dropped: 0, ended: None };
        self.floods.load(Ordering::SeqCst).then_some(live)
    }
}

pub struct Cloud {
    pub authority: CertificateAuthority,
    pub rows: Mutex<BTreeMap<(String, u64, u8), Vec<Row>>>,
    pub commands: Mutex<Vec<Row>>,
    pub acked: Mutex<u64>,
    pub revoked: Mutex<BTreeSet<String>>,
    pub claims: Mutex<BTreeMap<String, String>>,
    pub changed: watch::Sender<u64>,
    /// Live values that came, frames.
    pub watched: AtomicUsize,
    /// Files of releases by name; `None`: a cloud that knows nothing of updates.
    pub releases: Mutex<Option<BTreeMap<String, Vec<u8>>>>,
    /// What gateways have told of themselves.
    pub asks: Mutex<Vec<UpdateAsk>>,
    /// Pieces of releases that were asked for.
    pub pieces: AtomicUsize,
    /// Answers about releases wait for this.
    pub stuck: watch::Sender<bool>,
}

impl Cloud {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            authority: CertificateAuthority::create("test").unwrap(),
            rows: Mutex::default(),
            commands: Mutex::default(),
            acked: Mutex::default(),
            revoked: Mutex::default(),
            claims: Mutex::default(),
            changed: watch::Sender::new(0),
            watched: AtomicUsize::new(0),
            releases: Mutex::default(),
            asks: Mutex::default(),
            pieces: AtomicUsize::new(0),
            stuck: watch::Sender::new(false),
        })
    }

    pub fn send(&self, text: &str) {
        let mut commands = self.commands.lock().unwrap();
        let seq = commands.len() as u64 + 1;
        commands.push(Row { seq, at_micros: 1, kind: "test".into(), body: text.as_bytes().to_vec() });
        drop(commands);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Opens a listening end; what can't be had twice is made from files.
    pub async fn end(self: &Arc<Self>, listen: SocketAddr, tuning: Tuning) -> BoundCloud {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            // The socket of an end that was aborted is freed a moment later.
            match self.try_end(listen, tuning) {
                Ok(bound) => return bound,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    }

    fn try_end(self: &Arc<Self>, listen: SocketAddr, tuning: Tuning) -> Result<BoundCloud, LinkError> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), "engawa://eu-1/cloud".to_owned()];
        let (server_certificate_pem, server_key_pem) = self.authority.server_certificate(&names).unwrap();
        let dir = tempfile::tempdir().unwrap();
        self.authority.save(dir.path()).unwrap();
        let end = CloudEnd {
            listen,
            listen_tcp: None,
            authority: CertificateAuthority::load(dir.path()).unwrap(),
            server_certificate_pem,
            server_key_pem,
            store: Arc::clone(self) as Arc<dyn CloudStore>,
            commands: self.changed.subscribe(),
            tuning,
        };
        end.bind()
    }
}

impl CloudStore for Cloud {
    fn hello<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        heads: &'a [(u8, u64)],
    ) -> Later<'a, Result<Vec<(u8, u64)>, Refusal>> {
        let rows = self.rows.lock().unwrap();
        let marks = heads.iter().map(|&(lane, edge)| {
            let cloud = rows.get(&(gateway.to_owned(), epoch, lane)).map_or(0, |rows| rows.len() as u64);
            if cloud > edge { Err(Refusal::EdgeBehind { lane, cloud, edge }) } else { Ok((lane, cloud)) }
        });
        now(marks.collect())
    }

    fn marks_of<'a>(&'a self, gateway: &'a str, epoch: u64) -> Later<'a, Result<Vec<(u8, u64)>, StoreFault>> {
        let rows = self.rows.lock().unwrap();
        let of_epoch = rows.iter().filter(|((of, life, _), _)| of == gateway && *life == epoch);
        now(Ok(of_epoch.map(|((_, _, lane), rows)| (*lane, rows.len() as u64)).collect()))
    }

    fn ingest<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        let mut all = self.rows.lock().unwrap();
        let stored = all.entry((gateway.to_owned(), epoch, lane)).or_default();
        for row in rows {
            let mark = stored.len() as u64;
            if row.seq > mark + 1 {
                return now(Ok(Ingested::Gap(mark)));
            }
            if row.seq == mark + 1 {
                stored.push(row);
            }
        }
        now(Ok(Ingested::Upto(stored.len() as u64)))
    }

    fn skip<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
        skip: Skip,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        // The lock is one transaction here.
        let mut all = self.rows.lock().unwrap();
        let stored = all.entry((gateway.to_owned(), epoch, lane)).or_default();
        for row in rows {
            if row.seq == stored.len() as u64 + 1 {
                stored.push(row);
            }
        }
        let mark = stored.len() as u64;
        if skip.from > mark + 1 {
            return now(Ok(Ingested::Gap(mark)));
        }
        // One row for each that is gone, so that the length stays the mark.
        for seq in mark + 1..=skip.to {
            let body = skip.reason.clone().into_bytes();
            stored.push(Row { seq, at_micros: 0, kind: Skip::KIND.into(), body });
        }
        now(Ok(Ingested::Upto(stored.len() as u64)))
    }

    fn commands<'a>(
        &'a self,
        _gateway: &'a str,
        after: u64,
        max: usize,
    ) -> Later<'a, Result<Vec<Row>, StoreFault>> {
        let commands = self.commands.lock().unwrap();
        now(Ok(commands.iter().filter(|row| row.seq > after).take(max).cloned().collect()))
    }

    fn commands_acknowledged<'a>(
        &'a self,
        _gateway: &'a str,
        mark: u64,
    ) -> Later<'a, Result<(), StoreFault>> {
        let mut acked = self.acked.lock().unwrap();
        *acked = (*acked).max(mark);
        now(Ok(()))
    }

    fn enrol<'a>(&'a self, claim_secret: &'a str, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        let Some(gateway) = self.claims.lock().unwrap().remove(claim_secret) else {
            return now(Err(Refusal::BadClaim));
        };
        let from = SystemTime::now();
        let certificate_pem = self
            .authority
            .sign_gateway(&gateway, csr_pem, from, from + Duration::from_secs(3600))
            .map_err(|error| Refusal::BadRequest(error.to_string()));
        now(certificate_pem.map(|certificate_pem| Enrolled {
            gateway,
            certificate_pem,
            ca_pem: self.authority.pem().to_owned(),
        }))
    }

    fn admitted<'a>(&'a self, gateway: &'a str) -> Later<'a, bool> {
        now(!self.revoked.lock().unwrap().contains(gateway))
    }

    fn takes_live(&self) -> bool {
        true
    }

    fn takes_updates(&self) -> bool {
        self.releases.lock().unwrap().is_some()
    }

    fn update_told<'a>(
        &'a self,
        gateway: &'a str,
        ask: &'a UpdateAsk,
    ) -> Later<'a, Result<UpdateTold, StoreFault>> {
        self.asks.lock().unwrap().push(ask.clone());
        if ask.state == "fault" {
            return now(Err(StoreFault { context: "the database is away".into(), source: None }));
        }
        now(Ok(UpdateTold {
            rollout: format!("for {gateway}"),
            version: "2.0.0".into(),
            ..UpdateTold::default()
        }))
    }

    fn fetch<'a>(
        &'a self,
        _gateway: &'a str,
        ask: &'a FetchAsk,
    ) -> Later<'a, Result<FetchPiece, StoreFault>> {
        self.pieces.fetch_add(1, Ordering::SeqCst);
        let mut stuck = self.stuck.subscribe();
        Box::pin(async move {
            let _ = stuck.wait_for(|stuck| !stuck).await;
            let releases = self.releases.lock().unwrap();
            let Some(file) = releases.as_ref().and_then(|files| files.get(&ask.name)) else {
                return Ok(FetchPiece { missing: true, ..FetchPiece::default() });
            };
            let from = usize::try_from(ask.offset).unwrap().min(file.len());
            let to = (from + ask.most as usize).min(file.len());
            let bytes = file[from..to].to_vec().into();
            Ok(FetchPiece { total: file.len() as u64, bytes, ..FetchPiece::default() })
        })
    }

    fn live(&self, _gateway: &str, _live: Live) {
        self.watched.fetch_add(1, Ordering::SeqCst);
    }

    fn seen<'a>(&'a self, _gateway: &'a str, _connected: bool, _address: &'a str) -> Later<'a, ()> {
        now(())
    }
}

/// An answer that is there at once.
fn now<'a, T: Send + 'a>(answer: T) -> Later<'a, T> {
    Box::pin(std::future::ready(answer))
}

pub fn quick() -> Tuning {
    Tuning {
        keep_alive: Duration::from_millis(200),
        idle: Duration::from_secs(1),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
        handshake: Duration::from_secs(2),
        admission: Duration::from_millis(50),
        ..Tuning::default()
    }
}

/// A link that runs until its token is cancelled.
pub struct Link {
    pub cancel: CancellationToken,
    pub state: watch::Receiver<LinkState>,
    pub task: JoinHandle<()>,
}

pub fn link(cloud: SocketAddr, identity: Identity, journal: &Arc<Journal>, seed: u64) -> Link {
    link_by(cloud.to_string().into(), identity, journal, seed)
}

pub fn link_by(cloud: Line, identity: Identity, journal: &Arc<Journal>, seed: u64) -> Link {
    link_with(cloud, identity, journal, seed, None)
}

pub fn link_with(
    cloud: Line,
    identity: Identity,
    journal: &Arc<Journal>,
    seed: u64,
    updates: Option<UpdatePort>,
) -> Link {
    let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
    let cancel = CancellationToken::new();
    let edge = EdgeLink {
        cloud,
        identity,
        store: Arc::clone(journal) as Arc<dyn EdgeStore>,
        wake: Arc::clone(&journal.wake),
        state: sender,
        updates,
        tuning: quick(),
        seed,
    };
    let task = tokio::spawn(edge.run(cancel.clone()));
    Link { cancel, state, task }
}

/// An identity that `authority` signs, through the enrolment that a gateway uses.
pub async fn enrolled(cloud: &Arc<Cloud>, address: SocketAddr, gateway: &str) -> Identity {
    let code = engawa_link::ClaimCode::new(cloud.authority.pin()).unwrap();
    cloud.claims.lock().unwrap().insert(code.secret.clone(), gateway.to_owned());
    let dir = tempfile::tempdir().unwrap();
    engawa_link::enroll(&address.to_string(), &code, dir.path()).await.unwrap()
}

/// Waits until the link's state is one that `wanted` takes.
pub async fn until_state(link: &mut Link, wanted: impl Fn(&LinkState) -> bool) -> LinkState {
    let waiting = link.state.wait_for(|state| wanted(state));
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the state in time").unwrap().clone()
}

/// Waits until `holds`.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
