//! What a device refuses is found out, reported as having no value, remembered, and forgotten again; and a point that
//! wears out is not written too often.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod field;

use engawa_field::modbus::{Bus, BusConfig, BusParts, ModbusDevice, Tally, outline};
use engawa_field::profile::Resolved;
use engawa_model::{CommandOutcome, DeviceId, DeviceState, Fact, Intent, PointId, Quality, Value};
use field::{PATIENCE, Site, last, map};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Eight registers in a row, read ten times a second.
const EIGHT: &str = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n\
    [modbus]\ninterval_ms = 100\nretries = 0\n";

fn profile(points: u16, extra: &str) -> String {
    let mut text = EIGHT.to_owned();
    for address in 0..points {
        text += &format!(
            "[[modbus.points]]\nname = 'r{address}'\ntable = 'holding'\naddress = {address}\ntype = 'u16'\n{extra}\n"
        );
    }
    text
}

/// What the device has been asked, and how it behaves.
#[derive(Default)]
struct Device {
    /// (first, count) of each read.
    asked: Mutex<Vec<(u16, u16)>>,
    writes: Mutex<Vec<Instant>>,
    /// It refuses this register,
    refuses: Option<u16>,
    /// and requests of more than so many.
    most: Option<u16>,
    /// It refuses nothing any more.
    mended: AtomicBool,
}

async fn serve(mut stream: TcpStream, device: Arc<Device>) -> std::io::Result<()> {
    loop {
        let mut frame = [0; 12];
        stream.read_exact(&mut frame).await?;
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let (function, first, count) = (frame[7], word(8), word(10));
        let mut pdu = vec![function];
        if function == 6 {
            device.writes.lock().unwrap().push(Instant::now());
            pdu.extend(&frame[8..12]);
        } else {
            device.asked.lock().unwrap().push((first, count));
            let holds = device.refuses.is_some_and(|hole| (first..first + count).contains(&hole));
            let long = device.most.is_some_and(|most| count > most);
            if (holds || long) && !device.mended.load(Ordering::SeqCst) {
                pdu = vec![function | 0x80, 2];
            } else {
                pdu.push(u8::try_from(count * 2).unwrap());
                for address in first..first + count {
                    pdu.extend((100 + address).to_be_bytes());
                }
            }
        }
        let mut answer = frame[..4].to_vec();
        answer.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
        answer.push(frame[6]);
        answer.extend(pdu);
        stream.write_all(&answer).await?;
    }
}

async fn device(device: Device) -> (SocketAddr, Arc<Device>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, device) = (listener.local_addr().unwrap(), Arc::new(device));
    let of_server = Arc::clone(&device);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&of_server)));
        }
    });
    (address, device)
}

/// A bus with one device `t`, and what it counts.
fn site(address: SocketAddr, text: &str, notes: &BTreeMap<DeviceId, String>) -> (Site, Arc<Tally>) {
    let (sender, facts) = watch::channel(Vec::new());
    let (intents, writes) = mpsc::channel(16);
    let Resolved::Modbus(map) = map(text) else { panic!("not Modbus") };
    let devices = vec![ModbusDevice { id: DeviceId::from("t"), unit: 1, map }];
    let config = BusConfig::tcp("b", address.to_string());
    let tally = Tally::new(&config, &devices);
    let sink = Arc::new(field::House(sender));
    let parts = BusParts { config, devices, sink, writes, seed: 1 };
    let cancel = CancellationToken::new();
    tokio::spawn(Bus::new(parts).counting(Arc::clone(&tally)).recalling(notes).run(cancel.clone()));
    (Site { facts, intents, cancel }, tally)
}

/// The newest note of `t`, where there is one.
fn note(facts: &[Fact]) -> Option<Option<String>> {
    facts.iter().rev().find_map(|fact| match fact {
        Fact::Noted { note, .. } => Some(note.clone()),
        _ => None,
    })
}

