//! Bytes to records and back.
//!
//! Frames are cut on bytes, text is decoded with the site's character set, and only then split: in CP932, GBK
//! and Big5 the second byte of a character may be the separator's code (0x7C).

pub mod dictionary;
mod form;
mod frame;
mod pan;
mod plain;
mod record;

pub use form::{Fault, faults};
pub use frame::{FrameEvent, Framer, MAX_RECORD_BYTES};
pub use pan::mask_card_numbers;
pub(crate) use plain::plain;
pub use record::Record;
