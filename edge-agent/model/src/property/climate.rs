//! Set points: what the house owes the rooms, and what the guests choose themselves.
//!
//! Underneath the rules: check-in brings the guest's comfort setting, check-out the eco set-back, a move carries the
//! guest's own setting along, a shared room keeps its setting until its last guest leaves.

use super::conditions::sooner;
use super::preferences::TEMPERATURE;
use super::{Applied, Entity, Property, Season};
use crate::alert_text::{self, filled};
use crate::arbitration::{Asker, Holder, Occasion};
use crate::firewall::Refusal;
use crate::ids::{CommandKey, PointId};
use crate::settings::SettingValue;
use crate::{
    AlertKind, Change, CommandOutcome, CommandSource, Intent, Order, OrderState, Quality, Role, RoomId,
    Timestamp, Value,
};
use jiff::SignedDuration;

/// Two set points nearer than this are the same, °C: half of the finest step that thermostats offer.
const SAME_SETPOINT_C: f64 = 0.05;

/// A write that the house wants, before it has a key.
pub(super) struct Wish<'a> {
    pub(super) key: Option<CommandKey>,
    pub(super) point: &'a PointId,
    pub(super) value: Value,
    pub(super) source: CommandSource,
    /// Who is behind it, for the firewall: an order of the house may be a part of somebody's command.
    pub(super) asked_by: CommandSource,
    pub(super) reason: &'a str,
    pub(super) expires: Option<Timestamp>,
}

impl Property {
    /// The set point of an occupied room: what its longest-staying guest chose, else the house's comfort; °C.
    pub(super) fn comfort_c(&self, room: &RoomId) -> f64 {
        let chosen = self.stays_in(room).filter_map(|stay| self.comfort_of(stay).map(|c| (stay.since, c)));
        chosen.min_by_key(|(since, _)| *since).map_or(self.climate().comfort_c, |(_, c)| c)
    }

    /// The set point of a vacant room, °C.
    pub(super) fn eco_c(&self) -> f64 {
        let climate = self.climate();
        match climate.season {
            Season::Heating => climate.eco_heating_c,
            Season::Cooling => climate.eco_cooling_c,
        }
    }

    pub(super) fn comfort(&mut self, at: Timestamp, room: &RoomId, reason: &str, out: &mut Applied) {
        let setpoint = self.comfort_c(room);
        self.order_base(at, room, setpoint, reason, out);
    }

    pub(super) fn eco(&mut self, at: Timestamp, room: &RoomId, reason: &str, out: &mut Applied) {
        let setpoint = self.eco_c();
        self.order_base(at, room, setpoint, reason, out);
    }

    /// Guests come, go or move: no choice of those before is in the way.
    fn order_base(&mut self, at: Timestamp, room: &RoomId, setpoint: f64, reason: &str, out: &mut Applied) {
        let again = self.order_setpoint(at, room, setpoint, Occasion::GuestsChange, reason, out);
        if let Some(again) = again {
            // The firewall lets it through later: the room's rules see to it then.
            let state = self.governed.rooms.entry(room.clone()).or_default();
            state.owed = Some(reason.to_owned());
            let due = sooner(state.due, again);
            self.governed.schedule(room, due);
            out.touched.insert(Entity::RoomRules(room.clone()));
        }
    }

    /// Orders the set point of a room; gives the time from which the firewall lets through what it did not now.
    pub(super) fn order_setpoint(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        setpoint: f64,
        occasion: Occasion,
        reason: &str,
        out: &mut Applied,
    ) -> Option<Timestamp> {
        let mut again = None;
        for point in self.points_with_role(room, Role::ClimateSetpoint).to_vec() {
            let Some((_, spec)) = self.point_spec(&point) else { continue };
            if !spec.writable {
                continue;
            }
            let within = setpoint.max(spec.min.unwrap_or(setpoint)).min(spec.max.unwrap_or(setpoint));
            if self.may_set(at, Asker::Rule(occasion), &point).is_err() {
                continue;
            }
            let value = Value::Float(self.within_policy(within));
            let on_its_way = |order: &Order| order.point == point && order.value == value;
            if occasion == Occasion::Routine && self.orders.values().any(on_its_way) {
                continue;
            }
            let wish = Wish {
                key: None,
                point: &point,
                value,
                source: CommandSource::Rule,
                asked_by: CommandSource::Rule,
                reason,
                expires: None,
            };
            if let Err(refusal) = self.order(at, wish, out) {
                again = refusal.until().map_or(again, |until| sooner(again, until));
            }
        }
        again
    }

