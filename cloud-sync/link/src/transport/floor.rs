//! Congestion control for lines that lose much for reasons other than a crowd: a bad radio, a bad cable.
//!
//! Cubic takes each loss for a crowd. Where four of ten datagrams are lost it ends at two in flight, and with both lost
//! it only sends again after a time that doubles: an alarm then waits for minutes. Under a floor of what any connection
//! may begin with (RFC 9002, section 7.2: ten datagrams) the window does not fall: at most that much a round trip is
//! sent into a line that is really crowded.

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// Datagrams that may always be in flight.
const DATAGRAMS: u64 = 10;

/// Makes controllers that are Cubic above the floor.
#[derive(Debug, Default)]
pub(crate) struct FlooredCubic;

impl ControllerFactory for FlooredCubic {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::new(CubicConfig::default()).build(now, current_mtu);
        Box::new(Floored { inner, mtu: current_mtu })
    }
}

struct Floored {
    inner: Box<dyn Controller>,
    mtu: u16,
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().max(DATAGRAMS * u64::from(self.mtu))
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), mtu: self.mtu })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn losses_without_end_leave_ten_datagrams_in_flight() {
        let now = Instant::now();
        let mut controller = Arc::new(FlooredCubic).build(now, 1_200);
        let mut bare = Arc::new(CubicConfig::default()).build(now, 1_200);
        assert!(controller.window() >= 12_000);
        for second in 1..60 {
            let at = now + Duration::from_secs(second * 10);
            controller.on_congestion_event(at, at - Duration::from_secs(1), true, 1_200);
            bare.on_congestion_event(at, at - Duration::from_secs(1), true, 1_200);
        }
        assert_eq!((controller.window(), bare.window()), (12_000, 2_400));
        controller.on_mtu_update(1_452);
        assert_eq!(controller.window(), 14_520);
        assert_eq!(controller.clone_box().window(), 14_520);
    }
}
