//! Commands from staff, the cloud and other systems: accepted once by key, ended with an outcome.

use super::climate::Wish;
use super::holds::COMMAND;
use super::{Applied, Entity, Property};
use crate::ids::{CommandKey, LinkId, PointId};
use crate::{
    Action, Change, Command, CommandOutcome, CommandSource, Intent, PostingDetail, RoomId, Timestamp, Value,
};
use serde::{Deserialize, Serialize};

/// Ended commands are remembered, so that asking twice does once, but not for ever.
const KEPT_ENDED: usize = 10_000;

/// The statuses and signs that the PMS can be told.
pub(crate) const STATUSES: [&str; 6] = [
    "dirty-vacant",
    "dirty-occupied",
    "clean-vacant",
    "clean-occupied",
    "inspected-vacant",
    "inspected-occupied",
];
pub(super) const SIGNS: [&str; 3] = ["do-not-disturb", "make-up", "off"];

/// A command and what has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The command.
    pub command: Command,
    /// When it was accepted.
    pub asked: Timestamp,
    /// When it ended, and how; `None` while it is open.
    pub ended: Option<(Timestamp, CommandOutcome)>,
    /// More of how it ended, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Property {
    pub(super) fn asked(&mut self, at: Timestamp, command: &Command, out: &mut Applied) {
        if self.commands.contains_key(&command.key) {
            self.count("command-repeated");
            return;
        }
        let key = command.key.clone();
        self.commands.insert(
            key.clone(),
            CommandRecord { command: command.clone(), asked: at, ended: None, note: None },
        );
        out.touched.insert(Entity::Command(key.clone()));
        out.changes.push(Change::CommandAccepted {
            key: key.clone(),
            source: command.source,
            action: self.with_its_stay(command.action.without_personal()),
        });
        if command.expires.is_some_and(|expires| expires <= at) {
            self.end_command(at, &key, CommandOutcome::Expired, out);
        } else if let Err(reason) = self.carry_out(at, command, out) {
            self.end_command(at, &key, CommandOutcome::Refused { reason }, out);
        }
    }

    /// The journal's row of a charge names the only guest of the room, so that what it says goes with that guest's data. The
    /// command itself stays as it was asked: the same one is known by it.
    fn with_its_stay(&self, mut action: Action) -> Action {
        if let Action::Post { room, stay, .. } | Action::PostSlip { room, stay, .. } = &mut action
            && stay.is_none()
        {
            *stay = self.inhabitant(room, None).ok();
        }
        action
    }

    fn carry_out(&mut self, at: Timestamp, command: &Command, out: &mut Applied) -> Result<(), String> {
        let key = &command.key;
        match &command.action {
            Action::SetRole { room, role, value } => {
                self.known_room(room)?;
                let points = self.points_with_role(room, *role).to_vec();
                let Some((first, others)) = points.split_first() else {
                    return Err(format!("room {room} has no point for that"));
                };
                for point in &points {
                    self.may_write(point, value)?;
                    self.may_set(at, command.source.into(), point)?;
                }
                self.may_pass(at, command.source, &points, value, out)?;
                self.order_command(at, command, first, value, out);
                for point in others {
                    let wish = Wish {
                        key: None,
                        point,
                        value: value.clone(),
                        source: CommandSource::Rule,
                        asked_by: command.source,
                        reason: COMMAND,
                        expires: command.expires,
                    };
                    // They have passed the firewall together, above.
                    let _ = self.order(at, wish, out);
                }
                Ok(())
            }
            Action::SetPoint { point, value } => {
                self.may_write(point, value)?;
                self.may_set(at, command.source.into(), point)?;
                self.may_pass(at, command.source, std::slice::from_ref(point), value, out)?;
                self.order_command(at, command, point, value, out);
                Ok(())
            }
            Action::Post { room, stay, amount, text, outlet } => {
                self.known_room(room)?;
                let detail = PostingDetail::Plain;
                self.post(at, key, room, stay.as_ref(), *amount, text, outlet.as_deref(), detail, out)
            }
            Action::RoomStatus { room, status } => {
                self.known_room(room)?;
                Self::known_word(status, &STATUSES)?;
                self.send_status(key, room, status, out);
                Ok(())
            }
            Action::Service { room, sign } => {
                self.known_room(room)?;
                Self::known_word(sign, &SIGNS)?;
                self.send_status(key, room, sign, out);
                Ok(())
            }
            Action::ForgetLearnt { device } => {
                if self.device_spec(device).is_none() {
                    return Err(format!("there is no device `{device}`"));
                }
                self.forget_note(device, out);
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::Resync => {
                self.owe_all(out);
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::AskList { link, accept } => {
                self.ask_list(at, link.as_ref(), *accept, out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::WakeUp { .. } | Action::CancelWakeUp { .. } | Action::WakeAnswered { .. } => {
                self.wake_up_command(at, &command.action, out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::ExpectArrival { stay, room, date, at: eta } => {
                self.expect_arrival(stay, room, *date, *eta, out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::ForgetArrival { stay } => {
                self.arrival_gone(stay, out);
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::AcknowledgeAlert { alert } => {
                self.acknowledge(at, alert, out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::SettleCharge { charge, accept, amount } => {
                if !self.settle_charge(at, key, *charge, *accept, *amount, out)? {
                    self.end_command(at, key, CommandOutcome::Done, out);
                }
                Ok(())
            }
            Action::Reload { .. }
            | Action::Diagnose { .. }
            | Action::Tail { .. }
            | Action::EndTail { .. }
            | Action::Update { .. } => self.upkeep_asked(at, command, out),
            Action::SetSetting { name, value, by } => {
                self.set_setting(at, command.source, name, value.clone(), by.as_deref(), out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::MergeSetting { name, document } => {
                self.merge_setting(at, command.source, name, document, out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::SetPreference { stay, name, wish, by } => {
                self.set_preference(at, command.source, stay, name, wish.clone(), by.as_deref(), out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            Action::MergePreference { stay, name, register } => {
                self.merge_preference(at, command.source, stay, name, register.as_deref(), out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            // The front desk's own.
            action => self.desk_asked(at, key, action, out),
        }
    }

    /// Whether the firewall lets `value` through to all of `points`; what has it already needs no write.
    fn may_pass(
        &mut self,
        at: Timestamp,
        source: CommandSource,
        points: &[PointId],
        value: &Value,
        out: &mut Applied,
    ) -> Result<(), String> {
        let mut ahead = 0;
        for point in points {
            self.within_limits(point, value)?;
            if self.is_there(point, value) {
                continue;
            }
            if let Err(refusal) = self.passes(at, source, point, value, ahead) {
                self.turned_away(at, point, &refusal, out);
                return Err(format!("{point}: {refusal}"));
            }
            ahead += 1;
        }
        Ok(())
    }

    fn order_command(
        &mut self,
        at: Timestamp,
        command: &Command,
        point: &PointId,
        value: &Value,
        out: &mut Applied,
    ) {
        let wish = Wish {
            key: Some(command.key.clone()),
            point,
            value: value.clone(),
            source: command.source,
            asked_by: command.source,
            reason: COMMAND,
            expires: command.expires,
        };
        let ordered = self.order(at, wish, out);
        if command.source == CommandSource::Local && ordered.is_ok() {
            self.staff_chose(at, point, out);
        }
    }

    pub(super) fn known_room(&self, room: &RoomId) -> Result<(), String> {
        if self.rooms.contains_key(room) { Ok(()) } else { Err(format!("there is no room `{room}`")) }
    }

    pub(super) fn known_word(word: &str, known: &[&str]) -> Result<(), String> {
        if known.contains(&word) {
            Ok(())
        } else {
            Err(format!("`{word}` is not one of {}", known.join(", ")))
        }
    }

    pub(super) fn may_write(&self, point: &PointId, value: &Value) -> Result<(), String> {
        let Some((_, spec)) = self.point_spec(point) else {
            return Err(format!("there is no point `{point}`"));
        };
        if !spec.writable {
            return Err(format!("`{point}` can't be written"));
        }
        let (low, high) = (spec.min.unwrap_or(f64::NEG_INFINITY), spec.max.unwrap_or(f64::INFINITY));
        match value.as_f64() {
            Some(number) if !number.is_finite() || number < low || number > high => {
                Err(format!("{number} is outside {low} to {high} of `{point}`"))
            }
            None if spec.min.is_some() || spec.max.is_some() => Err(format!("`{point}` takes a number")),
            _ => Ok(()),
        }
    }

    pub(super) fn end_command(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        outcome: CommandOutcome,
        out: &mut Applied,
    ) {
        let Some(record) = self.commands.get_mut(key) else { return };
        let open = match &record.ended {
            None => true,
            // A doubtful end may still be settled, by a late answer.
            Some((_, CommandOutcome::Doubtful { .. })) => !matches!(outcome, CommandOutcome::Doubtful { .. }),
            Some(_) => false,
        };
        if open {
            record.ended = Some((at, outcome.clone()));
            out.touched.insert(Entity::Command(key.clone()));
            out.changes.push(Change::CommandEnded { key: key.clone(), outcome });
        }
    }

    pub(super) fn reopen_command(&mut self, _at: Timestamp, key: &CommandKey, out: &mut Applied) {
        if let Some(record) = self.commands.get_mut(key) {
            record.ended = None;
            out.touched.insert(Entity::Command(key.clone()));
        }
    }

    pub(super) fn status_sent(&mut self, at: Timestamp, key: &CommandKey, out: &mut Applied) {
        let Some(record) = self.commands.get(key).filter(|record| record.ended.is_none()) else {
            return;
        };
        let (room, word, sign) = match &record.command.action {
            Action::RoomStatus { room, status } => (room.clone(), status.clone(), false),
            Action::Service { room, sign } => (room.clone(), sign.clone(), true),
            _ => return,
        };
        if let Some(state) = self.rooms.get_mut(&room) {
            *(if sign { &mut state.sign } else { &mut state.status }) = Some(word.clone());
            out.touched.insert(Entity::Room(room.clone()));
        }
        out.changes.push(Change::RoomStatus { room, status: word });
        self.end_command(at, key, CommandOutcome::Done, out);
    }

    /// A status goes out while the PMS can take one; else it waits here, durably, as an open command.
    fn send_status(&self, key: &CommandKey, room: &RoomId, status: &str, out: &mut Applied) {
        if self.takes_records(self.pms.of_room(room)) {
            out.intents.push(Intent::SendRoomStatus {
                key: key.clone(),
                room: room.clone(),
                status: status.to_owned(),
            });
        }
    }

    /// The PMS can take statuses again: those of its rooms that waited go out, in the order they were asked.
    pub(super) fn send_waiting_statuses(&self, link: &LinkId, out: &mut Applied) {
        self.tell_waiting_wake_ups(link, out);
        let mut open: Vec<&CommandRecord> =
            self.commands.values().filter(|record| record.ended.is_none()).collect();
        open.sort_by_key(|record| record.asked);
        for record in open {
            let key = &record.command.key;
            match &record.command.action {
                Action::RoomStatus { room, status: word } | Action::Service { room, sign: word }
                    if self.pms.of_room(room) == link =>
                {
                    self.send_status(key, room, word, out);
                }
                action if self.link_for(action) == *link => self.desk_send_waiting(key, action, out),
                _ => {}
            }
        }
    }

    pub(super) fn prune(&mut self, at: Timestamp, out: &mut Applied) {
        self.prune_postings(out);
        self.prune_arrivals(at, out);
        self.prune_charges(at, out);
        let Some(extra @ 1..) = self.commands.len().checked_sub(KEPT_ENDED) else { return };
        let mut ended: Vec<(Timestamp, CommandKey)> = self
            .commands
            .values()
            .filter_map(|record| record.ended.as_ref().map(|(at, _)| (*at, record.command.key.clone())))
            .collect();
        ended.sort();
        for (_, key) in ended.iter().take(extra) {
            self.commands.remove(key);
            out.touched.insert(Entity::Command(key.clone()));
        }
    }
}
