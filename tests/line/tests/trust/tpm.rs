//! A gateway's key in a TPM: the real programs and a software TPM (swtpm).

use crate::stand::{Cloud, Gateway, LONGEST, files};
use engawa_stage::process;
use engawa_stage::wait;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A software TPM over the state in a folder; its power goes when it is dropped.
struct Tpm {
    child: Child,
    socket: PathBuf,
}

impl Tpm {
    fn command(state: &Path) -> Command {
        std::fs::create_dir_all(state).unwrap();
        let log = std::fs::File::create(state.join("swtpm.log")).unwrap();
        let mut command = Command::new("swtpm");
        command.args(["socket", "--tpm2", "--flags", "not-need-init", "--tpmstate"]);
        command
            .arg(format!("dir={}", state.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// On a Unix socket.
    fn on(state: &Path, socket: &Path) -> Self {
        let _ = std::fs::remove_file(socket);
        let mut command = Self::command(state);
        command.arg("--server").arg(format!("type=unixio,path={}", socket.display()));
        let child = command.spawn().expect("swtpm: `make setup-test` installs it");
        let socket = socket.to_owned();
        wait::until("the TPM", LONGEST, || Ok(socket.exists().then_some(()))).unwrap();
        Self { child, socket }
    }

    /// On a TCP port.
    fn on_port(state: &Path, port: u16) -> Self {
        let mut command = Self::command(state);
        command.arg("--server").arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"));
        let child = command.spawn().expect("swtpm: `make setup-test` installs it");
        wait::until("the TPM", LONGEST, || Ok(TcpStream::connect(("127.0.0.1", port)).ok())).unwrap();
        Self { child, socket: PathBuf::new() }
    }

    fn off(self) {
        drop(self);
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[test]
fn a_key_in_a_tpm_is_made_used_and_renewed_there_and_is_never_in_a_file() {
    let folder = tempfile::Builder::new().prefix("engawa-tpm-").tempdir().unwrap();
    let folder = folder.path();
    let cloud = Cloud::open(folder).unwrap();
    let (state, other, socket) = (folder.join("tpm"), folder.join("tpm-of-another"), folder.join("tpm.sock"));
    let key = format!("tpm:swtpm:path={}", socket.display());
    let lines = format!("address = \"{}\"\nkey = \"{key}\"", cloud.address);
    let mut house = Gateway::new(folder, "box", &lines).unwrap();

    // No TPM, no identity; and the code is not used up.
    cloud.certificates_last(Some(5)).unwrap();
    let code = cloud.claim("g1").unwrap();
    let refused = format!("{:#}", house.enroll(&code, &[]).unwrap_err());
    assert!(refused.contains("there is no TPM at swtpm:path="), "{refused}");
    let refused = format!("{:#}", house.enroll(&code, &["--key", "file"]).unwrap_err());
    assert!(refused.contains("make them the same"), "{refused}");

    let tpm = Tpm::on(&state, &socket);
    let said = house.enroll(&code, &["--property", "grand"]).unwrap();
    assert!(said.contains("enrolled as `g1` of property `grand`, no region"), "{said}");
    assert!(said.contains(&format!("private key in: {key}")), "{said}");
    let first = house.file("gateway.key").unwrap();
    assert!(first.contains("BEGIN TSS2 PRIVATE KEY"), "{first}");
    cloud.certificates_last(None).unwrap();

    // The first certificate's time is soon over: the renewal makes another key there.
    house.start().unwrap();
    house.until_up(0).unwrap();
    cloud.talks_to("g1", "first").unwrap();
    house.until_said("the gateway has a new certificate", 1).unwrap();
    wait::until("the old key to go", LONGEST, || {
        Ok((!house.identity().join("next.key").exists()).then_some(()))
    })
    .unwrap();
    let second = house.file("gateway.key").unwrap();
    assert!(second.contains("BEGIN TSS2 PRIVATE KEY") && second != first, "a new one, in the TPM as well");
    cloud.talks_to("g1", "renewed").unwrap();

    // The box restarts; so does the TPM, also under a gateway that runs.
    house.kill().unwrap();
    tpm.off();
    let before = house.ups().unwrap();
    house.start().unwrap();
    house.until_said("there is no TPM at", 1).unwrap();
    let tpm = Tpm::on(&state, &socket);
    house.until_up(before).unwrap();
    cloud.talks_to("g1", "restarted").unwrap();

    // Another TPM has nothing of it.
    house.kill().unwrap();
    tpm.off();
    let wrong = Tpm::on(&other, &socket);
    let before = house.ups().unwrap();
    house.start().unwrap();
    house.until_said("the gateway's key is not of the TPM at", 1).unwrap();
    assert_eq!(house.ups().unwrap(), before);
    wrong.off();
    let _tpm = Tpm::on(&state, &socket);
    house.until_up(before).unwrap();
    cloud.talks_to("g1", "the right one again").unwrap();

    // No file of the box has a key that anybody could use: `openssl` finds none in any of them.
    let all = files(&house.dir).unwrap();
    assert!(all.len() > 5, "{}", all.len());
    for (path, bytes) in &all {
        let text = String::from_utf8_lossy(bytes);
        for label in ["BEGIN PRIVATE KEY", "BEGIN EC PRIVATE KEY", "BEGIN ENCRYPTED PRIVATE KEY"] {
            assert!(!text.contains(label), "{}", path.display());
        }
    }
    for name in ["gateway.key", "identity.pem"] {
        let path = house.identity().join(name);
        let read = process::run(
            Path::new("openssl"),
            ["pkey".into(), "-noout".into(), "-in".into(), path.into_os_string()],
        );
        assert!(read.is_err(), "openssl finds a private key in {name}");
    }
}

#[test]
fn what_speaks_against_a_tpm_is_said_before_anything_is_changed() {
    let folder = tempfile::Builder::new().prefix("engawa-tpm-").tempdir().unwrap();
    let folder = folder.path();
    let cloud = Cloud::open(folder).unwrap();
    let code = cloud.claim("g1").unwrap();
    let house = Gateway::new(folder, "box", &format!("address = \"{}\"", cloud.address)).unwrap();
    let tried = |key: &str| format!("{:#}", house.enroll(&code, &["--key", key]).unwrap_err());
    assert!(tried("tpm:device:/dev/no-such-tpm").contains("there is no TPM at device:/dev/no-such-tpm"));
    assert!(tried("tpm:nonsense").contains("is no place for a key"));
    // Something else listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 10];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let words = tried(&format!("tpm:swtpm:host=127.0.0.1,port={port}"));
    assert!(words.contains("does not answer") || words.contains("can't be"), "{words}");
    answering.join().unwrap();
    assert!(!house.identity().join("identity.pem").exists());

    // An owner who has set a password keeps the hierarchy. (The password is set by the bytes of TPM2_HierarchyChangeAuth.)
    let (state, port) = (folder.join("tpm"), crate::stand::free().unwrap().port());
    let tpm = Tpm::on_port(&state, port);
    let place = format!("tpm:swtpm:host=127.0.0.1,port={port}");
    owner_sets_password(port);
    let words = tried(&place);
    assert!(words.contains("owner hierarchy") && words.contains("password"), "{words}");
    tpm.off();
    // After all that the code is still good.
    let state = folder.join("another");
    let _tpm = Tpm::on_port(&state, port);
    let said = house.enroll(&code, &["--key", &place]).unwrap();
    assert!(said.contains(&place), "{said}");
}

/// One command to the TPM as bytes; gives its response code.
fn told(port: u16, command: &[u8]) -> u32 {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    stream.write_all(command).unwrap();
    let mut head = [0; 10];
    stream.read_exact(&mut head).unwrap();
    u32::from_be_bytes([head[6], head[7], head[8], head[9]])
}

fn owner_sets_password(port: u16) {
    assert_eq!(told(port, &[0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0]), 0, "TPM2_Startup");
    let mut command = vec![0x80, 2, 0, 0, 0, 33, 0, 0, 1, 0x29, 0x40, 0, 0, 1];
    command.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0]);
    command.extend([0, 4]);
    command.extend(b"pass");
    assert_eq!(told(port, &command), 0, "TPM2_HierarchyChangeAuth");
}
