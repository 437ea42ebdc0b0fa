//! A gateway of two hundred devices, some of them sick, in virtual time.

use super::*;
use crate::profile::{self, Resolved};
use engawa_model::{DeviceId, DeviceState, SinkFuture};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const PROFILE: &str = "
profile = { name = 'p', make = 'm', model = 'm', kind = 'k', protocol = 'modbus', sources = ['this test'] }
[modbus]
interval_ms = 1000
points = [{ name = 'r0', table = 'holding', address = 0, type = 'u16' }]
";
const TIMEOUT: Duration = Duration::from_millis(200);
/// How long a healthy device takes to answer.
const ANSWER: Duration = Duration::from_millis(2);
/// Until then the sick are found out.
const BEGIN: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(240);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Healthy,
    Dead,
    /// Away for twenty seconds, there for twenty, each at a moment of its own.
    Flapping,
    Garbage,
}

/// Two hundred: one that babbles, ten that are dead and ten that come and go, spread over all.
fn manner(unit: u8) -> Manner {
    match unit {
        100 => Manner::Garbage,
        unit if unit % 20 == 7 => Manner::Dead,
        unit if unit % 20 == 13 => Manner::Flapping,
        _ => Manner::Healthy,
    }
}

/// A request that came: when, on which connection, for whom.
type Seen = Arc<Mutex<Vec<(Duration, usize, u8)>>>;

async fn serve(mut stream: DuplexStream, connection: usize, began: Instant, seen: Seen) {
    let mut frame = [0; 12];
    while stream.read_exact(&mut frame).await.is_ok() {
        let (now, unit) = (began.elapsed(), frame[6]);
        seen.lock().unwrap().push((now, connection, unit));
        let answers = match manner(unit) {
            Manner::Healthy => true,
            Manner::Dead => false,
            Manner::Flapping => (now.as_secs() + u64::from(unit / 20) * 4) / 20 % 2 == 0,
            Manner::Garbage => {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                continue;
            }
        };
        if answers {
            tokio::time::sleep(ANSWER).await;
            let answer = [frame[0], frame[1], 0, 0, 0, 5, unit, 3, 2, 0, 7];
            let _ = stream.write_all(&answer).await;
        }
    }
}

struct House(Mutex<Vec<Fact>>);

impl ObservationSink for House {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.0.lock().unwrap().push(observation.fact);
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

#[tokio::test(start_paused = true)]
async fn the_healthy_keep_their_interval_and_their_order_among_the_sick() {
    let Ok(Resolved::Modbus(map)) = profile::load("p.toml", PROFILE).unwrap().resolve(&BTreeMap::new())
    else {
        panic!("a Modbus profile")
    };
    let device =
        |unit: u8| ModbusDevice { id: DeviceId::new(format!("d{unit}")), unit, map: Arc::clone(&map) };
    let (_writes, intents) = mpsc::channel(1);
    let house = Arc::new(House(Mutex::default()));
    let parts = BusParts {
        config: BusConfig {
            timeout_ms: u32::try_from(TIMEOUT.as_millis()).unwrap(),
            ..BusConfig::tcp("b", "gateway:502")
        },
        devices: (1..=200).map(device).collect(),
        sink: Arc::clone(&house) as Arc<dyn ObservationSink>,
        writes: intents,
        seed: 1,
    };
    let (seen, began) = (Seen::default(), Instant::now());
    let mut bus = Bus::new(parts);
    let (of_dial, count) = (Arc::clone(&seen), AtomicUsize::new(0));
    bus.line.dial = Some(Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(4096);
        let connection = count.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(theirs, connection, began, Arc::clone(&of_dial)));
        ours
    }));
    let cancel = CancellationToken::new();
    let running = tokio::spawn(bus.run(cancel.clone()));
    tokio::time::sleep(END).await;
    cancel.cancel();
    running.await.unwrap().unwrap();

    let seen: Vec<_> = seen.lock().unwrap().iter().filter(|(at, ..)| *at >= BEGIN).copied().collect();
    let polls = |unit: u8| -> Vec<Duration> {
        seen.iter().filter(|(_, _, of)| *of == unit).map(|(at, ..)| *at).collect()
    };
    let mut gaps = Vec::new();
    for unit in (1..=200).filter(|unit| manner(*unit) == Manner::Healthy) {
        let polls = polls(unit);
        let wanted = (END - BEGIN).as_secs();
        let count = u64::try_from(polls.len()).unwrap();
        assert!(
            (wanted - 1..=wanted + 1).contains(&count),
            "unit {unit} was asked {count} times in {wanted} s"
        );
        gaps.extend(polls.windows(2).map(|pair| pair[1] - pair[0]));
    }
    gaps.sort_unstable();
    let (p99, longest) = (gaps[gaps.len() * 99 / 100], gaps[gaps.len() - 1]);
    let second = Duration::from_secs(1);
    // One that comes and goes costs its time-outs again each time that it goes, until it is known as unwell.
    assert!(p99 <= second + TIMEOUT * 5 / 2, "p99 of the interval is {p99:?}");
    assert!(longest < 2 * second, "a beat was lost: {longest:?}");

    // The same order in every second: whoever waited for a sick one is first after it.
    let healthy: Vec<u8> =
        seen.iter().map(|(_, _, unit)| *unit).filter(|unit| manner(*unit) == Manner::Healthy).collect();
    let changed = healthy.windows(180).filter(|round| round[0] != round[179]).count();
    assert!(changed * 100 <= healthy.len(), "{changed} of {} polls are out of their order", healthy.len());

    let sick: usize =
        (1..=200).filter(|unit| manner(*unit) == Manner::Dead).map(|unit| polls(unit).len()).sum();
    let share = (TIMEOUT * u32::try_from(sick).unwrap()).as_secs_f64() / (END - BEGIN).as_secs_f64();
    assert!(sick >= 10 && share <= 0.05, "the dead had {share:.3} of the line in {sick} requests");

    // The one that babbles has broken no connection of the others any more.
    let connections: BTreeSet<usize> =
        seen.iter().filter(|(_, _, unit)| *unit != 100).map(|(_, at, _)| *at).collect();
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert!(!polls(100).is_empty(), "it is still looked at");

    let facts = house.0.lock().unwrap();
    let unwell = |unit: u8| {
        let id = format!("d{unit}");
        facts.iter().any(|fact| matches!(fact, Fact::Health { device, state: DeviceState::Unwell, .. } if device.as_str() == id))
    };
    for unit in 1..=200 {
        assert_eq!(unwell(unit), manner(unit) != Manner::Healthy, "unit {unit}: {:?}", manner(unit));
    }
    let well = facts.iter().filter(|fact| matches!(fact, Fact::Health { device, state: DeviceState::Well, .. } if device.as_str() == "d13"));
    assert!(well.count() >= 3, "one that comes and goes is well each time that it is there");
}
