//! A connection of its own for a device whose answers end the one that it shares with others.
//!
//! Why: what is no Modbus frame leaves no way to tell where the next one begins, so the connection must be made anew. A
//! gateway with one device that babbles would cost all its neighbours that at each look at it. So once such a device is
//! called unwell it is asked on a second connection, which nobody else is on, until it answers well. Where the gateway
//! refuses a second one, the next look goes over the shared one again: as rare as looks at the unwell are.
//!
//! Never: for a serial line, whose bytes can be drained.

use super::asks::{Answer, What, WriteFailure};
use super::line::{Failure, Lane, Line};
use futures::future::BoxFuture;

/// Asks on `line`, which is given up afterwards.
pub(super) async fn ask(
    mut line: Line,
    what: What,
    ask: impl FnOnce(Lane) -> BoxFuture<'static, Answer> + Send,
) -> Answer {
    match line.connect().await {
        Ok(()) => ask(line.lane(0)).await,
        Err(failure) => {
            let why = failure.in_words("");
            let failure = Failure::NoConnection(format!(
                "its answers break the connection that it shares with others, and it gets none of its own: {why}"
            ));
            match what {
                What::Poll(_) | What::ReadBack(_) => Answer::Words(Err(failure)),
                What::Identity => Answer::Identity(Err(failure)),
                What::Write(_) => Answer::Written(Err(WriteFailure::Unsent(failure))),
            }
        }
    }
}

/// What an answer says of where its device is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// What came may have ended the connection.
    Breaks,
    /// Nothing of that kind: with all others.
    Together,
    /// Nothing new.
    Nothing,
}

/// Reads it from an answer.
pub(super) fn says(answer: &Answer) -> Says {
    let failure = match answer {
        Answer::Words(Err(failure)) | Answer::Identity(Err(failure)) => failure,
        Answer::Written(Err(WriteFailure::Sent(failure) | WriteFailure::Unsent(failure))) => failure,
        Answer::Written(Err(WriteFailure::Refused(_))) => return Says::Nothing,
        Answer::Words(Ok(_)) | Answer::Identity(Ok(_)) | Answer::Written(Ok(())) => return Says::Together,
    };
    match failure {
        Failure::Garbage(_) | Failure::Half(..) | Failure::Broken(_) => Says::Breaks,
        Failure::Exception(_) | Failure::NoConnection(_) => Says::Together,
        _ => Says::Nothing,
    }
}
