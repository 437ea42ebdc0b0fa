//! RTU on a serial line against a server that is not ours (libmodbus), through a line that behaves as bad ones do.
//!
//! Two pairs of pseudo-terminals (socat) with a relay of the test between them: it paces bytes as the baud rate does and
//! spoils answers by a seed: noise before them, half of them, a flipped bit, another unit, an answer that comes after its
//! request was given up. Every register holds its own address, so that a value of another one is recognised: whatever
//! happens, a value is either right or not reported.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod field;

use engawa_field::modbus::{BusConfig, Parity};
use engawa_model::{CommandOutcome, Fact, PointId, Quality, Value};
use field::{last, site_on};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An RTU server on the port of its first argument at the baud rate of its second: holding register n holds 10000 + n.
const SERVER: &str = r#"
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **words) {
    modbus_t *context = modbus_new_rtu(words[1], atoi(words[2]), 'N', 8, 2);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 64, 0);
    if (count < 3 || map == NULL || modbus_set_slave(context, 5) < 0 || modbus_connect(context) < 0) {
        perror("server");
        return 1;
    }
    for (int n = 0; n < 64; n++) map->tab_registers[n] = 10000 + n;
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
        int length = modbus_receive(context, query);
        if (length > 0) modbus_reply(context, query, length, map);
    }
}
"#;

/// Kills what it holds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !there() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

fn pair(folder: &Path, name: &str) -> (Running, PathBuf, PathBuf) {
    let (one, other) = (folder.join(format!("{name}-a")), folder.join(format!("{name}-b")));
    let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
    let socat = Command::new("socat")
        .args([end(&one), end(&other)])
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package socat");
    let running = Running(socat);
    until("a pair of terminals", || one.exists() && other.exists());
    (running, one, other)
}

fn server(folder: &Path, port: &Path, baud: u32) -> Running {
    let (source, program) = (folder.join("server.c"), folder.join("server"));
    std::fs::write(&source, SERVER).unwrap();
    let built = Command::new("cc")
        .args([source.as_os_str(), "-o".as_ref(), program.as_os_str()])
        .args(["-I/usr/include/modbus", "-lmodbus"])
        .status()
        .expect("install the Debian packages build-essential and libmodbus-dev");
    assert!(built.success(), "install the Debian package libmodbus-dev");
    let mut child =
        Command::new(&program).arg(port).arg(baud.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    Running(child)
}

/// What the relay does to an answer.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    Noise,
    Half,
    FlippedBit,
    WrongUnit,
    /// After its request has been given up, and perhaps while the next one waits.
    Late,
    Twice,
}

/// A request that reads, or writes one register: unit, function, two words, check sum.
const REQUEST: usize = 8;

struct Relay {
    /// One answer in so many is spoilt; 0: none.
    one_in: u32,
    spoilt: AtomicU64,
    stop: AtomicBool,
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the line's own pace and the device's slowness: nothing is waited for"
)]
fn hold(time: Duration) {
    std::thread::sleep(time);
}

fn pass(to: &mut File, bytes: &[u8], character: Duration) {
    for byte in bytes {
        hold(character);
        let _ = to.write_all(&[*byte]);
    }
}

/// Requests go through as they are; answers are collected whole (the server sends each at once) and perhaps spoilt.
fn relay(relay: &Arc<Relay>, client: &Path, device: &Path, baud: u32, seed: u64, timeout: Duration) {
    let character = Duration::from_nanos(11_000_000_000 / u64::from(baud));
    let (mut from_client, mut to_device) = (open(client), open(device));
    let state = Arc::clone(relay);
    // When each request that has not been answered yet went on to the device.
    let (asked, asked_at) = std::sync::mpsc::sync_channel(64);
    std::thread::spawn(move || {
        let (mut bytes, mut passed) = ([0; 512], 0);
        while let Ok(count @ 1..) = from_client.read(&mut bytes) {
            if state.stop.load(Ordering::Relaxed) {
                return;
            }
            passed += count;
            while passed >= REQUEST {
                passed -= REQUEST;
                let _ = asked.send(Instant::now());
            }
            pass(&mut to_device, &bytes[..count], character);
        }
    });
    let (mut from_device, mut to_client) = (open(device), open(client));
    let state = Arc::clone(relay);
    std::thread::spawn(move || {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bytes = [0; 512];
        while let Ok(count @ 1..) = from_device.read(&mut bytes) {
            if state.stop.load(Ordering::Relaxed) {
                return;
            }
            let mut answer = bytes[..count].to_vec();
            let asked = asked_at.recv().unwrap();
            let spoils =
                [Spoil::Noise, Spoil::Half, Spoil::FlippedBit, Spoil::WrongUnit, Spoil::Late, Spoil::Twice];
            let spoil = (state.one_in > 0 && random.random_ratio(1, state.one_in))
                .then(|| spoils[random.random_range(0..spoils.len())]);
            state.spoilt.fetch_add(u64::from(spoil.is_some()), Ordering::Relaxed);
            match spoil {
                Some(Spoil::Noise) => {
                    let noise: Vec<u8> = (0..random.random_range(1..12)).map(|_| random.random()).collect();
                    answer.splice(0..0, noise);
                }
                Some(Spoil::Half) => answer.truncate(count / 2),
                Some(Spoil::FlippedBit) => {
                    let at = random.random_range(0..count);
                    answer[at] ^= 1 << random.random_range(0..8);
                }
                Some(Spoil::WrongUnit) => answer[0] ^= 3,
                Some(Spoil::Late) => hold(timeout.mul_f64(random.random_range(0.9..1.8))),
                Some(Spoil::Twice) | None => {}
            }
            // On a machine that is busy with other things this relay may be later than any answer that the line is made
            // for (see the module `rtu`): such a one is lost on the way.
            if asked.elapsed() > timeout * 3 {
                continue;
            }
            if matches!(spoil, Some(Spoil::Twice)) {
                // Without a gap: a second answer after a silence is one that nobody can tell from the next.
                answer.extend(answer.clone());
                hold(character * u32::try_from(answer.len()).unwrap());
                let _ = to_client.write_all(&answer);
            } else {
                pass(&mut to_client, &answer, character);
            }
        }
    });
}

