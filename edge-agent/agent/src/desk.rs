//! What the local API shows and takes: the API's view of the house.

use crate::house::{Door, Shared};
use crate::journal::Journal;
use crate::pan;
use crate::supervisor::Supervisor;
use crate::upkeep::bundle::{self, Diagnosis};
use crate::upkeep::mask;
use engawa_api::{
    Accepted, Asker, BusTraffic, CommandError, CommandReport, Erased, FrontDeskView, Health, House,
    HouseError, HouseView, LastError, LogRow, Surroundings, SyncLaneView, SyncView, UnitTraffic,
};
use engawa_field::modbus::{self, Tally};
use engawa_link::LinkState;
use engawa_model::{
    Command, CommandKey, CommandOutcome, Fact, Lane, LinkId, Observation, ObservationSink, StayId, Timestamp,
};
use engawa_store::vault::{AuditTrail, Target};
use engawa_words::Words;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The house's loop shows that it is alive every five seconds; after this long without it, something hangs.
const SILENT: Duration = Duration::from_secs(20);

/// The parts that the API is fed from.
pub(crate) struct Desk {
    /// What the hotel is called, and in which language.
    pub(crate) called: Mutex<Called>,
    /// What a diagnostics bundle is made of.
    pub(crate) diagnosis: Diagnosis,
    /// When the agent started.
    pub(crate) started_at: Timestamp,
    /// The live picture.
    pub(crate) shared: Arc<Shared>,
    /// The way in.
    pub(crate) door: Door,
    /// The journal.
    pub(crate) journal: Arc<Journal>,
    /// The link to the cloud, where there is one.
    pub(crate) cloud: Option<watch::Receiver<LinkState>>,
    /// The counts of the buses.
    pub(crate) tallies: Vec<Arc<Tally>>,
    /// The tasks.
    pub(crate) supervisor: Supervisor,
    /// The last view and its number.
    pub(crate) built: Mutex<Option<(u64, Arc<HouseView>)>>,
    /// The audit trail of guests' data.
    pub(crate) audit: Mutex<AuditTrail>,
}

/// How the hotel speaks of itself; it changes when the configuration does.
pub(crate) struct Called {
    name: String,
    language: &'static str,
}

impl Called {
    /// The name for people, and the language that there are texts in which is nearest to `language` (BCP 47).
    pub(crate) fn new(name: &str, language: &str) -> Self {
        Self { name: name.to_owned(), language: Words::of([Some(language)]).language().tag() }
    }
}

/// The id of the link to the cloud.
pub(crate) const CLOUD_LINK: &str = "cloud";

impl Desk {
    fn called(&self) -> MutexGuard<'_, Called> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hotel is called so from now on.
    pub(crate) fn rename(&self, name: &str, language: &str) {
        *self.called() = Called::new(name, language);
        *self.built.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A diagnostics bundle, and what is to be masked in it. Blocks.
    pub(crate) fn bundle(&self, by: Option<&str>) -> (serde_json::Value, Vec<String>) {
        let mut bundle = self.diagnosis.parts(by);
        let (view, health, marks) = (self.view(), self.health(), self.shared.marks());
        let (inside, names) = self
            .shared
            .look(|property| (bundle::inside(property, &view, &health, &marks), mask::of_guests(property)));
        for (part, value) in inside.as_object().into_iter().flatten() {
            bundle[part] = value.clone();
        }
        bundle["buses"] = serde_json::to_value(self.traffic()).unwrap_or_default();
        (bundle, names)
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            name: self.called().name.clone(),
            started_at: self.started_at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sync: self.sync(),
            device_counters: BTreeMap::new(),
        }
    }

    fn sync(&self) -> SyncView {
        let (connected, detail) = match self.cloud.as_ref().map(|state| state.borrow().clone()) {
            None => (false, "no cloud is configured".to_owned()),
            Some(LinkState::Up { address, .. }) => (true, format!("connected to {address}")),
            Some(LinkState::Down { reason }) => (false, reason),
        };
        let marks = self.shared.marks();
        let lanes = Lane::ALL.into_iter().map(|lane| {
            let mark = marks.iter().find(|mark| mark.lane == lane.number());
            let (written, acknowledged) = mark.map_or((0, 0), |mark| (mark.head, mark.acked));
            SyncLaneView {
                lane,
                written,
                acknowledged,
                oldest_waiting: self.oldest(lane, written, acknowledged),
            }
        });
        SyncView { enrolled: self.cloud.is_some(), connected, detail, lanes: lanes.collect() }
    }

