//! The two instruments against programs that are not ours: the field is read by the Modbus library, and the subscriber
//! hears what Mosquitto's own client publishes.

use engawa_bench::{broker, logs, spawn::Program};
use engawa_stage::{process, wait};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio_modbus::prelude::{Reader, Slave, SlaveContext, tcp};

const SOON: Duration = Duration::from_secs(20);

fn program(path: &str, folder: &Path, arguments: &[&str]) -> anyhow::Result<process::Running> {
    let mut arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    arguments.extend([
        "--out".to_owned(),
        folder.display().to_string(),
        "--seconds".to_owned(),
        "60".to_owned(),
    ]);
    Program::new(path, arguments).start("program", folder)
}

#[tokio::test]
async fn the_field_counts_what_a_client_reads_and_tells_its_markers() {
    let folder = tempfile::tempdir().unwrap();
    let path = env!("CARGO_BIN_EXE_engawa-fieldsim");
    let field =
        program(path, folder.path(), &["--ports=2", "--units=3", "--registers=20", "--markers=100"]).unwrap();
    let addresses: Vec<SocketAddr> = wait::until("the field", SOON, || {
        let output = field.output()?;
        let line = output.strip_prefix("ready ").and_then(|rest| rest.strip_suffix('\n'));
        Ok(line.map(|line| line.split(' ').map(|address| address.parse().unwrap()).collect()))
    })
    .unwrap();
    assert_eq!(addresses.len(), 2);
    let mut client = tcp::connect_slave(addresses[1], Slave(3)).await.unwrap();
    let mut requests = 0;
    let deadline = std::time::Instant::now() + SOON;
    // Until the last device of the second address has taken a marker.
    let marker = loop {
        assert!(std::time::Instant::now() < deadline, "no marker");
        let words = client.read_holding_registers(0, 20).await.unwrap().unwrap();
        requests += 1;
        assert_eq!(words.len(), 20);
        if words[0] >= 40_000 {
            break words[0];
        }
    };
    client.set_slave(Slave(4));
    let refused = client.read_holding_registers(0, 1).await.unwrap().unwrap_err();
    assert_eq!(u8::from(refused), 11);
    requests += 1;
    wait::until("the logs", SOON, || {
        let counts = std::fs::read_to_string(folder.path().join("counts.csv"))?;
        let markers = std::fs::read_to_string(folder.path().join("markers.csv"))?;
        let counted = counts
            .lines()
            .last()
            .is_some_and(|line| line.contains(&format!(",{requests},{},1,1,1", 20 * (requests - 1))));
        let told = |what: &str| markers.lines().any(|line| line.ends_with(&format!(",{what},5,{marker}")));
        Ok((counted && told("set") && told("read")).then_some(()))
    })
    .unwrap();
}

#[test]
fn the_subscriber_keeps_the_first_arrival_of_a_marker() {
    let folder = tempfile::tempdir().unwrap();
    let (_broker, port) = broker::start(folder.path()).unwrap();
    let (text, path) = (port.to_string(), env!("CARGO_BIN_EXE_engawa-fieldsub"));
    let listener = program(path, folder.path(), &["--port", &text]).unwrap();
    wait::until("the subscriber", SOON, || Ok(listener.output()?.contains("ready").then_some(()))).unwrap();
    for payload in ["{\"r0\":40017,\"r1\":7}", "[40017]", "[12]"] {
        process::run(Path::new("mosquitto_pub"), ["-p", &text, "-t", "a/b", "-m", payload]).unwrap();
    }
    wait::until("three messages", SOON, || {
        let heard = std::fs::read_to_string(folder.path().join("heard.csv"))?;
        Ok(heard.lines().any(|line| line.split(',').nth(1) == Some("3")).then_some(()))
    })
    .unwrap();
    let arrivals = std::fs::read_to_string(folder.path().join("arrivals.csv")).unwrap();
    assert_eq!(arrivals.lines().count(), 1, "{arrivals}");
    assert!(arrivals.trim_end().ends_with(",40017"), "{arrivals}");
    assert!(logs::heard(folder.path(), 0, u64::MAX).unwrap().is_none(), "nothing before the first line");
}
