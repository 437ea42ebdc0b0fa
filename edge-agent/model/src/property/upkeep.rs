//! Commands for the gateway itself: their shape is checked here, the work is the agent's, and its end comes back as a fact.

use super::{Applied, Entity, Property};
use crate::ids::CommandKey;
use crate::upkeep::{
    LONGEST_TAIL_S, MOST_ASKER, MOST_NOTE_OF_END, MOST_TAILS, UpdateWindow, Upkeep, UpkeepEnd, Watched,
};
use crate::{Action, Change, Command, CommandOutcome, CommandSource, Intent, Timestamp};
use jiff::SignedDuration;
use jiff::civil::Time;

/// The longest path of a repository's folder, bytes.
const MOST_FOLDER: usize = 1024;
/// Where releases come from.
const CHANNELS: [&str; 3] = ["stable", "beta", "nightly"];

impl Property {
    /// Takes a command for the gateway itself.
    pub(super) fn upkeep_asked(
        &mut self,
        at: Timestamp,
        command: &Command,
        out: &mut Applied,
    ) -> Result<(), String> {
        let key = &command.key;
        if let Some(by) = command.action.asked_by() {
            known_asker(by)?;
        }
        match &command.action {
            Action::Tail { of, for_s, .. } => {
                if command.source != CommandSource::Cloud {
                    return Err("a tail goes to the cloud: only the cloud can ask for one".to_owned());
                }
                self.may_watch(of)?;
                if !(1..=LONGEST_TAIL_S).contains(for_s) {
                    return Err(format!("a tail of {for_s} s: expected 1 to {LONGEST_TAIL_S}"));
                }
                // This one is among them already.
                if self.open_tails().count() > MOST_TAILS {
                    return Err(format!("{MOST_TAILS} tails run already: end one first"));
                }
            }
            Action::EndTail { tail, .. } => {
                if !self.open_tails().any(|open| open == tail) {
                    return Err(format!("no tail `{tail}` runs"));
                }
                out.intents
                    .push(Intent::Upkeep { key: key.clone(), task: Upkeep::EndTail { tail: tail.clone() } });
                self.end_command(at, key, CommandOutcome::Done, out);
                return Ok(());
            }
            Action::Update { version, channel, window, from, .. } => {
                checked_release(version, channel, window.as_ref())?;
                if let Some(folder) = from {
                    checked_folder(command.source, folder)?;
                }
            }
            _ => {}
        }
        let same = |open: &Action| open.asked_kind() == command.action.asked_kind();
        let under_way = self.commands.values().any(|record| {
            record.ended.is_none() && record.command.key != *key && same(&record.command.action)
        });
        if under_way && !matches!(command.action, Action::Tail { .. }) {
            return Err("the same is under way already".to_owned());
        }
        self.start_upkeep(at, key, &command.action.clone(), out);
        Ok(())
    }

    fn start_upkeep(&self, at: Timestamp, key: &CommandKey, action: &Action, out: &mut Applied) {
        let task = match action {
            Action::Reload { .. } => Upkeep::Reload,
            Action::Diagnose { .. } => Upkeep::Diagnose,
            Action::Tail { of, for_s, .. } => {
                let until = at.checked_add(SignedDuration::from_secs(i64::from(*for_s))).unwrap_or(at);
                Upkeep::Tail { of: of.clone(), until }
            }
            Action::Update { .. } => match update_task(action) {
                Some(task) => task,
                None => return,
            },
            _ => return,
        };
        out.intents.push(Intent::Upkeep { key: key.clone(), task });
    }

    fn may_watch(&self, of: &Watched) -> Result<(), String> {
        let points = match of {
            Watched::Room(room) => {
                self.known_room(room)?;
                let of_room = self.spec.devices.iter().filter(|device| device.room.as_ref() == Some(room));
                of_room.map(|device| device.points.len()).sum()
            }
            Watched::Device(device) => self
                .device_spec(device)
                .map(|spec| spec.points.len())
                .ok_or_else(|| format!("there is no device `{device}`"))?,
        };
        if points == 0 { Err(format!("{of} has no points")) } else { Ok(()) }
    }

    fn open_tails(&self) -> impl Iterator<Item = &CommandKey> {
        let open = self.commands.values().filter(|record| record.ended.is_none());
        open.filter(|record| matches!(record.command.action, Action::Tail { .. }))
            .map(|record| &record.command.key)
    }

    /// A task is over: its bundle, its note and its end are one step.
    pub(super) fn upkeep_done(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        end: &UpkeepEnd,
        out: &mut Applied,
    ) {
        let Some(record) = self.commands.get_mut(key).filter(|record| record.ended.is_none()) else {
            // Told twice, after a restart in between.
            self.count("upkeep-told-twice");
            return;
        };
        for piece in &end.bundle {
            out.changes.push(Change::BundlePiece { key: key.clone(), piece: piece.clone() });
        }
        if let Some(note) = &end.note {
            let note: String = note.chars().take(MOST_NOTE_OF_END).collect();
            record.note = Some(note.clone());
            out.touched.insert(Entity::Command(key.clone()));
            out.changes.push(Change::CommandNoted { key: key.clone(), note });
        }
        self.end_command(at, key, end.outcome.clone(), out);
    }

