//! The link between gateway and cloud: mutual TLS 1.3 on QUIC, or on TCP where UDP does not get through; certificates
//! of a private authority, enrolment.
//!
//! Streams of a connection: the edge opens one bidirectional stream for the talk about the talk (hello, commands), and
//! one for each lane, so that a lane that waits holds up no other.
//!
//! Who speaks is told by the URI in the client's certificate, `engawa://<region>/gateway/<name>`, and never by what it says.
//! Session resumption and 0-RTT are off: a resumed session would not have its certificate verified again, so that a
//! revocation would not bite. A whole handshake takes one round trip.
//!
//! Never: rows or commands kept here; what is durable is in the stores at both ends.

mod carriers;
mod claim;
mod cloud;
mod dial;
mod doors;
mod edge;
mod enroll;
mod error;
mod gate;
mod home;
mod identity;
mod keeper;
mod key;
mod line;
mod metered;
mod peer;
pub mod pki;
mod place;
mod region;
pub mod regions;
mod renew;
pub mod rotation;
mod stream;
mod tls;
mod tpm;
mod transport;
mod tuning;
mod turn;
mod verify;

pub use claim::{ClaimCode, ClaimCodeError};
pub use cloud::{BoundCloud, CloudEnd};
pub use edge::{EdgeLink, LineSource, LinkState, UpdateLine, UpdatePort, updates};
pub use enroll::{EnrollError, Enrolment, Joined, enroll, enroll_with};
pub use error::LinkError;
pub use identity::{Identity, IdentityError};
pub use line::{Line, MOST_ADDRESSES};
pub use metered::{Metered, Network, NoNetwork};
pub use peer::{good_region, peer_of_pem};
pub use place::{KeyPlace, NoPlace, TpmAddress};
pub use renew::{RenewError, Renewal, Step};
pub use tls::CloudTrust;
pub use tpm::TpmError;
pub use transport::{Carrier, Ended};
pub use tuning::Tuning;
