//! What the PMS's front desk has told and wants: messages, bills, found guests, keys. Personal through and through: it
//! is on the socket door alone.

use engawa_model::{
    Action, Bill, CommandKey, FoundGuest, KeyRequest, Message, Personal, Property, RoomId, StayId,
};
use serde::{Deserialize, Serialize};

/// The front desk, as far as the house knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrontDeskView {
    /// Stays with messages or a bill.
    pub stays: Vec<StayDesk>,
    /// What look-ups have found, by the command that asked.
    pub found: Vec<Found>,
    /// Keys that wait for an encoder of the house.
    pub keys_wanted: Vec<KeyRequest>,
}

/// What is known for one stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StayDesk {
    /// The stay.
    pub stay: StayId,
    /// Where.
    pub room: RoomId,
    /// Its messages, oldest first.
    pub messages: Vec<Message>,
    /// Its bill, where it was asked for in the last ten minutes.
    pub bill: Option<Bill>,
}

/// What a command has found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The command's key.
    pub key: CommandKey,
    /// Guests.
    pub guests: Vec<FoundGuest>,
    /// Where the guest is.
    pub place: Option<Personal<String>>,
    /// Until when, HHMM.
    pub until: Option<String>,
}

impl FrontDeskView {
    /// The front desk of `property` as it is now.
    pub fn build(property: &Property) -> Self {
        let stays = property.stays().values().map(|stay| StayDesk {
            stay: stay.id.clone(),
            room: stay.room.clone(),
            messages: property.messages(&stay.id).to_vec(),
            bill: property.bill(&stay.id).cloned(),
        });
        let asked = property.commands().values().filter(|record| {
            matches!(record.command.action, Action::FindGuests { .. } | Action::Locate { .. })
        });
        let found = asked.map(|record| {
            let key = &record.command.key;
            let place = property.place_found(key);
            Found {
                key: key.clone(),
                guests: property.guests_found(key).to_vec(),
                place: place.map(|(place, _)| place.clone()),
                until: place.and_then(|(_, until)| until.map(str::to_owned)),
            }
        });
        Self {
            stays: stays.filter(|desk| !desk.messages.is_empty() || desk.bill.is_some()).collect(),
            found: found.filter(|found| !found.guests.is_empty() || found.place.is_some()).collect(),
            keys_wanted: property.keys_wanted().cloned().collect(),
        }
    }
}
