//! One conversation on a line: a request at a time, with all that the codec leaves to its user.
//!
//! Never: a request sent twice. What is to be done after a failure is for those who know what was asked.

use super::failure::{Failure, short};
use super::many::Many;
use super::single::Single;
use super::slot::{Keeper, Slot};
use crate::modbus::decode::Words;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::prelude::{ReadCode, SlaveContext};
use tokio_modbus::{Error, Request, Response, Slave};

/// An identification comes in so many parts at most; three short texts need one or two.
const MOST_PARTS: usize = 8;

/// What keeps the connection.
#[derive(Clone)]
pub(super) enum Kept {
    /// Modbus TCP.
    Many(Arc<Many>),
    /// RTU.
    Single(Arc<Single>),
}

impl Kept {
    pub(super) fn keeper(&self) -> &dyn Keeper {
        match self {
            Self::Many(many) => &**many,
            Self::Single(single) => &**single,
        }
    }
}

/// The codec of a lane; `None` while it is in use, and after a request that was not waited for.
pub(super) type Codec = Arc<Mutex<Option<Context>>>;

/// A conversation. Its requests go one after another, also where it is cloned.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(super) kept: Option<(Kept, Codec)>,
    pub(super) number: usize,
    /// For people.
    pub(super) place: Arc<str>,
}

/// What a device says it is (function 43/14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceIdentity {
    /// Object 0.
    pub(crate) vendor: String,
    /// Object 1.
    pub(crate) product: String,
    /// Object 2.
    pub(crate) revision: String,
}

/// Gives a request up where its future is dropped before the answer.
struct Asking<'a>(&'a dyn Keeper, usize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.give_up(self.1);
    }
}

impl Lane {
    /// Asks, and waits for `longest` after the request is on the wire.
    async fn ask(&mut self, unit: u8, request: Request<'_>, longest: Duration) -> Result<Response, Failure> {
        let Some((kept, codec)) = &self.kept else {
            return Err(Failure::NoConnection(format!("no connection to {}", self.place)));
        };
        let mut held = codec.lock().await;
        let mut context = held.take().unwrap_or_else(|| match kept {
            Kept::Many(many) => tcp::attach(Slot::new(Arc::clone(many), self.number)),
            Kept::Single(single) => rtu::attach(Slot::new(Arc::clone(single), self.number)),
        });
        context.set_slave(Slave(unit));
        let keeper = kept.keeper();
        keeper.mailbox(self.number, &mut super::slot::Mailbox::clear);
        let asking = Asking(keeper, self.number);
        let answer = match kept {
            Kept::Many(many) => match tokio::time::timeout(longest, context.call(request)).await {
                Ok(answer) => answer,
                Err(_) => return Err(many.in_vain(self.number, longest)),
            },
            // The line itself knows when the request went out.
            Kept::Single(single) => {
                single.set_longest(longest);
                context.call(request).await
            }
        };
        drop(asking);
        let mut failure = None;
        keeper.mailbox(self.number, &mut |mailbox| failure = mailbox.failure.take());
        let answer = match (answer, failure) {
            (Ok(Ok(response)), _) => Ok(response),
            // The device has said no.
            (Ok(Err(code)), _) => Err(Failure::Exception(u8::from(code))),
            (Err(_), Some(failure)) => return Err(failure),
            (Err(Error::Transport(error)), None) => return Err(Failure::Garbage(short(&error.to_string()))),
            (Err(Error::Protocol(error)), None) => return Err(Failure::Garbage(short(&error.to_string()))),
        };
        *held = Some(context);
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
            other => {
                return Err(Failure::Garbage(short(&format!("an answer to another function: {other:?}"))));
            }
        };
        if words.len() != usize::from(count) {
            return Err(Failure::Garbage(format!("{} values where {count} were asked for", words.len())));
        }
        Ok(words)
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
        if echo { Ok(()) } else { Err(no_echo()) }
    }

    /// Changes bits of a register with function 22: what it has AND `and`, OR `or` where `and` has none.
    pub(crate) async fn mask_write(
        &mut self,
        unit: u8,
        address: u16,
        and: u16,
        or: u16,
        longest: Duration,
    ) -> Result<(), Failure> {
        match self.ask(unit, Request::MaskWriteRegister(address, and, or), longest).await? {
            Response::MaskWriteRegister(at, a, o) if (at, a, o) == (address, and, or) => Ok(()),
            _ => Err(no_echo()),
        }
    }

    /// What the device says it is (43/14, the basic objects). Many know no such question and refuse it.
    pub(crate) async fn identify(&mut self, unit: u8, longest: Duration) -> Result<DeviceIdentity, Failure> {
        let (mut identity, mut next) = (DeviceIdentity::default(), 0);
        for _ in 0..MOST_PARTS {
            let request = Request::ReadDeviceIdentification(ReadCode::Basic, next);
            let Response::ReadDeviceIdentification(part) = self.ask(unit, request, longest).await? else {
                return Err(Failure::Garbage("an answer to another function".to_owned()));
            };
            for object in &part.device_id_objects {
                let text = || {
                    let text = String::from_utf8_lossy(&object.value);
                    text.trim_matches(|c: char| c.is_whitespace() || c.is_control()).to_owned()
                };
                match object.id {
                    0 => identity.vendor = text(),
                    1 => identity.product = text(),
                    2 => identity.revision = text(),
                    _ => {}
                }
            }
            if !part.more_follows {
                return Ok(identity);
            }
            if part.next_object_id <= next {
                break;
            }
            next = part.next_object_id;
        }
        Err(Failure::Garbage("an identification that never ends".to_owned()))
    }
}

fn no_echo() -> Failure {
    Failure::Garbage("the echo of a write is not what was written".to_owned())
}
