//! The house: one task that owns the model's and the store's writing side. It takes observations in order, commits
//! what follows from them, and only then lets intents, publications and acknowledgements out.

mod door;
mod effects;
mod erasing;
mod inbox;
mod pace;
pub(crate) mod retune;
pub(crate) mod shortage;
#[cfg(test)]
mod tests;

use crate::config::privacy::PrivacyConfig;
use crate::outlets::Outlets;
use crate::pan;
use crate::publishing::Publishing;
use crate::recording::Recording;
use crate::tails::Tails;
use door::Message;
pub(crate) use door::{Door, Erasures};
use effects::{Effects, durability};
use engawa_field::mqtt::sparkplug;
use engawa_model::{
    Action, Command, CommandKey, CommandSource, Fact, LinkId, Observation, Property, Timestamp,
};
use engawa_store::vault::Target;
use engawa_store::{Batch, LaneMarks, Pressure, Store, StoreError};
use jiff::SignedDuration;
use shortage::Owed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Messages in one transaction: enough to share one fsync, few enough to keep the first one's wait short.
const GROUP: usize = 256;
/// How often acknowledged rows of the journal are swept and old commands forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How soon intents that did not fit into a driver's queue are tried again.
const FLUSH: Duration = Duration::from_millis(50);
/// How long measured values may wait until they would survive a power cut: one fsync a second instead of one a value.
const SETTLE: Duration = Duration::from_secs(1);
/// The house shows that it is alive at least this often, for the service manager's watchdog.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Journal rows removed in one sweep.
const SWEEP_ROWS: u32 = 10_000;
/// How often a full disk is asked whether the room set aside can be had again.
const REFILL: Duration = Duration::from_secs(10);
/// How often the end of the audit trail is told, where it has grown.
const TELL_AUDIT: Duration = Duration::from_secs(60);
/// Records of guests that are erased in one sweep because their time is over; the rest goes with the next.
const MOST_EXPIRED: u32 = 1_000;

/// What others may see of the house: always the state of the last commit.
pub(crate) struct Shared {
    property: Mutex<Property>,
    version: watch::Sender<u64>,
    marks: Mutex<Vec<LaneMarks>>,
    inbox: AtomicU64,
    beat_s: AtomicI64,
    pressure: Mutex<Pressure>,
    stuck: AtomicBool,
    /// How long commits take.
    pub(crate) pace: pace::Pace,
    /// What somebody watches.
    pub(crate) tails: Tails,
    /// Told after each commit that wrote to the journal.
    pub(crate) written: Arc<Notify>,
}

