//! The cloud's doors: UDP for QUIC, TCP beside it. Who may knock, and how often.
//!
//! Bounds: handshakes under way in all ([`MOST_HANDSHAKES`]) and from one address ([`MOST_OF_AN_ADDRESS`]). Past
//! [`RETRY_ABOVE`] handshakes or connections, and past an address's own bound, QUIC first lets the address prove that it
//! is its own (Retry, RFC 9000 section 8.1.2), which costs us no memory; what is over the bound then is not answered,
//! so that it comes again by itself, ever more slowly.

use crate::carriers::{ServerTls, purpose};
use crate::transport::mux::{Mux, Wire};
use crate::transport::{Connection, Purpose};
use crate::{LinkError, Tuning};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Endpoint, EndpointConfig, Incoming, TokioRuntime, VarInt};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::{TlsAcceptor, TlsStream};

/// Handshakes that may be under way.
const MOST_HANDSHAKES: usize = 1_024;
/// Handshakes that one address (of IPv6: one /64) may have under way. A chain of hotels may share one.
const MOST_OF_AN_ADDRESS: u32 = 256;
/// Connections above which an address must first prove that it is its own.
const RETRY_ABOVE: usize = 1_000;
/// Handshakes under way above which it must, too.
const RETRY_ABOVE_HANDSHAKES: usize = 128;
/// QUIC handshakes that may wait to be looked at.
const MOST_INCOMING: usize = 1_024;
/// What is kept of one connection before its handshake is looked at, bytes.
const INCOMING_BUFFER: u64 = 16 << 10;
/// How often a port is looked for that is free on both.
const FREE_PORT_TRIES: u32 = 16;
/// How long the TCP door rests where the system has no more file handles.
const NO_HANDLES: Duration = Duration::from_millis(200);

/// The open doors.
pub(crate) struct Doors {
    endpoint: Endpoint,
    tcp: TcpListener,
    tls: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    knocking: Arc<Mutex<HashMap<IpAddr, u32>>>,
    udp_address: SocketAddr,
    tcp_address: SocketAddr,
}

/// Somebody at a door.
pub(crate) enum Arrival {
    Quic(Box<Incoming>),
    Tcp(TcpStream, TlsAcceptor),
}

/// A handshake under way; its place is free again when this is dropped.
pub(crate) struct Knock {
    address: IpAddr,
    knocking: Arc<Mutex<HashMap<IpAddr, u32>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Knock {
    fn drop(&mut self) {
        let mut knocking = self.knocking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = knocking.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                knocking.remove(&self.address);
            }
        }
    }
}

impl Doors {
    /// Opens both. Where `udp` asks for any free port, TCP gets the same one if it can.
    pub(crate) fn open(
        udp: SocketAddr,
        tcp: Option<SocketAddr>,
        tls: &ServerTls,
        reset_secret: &[u8],
        tuning: &Tuning,
    ) -> Result<Self, LinkError> {
        let mut config = tls.quic()?;
        config
            .transport_config(tuning.cloud_transport())
            .max_incoming(MOST_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER * 1_024);
        let fault = |source| LinkError::Socket { address: udp, source };
        let mut tries = 0;
        let (socket, udp_address, listener, tcp_address) = loop {
            let socket = UdpSocket::bind(udp).map_err(fault)?;
            let udp_address = socket.local_addr().map_err(fault)?;
            let tcp = tcp.unwrap_or(udp_address);
            match listen(tcp).and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((tcp_address, listener)) => break (socket, udp_address, listener, tcp_address),
                // The port that UDP got is somebody's on TCP: another one.
                Err(_) if udp.port() == 0 && tries < FREE_PORT_TRIES => tries += 1,
                Err(source) => return Err(LinkError::Socket { address: tcp, source }),
            }
        };
        // The same after a restart, so that gateways of the time before learn at once that their connections are gone;
        // another one for each door, so that no door can be made to reset the connections of another.
        let door = [b"engawa reset ".as_slice(), udp_address.to_string().as_bytes(), reset_secret].concat();
        let endpoint = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &door)));
        let endpoint =
            Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime)).map_err(fault)?;
        Ok(Self {
            endpoint,
            tcp: listener,
            tls: TlsAcceptor::from(Arc::clone(&tls.tcp)),
            handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
            knocking: Arc::default(),
            udp_address,
            tcp_address,
        })
    }

    /// Where QUIC is.
    pub(crate) fn udp_address(&self) -> SocketAddr {
        self.udp_address
    }

    /// Where TCP is.
    pub(crate) fn tcp_address(&self) -> SocketAddr {
        self.tcp_address
    }

    /// The next one who may shake hands. `None` once the doors are closed.
    pub(crate) async fn next(&self) -> Option<(Arrival, SocketAddr, Knock)> {
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => {
                    let incoming = incoming?;
                    let address = incoming.remote_address();
                    let busy = self.endpoint.open_connections() > RETRY_ABOVE
                        || self.handshakes.available_permits() < MOST_HANDSHAKES - RETRY_ABOVE_HANDSHAKES;
                    if busy && !incoming.remote_address_validated() {
                        // Sent, or lost: the client asks again either way.
                        let _ = incoming.retry();
                        continue;
                    }
                    match self.knock(address.ip()) {
                        Some(knock) => return Some((Arrival::Quic(Box::new(incoming)), address, knock)),
                        None if incoming.remote_address_validated() => incoming.ignore(),
                        None => drop(incoming.retry()),
                    }
                }
                accepted = self.tcp.accept() => match accepted {
                    Ok((stream, address)) => {
                        // Over the bound: closed at once.
                        if let Some(knock) = self.knock(address.ip()) {
                            return Some((Arrival::Tcp(stream, self.tls.clone()), address, knock));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be taken on TCP");
                        tokio::time::sleep(NO_HANDLES).await;
                    }
                }
            }
        }
    }

    fn knock(&self, address: IpAddr) -> Option<Knock> {
        let place = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        let address = neighbourhood(address);
        let mut knocking = self.knocking.lock().unwrap_or_else(PoisonError::into_inner);
        let count = knocking.entry(address).or_default();
        if *count >= MOST_OF_AN_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Knock { address, knocking: Arc::clone(&self.knocking), _place: place })
    }

    /// Closes both; what is connected over QUIC learns `words`.
    pub(crate) fn close(&self, code: u32, words: &str) {
        self.endpoint.close(VarInt::from_u32(code), words.as_bytes());
    }

    /// Waits until everybody has heard of it.
    pub(crate) async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

