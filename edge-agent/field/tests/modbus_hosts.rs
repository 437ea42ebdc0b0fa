//! Modbus TCP connections over real sockets: a standby that takes over and is left again, answers that come in another
//! order than they were asked for, and a device whose garbage costs its neighbours nothing.
//!
//! The peers are scripted: no server at hand answers out of order or babbles at a given moment.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod field;

use engawa_field::modbus::BusConfig;
use engawa_model::{DeviceState, Fact, PointId, Value};
use field::{Site, last, site_on};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Three registers in requests of their own, four at once.
fn profile(in_flight: u8) -> String {
    format!(
        "[profile]\nname = 'block'\nmake = 'Test'\nmodel = 'Block'\nkind = 'sensors'\nprotocol = 'modbus'\nsources = \
         ['this test']\n[modbus]\ninterval_ms = 250\nmax_in_flight = {in_flight}\nretries = 0\npoints = [\n\
         {{ name = 'r0', table = 'holding', address = 0, type = 'u16', heartbeat_ms = 250 }},\n\
         {{ name = 'r4', table = 'holding', address = 4, type = 'u16', heartbeat_ms = 250 }},\n]\n"
    )
}

/// A request for registers: its head, unit, first address and count.
struct Asked {
    head: [u8; 4],
    unit: u8,
    first: u16,
    count: u16,
}

impl Asked {
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut frame = [0; 12];
        stream.read_exact(&mut frame).await.ok()?;
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        Some(Self { head: [frame[0], frame[1], 0, 0], unit: frame[6], first: word(8), count: word(10) })
    }

    /// Each register holds `base` plus a hundred times its unit plus its address.
    fn answer(&self, base: u16) -> Vec<u8> {
        let bytes = u8::try_from(self.count * 2).unwrap();
        let mut frame = self.head.to_vec();
        frame.extend([0, bytes + 3, self.unit, 3, bytes]);
        frame.extend(
            (self.first..self.first + self.count)
                .flat_map(|n| (base + u16::from(self.unit) * 100 + n).to_be_bytes()),
        );
        frame
    }
}

