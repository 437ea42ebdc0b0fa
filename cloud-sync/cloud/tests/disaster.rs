//! The database is lost: a standby takes over (Patroni and etcd), or it is restored to an earlier moment. Long, and for
//! `make soak`: `cargo test -p engawa-cloud --test disaster -- --ignored`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod common;
mod server;

use common::{at, row};
use engawa_cloud::postgres::{self, Address, Intake, Store, migrations, partitions};
use engawa_model::{Action, Timestamp};
use engawa_protocol::ports::{Ingested, Row};
use server::{Server, done, enrol, folder, own, store};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const EPOCH: u64 = 7;
const LONGEST: Duration = Duration::from_secs(120);
const GATEWAYS: [&str; 3] = ["g0", "g1", "g2"];

/// A gateway that keeps what it has written: it goes on from the mark that the cloud names, whatever it was told before.
async fn send_upto(store: &Store, intake: &Intake, gateway: &str, upto: u64) -> u64 {
    let client = store.client().await.unwrap();
    let heads = [(3, upto)];
    let (marks, _) = postgres::gateways::hello(&client, gateway, EPOCH, &heads).await.unwrap().unwrap();
    drop(client);
    let begun = marks[0].1;
    let mut mark = begun;
    while mark < upto {
        let rows: Vec<Row> = (mark + 1..=(mark + 50).min(upto)).map(row).collect();
        match intake.ingest(gateway, EPOCH, 3, rows).await {
            Ok(Ingested::Upto(now)) => mark = now,
            Ok(Ingested::Busy { pause, .. }) => tokio::time::sleep(pause).await,
            other => panic!("{gateway}: {other:?}"),
        }
    }
    begun
}

fn complete(rows: &[String], upto: u64) {
    assert_eq!(rows.len(), GATEWAYS.len());
    for line in rows {
        assert_eq!(line, &format!("{upto}|1|{upto}|{upto}"));
    }
}

const COUNT: &str = "SELECT count(*), min(seq), max(seq), count(DISTINCT seq) FROM journal GROUP BY gateway";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_cloud_restored_to_an_hour_ago_gets_everything_again() {
    let archive = folder();
    let archive_path = archive.path().display().to_string();
    let command = format!("archive_command=cp %p {archive_path}/%f");
    let mut server = Server::new(&["archive_mode=on", &command, "wal_level=replica"]);
    let (name, first) = store(&server).await;
    for gateway in GATEWAYS {
        enrol(&first, "grand", gateway, EPOCH).await;
    }
    let intake = Intake::start(&first);
    for gateway in GATEWAYS {
        assert_eq!(send_upto(&first, &intake, gateway, 300).await, 0);
    }
    let base = server.folder.path().join("base");
    let port = server.port.to_string();
    let copied = server::command("pg_basebackup")
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "fast", "-D"])
        .arg(&base)
        .output();
    done(copied.unwrap(), "pg_basebackup");
    for gateway in GATEWAYS {
        send_upto(&first, &intake, gateway, 600).await;
    }
    let mut client = first.client().await.unwrap();
    let key = |n: u32| format!("k{n}").as_str().into();
    let send = postgres::commands::send(&mut client, "g0", &key(1), &Action::Resync, at(1), at(9)).await;
    assert_eq!(send.unwrap().seq, 1);
    server.sql(&name, "SELECT pg_create_restore_point('an hour ago')");
    // What the cloud has acknowledged and will have forgotten: rows, and two more commands that the gateway has.
    for gateway in GATEWAYS {
        send_upto(&first, &intake, gateway, 900).await;
    }
    for n in [2, 3] {
        postgres::commands::send(&mut client, "g0", &key(n), &Action::Resync, at(1), at(9)).await.unwrap();
    }
    drop(client);
    // What the archive has not got yet is lost with the server; here all of it is to be there.
    let last = server.sql(&name, "SELECT pg_walfile_name(pg_switch_wal())").remove(0);
    let deadline = Instant::now() + LONGEST;
    while server.sql(&name, "SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver")[0] < last {
        assert!(Instant::now() < deadline, "{last} is not archived");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    complete(&server.sql(&name, COUNT), 900);
    server.stop();

    let begun = Instant::now();
    fs::write(base.join("recovery.signal"), "").unwrap();
    own(&base);
    let restore = format!("restore_command=cp {archive_path}/%f %p");
    let settings = [&*restore, "recovery_target_name=an hour ago", "recovery_target_action=promote"];
    let restored = Server::over(folder(), base, &settings);
    let deadline = Instant::now() + LONGEST;
    while restored.sql(&name, "SELECT pg_is_in_recovery()") != ["f"] {
        assert!(Instant::now() < deadline, "the restored server does not take writes");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    println!("restored after {:?}", begun.elapsed());
    complete(&restored.sql(&name, COUNT), 600);
    let second = Store::open(Address::parse(&restored.url(&name)).unwrap()).await.unwrap();
    let intake = Intake::start(&second);
    for gateway in GATEWAYS {
        assert_eq!(
            send_upto(&second, &intake, gateway, 1_000).await,
            600,
            "the cloud asks again from where it is"
        );
    }
    complete(&restored.sql(&name, COUNT), 1_000);
    // Numbers of commands that the gateway has are not given again.
    let mut client = second.client().await.unwrap();
    postgres::commands::acknowledged(&mut client, "g0", 3, 5).await.unwrap();
    let send = postgres::commands::send(&mut client, "g0", &key(4), &Action::Resync, at(1), at(9)).await;
    assert_eq!(send.unwrap().seq, 4);
    println!("every gateway is whole again after {:?}", begun.elapsed());
}

/// A program that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut program: Command, log: &Path) -> Running {
    let file = fs::File::create(log).unwrap();
    program.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null());
    Running(server::spawn(program))
}

