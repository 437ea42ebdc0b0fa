//! The line between agent and cloud: a UDP relay that can be cut, as the internet can.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The largest UDP payload.
const DATAGRAM: usize = 65_536;
/// How soon the relay's threads see that it is closed.
const LOOK: Duration = Duration::from_millis(100);
/// Clients that are remembered; a stage has one agent, which takes a new port with each connection.
const MOST_CLIENTS: usize = 256;

#[derive(Debug)]
struct State {
    cut: AtomicBool,
    closed: AtomicBool,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

/// A relay from a port of its own to the cloud's. Closed when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

impl Relay {
    /// Opens a relay to `cloud`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(cloud: SocketAddr) -> io::Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        front.set_read_timeout(Some(LOOK))?;
        let address = front.local_addr()?;
        let state = Arc::new(State {
            cut: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || forward(&front, cloud, &of_thread));
        Ok(Self { address, state })
    }

    /// Where the agent finds the cloud.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the line, or mends it. While it is cut every datagram is lost, both ways.
    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::SeqCst);
    }

    /// Bytes that went through, both ways.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// Datagrams that were lost while the line was cut.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
    }
}

/// Counts a datagram; true where it goes through.
fn passes(state: &State, length: usize) -> bool {
    if state.cut.load(Ordering::SeqCst) {
        state.dropped.fetch_add(1, Ordering::Relaxed);
        return false;
    }
    state.bytes.fetch_add(length as u64, Ordering::Relaxed);
    true
}

fn forward(front: &UdpSocket, cloud: SocketAddr, state: &Arc<State>) {
    let clients: Arc<Mutex<BTreeMap<SocketAddr, UdpSocket>>> = Arc::default();
    let mut buffer = vec![0; DATAGRAM];
    while !state.closed.load(Ordering::SeqCst) {
        // A time-out is a look at `closed`; an ICMP error of an earlier datagram (the cloud is down) says nothing new.
        let Ok((length, client)) = front.recv_from(&mut buffer) else { continue };
        if !passes(state, length) {
            continue;
        }
        let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.contains_key(&client) && clients.len() < MOST_CLIENTS {
            let Ok(back) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { continue };
            let (Ok(answers), Ok(front)) = (back.try_clone(), front.try_clone()) else { continue };
            let state = Arc::clone(state);
            std::thread::spawn(move || answer(&answers, &front, client, &state));
            clients.insert(client, back);
        }
        if let Some(back) = clients.get(&client) {
            // A datagram may be lost: that is what the protocol above is made for.
            let _ = back.send_to(&buffer[..length], cloud);
        }
    }
}

fn answer(back: &UdpSocket, front: &UdpSocket, client: SocketAddr, state: &State) {
    if back.set_read_timeout(Some(LOOK)).is_err() {
        return;
    }
    let mut buffer = vec![0; DATAGRAM];
    while !state.closed.load(Ordering::SeqCst) {
        let Ok((length, _)) = back.recv_from(&mut buffer) else { continue };
        if passes(state, length) {
            let _ = front.send_to(&buffer[..length], client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_until_the_line_is_cut() {
        let cloud = UdpSocket::bind("127.0.0.1:0").unwrap();
        let relay = Relay::open(cloud.local_addr().unwrap()).unwrap();
        let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in [&cloud, &agent] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        let mut buffer = [0; 16];
        agent.send_to(b"up", relay.address()).unwrap();
        let (length, from) = cloud.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"up");
        cloud.send_to(b"down", from).unwrap();
        assert_eq!(agent.recv_from(&mut buffer).unwrap().0, 4);
        relay.cut(true);
        agent.send_to(b"lost", relay.address()).unwrap();
        crate::wait::until("the datagram to be dropped", Duration::from_secs(5), || {
            Ok((relay.dropped() > 0).then_some(()))
        })
        .unwrap();
        relay.cut(false);
        agent.send_to(b"again", relay.address()).unwrap();
        assert_eq!(cloud.recv_from(&mut buffer).unwrap().0, 5);
    }
}
