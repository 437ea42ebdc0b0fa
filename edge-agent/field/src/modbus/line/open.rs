//! Opening what a line is made of: a TCP socket, a serial port.

use crate::modbus::config::{BusConfig, Parity};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_serial::{ClearBuffer, DataBits, FlowControl, SerialPort, SerialStream, StopBits};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a port that somebody has is looked at again, and after what pause.
const LOOKS: u32 = 6;
const LOOK: Duration = Duration::from_millis(50);

/// A socket to `host:port`; else why not.
pub(super) async fn tcp(address: &str) -> Result<TcpStream, String> {
    let stream = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {} s", CONNECT.as_secs())),
    };
    // Small frames, each waited for.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Sees that no other program has the port: the agent and a tool on one line would spoil each other's answers.
///
/// Whoever opens a port through this library has a shared lock on it (`flock`), which goes with the program however that
/// ends. So an exclusive one is to be had only where nobody is; it is given back at once, for the port's own lock to be
/// taken. The port is not closed to programs that don't look (`TIOCEXCL`): on some drivers that outlives a program that
/// was killed, and it keeps out what a technician wants to look with.
pub(super) async fn nobody_has(path: &str) -> Result<(), String> {
    // Never the controlling terminal of a service, and never waiting for a modem's line.
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..LOOKS {
        // Where it can't be opened, opening it to use it says why.
        let Ok(handle) = rustix::fs::open(path, flags, Mode::empty()) else { return Ok(()) };
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            // The line's own last connection may be about to go.
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOOK).await,
            // Where locks are not known nobody has one.
            _ => return Ok(()),
        }
    }
    Err(format!(
        "{path} is in use by another program, perhaps the agent; two on one line spoil each other's answers. Stop the \
         agent first (`systemctl stop engawa`), or wait for the other program to end"
    ))
}

/// A port, set as configured; else why not.
pub(super) fn serial(path: &str, config: &BusConfig) -> Result<SerialStream, String> {
    let parity = match config.parity.unwrap_or_default() {
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
        Parity::None => tokio_serial::Parity::None,
    };
    let stop_bits = if config.stop_bits == Some(2) { StopBits::Two } else { StopBits::One };
    let builder = tokio_serial::new(path, config.baud_or_default())
        .data_bits(DataBits::Eight)
        .parity(parity)
        .stop_bits(stop_bits)
        .flow_control(FlowControl::None)
        .exclusive(false);
    let port = SerialStream::open(&builder).map_err(|error| match error.kind() {
        tokio_serial::ErrorKind::NoDevice | tokio_serial::ErrorKind::Io(std::io::ErrorKind::NotFound) => {
            format!("there is no port {path}; is the adapter plugged in?")
        }
        tokio_serial::ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
            format!("no permission to open {path}; the agent's user must be in the group `dialout`")
        }
        _ => format!("{path} can't be opened: {error}"),
    })?;
    // What came before it was opened is nobody's answer.
    port.clear(ClearBuffer::Input).map_err(|error| format!("{path} can't be cleared: {error}"))?;
    Ok(port)
}
