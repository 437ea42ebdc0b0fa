//! The link to the property-management system: FIAS over TCP, in TLS, and on serial lines; [`hosted`] systems over HTTPS.
//!
//! The PMS listens and the gateway connects (FIAS interface specification 2.20, chapter on TCP). [`codec`] and
//! [`link`] are pure: bytes, intents and time in; bytes and facts out. [`shell`] is the thin shell around them.
//!
//! Terms: a *record* is the text between STX and ETX, a list of fields; *alive* is the state in which the PMS
//! and the gateway exchange data records; a *resync* is the PMS's list of the house, from DS to DE.
//!
//! Never: a guest's name in a log; a posting sent twice; a clock of the PMS compared with ours.

pub mod auth;
pub mod codec;
pub mod config;
pub mod dialect;
pub mod explain;
pub mod hosted;
mod language;
pub mod link;
pub mod mask;
pub mod reservation;
pub mod serial;
pub mod shell;
pub mod tcp;
mod tls;
pub mod uses;

pub use config::{Charset, PmsConfig};
pub use dialect::Dialect;
pub use tls::TlsConfig;
pub use uses::{FreeField, Use};
