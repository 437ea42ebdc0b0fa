//! The files that `engawa broker mosquitto` writes, tried with Mosquitto itself: a device publishes only under its own
//! topics and hears only its own commands, a user what it is given, and who is not known nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use stage::{Running, wait_for};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn engawa(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
    command.args(arguments).env("ENGAWA_CONFIG", dir.join("engawa.toml")).output().unwrap()
}

fn password(dir: &Path, name: &str) -> String {
    let out = engawa(dir, &["broker", "passwd", name]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
}

fn configure(dir: &Path, port: u16) {
    let profiles = dir.join("profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    let profile = r#"[profile]
name = "thermostat"
make = "Nobody"
model = "T1"
kind = "thermostat"
protocol = "mqtt"
sources = ["this test"]

[mqtt]
status_topic = "z2m/{device}"

[[mqtt.points]]
name = "setpoint"
role = "climate-setpoint"
pointer = "/heat"
kind = "float"
command_topic = "z2m/{device}/set"
"#;
    std::fs::write(profiles.join("thermostat.toml"), profile).unwrap();
    let text = format!(
        r#"profiles = "profiles"

[property]
id = "test"
name = "Test"
zone = "Asia/Tokyo"
currency = "JPY"
rooms = ["101", "102"]

[climate]
comfort_c = 22.0
eco_heating_c = 17.0
eco_cooling_c = 28.0

[store]
dir = "data"

[mqtt]
broker = "mqtt://127.0.0.1:{port}"
username = "engawa"
password_file = "data/mqtt/engawa.password"

[[mqtt.user]]
name = "panel"
allowed = ["read"]

[[mqtt.user]]
name = "till"
allowed = ["command"]

[[device]]
id = "t101"
room = "101"
profile = "thermostat"

[[device]]
id = "t102"
room = "102"
profile = "thermostat"

[api]
listen = "127.0.0.1:0"
socket = "{}"
"#,
        dir.join("engawa.sock").display()
    );
    std::fs::write(dir.join("engawa.toml"), text).unwrap();
}

fn client(program: &str, port: u16, user: &str, password: &str) -> Command {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "-h", "127.0.0.1", "-p", &port.to_string(), "-V", "mqttv5", "-q", "1"]);
    command.args(["-u", user, "-P", password]);
    command
}