    /// When the oldest row of `lane` that waits was written.
    fn oldest(&self, lane: Lane, written: u64, acknowledged: u64) -> Option<Timestamp> {
        if written <= acknowledged {
            return None;
        }
        let at = tokio::task::block_in_place(|| self.journal.first_after(lane.number(), acknowledged))?;
        Timestamp::from_microsecond(at).ok()
    }

    /// Leaves a row in the audit trail; nothing is shown or done without it.
    fn note(&self, asker: &Asker, what: &str) -> Result<(), HouseError> {
        let noted = tokio::task::block_in_place(|| {
            let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
            audit.append(Timestamp::now(), &asker.who, &asker.reason, what)
        });
        noted.map(drop).map_err(|error| HouseError::Failed(Box::new(error)))
    }

    async fn take(&self, command: Command) -> Result<Accepted, CommandError> {
        // As the house will have it, so that the same command is known again.
        let command = pan::masked_command(command);
        let key = command.key.clone();
        let action = command.action.clone();
        let before = self
            .shared
            .look(|property| property.commands().get(&key).map(|record| record.command.action.clone()));
        match before {
            Some(before) if before == action => return Ok(Accepted { key, duplicate: true }),
            Some(_) => return Err(CommandError::KeyReused),
            None => {}
        }
        if let Some(reason) = self.shared.refusal(&command) {
            return Err(CommandError::Refused { reason: reason.to_owned() });
        }
        let asked = command.clone();
        let observation = Observation::new(Timestamp::now(), Fact::Asked { command });
        self.door.report_durable(observation).await.map_err(|_| CommandError::Stopping)?;
        // Another door may have used the key in the same moment; and what can't be done at all is known at once.
        let after = self.shared.look(|property| property.commands().get(&key).cloned());
        match after {
            Some(record) if record.command.action != action => Err(CommandError::KeyReused),
            Some(record) => match record.ended {
                Some((_, CommandOutcome::Refused { reason })) => Err(CommandError::Refused { reason }),
                _ => Ok(Accepted { key, duplicate: false }),
            },
            // Refused in the meantime, for want of room to write; else it has ended and is forgotten already.
            None => match self.shared.refusal(&asked) {
                Some(reason) => Err(CommandError::Refused { reason: reason.to_owned() }),
                None => Ok(Accepted { key, duplicate: false }),
            },
        }
    }
}

impl House for Desk {
    fn view(&self) -> Arc<HouseView> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        // The number is read before the picture: a later picture under an older number is only built again.
        let version = *self.shared.changed().borrow();
        if let Some((of, view)) = built.as_ref()
            && *of == version
        {
            return Arc::clone(view);
        }
        let surroundings = self.surroundings();
        let view = Arc::new(self.shared.look(|property| HouseView::build(property, &surroundings)));
        *built = Some((version, Arc::clone(&view)));
        view
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed()
    }

    fn language(&self) -> Option<&str> {
        Some(self.called().language)
    }

    fn front_desk(&self) -> FrontDeskView {
        self.shared.look(FrontDeskView::build)
    }

    fn command(&self, command: Command) -> BoxFuture<'_, Result<Accepted, CommandError>> {
        self.take(command).boxed()
    }

    fn outcome(&self, key: CommandKey) -> BoxFuture<'_, Result<Option<CommandReport>, HouseError>> {
        let record = self.shared.look(|property| property.commands().get(&key).cloned());
        let report = record.map(|record| {
            let (ended, outcome) = record.ended.unzip();
            CommandReport { key, accepted: Some(record.asked), outcome, ended, note: record.note }
        });
        futures::future::ready(Ok(report)).boxed()
    }

    fn log(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<LogRow>, HouseError>> {
        let journal = Arc::clone(&self.journal);
        async move {
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let read = move || journal.read_with(|reader| reader.since(after, limit));
            let rows = tokio::task::spawn_blocking(read)
                .await
                .map_err(|error| HouseError::Failed(Box::new(error)))?;
            let rows = rows.map_err(|error| HouseError::Failed(Box::new(error)))?;
            rows.iter().map(log_row).collect()
        }
        .boxed()
    }

    fn named_view(&self, asker: Asker) -> BoxFuture<'_, Result<Arc<HouseView>, HouseError>> {
        async move {
            let view = self.view();
            let stays: usize = view.rooms.iter().map(|room| room.stays.len()).sum();
            self.note(&asker, &format!("the rooms with {stays} guests' names"))?;
            Ok(view)
        }
        .boxed()
    }

    fn named_front_desk(&self, asker: Asker) -> BoxFuture<'_, Result<FrontDeskView, HouseError>> {
        async move {
            let view = self.front_desk();
            let (stays, found) = (view.stays.len(), view.found.len());
            self.note(
                &asker,
                &format!("the front desk: {stays} stays' messages and bills, {found} look-ups"),
            )?;
            Ok(view)
        }
        .boxed()
    }

    fn erase(&self, asker: Asker, stay: StayId) -> BoxFuture<'_, Result<Erased, HouseError>> {
        async move {
            self.note(&asker, &format!("erasure of reservation {stay}"))?;
            let erased = self.door.erase(Target::Stay(stay)).await.map_err(|_| HouseError::Stopping)?;
            Ok(Erased { tombstones: erased.0, complete: erased.1 })
        }
        .boxed()
    }

    fn diagnose(&self, by: Option<String>) -> BoxFuture<'_, Result<serde_json::Value, HouseError>> {
        async move {
            tracing::info!(
                by = by.as_deref().unwrap_or("-"),
                "a diagnostics bundle is gathered for the command line"
            );
            let (mut bundle, names) = tokio::task::block_in_place(|| self.bundle(by.as_deref()));
            mask::texts(&mut bundle, &names);
            Ok(bundle)
        }
        .boxed()
    }

    fn traffic(&self) -> Vec<BusTraffic> {
        self.tallies.iter().map(|tally| traffic(tally)).collect()
    }

    fn health(&self) -> Health {
        let silence = self.shared.silence(Timestamp::now());
        let hangs = silence > SILENT;
        let mut reasons: Vec<String> = self
            .supervisor
            .states()
            .into_iter()
            .filter_map(|(name, state)| {
                Some(format!("{name}: {} (failed {} times)", state.down?, state.failures))
            })
            .collect();
        if hangs {
            reasons.insert(0, format!("the house has not answered for {} s", silence.as_secs()));
        }
        Health { ok: !hangs, reasons }
    }
}

