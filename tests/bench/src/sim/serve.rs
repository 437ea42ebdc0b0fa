//! The shell of the field: its sockets, its clock and its logs, in one thread.
//!
//! Why not the runtime that the agent uses: the simulator must cost far less than what it measures. It has one epoll
//! set, no tasks and no allocation for a request.

use super::field::{Counts, Event, Field};
use super::frame;
use crate::clock;
use anyhow::Context;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// How often the counters are written.
const EVERY: u64 = 250_000_000;
/// Connections at once; more are closed at once.
const MOST_CONNECTIONS: usize = 8192;
/// Bytes of requests that a connection may have begun; a frame has at most 260.
const MOST_IN: usize = 16 * 1024;
/// Bytes of answers that a client may leave unread; then its connection is closed.
const MOST_OUT: usize = 1024 * 1024;

struct Connection {
    stream: TcpStream,
    port: usize,
    /// The beginning of a request that has not wholly come yet.
    half: Vec<u8>,
    /// Answers that the socket did not take yet.
    owed: Vec<u8>,
}

/// The field, listening.
pub struct Server {
    field: Field,
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    accepted: u64,
    markers: BufWriter<File>,
    polls: BufWriter<File>,
    counts: BufWriter<File>,
    per_second: f64,
}

impl Server {
    /// Binds an address for each of `ports`; logs go to `folder`. `per_second` markers are set a second.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(field: Field, ports: usize, per_second: f64, folder: &Path) -> anyhow::Result<Self> {
        let poll = Poll::new().context("making an epoll set")?;
        let mut listeners = Vec::with_capacity(ports);
        for n in 0..ports {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let mut listener = TcpListener::bind(any).context("opening a Modbus server")?;
            poll.registry().register(&mut listener, Token(n), Interest::READABLE)?;
            listeners.push(listener);
        }
        let log = |name: &str| -> anyhow::Result<BufWriter<File>> {
            let path = folder.join(name);
            Ok(BufWriter::new(File::create(&path).with_context(|| format!("making {}", path.display()))?))
        };
        Ok(Self {
            field,
            poll,
            listeners,
            connections: Vec::new(),
            accepted: 0,
            markers: log("markers.csv")?,
            polls: log("polls.csv")?,
            counts: log("counts.csv")?,
            per_second,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves for at most `longest`.
    ///
    /// # Errors
    /// The system's; the logs can't be written.
    pub fn run(mut self, longest: Duration) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let began = clock::nanos();
        let end = began + u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX / 2);
        // A pause that a float holds well enough: markers are logged with the time at which they were set.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of seconds")]
        let pause = if self.per_second > 0.0 { (1e9 / self.per_second) as u64 } else { u64::MAX / 2 };
        let (mut marker_due, mut counts_due) = (began + pause, began);
        loop {
            let now = clock::nanos();
            if now >= end {
                return Ok(());
            }
            while marker_due <= now {
                self.field.mark(now);
                marker_due += pause;
            }
            if counts_due <= now {
                self.write_counts(now)?;
                counts_due += EVERY;
            }
            self.write_events()?;
            let wait = Duration::from_nanos(marker_due.min(counts_due).min(end).saturating_sub(now));
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.context("waiting for sockets")?,
            }
            for event in &events {
                let Token(n) = event.token();
                match n.checked_sub(self.listeners.len()) {
                    None => self.accept(n)?,
                    Some(n) => self.serve(n),
                }
            }
        }
    }

    fn accept(&mut self, port: usize) -> anyhow::Result<()> {
        loop {
            let (mut stream, _) = match self.listeners[port].accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Gone before it was taken.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("taking a connection"),
            };
            let free = self.connections.iter().position(Option::is_none);
            let slot = free.unwrap_or(self.connections.len());
            if slot >= MOST_CONNECTIONS {
                continue;
            }
            stream.set_nodelay(true)?;
            let token = Token(self.listeners.len() + slot);
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            let connection = Some(Connection { stream, port, half: Vec::new(), owed: Vec::new() });
            if free.is_some() {
                self.connections[slot] = connection;
            } else {
                self.connections.push(connection);
            }
            self.accepted += 1;
        }
    }

    fn serve(&mut self, n: usize) {
        let Some(Some(connection)) = self.connections.get_mut(n) else { return };
        if connection.serve(&mut self.field).is_err() {
            // Dropping the stream closes it, and takes it out of the set.
            self.connections[n] = None;
        }
    }

    fn write_counts(&mut self, now: u64) -> io::Result<()> {
        let Counts { requests, registers, exceptions } = self.field.counts;
        let open = self.connections.iter().flatten().count();
        writeln!(self.counts, "{now},{requests},{registers},{exceptions},{},{open}", self.accepted)?;
        self.counts.flush()?;
        self.markers.flush()?;
        self.polls.flush()
    }

    fn write_events(&mut self) -> io::Result<()> {
        for (at, event) in self.field.events.drain(..) {
            match event {
                Event::Set { device, marker } => writeln!(self.markers, "{at},set,{device},{marker}")?,
                Event::Read { device, marker } => writeln!(self.markers, "{at},read,{device},{marker}")?,
                Event::Polled { device } => writeln!(self.polls, "{at},{device}")?,
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Reads and answers until nothing more is there. An error ends the connection.
    fn serve(&mut self, field: &mut Field) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let now = clock::nanos();
            let no_frame = |_| io::Error::from(io::ErrorKind::InvalidData);
            if self.half.is_empty() {
                let used = frame::answer(field, self.port, &buffer[..count], now, &mut self.owed)
                    .map_err(no_frame)?;
                self.half.extend_from_slice(&buffer[used..count]);
            } else {
                self.half.extend_from_slice(&buffer[..count]);
                let used =
                    frame::answer(field, self.port, &self.half, now, &mut self.owed).map_err(no_frame)?;
                self.half.drain(..used);
            }
            if self.half.len() > MOST_IN {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // Less than the buffer holds: the stream is empty, and more would come with a new event.
            if count < buffer.len() {
                break;
            }
        }
        self.pay()
    }

    fn pay(&mut self) -> io::Result<()> {
        while !self.owed.is_empty() {
            match self.stream.write(&self.owed) {
                Ok(count) => drop(self.owed.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.owed.len() > MOST_OUT {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }
}
