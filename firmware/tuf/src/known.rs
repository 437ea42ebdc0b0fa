//! What metadata that was kept says by its signatures alone, whether it is still good or not.

use crate::error::Fault;
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::trusted::Trusted;
use jiff::Timestamp as Instant;
use std::collections::BTreeMap;

/// Bounds of the time, of metadata that was trusted before. It is judged by no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// When the root or the targets at the top expire, whichever is first. Keys have signed it that lie offline.
    pub expires: Instant,
    /// When the timestamp was signed, where it says so.
    pub signed_at: Option<Instant>,
}

impl Known {
    /// Of the files that were kept, by name (`root.json` at least). Others that are damaged, or signed by keys of the past, say
    /// nothing.
    ///
    /// # Errors
    /// There is no root, or it is not one that has signed itself.
    pub fn of(files: &BTreeMap<String, Vec<u8>>, limits: Limits) -> Result<Self, Fault> {
        let root = files.get("root.json").ok_or(Fault::NoRoot)?;
        let mut trusted = Trusted::new(root, Instant::MIN, limits)?;
        if let Some(bytes) = files.get("timestamp.json") {
            let _ = trusted.recall_timestamp(bytes);
        }
        let targets = files.get("targets.json").and_then(|bytes| trusted.targets_until(bytes).ok());
        let root = trusted.root.expires();
        Ok(Self {
            expires: targets.map_or(root, |targets| targets.min(root)),
            signed_at: trusted.timestamp.as_ref().and_then(|timestamp| timestamp.signed_at()),
        })
    }
}

/// Whether these bytes are a root that trust can begin with: one that has signed itself.
///
/// # Errors
/// Why not.
pub fn check_root(bytes: &[u8], limits: Limits) -> Result<(), Fault> {
    Trusted::new(bytes, Instant::MIN, limits).map(drop)
}
