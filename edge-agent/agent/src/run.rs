//! `engawa run`: puts the parts together, and takes them apart in the right order.

use crate::config::{CloudConfig, Config, Loaded};
use crate::desk::{self, CLOUD_LINK, Called, Desk};
use crate::hosted;
use crate::house::{Door, House, Shared, link_lost};
use crate::journal::{Events, Journal};
use crate::listeners::Listeners;
use crate::logging::Logging;
use crate::outlets::Outlets;
use crate::publishing::Publishing;
use crate::recording::Recording;
use crate::secrets;
use crate::service;
use crate::supervisor::Supervisor;
use crate::updates::{self, Updates, Watch, Wishes};
use crate::upkeep::bundle::Diagnosis;
use crate::upkeep::reload::Reload;
use crate::upkeep::{self, Caretaker};
use anyhow::{Context, bail};
use engawa_field::modbus::{Bus, BusConfig, BusParts, ModbusDevice, Tally};
use engawa_field::mqtt::home_assistant::HomeAssistant;
use engawa_field::mqtt::sparkplug::{
    self, BdSeqFile, SPARKPLUG_LINK, Sparkplug, SparkplugConfig, SparkplugParts,
};
use engawa_field::mqtt::{
    self, BrokerConfig, EventStore, MQTT_LINK, MqttConfig, MqttDevice, MqttParts, User, house,
};
use engawa_link::{EdgeLink, Identity, IdentityError, LinkState, Tuning, UpdateLine, UpdatePort};
use engawa_model::{EpochReason, LinkId, ObservationSink, Property, PropertyId, Timestamp};
use engawa_pms::link::link_id;
use engawa_pms::reservation::StayKey;
use engawa_pms::shell::{Shell, SystemClock};
use engawa_store::vault::{AuditTrail, Register, VaultKey};
use engawa_store::{DatabaseKey, Store};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Publications that may wait for the broker; past it the whole picture is published again.
const PUBLICATIONS: usize = 1024;
/// How long drivers and links may take to say good-bye.
const GOODBYE: Duration = Duration::from_secs(8);
/// How often a gateway that is not enrolled looks whether it is now.
const ENROLLED_YET: Duration = Duration::from_secs(2);
/// Threads for work that blocks on the disk: the store's readers.
const BLOCKING_THREADS: usize = 8;

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(loaded: &Loaded) -> anyhow::Result<()> {
    let logging = Logging::start(&loaded.config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(loaded, logging));
    // A driver that hangs in a blocking call must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(loaded: &Loaded, logging: Logging) -> anyhow::Result<()> {
    let (mut stop, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    // What a supervisor holds for us: taken before anything else could take its numbers.
    let listeners = Arc::new(Listeners::take());
    let config = &loaded.config;
    std::fs::create_dir_all(&config.store.dir)
        .with_context(|| format!("making the folder {}", config.store.dir.display()))?;
    let key = DatabaseKey::load_or_create_for(&loaded.key_file(), &config.store.dir)?;
    let vault_key = VaultKey::load_or_create_for(&loaded.vault_key_file(), &config.store.dir)
        .context("the guest vault's key")?;
    // On trial no step is taken that bars the way back to the release before.
    let open = if updates::on_trial() { Store::open_on_trial } else { Store::open_with };
    let migrating = service::prolong_start();
    let mut store = open(&config.store.dir, &key, &vault_key, config.journal.limits())?;
    drop(migrating);
    let mut property = store.load(loaded.property_spec())??;
    let (pms_links, pms_rooms) = config.pms_of_rooms();
    property.serve(pms_links, pms_rooms);
    property.govern(loaded.policy());
    property.ring_with(config.wake_up.spec());
    property.guard_lists(config.list_guard);
    property.speak(&config.property.language);
    property.welcome_to(&config.property.name);
    property.set_defaults(config.settings());
    tell_of_the_vault(&store)?;
    tell_of_the_journal(&store);
    if config.privacy.register {
        let key = Register::key_for(&loaded.register_key_file(), &config.store.dir)
            .context("the register's key")?;
        store.keep_register(Register::open(&config.store.dir, &key)?);
    }
    let stays = property.stays().len();
    tracing::info!(property = %config.property.id, stays, "the house is open");

    let mut outlets = Outlets::default();
    let caretaker = outlets.add_caretaker();
    let pms: Vec<_> = config
        .pms_links()
        .into_iter()
        .map(|mut pms| {
            pms.stay_key = StayKey::new(vault_key.stays());
            (outlets.add_pms(link_id(pms.name.as_deref())), pms)
        })
        .collect();
    let hosted =
        hosted::Setup::of(loaded, store.epoch()).map(|hosted| (outlets.add_pms(link_id(None)), hosted));
    let buses: Vec<_> = loaded
        .buses()
        .into_iter()
        .map(|(bus, devices)| {
            let outlet = outlets.add(&bus.id, devices.iter().map(|device| device.id.clone()));
            (outlet, bus, devices)
        })
        .collect();
    let brokers: Vec<_> = brokers(loaded)
        .into_iter()
        .map(|at| {
            let outlet = outlets.add(at.link.as_str(), at.devices.iter().map(|device| device.id.clone()));
            (outlet, at)
        })
        .collect();

    let closing = CancellationToken::new();
    let epoch = store.epoch();
    let published_at = brokers
        .iter()
        .filter(|(_, at)| at.publish && at.config.has_topics())
        .map(|(_, at)| at.link.clone())
        .collect();
    let publishing = Publishing::at(published_at);
    let (mut house, door, shared) = House::new(property, store, outlets, publishing, closing.clone());
    if config.rules.record {
        let (days, most) = (config.rules.record_days, u64::from(config.rules.record_mb) << 20);
        let zone = TimeZone::get(&config.property.zone).unwrap_or(TimeZone::UTC);
        match Recording::start(loaded.days_dir(), zone, days, most) {
            Ok(recording) => house.record(recording.under(loaded.in_force())),
            // A house that can't be recorded is still a house.
            Err(error) => tracing::warn!(%error, "no day can be recorded"),
        }
    }
    let audit = AuditTrail::open(&config.store.dir, &key)?;
    let mut house = tokio::spawn(house.keeping_register(&config.privacy).run());
    let journal = Arc::new(Journal::new(epoch, &config.store.dir, key, door.clone(), Arc::clone(&shared)));
    let supervisor = Supervisor::default();
    let parts = Parts { supervisor: supervisor.clone(), door, shared, journal };

    for (outlet, pms) in pms {
        parts.start_pms(outlet, pms, &config.property.zone);
    }
    if let Some((outlet, hosted)) = hosted {
        parts.start_hosted(outlet, hosted);
    }
    let tallies: Vec<Arc<Tally>> =
        buses.into_iter().map(|(outlet, bus, devices)| parts.start_bus(outlet, bus, devices)).collect();
    let home = loaded.home_assistant(links(loaded)).map(Arc::new);
    for (outlet, broker) in brokers {
        // Home Assistant is at the main broker.
        let home = home.clone().filter(|_| broker.link.as_str() == MQTT_LINK);
        parts.start_mqtt(outlet, broker, &config.property.id, home);
    }
    if let Some((sparkplug, mqtt)) = config.sparkplug.clone().zip(sparkplug_broker(config)) {
        let numbers = config.store.dir.join("sparkplug-bdseq");
        parts.start_sparkplug(sparkplug, mqtt, &config.property.id, &numbers);
    }
    let rate = config.update.as_ref().map_or(0, |update| u64::from(update.rate_kib_s) << 10);
    let (line, port) = config.cloud.as_ref().map(|_| engawa_link::updates(rate)).unzip();
    let cloud = config.cloud.clone().map(|cloud| parts.start_cloud(cloud, port));
    let wishes = parts.start_updates(loaded, line, tallies.clone());
    let desk = parts.start_api(loaded, cloud, tallies, audit, logging.clone(), listeners);
    parts.start_caretaker(caretaker, desk, Reload::new(loaded, logging), wishes);
    let shared = Arc::clone(&parts.shared);
    supervisor.keep(
        "watchdog",
        move |cancel| service::feed_watchdog(Arc::clone(&shared), cancel),
        |_| std::future::ready(()),
    );
    service::ready(&format!("{} rooms", config.property.rooms.len()));

    let early = loop {
        tokio::select! {
            _ = stop.recv() => break None,
            _ = interrupt.recv() => break None,
            ended = &mut house => break Some(ended),
            _ = hangup.recv() => drop(tokio::spawn(upkeep::hung_up(parts.door.clone()))),
        }
    };
    service::stopping();
    // First the drivers and links, so that what they still say is stored; the house closes when they have gone.
    if !supervisor.stop(GOODBYE).await {
        tracing::warn!("some tasks did not end in time");
    }
    let by_itself = early.is_some();
    closing.cancel();
    let ended = match early {
        Some(ended) => ended,
        None => house.await,
    };
    ended.context("the house's task")?.context("the house can't go on")?;
    if by_itself {
        bail!("the house ended by itself");
    }
    tracing::info!("the house is closed");
    Ok(())
}

/// What whoever looks into the log should know of the journal.
fn tell_of_the_journal(store: &Store) {
    match store.began_anew() {
        None if store.is_put_back() => tracing::warn!(
            epoch = store.epoch(),
            "the database was put back, and the start that saw it ended before the house was told: it is told now"
        ),
        None => {}
        Some(EpochReason::Restored) => tracing::warn!(
            epoch = store.epoch(),
            "the database is not the one that was last in use here (a backup was put back, or engawa.stamp was lost): its \
             journal begins a new epoch, so that no number is used twice, and the PMS is asked who is in the house"
        ),
        Some(EpochReason::Moved) => tracing::warn!(
            epoch = store.epoch(),
            "the database was made on another machine: its journal begins a new epoch. Only one of the two may go on under \
             this gateway's identity"
        ),
    }
    if store.is_low() {
        tracing::error!("the disk is full: measured values are not kept until there is room");
    }
}

/// What whoever looks into the log should know of the guests' data.
fn tell_of_the_vault(store: &Store) -> anyhow::Result<()> {
    if store.adopted() > 0 {
        tracing::info!(
            guests = store.adopted(),
            "guests' data has moved from the house's documents into the vault"
        );
    }
    if store.was_restored() {
        tracing::warn!(
            "the database is not the one that was here last (a backup was put back, or vault-keys.db was lost): the PMS is \
             asked who is in the house"
        );
    }
    let dark = store.dark()?;
    if dark > 0 {
        tracing::warn!(
            guests = dark,
            "the data of guests in the house can't be read, because their keys are not in vault-keys.db (a backup was put \
             back, or that file was lost): the PMS's next list brings it back; `engawa pms resync` asks for one"
        );
    }
    Ok(())
}

/// The links that can be down while the broker is there to tell it.
fn links(loaded: &Loaded) -> Vec<LinkId> {
    let config = &loaded.config;
    let hosted = config.hosted.iter().map(|_| link_id(None).to_string());
    let pms = config.pms_tables().iter().map(|pms| link_id(pms.name.as_deref()).to_string()).chain(hosted);
    let buses = config.bus.iter().map(|bus| bus_link(&bus.id));
    let brokers = config.broker.iter().map(|broker| mqtt::link_to(&broker.id).to_string());
    let sparkplug = config.sparkplug.iter().map(|_| SPARKPLUG_LINK.to_owned());
    let cloud = config.cloud.iter().map(|_| CLOUD_LINK.to_owned());
    pms.chain(buses).chain(brokers).chain(sparkplug).chain(cloud).map(LinkId::new).collect()
}

/// The link of a bus.
pub(crate) fn bus_link(bus: &str) -> String {
    format!("modbus-{bus}")
}

/// A broker, and what of the house is there.
#[derive(Clone)]
struct AtBroker {
    config: MqttConfig,
    link: LinkId,
    publish: bool,
    devices: Vec<MqttDevice>,
    users: Vec<User>,
}

/// The main broker and the further ones.
fn brokers(loaded: &Loaded) -> Vec<AtBroker> {
    let main = AtBroker {
        config: loaded.config.mqtt.clone().unwrap_or_default(),
        link: LinkId::from(MQTT_LINK),
        publish: true,
        devices: loaded.mqtt_devices(None),
        users: secrets::users(loaded),
    };
    let further = loaded.config.broker.iter().map(|broker| AtBroker {
        config: broker.as_main(),
        link: mqtt::link_to(&broker.id),
        publish: broker.publish,
        devices: loaded.mqtt_devices(Some(&broker.id)),
        users: Vec::new(),
    });
    std::iter::once(main).chain(further).collect()
}

/// Where Sparkplug's hosts are.
fn sparkplug_broker(config: &Config) -> Option<MqttConfig> {
    match &config.sparkplug.as_ref()?.broker {
        Some(id) => config.broker.iter().find(|broker| broker.id == *id).map(BrokerConfig::as_main),
        None => config.mqtt.clone(),
    }
}

/// What every task needs.
struct Parts {
    supervisor: Supervisor,
    door: Door,
    shared: Arc<Shared>,
    journal: Arc<Journal>,
}

impl Parts {
    fn sink(&self) -> Arc<dyn ObservationSink> {
        Arc::new(self.door.clone())
    }

    /// Tells the house that `link` is down because its task failed.
    fn tell_lost(
        &self,
        link: String,
    ) -> impl Fn(String) -> futures::future::BoxFuture<'static, ()> + Send + 'static {
        let door = self.door.clone();
        move |why| {
            let (door, lost) = (door.clone(), link_lost(&link, &why));
            Box::pin(async move {
                // A house that has closed needs no news.
                let _ = door.report(lost).await;
            })
        }
    }

    fn start_pms(&self, outlet: usize, config: engawa_pms::PmsConfig, zone: &str) {
        let (door, sink) = (self.door.clone(), self.sink());
        let link = link_id(config.name.as_deref()).to_string();
        // The configuration was checked: the zone is known.
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let start = move |cancel| {
            let (door, sink, config, zone) = (door.clone(), Arc::clone(&sink), config.clone(), zone.clone());
            async move {
                let intents = door.connect(outlet).await?;
                let shell = Shell { config, zone, sink, intents, clock: SystemClock, seed: rand::random() };
                Ok(shell.run(cancel).await?)
            }
        };
        self.supervisor.keep(&link, start, self.tell_lost(link.clone()));
    }

    fn start_hosted(&self, outlet: usize, setup: hosted::Setup) {
        let (door, shared) = (self.door.clone(), Arc::clone(&self.shared));
        let start = move |cancel| setup.clone().run(door.clone(), Arc::clone(&shared), outlet, cancel);
        let name = link_id(None).to_string();
        self.supervisor.keep(&name, start, self.tell_lost(name.clone()));
    }

    /// Starts a bus; gives its counts.
    fn start_bus(&self, outlet: usize, config: BusConfig, devices: Vec<ModbusDevice>) -> Arc<Tally> {
        let name = bus_link(&config.id);
        let (door, sink, shared) = (self.door.clone(), self.sink(), Arc::clone(&self.shared));
        let tally = Tally::new(&config, &devices);
        let counts = Arc::clone(&tally);
        let start = move |cancel| {
            let (door, sink, config, devices) =
                (door.clone(), Arc::clone(&sink), config.clone(), devices.clone());
            let (shared, tally) = (Arc::clone(&shared), Arc::clone(&tally));
            async move {
                let writes = door.connect(outlet).await?;
                let of_bus = |property: &Property| {
                    let ids = devices.iter().map(|device| &device.id);
                    ids.filter_map(|id| Some((id.clone(), property.notes().get(id)?.clone()))).collect()
                };
                let notes: BTreeMap<_, _> = shared.look(of_bus);
                let parts = BusParts { config, devices, sink, writes, seed: rand::random() };
                Ok(Bus::new(parts).counting(tally).recalling(&notes).run(cancel).await?)
            }
        };
        self.supervisor.keep(&name, start, self.tell_lost(name.clone()));
        counts
    }

    /// The Sparkplug node: a session of its own at the site's broker. `numbers` keeps the number of its last one.
    fn start_sparkplug(
        &self,
        config: SparkplugConfig,
        mqtt: mqtt::MqttConfig,
        property: &str,
        numbers: &std::path::Path,
    ) {
        let (door, sink, shared) = (self.door.clone(), self.sink(), Arc::clone(&self.shared));
        let (property, numbers) = (PropertyId::from(property), numbers.to_owned());
        let start = move |cancel| {
            let (door, sink, shared) = (door.clone(), Arc::clone(&sink), Arc::clone(&shared));
            let (config, mqtt) = (config.clone(), mqtt.clone());
            let (property, numbers) = (property.clone(), numbers.clone());
            async move {
                let names = config.names(&property)?;
                let broker = mqtt::site_broker(&mqtt, config.client_id(&property)).await?;
                let (sender, updates) = sparkplug::updates_queue(PUBLICATIONS);
                let snapshot = Arc::new(move || shared.look(sparkplug::picture));
                let bd_seq = Arc::new(BdSeqFile::new(numbers));
                door.update_through(sender).await?;
                let parts = SparkplugParts { names, broker, snapshot, updates, sink, bd_seq };
                Ok(Sparkplug::new(parts).run(cancel).await?)
            }
        };
        self.supervisor.keep(SPARKPLUG_LINK, start, self.tell_lost(SPARKPLUG_LINK.to_owned()));
    }

    fn start_mqtt(&self, outlet: usize, at: AtBroker, property: &str, home: Option<Arc<HomeAssistant>>) {
        let (door, sink, shared) = (self.door.clone(), self.sink(), Arc::clone(&self.shared));
        let (property, link) = (PropertyId::from(property), at.link.to_string());
        let events: Arc<dyn EventStore> =
            Arc::new(Events { broker: link.clone(), journal: Arc::clone(&self.journal), door: door.clone() });
        let start = move |cancel| {
            let (door, sink, shared) = (door.clone(), Arc::clone(&sink), Arc::clone(&shared));
            let (events, home) = (Arc::clone(&events), home.clone());
            let (at, property) = (at.clone(), property.clone());
            async move {
                let AtBroker { config, link, publish, devices, users } = at;
                secrets::prepare(&users)?;
                let (publisher, publications) = mqtt::feed(PUBLICATIONS);
                let writes = door.connect(outlet).await?;
                let (topics, values, seen) = (config.has_topics(), config.values, Arc::clone(&shared));
                let snapshot = Arc::new(move || {
                    if topics && publish {
                        seen.look(|property| house::snapshot(property, values))
                    } else {
                        Vec::new()
                    }
                });
                let parts = MqttParts {
                    config,
                    link,
                    publish,
                    property,
                    devices,
                    users,
                    sink,
                    snapshot,
                    publications,
                    home,
                    events,
                    writes,
                };
                let mut mqtt = mqtt::prepare(parts).await?;
                shared.look(|property| mqtt.remember(property.points(), property.found().values()));
                if let Some(address) = mqtt.broker_address() {
                    tracing::info!(%address, "the gateway's own MQTT broker listens");
                }
                if publish && topics {
                    door.publish_through(outlet, publisher, values).await?;
                }
                Ok(mqtt.run(cancel).await?)
            }
        };
        self.supervisor.keep(&link, start, self.tell_lost(link.clone()));
    }

    fn start_cloud(&self, config: CloudConfig, updates: Option<UpdatePort>) -> watch::Receiver<LinkState> {
        let (state, seen) = watch::channel(LinkState::Down { reason: "not connected yet".to_owned() });
        let (journal, shared) = (Arc::clone(&self.journal), Arc::clone(&self.shared));
        let start = move |cancel: CancellationToken| {
            let (config, state, updates) = (config.clone(), state.clone(), updates.clone());
            let (store, wake) = (Arc::clone(&journal), Arc::clone(&shared.written));
            async move {
                let Some(identity) = cancel.run_until_cancelled(identity(&config, &state)).await else {
                    return Ok(());
                };
                let identity = identity?;
                let key = identity.key_place();
                tracing::info!(gateway = %identity.gateway, cloud = %config.named(), %key, "enrolled; syncing");
                if let Some(wanted) = config.keys().filter(|wanted| *wanted != key) {
                    tracing::warn!(%key, %wanted, "the key is not where the configuration wants it: the next renewal makes one there");
                }
                let seed = rand::random();
                let tuning = Tuning::default();
                EdgeLink { cloud: config.line(), identity, store, wake, state, updates, tuning, seed }
                    .run(cancel)
                    .await;
                Ok(())
            }
        };
        self.supervisor.keep(CLOUD_LINK, start, self.tell_lost(CLOUD_LINK.to_owned()));
        let (door, state) = (self.door.clone(), seen.clone());
        let tell = move |cancel: CancellationToken| {
            let told = desk::tell_house(door.clone(), state.clone());
            async move {
                cancel.run_until_cancelled(told).await;
                Ok(())
            }
        };
        self.supervisor.keep("cloud-news", tell, |_| std::future::ready(()));
        seen
    }

    fn start_api(
        &self,
        loaded: &Loaded,
        cloud: Option<watch::Receiver<LinkState>>,
        tallies: Vec<Arc<Tally>>,
        audit: AuditTrail,
        logging: Logging,
        listeners: Arc<Listeners>,
    ) -> Arc<Desk> {
        let property = &loaded.config.property;
        let desk = Arc::new(Desk {
            called: Mutex::new(Called::new(&property.name, &property.language)),
            diagnosis: Diagnosis::new(loaded, logging),
            audit: Mutex::new(audit),
            started_at: Timestamp::now(),
            shared: Arc::clone(&self.shared),
            door: self.door.clone(),
            journal: Arc::clone(&self.journal),
            cloud,
            tallies,
            supervisor: self.supervisor.clone(),
            built: Mutex::new(None),
        });
        let config = loaded.config.api.clone();
        let served = Arc::clone(&desk);
        let start = move |cancel: CancellationToken| {
            let (config, desk) = (config.clone(), Arc::clone(&served));
            let listener = listeners.api(config.listen);
            async move {
                let (bound, serving) = engawa_api::serve_on(listener?, &config, desk, cancel).await?;
                if let Some(address) = bound.tcp {
                    tracing::info!(%address, "the status page is served");
                }
                serving.await;
                Ok(())
            }
        };
        self.supervisor.keep("api", start, |_| std::future::ready(()));
        desk
    }

    /// Starts what updates the agent itself, where the configuration has it; gives where commands to it go.
    fn start_updates(&self, loaded: &Loaded, line: Option<UpdateLine>, tallies: Vec<Arc<Tally>>) -> Wishes {
        let Some(config) = loaded.config.update.clone() else { return Wishes::default() };
        let watch = Watch::new(Arc::clone(&self.shared), tallies, self.supervisor.clone());
        let (updates, wishes) = Updates::new(loaded, config, self.door.clone(), watch, line);
        let updates = Arc::new(updates);
        let start = move |cancel| {
            let updates = Arc::clone(&updates);
            async move { updates.run(cancel).await }
        };
        self.supervisor.keep("updates", start, |_| std::future::ready(()));
        wishes
    }

    fn start_caretaker(&self, outlet: usize, desk: Arc<Desk>, reload: Reload, wishes: Wishes) {
        let (door, shared) = (self.door.clone(), Arc::clone(&self.shared));
        let caretaker = Caretaker { door, shared, desk, reload: Arc::new(reload), wishes };
        let start = move |cancel| caretaker.clone().run(outlet, cancel);
        self.supervisor.keep("upkeep", start, |_| std::future::ready(()));
    }
}

/// The gateway's identity; waits for the enrolment where there is none yet.
async fn identity(config: &CloudConfig, state: &watch::Sender<LinkState>) -> Result<Identity, IdentityError> {
    loop {
        match Identity::load_with(&config.identity_dir, config.keys()) {
            Err(IdentityError::Absent { .. }) => {
                state.send_replace(LinkState::Down {
                    reason: "not enrolled: run `engawa enroll` with a claim code of the cloud".to_owned(),
                });
                tokio::time::sleep(ENROLLED_YET).await;
            }
            other => return other,
        }
    }
}
