//! The second reference: who is in the house as the journal alone tells it.

use engawa_model::{Change, RoomId, StayId};
use std::collections::BTreeMap;

/// The auditor. Knows the journal, nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Auditor {
    inside: BTreeMap<StayId, RoomId>,
    checked_in: BTreeMap<StayId, u32>,
}

impl Auditor {
    /// Reads one row. What contradicts the rows before it is a fault.
    pub(crate) fn read(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::CheckedIn { stay, room, .. } => {
                *self.checked_in.entry(stay.clone()).or_default() += 1;
                match self.inside.insert(stay.clone(), room.clone()) {
                    None => Ok(()),
                    Some(_) => Err(format!("{stay} checked in twice without a check-out")),
                }
            }
            Change::StayChanged { stay, room, .. } => match self.inside.get(stay) {
                Some(known) if known == room => Ok(()),
                known => Err(format!("{stay} changed in {room}, the journal has it in {known:?}")),
            },
            Change::Moved { stay, from, to } => match self.inside.insert(stay.clone(), to.clone()) {
                Some(known) if known == *from => Ok(()),
                known => Err(format!("{stay} moved from {from}, the journal has it in {known:?}")),
            },
            Change::CheckedOut { stay, room, .. } => match self.inside.remove(stay) {
                Some(known) if known == *room => Ok(()),
                known => Err(format!("{stay} checked out of {room}, the journal has it in {known:?}")),
            },
            _ => Ok(()),
        }
    }

    /// Who is where.
    pub(crate) fn inside(&self) -> &BTreeMap<StayId, RoomId> {
        &self.inside
    }

    /// How often a stay was checked in.
    pub(crate) fn checked_in(&self) -> &BTreeMap<StayId, u32> {
        &self.checked_in
    }
}
