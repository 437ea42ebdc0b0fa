//! What carries a link's records: a stream that is sound by itself (TCP, TLS), or a serial line with its own protocol.

use super::Stream;
use crate::link::Link;
use crate::serial::{Act, Line, Parity, SerialConfig};
use engawa_model::Timestamp;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_serial::SerialPortBuilderExt;

/// A PMS that does not take our bytes for this long is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a read brought.
pub(super) enum Heard {
    /// Bytes, kept until [`Carrier::hand_over`].
    Bytes,
    /// The other side has closed.
    Closed,
    /// It broke.
    Failed(String),
}

/// One connection.
pub(super) struct Carrier {
    stream: Box<dyn Stream>,
    line: Option<Line>,
    buffer: Box<[u8; 4096]>,
    count: usize,
}

impl Carrier {
    pub(super) fn stream(stream: Box<dyn Stream>) -> Self {
        Self { stream, line: None, buffer: Box::new([0; 4096]), count: 0 }
    }

    /// Opens a serial port.
    pub(super) fn serial(serial: &SerialConfig) -> Result<Self, String> {
        let port =
            port(serial).open_native_async().map_err(|error| format!("opening {}: {error}", serial.port))?;
        Ok(Self { line: Some(Line::new(serial.baud)), ..Self::stream(Box::new(port)) })
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.line.as_ref().and_then(Line::wake_at)
    }

    pub(super) fn on_wake(&mut self, now: Timestamp) {
        if let Some(line) = self.line.as_mut().filter(|line| line.wake_at().is_some_and(|at| at <= now)) {
            line.on_wake(now);
        }
    }

    pub(super) async fn read(&mut self) -> Heard {
        match self.stream.read(&mut self.buffer[..]).await {
            Ok(0) => Heard::Closed,
            Ok(count) => {
                self.count = count;
                Heard::Bytes
            }
            Err(error) => Heard::Failed(crate::tls::in_words(&error)),
        }
    }

    /// What was read goes to the link: at once, or what the line makes of it in [`Carrier::work`].
    pub(super) fn hand_over(&mut self, now: Timestamp, link: &mut Link) {
        let bytes = &self.buffer[..std::mem::take(&mut self.count)];
        match &mut self.line {
            Some(line) => line.on_bytes(now, bytes),
            None => link.on_bytes(now, bytes),
        }
    }

    /// Sends a frame; on a line it may wait for the one before it.
    pub(super) async fn send(&mut self, now: Timestamp, frame: &[u8]) -> Result<(), String> {
        match &mut self.line {
            Some(line) => {
                line.send(now, frame);
                Ok(())
            }
            None => self.write(frame).await,
        }
    }

    /// Does what the line wants. True where the link has something to do now.
    pub(super) async fn work(&mut self, now: Timestamp, link: &mut Link) -> Result<bool, String> {
        let mut told = false;
        while let Some(act) = self.line.as_mut().and_then(Line::poll) {
            match act {
                Act::Write(bytes) => self.write(&bytes).await?,
                Act::Record(frame) => {
                    link.on_bytes(now, &frame);
                    told = true;
                }
                Act::Dropped => {
                    tracing::warn!("the PMS refused a record four times on the serial line; it is dropped");
                }
                Act::Dead(why) => return Err(why.to_owned()),
            }
        }
        Ok(told)
    }

    /// Nothing is sent any more: the stream's end is sent (close_notify before it in TLS), and it can still be read. A serial line
    /// has no end.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        if self.line.is_some() {
            return Ok(());
        }
        match tokio::time::timeout(WRITE_TIMEOUT, self.stream.shutdown()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("ending the stream to the PMS: {}", crate::tls::in_words(&error))),
            Err(_) => Err("the PMS takes no bytes".to_owned()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("writing to the PMS: {}", crate::tls::in_words(&error))),
            Err(_) => Err("the PMS takes no bytes".to_owned()),
        }
    }
}

/// The port as the settings have it; not open yet.
fn port(serial: &SerialConfig) -> tokio_serial::SerialPortBuilder {
    let parity = match serial.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let bits =
        if serial.data_bits == 7 { tokio_serial::DataBits::Seven } else { tokio_serial::DataBits::Eight };
    tokio_serial::new(&serial.port, serial.baud)
        .parity(parity)
        .data_bits(bits)
        .stop_bits(tokio_serial::StopBits::One)
}

#[cfg(test)]
mod tests;