fn unwell(facts: &[Fact]) -> bool {
    facts.iter().any(|fact| matches!(fact, Fact::Health { state: DeviceState::Unwell, .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_that_is_refused_costs_the_others_nothing() {
    let (address, device) = device(Device { refuses: Some(5), ..Device::default() }).await;
    let text = profile(8, "");
    let (mut site, tally) = site(address, &text, &BTreeMap::new());
    for point in ["r0", "r4", "r6", "r7"] {
        let value: i64 = 100 + point[1..].parse::<i64>().unwrap();
        site.until_value("t", point, &Value::Int(value)).await;
    }
    let none = |facts: &[Fact]| last(facts, &PointId::new("t", "r5"));
    assert_eq!(site.until("r5 without a value", none).await, (None, Quality::Bad));
    let kept = site.until("a note", |facts| note(facts).flatten().filter(|n| n.contains("[3,5,5]"))).await;
    // From now on it is asked in two requests, and the hole is left alone.
    device.asked.lock().unwrap().clear();
    let deadline = Instant::now() + PATIENCE;
    while device.asked.lock().unwrap().len() < 8 {
        assert!(Instant::now() < deadline, "it is no longer asked");
        tokio::task::yield_now().await;
    }
    let asked: std::collections::BTreeSet<_> = device.asked.lock().unwrap().iter().copied().collect();
    assert_eq!(asked, [(0, 5), (6, 2)].into());
    assert!(!unwell(&site.facts.borrow()), "a hole is no sickness");
    let report = tally.report();
    assert!(report.units[0].exceptions["2 illegal data address"] >= 2, "{report:?}");
    assert!(report.units[0].round_trip.count > 0 && report.units[0].lag.count > 0, "{report:?}");
    assert!(report.units[0].last_error.as_ref().is_some_and(|(_, what)| what.contains("exception 2")));
    site.cancel.cancel();

    // The next start knows it from the first request on; the plan shows it.
    device.asked.lock().unwrap().clear();
    let notes: BTreeMap<_, _> = [(DeviceId::from("t"), kept)].into();
    let (mut again, tally) = self::site(address, &text, &notes);
    again.until_value("t", "r7", &Value::Int(107)).await;
    again.until_value("t", "r0", &Value::Int(100)).await;
    assert!(device.asked.lock().unwrap().iter().all(|place| [(0, 5), (6, 2)].contains(place)));
    assert!(tally.report().units[0].exceptions.is_empty());
    let Resolved::Modbus(map) = map(&text) else { panic!("not Modbus") };
    let devices = [ModbusDevice { id: DeviceId::from("t"), unit: 1, map }];
    let planned = outline(&BusConfig::tcp("b", "a:1"), &devices, &notes, None);
    let refused: Vec<_> = planned.requests.iter().filter(|r| r.refused).map(|r| (r.first, r.count)).collect();
    assert_eq!((planned.requests.len(), refused), (3, vec![(5, 1)]));

    // Mended, and told to forget: everything in one request again.
    device.mended.store(true, Ordering::SeqCst);
    again.intents.send(Intent::ForgetNote { device: DeviceId::from("t") }).await.unwrap();
    again.until_value("t", "r5", &Value::Int(105)).await;
    again.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_bears_less_than_its_manual_says_is_asked_for_less() {
    let (address, device) = device(Device { most: Some(3), ..Device::default() }).await;
    let text = profile(8, "");
    let (mut site, _) = site(address, &text, &BTreeMap::new());
    for n in 0..8 {
        site.until_value("t", &format!("r{n}"), &Value::Int(100 + n)).await;
    }
    let kept = site.until("a note", |facts| note(facts).flatten().filter(|n| n.contains("[3,6]"))).await;
    site.cancel.cancel();
    device.asked.lock().unwrap().clear();
    let (mut again, _) = self::site(address, &text, &[(DeviceId::from("t"), kept)].into());
    for n in 0..8 {
        again.until_value("t", &format!("r{n}"), &Value::Int(100 + n)).await;
    }
    assert!(device.asked.lock().unwrap().iter().all(|(_, count)| *count <= 3), "nothing is refused any more");
    again.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_refuses_everything_is_unwell_and_teaches_nothing() {
    let (address, _) = device(Device { most: Some(0), ..Device::default() }).await;
    let (mut site, _) = site(address, &profile(4, ""), &BTreeMap::new());
    let reason = site.until_unwell("t", "exception 2").await;
    assert!(reason.contains("illegal data address"), "{reason}");
    let facts = site.facts.borrow().clone();
    assert!(note(&facts).flatten().is_none_or(|note| !note.contains("[3,0,0]")), "{facts:?}");
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_that_wears_out_is_not_written_more_often_than_it_bears() {
    let (address, device) = device(Device::default()).await;
    let (mut site, _) = site(
        address,
        &profile(1, "write = { min_interval_ms = 700, verify = false, min = 0, max = 999 }"),
        &BTreeMap::new(),
    );
    for n in 0..3 {
        let key = format!("k{n}");
        site.order(&key, "t", "r0", Value::Int(n)).await;
        assert_eq!(site.until_ended(&key).await, CommandOutcome::Done);
    }
    let writes = device.writes.lock().unwrap().clone();
    assert_eq!(writes.len(), 3);
    for pair in writes.windows(2) {
        // The server's clock sees the answer's way as well.
        assert!(pair[1] - pair[0] >= std::time::Duration::from_millis(650), "{:?}", pair[1] - pair[0]);
    }
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_withdrawn_does_not_reach_the_wire() {
    let (address, device) = device(Device::default()).await;
    let (mut site, _) =
        site(address, &profile(2, "write = { min_interval_ms = 60000, verify = false }"), &BTreeMap::new());
    site.order("first", "t", "r0", Value::Int(1)).await;
    site.until_ended("first").await;
    // The second waits for the interval; it is withdrawn, and what is asked of another point goes on.
    site.order("second", "t", "r0", Value::Int(2)).await;
    let withdrawn = Intent::WithdrawWrite { key: "second".into(), point: PointId::new("t", "r0") };
    site.intents.send(withdrawn).await.unwrap();
    site.order("third", "t", "r0", Value::Int(3)).await;
    site.order("other", "t", "r1", Value::Int(4)).await;
    site.until_ended("other").await;
    assert_eq!(device.writes.lock().unwrap().len(), 2);
    assert!(
        !site
            .facts
            .borrow()
            .iter()
            .any(|fact| matches!(fact, Fact::Written { key, .. } if key.as_str() == "second"))
    );
    site.cancel.cancel();
}
