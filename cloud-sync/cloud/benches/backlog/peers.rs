//! The same rows through what hotels would use else. Neither stores them in a database at the far end: what is measured is
//! the way there, into the memory or the stream of the far broker.

use crate::figures::Meter;
use crate::{edge, until};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// After so long without a row, no further one is waited for.
const STALLED: Duration = Duration::from_secs(20);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str], log: &Path) -> Option<Running> {
    let file = fs::File::create(log).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .stdin(Stdio::null())
        .spawn();
    child.inspect_err(|error| println!("{program}: {error}: left out")).ok().map(Running)
}

fn listening(port: u16) {
    until("a broker", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

fn body(n: u64) -> Vec<u8> {
    serde_json::to_vec(&edge::change(0, n).1).unwrap()
}

/// A Mosquitto in the house with a bridge (QoS 1) to one in the cloud.
pub(crate) fn mosquitto(rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (crate::server::free_port(), crate::server::free_port());
    let path = |name: &str| folder.path().join(name);
    let common = "allow_anonymous true\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 1000\nset_tcp_nodelay true\n";
    let mut house = format!("listener {near} 127.0.0.1\n{common}connection cloud\naddress 127.0.0.1:{far}\n");
    let _ = writeln!(
        house,
        "topic # out 1\ncleansession false\nrestart_timeout 1\nbridge_protocol_version mqttv311\nremote_clientid house\nnotifications false"
    );
    fs::write(path("near.conf"), house).unwrap();
    fs::write(path("far.conf"), format!("listener {far} 127.0.0.1\n{common}sys_interval 1\n")).unwrap();
    let conf = |name: &str| path(name).display().to_string();
    let Some(house) = start("mosquitto", &["-c", &conf("near.conf")], &path("near.log")) else { return };
    listening(near);
    // The backlog: the bridge has nobody to talk to yet.
    let mut publisher = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &near.to_string(), "-q", "1", "-t", "engawa/telemetry", "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufWriter::new(publisher.stdin.take().unwrap());
    for n in 0..rows {
        lines.write_all(&body(n)).unwrap();
        lines.write_all(b"\n").unwrap();
    }
    drop(lines);
    assert!(publisher.wait().unwrap().success());
    let cloud = start("mosquitto", &["-c", &conf("far.conf")], &path("far.log")).unwrap();
    let mut meter = Meter::start(&[("house", house.0.id()), ("cloud", cloud.0.id())]);
    listening(far);
    // By $SYS, so that no subscriber's bytes are on the line: the far broker tells how many it has received. A bridge of
    // 2.0 may lose some of what waited while it was away, and says nothing: where nothing comes any more, that is told.
    let (mut received, mut changed) = (0, Instant::now());
    while received < rows && changed.elapsed() < STALLED {
        let told = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &far.to_string(), "-C", "1", "-W", "5", "-t"])
            .arg("$SYS/broker/publish/messages/received")
            .output()
            .unwrap();
        let now = String::from_utf8_lossy(&told.stdout).trim().parse().unwrap_or(received);
        if now > received {
            (received, changed) = (now, Instant::now());
            meter.stop();
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    meter.print("Mosquitto bridge, in memory", received.max(1));
    if received < rows {
        println!("  {} rows of {rows} never came", rows - received);
    }
}

/// A leaf node of NATS with a stream, sourced by a stream of the hub, both on disk.
pub(crate) fn nats(rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let [near, far, leaf] = std::array::from_fn(|_| crate::server::free_port());
    let path = |name: &str| folder.path().join(name);
    let conf = |name: &str| path(name).display().to_string();
    let store = |name: &str| format!("{{ store_dir: \"{}\", domain: {name} }}", conf(name));
    fs::write(
        path("hub.conf"),
        format!(
            "listen: 127.0.0.1:{far}\njetstream {}\nleafnodes {{ listen: 127.0.0.1:{leaf} }}\n",
            store("hub")
        ),
    )
    .unwrap();
    fs::write(
        path("leaf.conf"),
        format!(
            "listen: 127.0.0.1:{near}\njetstream {}\nleafnodes {{ remotes: [ {{ url: \"nats://127.0.0.1:{leaf}\" }} ] }}\n",
            store("house")
        ),
    )
    .unwrap();
    let Some(house) = start("nats-server", &["-c", &conf("leaf.conf")], &path("leaf.log")) else { return };
    listening(near);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use async_nats::jetstream::{self, stream};
        let client = async_nats::connect(format!("127.0.0.1:{near}")).await.unwrap();
        let house_stream = jetstream::new(client.clone());
        let config = |name: &str| stream::Config { name: name.into(), ..stream::Config::default() };
        let backlog = stream::Config { subjects: vec!["telemetry".into()], ..config("backlog") };
        let mut near_stream = house_stream.create_stream(backlog).await.unwrap();
        for n in 0..rows {
            client.publish("telemetry", body(n).into()).await.unwrap();
        }
        client.flush().await.unwrap();
        while near_stream.info().await.unwrap().state.messages < rows {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let hub = start("nats-server", &["-c", &conf("hub.conf")], &path("hub.log")).unwrap();
        listening(far);
        let hub_stream = jetstream::new(async_nats::connect(format!("127.0.0.1:{far}")).await.unwrap());
        let mut meter = Meter::start(&[("house", house.0.id()), ("cloud", hub.0.id())]);
        let source = stream::Source {
            name: "backlog".into(),
            domain: Some("house".into()),
            ..stream::Source::default()
        };
        let sourced = stream::Config { sources: Some(vec![source]), ..config("rows") };
        let mut far_stream = hub_stream.create_stream(sourced).await.unwrap();
        let deadline = Instant::now() + crate::LONGEST;
        while far_stream.info().await.unwrap().state.messages < rows {
            assert!(Instant::now() < deadline, "the leaf node did not deliver");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        meter.stop();
        meter.print("NATS leaf node, stream on disk", rows);
    });
}
