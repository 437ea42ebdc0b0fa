//! The link between gateway and cloud: QUIC with mutual TLS 1.3, certificates of a private authority, enrolment.
//!
//! Streams of a connection: the edge opens one bidirectional stream for the talk about the talk (hello, commands), and
//! one for each lane, so that a lane that waits holds up no other.
//!
//! Who speaks is told by the URI in the client's certificate, `engawa://gateway/<name>`, and never by what it says.
//! Session resumption and 0-RTT are off: a resumed session would not have its certificate verified again, so that a
//! revocation would not bite. A whole handshake takes one round trip.
//!
//! Never: rows or commands kept here; what is durable is in the stores at both ends.

mod claim;
mod cloud;
mod edge;
mod enroll;
mod error;
mod identity;
pub mod pki;
mod stream;
mod tls;
mod tuning;

pub use claim::{ClaimCode, ClaimCodeError};
pub use cloud::{BoundCloud, CloudEnd};
pub use edge::{EdgeLink, LinkState};
pub use enroll::{EnrollError, enroll};
pub use error::LinkError;
pub use identity::{Identity, IdentityError};
pub use tuning::Tuning;
