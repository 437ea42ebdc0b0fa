//! Datagrams: each client has a port of its own towards the other side, which is forgotten now and then.
//!
//! Bounds: clients ([`MOST_CLIENTS`]) and datagrams under way ([`UNDER_WAY`]); what is too much is lost, as on any line.

use crate::Shared;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The largest UDP payload.
const DATAGRAM: usize = 65_536;
/// Clients that are remembered.
const MOST_CLIENTS: usize = 16_384;
/// Datagrams under way in one direction.
const UNDER_WAY: usize = 65_536;

/// A client's port on the other side.
struct Back {
    socket: Arc<UdpSocket>,
    answers: AbortHandle,
}

impl Drop for Back {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// A datagram that arrives at a time.
struct Late {
    at: Instant,
    /// Those that arrive together keep the order in which they were sent.
    number: u64,
    through: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Arc<[u8]>,
}

/// Relays datagrams until it is aborted.
pub(crate) async fn relay(front: Arc<UdpSocket>, to: SocketAddr, shared: Shared) {
    let (up, ups) = mpsc::channel(UNDER_WAY);
    let (down, downs) = mpsc::channel(UNDER_WAY);
    tokio::spawn(deliver(ups));
    tokio::spawn(deliver(downs));
    let mut clients: BTreeMap<SocketAddr, Back> = BTreeMap::new();
    let mut buffer = vec![0; DATAGRAM];
    let mut forgets = shared.rebind.clone();
    let mut forgot = Instant::now();
    loop {
        let received = tokio::select! {
            received = front.recv_from(&mut buffer) => received,
            changed = forgets.changed() => {
                if changed.is_err() {
                    return;
                }
                shared.counts.rebound.fetch_add(clients.len() as u64, Ordering::Relaxed);
                clients.clear();
                continue;
            }
        };
        // An ICMP error of an earlier datagram (the client is gone) says nothing new.
        let Ok((length, client)) = received else { continue };
        if shared.weather.borrow().rebind_every.is_some_and(|every| forgot.elapsed() >= every) {
            forgot = Instant::now();
            shared.counts.rebound.fetch_add(clients.len() as u64, Ordering::Relaxed);
            clients.clear();
        }
        if !clients.contains_key(&client) && clients.len() < MOST_CLIENTS {
            let own: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let Ok(socket) = UdpSocket::bind(own).await else { continue };
            let socket = Arc::new(socket);
            let of_task = (Arc::clone(&socket), Arc::clone(&front), shared.clone(), down.clone());
            let answers = tokio::spawn(async move {
                let (socket, front, shared, down) = of_task;
                let mut buffer = vec![0; DATAGRAM];
                loop {
                    if let Ok(length) = socket.recv(&mut buffer).await {
                        send(&shared, false, &down, &front, client, &buffer[..length]);
                    }
                }
            });
            // Only what comes from the other side is an answer.
            if socket.connect(to).await.is_ok() {
                clients.insert(client, Back { socket, answers: answers.abort_handle() });
            } else {
                answers.abort();
            }
        }
        if let Some(back) = clients.get(&client) {
            send(&shared, true, &up, &back.socket, to, &buffer[..length]);
        }
    }
}

fn send(
    shared: &Shared,
    upward: bool,
    way: &mpsc::Sender<Late>,
    through: &Arc<UdpSocket>,
    to: SocketAddr,
    bytes: &[u8],
) {
    let pipe = if upward { &shared.up } else { &shared.down };
    let weather = shared.weather.borrow();
    let arrivals =
        if weather.udp_blocked { Vec::new() } else { pipe.datagram(&weather, bytes.len(), Instant::now()) };
    drop(weather);
    if arrivals.is_empty() {
        shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
    let bytes: Arc<[u8]> = bytes.into();
    for at in arrivals {
        shared.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let late = Late { at, number: 0, through: Arc::clone(through), to, bytes: Arc::clone(&bytes) };
        if way.try_send(late).is_err() {
            shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends each datagram when its time has come.
async fn deliver(mut sent: mpsc::Receiver<Late>) {
    let mut waiting: BinaryHeap<Reverse<Late>> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let due = waiting.peek().map(|Reverse(late)| late.at);
        tokio::select! {
            biased;
            late = sent.recv(), if waiting.len() < UNDER_WAY => {
                let Some(late) = late else { return };
                number += 1;
                waiting.push(Reverse(Late { number, ..late }));
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                while waiting.peek().is_some_and(|Reverse(late)| late.at <= Instant::now()) {
                    let Some(Reverse(late)) = waiting.pop() else { break };
                    // It may be lost: that is what the protocol above is made for.
                    let _ = if late.through.peer_addr().is_ok() {
                        late.through.send(&late.bytes).await
                    } else {
                        late.through.send_to(&late.bytes, late.to).await
                    };
                }
            }
        }
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}
