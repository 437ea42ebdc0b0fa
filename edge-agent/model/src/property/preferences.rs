//! What a guest's preferences do while the guest is in the house.

use super::climate::Wish;
use super::{Applied, Entity, Property};
use crate::arbitration::Occasion;
use crate::settings::SettingValue;
use crate::{Change, CommandSource, Role, StayId, Timestamp, Value};

/// Why something is written to the guest's room.
const REASON: &str = "preference";

impl Property {
    /// A preference has another value than before.
    pub(super) fn prefer(
        &mut self,
        at: Timestamp,
        name: &str,
        stay: &StayId,
        value: Option<SettingValue>,
        out: &mut Applied,
    ) {
        let Some(room) = self.stays.get(stay).map(|stay| stay.room.clone()) else { return };
        match (name, value) {
            ("guest.temperature-c", value) => {
                let celsius = value.as_ref().and_then(SettingValue::number);
                let Some(kept) = self.stays.get_mut(stay) else { return };
                kept.comfort = celsius;
                out.touched.insert(Entity::Stay(stay.clone()));
                if let Some(setpoint) = celsius {
                    out.changes.push(Change::ComfortChosen {
                        stay: stay.clone(),
                        room: room.clone(),
                        setpoint,
                    });
                }
                let ruled = self.governed.rooms.get(&room).is_some_and(|state| state.wanted.is_some());
                if !ruled {
                    let setpoint = self.comfort_c(&room);
                    // Where a hold or the firewall is in the way, the next change of guests or rules brings it.
                    let _ = self.order_setpoint(at, &room, setpoint, Occasion::Routine, REASON, out);
                }
            }
            ("guest.language", Some(SettingValue::Text(tag))) => {
                let Some(kept) = self.stays.get_mut(stay) else { return };
                kept.language = Some(tag.clone());
                out.touched.insert(Entity::Stay(stay.clone()));
                out.changes.push(Change::StayChanged {
                    stay: stay.clone(),
                    room,
                    language: Some(tag),
                    arrival: None,
                    departure: None,
                });
            }
            ("guest.light", Some(SettingValue::Switch(on))) => {
                for point in self.points_with_role(&room, Role::Light).to_vec() {
                    if self.may_write(&point, &Value::Bool(on)).is_err() {
                        continue;
                    }
                    let wish = Wish {
                        key: None,
                        point: &point,
                        value: Value::Bool(on),
                        source: CommandSource::Rule,
                        asked_by: CommandSource::Rule,
                        reason: REASON,
                        expires: None,
                    };
                    // The firewall has counted what it turned away.
                    let _ = self.order(at, wish, out);
                }
            }
            _ => {}
        }
    }
}
