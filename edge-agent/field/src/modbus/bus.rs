//! The shell of one bus: its connection, its clock, and the loop that does one thing at a time.

use super::client::{Client, Failure};
use super::config::BusConfig;
use super::decode::{decode, encode, needs, ordered};
use super::device::{Device, Job, ModbusDevice, written};
use super::writes::{Do, Pending};
use engawa_model::{
    CommandKey, CommandOutcome, Fact, Intent, LinkId, Observation, ObservationSink, PointId, SinkClosed,
    Timestamp, Value,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
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

/// Counters since the start.
#[derive(Debug, Default)]
pub struct BusCounters {
    /// Requests sent.
    pub requests: AtomicU64,
    /// Registers and bits read.
    pub registers: AtomicU64,
    /// Requests without an answer in time.
    pub timeouts: AtomicU64,
    /// Refusals by devices.
    pub exceptions: AtomicU64,
    /// Answers that were none.
    pub garbage: AtomicU64,
}

/// A bus, ready to run.
pub struct Bus {
    config: BusConfig,
    devices: Vec<Device>,
    sink: Arc<dyn ObservationSink>,
    intents: mpsc::Receiver<Intent>,
    client: Client,
    counters: Arc<BusCounters>,
    random: SmallRng,
    began: Instant,
    /// What the link was last said to be.
    told: Option<bool>,
    pause: Duration,
    /// No connection is tried before this.
    reconnect: Duration,
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
        let devices = devices.into_iter().map(|device| Device::new(device, Duration::ZERO, spread)).collect();
        Self {
            client: Client::new(config.address.clone()),
            config,
            devices,
            sink,
            intents: writes,
            counters: Arc::default(),
            random,
            began: Instant::now(),
            told: None,
            pause: FIRST_PAUSE,
            reconnect: Duration::ZERO,
            facts: Vec::new(),
        }
    }

    /// The counters, for the metrics.
    pub fn counters(&self) -> Arc<BusCounters> {
        Arc::clone(&self.counters)
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
            let now = self.now();
            let next = self.next(now);
            let (due, at) = next.map_or((now + IDLE, None), |(due, device, job)| (due, Some((device, job))));
            if let (true, Some((device, job))) = (due <= now, at) {
                if cancel.run_until_cancelled(self.work(device, job)).await.is_none() {
                    return Ok(());
                }
                continue;
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                intent = self.intents.recv() => match intent {
                    Some(intent) => self.accept(intent),
                    // Nobody can want anything any more; polling goes on until it is cancelled.
                    None => tokio::time::sleep(due - now).await,
                },
                () = tokio::time::sleep(due - now) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is due first of all devices. While there is no connection, nothing before the next attempt.
    fn next(&self, now: Duration) -> Option<(Duration, usize, Job)> {
        let jobs = self
            .devices
            .iter()
            .enumerate()
            .filter_map(|(n, device)| device.next(now).map(|(due, job)| (due, n, job)));
        // Among what is due now, writes go first.
        let rank = |(due, _, job): &(Duration, usize, Job)| match (*due <= now, job) {
            (true, Job::Write(_)) => (Duration::ZERO, 0),
            (_, Job::Write(_)) => (*due, 0),
            (_, Job::Poll(_)) => (*due, 1),
        };
        let (due, device, job) = jobs.min_by_key(rank)?;
        let due = if self.client.is_connected() { due } else { due.max(self.reconnect) };
        Some((due, device, job))
    }

    /// Takes an order of the house.
    fn accept(&mut self, intent: Intent) {
        let Intent::WritePoint { key, point, value, expires } = intent else { return };
        let now = self.now();
        let found = self.devices.iter_mut().find(|device| device.id == point.device);
        let refused = match found {
            None => format!("there is no device `{}` on this bus", point.device),
            Some(device) => match take(device, &key, &point, value, expires, now) {
                Ok(()) => return,
                Err(reason) => reason,
            },
        };
        self.facts.push(written(key, CommandOutcome::Refused { reason: refused }, None));
    }

    /// Tells the house what has been found out.
    async fn tell(&mut self) -> Result<(), SinkClosed> {
        for fact in self.facts.drain(..) {
            self.sink.report(Observation::new(Timestamp::now(), fact)).await?;
        }
        // The first answers of a device bring all its points; later ones a few.
        self.facts.shrink_to(KEPT_FACTS);
        Ok(())
    }

    async fn work(&mut self, n: usize, job: Job) {
        if !self.client.is_connected() && !self.connect().await {
            return;
        }
        match job {
            Job::Write(point) => self.write(n, point).await,
            Job::Poll(request) => self.poll(n, request).await,
        }
        if !self.client.is_connected() {
            // Devices that break their connection must not be met with one connection after another.
            self.reconnect = self.now() + self.spread(FIRST_PAUSE.min(self.pause));
        }
    }

    async fn connect(&mut self) -> bool {
        match self.client.connect().await {
            Ok(()) => {
                self.pause = FIRST_PAUSE;
                self.link(true, format!("connected to {}", self.config.address));
                true
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
                false
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

    fn timeout(&self, n: usize) -> Duration {
        self.devices[n].map.timeout.unwrap_or(Duration::from_millis(u64::from(self.config.timeout_ms)))
    }

    async fn poll(&mut self, n: usize, request_number: usize) {
        if !self.devices[n].identified && !self.identify(n).await {
            return;
        }
        let longest = self.timeout(n);
        let device = &self.devices[n];
        let (unit, pause) = (device.unit, device.map.pause);
        let Some(request) = device.request(request_number) else { return };
        let (function, first, count) = (request.function, request.first, request.count);
        let before = self.now();
        count_one(&self.counters.requests);
        let answer = self.client.read(unit, function, first, count, longest).await;
        let (now, at) = (self.now(), Timestamp::now());
        let device = &mut self.devices[n];
        device.sent(request_number, before);
        device.rest_until(now + pause);
        match answer {
            Ok(words) => {
                self.counters.registers.fetch_add(u64::from(count), Ordering::Relaxed);
                device.heard(request_number, &words, at, &mut self.facts);
            }
            Err(failure) => {
                // Devices refuse gaps and lengths that no manual names: the parts are asked for from now on.
                if matches!(failure, Failure::Exception(2 | 3)) && device.split(request_number, now) {
                    count_one(&self.counters.exceptions);
                    return;
                }
                let what =
                    if count == 1 { first.to_string() } else { format!("{first}..{}", first + (count - 1)) };
                self.failed(n, &failure, &what, now - before);
            }
        }
    }

    /// Looks whether the device is of the make that its profile is for.
    async fn identify(&mut self, n: usize) -> bool {
        let longest = self.timeout(n);
        let Some((function, address, expect)) = self.devices[n].map.identity.clone() else { return true };
        let before = self.now();
        count_one(&self.counters.requests);
        let answer = self.client.read(self.devices[n].unit, function, address, 1, longest).await;
        let now = self.now();
        match answer {
            Ok(super::decode::Words::Registers(words)) if words.iter().all(|word| expect.contains(word)) => {
                self.devices[n].identified = true;
                true
            }
            Ok(words) => {
                let why = match words {
                    super::decode::Words::Registers(words) => format!(
                        "it is another device: register {address} has {:#06x}, expected {}",
                        words.first().copied().unwrap_or_default(),
                        expect.iter().map(|word| format!("{word:#06x}")).collect::<Vec<_>>().join(" or ")
                    ),
                    super::decode::Words::Bits(_) => "it is another device".to_owned(),
                };
                self.devices[n].failed(&why, now - before, now, &mut self.facts);
                false
            }
            Err(failure) => {
                self.failed(n, &failure, &address.to_string(), now - before);
                false
            }
        }
    }

    fn failed(&mut self, n: usize, failure: &Failure, what: &str, took: Duration) {
        let now = self.now();
        count_one(match failure {
            Failure::Exception(_) => &self.counters.exceptions,
            Failure::Garbage(_) | Failure::Half(..) => &self.counters.garbage,
            _ => &self.counters.timeouts,
        });
        self.devices[n].failed(&failure.in_words(what), took, now, &mut self.facts);
    }

    async fn write(&mut self, n: usize, point: usize) {
        let (longest, now) = (self.timeout(n), self.now());
        let early = self.devices[n].too_early(point, now);
        let device = &mut self.devices[n];
        let (unit, pause, map) = (device.unit, device.map.pause, Arc::clone(&device.map));
        let Some(pending) = device.writes.get_mut(&point) else { return };
        let Some(spec) = map.points.get(point) else { return };
        let step = pending.next(Timestamp::now());
        match step {
            Err(outcome) => self.end(n, point, outcome, None),
            Ok(Do::Write) => {
                if let Some(due) = early {
                    pending.not_sent(due);
                    return;
                }
                // It was encoded when it was taken.
                let Ok(words) = encode(spec, &pending.value) else { return };
                let words = ordered(spec, words);
                let function = spec.write.as_ref().map_or(6, |rule| rule.function);
                count_one(&self.counters.requests);
                let answer = self.client.write(unit, function, spec.address, &words, longest).await;
                let done = self.now();
                self.devices[n].rest_until(done + pause);
                self.after_write(n, point, answer, done - now);
            }
            Ok(Do::Read) => {
                count_one(&self.counters.requests);
                let answer = self.client.read(unit, spec.function, spec.address, spec.length, longest).await;
                let done = self.now();
                self.devices[n].rest_until(done + pause);
                match answer {
                    Ok(words) => {
                        let Some(read) = decode(&map, spec, spec.address, &words) else { return };
                        let at = Timestamp::now();
                        self.devices[n].well(at, &mut self.facts);
                        let ended = self.devices[n]
                            .writes
                            .get_mut(&point)
                            .and_then(|pending| pending.read_back(spec, &read, done));
                        if let Some(outcome) = ended {
                            let value = read.value.clone();
                            // First what the device has, then how the order ended: in between, the value is the
                            // house's doing and no guest's.
                            self.devices[n].holds(point, read, at, &mut self.facts);
                            self.end(n, point, outcome, value);
                        }
                    }
                    Err(failure) => {
                        self.failed(n, &failure, &format!("{} (read back)", spec.address), done - now);
                    }
                }
            }
        }
    }

    fn after_write(&mut self, n: usize, point: usize, answer: Result<(), Failure>, took: Duration) {
        let (now, at) = (self.now(), Timestamp::now());
        let map = Arc::clone(&self.devices[n].map);
        let Some(spec) = map.points.get(point) else { return };
        match answer {
            Ok(()) => {
                self.devices[n].note_written(point, now);
                self.devices[n].well(at, &mut self.facts);
                let ended =
                    self.devices[n].writes.get_mut(&point).and_then(|pending| pending.written(spec, now));
                if let Some(outcome) = ended {
                    self.end(n, point, outcome, None);
                }
            }
            // The device has heard it and says no: so it is, whoever asks again.
            Err(Failure::Exception(code @ (1..=4))) => {
                count_one(&self.counters.exceptions);
                let reason =
                    format!("the device refuses it: exception {code} ({})", super::client::exception(code));
                self.end(n, point, CommandOutcome::Refused { reason }, None);
            }
            Err(failure) => {
                let sent = !matches!(failure, Failure::NoConnection(_) | Failure::Exception(_));
                if let Some(pending) = self.devices[n].writes.get_mut(&point) {
                    if sent { pending.in_doubt(now) } else { pending.not_sent(now) }
                }
                self.failed(n, &failure, &format!("a write to {}", spec.address), took);
            }
        }
    }

    fn end(&mut self, n: usize, point: usize, outcome: CommandOutcome, read_back: Option<Value>) {
        if let Some(pending) = self.devices[n].writes.remove(&point) {
            self.facts.push(written(pending.key, outcome, read_back));
        }
    }
}

fn count_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Enters a write; a newer one takes the older one's place, whose order the model has ended already.
fn take(
    device: &mut Device,
    key: &CommandKey,
    point: &PointId,
    value: Value,
    expires: Timestamp,
    now: Duration,
) -> Result<(), String> {
    let number = device
        .map
        .position(&point.point)
        .ok_or_else(|| format!("{} has no point `{}`", point.device, point.point))?;
    let spec = &device.map.points[number];
    encode(spec, &value)?;
    if spec.bits.is_some()
        || spec.write.as_ref().is_some_and(|rule| !rule.companions.is_empty())
        || !needs(spec).is_empty()
    {
        // One request would switch what nobody asked for.
        return Err(format!("{} can't be written by itself, and this bus writes nothing along yet", point));
    }
    if device.writes.get(&number).is_some_and(|pending| pending.key == *key) {
        // Given again after a restart of either side: it goes on as it was.
        return Ok(());
    }
    device.writes.insert(number, Pending::new(key.clone(), number, value, expires, now));
    Ok(())
}