/// A host that answers well, at an address where one may have been before; gone with all its connections when dropped.
async fn host(at: SocketAddr, base: u16) -> (AbortOnDropHandle<()>, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(at).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                while let Some(asked) = Asked::read(&mut stream).await {
                    if stream.write_all(&asked.answer(base)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (AbortOnDropHandle::new(task), address)
}

fn with_standby(first: SocketAddr, standby: SocketAddr) -> Site {
    let config = BusConfig {
        standby: Some(standby.to_string()),
        timeout_ms: 500,
        ..BusConfig::tcp("b", first.to_string())
    };
    site_on(config, &[("t", 1, &profile(1))])
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_takes_over_at_once_and_the_first_comes_back_into_use() {
    let (standby, at_standby) = host(ANY, 2000).await;
    let (first, at_first) = host(ANY, 1000).await;
    let mut site = with_standby(at_first, at_standby);
    site.until_value("t", "r0", &Value::Int(1100)).await;
    site.until_link(true, &at_first.to_string()).await;
    drop(first);
    let gone = Instant::now();
    site.until_value("t", "r0", &Value::Int(2100)).await;
    // Half a second of pause after a broken connection at most, and refused at once by the first.
    assert!(gone.elapsed() < Duration::from_secs(5), "it took {:?}", gone.elapsed());
    site.until_link(true, &at_standby.to_string()).await;
    let unwell = |fact: &Fact| matches!(fact, Fact::Health { state: DeviceState::Unwell, .. });
    assert!(!site.facts.borrow().iter().any(unwell), "a change of hosts is no sickness");
    // The first is back: found there three times in a row, ten seconds apart, it is in use again.
    let (_first, _) = host(at_first, 3000).await;
    let back = tokio::time::timeout(Duration::from_secs(90), async {
        let id = PointId::new("t", "r0");
        let want = Some(Value::Int(3100));
        site.facts.wait_for(|facts| last(facts, &id).is_some_and(|(value, _)| value == want)).await.unwrap();
    });
    back.await.expect("back with the first host");
    site.until_link(true, &at_first.to_string()).await;
    drop(standby);
    site.until_heard_again("t", "r0").await;
    assert!(!site.facts.borrow().iter().any(unwell));
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_first_refuses_from_the_beginning_the_standby_is_taken() {
    let (refusing, at_first) = host(ANY, 1000).await;
    drop(refusing);
    let (standby, at_standby) = host(ANY, 2000).await;
    let mut site = with_standby(at_first, at_standby);
    site.until_value("t", "r4", &Value::Int(2104)).await;
    // With neither, both are named.
    drop(standby);
    let reason = site.until_unwell("t", "no connection to").await;
    assert!(reason.contains(&at_first.to_string()) && reason.contains(&at_standby.to_string()), "{reason}");
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_any_order_reach_whoever_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let of_task = Arc::clone(&most);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Gathers what has come, answers the last first, and each twice: the second one is nobody's.
            let mut gathered = Vec::new();
            loop {
                let next = tokio::time::timeout(Duration::from_millis(20), Asked::read(&mut stream)).await;
                let pause = next.is_err();
                match next {
                    Ok(None) => break,
                    Ok(Some(asked)) => gathered.push(asked),
                    Err(_) => {}
                }
                if gathered.len() >= 4 || pause {
                    of_task.fetch_max(gathered.len(), Ordering::SeqCst);
                    for asked in gathered.drain(..).rev() {
                        let answer = asked.answer(0);
                        let _ = stream.write_all(&[&answer[..], &answer[..]].concat()).await;
                    }
                }
            }
        }
    });
    let names = ["a", "b", "c", "d"];
    let profile = profile(4);
    let devices: Vec<(&str, u8, &str)> =
        (1..).zip(names).map(|(unit, name)| (name, unit, &*profile)).collect();
    let mut site =
        site_on(BusConfig { timeout_ms: 2000, ..BusConfig::tcp("b", address.to_string()) }, &devices);
    for round in 0..3 {
        for (unit, name) in (1..).zip(names) {
            for register in [0, 4] {
                let point = format!("r{register}");
                site.until_value(name, &point, &Value::Int(unit * 100 + register)).await;
                if round > 0 {
                    site.until_heard_again(name, &point).await;
                }
            }
        }
    }
    let wrong = site.facts.borrow().iter().any(|fact| match fact {
        Fact::Health { state: DeviceState::Unwell, .. } => true,
        Fact::Reported { point, value, .. } => {
            let unit = i64::try_from(names.iter().position(|name| *name == point.device.as_str()).unwrap())
                .unwrap()
                + 1;
            let register: i64 = point.point[1..].parse().unwrap();
            *value != Some(Value::Int(unit * 100 + register))
        }
        _ => false,
    });
    assert!(!wrong, "{:?}", site.facts.borrow());
    assert!(most.load(Ordering::SeqCst) >= 2, "one request at a time proves nothing");
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_babbles_costs_its_neighbour_no_connection_once_it_is_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // (connection, unit) of each request.
    let (seen, mut heard) = tokio::sync::watch::channel(Vec::<(usize, u8)>::new());
    let well = Arc::new(AtomicBool::new(false));
    let of_task = Arc::clone(&well);
    tokio::spawn(async move {
        let mut connection = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            connection += 1;
            let (seen, well) = (seen.clone(), Arc::clone(&of_task));
            tokio::spawn(async move {
                while let Some(asked) = Asked::read(&mut stream).await {
                    seen.send_modify(|seen| seen.push((connection, asked.unit)));
                    let babbles = asked.unit == 1 && !well.load(Ordering::SeqCst);
                    let answer = if babbles { b"HTTP/1.1 400\r\n\r\n".to_vec() } else { asked.answer(0) };
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let profile = profile(1);
    let mut site = site_on(
        BusConfig { timeout_ms: 500, ..BusConfig::tcp("b", address.to_string()) },
        &[("sick", 1, &profile), ("neighbour", 2, &profile)],
    );
    site.until_unwell("sick", "this is not Modbus TCP").await;
    let known = heard.borrow().len();
    let looks = |seen: &[(usize, u8)]| seen[known..].iter().filter(|(_, unit)| *unit == 1).count();
    tokio::time::timeout(field::PATIENCE, heard.wait_for(|seen| looks(seen) >= 2))
        .await
        .expect("two looks more")
        .unwrap();
    site.until_heard_again("neighbour", "r0").await;
    let seen = heard.borrow().clone();
    let of = |unit: u8| -> std::collections::BTreeSet<usize> {
        seen[known..].iter().filter(|(_, of)| *of == unit).map(|(connection, _)| *connection).collect()
    };
    // The third failure, which made it known, has ended the last connection that both were on.
    assert!(of(2).len() <= 2, "the neighbour went through the connections {:?}", of(2));
    let last_of_neighbour = *of(2).last().unwrap();
    assert!(!of(1).contains(&last_of_neighbour), "the sick one is asked on the neighbour's connection");
    // Once it is well it shares the connection again.
    well.store(true, Ordering::SeqCst);
    site.until_value("sick", "r4", &Value::Int(104)).await;
    let from = heard.borrow().len();
    tokio::time::timeout(
        field::PATIENCE,
        heard.wait_for(|seen| seen[from..].iter().any(|(at, unit)| *unit == 1 && *at == last_of_neighbour)),
    )
    .await
    .expect("on the shared connection")
    .unwrap();
    site.cancel.cancel();
}
