//! A connection between gateway and cloud, whatever carries it: QUIC, or TLS 1.3 on TCP where UDP does not get through.
//! Whoever talks over it opens and accepts streams, and need not know which of the two it is.

pub(crate) mod floor;
pub(crate) mod mux;

use crate::LinkError;
use mux::Mux;
use quinn::{Endpoint, ReadError, ReadExactError, VarInt, WriteError};
use rustls::pki_types::CertificateDer;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio_util::compat::Compat;

/// How long the good-bye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long a stream of a TCP connection that has ended waits for the connection's reason.
const REASON: Duration = Duration::from_millis(250);

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// QUIC on UDP.
    Quic,
    /// Streams over TLS 1.3 on TCP.
    Tcp,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "QUIC",
            Self::Tcp => "TCP",
        })
    }
}

/// What the two ends have agreed to talk about (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Journal and commands.
    Sync,
    /// A gateway's certificate.
    Renew,
    /// A new gateway.
    Enrol,
}

/// How a connection ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// A QUIC connection.
    #[error(transparent)]
    Quic(#[from] quinn::ConnectionError),
    /// The other end of a TCP connection said why.
    #[error("closed by peer: {words} (code {code})")]
    Closed {
        /// The application's code.
        code: u32,
        /// Its words.
        words: String,
    },
    /// We closed it.
    #[error("closed")]
    Here,
    /// A TCP connection broke.
    #[error("{0}")]
    Tcp(String),
}

impl Ended {
    /// The code and the words with which the other end closed the connection on purpose.
    pub fn said(&self) -> Option<(u64, String)> {
        match self {
            Self::Quic(quinn::ConnectionError::ApplicationClosed(close)) => {
                Some((close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned()))
            }
            Self::Closed { code, words } => Some((u64::from(*code), words.clone())),
            _ => None,
        }
    }
}

/// A connection whose other end has proved who it is. Clones are the same connection.
#[derive(Clone)]
pub(crate) struct Connection(Inner);

#[derive(Clone)]
enum Inner {
    /// The endpoint where it belongs to this connection alone: the gateway's end.
    Quic(quinn::Connection, Option<Endpoint>),
    Tcp(Arc<Mux>),
}

impl Connection {
    /// Over QUIC, with the endpoint where it is this connection's own.
    pub(crate) fn quic(connection: quinn::Connection, own: Option<Endpoint>) -> Self {
        Self(Inner::Quic(connection, own))
    }

    /// Over TCP.
    pub(crate) fn tcp(mux: Mux) -> Self {
        Self(Inner::Tcp(Arc::new(mux)))
    }

    /// Opens a stream. The other end sees it with the first bytes that are sent on it.
    pub(crate) async fn open_lane(&self) -> Result<(SendHalf, ReceiveHalf), LinkError> {
        match &self.0 {
            Inner::Quic(connection, _) => {
                let (up, down) = connection.open_bi().await.map_err(broken)?;
                Ok((SendHalf(Up::Quic(up)), ReceiveHalf(Down::Quic(down))))
            }
            Inner::Tcp(mux) => Ok(halves(mux.open().await?, mux.ended())),
        }
    }

    /// The next stream that the other end opens.
    pub(crate) async fn accept(&self) -> Result<(SendHalf, ReceiveHalf), LinkError> {
        match &self.0 {
            Inner::Quic(connection, _) => {
                let (up, down) = connection.accept_bi().await.map_err(broken)?;
                Ok((SendHalf(Up::Quic(up)), ReceiveHalf(Down::Quic(down))))
            }
            Inner::Tcp(mux) => Ok(halves(mux.accept().await?, mux.ended())),
        }
    }

    /// Ends the connection; the other end learns `code` and `words`. Bytes that were not delivered are lost.
    pub(crate) fn close(&self, code: u32, words: &str) {
        match &self.0 {
            Inner::Quic(connection, _) => connection.close(VarInt::from_u32(code), words.as_bytes()),
            Inner::Tcp(mux) => mux.close(code, words),
        }
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) -> Ended {
        match &self.0 {
            Inner::Quic(connection, _) => connection.closed().await.into(),
            Inner::Tcp(mux) => mux.closed().await,
        }
    }

    /// How it ended, where it has.
    pub(crate) fn close_reason(&self) -> Option<Ended> {
        match &self.0 {
            Inner::Quic(connection, _) => connection.close_reason().map(Ended::from),
            Inner::Tcp(mux) => mux.close_reason(),
        }
    }

    /// After [`Self::close`]: waits, not for long, until the other end can have heard of it.
    pub(crate) async fn said_goodbye(&self) {
        // A good-bye that does not get through is no harm.
        let _ = match &self.0 {
            Inner::Quic(_, Some(endpoint)) => {
                endpoint.close(VarInt::from_u32(0), b"going");
                tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await
            }
            Inner::Quic(_, None) => Ok(()),
            Inner::Tcp(mux) => tokio::time::timeout(GOODBYE, mux.gone()).await,
        };
    }

