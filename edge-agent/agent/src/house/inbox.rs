//! Commands of the cloud, taken once and in order; and what a driver that starts is owed.

use super::{Effects, House};
use crate::outlets::OutletId;
use crate::pan;
use engawa_model::{
    Change, Command, CommandKey, CommandOutcome, CommandSource, Fact, Intent, Observation, OrderState,
    Property, Timestamp,
};
use engawa_protocol::ports::Row;
use engawa_store::Batch;

/// The longest key of a command that can be answered though it can't be read, characters.
const MOST_KEY: usize = 256;

impl House {
    /// Takes commands above the inbox's mark, in order. What this release can't read is answered as refused, never
    /// passed over in silence.
    pub(super) fn accept(
        &self,
        property: &mut Property,
        now: Timestamp,
        commands: Vec<Row>,
        batch: &mut Batch,
        effects: &mut Effects,
    ) {
        for row in commands {
            let mark = batch.inbox.or(self.owed.inbox()).unwrap_or_else(|| self.store.inbox_mark());
            if row.seq <= mark {
                continue;
            }
            batch.inbox = Some(row.seq);
            match serde_json::from_slice::<Command>(&row.body) {
                Ok(command) => {
                    // Who asked is told by the way it came, not by what it says of itself.
                    let command = Command { source: CommandSource::Cloud, ..command };
                    let observation = pan::masked(Observation::new(now, Fact::Asked { command }));
                    self.apply(property, &observation, batch, effects);
                }
                Err(error) => {
                    tracing::warn!(seq = row.seq, kind = %row.kind, %error, "a command that this release can't read");
                    if let Some(key) = key_of(&row.body) {
                        let reason = "this release of the gateway does not know the command".to_owned();
                        let refused =
                            Change::CommandEnded { key, outcome: CommandOutcome::Refused { reason } };
                        batch.changes.push((now, refused));
                    }
                }
            }
        }
    }

    /// Gives a driver that starts what the house still owes its devices.
    pub(super) fn owed(&mut self, property: &Property, outlet: OutletId) {
        for order in property.orders().values().filter(|order| order.state == OrderState::Pending) {
            let intent = Intent::WritePoint {
                key: order.key.clone(),
                point: order.point.clone(),
                value: order.value.clone(),
                expires: order.expires,
            };
            if self.outlets.leads_to(&intent, outlet) {
                self.outlets.give(intent);
            }
        }
        for intent in property.open_upkeep() {
            if self.outlets.leads_to(&intent, outlet) {
                self.outlets.give(intent);
            }
        }
    }
}

/// The key of a command that can't be read otherwise.
fn key_of(body: &[u8]) -> Option<CommandKey> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let key = value.get("key")?.as_str()?;
    (!key.is_empty() && key.chars().count() <= MOST_KEY).then(|| CommandKey::from(key))
}
