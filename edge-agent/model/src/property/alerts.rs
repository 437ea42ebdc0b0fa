//! Alerts: raised, escalated, acknowledged, over; and the two that never wait for a rule.

use super::{Applied, Entity, Property};
use crate::alert_text;
use crate::ids::PointId;
use crate::{Alert, AlertKind, Change, Role, RoomId, Timestamp, Value};

/// How a room is named as the source of an alert.
pub(super) fn place_of(room: &RoomId) -> String {
    format!("room {room}")
}

/// The name an alert is kept under.
pub(super) fn alert_name(kind: AlertKind, source: &str) -> String {
    format!("{}:{source}", kind.word())
}

impl Property {
    /// Raises an alert, or raises it once more.
    pub(super) fn raise(
        &mut self,
        at: Timestamp,
        kind: AlertKind,
        source: &str,
        text: &str,
        out: &mut Applied,
    ) {
        let name = alert_name(kind, source);
        let alert = self.alerts.entry(name.clone()).or_insert_with(|| Alert {
            kind,
            source: source.to_owned(),
            active: false,
            count: 0,
            first: at,
            last: at,
            text: String::new(),
            level: 0,
            acknowledged: None,
        });
        if !alert.active {
            (alert.level, alert.acknowledged) = (0, None);
        }
        alert.active = true;
        alert.count += 1;
        alert.last = at;
        text.clone_into(&mut alert.text);
        out.changes.push(Change::Alert { alert: alert.clone() });
        out.touched.insert(Entity::Alert(name));
    }

    /// Raises an alert unless it is active already: for what lasts.
    pub(super) fn raise_once(
        &mut self,
        at: Timestamp,
        kind: AlertKind,
        source: &str,
        text: &str,
        out: &mut Applied,
    ) {
        if !self.alerts.get(&alert_name(kind, source)).is_some_and(|alert| alert.active) {
            self.raise(at, kind, source, text, out);
        }
    }

    /// Raises an alert one level higher; not where somebody sees to it, or it is over.
    pub(super) fn escalate(
        &mut self,
        at: Timestamp,
        kind: AlertKind,
        source: &str,
        text: &str,
        level: u8,
        out: &mut Applied,
    ) {
        let name = alert_name(kind, source);
        let waits = |alert: &&mut Alert| alert.active && alert.acknowledged.is_none() && alert.level < level;
        let Some(alert) = self.alerts.get_mut(&name).filter(waits) else { return };
        alert.level = level;
        alert.count += 1;
        alert.last = at;
        text.clone_into(&mut alert.text);
        out.changes.push(Change::Alert { alert: alert.clone() });
        out.touched.insert(Entity::Alert(name));
    }

    pub(super) fn clear(&mut self, kind: AlertKind, source: &str, out: &mut Applied) {
        let name = alert_name(kind, source);
        if let Some(alert) = self.alerts.get_mut(&name).filter(|alert| alert.active) {
            alert.active = false;
            out.changes.push(Change::Alert { alert: alert.clone() });
            out.touched.insert(Entity::Alert(name));
        }
    }

    /// Somebody sees to an alert.
    pub(super) fn acknowledge(&mut self, at: Timestamp, name: &str, out: &mut Applied) -> Result<(), String> {
        let active = self.alerts.get_mut(name).filter(|alert| alert.active);
        let Some(alert) = active else { return Err(format!("there is no active alert `{name}`")) };
        if alert.acknowledged.is_none() {
            alert.acknowledged = Some(at);
            out.changes.push(Change::Alert { alert: alert.clone() });
            out.touched.insert(Entity::Alert(name.to_owned()));
        }
        Ok(())
    }

    /// Water and smoke are told at once, whatever the rules say; rules may escalate. Over when no sensor of the room
    /// says so any more.
    pub(super) fn danger(
        &mut self,
        at: Timestamp,
        role: Role,
        point: &PointId,
        room: Option<&RoomId>,
        value: Option<&Value>,
        out: &mut Applied,
    ) {
        let place = room.map_or_else(|| point.device.to_string(), place_of);
        let (kind, text) = match role {
            Role::Smoke => (AlertKind::Smoke, alert_text::SMOKE),
            _ => (AlertKind::Leak, alert_text::WATER),
        };
        if value.and_then(Value::as_bool).unwrap_or(false) {
            self.raise(at, kind, &place, text, out);
            return;
        }
        let others = room.map_or(&[][..], |room| self.points_with_role(room, role));
        let on = |id: &PointId| {
            let state = self.point(id).filter(|_| id != point);
            state.and_then(|state| state.value.as_ref()).and_then(Value::as_bool).unwrap_or(false)
        };
        if !others.iter().any(on) {
            self.clear(kind, &place, out);
        }
    }
}
