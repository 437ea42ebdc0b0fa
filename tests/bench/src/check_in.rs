//! From a check-in on the PMS's socket to the set point on the Modbus wire: how long the gateway takes.
//!
//! The bench plays both neighbours of the real agent: a PMS that speaks FIAS, and a Modbus TCP server with a thermostat a
//! room, which answers at once, so that a device's own time is none of the figure. Rooms are polled every second meanwhile,
//! and every check-in is durable on the disk before its set point goes out.

use crate::clock;
use crate::logs::Spread;
use crate::spawn::Program;
use anyhow::{Context, bail};
use engawa_stage::process;
use engawa_stage::wait;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How long anything may take.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two check-ins: no whole part of the polling's second, so that all its phases are met.
const PAUSE: Duration = Duration::from_millis(23);
/// Writes that may wait to be looked at: more than are ever under way.
const MOST_WRITES: usize = 4096;
/// Comfort and eco as they are on the wire, tenths of a degree.
const COMFORT: u16 = 220;
const ECO: u16 = 180;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct CheckIn {
    /// Rooms, each with a thermostat that is polled every second.
    pub rooms: u8,
    /// From the record's bytes to the write's.
    pub spread: Spread,
}

/// A write as the server received it.
struct Written {
    unit: u8,
    value: u16,
    at: u64,
}

/// Measures `count` check-ins in a house of `rooms`.
///
/// # Errors
/// The agent can't be started, or a set point never comes.
pub fn measure(rooms: u8, count: u32) -> anyhow::Result<CheckIn> {
    let folder = tempfile::Builder::new().prefix("engawa-bench-").tempdir()?;
    let (writes, written) = sync_channel(MOST_WRITES);
    let server = serve(writes)?;
    let pms = TcpListener::bind("127.0.0.1:0").context("listening for the agent's PMS link")?;
    let config = configure(folder.path(), rooms, server, pms.local_addr()?)?;
    let run = ["run".into(), config.clone().into_os_string()];
    let mut agent = Program::new(process::program("engawa")?, run).start("agent", folder.path())?;
    let mut pms = Pms::start(&pms).with_context(|| agent.output().unwrap_or_default())?;
    let engawa = process::program("engawa")?;
    wait::until("every thermostat to be heard", LONGEST, || {
        agent.must_run()?;
        let arguments = ["devices".into(), "--json".into(), config.as_os_str().to_owned()];
        let listed = process::run(&engawa, arguments).unwrap_or_default();
        Ok((listed.matches("\"well\"").count() >= usize::from(rooms)).then_some(()))
    })?;

    let mut spans = Vec::new();
    for n in 0..count {
        // Each room in its turn, guests in and out again.
        let unit = u8::try_from(n % u32::from(rooms)).unwrap_or(0) + 1;
        let sent = pms.say(&format!("GI|RN{unit}|G#{n}|GNBench|GSN|"))?;
        let arrived = until_written(&written, unit, COMFORT)?;
        spans.push(arrived.saturating_sub(sent));
        wait::pause(PAUSE);
        pms.say(&format!("GO|RN{unit}|G#{n}|GSN|"))?;
        until_written(&written, unit, ECO)?;
        wait::pause(PAUSE);
    }
    agent.stop()?;
    let spread = Spread::of(spans).context("no check-in was measured")?;
    Ok(CheckIn { rooms, spread })
}

/// Waits for the write, and gives when it came.
fn until_written(written: &Receiver<Written>, unit: u8, value: u16) -> anyhow::Result<u64> {
    loop {
        let write = written.recv_timeout(LONGEST).context("the set point did not come")?;
        if write.unit == unit && write.value == value {
            return Ok(write.at);
        }
    }
}

/// The PMS's side of the link.
struct Pms {
    stream: TcpStream,
}

impl Pms {
    fn start(listener: &TcpListener) -> anyhow::Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut pms = Self { stream };
        pms.say("LS|DA260715|TI101500|")?;
        let mut hear = |begin: &[u8]| -> anyhow::Result<()> {
            let mut record = Vec::new();
            while !record.starts_with(begin) {
                record.clear();
                if reader.read_until(3, &mut record)? == 0 {
                    bail!("the agent has closed the PMS link");
                }
            }
            Ok(())
        };
        hear(b"\x02LA|")?;
        pms.say("LA|DA260715|TI101501|")?;
        // The house knows nobody and asks; the list is empty.
        hear(b"\x02DR|")?;
        pms.say("DS|")?;
        pms.say("DE|")?;
        Ok(pms)
    }

    /// Sends a record; gives when its bytes went into the socket.
    fn say(&mut self, record: &str) -> anyhow::Result<u64> {
        let frame = format!("\x02{record}\x03");
        let at = clock::nanos();
        self.stream.write_all(frame.as_bytes())?;
        Ok(at)
    }
}

