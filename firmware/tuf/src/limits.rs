//! How much a repository may make a client read and do. Whoever passes a bound is refused with an error that names it.

/// The bounds of a [`crate::Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest root metadata, bytes.
    pub root: usize,
    /// The longest timestamp metadata, bytes.
    pub timestamp: usize,
    /// The longest snapshot metadata, bytes.
    pub snapshot: usize,
    /// The longest metadata of targets and of each role that they delegate to, bytes.
    pub targets: usize,
    /// How many root metadata files are read in one go (specification, 5.3.3); the next refresh goes on from there.
    pub rotations: u32,
    /// How many delegated roles a search for a target visits (specification, 5.6.7).
    pub delegations: usize,
    /// How many signatures a document may have.
    pub signatures: usize,
    /// How many keys a document may list.
    pub keys: usize,
    /// How many values of JSON a document may have: each costs some hundred bytes of memory, whoever has signed it or not.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root: 512 * 1024,
            timestamp: 16 * 1024,
            snapshot: 2_000_000,
            targets: 5_000_000,
            rotations: 256,
            delegations: 32,
            signatures: 256,
            keys: 1024,
            values: 200_000,
        }
    }
}
