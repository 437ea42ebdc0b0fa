//! Connections: byte streams through the same weather as the datagrams.
//!
//! Bounds: connections ([`MOST_CONNECTIONS`]) and pieces under way of each direction ([`UNDER_WAY`]); past it the relay
//! stops reading, and the sender's kernel waits.

use crate::pipe::{RETRANSMISSION, SYN_AGAIN, next_try};
use crate::{Shared, Weather};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

/// Connections at once.
const MOST_CONNECTIONS: usize = 1_024;
/// Pieces under way.
const UNDER_WAY: usize = 1_024;
/// A piece: what a segment carries.
const PIECE: usize = 1_400;
/// How long the other side may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Relays connections until it is aborted.
pub(crate) async fn relay(listener: TcpListener, to: SocketAddr, shared: Shared) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let mut forgets = shared.rebind.clone();
            forgets.mark_unchanged();
            tokio::select! {
                () = connection(client, to, &shared) => {}
                // Reset: both ends find their connection gone.
                _ = forgets.changed() => {
                    shared.counts.rebound.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(place);
        });
    }
}

async fn connection(client: TcpStream, to: SocketAddr, shared: &Shared) {
    // Our kernel has answered the SYN, which a cut line would have swallowed.
    if !whole(shared, SYN_AGAIN).await {
        return;
    }
    let Ok(Ok(server)) = tokio::time::timeout(CONNECT, TcpStream::connect(to)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(
        direction(from_client, to_server, shared, true),
        direction(from_server, to_client, shared, false)
    );
}

/// Waits while the line is cut, and then for the sender's next try, of which the first came `first` after the bytes. False
/// where the relay has ended.
async fn whole(shared: &Shared, first: Duration) -> bool {
    let mut weather = shared.weather.clone();
    let sent = Instant::now();
    while weather.borrow_and_update().cut {
        if weather.wait_for(|weather| !weather.cut).await.is_err() {
            return false;
        }
        tokio::time::sleep_until(next_try(sent, first, Instant::now()).into()).await;
    }
    true
}

async fn direction(mut from: OwnedReadHalf, to: OwnedWriteHalf, shared: &Shared, upward: bool) {
    let (send, late) = mpsc::channel(UNDER_WAY);
    let read = async move {
        let pipe = if upward { &shared.up } else { &shared.down };
        let mut before = None;
        loop {
            let mut piece = vec![0; PIECE];
            let Ok(length) = from.read(&mut piece).await else { return };
            if length == 0 {
                return;
            }
            piece.truncate(length);
            let now = |weather: &watch::Receiver<Weather>| weather.borrow().clone();
            while let Some(wait) = pipe.backlog(&now(&shared.weather), Instant::now()) {
                tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
            }
            let at = pipe.bytes(&now(&shared.weather), length, Instant::now(), before);
            before = Some(at);
            if send.send((at, piece)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write(to, late, shared.clone()));
}

async fn write(mut to: OwnedWriteHalf, mut late: mpsc::Receiver<(Instant, Vec<u8>)>, shared: Shared) {
    while let Some((at, piece)) = late.recv().await {
        tokio::time::sleep_until(at.into()).await;
        if !whole(&shared, RETRANSMISSION).await {
            return;
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
        shared.counts.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    // The end of one direction is passed on.
    let _ = to.shutdown().await;
}