/// A driver's counts as the API shows them.
fn traffic(tally: &Tally) -> BusTraffic {
    let quantiles = |of: modbus::Quantiles| engawa_api::Quantiles {
        count: of.count,
        p50_ms: of.p50_ms,
        p95_ms: of.p95_ms,
        p99_ms: of.p99_ms,
        max_ms: of.max_ms,
    };
    let report = tally.report();
    let unit = |unit: modbus::UnitReport| UnitTraffic {
        device: unit.device,
        unit: unit.unit,
        requests: unit.requests,
        values: unit.values,
        writes: unit.writes,
        retries: unit.retries,
        timeouts: unit.timeouts,
        crc: unit.crc,
        garbage: unit.garbage,
        broken: unit.broken,
        exceptions: unit.exceptions,
        round_trip: quantiles(unit.round_trip),
        lag: quantiles(unit.lag),
        last_error: unit.last_error.map(|(at, what)| LastError { at, what }),
    };
    BusTraffic {
        bus: report.bus,
        place: report.place,
        busy_percent: report.busy_percent,
        dead_percent: report.dead_percent,
        late: report.late,
        crc: report.crc,
        noise: report.noise,
        reconnects: report.reconnects,
        units: report.units.into_iter().map(unit).collect(),
    }
}

fn log_row(row: &engawa_store::JournalRow) -> Result<LogRow, HouseError> {
    let change = serde_json::from_slice(&row.body).map_err(|error| HouseError::Failed(Box::new(error)))?;
    Ok(LogRow {
        // Rows are ordered by when they happened, in microseconds; those of one moment come together.
        position: u64::try_from(row.at_micros).unwrap_or(0),
        at: Timestamp::from_microsecond(row.at_micros).unwrap_or(Timestamp::UNIX_EPOCH),
        lane: Lane::from_number(row.lane).unwrap_or(Lane::Audit),
        change,
    })
}

/// Tells the house what becomes of the link to the cloud, until the link's task has gone.
pub(crate) async fn tell_house(door: Door, mut state: watch::Receiver<LinkState>) {
    loop {
        let (up, detail) = match &*state.borrow_and_update() {
            LinkState::Up { address, .. } => (true, format!("connected to {address}")),
            LinkState::Down { reason } => (false, reason.clone()),
        };
        let fact = Fact::Link { link: LinkId::from(CLOUD_LINK), up, detail };
        if door.report(Observation::new(Timestamp::now(), fact)).await.is_err()
            || state.changed().await.is_err()
        {
            return;
        }
    }
}
