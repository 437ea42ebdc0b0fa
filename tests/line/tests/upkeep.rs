//! The two real programs: a gateway with a guest in house is asked about itself by its cloud.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_stage::process::program;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_secs(40);

/// Killed when the test is over, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LONGEST, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(30));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Stage {
    dir: tempfile::TempDir,
    cloud: PathBuf,
    engawa: PathBuf,
    _serving: Running,
    _agent: Running,
    _pms: TcpStream,
}

impl Stage {
    fn config(&self) -> PathBuf {
        self.dir.path().join("engawa.toml")
    }

    fn ask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cloud);
        command.args(arguments).env("ENGAWA_CLOUD_DIR", self.dir.path().join("cloud"));
        command.env("USER", "ann").env_remove("SUDO_USER");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.ask(arguments).output().unwrap()
    }

    fn send(&self, key: &str, what: &[&str]) -> (i32, String) {
        let output = self.run(&[&["send", "grand-1", "--key", key, "--wait", "30"], what].concat());
        let status = output.status.code().unwrap_or(-1);
        (status, text(&output.stdout) + &text(&output.stderr))
    }
}

/// A thermometer on Modbus whose one register grows with each look.
fn thermometer() -> SocketAddr {
    static LOOKS: AtomicU16 = AtomicU16::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |mut stream: TcpStream| -> std::io::Result<()> {
        loop {
            let mut frame = [0; 12];
            stream.read_exact(&mut frame)?;
            let count = u16::from_be_bytes([frame[10], frame[11]]);
            let mut pdu = vec![frame[7], u8::try_from(count * 2).unwrap()];
            let value = LOOKS.fetch_add(1, Ordering::Relaxed) % 1000;
            pdu.extend((0..count).flat_map(|_| value.to_be_bytes()));
            let mut answer = frame[..4].to_vec();
            answer.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
            answer.push(frame[6]);
            answer.extend(pdu);
            stream.write_all(&answer)?;
        }
    };
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The PMS's side: greets, and brings a guest.
fn pms(listener: &TcpListener) -> TcpStream {
    let (mut line, _) = listener.accept().unwrap();
    line.set_read_timeout(Some(LONGEST)).unwrap();
    line.write_all(b"\x02LS|DA260715|TI101500|\x03").unwrap();
    let mut reader = BufReader::new(line.try_clone().unwrap());
    loop {
        let mut record = Vec::new();
        assert!(reader.read_until(3, &mut record).unwrap() > 0, "the gateway hung up");
        if record.starts_with(b"\x02LA|") {
            break;
        }
    }
    line.write_all(b"\x02LA|DA260715|TI101501|\x03").unwrap();
    let guest = "\x02GI|RN101|G#4711|GNSatoyoshi|GFHaruka|A3+81 90 1234 5678|GSN|\x03";
    line.write_all(guest.as_bytes()).unwrap();
    // What the gateway says is not of interest; a line that is not read would hold it up.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    line
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, engawa) = (program("engawa-cloud").unwrap(), program("engawa").unwrap());
    let home = dir.path().join("cloud");
    let of_cloud = |arguments: &[&str]| {
        let mut command = Command::new(&cloud);
        command.args(arguments).env("ENGAWA_CLOUD_DIR", &home);
        command
    };
    assert!(of_cloud(&["init", "--name", "127.0.0.1"]).output().unwrap().status.success());
    let mut serving = of_cloud(&["serve", "--listen", "127.0.0.1:0"]);
    let mut serving = serving.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
    let claim = of_cloud(&["claim", "--property", "grand", "--gateway", "grand-1"]).output().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::create_dir(dir.path().join("profiles")).unwrap();
    let profile = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n\
        [modbus]\ninterval_ms = 100\n[[modbus.points]]\nname = 'temperature'\ntable = 'input'\naddress = 0\ntype = 'u16'\n";
    std::fs::write(dir.path().join("profiles/p.toml"), profile).unwrap();
    let config = dir.path().join("engawa.toml");
    let here = dir.path().display();
    let written = format!(
        "profiles = 'profiles'\n[property]\nid = 'grand'\nname = 'Grand'\nzone = 'UTC'\ncurrency = 'EUR'\n\
        rooms = ['101', '102']\n[climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n\
        [store]\ndir = '{here}/data'\n[pms]\naddress = '{}'\nfree_fields = {{ A3 = 'phone' }}\n\
        [mqtt]\nlisten = '127.0.0.1:0'\n[api]\nlisten = '127.0.0.1:0'\nsocket = '{here}/engawa.sock'\n\
        [[bus]]\nid = 'b'\naddress = '{}'\n[[device]]\nid = 't'\nroom = '101'\nprofile = 'p'\nbus = 'b'\nunit = 4\n\
        [cloud]\naddress = '{address}'\nidentity_dir = '{here}/identity'\n",
        listener.local_addr().unwrap(),
        thermometer()
    );
    std::fs::write(&config, written).unwrap();
    let agent = Command::new(&engawa).arg("run").arg(&config).stderr(Stdio::null()).spawn().unwrap();
    let code = text(&claim.stdout);
    let enrolled = Command::new(&engawa).args(["enroll", code.trim()]).arg(&config).output().unwrap();
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    let line = pms(&listener);
    let (serving, agent) = (Running(serving), Running(agent));
    Stage { dir, cloud, engawa, _serving: serving, _agent: agent, _pms: line }
}