    /// The nearest set point that the firewall allows for the role: the house's own wishes are cut, not refused.
    fn within_policy(&self, celsius: f64) -> f64 {
        let limits = self.policy().and_then(|policy| policy.firewall.role.get(&Role::ClimateSetpoint));
        let (min, max) = limits.map_or((None, None), |limits| (limits.min, limits.max));
        let celsius = self.settings.in_force.limited(celsius);
        celsius.max(min.unwrap_or(celsius)).min(max.unwrap_or(celsius))
    }

    /// Whether the limits of the settings let somebody's set point be.
    pub(super) fn within_limits(&self, point: &PointId, value: &Value) -> Result<(), String> {
        let of_climate =
            self.point_spec(point).is_some_and(|(_, spec)| spec.role == Some(Role::ClimateSetpoint));
        let Some(celsius) = value.as_f64().filter(|_| of_climate) else { return Ok(()) };
        let limited = self.settings.in_force.limited(celsius);
        if limited < celsius {
            Err(format!("the setting climate.highest-c lets no room be set higher than {limited} °C"))
        } else if limited > celsius {
            Err(format!("the setting climate.lowest-c lets no room be set lower than {limited} °C"))
        } else {
            Ok(())
        }
    }

    /// The key of an order or command of the house's own.
    pub(super) fn rule_key(&mut self, out: &mut Applied) -> CommandKey {
        self.meta.last_order += 1;
        out.touched.insert(Entity::Meta);
        CommandKey::new(format!("rule-{}", self.meta.last_order))
    }

    /// True where the point has the value already, as far as is known.
    pub(super) fn is_there(&self, point: &PointId, value: &Value) -> bool {
        let state = self.point(point);
        state.is_some_and(|state| state.quality == Quality::Good && same(state.value.as_ref(), value))
    }

    /// Enters an order; an older one for the same point is superseded.
    ///
    /// # Errors
    /// The firewall's refusal. A command has ended with it then, and the older order stands.
    pub(super) fn order(&mut self, at: Timestamp, wish: Wish<'_>, out: &mut Applied) -> Result<(), Refusal> {
        let older: Vec<CommandKey> = self
            .orders
            .values()
            .filter(|order| order.point == *wish.point)
            .map(|order| order.key.clone())
            .collect();
        if older.is_empty() && self.is_there(wish.point, &wish.value) {
            // Already so, and nothing on its way that would change it: spare the device's memory the write.
            if let Some(key) = wish.key {
                self.end_command(at, &key, CommandOutcome::Done, out);
            }
            return Ok(());
        }
        if let Err(refusal) = self.passes(at, wish.asked_by, wish.point, &wish.value, 0) {
            let role = self.point_spec(wish.point).and_then(|(_, spec)| spec.role);
            if wish.key.is_none() && role == Some(Role::ClimateSetpoint) && refusal.until().is_some() {
                // The house's own set point waits for its turn.
                self.count("firewall-deferred");
            } else {
                self.turned_away(at, wish.point, &refusal, out);
            }
            if let Some(key) = &wish.key {
                self.end_command(at, key, CommandOutcome::Refused { reason: refusal.to_string() }, out);
            }
            return Err(refusal);
        }
        self.let_through(at, wish.point, out);
        for key in older {
            self.end_order(at, &key, &CommandOutcome::Superseded, out);
        }
        let key = wish.key.unwrap_or_else(|| self.rule_key(out));
        let longest = SignedDuration::from_secs(i64::from(self.spec.order_ttl_s));
        let room = self.point_spec(wish.point).and_then(|(room, _)| room.cloned());
        let order = Order {
            key: key.clone(),
            point: wish.point.clone(),
            room: room.clone(),
            value: wish.value.clone(),
            source: wish.source,
            reason: wish.reason.to_owned(),
            asked: at,
            expires: wish.expires.unwrap_or_else(|| at.checked_add(longest).unwrap_or(Timestamp::MAX)),
            state: OrderState::Pending,
        };
        out.changes.push(Change::Ordered {
            key: key.clone(),
            point: wish.point.clone(),
            room,
            value: wish.value,
            source: wish.source,
            reason: wish.reason.to_owned(),
        });
        out.intents.push(write(&order));
        out.touched.insert(Entity::Order(key.clone()));
        self.orders.insert(key, order);
        Ok(())
    }

    /// An order that is no longer wanted ends without an alert: no device has failed.
    pub(super) fn withdraw_order(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        outcome: &CommandOutcome,
        out: &mut Applied,
    ) {
        let Some(order) = self.close_order(at, key, outcome, out) else { return };
        if order.source != CommandSource::Rule {
            self.end_command(at, key, outcome.clone(), out);
        }
    }

    fn close_order(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        outcome: &CommandOutcome,
        out: &mut Applied,
    ) -> Option<Order> {
        let order = self.orders.remove(key)?;
        self.settled.insert(order.point.clone(), at);
        out.touched.insert(Entity::Order(key.clone()));
        out.changes.push(Change::OrderEnded {
            key: key.clone(),
            point: order.point.clone(),
            room: order.room.clone(),
            value: order.value.clone(),
            outcome: outcome.clone(),
        });
        Some(order)
    }

