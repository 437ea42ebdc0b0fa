//! The shell of one bus: its line, its clock, and the loop that gives each lane of the line one job at a time.
//!
//! A serial line has one lane; a TCP connection has as many as the devices on it bear (`max_in_flight`). A device is
//! never asked twice at once. Devices that don't answer share a small part of the bus's time, however many they are.

mod orders;

use super::agenda::Agenda;
use super::aside::{self, Says};
use super::asks::{self, Answer, Done, Manner, What, WriteFailure};
use super::config::BusConfig;
use super::decode::Words;
use super::device::{Device, Job, ModbusDevice};
use super::line::{DeviceIdentity, Failure, Line};
use super::tally::Tally;
use engawa_model::{DeviceId, Fact, Intent, LinkId, Observation, ObservationSink, SinkClosed, Timestamp};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The first pause after a connection that could not be made.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The first requests of a bus are spread over so many beats, so that two hundred buses don't ask in the same moment.
const SPREAD_BEATS: u64 = 18;
/// The beats of all buses fall together: ten that ask in one moment wake the machine once, not ten times.
const BEAT_MS: u64 = 50;
/// Facts for which a bus keeps memory between rounds.
const KEPT_FACTS: usize = 4;
/// When there is nothing to do at all.
const IDLE: Duration = Duration::from_secs(3600);
/// The dead of a bus together get at most one part in so many of its time.
const SHARE_OF_THE_DEAD: u32 = 20;

/// What a bus is made of.
pub struct BusParts {
    /// The connection.
    pub config: BusConfig,
    /// The devices on it.
    pub devices: Vec<ModbusDevice>,
    /// Where observations go.
    pub sink: Arc<dyn ObservationSink>,
    /// Writes to these devices ([`Intent::WritePoint`]).
    pub writes: mpsc::Receiver<Intent>,
    /// Spreads first requests and pauses.
    pub seed: u64,
}

/// A bus, ready to run.
pub struct Bus {
    config: BusConfig,
    devices: Vec<Device>,
    /// Devices that are asked on a connection of their own.
    apart: BTreeSet<usize>,
    agenda: Agenda,
    sink: Arc<dyn ObservationSink>,
    intents: mpsc::Receiver<Intent>,
    line: Line,
    /// Lanes without a job.
    free: Vec<usize>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    tally: Arc<Tally>,
    /// When the first requests go out.
    spread: Duration,
    random: SmallRng,
    began: Instant,
    /// What the link was last said to be.
    told: Option<bool>,
    /// Where the connection was last said to be.
    told_place: String,
    pause: Duration,
    /// No connection is tried before this.
    reconnect: Duration,
    /// No dead device is asked before this.
    dead_not_before: Duration,
    /// Kept between rounds for its memory.
    facts: Vec<Fact>,
}

impl Bus {
    /// A bus of these parts.
    pub fn new(parts: BusParts) -> Self {
        let BusParts { config, devices, sink, writes, seed } = parts;
        let mut random = SmallRng::seed_from_u64(seed);
        let into_beat = Timestamp::now().as_millisecond().cast_unsigned() % BEAT_MS;
        let beats = random.random_range(1..=SPREAD_BEATS);
        let spread = Duration::from_millis(beats * BEAT_MS - into_beat);
        let lanes = devices.iter().map(|device| usize::from(device.map.max_in_flight)).max().unwrap_or(1);
        let worth = config.gap_worth();
        let tally = Tally::new(&config, &devices);
        let devices: Vec<Device> =
            devices.into_iter().map(|device| Device::new(device, worth, spread)).collect();
        let line = Line::new(&config, lanes).counting(tally.line());
        tally.lanes(line.lanes());
        let mut bus = Self {
            apart: BTreeSet::new(),
            agenda: Agenda::new(devices.len()),
            free: (0..line.lanes()).rev().collect(),
            line,
            config,
            devices,
            sink,
            intents: writes,
            running: FuturesUnordered::new(),
            tally,
            spread,
            random,
            began: Instant::now(),
            told: None,
            told_place: String::new(),
            pause: FIRST_PAUSE,
            reconnect: Duration::ZERO,
            dead_not_before: Duration::ZERO,
            facts: Vec::new(),
        };
        for n in 0..bus.devices.len() {
            bus.enter(n);
        }
        bus
    }

