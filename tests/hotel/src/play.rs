//! The conductor: opens everything, plays the day in its time, and waits until all of it has arrived.

use crate::cli::Play;
use crate::clock::Clock;
use crate::configuration::{self, Configuration, Mqtt};
use crate::house::{Bus, Room};
use crate::modbus;
use crate::mqtt::Publisher;
use crate::physics;
use crate::plan::{self, Event, What};
use crate::played::{Happened, Played};
use crate::pms::Pms;
use crate::pms_line::{Cue, PmsLine};
use crate::profiles;
use crate::progress::{Progress, ProgressFile};
use crate::random::Random;
use crate::rooms::{Climate, rooms};
use crate::tally::Tally;
use anyhow::{Context, anyhow};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How often the rooms' air is calculated and the progress written.
const TICK: Duration = Duration::from_millis(250);
/// How often the sensors report without a change.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A guest turns the knob only where no write has reached the room for this long.
const WALL_QUIET: Duration = Duration::from_millis(1_500);
/// A guest who wants to turn the knob does so after this long at the latest.
const WALL_PATIENCE: Duration = Duration::from_secs(10);
/// How long the house must be at rest before the day is over.
const REST: Duration = Duration::from_secs(3);
/// How long the PMS may take to say LE at the end.
const GOODBYE: Duration = Duration::from_secs(6);

/// Everything that the day is played with.
struct Stage {
    property: String,
    rooms: BTreeMap<String, Arc<Room>>,
    clock: Arc<Clock>,
    tally: Arc<Tally>,
    sensors: Arc<Publisher>,
    till: Arc<Publisher>,
    cues: mpsc::Sender<Cue>,
    ready: watch::Receiver<bool>,
    total: usize,
    settle: Duration,
}

/// Plays the day.
pub(crate) async fn run(options: Play) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.dir).with_context(|| format!("making {}", options.dir.display()))?;
    let (stop, broken) = (CancellationToken::new(), CancellationToken::new());
    let tally = Arc::new(Tally::new(Played::create(&options.dir, broken.clone())?, configuration::CURRENCY));
    let places = rooms(usize::from(options.rooms));
    let numbers: Vec<String> = places.iter().map(|place| place.number.clone()).collect();
    let events = plan::plan(options.seed, &numbers, options.seconds);
    let date =
        options.date.unwrap_or_else(|| jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date());
    let clock = Arc::new(Clock::new(date, Duration::from_secs(options.seconds)));

    let rooms: BTreeMap<String, Arc<Room>> =
        places.into_iter().map(|place| (place.number.clone(), Arc::new(Room::new(place)))).collect();
    let mut configuration = Configuration::new(&options.out, numbers.clone(), options.resync_every_s);
    open_buses(&rooms, &numbers, &tally, &mut configuration, &stop).await?;
    let listener =
        TcpListener::bind(("127.0.0.1", options.pms_port)).await.context("opening the PMS's port")?;
    let pms_address = listener.local_addr().context("asking for the PMS's port")?.to_string();
    configuration.pms = Some(configuration::Pms {
        address: pms_address.clone(),
        charset: options.charset,
        reconnect_max_s: 2,
    });
    configuration.mqtt = Some(Mqtt::at(options.mqtt, options.site_broker));
    if let Some(file) = &options.out.config_out {
        configuration.write(file, profiles::SENSORS, &profiles::sensors())?;
    }

    let (cues, heard) = mpsc::channel(1);
    let (ready, watching) = watch::channel(false);
    let line = PmsLine {
        listener,
        pms: Pms::new(numbers, configuration::CURRENCY),
        clock: Arc::clone(&clock),
        tally: Arc::clone(&tally),
        charset: options.charset,
        cues: heard,
        ready,
    };
    let pms = tokio::spawn(line.run(stop.clone()));
    let sensors = Publisher::new("hotel-sensors", options.mqtt, Arc::clone(&tally));
    let till = Publisher::new("hotel-till", options.mqtt, Arc::clone(&tally));
    for publisher in [&sensors, &till] {
        tokio::spawn(Arc::clone(publisher).run(stop.clone()));
    }
    let mut stage = Stage {
        property: options.out.property.clone(),
        rooms,
        clock,
        tally: Arc::clone(&tally),
        sensors,
        till,
        cues,
        ready: watching,
        total: events.len(),
        settle: Duration::from_secs(options.settle_s),
    };
    say_ready(Some(&pms_address), options.out.config_out.as_deref())?;

    let file = ProgressFile::new(&options.dir);
    let weather = 6.0 + Random::new(options.seed).between(0, 60) as f64 / 10.0;
    let (living, reporting) = (stage.live(weather), stage.report());
    let (rooms, day) = (stage.rooms.clone(), (stage.total, Arc::clone(&stage.clock)));
    let show = || file.write(&progress(&rooms, day.0, &day.1, &tally));
    let shown = async {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            if let Err(error) = show() {
                return error;
            }
        }
    };
    let playing = async {
        stage.play(events).await?;
        if options.keep {
            std::future::pending::<()>().await;
        }
        anyhow::Ok(())
    };
    let ended = tokio::select! {
        ended = playing => ended,
        error = shown => Err(error),
        () = living => Ok(()),
        () = reporting => Ok(()),
        () = broken.cancelled() => Ok(()),
        asked = asked_to_stop() => asked,
    };
    stop.cancel();
    if tokio::time::timeout(GOODBYE, pms).await.is_err() {
        tracing::warn!("the PMS could not say goodbye");
    }
    show()?;
    match tally.failure() {
        Some(error) => Err(anyhow!(error).context("writing played.jsonl")),
        None => ended,
    }
}