    fn end_order(&mut self, at: Timestamp, key: &CommandKey, outcome: &CommandOutcome, out: &mut Applied) {
        let Some(order) = self.close_order(at, key, outcome, out) else { return };
        let place = order.point.to_string();
        match outcome {
            CommandOutcome::Done => self.clear(AlertKind::WriteFailed, &place, out),
            CommandOutcome::Refused { reason } | CommandOutcome::Doubtful { reason } => {
                let text = filled(alert_text::NOT_SET, &[&order.point, &order.value, reason]);
                self.raise(at, AlertKind::WriteFailed, &place, &text, out);
            }
            CommandOutcome::Superseded | CommandOutcome::Expired => {}
        }
        if order.source != CommandSource::Rule {
            self.end_command(at, key, outcome.clone(), out);
            if *outcome == CommandOutcome::Done
                && let (Some(room), Some(setpoint)) = (&order.room, order.value.as_f64())
                && self.points_with_role(room, Role::ClimateSetpoint).contains(&order.point)
            {
                self.choose_comfort(room, setpoint, out);
            }
        }
    }

    pub(super) fn written(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        outcome: &CommandOutcome,
        out: &mut Applied,
    ) {
        if self.orders.contains_key(key) {
            self.end_order(at, key, outcome, out);
        } else {
            // The driver's word on an order that was superseded or expired meanwhile.
            self.count("late-write-outcome");
        }
    }

    pub(super) fn expire_orders(&mut self, at: Timestamp, out: &mut Applied) {
        let expired: Vec<CommandKey> =
            self.orders.values().filter(|order| order.expires <= at).map(|order| order.key.clone()).collect();
        for key in expired {
            self.end_order(at, &key, &CommandOutcome::Expired, out);
        }
    }

    pub(super) fn orders_wake(&self) -> Option<Timestamp> {
        self.orders.values().map(|order| order.expires).min()
    }

    pub(super) fn orders_restarted(&mut self, at: Timestamp, out: &mut Applied) {
        for order in self.orders.values().filter(|order| order.expires > at) {
            out.intents.push(write(order));
        }
    }

    /// A thermostat reports another set point than before, and the house did not write it.
    #[allow(clippy::too_many_arguments, reason = "each is a part of one report")]
    pub(super) fn setpoint_reported(
        &mut self,
        at: Timestamp,
        point: &PointId,
        room: Option<&RoomId>,
        was: Option<f64>,
        value: Option<&Value>,
        sampled: Timestamp,
        out: &mut Applied,
    ) {
        // What is no number is nobody's wish.
        let now = value.and_then(Value::as_f64).filter(|now| now.is_finite());
        let (Some(room), Some(was), Some(now)) = (room, was, now) else { return };
        let ordered = self.orders.values().any(|order| order.point == *point);
        let older_than_order = self.settled.get(point).is_some_and(|settled| sampled < *settled);
        if ordered || older_than_order || alike(now, was) {
            return;
        }
        // In a vacant room it is nobody's own choice.
        if self.stays_in(room).next().is_some() {
            self.hold(at, room, Holder::Guest, out);
        }
        self.choose_comfort(room, now, out);
    }

    /// The guests of `room` have chosen `setpoint`, at the wall or through the concierge.
    fn choose_comfort(&mut self, room: &RoomId, setpoint: f64, out: &mut Applied) {
        let room = room.clone();
        for stay in self.stays.values_mut().filter(|stay| stay.room == room) {
            let preferred = self.settings.preferred(&stay.id, TEMPERATURE).and_then(SettingValue::number);
            if !stay.comfort.or(preferred).is_some_and(|comfort| alike(comfort, setpoint)) {
                stay.comfort = Some(setpoint);
                out.touched.insert(Entity::Stay(stay.id.clone()));
                out.changes.push(Change::ComfortChosen {
                    stay: stay.id.clone(),
                    room: room.clone(),
                    setpoint,
                });
            }
        }
    }
}

fn same(value: Option<&Value>, wanted: &Value) -> bool {
    match (value.and_then(Value::as_f64), wanted.as_f64()) {
        (Some(is), Some(wanted)) => alike(is, wanted),
        _ => value == Some(wanted),
    }
}

fn alike(one: f64, other: f64) -> bool {
    (one - other).abs() < SAME_SETPOINT_C
}

fn write(order: &Order) -> Intent {
    Intent::WritePoint {
        key: order.key.clone(),
        point: order.point.clone(),
        value: order.value.clone(),
        expires: order.expires,
    }
}
