//! The cloud's end of a session: what of a frame may be believed.
//!
//! Who speaks comes from the certificate. Everything else a gateway says is checked here, before it gets to a store.

use crate::batch::{self, BatchError};
use crate::frame::{Body, Hello, Mark, Refused, Rows, VERSION, Welcome};
use crate::ports::{Refusal, Row};

/// Lanes that one gateway may have.
pub const MOST_LANES: usize = 16;
/// When a gateway whose store is not available may try again, seconds.
const UNAVAILABLE_RETRY_S: u32 = 10;
/// When a gateway that is turned away may try again, seconds: somebody has to do something first.
const REFUSED_RETRY_S: u32 = 60;

/// A frame that ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum CloudSessionError {
    /// Something else was due.
    #[error("expected {expected}, got something else")]
    Unexpected {
        /// What was due.
        expected: &'static str,
    },
    /// No version in common.
    #[error("the gateway speaks versions {0:?} of the protocol, this release {VERSION}")]
    Version(Vec<u32>),
    /// A lane's number that can't be, or too many lanes.
    #[error("lane {0} can't be")]
    Lane(u32),
    /// A batch that can't be read.
    #[error("a batch of lane {lane}")]
    Batch {
        /// The lane.
        lane: u8,
        /// Why.
        #[source]
        source: BatchError,
    },
}

/// What a gateway's first frame comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The epoch of its journal.
    pub epoch: u64,
    /// How far its lanes are written.
    pub heads: Vec<(u8, u64)>,
    /// How far the commands are durable there.
    pub inbox: u64,
}

/// Reads the first frame of the control stream.
///
/// # Errors
/// It is not a hello that can be answered with a welcome.
pub fn greeting(body: Option<Body>) -> Result<Greeting, CloudSessionError> {
    let Some(Body::Hello(Hello { versions, epoch, heads, inbox, .. })) = body else {
        return Err(CloudSessionError::Unexpected { expected: "a hello" });
    };
    if !versions.contains(&VERSION) {
        return Err(CloudSessionError::Version(versions));
    }
    if heads.len() > MOST_LANES {
        return Err(CloudSessionError::Lane(u32::try_from(heads.len()).unwrap_or(u32::MAX)));
    }
    let head = |mark: Mark| {
        u8::try_from(mark.lane).map(|lane| (lane, mark.seq)).map_err(|_| CloudSessionError::Lane(mark.lane))
    };
    Ok(Greeting { epoch, heads: heads.into_iter().map(head).collect::<Result<_, _>>()?, inbox })
}

/// The answer to a gateway that may talk.
pub fn welcome(marks: &[(u8, u64)]) -> Body {
    let marks = marks.iter().map(|(lane, seq)| Mark { lane: u32::from(*lane), seq: *seq });
    Body::Welcome(Welcome { version: VERSION, marks: marks.collect() })
}

/// The answer to a gateway that may not.
pub fn refused(refusal: &Refusal) -> Body {
    let retry_after_s = match refusal {
        Refusal::Unavailable => UNAVAILABLE_RETRY_S,
        _ => REFUSED_RETRY_S,
    };
    Body::Refused(Refused { reason: refusal.to_string(), retry_after_s })
}

/// Reads the first frame of a lane's stream.
///
/// # Errors
/// It is something else, or a lane that can't be.
pub fn lane(body: Option<Body>) -> Result<u8, CloudSessionError> {
    match body {
        Some(Body::Lane(lane)) => u8::try_from(lane.lane).map_err(|_| CloudSessionError::Lane(lane.lane)),
        _ => Err(CloudSessionError::Unexpected { expected: "a lane" }),
    }
}

/// Reads a batch of `lane`.
///
/// # Errors
/// It is something else, or a batch that can't be read.
pub fn rows(lane: u8, body: Body) -> Result<Vec<Row>, CloudSessionError> {
    let Body::Rows(rows) = body else { return Err(CloudSessionError::Unexpected { expected: "rows" }) };
    unpack(lane, &rows)
}

fn unpack(lane: u8, rows: &Rows) -> Result<Vec<Row>, CloudSessionError> {
    batch::unpack(rows).map_err(|source| CloudSessionError::Batch { lane, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(versions: &[u32], lane: u32) -> Option<Body> {
        let heads = vec![Mark { lane, seq: 9 }];
        Some(Body::Hello(Hello {
            versions: versions.to_vec(),
            epoch: 7,
            heads,
            inbox: 2,
            release: String::new(),
        }))
    }

    #[test]
    fn a_hello_is_checked() {
        let good = greeting(hello(&[1, 2], 3)).unwrap();
        assert_eq!(good, Greeting { epoch: 7, heads: vec![(3, 9)], inbox: 2 });
        assert!(matches!(greeting(hello(&[2], 3)), Err(CloudSessionError::Version(_))));
        assert!(matches!(greeting(hello(&[1], 300)), Err(CloudSessionError::Lane(300))));
        assert!(greeting(None).is_err());
    }
}
