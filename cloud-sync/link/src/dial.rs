//! Making connections to the cloud, and keeping them on the way out of the house that works.
//!
//! An address is tried over QUIC, and two seconds later over TCP beside it; the next address a little later beside both.
//! Whoever has the handshake first wins, and the others are dropped.

use crate::carriers::ClientTls;
use crate::home::Native;
use crate::line::Memory;
use crate::metered::{Used, count_file, interface_of};
use crate::transport::mux::{Mux, Wire};
use crate::transport::{Carrier, Connection, Ended, any};
use crate::{Line, LinkError, Tuning};
use crate::{key, region};
use engawa_protocol::backoff::Backoff;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use quinn::{ConnectionError, Endpoint};
use rustls::pki_types::ServerName;
use std::future::pending;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, TlsStream};

/// Addresses that one name may resolve to; further ones are not tried.
const MOST_RESOLVED: usize = 4;
/// How long one of them is alone before the next is tried beside it (RFC 8305, section 5: 250 ms).
const RESOLVED_APART: Duration = Duration::from_millis(250);
/// How often an address that stays silent is tried afresh beside the attempt that still waits: a lost datagram is sent
/// again ever more slowly.
const AGAIN: Duration = Duration::from_secs(8);
/// Seconds of a day.
const A_DAY: u64 = 86_400;
/// Attempts that may be under way.
const MOST_ATTEMPTS: usize = 4;

/// Makes connections for one purpose.
pub(crate) struct Dialer {
    line: Line,
    who: String,
    tls: Mutex<ClientTls>,
    tuning: Tuning,
    known: Mutex<Known>,
    /// Who asks a cloud of another region for the way; nobody on connections for enrolment and renewal.
    native: Mutex<Option<Native>>,
    /// True while bulk waits, since a metered way has used its budget.
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    last: Option<Memory>,
    quic_tried: Option<Instant>,
    used: Used,
    /// Where a session ended in silence: tried last, until something has worked again.
    silent: Option<String>,
}

impl Dialer {
    /// For the gateway `who`.
    pub(crate) fn new(line: Line, who: &str, tls: ClientTls, tuning: Tuning) -> Self {
        let last = line.memory.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let used = line.memory.as_ref().and_then(|path| std::fs::read_to_string(count_file(path)).ok());
        let used = used.map(|text| Used::read(&text)).unwrap_or_default();
        let last = last.and_then(|text| Memory::read(&text));
        let known = Known { last, quic_tried: None, used, silent: None };
        let held = watch::channel(false).0;
        Self {
            line,
            who: who.to_owned(),
            tls: Mutex::new(tls),
            tuning,
            known: Mutex::new(known),
            native: Mutex::new(None),
            held,
        }
    }

    /// From now on this is shown, for sessions of this region.
    pub(crate) fn show(&self, tls: ClientTls, native: Option<Native>) {
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = tls;
        let mut known = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        if let (None, Some(native)) = (&*known, &native) {
            self.line.home.recall(&native.region, self.line.memory.as_deref());
        }
        *known = native;
    }