/// A Modbus TCP server whose units have a set point at holding register 0.
fn serve(writes: SyncSender<Written>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening for the agent's bus")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let registers = std::sync::Arc::new(std::sync::Mutex::new([ECO; 256]));
        for stream in listener.incoming().map_while(Result::ok) {
            let (writes, registers) = (writes.clone(), std::sync::Arc::clone(&registers));
            std::thread::spawn(move || {
                // The connection ends with the agent.
                let _ = answer(stream, &writes, &registers);
            });
        }
    });
    Ok(address)
}

fn answer(
    mut stream: TcpStream,
    writes: &SyncSender<Written>,
    registers: &std::sync::Mutex<[u16; 256]>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head)?;
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let mut pdu = vec![0; length.saturating_sub(1)];
        stream.read_exact(&mut pdu)?;
        let at = clock::nanos();
        let unit = head[6];
        let word = |at: usize| {
            u16::from_be_bytes([pdu.get(at).copied().unwrap_or(0), pdu.get(at + 1).copied().unwrap_or(0)])
        };
        let mut registers = registers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let reply = match pdu.first() {
            Some(3) if word(1) == 0 && word(3) == 1 => {
                let [high, low] = registers[usize::from(unit)].to_be_bytes();
                vec![3, 2, high, low]
            }
            Some(6) if word(1) == 0 => {
                registers[usize::from(unit)] = word(3);
                let write = Written { unit, value: word(3), at };
                if let Err(TrySendError::Full(_)) = writes.try_send(write) {
                    return Err(std::io::Error::other("nobody looks at the writes"));
                }
                pdu.clone()
            }
            Some(function) => vec![function | 0x80, 1],
            None => return Err(std::io::ErrorKind::InvalidData.into()),
        };
        drop(registers);
        let length = u16::try_from(reply.len() + 1).unwrap_or(u16::MAX).to_be_bytes();
        let frame = [&head[..4], &length, &[unit], &reply].concat();
        stream.write_all(&frame)?;
    }
}

fn configure(
    folder: &Path,
    rooms: u8,
    server: SocketAddr,
    pms: SocketAddr,
) -> anyhow::Result<std::path::PathBuf> {
    let profiles = folder.join("profiles");
    std::fs::create_dir_all(&profiles)?;
    std::fs::write(
        profiles.join("t.toml"),
        "[profile]\nname = \"t\"\nmake = \"Field bench\"\nmodel = \"Thermostat\"\nkind = \"thermostat\"\n\
         protocol = \"modbus\"\nsources = [\"the field bench's own description: the set point at register 0\"]\n\n\
         [modbus]\ninterval_ms = 1000\n\n[[modbus.points]]\nname = \"setpoint\"\nrole = \"climate-setpoint\"\n\
         unit = \"Cel\"\ntable = \"holding\"\naddress = 0\ntype = \"u16\"\nscale = \"1/10\"\n\
         write = { function = 6, min = 5.0, max = 40.0 }\n",
    )?;
    let names: Vec<_> = (1..=rooms).map(|room| format!("\"{room}\"")).collect();
    let quoted = |path: std::path::PathBuf| toml::Value::from(path.display().to_string()).to_string();
    let mut text = format!(
        "profiles = \"profiles\"\n[property]\nid = \"bench\"\nname = \"Check-in\"\nzone = \"Europe/Berlin\"\n\
         currency = \"EUR\"\nrooms = [{}]\n[climate]\ncomfort_c = 22.0\neco_heating_c = 18.0\neco_cooling_c = 26.0\n\
         [store]\ndir = {}\n[pms]\naddress = \"{pms}\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n\
         [api]\nlisten = \"127.0.0.1:0\"\nsocket = {}\n[[bus]]\nid = \"b\"\naddress = \"{server}\"\n",
        names.join(", "),
        quoted(folder.join("agent")),
        quoted(folder.join("engawa.sock")),
    );
    for room in 1..=rooms {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "[[device]]\nid = \"t{room}\"\nroom = \"{room}\"\nprofile = \"t\"\nbus = \"b\"\nunit = {room}\n"
        );
    }
    let config = folder.join("engawa.toml");
    std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    Ok(config)
}
