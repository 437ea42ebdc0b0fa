//! A release on its way into the spare slot: fetched, checked, written.

pub use engawa_release::source::{self, Piece, Source, SourceFault};
