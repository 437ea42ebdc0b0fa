//! What leaves the gateway over MQTT for a room, heard by a real subscriber: what guests are told, and keys for an encoder's
//! driver, whose answer goes back to the PMS. Needs `mosquitto-clients`.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{Pms, Running, wait_for};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Broker {
    port: String,
    password: String,
}

impl Broker {
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port, "-u", "local", "-P", &self.password, "-q", "1"]);
        command
    }

    /// Everything that is heard from now on, a topic and its payload a line.
    fn listen(&self, to: &Path, name: &str) -> Running {
        let file = std::fs::File::create(to).unwrap();
        let mut command = self.client("mosquitto_sub");
        command.args(["-t", "engawa/test/#", "-v", "-i", name]).stdout(file);
        let child = Running(command.spawn().unwrap());
        wait_for("the subscription", || (!heard(to, "engawa/test/status").is_empty()).then_some(()));
        child
    }
}

fn heard(file: &Path, topic: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter_map(|line| line.strip_prefix(topic)?.strip_prefix(' ')).map(str::to_owned).collect()
}

fn json(file: &Path, topic: &str) -> Vec<Value> {
    heard(file, topic).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn configuration(dir: &Path, pms: &TcpListener, broker: u16) -> PathBuf {
    let config = dir.join("engawa.toml");
    let text = format!(
        "[property]\nid = 'test'\nname = 'Grand Hotel'\nzone = 'Europe/Berlin'\ncurrency = 'EUR'\nrooms = ['101']\n\
         [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n[store]\ndir = '{}'\n\
         [pms]\naddress = '{}'\nuses = ['guests', 'keys']\nencoders = ['1']\n[mqtt]\nlisten = '127.0.0.1:{broker}'\n\
         [api]\nlisten = '127.0.0.1:0'\nsocket = '{}'\n",
        dir.join("data").display(),
        pms.local_addr().unwrap(),
        dir.join("engawa.sock").display(),
    );
    std::fs::write(&config, text).unwrap();
    config
}

#[test]
fn a_screen_greets_the_guest_and_an_encoder_hears_of_keys_and_of_how_long_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = configuration(dir.path(), &listener, port);
    let engawa = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
        command.args(words).arg(&config).stderr(Stdio::null());
        command
    };
    let _agent = Running(engawa(&["run"]).spawn().unwrap());
    let mut pms = Pms::start(&listener);
    let password = wait_for("the password of `local`", || {
        let out = engawa(&["broker", "passwd", "local"]).output().unwrap();
        out.status.success().then(|| String::from_utf8(out.stdout).unwrap().trim().to_owned())
    });
    let broker = Broker { port: port.to_string(), password };
    wait_for("the broker", || TcpStream::connect(("127.0.0.1", port)).ok());
    let ear = dir.path().join("heard");
    let _ear = broker.listen(&ear, "ear");

    pms.say("GI|RN101|G#4711|GNWiedererkennbar|GLFR|");
    let greeting = "Bienvenue à l’hôtel Grand Hotel.";
    let told = wait_for("the welcome", || json(&ear, "engawa/test/room/101/guest/message").pop());
    assert_eq!((&told["about"], &told["language"]), (&"welcome".into(), &"fr".into()));
    assert_eq!(told["text"], greeting);

    // A key that is made.
    let key = "KR|RN101|G#4711|KC1|KTN|WS7|GA260715|GD260718|";
    let asked = Instant::now();
    pms.say(key);
    let wanted = wait_for("the wanted key", || json(&ear, "engawa/test/key/1").pop());
    assert_eq!((&wanted["room"], &wanted["coder"]), (&"101".into(), &"1".into()), "{wanted}");
    let by: jiff::Timestamp = wanted["answer_by"].as_str().unwrap().parse().unwrap();
    let left = by.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((1..=25).contains(&left), "{left} s are left of 25");
    let answer = r#"{"key":"a-1","do":"answer-key","coder":"1","workstation":"7","status":"OK"}"#;
    let published = broker.client("mosquitto_pub").args(["-t", "engawa/test/cmd", "-m", answer]).status();
    assert!(published.unwrap().success());
    let made = pms.hear("KA|");
    assert!(made.contains("|KC1|") && made.contains("|ASOK|"), "{made}");
    assert!(asked.elapsed() < Duration::from_secs(25), "it was told at once");

    // One that nobody answers: the PMS is told, and does not wait for ever.
    pms.say(key);
    wait_for("the second key", || (json(&ear, "engawa/test/key/1").len() == 2).then_some(()));
    let failed = pms.hear("KA|");
    assert!(failed.contains("|KC1|") && failed.contains("|ASBY|"), "{failed}");

    // A television that is switched on now shows the welcome; after the check-out nothing is left for the next guest.
    let late = dir.path().join("late");
    let _late = broker.listen(&late, "late");
    let shown = wait_for("the retained screen", || json(&late, "engawa/test/room/101/guest").pop());
    assert_eq!(shown["lines"][0]["text"], greeting);
    assert!(heard(&late, "engawa/test/room/101/guest/message").is_empty(), "a moment is not retained");
    pms.say("GO|RN101|G#4711|");
    let last = wait_for("the goodbye", || {
        json(&late, "engawa/test/room/101/guest/message").pop().filter(|told| told["about"] == "goodbye")
    });
    assert_eq!(last["language"], "fr");
    wait_for("the empty screen", || {
        json(&late, "engawa/test/room/101/guest")
            .pop()
            .filter(|screen| screen["lines"] == serde_json::json!([]))
    });
    let all = std::fs::read_to_string(&ear).unwrap();
    assert!(!all.contains("Wiedererkennbar"), "no name is on the bus");
}