impl Shared {
    /// Looks at the property. Must not block for long: the house waits meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Property) -> T) -> T {
        // The house holds the lock while its transaction reaches the disk.
        tokio::task::block_in_place(|| look(&self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Property> {
        // A panic within the model ends the house's task, and with it the process: nobody goes on with a half-made picture.
        self.property.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that grows with each commit that changed something.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// How far each lane of the journal is.
    pub(crate) fn marks(&self) -> Vec<LaneMarks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why `command` is not to be taken now, for want of room to write.
    pub(crate) fn refusal(&self, command: &Command) -> Option<&'static str> {
        let pressure = *self.pressure.lock().unwrap_or_else(PoisonError::into_inner);
        shortage::refusal(command, pressure, self.is_stuck())
    }

    /// True while the disk takes nothing.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    /// The mark of the command inbox.
    pub(crate) fn inbox(&self) -> u64 {
        self.inbox.load(Ordering::Acquire)
    }

    /// How long ago the house showed that it is alive.
    pub(crate) fn silence(&self, now: Timestamp) -> Duration {
        let beat = self.beat_s.load(Ordering::Relaxed);
        Duration::from_secs(u64::try_from(now.as_second() - beat).unwrap_or(0))
    }
}

/// The model, the store, and the queues around them.
pub(crate) struct House {
    shared: Arc<Shared>,
    store: Store,
    messages: mpsc::Receiver<Message>,
    outlets: Outlets,
    publishing: Publishing,
    updates: Option<sparkplug::Updates>,
    closing: CancellationToken,
    /// What the disk has not taken yet.
    owed: Owed,
    /// How disk and journal were told to be; `None`: nothing was told yet.
    told: Option<(Pressure, bool, bool)>,
    /// When a full disk is asked again.
    refill_at: tokio::time::Instant,
    /// When what was committed must survive a power cut.
    settle_by: Option<tokio::time::Instant>,
    /// Where days are recorded.
    recording: Option<Mutex<Recording>>,
    /// How long the register's entries are kept after check-out.
    register_retention: SignedDuration,
}

impl House {
    /// A house around what was stored, open until `closing`.
    pub(crate) fn new(
        property: Property,
        store: Store,
        outlets: Outlets,
        publishing: Publishing,
        closing: CancellationToken,
    ) -> (Self, Door, Arc<Shared>) {
        let (door, messages) = Door::new();
        let shared = Arc::new(Shared {
            property: Mutex::new(property),
            version: watch::Sender::new(0),
            marks: Mutex::new(store.marks().collect()),
            inbox: AtomicU64::new(store.inbox_mark()),
            beat_s: AtomicI64::new(Timestamp::now().as_second()),
            pressure: Mutex::new(store.pressure()),
            stuck: AtomicBool::new(false),
            pace: pace::Pace::default(),
            tails: Tails::default(),
            written: Arc::new(Notify::new()),
        });
        (
            Self {
                shared: Arc::clone(&shared),
                store,
                messages,
                outlets,
                publishing,
                updates: None,
                closing,
                owed: Owed::default(),
                told: None,
                refill_at: tokio::time::Instant::now(),
                settle_by: None,
                recording: None,
                register_retention: SignedDuration::MAX,
            },
            door,
            shared,
        )
    }

    /// From now on what happens is recorded.
    pub(crate) fn record(&mut self, recording: Recording) {
        self.recording = Some(Mutex::new(recording));
    }

    /// The register is kept as `privacy` says.
    #[must_use]
    pub(crate) fn keeping_register(mut self, privacy: &PrivacyConfig) -> Self {
        self.register_retention = SignedDuration::from_hours(i64::from(privacy.register_days) * 24);
        self
    }

    /// How long guests' data is kept now: as a setting says, else as the configuration does, which the model knows.
    fn retention(&self) -> SignedDuration {
        let days = self.shared.lock().retention_days();
        days.map_or(SignedDuration::MAX, |days| SignedDuration::from_hours(i64::from(days) * 24))
    }

    /// Works until it is told to close, takes what still waits, then closes the store in good order.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let clean = self.store.was_closed();
        let mut first = vec![observed(Fact::Started { clean })];
        if self.store.is_put_back() {
            first.push(observed(Fact::PutBack));
        }
        if self.store.was_restored() {
            first.push(observed(lists_wanted(Timestamp::now())));
        }
        self.take(first)?;
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut tell_audit = tokio::time::interval(TELL_AUDIT);
        loop {
            let mut group = Vec::new();
            let wake = self.until_wake();
            let (settle_by, retry) = (self.settle_by, self.owed.due());
            if self.messages.is_closed() && self.owed.is_full() {
                break;
            }
            tokio::select! {
                () = self.closing.cancelled(), if !self.messages.is_closed() => {
                    self.messages.close();
                    continue;
                }
                count = self.messages.recv_many(&mut group, GROUP), if !self.owed.is_full() => {
                    if count == 0 {
                        break;
                    }
                }
                () = tokio::time::sleep(wake) => group.push(observed(Fact::Tick)),
                () = until(settle_by), if settle_by.is_some() => {
                    let settled = tokio::task::block_in_place(|| self.store.settle());
                    match unless_of_disk("forcing values to the disk", settled)? {
                        Some(()) => self.settled(),
                        None => self.settle_by = Some(tokio::time::Instant::now() + REFILL),
                    }
                    continue;
                }
                () = until(retry), if retry.is_some() => group.push(observed(Fact::Tick)),
                _ = housekeeping.tick() => {
                    let swept = tokio::task::block_in_place(|| self.store.sweep(Timestamp::now(), SWEEP_ROWS));
                    unless_of_disk("sweeping the journal", swept)?;
                    group.push(observed(Fact::Tick));
                    let before = ago(self.register_retention);
                    let swept = tokio::task::block_in_place(|| {
                        self.store.register().map_or(Ok(0), |register| register.sweep(before))
                    });
                    unless_of_disk("sweeping the guest register", swept)?;
                    let before = ago(self.retention());
                    group.push(Message::Erase(Target::LeftBefore(before, MOST_EXPIRED), None));
                }
                _ = tell_audit.tick() => group.push(Message::TellAudit),
            }
            self.take(group)?;
        }
        if self.owed.is_stuck() {
            self.owed.hurry();
            self.take(vec![observed(Fact::Tick)])?;
            if self.owed.is_stuck() {
                tracing::error!(
                    changes = self.owed.len(),
                    "the disk took nothing to the end: these are lost"
                );
            }
        }
        self.store.close()
    }

    /// How long until something is due without anything happening.
    fn until_wake(&mut self) -> Duration {
        let waiting = self.outlets.flush();
        let wake = self.shared.lock().next_wake().map(|at| at.duration_since(Timestamp::now()));
        let wake = wake.map_or(HEARTBEAT, |left| Duration::try_from(left).unwrap_or_default());
        wake.min(if waiting || self.store.wants_relief(Timestamp::now()) { FLUSH } else { HEARTBEAT })
    }

    /// Applies a group, commits it in one transaction, then lets its effects out.
    fn take(&mut self, group: Vec<Message>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        self.shared.beat_s.store(now.as_second(), Ordering::Relaxed);
        self.refill();
        let mut batch = Batch::default();
        let mut effects = Effects { published: self.publishing.begin(), ..Effects::default() };
        let shared = Arc::clone(&self.shared);
        let mut property = shared.lock();
        self.tell_storage(&mut property, now, &mut batch, &mut effects);
        let mut retuned = false;
        for message in group {
            match message {
                Message::Observed(observation, done) => {
                    batch.put_back |= matches!(observation.fact, Fact::PutBack);
                    let promise = matches!(&observation.fact, Fact::Asked { command }
                        if !shortage::is_needed(&command.action));
                    self.apply(&mut property, &pan::masked(observation), &mut batch, &mut effects);
                    if promise { &mut effects.asked } else { &mut effects.observed }.extend(done);
                }
                Message::AllObserved(observations, _room) => {
                    for observation in observations {
                        self.apply(&mut property, &pan::masked(observation), &mut batch, &mut effects);
                    }
                }
                Message::Acknowledged { lane, mark, durable } => {
                    let upto = batch.acknowledged.entry(lane).or_default();
                    *upto = (*upto).max(mark);
                    effects.observed.push(durable);
                }
                Message::Sent { upto, durable } => {
                    batch.sent = batch.sent.max(Some(upto));
                    effects.sent.push(durable);
                }
                Message::Accept { commands, durable } => {
                    self.accept(&mut property, now, commands, &mut batch, &mut effects);
                    effects.accepted.push(durable);
                }
                Message::Connect { outlet, intents } => {
                    self.owed(&property, outlet);
                    // A driver that was stopped while it started asks no more.
                    let _ = intents.send(self.outlets.connect(outlet));
                }
                Message::Publish(broker, publisher, values) => {
                    self.publishing.start(broker, publisher, values);
                }
                Message::Delivered(number) => batch.delivered.push(number),
                Message::Update(updates) => self.updates = Some(updates),
                Message::Erase(target, done) => {
                    let erasures = self.erase(&mut property, &target, now, &mut batch, &mut effects);
                    // Whoever asked is told that it was not done.
                    let Some(erasures) = unless_of_disk("erasing a guest's data", erasures)? else {
                        continue;
                    };
                    effects.erased.extend(done.map(|done| (done, erasures)));
                }
                Message::Retune(settings, done) => {
                    self.retune(&mut property, *settings);
                    let next = Observation::new(now, Fact::Tick);
                    self.apply(&mut property, &next, &mut batch, &mut effects);
                    retuned = true;
                    effects.observed.push(done);
                }
                Message::Confirmed(done) => {
                    batch.confirmed = true;
                    effects.observed.push(done);
                }
                Message::Probe(done) => {
                    // The mark that is there already is written again.
                    let mark = batch.inbox.or(self.owed.inbox());
                    batch.inbox = Some(mark.unwrap_or_else(|| self.store.inbox_mark()));
                    effects.observed.push(done);
                }
                Message::TellAudit => {
                    let told = self.tell_audit(now, &mut batch);
                    unless_of_disk("telling the end of the audit trail", told)?;
                }
            }
        }
        effects.published.complete(&property);
        let due = self.owed.is_due();
        let (batch, effects) = self.owed.join(batch, effects);
        if !due {
            drop(property);
            self.wait_for_disk(batch, effects);
            return Ok(());
        }
        let durability = durability(&batch, &effects);
        let store = &mut self.store;
        // The commit waits for the disk; other tasks of the runtime move to another thread meanwhile.
        let began = std::time::Instant::now();
        let committed = tokio::task::block_in_place(|| store.commit(&property, &batch, now, durability));
        drop(property);
        if !batch.is_empty() {
            self.shared.pace.add(began.elapsed());
        }
        match committed {
            Ok(()) => self.owed.done(),
            Err(error) if error.is_of_disk() => {
                self.owed.refused(&error);
                self.wait_for_disk(batch, effects);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.shared.stuck.store(false, Ordering::Release);
        self.relieve(now)?;
        if self.store.is_unsettled() {
            self.settle_by.get_or_insert_with(|| tokio::time::Instant::now() + SETTLE);
        } else if !batch.is_empty() {
            self.settled();
        }
        self.let_out(effects);
        if !batch.events.is_empty() {
            self.publishing.remind();
        }
        if retuned || !batch.changes.is_empty() || !batch.touched.is_empty() {
            self.shared.version.send_modify(|version| *version += 1);
        }
        Ok(())
    }

    /// The disk takes nothing: what may goes out, the rest waits with what is not stored.
    fn wait_for_disk(&mut self, batch: Batch, mut effects: Effects) {
        self.shared.stuck.store(true, Ordering::Release);
        let changed = !batch.changes.is_empty() || !batch.touched.is_empty();
        let (now, later) =
            std::mem::take(&mut effects.intents).into_iter().partition(shortage::goes_out_anyway);
        effects.intents = later;
        // The cloud's commands count as not taken until they are stored; telemetry is not handed out meanwhile.
        self.let_out(Effects {
            intents: now,
            published: std::mem::take(&mut effects.published),
            updates: std::mem::take(&mut effects.updates),
            observed: std::mem::take(&mut effects.observed),
            accepted: std::mem::take(&mut effects.accepted),
            ..Effects::default()
        });
        effects.sent.clear();
        self.owed.keep(batch, effects, &mut self.store);
        if changed {
            self.shared.version.send_modify(|version| *version += 1);
        }
    }

    /// Tells the model how the storage is, where that is news.
    fn tell_storage(
        &mut self,
        property: &mut Property,
        now: Timestamp,
        batch: &mut Batch,
        effects: &mut Effects,
    ) {
        *self.shared.pressure.lock().unwrap_or_else(PoisonError::into_inner) = self.store.pressure();
        let state = (self.store.pressure(), self.owed.is_stuck(), self.store.is_low());
        if self.told != Some(state) {
            self.told = Some(state);
            for observation in &self.owed.facts(&self.store, now) {
                self.apply(property, observation, batch, effects);
            }
        }
    }

    /// Sets room aside again, once a full disk has some.
    fn refill(&mut self) {
        if self.store.is_low() && self.refill_at <= tokio::time::Instant::now() {
            self.refill_at = tokio::time::Instant::now() + REFILL;
            if tokio::task::block_in_place(|| self.store.refill()) {
                tracing::info!("there is room on the disk again");
            }
        }
    }

    /// Makes room in the journal, one step at a time.
    fn relieve(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.store.wants_relief(now) {
            let told = self.store.is_relief_refused();
            match tokio::task::block_in_place(|| self.store.relieve(now)) {
                // The first of a stretch was told.
                Err(error) if told && error.is_of_disk() => {}
                relieved => drop(unless_of_disk("making room in the journal", relieved)?),
            }
        }
        Ok(())
    }

    /// Everything that was committed would survive a power cut: the link to the cloud may send it.
    fn settled(&mut self) {
        self.settle_by = None;
        *self.shared.marks.lock().unwrap_or_else(PoisonError::into_inner) = self.store.marks().collect();
        self.shared.inbox.store(self.store.inbox_mark(), Ordering::Release);
        self.shared.written.notify_one();
    }

    fn apply(
        &self,
        property: &mut Property,
        observation: &Observation,
        batch: &mut Batch,
        effects: &mut Effects,
    ) {
        if let Fact::Asked { command } = &observation.fact
            && !property.commands().contains_key(&command.key)
            && let Some(reason) = shortage::refusal(command, self.store.pressure(), self.owed.is_stuck())
        {
            let ended = shortage::ended(command, reason);
            match command.source {
                CommandSource::Mqtt => batch.events.extend(self.publishing.answer(property, &ended)),
                // The cloud asks while it takes rows: there is room for its answer.
                CommandSource::Cloud => batch.changes.push((observation.at, ended)),
                CommandSource::Local | CommandSource::Rule => {}
            }
            return;
        }
        if let Some(recording) = &self.recording {
            recording.lock().unwrap_or_else(PoisonError::into_inner).observed(property, observation);
        }
        let applied = property.apply(observation);
        if self.shared.tails.observed(property, observation) {
            // Coalesced: the link looks at its own pace.
            self.shared.written.notify_one();
        }
        for change in &applied.changes {
            effects.published.add(property, change);
            batch.events.extend(self.publishing.events(property, change));
        }
        if self.updates.is_some() {
            let told = applied.changes.iter().flat_map(|change| sparkplug::updates(property, change));
            effects.updates.extend(told);
        }
        batch.changes.extend(applied.changes.into_iter().map(|change| (observation.at, change)));
        batch.touched.extend(applied.touched);
        for intent in applied.intents {
            effects.published.carry_out(property, &intent);
            effects.intents.push(intent);
        }
    }

    fn let_out(&mut self, effects: Effects) {
        for done in effects.observed.into_iter().chain(effects.asked).chain(effects.sent) {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        for done in effects.accepted {
            let _ = done.send(self.store.inbox_mark());
        }
        for (done, erasures) in effects.erased {
            // What is not complete now is tried again with the next sweep.
            let complete = self.store.finish_erasures(Timestamp::now()).unwrap_or(false);
            let _ = done.send((erasures, complete));
        }
        self.publishing.let_out(effects.published);
        if let Some(updates) = &self.updates {
            for update in effects.updates {
                updates.push(update);
            }
        }
        for intent in effects.intents {
            self.outlets.give(intent);
        }
    }
}

async fn until(instant: Option<tokio::time::Instant>) {
    if let Some(instant) = instant {
        tokio::time::sleep_until(instant).await;
    }
}

/// What a disk that takes nothing has not done, is done later.
fn unless_of_disk<T>(doing: &str, done: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_of_disk() => {
            tracing::warn!(%error, "{doing} waits: the disk takes nothing");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn ago(duration: SignedDuration) -> Timestamp {
    Timestamp::now().checked_sub(duration).unwrap_or(Timestamp::MIN)
}

fn observed(fact: Fact) -> Message {
    Message::Observed(Observation::new(Timestamp::now(), fact), None)
}

/// Who came and went since a backup was made only the PMS knows.
fn lists_wanted(now: Timestamp) -> Fact {
    let key = CommandKey::new(format!("restored-{}", now.as_microsecond()));
    Fact::Asked {
        command: Command { key, source: CommandSource::Rule, expires: None, action: Action::Resync },
    }
}

/// What a driver's end means for its link.
pub(crate) fn link_lost(link: &str, why: &str) -> Observation {
    let fact = Fact::Link { link: LinkId::from(link), up: false, detail: why.to_owned() };
    Observation::new(Timestamp::now(), fact)
}
