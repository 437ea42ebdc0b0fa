//! One job on one lane of the line: what is asked for it, and what came of it.
//!
//! Why apart from the bus: several jobs run at once, each on a lane of its own, while the bus keeps everything that they
//! are about. A job owns what it needs and gives back an answer.
//!
//! Never: a write that is sent again. What a failed write means is for the bus to find out, by reading.

use super::decode::{Outgoing, Register, Words, compose, needs};
use super::line::{DeviceIdentity, Failure, Lane};
use crate::profile::modbus::ModbusMap;
use engawa_model::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The device's poll with this number.
    Poll(usize),
    /// Whether the device is of its profile's make.
    Identity,
    /// A write of the point with this number.
    Write(usize),
    /// Its read-back.
    ReadBack(usize),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// Of a poll or a read-back.
    Words(Result<Words, Failure>),
    /// Of a look at the make: the register's and the device's own words, as far as the profile wants them.
    Identity(Result<(Option<Words>, Option<DeviceIdentity>), Failure>),
    /// Of a write.
    Written(Result<(), WriteFailure>),
}

impl Answer {
    /// Why there is none.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Words(Err(failure))
            | Self::Identity(Err(failure))
            | Self::Written(Err(WriteFailure::Unsent(failure) | WriteFailure::Sent(failure))) => {
                Some(failure)
            }
            _ => None,
        }
    }
}

/// Why a write is not known to be done.
#[derive(Debug)]
pub(super) enum WriteFailure {
    /// Nothing was sent: what had to be read first could not be.
    Unsent(Failure),
    /// It was sent, in part or whole.
    Sent(Failure),
    /// The value can't be written, in plain words.
    Refused(String),
}

/// A finished job.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) device: usize,
    pub(super) lane: usize,
    pub(super) what: What,
    /// On the bus's clock.
    pub(super) began: Duration,
    pub(super) answer: Answer,
}

/// How a device is asked.
#[derive(Clone)]
pub(super) struct Manner {
    pub(super) unit: u8,
    pub(super) longest: Duration,
    pub(super) map: Arc<ModbusMap>,
}

/// Asks for registers or bits.
pub(super) async fn read(mut lane: Lane, manner: Manner, function: u8, first: u16, count: u16) -> Answer {
    Answer::Words(lane.read(manner.unit, function, first, count, manner.longest).await)
}

/// Asks for what tells the make.
pub(super) async fn identity(mut lane: Lane, manner: Manner) -> Answer {
    let Manner { unit, longest, map } = manner;
    let asked = async {
        let words = match &map.identity {
            Some((function, address, _)) => Some(lane.read(unit, *function, *address, 1, longest).await?),
            None => None,
        };
        if words.is_some() && map.device_id.is_some() {
            tokio::time::sleep(map.pause).await;
        }
        let device = match &map.device_id {
            Some(_) => Some(lane.identify(unit, longest).await?),
            None => None,
        };
        Ok((words, device))
    };
    Answer::Identity(asked.await)
}

/// Writes a point: what must be read first, what is written along, and the point itself last.
pub(super) async fn write(lane: Lane, manner: Manner, point: usize, value: Value) -> Answer {
    Answer::Written(write_all(lane, manner, point, &value).await)
}

async fn write_all(mut lane: Lane, manner: Manner, point: usize, value: &Value) -> Result<(), WriteFailure> {
    let Manner { unit, longest, map } = manner;
    let spec =
        map.points.get(point).ok_or_else(|| WriteFailure::Refused("there is no such point".to_owned()))?;
    let mut have: BTreeMap<Register, u16> = BTreeMap::new();
    for (table, address) in needs(spec) {
        let words = lane.read(unit, table.read_function(), address, 1, longest).await;
        let word = match words.map_err(WriteFailure::Unsent)? {
            Words::Registers(words) => words.first().copied(),
            Words::Bits(bits) => bits.first().map(|bit| u16::from(*bit)),
        };
        have.insert((table, address), word.unwrap_or_default());
        tokio::time::sleep(map.pause).await;
    }
    let requests = compose(&map, spec, value, &have).map_err(WriteFailure::Refused)?;
    for (n, request) in requests.iter().enumerate() {
        if n > 0 {
            tokio::time::sleep(map.pause).await;
        }
        let written = match request {
            Outgoing::Words { function, address, words } => {
                lane.write(unit, *function, *address, words, longest).await
            }
            Outgoing::Mask { address, and, or } => lane.mask_write(unit, *address, *and, *or, longest).await,
        };
        written.map_err(|failure| match failure {
            Failure::NoConnection(_) if n == 0 => WriteFailure::Unsent(failure),
            failure => WriteFailure::Sent(failure),
        })?;
    }
    Ok(())
}
