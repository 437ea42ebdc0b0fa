//! What is wrong with metadata or a target, and which attack it would have been.

use jiff::Timestamp;

/// The attacks that the specification is against (TUF specification 1.0.33, 1.5.2), as far as a client can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Software that nobody with the right keys has signed.
    ArbitrarySoftware,
    /// Files older than those that were seen.
    Rollback,
    /// The same files for ever, so that newer ones are not heard of.
    IndefiniteFreeze,
    /// Data without end.
    EndlessData,
    /// Files of different times, or of different purposes, put together.
    MixAndMatch,
    /// More than what was asked for.
    ExtraneousDependencies,
}

impl std::fmt::Display for Attack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Attack::ArbitrarySoftware => "arbitrary software",
            Attack::Rollback => "rollback",
            Attack::IndefiniteFreeze => "indefinite freeze",
            Attack::EndlessData => "endless data",
            Attack::MixAndMatch => "mix and match",
            Attack::ExtraneousDependencies => "extraneous dependencies",
        })
    }
}

/// Why something is not trusted. `file` is the name under which it was fetched or is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no root to trust: nothing can be judged without one.
    #[error(
        "there is no root.json to begin with: put the root metadata that came with the device in its place"
    )]
    NoRoot,
    /// Longer than announced or allowed.
    #[error("{file} is longer than {most} bytes, which is the most that was announced or is allowed")]
    TooLong {
        /// Which file.
        file: String,
        /// How long it may be, bytes.
        most: u64,
    },
    /// More entries than a document may have.
    #[error("{file} has {is} {what}: at most {most} are allowed")]
    TooMany {
        /// Which file.
        file: String,
        /// Of what.
        what: &'static str,
        /// How many there are.
        is: usize,
        /// How many there may be.
        most: usize,
    },
    /// No JSON, or not such as TUF asks for.
    #[error("{file} is not TUF metadata: {reason}")]
    Malformed {
        /// Which file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Metadata of another role.
    #[error("{file} is of type `{is}`, expected `{wanted}`: metadata of one role stands in for another's")]
    WrongType {
        /// Which file.
        file: String,
        /// What it should be.
        wanted: &'static str,
        /// What it says to be.
        is: String,
    },
    /// Of a version of the specification that is not known here.
    #[error("{file} follows version {is} of the TUF specification; this release knows 1.x")]
    SpecificationVersion {
        /// Which file.
        file: String,
        /// What it says.
        is: String,
    },
    /// A key under a name that is not its hash.
    #[error("{file} lists a key as {keyid}, but the hash of the key is {is}")]
    WrongKeyId {
        /// Which file.
        file: String,
        /// The name.
        keyid: String,
        /// What it should be.
        is: String,
    },
    /// A key has signed twice.
    #[error("{file} has two signatures by the key {keyid}: each key signs once")]
    DuplicateSignature {
        /// Which file.
        file: String,
        /// Which key.
        keyid: String,
    },
    /// Too few valid signatures.
    #[error("{file} has {valid} valid signatures by keys of the role `{role}`, and needs {threshold}")]
    Unsigned {
        /// Which file.
        file: String,
        /// Whose keys count.
        role: String,
        /// How many keys have signed.
        valid: usize,
        /// How many must.
        threshold: u32,
    },
    /// Another version than the one that was asked for.
    #[error("{file} is version {is}, expected {wanted}")]
    WrongVersion {
        /// Which file.
        file: String,
        /// Which was expected.
        wanted: u64,
        /// Which it is.
        is: u64,
    },
    /// An older version than the one that was seen.
    #[error("{file} offers version {offered} of {what}, and version {trusted} was seen before")]
    Rollback {
        /// Which file.
        file: String,
        /// Of what.
        what: String,
        /// What was seen.
        trusted: u64,
        /// What is offered.
        offered: u64,
    },
    /// An older timestamp than the one that is known, which is still good: a copy that is behind, not an attack.
    #[error(
        "{file} is version {offered}, and version {trusted} is known, which is still good: this copy of the repository is behind"
    )]
    Behind {
        /// Which file.
        file: String,
        /// What is known.
        trusted: u64,
        /// What is offered.
        offered: u64,
    },
    /// A role that the snapshot listed is gone from it.
    #[error("{file} does not list {what} any more, which it did before")]
    Vanished {
        /// Which file.
        file: String,
        /// What is gone.
        what: String,
    },
    /// Out of date.
    #[error(
        "{file} expired at {expires}, and it is {now}: either nobody renews the repository, or somebody holds it back"
    )]
    Expired {
        /// Which file.
        file: String,
        /// When it expired.
        expires: Timestamp,
        /// What time it is taken to be.
        now: Timestamp,
    },
    /// Another content than the one that signed metadata announced.
    #[error("{file} has another {algorithm} than signed metadata says")]
    WrongDigest {
        /// Which file.
        file: String,
        /// Of which hash.
        algorithm: &'static str,
    },
    /// Shorter than announced.
    #[error("{file} is {is} bytes long, and signed metadata says {wanted}")]
    TooShort {
        /// Which file.
        file: String,
        /// What it should be, bytes.
        wanted: u64,
        /// What it is, bytes.
        is: u64,
    },
    /// No hash that is known here.
    #[error("{file} has no sha256 or sha512 in signed metadata, so it can't be checked")]
    NoKnownHash {
        /// Which file.
        file: String,
    },
    /// The repository lacks a file that it must have.
    #[error("the repository has no {file}, which its signed metadata names")]
    Missing {
        /// Which file.
        file: String,
    },
    /// A role that the snapshot does not list.
    #[error("the role `{role}` is not listed in the snapshot, so no version of it is good")]
    NotInSnapshot {
        /// Which role.
        role: String,
    },
    /// No signed metadata names the target.
    #[error(
        "no signed metadata names the target {path}: it is not part of the repository, or it was revoked"
    )]
    NotATarget {
        /// Which target.
        path: String,
    },
    /// A target's name that could lead elsewhere.
    #[error(
        "the target path `{path}` is not a plain relative path: names joined by `/`, none of them empty, `.` or `..`"
    )]
    BadPath {
        /// Which path.
        path: String,
    },
    /// Hash bins, which are not supported.
    #[error(
        "{file} delegates by succinct_roles, which is not supported: delegate by paths or path_hash_prefixes"
    )]
    SuccinctRoles {
        /// Which file.
        file: String,
    },
}

