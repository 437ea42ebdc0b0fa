//! Rollouts: which gateways get which release, in rings, and when that is stopped.
//!
//! A *rollout* takes one release to a *cohort* of gateways, *ring* after ring. It is rows in the cloud's database: what is
//! wanted ([`plan`]), how far it is ([`state`]), a row for each gateway that was given its turn. Everything is decided from
//! these rows alone ([`machine`], [`acts`], [`answer`], [`heard`]: pure), and what is decided is rows again
//! ([`state::Write`]). So whoever drives it can be killed at any moment, and the next one goes on.
//!
//! The cloud only says what is wanted: each gateway comes for it, verifies the release by its own keys, and judges by itself
//! whether the moment is right. A cloud that is away or has been broken into can hold an update up, and forge none.
//!
//! Never: a gateway told that has no row; a ring begun before the one before was seen to end well; a gateway offered a
//! version that it, or somebody, has blocked.

pub mod acts;
pub mod answer;
pub mod catalogue;
pub mod cohorts;
pub mod health;
pub mod heard;
pub mod in_use;
pub mod machine;
pub mod plan;
pub mod report;
pub mod rings;
pub mod state;
pub mod statements;

/// What was asked of a rollout and can't be done, in words for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    /// Refused for this reason.
    pub fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// A second, in the unit of all times here.
pub const SECOND: i64 = 1_000_000;