    fn tls(&self) -> ClientTls {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether bulk is to wait; changes as ways and days do.
    pub(crate) fn held(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// Counts what went over the wire from `source`, and holds bulk back where that has used the day's budget.
    fn count(&self, source: Option<IpAddr>, bytes: u64) {
        let Some(metered) = &self.line.metered else { return };
        let day =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / A_DAY;
        let on_it = source.is_some_and(|source| metered.is(source, interface_of));
        let over = self.known(|known| {
            if on_it {
                known.used.count(day, bytes);
                if let Some(path) = &self.line.memory
                    && let Err(error) = known.used.note(&count_file(path))
                {
                    tracing::warn!(reason = %error, "the bytes of the metered way are not counted over a restart");
                }
            }
            on_it && known.used.is_over(day, metered.bytes_per_day)
        });
        if self.held.send_if_modified(|held| std::mem::replace(held, over) != over) {
            let budget = metered.bytes_per_day;
            if over {
                tracing::warn!(budget, "the metered way has used its budget of the day: telemetry waits");
            } else {
                tracing::info!("telemetry goes on");
            }
        }
    }

    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connects to the first address that answers. Where it is told to go elsewhere it goes there at once, and once.
    ///
    /// # Errors
    /// Why nobody could be reached, or that the own key can't be used.
    pub(crate) async fn dial(&self) -> Result<Connection, LinkError> {
        // A key whose TPM is away would look like a cloud that does not like us.
        key::ready(self.tls().key).await.map_err(LinkError::Key)?;
        let home = self.line.home.get();
        match self.dial_each().await {
            Err(_) if self.line.home.get().is_some() && self.line.home.get() != home => {
                self.dial_each().await
            }
            dialled => dialled,
        }
    }

    async fn dial_each(&self) -> Result<Connection, LinkError> {
        let (last, silent) = self.known(|known| (known.last.clone(), known.silent.clone()));
        let mut order = self.line.order(&self.who, last.as_ref());
        order.sort_by_key(|address| Some(address) == silent.as_ref());
        let mut next = order.iter().chain(order.iter().cycle().take(MOST_ATTEMPTS)).enumerate();
        let mut attempts = FuturesUnordered::new();
        let mut first_fault: Option<(usize, LinkError)> = None;
        loop {
            let started = attempts.len();
            let wait = match next.clone().next() {
                Some((n, _)) if started == 0 && n < order.len() => Duration::ZERO,
                // Afresh only beside one that waits, never after a clear no.
                Some(_) if started == 0 => break,
                Some((n, _)) if n < order.len() => self.line.next_after,
                Some(_) if started < MOST_ATTEMPTS => AGAIN,
                _ => Duration::MAX,
            };
            let due = async {
                match Instant::now().checked_add(wait).filter(|_| wait < Duration::MAX) {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(ended) = attempts.next(), if !attempts.is_empty() => {
                    let (n, ended): (usize, Result<(Connection, String), LinkError>) = ended;
                    match ended {
                        Ok((connection, address)) => {
                            self.is_enough(&address);
                            self.remember(address, connection.carrier());
                            return Ok(connection);
                        }
                        Err(error) if first_fault.as_ref().is_none_or(|(first, _)| n < *first) => {
                            first_fault = Some((n, error));
                        }
                        Err(_) => {}
                    }
                }
                () = due => if let Some((n, address)) = next.next() {
                    let last = last.as_ref().filter(|last| last.address == *address);
                    let tcp_first = last.is_some_and(|last| last.carrier == Carrier::Tcp);
                    attempts.push(async move {
                        (n, self.try_address(address, tcp_first).await.map(|made| (made, address.clone())))
                    });
                }
            }
        }
        Err(first_fault.map_or(LinkError::Nowhere, |(_, fault)| fault))
    }

    /// One address: QUIC, and TCP a little later (or the other way round, where TCP was the last to get through).
    async fn try_address(&self, address: &str, tcp_first: bool) -> Result<Connection, LinkError> {
        let (host, resolved) = resolve(address).await?;
        let mut tries: FuturesUnordered<BoxFuture<'_, _>> = FuturesUnordered::new();
        let (quic_after, tcp_after) = match tcp_first {
            true => (self.line.tcp_after, Duration::ZERO),
            false => (Duration::ZERO, self.line.tcp_after),
        };
        for (n, address) in (0_u32..).zip(resolved) {
            let (host, apart) = (host.as_str(), RESOLVED_APART * n);
            tries.push(Box::pin(async move {
                tokio::time::sleep(quic_after + apart).await;
                (Carrier::Quic, self.quic(host, address).await)
            }));
            tries.push(Box::pin(async move {
                tokio::time::sleep(tcp_after + apart).await;
                (Carrier::Tcp, self.tcp(host, address).await)
            }));
        }
        let mut faults = Vec::new();
        while let Some((carrier, made)) = tries.next().await {
            match made {
                Ok(connection) => return Ok(connection),
                // A clear no over QUIC would be the same over TCP.
                Err(
                    fault @ (LinkError::Tls(_)
                    | LinkError::Region { .. }
                    | LinkError::OtherRegion { .. }
                    | LinkError::Connect { .. }),
                ) if carrier == Carrier::Quic => {
                    return Err(fault);
                }
                Err(fault) => faults.push((carrier == Carrier::Tcp, fault)),
            }
        }
        // What QUIC met says most; that nobody listens on TCP is no news.
        faults.sort_by_key(|(tcp, _)| *tcp);
        Err(faults.into_iter().next().map_or(LinkError::Nowhere, |(_, fault)| fault))
    }

    async fn quic(&self, host: &str, address: SocketAddr) -> Result<Connection, LinkError> {
        self.known(|known| known.quic_tried = Some(Instant::now()));
        let mut config = self.tls().quic()?;
        config.transport_config(self.tuning.transport());
        let any = any(address);
        let endpoint = Endpoint::client(any).map_err(|source| LinkError::Socket { address: any, source })?;
        let connecting = endpoint
            .connect_with(config, address, host)
            .map_err(|error| LinkError::Tls(format!("`{host}` can't be connected to: {error}")))?;
        let connected = tokio::time::timeout(self.tuning.handshake, connecting).await;
        let connection = connected
            .map_err(|_| LinkError::Silent { address })?
            .map_err(|source| LinkError::Connect { address, source: source.into() })?;
        self.checked(Connection::quic(connection, Some(endpoint))).await
    }

    async fn tcp(&self, host: &str, mut address: SocketAddr) -> Result<Connection, LinkError> {
        address.set_port(self.line.tcp_port.unwrap_or(address.port()));
        let fault =
            |source: std::io::Error| LinkError::Connect { address, source: Ended::Tcp(source.to_string()) };
        let connecting = async {
            let wire = Wire::new(TcpStream::connect(address).await.map_err(fault)?, self.tuning.idle);
            let (io, rest) = wire.map_err(fault)?.parts();
            let name = ServerName::try_from(host.to_owned())
                .map_err(|error| LinkError::Tls(format!("`{host}` can't be connected to: {error}")))?;
            let tls = TlsConnector::from(self.tls().tcp).connect(name, io).await.map_err(fault)?;
            Mux::start(TlsStream::Client(tls), rest, &self.tuning).await
        };
        let connected = tokio::time::timeout(self.tuning.handshake, connecting).await;
        self.checked(Connection::tcp(connected.map_err(|_| LinkError::Silent { address })??)).await
    }

    /// Lets a connection through where the cloud is of our region, by configuration and by certificate.
    async fn checked(&self, connection: Connection) -> Result<Connection, LinkError> {
        let native = self.native.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = self.line.region.clone().or_else(|| native.as_ref().map(|native| native.region.clone()));
        let Some(wanted) = wanted else { return Ok(connection) };
        let found = connection.certificate().map(|certificate| region::of(&certificate)).unwrap_or_default();
        if found.contains(&wanted) {
            return Ok(connection);
        }
        if let Some(native) = native.filter(|native| native.region == wanted) {
            let told = tokio::time::timeout(self.tuning.handshake, native.ask(&connection)).await;
            let address = told.ok().flatten();
            connection.close(0, "another region");
            let theirs = found.into_iter().next().unwrap_or_else(|| "no region".to_owned());
            if let Some(address) = &address {
                tracing::info!(ours = %wanted, %theirs, %address, "this cloud is of another region: going to our own");
                self.line.home.learn(&wanted, address, self.line.memory.as_deref());
            }
            return Err(LinkError::OtherRegion { ours: wanted, theirs, address });
        }
        connection.close(0, "another region");
        let found = match found.as_slice() {
            [] => "nowhere, by its certificate".to_owned(),
            named => format!("`{}`", named.join("`, `")),
        };
        Err(LinkError::Region { address: connection.address(), wanted, found })
    }

    /// A configured address is of our region: what another cloud has named is not needed any more. Only who has looked at
    /// the region may say so.
    fn is_enough(&self, address: &str) {
        let looked = self.native.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if looked && self.line.home.get().is_some_and(|home| home != address) {
            self.line.home.forget(self.line.memory.as_deref());
        }
    }

    fn remember(&self, address: String, carrier: Carrier) {
        let memory = Memory { address, carrier };
        let news = self.known(|known| {
            known.silent = None;
            known.last.replace(memory.clone()) != Some(memory.clone())
        });
        if let (true, Some(path)) = (news, &self.line.memory)
            && let Err(error) = memory.write(path)
        {
            // Only a hint: the next start tries the usual order.
            tracing::warn!(reason = %error, "the way to the cloud is not remembered over a restart");
        }
    }

    /// A session over `connection` has ended so. A cloud that fell silent may be one of several that is down: the others
    /// come first. Where QUIC carries no longer than its handshake the next one is over TCP,
    /// or it would be tried for ever: there are firewalls that let the first datagrams through and drop the rest.
    pub(crate) fn ended(&self, connection: &Connection, error: &LinkError, lasted: Duration) {
        let Some(address) = self.known(|known| known.last.as_ref().map(|last| last.address.clone())) else {
            return;
        };
        if connection.carrier() == Carrier::Quic
            && speaks_against_quic(error, connection.close_reason().as_ref(), lasted)
        {
            self.known(|known| known.quic_tried = Some(Instant::now()));
            tracing::info!(cloud = %connection, reason = %error.in_words(), "QUIC did not last: TCP is next");
            self.remember(address.clone(), Carrier::Tcp);
        }
        if matches!(error, LinkError::Silent { .. }) {
            self.known(|known| known.silent = Some(address));
        }
    }

    /// While TCP carries: waits for the next time that QUIC gets through, and gives its connection. For ever while QUIC
    /// carries.
    pub(crate) async fn better(&self, present: &Connection) -> Connection {
        if present.carrier() == Carrier::Quic {
            return pending().await;
        }
        let address = self.known(|known| known.last.as_ref().map(|last| last.address.clone()));
        let Some(address) = address else { return pending().await };
        loop {
            let tried = self.known(|known| known.quic_tried).unwrap_or_else(Instant::now);
            tokio::time::sleep_until(tried + self.line.quic_again).await;
            self.known(|known| known.quic_tried = Some(Instant::now()));
            let Ok((host, resolved)) = resolve(&address).await else { continue };
            for at in resolved {
                match self.quic(&host, at).await {
                    Ok(connection) => {
                        self.remember(address, Carrier::Quic);
                        return connection;
                    }
                    Err(error) => {
                        tracing::debug!(%at, reason = %error.in_words(), "QUIC does not get through yet")
                    }
                }
            }
        }
    }

    /// Keeps `connection` on the way that works: moves it where the way out of the house changes, and where nothing is
    /// heard any more first takes a new port (a NAT may have forgotten the old one). Gives why it is not worth keeping.
    pub(crate) async fn keep(&self, connection: &Connection) -> LinkError {
        let mut look = tokio::time::interval((self.tuning.keep_alive / 5).min(self.line.look));
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut heard, mut heard_at) = (connection.traffic().1, Instant::now());
        let (mut source, mut source_at) = (source_towards(connection.address()), Instant::now());
        let (mut moved, mut counted) = (false, 0);
        loop {
            look.tick().await;
            let (sent, now) = connection.traffic();
            self.count(source, (sent + now).saturating_sub(counted));
            counted = sent + now;
            if now != heard {
                (heard, heard_at, moved) = (now, Instant::now(), false);
            }
            // What is lost is sent again after a round trip or more, ever more slowly.
            let patience = self.tuning.keep_alive.max(connection.rtt() * 10);
            let silent = heard_at.elapsed();
            if silent >= self.tuning.keep_alive + patience * 2 {
                return LinkError::Silent { address: connection.address() };
            }
            if silent >= self.tuning.keep_alive + patience && !moved {
                moved = true;
                self.move_to_new_port(connection, "nothing is heard");
            }
            if source_at.elapsed() >= self.line.look {
                source_at = Instant::now();
                let now = source_towards(connection.address());
                if now.is_some() && now != source {
                    source = now;
                    if !self.move_to_new_port(connection, "the way out of the house has changed") {
                        return LinkError::Moved;
                    }
                }
            }
        }
    }

    fn move_to_new_port(&self, connection: &Connection, why: &str) -> bool {
        match connection.rebind() {
            Ok(moved) => {
                if moved {
                    tracing::info!(cloud = %connection.address(), why, "the connection goes on from a new port");
                }
                moved
            }
            Err(error) => {
                tracing::warn!(%error, why, "no new port for the connection");
                false
            }
        }
    }
}

/// True where a QUIC session that `lasted` so long ended as if its datagrams were dropped: in silence, or soon and with
/// nobody having said why.
fn speaks_against_quic(error: &LinkError, reason: Option<&Ended>, lasted: Duration) -> bool {
    let reason = match error {
        LinkError::Broken(ended) => Some(ended),
        _ => reason,
    };
    match (error, reason) {
        (_, Some(Ended::Quic(ConnectionError::ConnectionClosed(_)))) => false,
        (_, Some(ended)) if ended.said().is_some() => false,
        (LinkError::Silent { .. }, _) | (_, Some(Ended::Quic(ConnectionError::TimedOut))) => true,
        (LinkError::Broken(_) | LinkError::Stream(_), _) => lasted < Backoff::GOOD,
        _ => false,
    }
}

/// The own address from which the kernel would send to `other` now; nothing where there is no way. Nothing is sent.
/// Asking the kernel's routing so, every few seconds, needs no netlink and sees what matters: a route or an address
/// that changed.
pub(crate) fn source_towards(other: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any(other)).ok()?;
    socket.connect(other).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The host of `host:port`, and what it resolves to.
async fn resolve(address: &str) -> Result<(String, Vec<SocketAddr>), LinkError> {
    let fault = |source| LinkError::Address { address: address.to_owned(), source };
    let (host, _) = address.rsplit_once(':').ok_or_else(|| fault(None))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let resolved = tokio::net::lookup_host(address).await.map_err(|source| fault(Some(source)))?;
    let resolved: Vec<SocketAddr> = resolved.take(MOST_RESOLVED).collect();
    if resolved.is_empty() { Err(fault(None)) } else { Ok((host, resolved)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_from_where_it_would_send() {
        let loopback: SocketAddr = "127.0.0.1:9".parse().unwrap();
        assert_eq!(source_towards(loopback), Some(loopback.ip()));
    }

    #[test]
    fn silence_speaks_against_quic_and_a_refusal_does_not() {
        let s = Duration::from_secs;
        let silent = LinkError::Silent { address: "127.0.0.1:9".parse().unwrap() };
        let broken = |ended: ConnectionError| LinkError::Broken(ended.into());
        let said = || {
            ConnectionError::ApplicationClosed(quinn::ApplicationClose {
                error_code: quinn::VarInt::from_u32(3),
                reason: "revoked".into(),
            })
        };
        assert!(speaks_against_quic(&silent, None, s(9_000)));
        assert!(speaks_against_quic(&broken(ConnectionError::TimedOut), None, s(9_000)));
        let stream = LinkError::Stream("lost".to_owned());
        assert!(speaks_against_quic(&stream, Some(&ConnectionError::TimedOut.into()), s(9_000)));
        for (error, reason) in [(&stream, None), (&broken(ConnectionError::Reset), None)] {
            assert!(speaks_against_quic(error, reason, s(29)));
            assert!(!speaks_against_quic(error, reason, s(30)));
        }
        assert!(!speaks_against_quic(&broken(said()), None, s(1)));
        assert!(!speaks_against_quic(&stream, Some(&said().into()), s(1)));
        // A certificate that the cloud's TLS does not take is refused after our handshake.
        let alert = quinn::ConnectionClose {
            error_code: quinn::TransportErrorCode::crypto(45),
            frame_type: None,
            reason: "".into(),
        };
        assert!(!speaks_against_quic(&broken(ConnectionError::ConnectionClosed(alert)), None, s(1)));
        let refused = LinkError::Refused { reason: "fenced".to_owned(), retry_after_s: 0 };
        for error in [refused, LinkError::Renewed, LinkError::Moved] {
            assert!(!speaks_against_quic(&error, None, s(1)));
        }
    }

    #[tokio::test]
    async fn an_address_is_a_host_and_a_port() {
        let (host, resolved) = resolve("[::1]:443").await.unwrap();
        assert_eq!((host.as_str(), resolved), ("::1", vec!["[::1]:443".parse().unwrap()]));
        for wrong in ["cloud.example.com", "127.0.0.1:x", ""] {
            assert!(matches!(resolve(wrong).await, Err(LinkError::Address { .. })), "{wrong}");
        }
    }
}