/// True where the publication is not denied.
fn published(port: u16, (user, password): (&str, &str), topic: &str) -> bool {
    let out =
        client("mosquitto_pub", port, user, password).args(["-t", topic, "-m", "21.5"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).to_lowercase();
    assert!(out.status.success() || said.contains("not authori"), "{user} on {topic}: {said}");
    !said.contains("not authori")
}

/// What comes on everything that the user may hear, up to the message `last`, which it is sure to hear; the end comes
/// after half a minute without it, too.
fn listen(port: u16, (user, password): (&str, &str), last: &str) -> (Running, impl FnOnce() -> Vec<String>) {
    let mut command = client("mosquitto_sub", port, user, password);
    let mut child = command.args(["-d", "-v", "-W", "30", "-t", "#"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        if lines.next().unwrap().unwrap().starts_with("Subscribed") {
            break;
        }
    }
    let last = last.to_owned();
    let rest = move || {
        let heard = lines
            .map(Result::unwrap)
            .filter(|line| !line.starts_with("Client ") && !line.starts_with("Subscribed"));
        let mut topics = Vec::new();
        for line in heard {
            topics.push(line.split(' ').next().unwrap_or_default().to_owned());
            if topics.last() == Some(&last) {
                break;
            }
        }
        topics
    };
    (Running(child), rest)
}

#[test]
fn mosquitto_keeps_what_the_configuration_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    configure(dir, port);
    let out = dir.join("mosquitto");
    let state = dir.join("state");
    std::fs::create_dir(&state).unwrap();
    let listen_at = format!("127.0.0.1:{port}");
    let written = engawa(
        dir,
        &[
            "broker",
            "mosquitto",
            "--out",
            out.to_str().unwrap(),
            "--listen",
            &listen_at,
            "--state",
            state.to_str().unwrap(),
        ],
    );
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let secret = std::fs::metadata(dir.join("data/mqtt/t101.password")).unwrap().permissions().mode() & 0o777;
    assert_eq!(secret, 0o600);
    assert_eq!(password(dir, "t101"), password(dir, "t101"), "asking does not change it");
    let passwd = std::fs::read_to_string(out.join("passwd")).unwrap();
    assert!(!passwd.contains(&password(dir, "t101")), "hashes only");

    // It stays who it was started as, since this folder is nobody else's.
    let conf = out.join("mosquitto.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    std::fs::write(&conf, format!("user {}\n{text}", user.trim())).unwrap();
    let usual = Path::new("/usr/sbin/mosquitto");
    let program = if usual.exists() { usual } else { Path::new("mosquitto") };
    let mut command = Command::new(program);
    command.arg("-c").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null());
    let _mosquitto = Running(command.spawn().unwrap());
    wait_for("mosquitto", || TcpStream::connect(("127.0.0.1", port)).ok());

    let mut run = Command::new(env!("CARGO_BIN_EXE_engawa"));
    run.args(["run", dir.join("engawa.toml").to_str().unwrap()]).stderr(Stdio::null());
    let _agent = Running(run.spawn().unwrap());
    let secrets: Vec<_> = ["engawa", "t101", "t102", "panel", "till"]
        .map(|name| {
            let file = dir.join(format!("data/mqtt/{name}.password"));
            (name, std::fs::read_to_string(file).unwrap().trim_end().to_owned())
        })
        .to_vec();
    let who = |name: &str| {
        secrets.iter().find(|(of, _)| *of == name).map(|(of, word)| (*of, word.as_str())).unwrap()
    };

    wait_for("the house", || {
        let (user, word) = who("panel");
        let arguments = ["-C", "1", "-W", "5", "-t", "engawa/test/status"];
        let out = client("mosquitto_sub", port, user, word).args(arguments).output().unwrap();
        (out.stdout == b"online\n").then_some(())
    });

    let set = "engawa/test/room/101/setpoint/set";
    let topics =
        ["z2m/t101", "z2m/t102", "z2m/t101/set", "engawa/test/status", "engawa/test/cmd", set, "elsewhere"];
    for (name, allowed) in [
        ("t101", &["z2m/t101"][..]),
        ("t102", &["z2m/t102"]),
        ("panel", &[]),
        ("till", &["engawa/test/cmd", set]),
    ] {
        for topic in topics {
            assert_eq!(
                published(port, who(name), topic),
                allowed.contains(&topic),
                "{name} publishes to {topic}"
            );
        }
    }
    for (user, word) in [("t101", "wrong"), ("nobody", "x"), ("", "")] {
        let out =
            client("mosquitto_pub", port, user, word).args(["-t", "z2m/t101", "-m", "x"]).output().unwrap();
        assert!(!out.status.success(), "{user:?} is let in");
    }

    // Everybody asks for everything, and hears their own.
    let (_first, device) = listen(port, who("t101"), "z2m/t101/set");
    let (_second, panel) = listen(port, who("panel"), set);
    let (_third, till) = listen(port, who("till"), "engawa/test/cmd/error");
    assert!(published(port, who("t102"), "z2m/t102"));
    assert!(published(port, who("till"), set), "and with it the house writes to the device");
    assert!(published(port, who("till"), "engawa/test/cmd"), "21.5 is no command: there is an answer");
    assert_eq!(device(), ["z2m/t101/set"]);
    let heard = panel();
    assert!(heard.iter().all(|topic| topic.starts_with("engawa/test/")), "{heard:?}");
    let heard = till();
    assert!(heard.iter().all(|topic| topic.starts_with("engawa/test/cmd")), "{heard:?}");
}

#[test]
fn a_listener_on_the_network_wants_tls_and_an_unknown_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), 1883);
    let out = dir.path().join("out");
    let refused = engawa(
        dir.path(),
        &["broker", "mosquitto", "--out", out.to_str().unwrap(), "--listen", "0.0.0.0:1883"],
    );
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--cert"), "{refused:?}");
    let unknown = engawa(dir.path(), &["broker", "passwd", "t999"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(1) && said.contains("t101, t102, panel, till"), "{said}");
}