impl Fault {
    /// Which attack this is how it looks like; none where it is more likely an accident.
    #[must_use]
    pub fn attack(&self) -> Option<Attack> {
        Some(match self {
            Fault::TooLong { .. } | Fault::TooMany { .. } => Attack::EndlessData,
            Fault::Unsigned { .. } | Fault::DuplicateSignature { .. } | Fault::WrongKeyId { .. } => {
                Attack::ArbitrarySoftware
            }
            Fault::WrongDigest { .. } | Fault::TooShort { .. } | Fault::BadPath { .. } => {
                Attack::ArbitrarySoftware
            }
            Fault::WrongVersion { .. } | Fault::WrongType { .. } | Fault::NotInSnapshot { .. } => {
                Attack::MixAndMatch
            }
            Fault::Rollback { .. } | Fault::Vanished { .. } => Attack::Rollback,
            Fault::Expired { .. } => Attack::IndefiniteFreeze,
            Fault::NotATarget { .. } => Attack::ExtraneousDependencies,
            Fault::NoRoot
            | Fault::Malformed { .. }
            | Fault::SpecificationVersion { .. }
            | Fault::NoKnownHash { .. }
            | Fault::Missing { .. }
            | Fault::Behind { .. }
            | Fault::SuccinctRoles { .. } => return None,
        })
    }
}
