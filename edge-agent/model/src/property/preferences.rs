//! What a guest's preferences do while the guest is in the house.

use super::climate::Wish;
use super::{Applied, Entity, Property};
use crate::arbitration::Occasion;
use crate::settings::SettingValue;
use crate::{Action, CommandKey, CommandSource, Role, RoomId, Stay, StayId, Timestamp, Value};

/// Why something is written to the guest's room.
const REASON: &str = "preference";
/// The set point that a guest prefers, °C.
pub(super) const TEMPERATURE: &str = "guest.temperature-c";
/// The language in which a guest is told things.
const LANGUAGE: &str = "guest.language";

impl Property {
    /// The set point of a guest, °C: what was chosen at the wall since, else what the guest prefers. Preferences are read
    /// where they lie sealed, and copied nowhere.
    pub fn comfort_of(&self, stay: &Stay) -> Option<f64> {
        let preferred = || self.settings.preferred(&stay.id, TEMPERATURE).and_then(SettingValue::number);
        stay.comfort.or_else(preferred)
    }

    /// The language of a guest (BCP 47): the one that the guest prefers, else the PMS's.
    pub fn language_of<'a>(&'a self, stay: &'a Stay) -> Option<&'a str> {
        match self.settings.preferred(&stay.id, LANGUAGE) {
            Some(SettingValue::Text(tag)) => Some(tag),
            _ => stay.language.as_deref(),
        }
    }

    /// The room whose guest's preferences the command `key` was about, while the guest is in the house.
    pub fn preferring_room(&self, key: &CommandKey) -> Option<&RoomId> {
        match &self.commands.get(key)?.command.action {
            Action::SetPreference { stay, .. } | Action::MergePreference { stay, .. } => {
                self.stays.get(stay).map(|stay| &stay.room)
            }
            _ => None,
        }
    }

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
            (TEMPERATURE, _) => {
                // What was chosen at the wall before is over.
                let Some(kept) = self.stays.get_mut(stay) else { return };
                if kept.comfort.take().is_some() {
                    out.touched.insert(Entity::Stay(stay.clone()));
                }
                let ruled = self.governed.rooms.get(&room).is_some_and(|state| state.wanted.is_some());
                if !ruled {
                    let setpoint = self.comfort_c(&room);
                    // Where a hold or the firewall is in the way, the next change of guests or rules brings it.
                    let _ = self.order_setpoint(at, &room, setpoint, Occasion::Routine, REASON, out);
                }
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
