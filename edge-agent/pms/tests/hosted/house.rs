//! The house behind a shell: the real model, with its intents going back, and a clock that runs faster.

use engawa_model::{
    Action, Change, ClimateDefaults, Command, CommandKey, CommandOutcome, CommandSource, Currency, Fact,
    LinkId, Money, Observation, ObservationSink, PMS_LINK, PostingState, Property, PropertyId, PropertySpec,
    RoomId, RoomSpec, SinkFuture, Timestamp,
};
use engawa_pms::hosted::config::{OfHouse, Secrets};
use engawa_pms::hosted::{Doubted, Guests, HostedConfig, Machine, Posting, Resume, Shell, Trust};
use engawa_pms::tcp::Clock;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const ZONE: &str = "Europe/Berlin";

/// A clock that runs so many times faster than ours.
#[derive(Clone)]
pub(crate) struct Fast {
    began: Instant,
    start: Timestamp,
    times: u32,
}

impl Fast {
    pub(crate) fn new(times: u32) -> Self {
        Self { began: Instant::now(), start: "2026-07-15T10:00:00Z".parse().unwrap(), times }
    }
}

impl Fast {
    /// When it began.
    pub(crate) fn start_time(&self) -> Timestamp {
        self.start
    }
}

impl Clock for Fast {
    fn now(&self) -> Timestamp {
        let passed = self.began.elapsed() * self.times;
        self.start.checked_add(SignedDuration::try_from(passed).unwrap()).unwrap()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        Box::pin(tokio::time::sleep(left / self.times))
    }
}

struct Inner {
    property: Mutex<Property>,
    changes: Mutex<Vec<Change>>,
    intents: Mutex<mpsc::Sender<engawa_model::Intent>>,
}

impl Inner {
    fn apply(&self, observation: &Observation) {
        let applied = self.property.lock().unwrap().apply(observation);
        self.changes.lock().unwrap().extend(applied.changes);
        let intents = self.intents.lock().unwrap().clone();
        for intent in applied.intents {
            // A shell that has gone asks again when it comes back.
            let _ = intents.try_send(intent);
        }
    }
}

struct Sink(Arc<Inner>);

impl ObservationSink for Sink {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        Box::pin(async move {
            self.0.apply(&observation);
            Ok(())
        })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

pub(crate) struct House {
    inner: Arc<Inner>,
    pub(crate) clock: Fast,
    config: HostedConfig,
    secret: String,
    ca: Option<PathBuf>,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

pub(crate) fn rooms(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("{}", 100 + n)).collect()
}

impl House {
    pub(crate) fn new(config: HostedConfig, secret: &str, rooms: &[String], times: u32) -> Self {
        let climate: ClimateDefaults = serde_json::from_value(serde_json::json!({
            "comfort_c": 22.0, "eco_heating_c": 17.0, "eco_cooling_c": 28.0
        }))
        .unwrap();
        let spec = PropertySpec {
            id: PropertyId::from("grand"),
            zone: ZONE.to_owned(),
            currency: Currency::new("EUR").unwrap(),
            climate,
            rooms: rooms.iter().map(|id| RoomSpec { id: RoomId::from(id.as_str()) }).collect(),
            devices: Vec::new(),
            resync_every_s: 3600,
            order_ttl_s: 3600,
        };
        let inner = Inner {
            property: Mutex::new(Property::new(spec)),
            changes: Mutex::new(Vec::new()),
            intents: Mutex::new(mpsc::channel(1).0),
        };
        Self {
            inner: Arc::new(inner),
            clock: Fast::new(times),
            config,
            secret: secret.to_owned(),
            ca: None,
            running: None,
        }
    }

