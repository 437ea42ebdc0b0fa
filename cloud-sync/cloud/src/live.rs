//! Live values on their way to whoever watches: from a gateway's session to the command line, kept nowhere.
//!
//! Bounds: [`WAITING`] frames for each who watches; who is slower misses some, and is told how many. Nothing here is ever
//! waited for by a session.

mod door;

pub use door::{Door, watch};

use engawa_model::Timestamp;
use engawa_protocol::live::Live;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Frames that may wait for one who watches.
pub(crate) const WAITING: usize = 256;

/// Some values, as those who watch get them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Whose.
    pub gateway: String,
    /// The key of the command that asked for them; empty: of all of the gateway.
    pub tail: String,
    /// The values, in order: when the gateway had each, and what it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(Option<Timestamp>, Value)>,
    /// Values of the tail that were dropped at the gateway or on the way here, so far.
    #[serde(default)]
    pub dropped: u64,
    /// Frames that this one who watches was too slow for, before this.
    #[serde(default)]
    pub missed: u64,
    /// Why the tail is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Told {
    /// True where it is for whoever watches `tail` of `gateway`.
    pub fn is_for(&self, gateway: &str, tail: &str) -> bool {
        self.gateway == gateway && (self.tail == tail || self.tail.is_empty())
    }
}

/// Where sessions leave live values, and those who watch hear them.
#[derive(Clone, Debug)]
pub struct Hub {
    told: broadcast::Sender<Arc<Told>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(WAITING) }
    }
}

impl Hub {
    /// Live values of a gateway.
    pub fn live(&self, gateway: &str, live: Live) {
        let values: Vec<_> = live
            .rows
            .iter()
            .filter_map(|row| {
                let value = serde_json::from_slice(&row.body).ok()?;
                Some((Timestamp::from_microsecond(row.at_micros).ok(), value))
            })
            .collect();
        let unread = live.rows.len() - values.len();
        self.tell(Told {
            gateway: gateway.to_owned(),
            tail: live.tail,
            values,
            dropped: live.dropped.saturating_add(unread as u64),
            missed: 0,
            ended: live.ended,
        });
    }

    /// The gateway's connection has ended.
    pub fn gone(&self, gateway: &str) {
        let ended = Some("the gateway's connection has ended".to_owned());
        self.tell(Told { gateway: gateway.to_owned(), ended, ..Told::default() });
    }

    fn tell(&self, told: Told) {
        // Where nobody watches, it is for nobody.
        let _ = self.told.send(Arc::new(told));
    }

    /// What comes from now on.
    pub fn hear(&self) -> Heard {
        Heard { told: self.told.subscribe() }
    }
}

/// What one who watches hears.
#[derive(Debug)]
pub struct Heard {
    told: broadcast::Receiver<Arc<Told>>,
}

impl Heard {
    /// The next, and how many were missed before it. `None`: the hub has gone.
    pub async fn next(&mut self) -> Option<(Arc<Told>, u64)> {
        let mut missed = 0;
        loop {
            match self.told.recv().await {
                Ok(told) => return Some((told, missed)),
                Err(broadcast::error::RecvError::Lagged(frames)) => missed += frames,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_protocol::live::LiveRow;

    fn live(n: i64) -> Live {
        let row = |body: &str| LiveRow { at_micros: n, body: body.as_bytes().to_vec() };
        Live { tail: "t".into(), rows: vec![row("{\"n\":1}"), row("{")], dropped: 3, ended: None }
    }

    #[tokio::test]
    async fn who_is_slow_misses_some_and_is_told_and_nobody_waits() {
        let hub = Hub::default();
        hub.live("g", live(0));
        let mut heard = hub.hear();
        for n in 0..WAITING as i64 + 5 {
            hub.live("g", live(n));
        }
        let (told, missed) = heard.next().await.unwrap();
        assert_eq!(missed, 5);
        assert_eq!((told.values.len(), told.dropped), (1, 4), "what is no JSON counts as dropped");
        assert!(told.is_for("g", "t") && !told.is_for("g", "u") && !told.is_for("h", "t"));
        hub.gone("g");
        drop(hub);
        let mut last = None;
        while let Some((told, _)) = heard.next().await {
            last = Some(told);
        }
        let last = last.unwrap();
        assert!(last.is_for("g", "t") && last.ended.is_some());
    }
}
