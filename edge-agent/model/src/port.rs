//! The one door for observations: drivers hand them over here and know nothing of what stands behind.

use crate::Observation;
use std::future::Future;
use std::pin::Pin;

/// The house has stopped: nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the house has stopped taking observations")]
pub struct SinkClosed;

/// What a sink answers with.
pub type SinkFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SinkClosed>> + Send + 'a>>;

/// Takes observations, in order, with a bounded queue behind it: a driver that is faster waits.
pub trait ObservationSink: Send + Sync + 'static {
    /// Hands `observation` over; ready when there was room in the queue.
    fn report(&self, observation: Observation) -> SinkFuture<'_>;

    /// Hands over what was noticed at once, in order. What is handed over together is taken together, as far as the
    /// sink can.
    fn report_all(&self, observations: Vec<Observation>) -> SinkFuture<'_> {
        Box::pin(async move {
            for observation in observations {
                self.report(observation).await?;
            }
            Ok(())
        })
    }

    /// Hands `observation` over; ready when it and what follows from it are durable. For what must be
    /// acknowledged to its sender (an MQTT publication of QoS 1).
    fn report_durable(&self, observation: Observation) -> SinkFuture<'_>;
}
