//! A bad line in userspace: a relay for UDP and TCP that loses, delays, shakes, reorders and repeats what goes through,
//! by a seed; that has a narrow way with a queue in front of it; that forgets its ports as a NAT does; that lets TCP
//! through and no UDP; that can be cut. The kernels of test machines often have no netem.
//!
//! What TCP carries can't be lost here, since the kernels at both ends have their own connections to the relay: a loss
//! is a pause of a retransmission time-out, behind which everything of the direction waits.
//!
//! Never: a dependency on a crate of Engawa.

mod pipe;
mod tcp;
mod udp;
mod weather;

pub use weather::Weather;

use pipe::Pipe;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How often a free port for both UDP and TCP is looked for.
const TRIES: usize = 16;

/// What went through and what did not.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    dropped: AtomicU64,
    rebound: AtomicU64,
}

/// What a relay's tasks share.
#[derive(Clone)]
struct Shared {
    weather: watch::Receiver<Weather>,
    /// Counts up with each order to forget the ports.
    rebind: watch::Receiver<u64>,
    counts: Arc<Counts>,
    up: Arc<Pipe>,
    down: Arc<Pipe>,
}

/// A relay from a port of its own, UDP and TCP, to another. Closed when dropped.
pub struct Relay {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    rebind: watch::Sender<u64>,
    counts: Arc<Counts>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({})", self.address)
    }
}

impl Relay {
    /// Opens a relay to `to` (UDP and TCP) in good weather, at a free port of this machine.
    ///
    /// # Errors
    /// The system's.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        Self::between((Ipv4Addr::LOCALHOST, 0).into(), to, to, Weather::default())
    }

    /// Opens a relay from `listen` to `udp` and `tcp`.
    ///
    /// # Errors
    /// The system's.
    pub fn between(
        listen: SocketAddr,
        udp: SocketAddr,
        tcp: SocketAddr,
        weather: Weather,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut tries = 0;
        let (front, listener) = loop {
            let front = std::net::UdpSocket::bind(listen)?;
            match std::net::TcpListener::bind(front.local_addr()?) {
                Ok(listener) => break (front, listener),
                // Somebody has the same port on TCP: another one.
                Err(_) if listen.port() == 0 && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        };
        front.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        let (front, listener) = {
            let _inside = runtime.enter();
            (tokio::net::UdpSocket::from_std(front)?, tokio::net::TcpListener::from_std(listener)?)
        };
        let address = front.local_addr()?;
        let counts = Arc::new(Counts::default());
        let (up, down) = (Pipe::new(weather.seed), Pipe::new(!weather.seed));
        let (weather, seen) = watch::channel(weather);
        let (rebind, rebinds) = watch::channel(0);
        let shared = Shared {
            weather: seen,
            rebind: rebinds,
            counts: Arc::clone(&counts),
            up: Arc::new(up),
            down: Arc::new(down),
        };
        runtime.spawn(udp::relay(Arc::new(front), udp, shared.clone()));
        runtime.spawn(tcp::relay(listener, tcp, shared));
        Ok(Self { address, weather, rebind, counts, runtime: Some(runtime) })
    }

    /// Where the agent finds the cloud, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather.
    pub fn set(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// The weather.
    pub fn weather(&self) -> Weather {
        self.weather.borrow().clone()
    }

    /// Cuts the line, or mends it. While it is cut every datagram is lost, and TCP stands still, both ways: what it
    /// had to say comes with the sender's next try after the mending.
    pub fn cut(&self, cut: bool) {
        self.set(|weather| weather.cut = cut);
    }

    /// Forgets the ports, as a NAT does: what comes from the agent goes on from new ones, and what is sent to the old
    /// ones is lost. TCP connections are reset.
    pub fn rebind(&self) {
        self.rebind.send_modify(|n| *n += 1);
    }

    /// Bytes that went through, both ways.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Datagrams that were lost.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Ports that were forgotten.
    pub fn rebound(&self) -> u64 {
        self.counts.rebound.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also from within another runtime, where nobody may wait.
            runtime.shutdown_background();
        }
    }
}