/// Opens a Modbus server for each bus of the rooms.
async fn open_buses(
    rooms: &BTreeMap<String, Arc<Room>>,
    numbers: &[String],
    tally: &Arc<Tally>,
    configuration: &mut Configuration,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut buses: BTreeMap<String, BTreeMap<u8, Arc<Room>>> = BTreeMap::new();
    for room in numbers.iter().filter_map(|number| rooms.get(number)) {
        let place = &room.place;
        buses.entry(place.bus.clone()).or_default().insert(place.unit, Arc::clone(room));
        let (profile, kind) = match place.climate {
            Climate::Rdf302 => ("siemens-rdf302", "thermostat"),
            Climate::Intesis => ("intesis-inmbsdai", "ac"),
        };
        configuration.device.push(configuration::Device {
            id: format!("{kind}-{}", place.number),
            room: place.number.clone(),
            profile,
            bus: Some(place.bus.clone()),
            unit: Some(place.unit),
            name: None,
        });
        configuration.device.push(configuration::Device {
            id: format!("sensors-{}", place.number),
            room: place.number.clone(),
            profile: profiles::SENSORS,
            name: Some(format!("sensors-{}", place.number)),
            ..configuration::Device::default()
        });
    }
    for (id, units) in buses {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening a Modbus server")?;
        let address = listener.local_addr().context("asking for a Modbus server's port")?.to_string();
        configuration.bus.push(configuration::Bus { id, address });
        let line = Arc::new(Bus { units, tally: Arc::clone(tally) });
        tokio::spawn(modbus::serve(listener, line, stop.clone()));
    }
    Ok(())
}

impl Stage {
    /// Plays the events, each in its time, and waits for the end of all that they set going.
    async fn play(&mut self, events: Vec<Event>) -> anyhow::Result<()> {
        for event in events {
            self.wait_until(Duration::from_millis(event.at)).await?;
            self.perform(event.what).await?;
        }
        self.come_to_rest().await;
        let (unsettled, _) = self.tally.unsettled();
        self.tally.enter(&Happened::DayDone { unsettled });
        Ok(())
    }