    /// The other end's certificate, verified in the handshake; a new gateway has none.
    pub(crate) fn certificate(&self) -> Option<CertificateDer<'static>> {
        match &self.0 {
            Inner::Quic(connection, _) => {
                let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
                chain.first().cloned()
            }
            Inner::Tcp(mux) => mux.certificate().cloned(),
        }
    }

    /// Where the other end is. It changes when a gateway's QUIC connection moves.
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.0 {
            Inner::Quic(connection, _) => connection.remote_address(),
            Inner::Tcp(mux) => mux.address(),
        }
    }

    /// What carries it.
    pub(crate) fn carrier(&self) -> Carrier {
        match &self.0 {
            Inner::Quic(..) => Carrier::Quic,
            Inner::Tcp(_) => Carrier::Tcp,
        }
    }

    /// The round trip, as it was last measured.
    pub(crate) fn rtt(&self) -> Duration {
        match &self.0 {
            Inner::Quic(connection, _) => connection.rtt(),
            Inner::Tcp(mux) => mux.rtt(),
        }
    }

    /// Bytes that went over the wire since the connection began: sent, and received. On TCP without its headers.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        match &self.0 {
            Inner::Quic(connection, _) => {
                let stats = connection.stats();
                (stats.udp_tx.bytes, stats.udp_rx.bytes)
            }
            Inner::Tcp(mux) => mux.traffic(),
        }
    }

    /// Goes on from a new socket, with a new port: for a NAT that forgot the old one, or another way out of the house.
    /// True where that is possible; a TCP connection can't move.
    pub(crate) fn rebind(&self) -> io::Result<bool> {
        let Inner::Quic(connection, Some(endpoint)) = &self.0 else { return Ok(false) };
        endpoint.rebind(UdpSocket::bind(any(connection.remote_address()))?)?;
        Ok(true)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.carrier() {
            Carrier::Quic => write!(f, "{}", self.address()),
            Carrier::Tcp => write!(f, "{} (TCP)", self.address()),
        }
    }
}

/// Any port of any own address from which `other` can be reached.
pub(crate) fn any(other: SocketAddr) -> SocketAddr {
    if other.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() }
}

/// The half of a stream on which we send.
pub(crate) struct SendHalf(Up);

enum Up {
    Quic(quinn::SendStream),
    Tcp(WriteHalf<Compat<yamux::Stream>>, watch::Receiver<Option<Ended>>),
}

/// The half of a stream on which we receive.
pub(crate) struct ReceiveHalf(Down);

enum Down {
    Quic(quinn::RecvStream),
    Tcp(ReadHalf<Compat<yamux::Stream>>, watch::Receiver<Option<Ended>>),
}

fn halves(stream: Compat<yamux::Stream>, ended: watch::Receiver<Option<Ended>>) -> (SendHalf, ReceiveHalf) {
    let (down, up) = tokio::io::split(stream);
    (SendHalf(Up::Tcp(up, ended.clone())), ReceiveHalf(Down::Tcp(down, ended)))
}

impl SendHalf {
    /// Sends all of `bytes`, or waits for room.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        match &mut self.0 {
            // A stream that ends with its connection ends for the connection's reason: the other end may have given one.
            Up::Quic(stream) => stream.write_all(bytes).await.map_err(|error| match error {
                WriteError::ConnectionLost(reason) => broken(reason),
                error => LinkError::Stream(error.to_string()),
            }),
            Up::Tcp(stream, ended) => match stream.write_all(bytes).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    Err(reason(ended).await.unwrap_or_else(|| LinkError::Stream(error.to_string())))
                }
            },
        }
    }

    /// What is lost and sent again goes out by urgency: a higher number first. Nothing on TCP, which has one order.
    pub(crate) fn set_priority(&mut self, priority: i32) {
        if let Up::Quic(stream) = &mut self.0 {
            // A stream that has ended has no priority.
            let _ = stream.set_priority(priority);
        }
    }

    /// Nothing more will be sent. False where the stream has ended before.
    pub(crate) async fn finish(&mut self) -> bool {
        match &mut self.0 {
            Up::Quic(stream) => stream.finish().is_ok(),
            Up::Tcp(stream, _) => stream.shutdown().await.is_ok(),
        }
    }
}

impl ReceiveHalf {
    /// Fills `bytes`. False where the other end had finished before the first of them.
    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<bool, LinkError> {
        match &mut self.0 {
            Down::Quic(stream) => match stream.read_exact(bytes).await {
                Ok(()) => Ok(true),
                Err(ReadExactError::FinishedEarly(0)) => Ok(false),
                Err(ReadExactError::ReadError(ReadError::ConnectionLost(reason))) => Err(broken(reason)),
                Err(error) => Err(LinkError::Stream(error.to_string())),
            },
            Down::Tcp(stream, ended) => {
                let mut filled = 0;
                while filled < bytes.len() {
                    // The end of the connection looks like the end of the stream here.
                    match stream.read(&mut bytes[filled..]).await {
                        Ok(0) => {
                            return match reason(ended).await {
                                Some(reason) => Err(reason),
                                None if filled == 0 => Ok(false),
                                None => {
                                    Err(LinkError::Stream("it ended in the middle of a frame".to_owned()))
                                }
                            };
                        }
                        Ok(read) => filled += read,
                        Err(error) => {
                            let reason = reason(ended).await;
                            return Err(reason.unwrap_or_else(|| LinkError::Stream(error.to_string())));
                        }
                    }
                }
                Ok(true)
            }
        }
    }
}

/// Why the connection of a stream ended, where it has.
async fn reason(ended: &mut watch::Receiver<Option<Ended>>) -> Option<LinkError> {
    let ended = tokio::time::timeout(REASON, ended.wait_for(Option::is_some)).await;
    ended.ok()?.ok()?.clone().map(LinkError::Broken)
}

fn broken(reason: quinn::ConnectionError) -> LinkError {
    LinkError::Broken(reason.into())
}
