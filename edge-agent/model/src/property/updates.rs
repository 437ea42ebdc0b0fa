//! What has become of updates of the agent: a row in the journal for each step, each step once.

use super::{Applied, Entity, Property};
use crate::update::{MOST_UPDATE_HISTORY, MOST_UPDATE_REASON, UpdateNote};
use crate::{Change, Timestamp};
use std::collections::VecDeque;

/// Steps of updates, the oldest first.
pub(super) type Steps = VecDeque<(Timestamp, UpdateNote)>;

impl Property {
    /// A step of an update. The same one told twice (the process ended before it knew that the first was durable) is one.
    pub(super) fn updated(&mut self, at: Timestamp, update: &UpdateNote, out: &mut Applied) {
        let mut update = update.clone();
        if let Some(reason) = &mut update.reason
            && let Some((end, _)) = reason.char_indices().nth(MOST_UPDATE_REASON)
        {
            reason.truncate(end);
        }
        if self.updates.back().is_some_and(|(_, last)| *last == update) {
            self.count("update-told-twice");
            return;
        }
        while self.updates.len() >= MOST_UPDATE_HISTORY {
            self.updates.pop_front();
        }
        self.updates.push_back((at, update.clone()));
        out.touched.insert(Entity::Updates);
        out.changes.push(Change::Update { update });
    }

    /// The last steps of updates, the oldest first.
    pub fn updates(&self) -> impl DoubleEndedIterator<Item = &(Timestamp, UpdateNote)> {
        self.updates.iter()
    }

    /// When the last night audits began, of any PMS, the oldest first: what a quiet hour is told by.
    pub fn night_audits(&self) -> &[Timestamp] {
        &self.meta.audits
    }
}
