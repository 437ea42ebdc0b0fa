//! Opening what a line is made of: a TCP socket, a serial port.

use crate::modbus::config::{BusConfig, Parity};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_serial::{ClearBuffer, DataBits, FlowControl, SerialPort, SerialStream, StopBits};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

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

/// A port, set as configured; else why not.
///
/// Not locked for others: a lock outlives a program that was killed on some drivers, and keeps out the tools that a
/// technician wants to look with. Two masters on one line show as noise and foreign answers.
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
