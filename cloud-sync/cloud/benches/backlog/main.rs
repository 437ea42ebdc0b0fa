//! A backlog of telemetry on its way: gateways' encrypted journals, QUIC over loopback, `engawa-cloud serve` on a
//! PostgreSQL that forces its disk; beside it the same rows through a bridge of two Mosquitto and through a leaf node of
//! NATS. `make bench-sync` runs it; ROWS and GATEWAYS are read from the environment, PEERS=0 leaves the others out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench")]

mod edge;
mod figures;
mod peers;
#[path = "../../tests/server/mod.rs"]
mod server;

use engawa_cloud::postgres::{Address, Store};
use figures::{Cost, Meter};
use server::Server;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything may take.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, dir, cloud] = arguments.as_slice()
        && role == "edge"
    {
        edge::run(Path::new(dir), cloud);
        return;
    }
    if std::env::var_os("ENGAWA_ALONE").is_none() && server::is_root() {
        // A loopback of its own, so that its counters count nobody else's bytes.
        let again = format!("ip link set lo up && exec {} --bench", arguments[0]);
        let ended =
            Command::new("unshare").args(["--net", "sh", "-c", &again]).env("ENGAWA_ALONE", "1").status();
        std::process::exit(ended.ok().and_then(|status| status.code()).unwrap_or(1));
    }
    let (rows, gateways) = (number("ROWS", 1_000_000), number("GATEWAYS", 4).max(1));
    if std::env::var_os("ENGAWA_ALONE").is_none() {
        println!("not root: bytes of other programs on the loopback are counted too");
    }
    println!("{rows} rows of telemetry, {gateways} gateways");
    println!("{}", figures::HEAD);
    engawa(rows / gateways, gateways);
    if number("PEERS", 1) != 0 {
        peers::mosquitto(rows);
        peers::nats(rows);
    }
}

/// Our own way, whole.
fn engawa(each: u64, gateways: u64) {
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..gateways).map(|n| folder.path().join(format!("gateway-{n}"))).collect();
    for (n, store) in stores.iter().enumerate() {
        edge::fill(store, n, each);
    }
    let server = Server::new(&["shared_buffers=256MB", "max_wal_size=4GB", "synchronous_commit=on"]);
    server.sql("postgres", "CREATE DATABASE engawa");
    // By the Unix socket: the loopback's counters are the line's alone.
    let socket = server.folder.path().display().to_string().replace('/', "%2F");
    let url = format!("postgres://postgres@{socket}:{}/engawa", server.port);
    let dir = folder.path().join("cloud");
    let cloud = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_engawa-cloud"));
        program.arg(arguments[0]).arg("--dir").arg(&dir).args(["--database", &url]).args(&arguments[1..]);
        program.env("RUST_LOG", "warn");
        program
    };
    let ask =
        |arguments: &[&str]| server::done(cloud(arguments).output().unwrap(), arguments[0]).trim().to_owned();
    ask(&["init", "--name", "127.0.0.1"]);
    let mut serving = cloud(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (n, store) in stores.iter().enumerate() {
        let code = ask(&["claim", "--property", &format!("hotel-{n}"), "--gateway", &format!("gateway-{n}")]);
        runtime.block_on(engawa_link::enroll(&address, &code.parse().unwrap(), store)).unwrap();
    }
    let database = runtime.block_on(Store::open(Address::parse(&url).unwrap())).unwrap();

    let mut meter = Meter::start(&[("cloud", serving.id()), ("PostgreSQL", server.pid())]);
    let edges: Vec<_> = stores
        .iter()
        .map(|store| {
            Command::new(std::env::current_exe().unwrap())
                .arg("edge")
                .arg(store)
                .arg(&address)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut seconds = 0.0;
    for mut edge in edges {
        let mut told = String::new();
        edge.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(edge.wait().unwrap().success());
        seconds += told.trim().parse::<f64>().unwrap();
    }
    meter.stop();
    meter.add("edges", seconds);
    let count = runtime.block_on(async {
        let client = database.client().await.unwrap();
        client.query_one("SELECT count(*), count(DISTINCT (gateway, seq)) FROM telemetry", &[]).await.unwrap()
    });
    let (stored, distinct): (i64, i64) = (count.get(0), count.get(1));
    assert_eq!(
        (stored, distinct),
        ((each * gateways).cast_signed(), (each * gateways).cast_signed()),
        "each row once"
    );
    let size: i64 = server.sql(
        "engawa",
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
         WHERE inhparent = 'telemetry'::regclass",
    )[0]
    .parse()
    .unwrap();
    meter.print("engawa, stored in PostgreSQL", each * gateways);
    println!("  {:.0} bytes a row in PostgreSQL with its indexes", size as f64 / stored as f64);
    serving.kill().unwrap();
    serving.wait().unwrap();
}

/// Waits until `holds`.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

pub(crate) fn cost_of(pid: u32) -> Cost {
    figures::cost(pid)
}
