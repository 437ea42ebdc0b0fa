//! One connection, one request at a time, and the discipline that the codec leaves to its user.
//!
//! After anything but a good answer or an exception the connection is dropped: a late answer to one request must never
//! be taken for the answer to the next one.

use super::decode::Words;
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_modbus::client::{Client as _, Context, tcp};
use tokio_modbus::prelude::{ReadCode, SlaveContext};
use tokio_modbus::{Error, Request, Response, Slave};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    NoConnection(String),
    /// Nothing came in time.
    Silent(Duration),
    /// Bytes came, and no whole answer in time.
    Half(usize, Duration),
    /// The connection broke before the answer.
    Broken(String),
    /// Something came that is no answer.
    Garbage(String),
    /// The device refused, with this code.
    Exception(u8),
}

impl Failure {
    /// In plain words; `what` is what was asked.
    pub(crate) fn in_words(&self, what: &str) -> String {
        match self {
            Self::NoConnection(why) => why.clone(),
            Self::Silent(time) => format!("no answer within {} ms", time.as_millis()),
            Self::Half(bytes, time) => {
                format!(
                    "garbage: {bytes} bytes that are no whole answer, then nothing within {} ms",
                    time.as_millis()
                )
            }
            Self::Broken(why) => format!("the connection broke before the answer: {why}"),
            Self::Garbage(why) => format!("garbage: {why}"),
            Self::Exception(code) => format!("answers exception {code} ({}) to {what}", exception(*code)),
        }
    }
}

/// What a device says of itself (function 43/14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceIdentity {
    /// Object 0.
    pub(crate) vendor: String,
    /// Object 1.
    pub(crate) product: String,
    /// Object 2.
    pub(crate) revision: String,
}

/// Exception codes in words (Modbus application protocol V1.1b3, section 7).
pub(crate) fn exception(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledge",
        6 => "device busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "the gateway's device does not answer",
        _ => "not in the specification",
    }
}

/// The connection of a bus.
pub(crate) struct Client {
    address: String,
    context: Option<Context>,
    /// Bytes that have come on this connection.
    came: Arc<AtomicUsize>,
}

