//! Polling and writing a server that is not ours: libmodbus (Debian: libmodbus-dev), with the registers of an RDF302.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod field;

use engawa_model::{CommandOutcome, PointId, Quality, Value};
use field::{last, site};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A Modbus TCP server on a free port: input registers 1000 to 1011 and holding registers 100 to 108 as the RDF302 has
/// them, everything else refused by libmodbus itself. Prints its port, then the set point after each write.
const SERVER: &str = r#"
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new_start_address(0, 0, 0, 0, 100, 9, 1000, 12);
    int listener = modbus_tcp_listen(context, 4);
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    if (map == NULL || listener < 0 || getsockname(listener, (struct sockaddr *)&at, &length) != 0) {
        perror("server");
        return 1;
    }
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    map->tab_input_registers[0] = 1;
    map->tab_input_registers[2] = 1063;
    map->tab_input_registers[3] = 200;
    map->tab_input_registers[7] = 0xFFFF;
    map->tab_registers[0] = 1;
    map->tab_registers[2] = 1050;
    for (;;) {
        if (modbus_tcp_accept(context, &listener) < 0) return 1;
        for (;;) {
            uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
            int count = modbus_receive(context, query);
            if (count < 0) break;
            uint16_t before = map->tab_registers[2];
            modbus_reply(context, query, count, map);
            if (map->tab_registers[2] != before) {
                printf("%d %d\n", query[7], map->tab_registers[2]);
                fflush(stdout);
            }
        }
        modbus_close(context);
    }
}
"#;

struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("server.c"), folder.path().join("server"));
    std::fs::write(&source, SERVER).unwrap();
    let built = Command::new("cc")
        .args([source.as_os_str(), "-o".as_ref(), program.as_os_str()])
        .args(["-I/usr/include/modbus", "-lmodbus"])
        .output()
        .expect("a C compiler: install the Debian package build-essential");
    assert!(
        built.status.success(),
        "libmodbus is missing? install the Debian package libmodbus-dev: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    let mut child = Command::new(&program).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next().expect("the server's port").unwrap().parse().unwrap();
    Server { child, lines, port, _folder: folder }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libmodbus_is_polled_and_written() {
    let mut server = server();
    let mut site = site(([127, 0, 0, 1], server.port).into(), 1000, &[("t101", 1, "siemens-rdf302")]);
    site.until_value("t101", "room_temperature", &Value::Float(21.26)).await;
    site.until_value("t101", "comfort_setpoint", &Value::Float(21.0)).await;
    site.until_value("t101", "room_operating_mode_state", &Value::Text("comfort".into())).await;
    // Sentinels: OFF is good and no number; a missing sensor is bad.
    let point = |name| PointId::new("t101", name);
    let off = site.until("the set point in force", |facts| last(facts, &point("current_setpoint"))).await;
    assert_eq!(off, (None, Quality::Good));
    let missing = site.until("X1", |facts| last(facts, &point("x1_temperature"))).await;
    assert_eq!(missing, (None, Quality::Bad));

    site.order("k1", "t101", "comfort_setpoint", Value::Float(22.5)).await;
    assert_eq!(site.until_ended("k1").await, CommandOutcome::Done);
    assert_eq!(server.lines.next().unwrap().unwrap(), "6 1125", "function 06, 22.5 °C in fiftieths");
    let facts = site.facts.borrow().clone();
    assert_eq!(last(&facts, &point("comfort_setpoint")), Some((Some(Value::Float(22.5)), Quality::Good)));

    // A value out of the device's range is refused before it reaches the wire.
    site.order("k2", "t101", "comfort_setpoint", Value::Float(41.0)).await;
    assert!(
        matches!(site.until_ended("k2").await, CommandOutcome::Refused { reason } if reason.contains("above 40"))
    );
    // The parameters and the fault text are not there at this server: the rest goes on all the same.
    site.order("k3", "t101", "comfort_setpoint", Value::Float(19.0)).await;
    assert_eq!(site.until_ended("k3").await, CommandOutcome::Done);
    assert_eq!(server.lines.next().unwrap().unwrap(), "6 950");
    site.cancel.cancel();
}
