//! What can go wrong on the link, in words for the log and the status page.

use crate::{Ended, TpmError};
use engawa_protocol::batch::BatchError;
use engawa_protocol::cloud::CloudSessionError;
use engawa_protocol::edge::SessionError;
use engawa_protocol::frame::FrameError;
use engawa_protocol::ports::StoreFault;
use std::io;
use std::net::SocketAddr;

/// A link that can't be made or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address is not `host:port`, or its name is unknown.
    #[error("`{address}` can't be resolved; expected `host:port`")]
    Address {
        /// The address.
        address: String,
        /// The resolver's reason.
        #[source]
        source: Option<io::Error>,
    },
    /// No socket.
    #[error("can't open a socket on {address}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The certificates or keys can't be used.
    #[error("the certificates can't be used: {0}")]
    Tls(String),
    /// The connection could not be made.
    #[error("can't connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Ended,
    },
    /// The other end was not heard of in time.
    #[error("{address} does not answer")]
    Silent {
        /// Where.
        address: SocketAddr,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Ended),
    /// A stream broke.
    #[error("a stream broke: {0}")]
    Stream(String),
    /// A frame can't be used.
    #[error("the other end sent something that is not this protocol")]
    Frame(#[source] FrameError),
    /// The cloud turned the gateway away.
    #[error("the cloud refuses this gateway: {reason}")]
    Refused {
        /// Why.
        reason: String,
        /// When it may try again, seconds; 0: not said.
        retry_after_s: u32,
    },
    /// The gateway's key can't be used.
    #[error("the gateway's key")]
    Key(#[source] TpmError),
    /// Whoever knocked got no further than the handshake, and named no gateway.
    #[error("the handshake with {address} did not come about")]
    Stranger {
        /// Who.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cloud is of another region than the gateway.
    #[error("this cloud is of region {theirs}, the gateway belongs to {ours}{}", go_there(ours, .address.as_deref()))]
    OtherRegion {
        /// The gateway's.
        ours: String,
        /// The cloud's.
        theirs: String,
        /// Where the cloud of our region is, as an authority of ours has signed it.
        address: Option<String>,
    },
    /// There is a newer certificate: the session begins anew with it.
    #[error("the gateway has a new certificate")]
    Renewed,
    /// The cloud said something that can't be.
    #[error("the cloud's answer can't be right")]
    Session(#[source] SessionError),
    /// The gateway said something that can't be.
    #[error("the gateway's frame can't be right")]
    Gateway(#[source] CloudSessionError),
    /// The journal no longer has rows that the cloud wants.
    #[error(
        "the cloud wants the rows of lane {lane} after {after}, and the journal no longer has them: was the cloud restored to an earlier time?"
    )]
    Missing {
        /// The lane.
        lane: u8,
        /// The last row that the cloud has.
        after: u64,
    },
    /// A batch can't be made or read.
    #[error("a batch can't be used")]
    Batch(#[source] BatchError),
    /// A store failed.
    #[error("the store failed")]
    Store(#[source] StoreFault),
    /// A cloud of another region.
    #[error("the cloud at {address} is of region {found}, this gateway belongs to `{wanted}`")]
    Region {
        /// Where.
        address: SocketAddr,
        /// The gateway's region.
        wanted: String,
        /// The cloud's, by its certificate.
        found: String,
    },
    /// The way out of the house is another one now, and a TCP connection can't move to it.
    #[error("the line out of the house has changed")]
    Moved,
    /// No address to connect to.
    #[error("no address of the cloud is known")]
    Nowhere,
}

impl LinkError {
    /// The whole chain in one line.
    pub fn in_words(&self) -> String {
        chain(self)
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

fn go_there(ours: &str, address: Option<&str>) -> String {
    match address {
        Some(address) => format!(": its own cloud is at {address}"),
        None => format!(
            ", and nobody whom it trusts has signed where that is: put the address of the cloud of {ours} into [cloud] addresses, or tell this one by `engawa-cloud regions import`"
        ),
    }
}