#[test]
fn a_gateway_with_a_guest_in_house_is_asked_about_itself() {
    let stage = stage();
    wait_for("the guest at the cloud", || {
        let rooms = stage.run(&["rooms", "grand-1", "--json"]);
        text(&rooms.stdout).contains("4711").then_some(())
    });

    // Settings.
    let config = stage.config();
    let original = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, original.replace("22.0", "21.5").replace("'102']", "'102', '103']")).unwrap();
    let (status, said) = stage.send("r1", &["reload"]);
    assert_eq!(
        (status, said.as_str()),
        (0, "done: changed: climate.comfort_c; needs a restart: property.rooms\n")
    );
    std::fs::write(&config, original.replace("22.0", "warm")).unwrap();
    let (status, said) = stage.send("r2", &["reload"]);
    assert!(
        status == 3 && said.contains("nothing has changed: ") && said.contains("engawa.toml:9:13"),
        "{said}"
    );
    std::fs::write(&config, &original).unwrap();
    let (status, said) = stage.send("r1", &["reload"]);
    assert!(status == 0 && said.contains("climate.comfort_c"), "asked twice is done once: {said}");

    // An update.
    let (status, said) = stage.send("u1", &["update", "1.4.0", "--from", "02:00", "--to", "04:00"]);
    assert!(status == 3 && said.contains("no updater on this box"), "{said}");
    let (status, said) = stage.send("u2", &["update", "newest"]);
    assert!(status == 3 && said.contains("`newest` is not a version"), "{said}");

    // A bundle.
    let (status, said) = stage.send("fault-7", &["diagnose"]);
    assert!(status == 0 && said.contains("a bundle of "), "{said}");
    wait_for("the bundle", || {
        let listed = text(&stage.run(&["bundle", "list", "grand-1", "--json"]).stdout);
        listed.contains("\"whole\"").then_some(())
    });
    let file = stage.dir.path().join("fault-7.json");
    let saved = stage.run(&["bundle", "save", "grand-1", "fault-7", file.to_str().unwrap()]);
    assert!(saved.status.success(), "{}", text(&saved.stderr));
    let bundle = std::fs::read_to_string(&file).unwrap();
    for gone in ["Satoyoshi", "Haruka", "1234 5678"] {
        assert!(!bundle.contains(gone), "{gone}: {bundle}");
    }
    for key in ["key", "vault.key"] {
        let key = std::fs::read_to_string(stage.dir.path().join("data").join(key)).unwrap();
        assert!(!bundle.contains(key.trim()), "a key in the bundle");
    }
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!((&bundle["asked_by"], &bundle["status"]["rooms_occupied"]), (&"ann".into(), &1.into()));
    assert!(bundle["configuration"].as_str().unwrap().contains("comfort_c = 21.5"), "as it was read last");
    no_names(&stage.dir.path().join("cloud"));

    // Watched: ends after its time, with the durable note of what it came to.
    let tail = stage.run(&["tail", "grand-1", "room/101", "--for", "3", "--json"]);
    let lines: Vec<Value> =
        text(&tail.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(tail.status.success() && lines.len() >= 10, "{} lines; {}", lines.len(), text(&tail.stderr));
    let values: Vec<f64> = lines.iter().filter_map(|line| line["value"]["value"].as_f64()).collect();
    assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "in order: {values:?}");
    assert!(lines.iter().all(|line| line["value"]["point"] == "t/temperature"));
    let (status, said) = stage.send("t1", &["json", r#"{"do":"tail","of":"room/102","for_s":60}"#]);
    assert!(status == 3 && said.contains("room/102 has no points"), "{said}");
    let commands = text(&stage.run(&["commands", "grand-1", "--json"]).stdout);
    let ended =
        commands.lines().find(|line| line.contains("\"kind\":\"tail\"") && line.contains("values told"));
    assert!(ended.is_some_and(|line| line.contains("its time is over")), "{commands}");

    // Ended by command before its time.
    let mut long = stage.ask(&["tail", "grand-1", "device/t", "--for", "600"]);
    let mut long = long.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(long.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("t/temperature"), "{line}");
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let key = text(&stage.run(&["commands", "grand-1", "--json"]).stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|command| command["kind"] == "tail" && command["state"] != "ended")
        .map(|command| command["key"].as_str().unwrap().to_owned())
        .unwrap();
    assert_eq!(stage.send("e1", &["end-tail", &key]).0, 0);
    assert_eq!(wait_for("its end", || long.try_wait().unwrap()).code(), Some(0));

    // Audited on the box: who asked for what.
    let log =
        Command::new(&stage.engawa).args(["log", "--json", "--limit", "5000"]).arg(&config).output().unwrap();
    let by_ann = text(&log.stdout)
        .lines()
        .filter(|line| line.contains("command_accepted") && line.contains("\"by\":\"ann\""))
        .count();
    assert!(by_ann >= 6, "{by_ann}");
}

/// No file below `folder` has a guest's name.
fn no_names(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let found = bytes.windows(9).any(|window| window == b"Satoyoshi");
        assert!(!found, "a name in {}", path.display());
    }
}