/// What counts as one address: of IPv6 a /64, which one customer has.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // A restart must not wait for connections of the time before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

impl Arrival {
    /// Shakes hands.
    pub(crate) async fn shake(
        self,
        address: SocketAddr,
        tuning: &Tuning,
    ) -> Result<(Connection, Purpose), LinkError> {
        let stranger = |source| LinkError::Stranger { address, source };
        let shaking = async {
            match self {
                Self::Quic(incoming) => {
                    let connection = (*incoming).await.map_err(|error| stranger(error.into()))?;
                    let data = connection.handshake_data();
                    let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
                    let purpose = purpose(data.and_then(|data| data.protocol).as_deref());
                    Ok((Connection::quic(connection, None), purpose))
                }
                Self::Tcp(stream, acceptor) => {
                    let fault = |source: std::io::Error| stranger(source.into());
                    let (io, rest) = Wire::new(stream, tuning.idle).map_err(fault)?.parts();
                    let tls = acceptor.accept(io).await.map_err(fault)?;
                    let purpose = purpose(tls.get_ref().1.alpn_protocol());
                    let mux = Mux::start(TlsStream::Server(tls), rest, tuning).await?;
                    Ok((Connection::tcp(mux), purpose))
                }
            }
        };
        let shaken = tokio::time::timeout(tuning.handshake, shaking).await;
        shaken.map_err(|_| stranger("nothing was said in time".into()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::CertificateAuthority;
    use crate::tls;
    use std::sync::Arc;

    fn doors() -> Doors {
        let authority = CertificateAuthority::create("test").unwrap();
        let (certificate, key) = authority.server_certificate(&["localhost".to_owned()]).unwrap();
        let trust = tls::CloudTrust::new(&certificate, &key, authority.pem()).unwrap();
        let tls = tls::cloud(&Arc::new(trust)).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Doors::open(any, None, &tls, key.as_bytes(), &Tuning::default()).unwrap()
    }

    #[tokio::test]
    async fn one_address_can_not_take_every_place() {
        let doors = doors();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut knocks: Vec<Knock> = std::iter::from_fn(|| doors.knock(greedy)).collect();
        assert_eq!(knocks.len(), MOST_OF_AN_ADDRESS as usize);
        assert!(doors.knock(other).is_some());
        knocks.pop();
        assert!(doors.knock(greedy).is_some(), "a handshake that has ended makes room");
        drop(knocks);
        assert!(doors.knocking.lock().unwrap().is_empty(), "nobody is remembered");
        // Many addresses together find the bound of all.
        let many = |n: u32| IpAddr::from(Ipv6Addr::from_bits(u128::from(n) << 64));
        let knocks: Vec<Knock> = (1..).map_while(|n| doors.knock(many(n))).collect();
        assert_eq!(knocks.len(), MOST_HANDSHAKES);
    }

    #[test]
    fn a_64_is_one_address_and_a_mapped_one_is_what_it_maps() {
        let near = |a: &str, b: &str| neighbourhood(a.parse().unwrap()) == neighbourhood(b.parse().unwrap());
        assert!(near("2001:db8::1", "2001:db8::ffff:1") && !near("2001:db8::1", "2001:db8:0:1::1"));
        assert!(near("::ffff:192.0.2.1", "192.0.2.1") && !near("192.0.2.1", "192.0.2.2"));
    }

    #[tokio::test]
    async fn both_doors_have_one_port() {
        let doors = doors();
        assert_eq!(doors.udp_address(), doors.tcp_address());
    }
}
