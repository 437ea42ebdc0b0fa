//! A stay: one reservation (G#) in the house, from check-in to check-out.

use crate::{Date, Personal, RoomId, StayId, Timestamp};
use serde::{Deserialize, Serialize};

/// A guest's stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// The PMS's reservation number.
    pub id: StayId,
    /// The room the guest is in.
    pub room: RoomId,
    /// Surname or the site's own form of the name (GN).
    pub name: Option<Personal<String>>,
    /// First name (GF).
    pub first_name: Option<Personal<String>>,
    /// Title (GT).
    pub title: Option<Personal<String>>,
    /// BCP 47 language tag.
    pub language: Option<String>,
    /// Day of arrival.
    pub arrival: Option<Date>,
    /// Day of departure.
    pub departure: Option<Date>,
    /// VIP code of the PMS.
    pub vip: Option<String>,
    /// Telephone number, where the PMS tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
    /// Address for mail, where the PMS tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// True where the guest's personal data was erased: what the PMS tells of it is not taken again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The PMS takes no charges for this guest. For information: nobody is barred because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_post: Option<bool>,
    /// The set point that this guest chose at the wall, °C; moves with the guest.
    pub comfort: Option<f64>,
    /// When the house learnt of the check-in.
    pub since: Timestamp,
}

/// Why a stay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StayEnd {
    /// The PMS checked the guest out.
    CheckedOut,
    /// The PMS reported the room vacant, without a reservation number.
    RoomVacated,
    /// The stay was missing in a complete list of the house.
    MissingInList,
}
