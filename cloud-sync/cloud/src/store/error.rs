//! What can go wrong in the cloud's store.

use std::path::PathBuf;
use std::sync::Arc;

/// A store that can't do what was asked; nothing already stored is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file can't be opened.
    #[error("opening the database {}: is a cloud there (`engawa-cloud init` makes one), and may this user read and write the file and its folder?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// The file can't be made.
    #[error("making the database {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A migration failed; the file is as it was before.
    #[error("bringing the database to schema version {to}")]
    Migrate {
        /// The version aimed at.
        to: usize,
        /// Why.
        #[source]
        source: rusqlite_migration::Error,
    },
    /// The file is of a newer release.
    #[error(
        "the database has schema version {found}, this release knows up to {known}: install the newer release again"
    )]
    Newer {
        /// The file's.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// The file is of an older release, and was opened for reading only.
    #[error(
        "the database has schema version {found}, this release wants {wanted}: start `engawa-cloud serve` once, it brings it up to date"
    )]
    Older {
        /// The file's.
        found: usize,
        /// Ours.
        wanted: usize,
    },
    /// A statement failed; its transaction was rolled back.
    #[error("{doing}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// The transaction that several writes shared could not be begun or made durable.
    #[error("making a group of writes durable")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// The writer has ended.
    #[error("the writer of the database has stopped")]
    Stopped,
    /// No such gateway.
    #[error(
        "there is no gateway `{0}` here: `engawa-cloud gateways` lists them, `engawa-cloud claim` adds one"
    )]
    NoGateway(String),
    /// The gateway was revoked.
    #[error(
        "gateway `{0}` was revoked; its certificate stays valid until it expires, so its name is not given again"
    )]
    Revoked(String),
    /// The gateway has begun another life of its journal since.
    #[error("gateway `{0}` has begun another epoch: what comes of the one before is not stored any more")]
    EpochOver(String),
    /// Two boxes with its identity were seen.
    #[error("gateway `{0}` is fenced: `engawa-cloud gateways` says why")]
    Fenced(String),
    /// There is no fence to lift.
    #[error("gateway `{0}` is not fenced")]
    NotFenced(String),
    /// No such certificate.
    #[error(
        "gateway `{gateway}` has no certificate `{serial}` on record: `engawa-cloud certificates {gateway}` lists them"
    )]
    NoCertificate {
        /// The gateway.
        gateway: String,
        /// The serial number.
        serial: String,
    },
    /// The name belongs to another property.
    #[error("gateway `{gateway}` belongs to property `{property}`: choose another name")]
    OtherProperty {
        /// The gateway.
        gateway: String,
        /// Its property.
        property: String,
    },
    /// The idempotency key was used for something else.
    #[error(
        "key `{key}` was already used for another command of gateway `{gateway}` (number {seq}): choose another key"
    )]
    KeyTaken {
        /// The gateway.
        gateway: String,
        /// The key.
        key: String,
        /// The other command's number.
        seq: u64,
    },
    /// A command that is too large to be sent.
    #[error("the command has {found} bytes; the most is {most}: is its text too long?")]
    TooLarge {
        /// The command's.
        found: usize,
        /// What may be.
        most: usize,
    },
    /// A setting that is not there, not ours, or can't have the value.
    #[error("{0}")]
    Setting(String),
    /// What was asked of a rollout and can't be done, or a rollout that can't be read.
    #[error("{0}")]
    Rollout(String),
    /// Too many watch live values.
    #[error("{0} watch live values already: end one first")]
    TooManyWatch(i64),
    /// Too many commands wait for the gateway.
    #[error("{0} commands already wait for gateway `{1}`: is it connected?")]
    QueueFull(u64, String),
    /// A URL of a database that can't be used.
    #[error("the database's URL: {0}")]
    DatabaseUrl(String),
    /// A statement of PostgreSQL failed; its transaction was rolled back.
    #[error("{doing}")]
    Postgres {
        /// What was being done.
        doing: &'static str,
        /// PostgreSQL's answer.
        #[source]
        source: tokio_postgres::Error,
    },
    /// No answer in time.
    #[error("the database has not answered for {0:?}")]
    Slow(std::time::Duration),
    /// A folder with another authority than the database's.
    #[error(
        "gateways' certificates are signed by the authority {0}, and this folder does not have it: copy the folder of a replica that serves (ca.pem, ca.key, and ca-next.pem and ca-next.key where they are there)"
    )]
    OtherAuthority(String),
    /// No connection to PostgreSQL.
    #[error("no connection to PostgreSQL: does the server run, and does the URL lead to it?")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// A step of PostgreSQL's schema failed; the database is as it was before it.
    #[error(
        "bringing the database to schema version {to}; it is as it was before, mend what is named and run the same again"
    )]
    MigratePostgres {
        /// The step.
        to: i32,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The database has no schema of ours.
    #[error("there is no cloud in this database: `engawa-cloud init --database URL` makes one")]
    NoSchema,
    /// Rows of several gateways were stored together, and that failed.
    #[error("storing rows of several gateways together")]
    Together(#[source] Arc<StoreError>),
    /// A day that no calendar has.
    #[error("the day {0} has no neighbours in the calendar: is this machine's clock right?")]
    Day(String),
    /// A piece of history that could not be compressed.
    #[error("compressing old telemetry")]
    Compression(#[source] std::io::Error),
}

impl From<crate::rollout::Refused> for StoreError {
    fn from(refused: crate::rollout::Refused) -> Self {
        Self::Rollout(refused.0)
    }
}

impl StoreError {
    pub(crate) fn postgres(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> Self + Copy {
        move |source| Self::Postgres { doing, source }
    }

    pub(crate) fn sql(doing: &'static str) -> impl Fn(rusqlite::Error) -> Self + Copy {
        move |source| Self::Sql { doing, source }
    }
}
