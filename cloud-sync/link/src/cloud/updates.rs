//! Questions about updates, answered from the cloud's store.

use crate::transport::SendHalf;
use crate::{LinkError, stream};
use engawa_protocol::frame::Body;
use engawa_protocol::ports::{CloudStore, StoreFault};
use engawa_protocol::update::{FetchPiece, Question, URGENCY, UpdateTold};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the store may take for an answer: the gateway then hears that it is to ask again.
const ANSWER: Duration = Duration::from_secs(60);
/// What a gateway is told of a fault; the reason is in the cloud's log.
const FAULT: &str = "something at the cloud failed; ask again later";

/// Asks the store, and writes the answer. A fault of the store is told to the gateway, and ends nothing.
pub(super) async fn answer(
    store: &dyn CloudStore,
    gateway: &str,
    question: Question,
    up: &mut SendHalf,
) -> Result<(), LinkError> {
    // Behind everything else that goes to this gateway.
    up.set_priority(URGENCY);
    let asking = async {
        match &question {
            Question::Ask(ask) => {
                let told = store.update_told(gateway, ask).await;
                // Over this link the gateway believes the time, by which it judges whether signed metadata has expired.
                let now_s = store.time_told(now_s()).await;
                told.map(|told| Body::UpdateTold(UpdateTold { now_s, ..told }))
            }
            Question::Fetch(ask) => store.fetch(gateway, ask).await.map(Body::FetchPiece),
        }
    };
    let answered = tokio::time::timeout(ANSWER, asking).await;
    let late =
        |_| Err(StoreFault { context: "an answer about updates took too long".to_owned(), source: None });
    let body = answered.unwrap_or_else(late).unwrap_or_else(|fault| {
        tracing::warn!(%gateway, error = &fault as &dyn std::error::Error, "a question about updates has no answer");
        match question {
            Question::Ask(_) => Body::UpdateTold(UpdateTold { fault: FAULT.to_owned(), ..UpdateTold::default() }),
            Question::Fetch(_) => Body::FetchPiece(FetchPiece { fault: FAULT.to_owned(), ..FetchPiece::default() }),
        }
    });
    stream::send(up, body).await
}

/// The cloud's time, seconds since the Unix epoch; 0 before it.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
