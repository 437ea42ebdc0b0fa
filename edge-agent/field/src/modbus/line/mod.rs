//! The connection of a bus, whatever it is made of: Modbus TCP plain or in TLS, RTU on a serial port or in a TCP stream.
//!
//! Above, a line is some [`Lane`]s: conversations of one request at a time, each with its own time-out. Below, one task
//! keeps the stream. In between sit the parts that make an answer certain, both pure: [`mbap`] tells the lanes of a TCP
//! connection apart by transaction numbers, [`rtu`] knows when an RTU answer can't be mistaken. The library's codec
//! works on a stream of ours ([`slot`]) and sees only what has been found good.
//!
//! Never: a request sent a second time; a reconnection that was not asked for by [`Line::connect`].

mod expect;
mod failure;
mod frames;
mod hosts;
mod lane;
mod many;
pub(crate) mod mbap;
mod open;
pub(crate) mod rtu;
mod single;
mod slot;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use failure::{Failure, exception};
pub(crate) use lane::{DeviceIdentity, Lane};

use super::config::{BusConfig, Framing};
use hosts::{Host, Hosts, LOOK};
use lane::{Codec, Kept};
use many::{Many, Plain};
use rtu::Timing;
use single::Single;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// The most conversations at once on one connection: gateways and devices queue few.
pub(crate) const MOST_LANES: usize = 32;
/// How long a quiet moment is waited for before the line leaves the standby.
const QUIET: Duration = Duration::from_secs(5);

/// What a line has thrown away since the start, and how often it was made anew.
#[derive(Debug, Default)]
pub(crate) struct LineCounters {
    /// Answers to requests that had been given up, or with a number that was never asked.
    pub late: AtomicU64,
    /// Answers with a wrong check sum.
    pub crc: AtomicU64,
    /// Bytes that belong to no answer.
    pub noise: AtomicU64,
    /// Connections after the first.
    pub reconnects: AtomicU64,
}

/// One connection.
pub(crate) struct Line {
    config: BusConfig,
    lanes: usize,
    kept: Option<Kept>,
    /// One for each lane of the present connection.
    codecs: Vec<Codec>,
    place: Arc<str>,
    counters: Arc<LineCounters>,
    hosts: Arc<Mutex<Hosts>>,
    /// Looks for the first host, while the line is with the standby.
    watch: Option<AbortOnDropHandle<()>>,
    began: Instant,
    /// Where the next connection's transaction numbers begin.
    number: u16,
    connected: bool,
    /// A test's peers are no sockets, so that its time can be virtual.
    #[cfg(test)]
    pub(crate) dial: Option<Dial>,
}

/// Makes a connection to a test's peer.
#[cfg(test)]
pub(crate) type Dial = Arc<dyn Fn() -> tokio::io::DuplexStream + Send + Sync>;

impl Line {
    /// A line that is not connected yet, with as many conversations at once as are wanted and it can have.
    pub(crate) fn new(config: &BusConfig, lanes: usize) -> Self {
        let one = config.serial.is_some() || config.framing == Framing::Rtu;
        Self {
            config: config.clone(),
            lanes: if one { 1 } else { lanes.clamp(1, MOST_LANES) },
            kept: None,
            codecs: Vec::new(),
            place: config.place().into(),
            counters: Arc::default(),
            hosts: Arc::new(Mutex::new(Hosts::new(LOOK))),
            watch: None,
            began: Instant::now(),
            number: 1,
            connected: false,
            #[cfg(test)]
            dial: None,
        }
    }

    /// The same line, that counts there.
    pub(crate) fn counting(mut self, counters: Arc<LineCounters>) -> Self {
        self.counters = counters;
        self
    }

    /// Another line to where this one is, with one lane and nothing on it.
    pub(crate) fn aside(&self) -> Self {
        let mut line = Self::new(&self.config, 1);
        line.hosts = Arc::new(Mutex::new(lock(&self.hosts).clone()));
        line.counters = Arc::clone(&self.counters);
        #[cfg(test)]
        line.dial.clone_from(&self.dial);
        line
    }

    /// Whether there can be two of it: a serial port is one, and so is what lies behind a stream of its bytes.
    pub(crate) fn can_be_aside(&self) -> bool {
        self.config.serial.is_none() && self.config.framing == Framing::Tcp
    }

