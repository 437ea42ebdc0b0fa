//! Modbus/TCP Security against peers that are not ours: OpenSSL (in socat) asks for a certificate and ends TLS, libmodbus
//! answers behind it. And each way in which certificates go wrong is said in words that tell what to mend.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod field;

use engawa_field::modbus::{BusConfig, TlsConfig};
use engawa_model::Value;
use field::{Site, site_on};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A Modbus TCP server on a free port with ten holding registers that hold 7; it prints its port.
const SERVER: &str = r#"
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>

int main(void) {
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 10, 0);
    int listener = modbus_tcp_listen(context, 4);
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    if (map == NULL || listener < 0 || getsockname(listener, (struct sockaddr *)&at, &length) != 0) return 1;
    for (int n = 0; n < 10; n++) map->tab_registers[n] = 7;
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(context, &listener) < 0) return 1;
        uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
        int count;
        while ((count = modbus_receive(context, query)) >= 0) modbus_reply(context, query, count, map);
        modbus_close(context);
    }
}
"#;

const PROFILE: &str = r#"
[profile]
name = "block"
make = "Test"
model = "Block"
kind = "sensors"
protocol = "modbus"
sources = ["this test"]
[modbus]
interval_ms = 250
points = [{ name = "r0", table = "holding", address = 0, type = "u16" }]
"#;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(folder: &Path) -> (Running, u16) {
    let (source, program) = (folder.join("server.c"), folder.join("server"));
    std::fs::write(&source, SERVER).unwrap();
    let built = Command::new("cc")
        .args([source.as_os_str(), "-o".as_ref(), program.as_os_str()])
        .args(["-I/usr/include/modbus", "-lmodbus"])
        .status()
        .expect("install the Debian packages build-essential and libmodbus-dev");
    assert!(built.success(), "install the Debian package libmodbus-dev");
    let mut child = Command::new(&program).stdout(Stdio::piped()).spawn().unwrap();
    let port = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    (Running(child), port.parse().unwrap())
}

/// OpenSSL in front of `server`, which wants a certificate that `authority` has signed.
fn tls_end(folder: &Path, name: &str, authority: &str, server: u16) -> (Running, u16) {
    // A port that was free a moment ago: socat does not say which one it took.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
    let listen = format!(
        "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},cafile={},verify=1",
        file("crt"),
        file("key"),
        folder.join(format!("{authority}.crt")).display()
    );
    let socat = Command::new("socat")
        .args([listen, format!("TCP:127.0.0.1:{server}")])
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package socat");
    let running = Running(socat);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "socat does not listen");
        std::thread::yield_now();
    }
    (running, port)
}

struct Authority<'a> {
    name: &'a str,
    issuer: Issuer<'static, KeyPair>,
}

fn authority<'a>(folder: &Path, name: &'a str) -> Authority<'a> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    std::fs::write(folder.join(format!("{name}.crt")), params.self_signed(&key).unwrap().pem()).unwrap();
    Authority { name, issuer: Issuer::new(params, key) }
}

impl Authority<'_> {
    fn sign(&self, folder: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["plant.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        assert!(folder.join(format!("{}.crt", self.name)).exists());
    }
}

/// The role of Modbus/TCP Security: a UTF8String in an extension of its own.
fn role(params: &mut CertificateParams, role: &str) {
    let mut content = vec![0x0c, u8::try_from(role.len()).unwrap()];
    content.extend(role.as_bytes());
    let oid = [1, 3, 6, 1, 4, 1, 50316, 802, 1];
    params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content));
}

struct Stage {
    folder: tempfile::TempDir,
    _server: Running,
    server: u16,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (site, other) = (authority(folder.path(), "site"), authority(folder.path(), "other"));
        site.sign(folder.path(), "device", |_| {});
        site.sign(folder.path(), "expired", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        });
        site.sign(folder.path(), "early", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2099, 1, 1));
        });
        site.sign(folder.path(), "elsewhere", |params| params.subject_alt_names.truncate(1));
        other.sign(folder.path(), "impostor", |_| {});
        site.sign(folder.path(), "house", |params| role(params, "operator"));
        site.sign(folder.path(), "roleless", |_| {});
        other.sign(folder.path(), "stranger", |params| role(params, "operator"));
        let (running, server) = server(folder.path());
        Self { folder, _server: running, server }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn bus(&self, port: u16, own: &str) -> Site {
        let path = |file: String| self.path(&file).display().to_string();
        let tls = TlsConfig {
            ca_file: path("site.crt".to_owned()),
            cert_file: path(format!("{own}.crt")),
            key_file: path(format!("{own}.key")),
            server_name: None,
        };
        let config = BusConfig {
            tls: Some(tls),
            timeout_ms: 1000,
            ..BusConfig::tcp("secure", format!("127.0.0.1:{port}"))
        };
        site_on(config, &[("t", 1, PROFILE)])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_certificates_connect_and_the_role_is_said() {
    let stage = Stage::new();
    let (_end, port) = tls_end(stage.folder.path(), "device", "site", stage.server);
    for (own, said) in [("house", "TLS, role `operator`"), ("roleless", "TLS, without a role")] {
        let mut site = stage.bus(port, own);
        site.until_value("t", "r0", &Value::Int(7)).await;
        let detail = site.until_link(true, "").await;
        assert!(detail.contains(said), "{detail}");
        site.cancel.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_certificate_is_named() {
    let stage = Stage::new();
    for (device, own, words) in [
        ("impostor", "house", "the device's certificate is not of the authority in `ca_file`"),
        ("expired", "house", "the device's certificate has expired"),
        ("early", "house", "the device's certificate is not valid yet; is the clock right?"),
        ("elsewhere", "house", "the device's certificate is for another name; set `server_name`"),
        ("device", "nobody", "nobody.crt"),
    ] {
        let (_end, port) = tls_end(stage.folder.path(), device, "site", stage.server);
        let mut site = stage.bus(port, own);
        let reason = site.until_unwell("t", "").await;
        let detail = site.until_link(false, "").await;
        assert!(reason.contains(words) && detail.contains(words), "{device}: {reason}; the link: {detail}");
        assert_eq!(site.reports("t", "r0"), 0);
        site.cancel.cancel();
    }
}

/// In TLS 1.3 our side is through before the device has looked at our certificate: its refusal comes as the answer to
/// the first request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_does_not_know_us_says_so() {
    let stage = Stage::new();
    let (_end, port) = tls_end(stage.folder.path(), "device", "site", stage.server);
    let mut site = stage.bus(port, "stranger");
    site.until_unwell("t", "the device does not accept the certificate in `cert_file`").await;
    assert_eq!(site.reports("t", "r0"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_called_one() {
    // It answers the greeting of TLS as a web server would.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let stage = Stage::new();
    let mut site = stage.bus(port, "house");
    site.until_unwell("t", "the other side does not speak TLS").await;
}
