//! Times and bounds of the link.

use crate::transport::floor::FlooredCubic;
use engawa_protocol::edge::Bounds;
use quinn::{IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// Times and bounds; the defaults are for a hotel's line.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// How often a silent connection is proved to be alive.
    pub keep_alive: Duration,
    /// A connection on which nothing came for this long is dead.
    pub idle: Duration,
    /// The shortest pause before the next attempt to connect.
    pub backoff_min: Duration,
    /// The longest.
    pub backoff_max: Duration,
    /// How long connecting and greeting may take.
    pub handshake: Duration,
    /// How often the cloud looks whether a connected gateway may still talk.
    pub admission: Duration,
    /// What may be under way.
    pub bounds: Bounds,
    /// How often a gateway asks how its certificate stands; sooner by chance, and much sooner after a failure.
    pub certificates: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            admission: Duration::from_secs(2),
            bounds: Bounds::default(),
            certificates: Duration::from_secs(86_400),
        }
    }
}

/// Streams that one gateway may have open: control, lanes, live values, updates.
const STREAMS: u32 = 1 + 16 + 2;
/// What one stream may send before it is read, bytes.
const STREAM_WINDOW: u32 = 256 << 10;
/// What one connection may send before it is read, bytes.
const CONNECTION_WINDOW: u32 = 1 << 20;

impl Tuning {
    /// The cloud's end: it has ten thousand connections and says little on each. One datagram at a time, so that none of
    /// them keeps a buffer for ten; and the gateways keep the line alive.
    pub(crate) fn cloud_transport(&self) -> Arc<TransportConfig> {
        let mut transport = self.config();
        transport.enable_segmentation_offload(false).keep_alive_interval(None);
        Arc::new(transport)
    }

    /// The gateway's end.
    pub(crate) fn transport(&self) -> Arc<TransportConfig> {
        Arc::new(self.config())
    }

    fn config(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
            .send_window(u64::from(CONNECTION_WINDOW))
            .keep_alive_interval(Some(self.keep_alive))
            .congestion_controller_factory(Arc::new(FlooredCubic))
            // A time beyond QUIC's bound (2^62 ms) can't be meant; then there is none.
            .max_idle_timeout(IdleTimeout::try_from(self.idle).ok());
        transport
    }
}
