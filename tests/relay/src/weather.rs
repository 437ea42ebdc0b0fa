//! What a line does to what goes through it.

use std::time::Duration;

/// The weather on a line, the same both ways. The default is a fine day: everything goes through at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Weather {
    /// The same seed loses the same datagrams, as far as the same ones come.
    pub seed: u64,
    /// How many of the datagrams are lost, 0 to 1.
    pub loss: f64,
    /// How long a datagram takes, one way.
    pub delay: Duration,
    /// By how much more, at most; the order is kept.
    pub jitter: Duration,
    /// How many of them are overtaken by those behind, 0 to 1.
    pub reorder: f64,
    /// How many of them arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Bits a second, each way; without it the line is as wide as the machine.
    pub bits_per_second: Option<u64>,
    /// What may wait in front of the narrow way, bytes; a datagram too many is lost.
    pub queue_bytes: u64,
    /// How often the ports are forgotten.
    pub rebind_every: Option<Duration>,
    /// No UDP at all, as behind many firewalls.
    pub udp_blocked: bool,
    /// Nothing at all.
    pub cut: bool,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            seed: 1,
            loss: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0.0,
            duplicate: 0.0,
            bits_per_second: None,
            queue_bytes: 128 << 10,
            rebind_every: None,
            udp_blocked: false,
            cut: false,
        }
    }
}
