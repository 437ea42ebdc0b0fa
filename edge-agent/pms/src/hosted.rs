//! Hosted systems: a PMS in somebody's cloud, spoken to by HTTPS (Mews, Apaleo, OPERA Cloud), and lists of stays in files
//! for houses that have none.
//!
//! An adapter ([`HostedPms`]) is pure: a [`Job`] goes in, requests come out as data, answers go in, facts of the model
//! come out. [`Machine`] runs one adapter: what is asked when, how fast, what follows a 401, a 429, a silence, and what a
//! lost answer to a charge means. [`Shell`] is the thin part that has sockets.
//!
//! Terms: a *list* is the whole house, told between `ResyncBegun` and `ResyncDone`; *changes* are what was touched since
//! a moment; a *feed* is a WebSocket whose events say only that something has changed: they are hints, and polling fills
//! what they miss.
//!
//! Never: a guest's name or a token in a log or an error; a charge sent again before it was looked up; a list of which a
//! part is missing taken for the house.
//!
//! # Writing another adapter
//!
//! 1. A file beside `apaleo.rs`: the shapes of its answers with serde, each field that is not certain an `Option`, states
//!    as text: a system adds fields and values when it likes. Decode with [`Answer::read`], which names the place of what
//!    can't be read and never its content.
//! 2. [`HostedPms::start`] gives the first request of a job, [`HostedPms::answered`] the next one or the outcome. Only
//!    answers that are about the job arrive: the machine keeps 401, 408, 429 and 5xx to itself. For [`Job::List`] gather all
//!    pages first; [`Guests::list`] makes the facts. Keep the [`Guests`] that are known: a check-out is told by their room.
//! 3. A request that must not be done twice is [`Request::once`]. It carries [`Posting::ident`] where the system can keep
//!    it, and [`Job::LookUp`] finds it there. Without such a place answer [`Outcome::CannotLookUp`]: staff will look.
//! 4. A section in [`config`], its branch in [`HostedConfig::system`], a broken example in the agent's `tests/broken`, and
//!    a server that plays it in `tests/hosted/`.

pub mod apaleo;
mod budget;
pub mod config;
#[cfg(test)]
mod drive;
mod feed;
mod guests;
mod http;
pub mod import;
mod machine;
pub mod mews;
pub mod ohip;
mod request;
mod settle;
mod shell;

pub use budget::Limit;
pub use config::HostedConfig;
pub use guests::{Guests, Known};
pub use http::{HttpError, Trust};
pub use machine::{Machine, Out, Pace, Resume};
pub use request::{Answer, Failure, Fault, Request, Secret};
pub use settle::Doubted;
pub use shell::{Shell, ShellError};

use engawa_model::{Fact, Money, PostingNumber, RoomId, StayId, Timestamp};

/// A charge to be booked.
#[derive(Clone, Debug, PartialEq)]
pub struct Posting {
    /// P#.
    pub number: PostingNumber,
    /// What the charge is found by in the hosted system: unique beyond this house's own numbers.
    pub ident: String,
    /// The room.
    pub room: RoomId,
    /// The stay, where it is known.
    pub stay: Option<StayId>,
    /// How much, taxes included.
    pub amount: Money,
    /// What for.
    pub text: String,
    /// The outlet.
    pub outlet: Option<String>,
}

/// What is to be done with the hosted system.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// The first contact: are account, currency and time zone those of this house?
    Open,
    /// The whole house.
    List,
    /// What was touched since then.
    Changes {
        /// By the system's clock; adapters overlap.
        since: Timestamp,
        /// Now by the system's clock.
        until: Timestamp,
    },
    /// Book a charge.
    Post(Posting),
    /// Is this charge booked?
    LookUp {
        /// Which.
        posting: Posting,
        /// Not sent before this, by the system's clock.
        since: Timestamp,
        /// Nor after this.
        until: Timestamp,
    },
    /// Tell the status of a room.
    Status {
        /// The room.
        room: RoomId,
        /// As in `engawa_model::Action::RoomStatus`.
        status: String,
    },
}

/// What follows: a request, or the end of the job.
#[derive(Debug)]
pub enum Step {
    /// Ask this next.
    Ask(Request),
    /// The job is over.
    Done(Outcome),
}

/// How a job ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Done; of [`Job::Post`]: booked.
    Done,
    /// What a list or changes told.
    Told(Vec<Fact>),
    /// Not done, and it will not be.
    Refused {
        /// As FIAS has it (AS): `NG`, `NF`, `UR`.
        status: &'static str,
        /// In plain words, without personal data.
        reason: String,
    },
    /// Of [`Job::LookUp`]: whether it is there.
    Found(bool),
    /// Of [`Job::LookUp`]: the system keeps nothing that a charge could be found by.
    CannotLookUp,
}

/// A feed of events, as it is opened.
#[derive(Clone)]
pub struct Feed {
    /// `wss://...`.
    pub url: String,
    /// Headers of the opening request; they carry secrets.
    pub headers: Vec<(&'static str, String)>,
    /// The sub-protocol, where one is asked for.
    pub protocol: Option<&'static str>,
    /// The shortest pause before it is opened again, seconds.
    pub pause_s: u32,
    /// What is sent so that the connection stays, where a WebSocket's own ping is not enough.
    pub ping: Option<String>,
}

/// What a message of the feed means.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// To be answered with these.
    pub say: Vec<String>,
    /// Something of the house has changed.
    pub changed: bool,
    /// The events before this one need not be told again: kept over restarts.
    pub mark: Option<String>,
    /// The other side ended it, and why.
    pub ended: Option<String>,
}

/// One hosted system. One job at a time, and within it one request at a time.
pub trait HostedPms: Send + Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// How fast it may be asked.
    fn limit(&self) -> Limit;

    /// The request for a token, where one is due.
    fn sign_in(&self, _now: Timestamp) -> Option<Request> {
        None
    }

    /// The answer to it (200).
    ///
    /// # Errors
    /// It holds no token.
    fn signed_in(&mut self, _now: Timestamp, _answer: &Answer) -> Result<(), Fault> {
        Ok(())
    }

    /// The token was refused; false where there is none to renew.
    fn forget_token(&mut self) -> bool {
        false
    }

    /// Adds the token to a request that goes out now.
    fn authorize(&self, _request: &mut Request) {}

    /// The first request of `job`.
    ///
    /// # Errors
    /// The job can't be done as the house is configured.
    fn start(&mut self, now: Timestamp, job: &Job) -> Result<Step, Fault>;

    /// The answer to the last request of the job.
    ///
    /// # Errors
    /// It is refused, or can't be read.
    fn answered(&mut self, now: Timestamp, answer: &Answer) -> Result<Step, Fault>;

    /// The feed of events, where there is one. `mark` is the last one that was kept.
    fn feed(&self, _now: Timestamp, _mark: Option<&str>) -> Option<Feed> {
        None
    }

    /// The feed is open: what is said first.
    fn feed_opened(&mut self, _now: Timestamp, _mark: Option<&str>) -> Vec<String> {
        vec![]
    }

    /// A message of the feed.
    ///
    /// # Errors
    /// It can't be read; the feed goes on.
    fn feed_heard(&mut self, _now: Timestamp, _text: &str) -> Result<Heard, Fault> {
        Ok(Default::default())
    }
}