    /// Waits until the link is alive, every charge is acknowledged and has its answer (or no answer came for long),
    /// and no write reaches the rooms any more; all that for [`REST`], since a gateway may still be at work.
    async fn come_to_rest(&self) {
        let mut since: Option<Instant> = None;
        loop {
            let (open, quiet_for) = self.tally.unsettled();
            let settled = self.till.waiting() == 0 && (open.is_empty() || quiet_for >= self.settle);
            let quiet = self.rooms.values().all(|room| room.quiet_for(WALL_QUIET));
            if !(settled && quiet && *self.ready.borrow()) {
                since = None;
            } else if since.get_or_insert_with(Instant::now).elapsed() >= REST {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a play time; the clock stands still while the link is down.
    async fn wait_until(&mut self, at: Duration) -> anyhow::Result<()> {
        loop {
            let ready = *self.ready.borrow_and_update();
            let left = at.saturating_sub(self.clock.elapsed());
            if ready && left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                changed = self.ready.changed() => changed.context("the PMS has stopped")?,
                () = tokio::time::sleep(left), if ready => {}
            }
        }
    }

    async fn perform(&mut self, what: What) -> anyhow::Result<()> {
        if what.is_of_pms() {
            let (done, out) = oneshot::channel();
            // The PMS counts it when it is out.
            self.cues.send((what, done)).await.context("the PMS has stopped")?;
            return out.await.context("the PMS has stopped");
        }
        match what {
            What::Charge(charge) => {
                let payload = serde_json::json!({
                    "key": charge.key,
                    "do": "post",
                    "room": charge.room,
                    "stay": charge.stay,
                    "amount": { "minor": charge.minor, "currency": configuration::CURRENCY },
                    "text": charge.text,
                    "outlet": charge.outlet,
                });
                let topic = format!("engawa/{}/cmd", self.property);
                self.till.publish(topic, payload.to_string().into_bytes(), Some(charge));
            }
            What::Wall { room: number, celsius } => {
                let Some(room) = self.rooms.get(&number).map(Arc::clone) else { return Ok(()) };
                let quiet = async {
                    while !room.quiet_for(WALL_QUIET) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                };
                // A room that is never quiet is turned nevertheless: guests do not wait for ever.
                let _ = tokio::time::timeout(WALL_PATIENCE, quiet).await;
                room.turn(celsius);
                self.tally.enter(&Happened::Wall { room: number, celsius });
            }
            What::Window { room, open } => {
                self.with_room(&room, |room| room.window(open))?;
                self.tally.enter(&Happened::Window { room, open });
            }
            What::Presence { room, present } => self.with_room(&room, |room| room.presence(present))?,
            // The PMS's, see above.
            What::CheckIn { .. } | What::Move { .. } | What::CheckOut { .. } | What::Audit { .. } => {}
        }
        self.tally.step();
        Ok(())
    }

    /// Changes a room, and lets its sensors say so.
    fn with_room(&self, number: &str, change: impl FnOnce(&Room)) -> anyhow::Result<()> {
        if let Some(room) = self.rooms.get(number) {
            change(room);
            tell(&self.sensors, room)?;
        }
        Ok(())
    }

    /// Lets time pass in the rooms.
    fn live(&self, mean: f64) -> impl Future<Output = ()> + use<> {
        let (rooms, clock) = (self.rooms.clone(), Arc::clone(&self.clock));
        async move {
            let mut tick = tokio::time::interval(TICK);
            let hours = TICK.as_secs_f64() * clock.speed / 3600.0;
            loop {
                tick.tick().await;
                let now = clock.hotel_time();
                let outside = physics::outside(f64::from(now.hour()) + f64::from(now.minute()) / 60.0, mean);
                rooms.values().for_each(|room| room.live(hours, outside));
            }
        }
    }

    /// Lets all sensors report after each connection, and now and then.
    fn report(&self) -> impl Future<Output = ()> + use<> {
        let (rooms, sensors) = (self.rooms.clone(), Arc::clone(&self.sensors));
        async move {
            let mut connections = sensors.connections();
            while let Ok(changed) =
                tokio::time::timeout(HEARTBEAT, connections.changed()).await.or(anyhow::Ok(Ok(())))
            {
                if changed.is_err() || rooms.values().any(|room| tell(&sensors, room).is_err()) {
                    return;
                }
            }
        }
    }
}

fn tell(sensors: &Publisher, room: &Room) -> anyhow::Result<()> {
    let payload = serde_json::to_vec(&room.sensors()).context("writing a report as JSON")?;
    sensors.publish(format!("hotel/{}/sensors", room.place.number), payload, None);
    Ok(())
}

fn progress(rooms: &BTreeMap<String, Arc<Room>>, total: usize, clock: &Clock, tally: &Tally) -> Progress {
    let counts = tally.counts();
    let view = |room: &Arc<Room>| room.view(counts.guests.get(&room.place.number).copied().unwrap_or(0));
    Progress {
        played: counts.played,
        total,
        clock: clock.hotel_time().strftime("%H:%M").to_string(),
        checked_in: counts.checked_in,
        moved: counts.moved,
        checked_out: counts.checked_out,
        charged: counts.charged,
        booked: counts.booked,
        refused: counts.refused,
        setpoints_written: counts.setpoints_written,
        rooms: rooms.values().map(view).collect(),
    }
}

/// The one line on standard output.
pub(crate) fn say_ready(pms: Option<&str>, config: Option<&Path>) -> anyhow::Result<()> {
    let mut line = String::from("ready");
    if let Some(pms) = pms {
        line += &format!(" pms={pms}");
    }
    if let Some(config) = config {
        line += &format!(" config={}", config.display());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("writing to standard output")
}

/// Done when SIGTERM or SIGINT comes.
pub(crate) async fn asked_to_stop() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