    /// The same bus, that counts there: what was counted before goes on.
    #[must_use]
    pub fn counting(mut self, tally: Arc<Tally>) -> Self {
        self.line = Line::new(&self.config, self.line.lanes()).counting(tally.line());
        tally.lanes(self.line.lanes());
        self.tally = tally;
        self
    }

    /// The same bus, that knows what the house remembers of its devices ([`Fact::Noted`]).
    #[must_use]
    pub fn recalling(mut self, notes: &BTreeMap<DeviceId, String>) -> Self {
        for n in 0..self.devices.len() {
            if let Some(note) = notes.get(&self.devices[n].id) {
                self.devices[n].recall(note, self.spread);
                self.devices[n].note(&mut self.facts);
                self.enter(n);
            }
        }
        self
    }

    /// Polls and writes until `cancel`.
    ///
    /// # Errors
    /// The house has stopped taking observations.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), SinkClosed> {
        loop {
            while let Ok(intent) = self.intents.try_recv() {
                self.accept(intent);
            }
            self.tell().await?;
            if self.wants_connection() {
                if cancel.run_until_cancelled(self.connect()).await.is_none() {
                    return Ok(());
                }
                continue;
            }
            while self.line.is_connected() && self.start_next() {}
            // A job that could end at once has put facts down: they go first.
            if !self.facts.is_empty() {
                continue;
            }
            let wait = self.until_next();
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(done) = self.running.next(), if !self.running.is_empty() => self.finished(done),
                intent = self.intents.recv(), if !self.intents.is_closed() => {
                    if let Some(intent) = intent {
                        self.accept(intent);
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// True where something is due, and there is no line to ask on, and it may be tried again.
    fn wants_connection(&self) -> bool {
        let now = self.now();
        !self.line.is_connected()
            && self.running.is_empty()
            && now >= self.reconnect
            && self.agenda.next().is_some_and(|due| due <= now)
    }

    fn until_next(&self) -> Duration {
        let now = self.now();
        if self.free.is_empty() {
            return IDLE;
        }
        let due = self.agenda.next().unwrap_or(now + IDLE);
        let due = if self.line.is_connected() { due } else { due.max(self.reconnect) };
        // Without a line, what is running ends first, and that wakes this loop.
        if !self.line.is_connected() && !self.running.is_empty() {
            return IDLE;
        }
        due.saturating_sub(now)
    }

    /// Tells the agenda what device `n` wants.
    fn enter(&mut self, n: usize) {
        let device = &self.devices[n];
        if device.busy {
            self.agenda.enter(n, None, None);
            return;
        }
        let hold = if device.is_unwell() { self.dead_not_before } else { Duration::ZERO };
        let write = device.next_write().map(|(due, _)| due);
        let poll = device.next_poll().map(|(due, _)| due.max(hold));
        self.agenda.enter(n, write, poll);
    }

    /// Gives the job that is due first to a lane. False where none is due, or no lane is free.
    fn start_next(&mut self) -> bool {
        if self.free.is_empty() {
            return false;
        }
        let now = self.now();
        let Some((n, write)) = self.agenda.due(now) else { return false };
        let device = &self.devices[n];
        if !write && device.is_unwell() && now < self.dead_not_before {
            // Another of the dead has had its turn since this one was entered.
            self.enter(n);
            return true;
        }
        let next = if write { device.next_write() } else { device.next_poll() };
        match next {
            Some((_, Job::Write(point))) => self.start_write(n, point),
            Some((due, Job::Poll(request))) => {
                // The dead wait on purpose.
                let lag = (!device.is_unwell()).then(|| now.saturating_sub(due));
                self.start_poll(n, request, lag);
            }
            None => self.enter(n),
        }
        true
    }

    fn start_poll(&mut self, n: usize, number: usize, lag: Option<Duration>) {
        let device = &self.devices[n];
        if !device.identified {
            self.start(n, What::Identity, lag, |lane, manner| Box::pin(asks::identity(lane, manner)));
            return;
        }
        let Some(request) = device.request(number) else { return };
        let (function, first, count) = (request.function, request.first, request.count);
        self.start(n, What::Poll(number), lag, move |lane, manner| {
            Box::pin(asks::read(lane, manner, function, first, count))
        });
    }

    fn start(
        &mut self,
        n: usize,
        what: What,
        lag: Option<Duration>,
        ask: impl FnOnce(super::line::Lane, Manner) -> BoxFuture<'static, Answer> + Send + 'static,
    ) {
        let Some(lane) = self.free.pop() else { return };
        let began = self.now();
        let device = &mut self.devices[n];
        device.busy = true;
        if let What::Poll(number) = what {
            device.sent(number, began);
        }
        let longest = device.map.timeout.unwrap_or(Duration::from_millis(u64::from(self.config.timeout_ms)));
        let manner = Manner { unit: device.unit, longest, map: Arc::clone(&device.map) };
        self.enter(n);
        self.tally.asked(n, matches!(what, What::Write(_)), lag);
        let asked = if self.apart.contains(&n) {
            Box::pin(aside::ask(self.line.aside(), what, move |lane| ask(lane, manner)))
        } else {
            ask(self.line.lane(lane), manner)
        };
        self.running
            .push(Box::pin(async move { Done { device: n, lane, what, began, answer: asked.await } }));
    }

    /// What was learnt of a device is to be found out anew.
    fn forget(&mut self, id: &DeviceId) {
        let now = self.now();
        let Some(n) = self.devices.iter().position(|device| device.id == *id) else { return };
        // While it is being asked its requests keep their numbers.
        if self.devices[n].busy {
            self.devices[n].forget_soon = true;
        } else {
            self.devices[n].forget(now);
            self.enter(n);
        }
    }

    /// Tells the house what has been found out.
    async fn tell(&mut self) -> Result<(), SinkClosed> {
        if self.facts.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let told = self.facts.drain(..).map(|fact| Observation::new(now, fact)).collect();
        self.sink.report_all(told).await?;
        // The first answers of a device bring all its points; later ones a few.
        self.facts.shrink_to(KEPT_FACTS);
        Ok(())
    }

    async fn connect(&mut self) {
        match self.line.connect().await {
            Ok(()) => {
                self.pause = FIRST_PAUSE;
                let place = self.line.place();
                // From one host to the other without a moment in between is news too.
                if self.told_place != place {
                    self.told = None;
                    self.told_place.clone_from(&place);
                }
                self.link(true, format!("connected to {place}"));
            }
            Err(failure) => {
                let (now, why) = (self.now(), failure.in_words(""));
                self.reconnect = now + self.spread(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.link(false, why.clone());
                for device in &mut self.devices {
                    device.failed(&why, Duration::ZERO, now, &mut self.facts);
                    // What holds it up is the connection, and that has a pause of its own.
                    device.free();
                }
                for n in 0..self.devices.len() {
                    self.enter(n);
                }
            }
        }
    }

    /// Between a half and the whole of a pause.
    fn spread(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(0.5 + self.random.random::<f64>() / 2.0)
    }

    fn link(&mut self, up: bool, detail: String) {
        if self.told != Some(up) {
            self.told = Some(up);
            let link = LinkId::new(format!("modbus-{}", self.config.id));
            self.facts.push(Fact::Link { link, up, detail });
        }
    }

    /// What has come of a job.
    fn finished(&mut self, done: Done) {
        let Done { device: n, lane, what, began, answer } = done;
        let now = self.now();
        self.free.push(lane);
        let device = &mut self.devices[n];
        device.busy = false;
        device.rest_until(now + device.map.pause);
        if !matches!(answer, Answer::Written(Err(WriteFailure::Refused(_)))) {
            self.tally.ended(n, now - began, device.is_unwell(), answer.failure());
        }
        let says = aside::says(&answer);
        match (what, answer) {
            (What::Poll(number), Answer::Words(answer)) => self.polled(n, number, answer, now - began),
            (What::Identity, Answer::Identity(answer)) => self.identified(n, answer, now - began),
            (What::Write(point), Answer::Written(answer)) => self.after_write(n, point, answer, now - began),
            (What::ReadBack(point), Answer::Words(answer)) => self.read_back(n, point, answer, now - began),
            // Each job gives the answer of its kind.
            _ => {}
        }
        if std::mem::take(&mut self.devices[n].forget_soon) {
            self.devices[n].forget(now);
        }
        match says {
            Says::Breaks if self.breaks_others(n) => drop(self.apart.insert(n)),
            Says::Together => drop(self.apart.remove(&n)),
            Says::Breaks | Says::Nothing => {}
        }
        if !self.line.is_connected() {
            // Devices that break their connection must not be met with one connection after another.
            self.reconnect = self.reconnect.max(now + self.spread(FIRST_PAUSE.min(self.pause)));
        }
        self.enter(n);
    }

    /// Whether it is the one whose answers end the connection of the others: they all lose it, and only this one never
    /// answers in between.
    fn breaks_others(&self, n: usize) -> bool {
        let ended = !self.line.is_connected() && self.line.can_be_aside();
        ended && self.devices.len() > 1 && self.devices[n].is_unwell()
    }

    fn polled(&mut self, n: usize, number: usize, answer: Result<Words, Failure>, took: Duration) {
        let (now, at) = (self.now(), Timestamp::now());
        let device = &mut self.devices[n];
        let Some(request) = device.request(number) else { return };
        let (first, count) = (request.first, request.count);
        match answer {
            Ok(words) => {
                self.tally.values(n, count);
                device.heard(number, words, now, at, &mut self.facts);
                device.note(&mut self.facts);
            }
            Err(failure) => {
                let place =
                    if count == 1 { first.to_string() } else { format!("{first}..{}", first + (count - 1)) };
                // Devices refuse gaps and lengths that no manual names, and points that a model does not have.
                if matches!(failure, Failure::Exception(2 | 3)) {
                    let learnt = device.refused(number, now, at, &mut self.facts);
                    device.note(&mut self.facts);
                    if learnt {
                        device.well(at, &mut self.facts);
                        self.tally.failed(n, at, &failure.in_words(&place));
                        return;
                    }
                }
                if failure.may_pass() && device.try_again(number, now) {
                    self.tally.retried(n);
                    self.tally.failed(n, at, &failure.in_words(&place));
                    return;
                }
                self.failed(n, &failure, &place, took);
            }
        }
    }

    fn identified(
        &mut self,
        n: usize,
        answer: Result<(Option<Words>, Option<DeviceIdentity>), Failure>,
        took: Duration,
    ) {
        let map = Arc::clone(&self.devices[n].map);
        let another = match answer {
            Ok((words, identity)) => other_make(&map, words.as_ref(), identity.as_ref()),
            Err(failure) => return self.failed(n, &failure, "the question which device it is", took),
        };
        match another {
            None => self.devices[n].identified = true,
            Some(why) => {
                let now = self.now();
                self.devices[n].failed(&why, took, now, &mut self.facts);
                self.hold_the_dead(n, now, took);
            }
        }
    }

    fn failed(&mut self, n: usize, failure: &Failure, what: &str, took: Duration) {
        let (now, why) = (self.now(), failure.in_words(what));
        self.tally.failed(n, Timestamp::now(), &why);
        self.devices[n].failed(&why, took, now, &mut self.facts);
        self.hold_the_dead(n, now, took);
    }

    /// One of the dead has held a lane up for `took`: the next of them waits so long that they have their share.
    fn hold_the_dead(&mut self, n: usize, now: Duration, took: Duration) {
        if self.devices[n].is_unwell() {
            let lanes = u32::try_from(self.line.lanes()).unwrap_or(1).max(1);
            let rest = took.saturating_mul(SHARE_OF_THE_DEAD - 1) / lanes;
            self.dead_not_before = self.dead_not_before.max(now + rest);
        }
    }
}

/// Why the device is not of its profile's make; `None` where it is.
fn other_make(
    map: &crate::profile::modbus::ModbusMap,
    words: Option<&Words>,
    identity: Option<&DeviceIdentity>,
) -> Option<String> {
    if let (Some((_, address, expect)), Some(words)) = (&map.identity, words) {
        match words {
            Words::Registers(words) if words.iter().all(|word| expect.contains(word)) => {}
            Words::Registers(words) => {
                return Some(format!(
                    "it is another device: register {address} has {:#06x}, expected {}",
                    words.first().copied().unwrap_or_default(),
                    expect.iter().map(|word| format!("{word:#06x}")).collect::<Vec<_>>().join(" or ")
                ));
            }
            Words::Bits(_) => return Some("it is another device".to_owned()),
        }
    }
    let (rule, said) = (map.device_id.as_ref()?, identity?);
    (!rule.fits(&said.vendor, &said.product, &said.revision)).then(|| {
        format!(
            "it is another device: it says vendor `{}`, product `{}`, revision `{}`; expected {}",
            said.vendor,
            said.product,
            said.revision,
            rule.in_words()
        )
    })
}

#[cfg(test)]
mod tests;