/// Twelve registers in requests of one shape: an answer to one could be taken for an answer to any other.
fn profile() -> String {
    let mut text = String::from(
        "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['this test']\n\
         [modbus]\ninterval_ms = 50\nretries = 0\n",
    );
    for n in 0..12 {
        let address = n * 4;
        text += &format!(
            "[[modbus.points]]\nname = 'r{address}'\ntable = 'holding'\naddress = {address}\ntype = 'u16'\n\
             heartbeat_ms = 50\nwrite = {{ min = 0, max = 65535 }}\n"
        );
    }
    text
}

fn wrong(facts: &[Fact]) -> Vec<&Fact> {
    facts
        .iter()
        .filter(|fact| match fact {
            Fact::Reported { point, value: Some(value), quality: Quality::Good, .. } => {
                let address: i64 = point.point[1..].parse().unwrap();
                *value != Value::Int(10_000 + address)
            }
            _ => false,
        })
        .collect()
}

async fn story(baud: u32, timeout_ms: u32, one_in: u32, spoilt: u64, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (_one, house, relay_house) = pair(folder.path(), "house");
    let (_other, relay_device, device) = pair(folder.path(), "device");
    let _server = server(folder.path(), &device, baud);
    let state = Arc::new(Relay { one_in, spoilt: AtomicU64::new(0), stop: AtomicBool::new(false) });
    relay(&state, &relay_house, &relay_device, baud, seed, Duration::from_millis(u64::from(timeout_ms)));
    let config = BusConfig {
        baud: Some(baud),
        parity: Some(Parity::None),
        stop_bits: Some(2),
        timeout_ms,
        ..BusConfig::serial("line", house.to_str().unwrap())
    };
    let mut site = site_on(config, &[("d", 5, &profile())]);
    for n in 0..12 {
        let name = format!("r{}", n * 4);
        site.until_value("d", &name, &Value::Int(10_000 + i64::from(n) * 4)).await;
    }
    let counting = Arc::clone(&state);
    site.until(&format!("{spoilt} spoilt answers, SEED={seed}"), |_| {
        (counting.spoilt.load(Ordering::Relaxed) >= spoilt).then_some(())
    })
    .await;
    if one_in == 0 {
        // What is there already is written again: function 06 over the serial line, read back.
        site.order("k", "d", "r8", Value::Int(10_008)).await;
        assert_eq!(site.until_ended("k").await, CommandOutcome::Done);
    }
    let facts = site.facts.borrow().clone();
    assert_eq!(wrong(&facts), Vec::<&Fact>::new(), "SEED={seed} at {baud} baud");
    let heard = facts
        .iter()
        .any(|fact| matches!(fact, Fact::Confirmed { point, .. } if *point == PointId::new("d", "r0")));
    assert!(heard, "heartbeats come while the line is bad");
    state.stop.store(true, Ordering::Relaxed);
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_that_is_unplugged_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (cable, house, device) = pair(folder.path(), "cable");
    let running = server(folder.path(), &device, 115_200);
    let config = BusConfig {
        baud: Some(115_200),
        parity: Some(Parity::None),
        stop_bits: Some(2),
        timeout_ms: 300,
        ..BusConfig::serial("line", house.to_str().unwrap())
    };
    let mut site = site_on(config, &[("d", 5, &profile())]);
    site.until_value("d", "r8", &Value::Int(10_008)).await;
    // The far end of a pseudo-terminal ends with its program, as a port does with its adapter. Its name goes first: the
    // system gives the number behind it to whoever wants one next.
    std::fs::remove_file(&house).unwrap();
    std::fs::remove_file(&device).unwrap();
    drop((cable, running));
    let reason = site.until_unwell("d", "is the adapter plugged in?").await;
    assert!(reason.contains(house.to_str().unwrap()), "{reason}");
    site.until_link(false, "is the adapter plugged in?").await;
    let stale = |facts: &[Fact]| {
        last(facts, &PointId::new("d", "r8")).filter(|(_, quality)| *quality == Quality::Stale)
    };
    assert_eq!(site.until("a stale value", stale).await.0, Some(Value::Int(10_008)), "the last known");
    let (_cable, _, device) = pair(folder.path(), "cable");
    let _running = server(folder.path(), &device, 115_200);
    site.until_heard_again("d", "r8").await;
    site.order("k", "d", "r8", Value::Int(10_008)).await;
    assert_eq!(site.until_ended("k").await, CommandOutcome::Done);
    assert_eq!(wrong(&site.facts.borrow().clone()), Vec::<&Fact>::new());
    site.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_line_at_both_speeds() {
    story(9_600, 500, 0, 0, 1).await;
    story(115_200, 500, 0, 0, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bad_line_a_value_is_right_or_not_reported() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124);
    story(115_200, 60, 6, 40, seed).await;
}