    pub(crate) fn trusting(mut self, ca: PathBuf) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Starts the shell, as the agent does.
    pub(crate) fn start(&mut self) {
        let (sender, intents) = mpsc::channel(256);
        *self.inner.intents.lock().unwrap() = sender;
        let zone = TimeZone::get(ZONE).unwrap();
        let (guests, resume) = self.look(|property| {
            let stays = property.stays().values().map(|stay| (stay.id.clone(), stay.room.clone()));
            let doubtful = property.postings().values().filter(|one| one.state == PostingState::Doubtful);
            let doubtful = doubtful.map(|one| Doubted {
                posting: Posting {
                    number: one.number,
                    ident: Machine::ident_of("grand-1", one.number),
                    room: one.room.clone(),
                    stay: one.stay.clone(),
                    amount: one.amount,
                    text: one.text.clone(),
                    outlet: one.outlet.clone(),
                },
                since: one.asked,
            });
            let note = property.link_notes().get(&LinkId::from(PMS_LINK)).cloned();
            (Guests::remembered(stays), Resume { note, doubtful: doubtful.collect() })
        });
        let of_house = OfHouse {
            zone: zone.clone(),
            zone_name: ZONE.to_owned(),
            currency: Currency::new("EUR").unwrap(),
            guests,
        };
        let system = self.config.system(of_house, &Secrets::of(&self.secret)).unwrap();
        let pace = self.config.pace(zone);
        let shell = Shell {
            machine: Machine::new(self.clock.now(), system, pace, "grand-1", 7, resume),
            trust: Trust { ca_file: self.ca.clone(), insecure_loopback: self.ca.is_none() },
            answer: Duration::from_millis(1500),
            reconnect_max_s: 10,
            sink: Arc::new(Sink(Arc::clone(&self.inner))),
            intents,
            clock: self.clock.clone(),
            seed: 7,
        };
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let task = tokio::spawn(async move { shell.run(stop).await.unwrap() });
        self.running = Some((cancel, task));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((cancel, task)) = self.running.take() {
            cancel.cancel();
            task.await.unwrap();
        }
    }

    /// The process dies: nothing is said, and the model starts as after a power cut.
    pub(crate) fn kill(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
        }
        self.tell(Fact::Started { clean: false });
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Property) -> T) -> T {
        look(&self.inner.property.lock().unwrap())
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        self.inner.changes.lock().unwrap().clone()
    }

    pub(crate) fn tell(&self, fact: Fact) {
        self.inner.apply(&Observation::new(self.clock.now(), fact));
    }

    pub(crate) fn ask(&self, key: &str, action: Action) {
        let command =
            Command { key: CommandKey::from(key), source: CommandSource::Local, action, expires: None };
        self.tell(Fact::Asked { command });
    }

    pub(crate) fn charge(&self, key: &str, room: &str, minor: i64) {
        let amount = Money { minor, currency: Currency::new("EUR").unwrap() };
        let (room, text) = (RoomId::from(room), "Laundry".to_owned());
        self.ask(key, Action::Post { room, stay: None, amount, text, outlet: None });
    }

    pub(crate) fn outcome(&self, key: &str) -> Option<CommandOutcome> {
        self.look(|property| {
            let record = property.commands().get(&CommandKey::from(key))?;
            record.ended.clone().map(|(_, outcome)| outcome)
        })
    }

    pub(crate) fn link(&self) -> (bool, String) {
        self.look(|property| {
            let link = property.links().get(&LinkId::from(PMS_LINK));
            link.map_or((false, String::new()), |link| (link.up, link.detail.clone()))
        })
    }

    /// `room name` of each stay.
    pub(crate) fn stays(&self) -> Vec<String> {
        self.look(|property| {
            let all = property.stays().values();
            let name = |stay: &engawa_model::Stay| stay.name.as_ref().map(|name| name.reveal().clone());
            let mut all: Vec<String> =
                all.map(|stay| format!("{} {}", stay.room, name(stay).unwrap_or_default())).collect();
            all.sort();
            all
        })
    }

    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(began.elapsed() < DEADLINE, "waited in vain: {what}; link {:?}", self.link());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn up(&self) {
        self.until("the link is up", |house| house.link().0.then_some(())).await;
    }

    pub(crate) async fn down(&self) -> String {
        self.until("the link is down", |house| {
            let (up, detail) = house.link();
            (!up && !detail.is_empty()).then_some(detail)
        })
        .await
    }
}