fn node(folder: &Path, n: usize, etcd: u16, port: u16) -> String {
    let (rest, dir) = (server::free_port(), folder.display());
    format!(
        "scope: engawa\nname: n{n}\nrestapi: {{ listen: 127.0.0.1:{rest}, connect_address: 127.0.0.1:{rest} }}\n\
         etcd3: {{ host: 127.0.0.1:{etcd} }}\n\
         bootstrap:\n  dcs:\n    ttl: 20\n    loop_wait: 1\n    retry_timeout: 3\n    synchronous_mode: true\n    \
         postgresql: {{ use_pg_rewind: true, parameters: {{ max_connections: 60, shared_buffers: 64MB }} }}\n  \
         initdb: [ {{ encoding: UTF8 }}, {{ locale: C.UTF-8 }}, {{ auth: trust }}, data-checksums ]\n  \
         pg_hba: [ local all all trust, host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust ]\n\
         postgresql:\n  listen: 127.0.0.1:{port}\n  connect_address: 127.0.0.1:{port}\n  data_dir: {dir}/n{n}\n  \
         bin_dir: {bin}\n  pgpass: {dir}/pgpass{n}\n  parameters: {{ unix_socket_directories: {dir} }}\n  \
         authentication: {{ superuser: {{ username: postgres, password: x }}, replication: {{ username: postgres, password: x }} }}\n",
        bin = server::programs().display()
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_standby_takes_over_and_nothing_acknowledged_is_missing() {
    let folder = folder();
    let dir = folder.path();
    let (client_port, peer_port) = (server::free_port(), server::free_port());
    let mut etcd = Command::new("setpriv");
    etcd.args(["--pdeathsig", "KILL", "etcd", "--data-dir"]).arg(dir.join("etcd")).args([
        "--listen-client-urls",
        &format!("http://127.0.0.1:{client_port}"),
        "--advertise-client-urls",
        &format!("http://127.0.0.1:{client_port}"),
        "--listen-peer-urls",
        &format!("http://127.0.0.1:{peer_port}"),
        "--initial-advertise-peer-urls",
        &format!("http://127.0.0.1:{peer_port}"),
        "--initial-cluster",
        &format!("default=http://127.0.0.1:{peer_port}"),
    ]);
    let _etcd = start(etcd, &dir.join("etcd.log"));
    let ports = [server::free_port(), server::free_port()];
    let patroni = |n: usize| {
        let path = dir.join(format!("n{n}.yml"));
        fs::write(&path, node(dir, n, client_port, ports[n])).unwrap();
        let mut patroni = server::as_server();
        patroni.arg("patroni").arg(&path).env("LC_ALL", "C.UTF-8").current_dir(dir);
        Some(start(patroni, &dir.join(format!("n{n}.log"))))
    };
    let mut nodes = [patroni(0), patroni(1)];
    let sql = |port: u16, database: &str, sql: &str| -> Option<Vec<String>> {
        let output = server::command("psql")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-U",
                "postgres",
                "-XAtqF|",
                "-d",
                database,
                "-c",
                sql,
            ])
            .env("PGCONNECT_TIMEOUT", "2")
            .output()
            .unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        output.status.success().then_some(lines)
    };
    let primary = || {
        ports
            .iter()
            .position(|port| sql(*port, "postgres", "SELECT pg_is_in_recovery()") == Some(vec!["f".into()]))
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + LONGEST;
        while !holds() {
            let log = fs::read_to_string(dir.join("n0.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{log}");
            std::thread::park_timeout(Duration::from_millis(200));
        }
    };
    let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    until("a primary with a synchronous standby", &|| {
        primary().is_some_and(|n| sql(ports[n], "postgres", synchronous) == Some(vec!["1".into()]))
    });
    let old = primary().unwrap();
    sql(ports[old], "postgres", "CREATE DATABASE engawa").unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/engawa", ports[0], ports[1]);
    let store = Store::new(Address::parse(&url).unwrap()).unwrap();
    migrations::migrate_to(&store, migrations::LATEST).await.unwrap();
    partitions::ahead(&store, Timestamp::now()).await.unwrap();
    for gateway in GATEWAYS {
        enrol(&store, "grand", gateway, EPOCH).await;
    }
    let intake = Intake::start(&store);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let producers: Vec<_> = GATEWAYS
        .into_iter()
        .map(|gateway| {
            let (intake, stop) = (intake.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut mark, mut longest, mut settled) = (0, Duration::ZERO, true);
                // What was not answered may be stored: it is sent until it is.
                while !settled || !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    settled = false;
                    let begun = Instant::now();
                    match intake.ingest(gateway, EPOCH, 3, (mark + 1..=mark + 20).map(row).collect()).await {
                        Ok(Ingested::Upto(now)) => {
                            assert!(now >= mark + 20, "{gateway}: acknowledged rows are gone");
                            (mark, settled) = (now, true);
                        }
                        Ok(Ingested::Busy { pause, .. }) => tokio::time::sleep(pause).await,
                        Ok(other) => panic!("{gateway}: {other:?}: acknowledged rows are gone"),
                        Err(error) => println!("{gateway}: {error}"),
                    }
                    longest = longest.max(begun.elapsed());
                }
                (mark, longest)
            })
        })
        .collect();
    // In the middle of it, not at its beginning.
    let stored = || sql(ports[old], "engawa", "SELECT coalesce(sum(seq), 0) >= 2000 FROM mark");
    until("some rows are stored", &|| stored() == Some(vec!["t".into()]));
    let begun = Instant::now();
    // The whole machine goes: Patroni and its PostgreSQL.
    let pid = fs::read_to_string(dir.join(format!("n{old}/postmaster.pid"))).unwrap();
    drop(nodes[old].take());
    let killed = Command::new("kill").args(["-KILL", pid.lines().next().unwrap().trim()]).status().unwrap();
    assert!(killed.success());
    until("the standby takes over", &|| primary() == Some(1 - old));
    println!("the standby took over after {:?}", begun.elapsed());
    let counted = || sql(ports[1 - old], "engawa", "SELECT sum(seq) FROM mark").unwrap_or_default();
    let before = counted();
    until("rows come through again", &|| counted() != before);
    println!("rows came through again after {:?}", begun.elapsed());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut marks = Vec::new();
    for producer in producers {
        let (mark, longest) = producer.await.unwrap();
        println!("{mark} rows, the longest wait {longest:?}");
        marks.push(format!("{mark}|1|{mark}|{mark}"));
    }
    let found = sql(ports[1 - old], "engawa", &format!("{COUNT} ORDER BY gateway")).unwrap();
    assert_eq!(found, marks);
    drop(nodes);
}
