//! Who is at a door: how many connections at once, of all and of one peer, and who goes when there are too many.
//!
//! Why: a connection costs its opener nothing. Whoever opens hundreds and asks for nothing (a scanner, a broken monitor,
//! malice) must not keep the page from others, nor from itself. So a newcomer is always taken as long as somebody is there
//! who has not asked for anything yet: the oldest of those goes. Who is being served is never closed for another.
//!
//! Bounds: [`MAX_CONNECTIONS`] at a door, [`MAX_OF_PEER`] of one address. Past them, where everybody is being served, the
//! newcomer is closed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Connections that a door serves at once.
pub(crate) const MAX_CONNECTIONS: usize = 128;
/// Connections of one address: half of them, so that nobody has the door alone.
pub(crate) const MAX_OF_PEER: usize = 64;

/// Where a connection comes from; `None` for the Unix socket.
pub(crate) type Peer = Option<IpAddr>;

/// The connections at one door.
#[derive(Default)]
pub(crate) struct Crowd {
    here: Mutex<Here>,
}

#[derive(Default)]
struct Here {
    last: u64,
    /// By the order in which they came.
    guests: BTreeMap<u64, Guest>,
}

struct Guest {
    peer: Peer,
    asked: Asked,
    closed: CancellationToken,
}

/// Whether a connection has asked for something.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<AtomicBool>);

impl Asked {
    /// It has.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection's place; free again when it is dropped.
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    asked: Asked,
    closed: CancellationToken,
}

impl Seat {
    /// Cancelled when the connection has to go for another's sake.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// To be set when the connection has asked for something.
    pub(crate) fn asked(&self) -> Asked {
        self.asked.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.lock().guests.remove(&self.number);
    }
}

impl Crowd {
    /// Nobody.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A place for a connection of `peer`; `None` where there is none.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        let mut here = self.lock();
        let of_peer = here.guests.values().filter(|guest| guest.peer == peer).count();
        if of_peer >= MAX_OF_PEER {
            here.send_away(|guest| guest.peer == peer)?;
        } else if here.guests.len() >= MAX_CONNECTIONS {
            here.send_away(|_| true)?;
        }
        here.last += 1;
        let number = here.last;
        let (asked, closed) = (Asked::default(), CancellationToken::new());
        here.guests.insert(number, Guest { peer, asked: asked.clone(), closed: closed.clone() });
        Some(Seat { crowd: Arc::clone(self), number, asked, closed })
    }

    /// Closes all who have not asked for anything.
    pub(crate) fn close_silent(&self) {
        let here = self.lock();
        here.guests.values().filter(|guest| !guest.asked.get()).for_each(|guest| guest.closed.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, Here> {
        // Each change under the lock is whole.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Here {
    /// Closes the oldest who has not asked for anything; `None` where there is none.
    fn send_away(&mut self, of: impl Fn(&Guest) -> bool) -> Option<()> {
        let idle = self.guests.iter().find(|(_, guest)| of(guest) && !guest.asked.get());
        let number = idle.map(|(number, _)| *number)?;
        let guest = self.guests.remove(&number)?;
        guest.closed.cancel();
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn from(last: u8) -> Peer {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn the_oldest_who_asked_nothing_makes_room_and_who_is_served_stays() {
        let crowd = Arc::new(Crowd::new());
        let mut seats: Vec<Seat> = (0..MAX_OF_PEER).map(|_| crowd.enter(from(1)).unwrap()).collect();
        seats[0].asked().set();
        let newcomer = crowd.enter(from(1)).unwrap();
        assert!(!seats[0].closed().is_cancelled(), "it is being served");
        assert!(seats[1].closed().is_cancelled() && !seats[2].closed().is_cancelled());
        seats.push(newcomer);
        seats.iter().for_each(|seat| seat.asked().set());
        assert!(crowd.enter(from(1)).is_none(), "everybody of this peer is being served");
        let other = crowd.enter(from(2)).unwrap();
        drop(seats);
        assert!(crowd.enter(from(1)).is_some(), "places come back");
        drop(other);
    }

    #[test]
    fn a_full_door_lets_another_peer_in() {
        let crowd = Arc::new(Crowd::new());
        let seats: Vec<Seat> =
            (0..MAX_CONNECTIONS).map(|n| crowd.enter(from(u8::from(n >= MAX_OF_PEER))).unwrap()).collect();
        let newcomer = crowd.enter(from(9)).unwrap();
        assert!(seats[0].closed().is_cancelled() && !newcomer.closed().is_cancelled());
        assert_eq!(crowd.lock().guests.len(), MAX_CONNECTIONS);
    }
}