/// A stream that counts what it reads: a device that sends half an answer is another matter than one that is silent.
#[derive(Debug)]
struct Counted {
    stream: TcpStream,
    came: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.came.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Client {
    pub(crate) fn new(address: String) -> Self {
        Self { address, context: None, came: Arc::default() }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.context.is_some()
    }

    /// Connects, unless it is connected.
    pub(crate) async fn connect(&mut self) -> Result<(), Failure> {
        if self.context.is_some() {
            return Ok(());
        }
        let refused =
            |why: String| Failure::NoConnection(format!("no connection to {}: {why}", self.address));
        let stream = match tokio::time::timeout(CONNECT, TcpStream::connect(&self.address)).await {
            Ok(connected) => connected.map_err(|error| refused(error.to_string()))?,
            Err(_) => return Err(refused(format!("no answer within {} s", CONNECT.as_secs()))),
        };
        // Small frames, each waited for.
        stream.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
        self.context = Some(tcp::attach(Counted { stream, came: Arc::clone(&self.came) }));
        Ok(())
    }

    /// Drops the connection.
    pub(crate) fn disconnect(&mut self) {
        self.context = None;
    }

    async fn ask(&mut self, unit: u8, request: Request<'_>, longest: Duration) -> Result<Response, Failure> {
        self.connect().await?;
        let Some(context) = self.context.as_mut() else {
            return Err(Failure::NoConnection(format!("no connection to {}", self.address)));
        };
        context.set_slave(Slave(unit));
        let before = self.came.load(Ordering::Relaxed);
        let answer = match tokio::time::timeout(longest, context.call(request)).await {
            Err(_) => Err(match self.came.load(Ordering::Relaxed) - before {
                0 => Failure::Silent(longest),
                bytes => Failure::Half(bytes, longest),
            }),
            Ok(Ok(Ok(response))) => Ok(response),
            // The device has said no: the connection is as good as before.
            Ok(Ok(Err(code))) => return Err(Failure::Exception(u8::from(code))),
            Ok(Err(Error::Transport(error))) => Err(match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    Failure::Garbage(error.to_string())
                }
                _ => Failure::Broken(error.to_string()),
            }),
            Ok(Err(Error::Protocol(error))) => Err(Failure::Garbage(short(&error.to_string()))),
        };
        if answer.is_err() {
            self.disconnect();
        }
        answer
    }

    /// Reads registers or bits with function 1 to 4; as many as were asked for, or it is garbage.
    pub(crate) async fn read(
        &mut self,
        unit: u8,
        function: u8,
        first: u16,
        count: u16,
        longest: Duration,
    ) -> Result<Words, Failure> {
        let request = match function {
            1 => Request::ReadCoils(first, count),
            2 => Request::ReadDiscreteInputs(first, count),
            3 => Request::ReadHoldingRegisters(first, count),
            _ => Request::ReadInputRegisters(first, count),
        };
        let words = match self.ask(unit, request, longest).await? {
            Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits) => {
                // Bits come in whole bytes.
                if bits.len() >= usize::from(count) && bits.len() < usize::from(count) + 8 {
                    bits.truncate(usize::from(count));
                }
                Words::Bits(bits)
            }
            Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => {
                Words::Registers(words)
            }
            other => return Err(self.garbage(format!("an answer to another function: {other:?}"))),
        };
        if words.len() != usize::from(count) {
            return Err(self.garbage(format!("{} values where {count} were asked for", words.len())));
        }
        Ok(words)
    }

    /// Asks the device what it is (Read Device Identification, basic).
    pub(crate) async fn identify(&mut self, unit: u8, longest: Duration) -> Result<DeviceIdentity, Failure> {
        let mut identity = DeviceIdentity::default();
        let mut next = 0;
        // Three objects come in at most three answers.
        for _ in 0..3 {
            let request = Request::ReadDeviceIdentification(ReadCode::Basic, next);
            let Response::ReadDeviceIdentification(part) = self.ask(unit, request, longest).await? else {
                return Err(self.garbage("an answer to another function".to_owned()));
            };
            for object in part.device_id_objects {
                let text = String::from_utf8_lossy(&object.value).trim().to_owned();
                match object.id {
                    0 => identity.vendor = text,
                    1 => identity.product = text,
                    2 => identity.revision = text,
                    _ => {}
                }
            }
            if !part.more_follows {
                break;
            }
            next = part.next_object_id;
        }
        Ok(identity)
    }

    /// Writes with function 5, 6, 15 or 16, and sees that the echo is right.
    pub(crate) async fn write(
        &mut self,
        unit: u8,
        function: u8,
        address: u16,
        words: &[u16],
        longest: Duration,
    ) -> Result<(), Failure> {
        let first = words.first().copied().unwrap_or_default();
        let request = match function {
            5 => Request::WriteSingleCoil(address, first != 0),
            15 => Request::WriteMultipleCoils(
                address,
                Cow::Owned(words.iter().map(|word| *word != 0).collect()),
            ),
            6 => Request::WriteSingleRegister(address, first),
            _ => Request::WriteMultipleRegisters(address, Cow::Borrowed(words)),
        };
        let count = words.len();
        let echo = match self.ask(unit, request, longest).await? {
            Response::WriteSingleCoil(at, coil) => at == address && coil == (first != 0),
            Response::WriteSingleRegister(at, word) => at == address && word == first,
            Response::WriteMultipleCoils(at, many) | Response::WriteMultipleRegisters(at, many) => {
                at == address && usize::from(many) == count
            }
            _ => false,
        };
        if echo {
            Ok(())
        } else {
            Err(self.garbage("the echo of a write is not what was written".to_owned()))
        }
    }

    fn garbage(&mut self, why: String) -> Failure {
        self.disconnect();
        Failure::Garbage(short(&why))
    }
}

/// The beginning of a text: whole frames are of no use in a reason.
fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