    /// Connects, unless it is connected. With a standby, the one that does not answer costs its time-out first.
    ///
    /// # Errors
    /// [`Failure::NoConnection`], with what was tried.
    pub(crate) async fn connect(&mut self) -> Result<(), Failure> {
        if self.is_connected() {
            return Ok(());
        }
        self.disconnect();
        let kept = if let Some(path) = &self.config.serial {
            open::nobody_has(path).await.map_err(Failure::NoConnection)?;
            let port = open::serial(path, &self.config).map_err(Failure::NoConnection)?;
            let timing = Timing::serial(self.config.baud_or_default(), self.config.turnaround());
            Kept::Single(Single::start(port, timing, Arc::clone(&self.counters)))
        } else {
            self.connect_host().await?
        };
        self.codecs = (0..self.lanes).map(|_| Codec::default()).collect();
        self.kept = Some(kept);
        if std::mem::replace(&mut self.connected, true) {
            self.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        self.watch = self.watch_first();
        Ok(())
    }

    async fn connect_host(&mut self) -> Result<Kept, Failure> {
        let mut tried = Vec::new();
        let order = lock(&self.hosts).order();
        for host in order {
            let address = match host {
                Host::First => self.config.address.clone().unwrap_or_default(),
                Host::Standby => match &self.config.standby {
                    Some(address) => address.clone(),
                    None => continue,
                },
            };
            match self.connect_to(&address).await {
                Ok((kept, place)) => {
                    lock(&self.hosts).connected(host, self.began.elapsed());
                    self.place = place.into();
                    return Ok(kept);
                }
                Err(why) => tried.push(format!("no connection to {address}: {why}")),
            }
        }
        Err(Failure::NoConnection(tried.join("; ")))
    }

    async fn connect_to(&self, address: &str) -> Result<(Kept, String), String> {
        let counters = Arc::clone(&self.counters);
        #[cfg(test)]
        if let Some(dial) = &self.dial {
            let many = Many::start(dial(), self.lanes, self.number, counters);
            return Ok((Kept::Many(many), address.to_owned()));
        }
        if let Some(tls) = &self.config.tls {
            // Told apart from the network's faults: these files are at fault on every attempt.
            let ready = tls::Ready::load(tls, address).await?;
            let stream = ready.connect(open::tcp(address).await?).await?;
            let place = format!("{address} ({})", ready.role_in_words());
            return Ok((Kept::Many(Many::start(stream, self.lanes, self.number, counters)), place));
        }
        let stream = open::tcp(address).await?;
        if self.config.framing == Framing::Rtu {
            let timing = Timing::stream(self.config.turnaround());
            return Ok((
                Kept::Single(Single::start(stream, timing, counters)),
                format!("{address} (RTU over TCP)"),
            ));
        }
        let many = Many::start(Plain::new(stream), self.lanes, self.number, counters);
        Ok((Kept::Many(many), address.to_owned()))
    }

    /// While with the standby: looks for the first, and ends this connection in a quiet moment when it is there to stay.
    fn watch_first(&self) -> Option<AbortOnDropHandle<()>> {
        let (kept, first) = (self.kept.clone()?, self.config.address.clone()?);
        lock(&self.hosts).look_after()?;
        let (hosts, began) = (Arc::clone(&self.hosts), self.began);
        let watch = async move {
            loop {
                let Some(pause) = lock(&hosts).look_after() else { return };
                tokio::time::sleep(pause).await;
                let there = open::tcp(&first).await.is_ok();
                if lock(&hosts).looked(there, began.elapsed()) {
                    break;
                }
            }
            let (keeper, until) = (kept.keeper(), Instant::now() + QUIET);
            while !keeper.is_idle() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tracing::info!(host = %first, "the first host is there again: leaving the standby");
            keeper.close();
        };
        Some(AbortOnDropHandle::new(tokio::spawn(watch)))
    }

    /// Whether the connection is there; false as soon as its stream has ended.
    pub(crate) fn is_connected(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.keeper().is_open())
    }

    /// Drops the connection: whoever waits on a lane is told.
    pub(crate) fn disconnect(&mut self) {
        self.watch = None;
        if let Some(kept) = self.kept.take() {
            if let Kept::Many(many) = &kept {
                self.number = many.next_number();
            }
            kept.keeper().close();
        }
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        self.place.to_string()
    }

    /// Conversations at once.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// One of the conversations; good until the connection ends. Numbers past the last are the last.
    pub(crate) fn lane(&self, n: usize) -> Lane {
        let number = n.min(self.lanes - 1);
        let codec = self.codecs.get(number).cloned();
        Lane { kept: self.kept.clone().zip(codec), number, place: Arc::clone(&self.place) }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn lock(hosts: &Mutex<Hosts>) -> MutexGuard<'_, Hosts> {
    // Plain numbers: a panic elsewhere leaves them good.
    hosts.lock().unwrap_or_else(PoisonError::into_inner)
}
