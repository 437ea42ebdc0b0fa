//! An agent that behaves as it is told: what a slot of the tests has as its program ends up here, in this very test program.

use crate::stand::until;
use engawa_slots::Supervisor;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How it behaves; not set: this is a test.
const BEHAVIOUR: &str = "STAND_IN";
/// The folder where agents leave what the tests look at.
const PLACE: &str = "STAND_IN_PLACE";

/// The program of a slot that behaves like this. It becomes this process's program, as an agent is started by its name alone.
pub(crate) fn script(behaviour: &str, place: &Path) -> String {
    if behaviour == "no-program" {
        // As a program for another C library lacks its loader.
        return "#!/no/such/loader\n".to_owned();
    }
    let own = std::env::current_exe().unwrap();
    let (interpreter, behaviour) = match behaviour.strip_prefix("busy ") {
        None => ("/bin/sh".into(), behaviour),
        Some(behaviour) => (place.join("interpreter"), behaviour),
    };
    format!(
        "#!{}\n{BEHAVIOUR}='{behaviour}' {PLACE}='{}' exec {} --exact stand_in::plays --nocapture\n",
        interpreter.display(),
        place.display(),
        own.display()
    )
}

/// The test that is none: plays the agent where it is started as one.
#[test]
fn plays() {
    if let (Ok(behaviour), Some(place)) = (std::env::var(BEHAVIOUR), std::env::var_os(PLACE)) {
        exit(play(&behaviour, &PathBuf::from(place)));
    }
}

fn note(place: &Path, name: &str, text: &str) {
    File::options()
        .create(true)
        .append(true)
        .open(place.join(name))
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn say(text: &str) {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let _ = socket.send_to(text.as_bytes(), std::env::var_os("NOTIFY_SOCKET").unwrap());
}

fn flag(signal: i32) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal, flag.clone()).unwrap();
    flag
}

fn play(behaviour: &str, place: &Path) -> i32 {
    // Two agents at once would have one database.
    let only = File::create(place.join("only")).unwrap();
    if flock(&only, FlockOperation::NonBlockingLockExclusive).is_err() {
        note(place, "two-at-once", "x");
    }
    note(place, "pids", &format!("{}\n", std::process::id()));
    let (behaviour, detail) = behaviour.split_once(' ').unwrap_or((behaviour, ""));
    match behaviour {
        "crash" => std::process::abort(),
        "exit" => return detail.parse().unwrap(),
        "forks" => {
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            note(place, "forked", &format!("{}\n", child.id()));
            std::process::abort();
        }
        "silent" => loop {
            say("WATCHDOG=1");
            std::thread::park_timeout(Duration::from_millis(50));
        },
        "migrates" | "migrates-for-ever" => {
            // Longer than a start may take, and longer than each word asks for.
            let until_ready = Instant::now() + Duration::from_millis(2_500);
            while behaviour == "migrates-for-ever" || Instant::now() < until_ready {
                say("EXTEND_TIMEOUT_USEC=1000000");
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
        "hangs" => {
            let _deaf = flag(signal_hook::consts::SIGTERM);
            say("READY=1");
            loop {
                std::thread::park_timeout(Duration::from_secs(1));
            }
        }
        _ => {}
    }
    let (stop, reload) = (flag(signal_hook::consts::SIGTERM), flag(signal_hook::consts::SIGHUP));
    let doors = doors();
    let mut fat = Vec::new();
    say(&format!("READY=1\nSTATUS=release {detail}"));
    let supervisor = Supervisor::from_env().unwrap();
    let ready = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            say("STOPPING=1");
            return 0;
        }
        if reload.swap(false, Ordering::Relaxed) {
            note(place, "reloaded", "x");
        }
        say("WATCHDOG=1");
        let on_trial = supervisor
            .status()
            .is_ok_and(|status| status.trial.is_some_and(|_| status.slot != status.active));
        match behaviour {
            "confirms" | "migrates" if on_trial && ready.elapsed() > Duration::from_millis(100) => {
                supervisor.healthy().unwrap()
            }
            "complains" if on_trial => supervisor.unwell(detail).unwrap(),
            "hungry" if fat.is_empty() => fat = vec![1_u8; 200 << 20],
            _ => {}
        }
        let _ = until(Instant::now() + Duration::from_millis(50), || {
            doors.iter().for_each(|door| serve(door, detail));
            stop.load(Ordering::Relaxed)
        });
        std::hint::black_box(&fat);
    }
}

/// What the supervisor holds for it, as an agent takes it over.
fn doors() -> Vec<TcpListener> {
    let mut handed = listenfd::ListenFd::from_env();
    let doors: Vec<TcpListener> =
        (0..handed.len()).filter_map(|at| handed.take_tcp_listener(at).unwrap()).collect();
    doors.iter().for_each(|door| door.set_nonblocking(true).unwrap());
    doors
}

fn serve(door: &TcpListener, text: &str) {
    while let Ok((mut stream, _)) = door.accept() {
        stream.set_nonblocking(false).unwrap();
        let mut byte = [0];
        let _ = stream.read_exact(&mut byte);
        let _ = stream.write_all(text.as_bytes());
    }
}
