//! TLS with certificates on both sides, OpenSSL (in socat) at the PMS's end; and the AuthKey, read by OpenSSL's own program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod site;

use engawa_pms::{PmsConfig, TlsConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use site::{DEADLINE, Pms, Site};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tokio::net::TcpListener;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority, with a certificate for each of `names`.
fn authority(folder: &Path, name: &str, names: &[&str]) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let write = |file: String, text: String| std::fs::write(folder.join(file), text).unwrap();
    write(format!("{name}.crt"), params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    for of in names {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        write(format!("{of}.crt"), params.signed_by(&key, &issuer).unwrap().pem());
        write(format!("{of}.key"), key.serialize_pem());
    }
}

/// OpenSSL in front of the PMS, which wants a certificate of the site's authority.
fn tls_end(folder: &Path, pms: u16) -> (Running, u16) {
    // A port that was free a moment ago: socat does not say which one it took.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| folder.join(name).display().to_string();
    let listen = format!(
        "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},cafile={},verify=1",
        file("pms.crt"),
        file("pms.key"),
        file("site.crt")
    );
    let socat = Command::new("socat")
        .args([listen, format!("TCP:127.0.0.1:{pms}")])
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package socat");
    let running = Running(socat);
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < DEADLINE, "socat does not listen");
        std::thread::yield_now();
    }
    (running, port)
}

fn config(folder: &Path, port: u16, authority: &str, own: &str) -> PmsConfig {
    let tls = TlsConfig {
        ca_file: folder.join(format!("{authority}.crt")),
        cert_file: folder.join(format!("{own}.crt")),
        key_file: folder.join(format!("{own}.key")),
        server_name: Some("localhost".to_owned()),
    };
    PmsConfig { tls: Some(tls), ..PmsConfig::new(format!("127.0.0.1:{port}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_through_tls_and_each_wrong_certificate_says_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    authority(folder, "site", &["pms", "gateway"]);
    authority(folder, "other", &["stranger"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_socat, port) = tls_end(folder, listener.local_addr().unwrap().port());

    let site = Site::start(config(folder, port, "site", "gateway"));
    // The look whether socat listens may have come through first, and gone.
    let mut pms = loop {
        let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        let mut first = [0; 1];
        let ended =
            tokio::time::timeout(std::time::Duration::from_millis(300), stream.peek(&mut first)).await;
        if !matches!(ended, Ok(Ok(0) | Err(_))) {
            break Pms::new(stream);
        }
    };
    let description = pms.start().await;
    assert!(description.starts_with("LD|"), "{description}");
    site.link(true, "alive").await;
    site.stop().await;

    for (authority, own, words) in [
        ("other", "gateway", "not of the authority in `ca_file`"),
        ("site", "stranger", "does not accept the certificate in `cert_file`"),
        ("site", "nobody", "nobody.crt"),
    ] {
        let site = Site::start(config(folder, port, authority, own));
        site.link(false, words).await;
        site.stop().await;
    }

    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::start(config(folder, plain.local_addr().unwrap().port(), "site", "gateway"));
    let (stream, _) = plain.accept().await.unwrap();
    Pms::new(stream).say("LS|DA260715|TI101500|").await;
    site.link(false, "does not speak TLS").await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authkey_proves_the_last_ls() {
    const KEY: &str = "GVDpVnl6qYlTQXQJZxXdbw==";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth-key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let site = Site::start(PmsConfig { auth_key_file: Some(file.clone()), ..PmsConfig::new(&address) });
    let (stream, _) = listener.accept().await.unwrap();
    let mut pms = Pms::new(stream);
    let mut vectors = vec![];
    for _ in 0..2 {
        let description = pms.start().await;
        let field = |id: &str| {
            let found = description.split('|').find_map(|field| field.strip_prefix(id));
            found.unwrap_or_else(|| panic!("{id} in {description}")).to_owned()
        };
        assert!(field("RT").parse::<u8>().unwrap() >= 1);
        let proof = field("CG");
        let (vector, text) = proof.strip_prefix("FidCryptAB;").unwrap().split_at(24);
        let hex = |text: &str| {
            data_encoding::HEXLOWER.encode(&data_encoding::BASE64.decode(text.as_bytes()).unwrap())
        };
        let encrypted = folder.path().join("proof");
        std::fs::write(&encrypted, data_encoding::BASE64.decode(text.as_bytes()).unwrap()).unwrap();
        let out = Command::new("openssl")
            .args(["enc", "-d", "-aes-128-cbc", "-K", &hex(KEY), "-iv", &hex(vector), "-in"])
            .arg(&encrypted)
            .output()
            .expect("install the Debian package openssl");
        assert_eq!(String::from_utf8(out.stdout).unwrap(), "260715101500");
        vectors.push(vector.to_owned());
    }
    assert_ne!(vectors[0], vectors[1]);
    site.stop().await;

    std::fs::write(&file, "too short").unwrap();
    let site = Site::start(PmsConfig { auth_key_file: Some(file), ..PmsConfig::new(&address) });
    site.link(false, "the AuthKey is not base64").await;
    site.stop().await;
}
