//! What a unit bears: how fast it answers, how much it gives in one request, how many requests at once.
//!
//! For whoever writes a profile: the numbers are those of `max_registers`, `max_in_flight` and `timeout_ms`. Only reads;
//! a device that is overloaded by them is let rest and asked again before it is called overloaded.

use super::scan::Said;
use crate::modbus::config::{BusConfig, Framing};
use crate::modbus::line::{Failure, Line};
use crate::profile::modbus::{ModbusMap, Table};
use std::time::{Duration, Instant};

/// Reads from which the round trip is told.
const ROUNDS: usize = 20;
/// Requests at once that are tried, one number after another.
const AT_ONCE: [u8; 4] = [2, 4, 8, 16];
/// Where registers are looked for when nobody says where there are some.
const PLACES: [(Table, u16); 10] = [
    (Table::Holding, 0),
    (Table::Input, 0),
    (Table::Holding, 1),
    (Table::Input, 1),
    (Table::Holding, 100),
    (Table::Holding, 1000),
    (Table::Input, 1000),
    (Table::Coil, 0),
    (Table::Discrete, 0),
    (Table::Holding, 4000),
];
/// A pause between two connections.
const BETWEEN: Duration = Duration::from_millis(200);
/// A rest for a device that has stopped answering.
const REST: Duration = Duration::from_secs(1);

/// What a unit bears.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What it says that it is; or why it does not.
    pub identity: Result<Said, String>,
    /// Where it was read.
    pub table: Table,
    /// The first address.
    pub address: u16,
    /// Round trips of single reads, the shortest first; empty where none was answered.
    pub round_trips: Vec<Duration>,
    /// Reads among them without an answer.
    pub lost: usize,
    /// The most registers (or bits) from there on in one request.
    pub most: u16,
    /// What happened to one more; `None` where the protocol has no more.
    pub beyond: Option<String>,
    /// Requests at once, on TCP.
    pub at_once: Option<AtOnce>,
}

/// Requests at once on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtOnce {
    /// So many were all answered.
    pub bears: u8,
    /// What happened to more; `None` where no more was tried.
    pub beyond: Option<String>,
}

/// Probes `unit`: at `place`, else at the first point of `map` that it has, else where many devices have registers.
///
/// # Errors
/// In plain words: no connection, or nothing that can be read.
pub async fn probe(
    config: &BusConfig,
    unit: u8,
    place: Option<(Table, u16)>,
    map: Option<&ModbusMap>,
) -> Result<Probe, String> {
    let longest = Duration::from_millis(u64::from(config.timeout_ms));
    let mut prober = Prober { line: Line::new(config, 1), unit, longest };
    prober.connect().await?;
    let identity = prober.line.lane(0).identify(unit, longest).await;
    let identity = identity.as_ref().map(Said::from).map_err(|failure| failure.in_words("function 43/14"));
    let (table, address) = prober.find(place, map).await?;
    let (mut round_trips, mut lost) = (Vec::with_capacity(ROUNDS), 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        match prober.read(table, address, 1).await {
            Ok(()) => round_trips.push(began.elapsed()),
            Err(_) => lost += 1,
        }
    }
    round_trips.sort();
    let (most, beyond) = prober.most(table, address).await;
    // Many devices have one connection at a time.
    prober.line.disconnect();
    let at_once = match config.framing {
        Framing::Tcp if config.serial.is_none() => Some(at_once(config, unit, table, address).await?),
        _ => None,
    };
    Ok(Probe { identity, table, address, round_trips, lost, most, beyond, at_once })
}

struct Prober {
    line: Line,
    unit: u8,
    longest: Duration,
}

impl Prober {
    async fn connect(&mut self) -> Result<(), String> {
        if self.line.is_connected() {
            return Ok(());
        }
        self.line.connect().await.map_err(|failure| failure.in_words(""))
    }

    async fn read(&mut self, table: Table, first: u16, count: u16) -> Result<(), Failure> {
        self.connect().await.map_err(Failure::NoConnection)?;
        let read = self.line.lane(0).read(self.unit, table.read_function(), first, count, self.longest).await;
        read.map(|_| ())
    }

    async fn find(
        &mut self,
        place: Option<(Table, u16)>,
        map: Option<&ModbusMap>,
    ) -> Result<(Table, u16), String> {
        let of_map = map.into_iter().flat_map(|map| &map.points).map(|point| (point.table, point.address));
        let places: Vec<_> = match place {
            Some(place) => vec![place],
            None => of_map.take(PLACES.len()).chain(PLACES).collect(),
        };
        let (mut last, mut silent) = (String::new(), 0);
        for (table, address) in places {
            let place = format!("{} {address}", table.in_words());
            match self.read(table, address, 1).await {
                Ok(()) => return Ok((table, address)),
                Err(failure) => {
                    silent = if matches!(failure, Failure::Exception(_)) { 0 } else { silent + 1 };
                    last = format!("{place}: {}", failure.in_words(&place));
                }
            }
            if silent >= 3 {
                break;
            }
        }
        Err(format!(
            "unit {} has nothing that could be read; the last try was {last}. Say where it has registers with --table \
             and --address, or give its profile",
            self.unit
        ))
    }

    /// The most in one request, by halves, and what happened to one more.
    async fn most(&mut self, table: Table, first: u16) -> (u16, Option<String>) {
        let limit = if table.is_bits() { 2000 } else { 125 };
        let end = u16::try_from(u32::from(u16::MAX) + 1 - u32::from(first)).unwrap_or(u16::MAX);
        let limit = limit.min(end);
        let (mut borne, mut beyond, mut why) = (1, limit + 1, None);
        let mut next = limit;
        while borne + 1 < beyond {
            match self.read(table, first, next).await {
                Ok(()) => borne = next,
                Err(failure) => {
                    beyond = next;
                    why = Some(failure.in_words(&format!("{next} in one request")));
                    if !matches!(failure, Failure::Exception(_)) {
                        tokio::time::sleep(REST).await;
                    }
                }
            }
            next = borne + (beyond - borne) / 2;
        }
        (borne, why)
    }
}

async fn at_once(config: &BusConfig, unit: u8, table: Table, address: u16) -> Result<AtOnce, String> {
    let longest = Duration::from_millis(u64::from(config.timeout_ms));
    let mut bears = 1;
    for count in AT_ONCE {
        // The device notices that the connection before has ended.
        tokio::time::sleep(BETWEEN).await;
        let mut line = Line::new(config, usize::from(count));
        if let Err(failure) = line.connect().await {
            return Ok(AtOnce { bears, beyond: Some(failure.in_words("")) });
        }
        let asked = (0..usize::from(count)).map(|lane| {
            let mut lane = line.lane(lane);
            async move { lane.read(unit, table.read_function(), address, 1, longest).await }
        });
        let answers = futures::future::join_all(asked).await;
        if let Some(failure) = answers.into_iter().find_map(Result::err) {
            let why = failure.in_words(&format!("one of {count} at once"));
            return Ok(AtOnce { bears, beyond: Some(why) });
        }
        bears = count;
    }
    Ok(AtOnce { bears, beyond: None })
}
