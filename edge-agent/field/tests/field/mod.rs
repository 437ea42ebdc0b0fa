//! A house that writes down what drivers tell it, and waits for what a test expects.
#![allow(unreachable_pub, dead_code, reason = "a module of several tests")]

use engawa_field::modbus::{Bus, BusConfig, BusParts, ModbusDevice};
use engawa_field::profile::{self, Resolved};
use engawa_model::{
    CommandKey, CommandOutcome, DeviceId, DeviceState, Fact, Intent, Observation, ObservationSink, PointId,
    Quality, SinkFuture, Timestamp, Value,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct House(pub watch::Sender<Vec<Fact>>);

impl ObservationSink for House {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.0.send_modify(|facts| facts.push(observation.fact));
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

pub struct Site {
    pub facts: watch::Receiver<Vec<Fact>>,
    pub intents: mpsc::Sender<Intent>,
    pub cancel: CancellationToken,
}

/// The map of a profile that is built in, or of the given text.
pub fn map(name_or_text: &str) -> Resolved {
    let built_in = profile::builtin().iter().find(|(name, _)| *name == name_or_text);
    let text = built_in.map_or(name_or_text, |(_, text)| text);
    profile::load("profile.toml", text)
        .unwrap_or_else(|report| panic!("{report}"))
        .resolve(&BTreeMap::new())
        .unwrap()
}

/// A bus with these devices (id, unit, profile).
pub fn site(address: SocketAddr, timeout_ms: u32, devices: &[(&str, u8, &str)]) -> Site {
    site_on(BusConfig { timeout_ms, ..BusConfig::tcp("b", address.to_string()) }, devices)
}

/// The same on any line.
pub fn site_on(config: BusConfig, devices: &[(&str, u8, &str)]) -> Site {
    let (sender, facts) = watch::channel(Vec::new());
    let (intents, writes) = mpsc::channel(16);
    let device = |(id, unit, profile): &(&str, u8, &str)| {
        let Resolved::Modbus(map) = map(profile) else { panic!("{profile} is not Modbus") };
        ModbusDevice { id: DeviceId::from(*id), unit: *unit, map }
    };
    let parts = BusParts {
        config,
        devices: devices.iter().map(device).collect(),
        sink: Arc::new(House(sender)),
        writes,
        seed: 1,
    };
    let cancel = CancellationToken::new();
    tokio::spawn(Bus::new(parts).run(cancel.clone()));
    Site { facts, intents, cancel }
}

impl Site {
    /// Waits until the facts so far hold something.
    pub async fn until<T>(&mut self, what: &str, mut look: impl FnMut(&[Fact]) -> Option<T>) -> T {
        let mut found = None;
        let mut facts = self.facts.clone();
        let waiting = facts.wait_for(|facts| {
            found = look(facts);
            found.is_some()
        });
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(_)) => {}
            _ => {
                let facts = self.facts.borrow();
                panic!(
                    "waited in vain: {what}; the last facts: {:#?}",
                    &facts[facts.len().saturating_sub(8)..]
                )
            }
        }
        found.unwrap()
    }

    pub async fn until_value(&mut self, device: &str, point: &str, want: &Value) {
        let id = PointId::new(device, point);
        self.until(&format!("{id} = {want}"), |facts| {
            (last(facts, &id)?.0.as_ref() == Some(want)).then_some(())
        })
        .await;
    }

    pub async fn until_unwell(&mut self, device: &str, words: &str) -> String {
        self.until(&format!("{device} unwell: {words}"), |facts| {
            facts.iter().rev().find_map(|fact| match fact {
                Fact::Health { device: of, state: DeviceState::Unwell, reason: Some(reason) }
                    if of.as_str() == device && reason.contains(words) =>
                {
                    Some(reason.clone())
                }
                _ => None,
            })
        })
        .await
    }

    /// Waits until the bus's link is said to be up or down with these words; the whole of what is said.
    pub async fn until_link(&mut self, want_up: bool, words: &str) -> String {
        self.until(&format!("the link, up {want_up}: {words}"), |facts| {
            facts.iter().rev().find_map(|fact| match fact {
                Fact::Link { up, detail, .. } if *up == want_up && detail.contains(words) => {
                    Some(detail.clone())
                }
                _ => None,
            })
        })
        .await
    }

    /// Waits until a point is reported or confirmed once more.
    pub async fn until_heard_again(&mut self, device: &str, point: &str) {
        let (id, from) = (PointId::new(device, point), self.facts.borrow().len());
        self.until(&format!("{id} again"), |facts| {
            facts[from.min(facts.len())..].iter().find_map(|fact| match fact {
                Fact::Reported { point, quality: Quality::Good, .. } | Fact::Confirmed { point, .. }
                    if *point == id =>
                {
                    Some(())
                }
                _ => None,
            })
        })
        .await;
    }

    /// Counts the reports of a point so far.
    pub fn reports(&self, device: &str, point: &str) -> usize {
        let id = PointId::new(device, point);
        self.facts
            .borrow()
            .iter()
            .filter(|fact| matches!(fact, Fact::Reported { point, .. } if *point == id))
            .count()
    }

    pub async fn order(&self, key: &str, device: &str, point: &str, value: Value) {
        let intent = Intent::WritePoint {
            key: CommandKey::from(key),
            point: PointId::new(device, point),
            value,
            expires: Timestamp::MAX,
        };
        self.intents.send(intent).await.unwrap();
    }

    pub async fn until_ended(&mut self, key: &str) -> CommandOutcome {
        self.until(&format!("the end of {key}"), |facts| {
            facts.iter().find_map(|fact| match fact {
                Fact::Written { key: of, outcome, .. } if of.as_str() == key => Some(outcome.clone()),
                _ => None,
            })
        })
        .await
    }
}

/// The last report of a point.
pub fn last(facts: &[Fact], id: &PointId) -> Option<(Option<Value>, Quality)> {
    facts.iter().rev().find_map(|fact| match fact {
        Fact::Reported { point, value, quality, .. } if point == id => Some((value.clone(), *quality)),
        _ => None,
    })
}