    /// The agent has started: what was under way is done anew where that does no harm, and is over otherwise.
    pub(super) fn upkeep_restarted(&mut self, at: Timestamp, out: &mut Applied) {
        let open: Vec<Command> = self
            .commands
            .values()
            .filter(|record| record.ended.is_none() && record.command.action.asked_kind().is_some())
            .map(|record| record.command.clone())
            .collect();
        for Command { key, expires, action, .. } in open {
            if matches!(action, Action::Tail { .. }) {
                let reason = "the gateway's agent has started anew: the tail is over".to_owned();
                self.end_command(at, &key, CommandOutcome::Refused { reason }, out);
            } else if expires.is_some_and(|expires| expires <= at) && !matches!(action, Action::Update { .. })
            {
                // An update may wait for its window, and ends in a start of the agent.
                self.end_command(at, &key, CommandOutcome::Expired, out);
            } else {
                self.start_upkeep(at, &key, &action, out);
            }
        }
    }

    /// The tasks that are owed: what was asked and has not ended, but for tails, which end with their agent.
    pub fn open_upkeep(&self) -> Vec<Intent> {
        let open = self.commands.values().filter(|record| record.ended.is_none());
        let task = |action: &Action| match action {
            Action::Reload { .. } => Some(Upkeep::Reload),
            Action::Diagnose { .. } => Some(Upkeep::Diagnose),
            Action::Update { .. } => update_task(action),
            _ => None,
        };
        open.filter_map(|record| {
            let (key, task) = (record.command.key.clone(), task(&record.command.action)?);
            Some(Intent::Upkeep { key, task })
        })
        .collect()
    }
}

fn update_task(action: &Action) -> Option<Upkeep> {
    let Action::Update { version, window, from, clock_is_right, .. } = action else { return None };
    let (version, window, from) = (version.clone(), window.clone(), from.clone());
    Some(Upkeep::Update { version, window, from, clock_is_right: *clock_is_right })
}

/// A folder on this gateway is for whoever stands before it.
fn checked_folder(source: CommandSource, folder: &str) -> Result<(), String> {
    if source != CommandSource::Local {
        return Err("`from` names a folder on the gateway: only its own command line can do that".to_owned());
    }
    if !folder.starts_with('/') || folder.len() > MOST_FOLDER || folder.chars().any(char::is_control) {
        return Err(format!("`from`: expected an absolute path of at most {MOST_FOLDER} bytes"));
    }
    Ok(())
}

fn known_asker(by: &str) -> Result<(), String> {
    let characters = by.chars().count();
    if characters == 0 || characters > MOST_ASKER || by.chars().any(char::is_control) {
        return Err(format!("`by` names who asks: 1 to {MOST_ASKER} characters, no control character"));
    }
    Ok(())
}

fn checked_release(version: &str, channel: &str, window: Option<&UpdateWindow>) -> Result<(), String> {
    // Semantic versioning 2.0.0: three numbers without leading zeros, then what marks a pre-release or a build.
    let (numbers, rest) = version.find(['-', '+']).map_or((version, ""), |at| version.split_at(at));
    let number = |part: &str| {
        !part.is_empty()
            && part.len() <= 9
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let parts: Vec<&str> = numbers.split('.').collect();
    let marked = rest.is_empty()
        || rest.len() > 1
            && rest.len() <= 64
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'));
    if parts.len() != 3 || !parts.into_iter().all(number) || !marked {
        return Err(format!("`{version}` is not a version: expected one such as 1.4.0"));
    }
    Property::known_word(channel, &CHANNELS)?;
    if let Some(UpdateWindow { from, to }) = window {
        let time = |text: &str| {
            Time::strptime("%H:%M", text)
                .map_err(|_| format!("`{text}` is not a time of day: expected one such as 02:30"))
        };
        if time(from)? == time(to)? {
            return Err(format!("a window from {from} to {to} is none: leave it out for any time"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_as_releases_are() {
        let window = |from: &str, to: &str| UpdateWindow { from: from.into(), to: to.into() };
        let night = window("02:00", "04:30");
        for version in ["1.4.0", "0.1.0-rc.1", "10.20.30+b7"] {
            assert_eq!(checked_release(version, "stable", Some(&night)), Ok(()), "{version}");
        }
        for version in ["", "1", "1.4", "1.4.0.1", "01.4.0", "1.-4.0", "1.4.0-", "latest", "1.4.x", "1.4.0 "]
        {
            assert!(checked_release(version, "stable", None).is_err(), "{version}");
        }
        assert!(checked_release("1.4.0", "newest", None).unwrap_err().contains("stable, beta, nightly"));
        for (from, to) in [("25:00", "03:00"), ("02:00", "02:00"), ("2", "3"), ("", "")] {
            assert!(checked_release("1.4.0", "beta", Some(&window(from, to))).is_err(), "{from} {to}");
        }
        assert_eq!(
            checked_release("1.4.0", "beta", Some(&window("23:00", "02:00"))),
            Ok(()),
            "past midnight"
        );
    }

    #[test]
    fn what_is_watched_is_named_with_its_kind() {
        let room = Watched::parse("room/101").unwrap();
        assert!(room.has(&"t".into(), Some(&"101".into())) && !room.has(&"101".into(), Some(&"102".into())));
        let device = Watched::parse("device/a/b").unwrap();
        assert!(device.has(&"a/b".into(), None));
        assert_eq!(serde_json::to_string(&device).unwrap(), "\"device/a/b\"");
        for wrong in ["", "101", "room/", "device", "point/x"] {
            assert!(Watched::parse(wrong).unwrap_err().contains("room/NUMBER"), "{wrong}");
        }
    }
}
