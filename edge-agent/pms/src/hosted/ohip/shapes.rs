//! The answers of OPERA Cloud, as far as they are of use (rsv.json and publishedoauth.json of the published specifications).

use engawa_model::Date;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) access_token: String,
    pub(super) expires_in: u32,
}

#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) reservations: Reservations,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservations {
    #[serde(default)]
    pub(super) reservation_info: Vec<Reservation>,
    #[serde(default)]
    pub(super) has_more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservation {
    pub(super) reservation_id_list: Vec<Id>,
    pub(super) room_stay: Option<RoomStay>,
    pub(super) reservation_guest: Option<Guest>,
    pub(super) reservation_status: Option<String>,
    pub(super) computed_reservation_status: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomStay {
    pub(super) room_id: Option<String>,
    pub(super) arrival_date: Option<Date>,
    pub(super) departure_date: Option<Date>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Guest {
    pub(super) given_name: Option<String>,
    pub(super) surname: Option<String>,
    pub(super) name_title: Option<String>,
    pub(super) language: Option<String>,
    pub(super) phone_number: Option<String>,
    pub(super) email: Option<String>,
}

impl Reservation {
    pub(super) fn number(&self) -> Option<&str> {
        self.reservation_id_list.iter().find(|id| id.kind == "Reservation").map(|id| id.id.as_str())
    }

    /// True for a reservation whose guest has not come yet.
    pub(super) fn is_expected(&self) -> bool {
        let status = self.computed_reservation_status.as_ref().or(self.reservation_status.as_ref());
        status.is_some_and(|status| matches!(status.as_str(), "Reserved" | "DueIn"))
    }

    pub(super) fn is_in_house(&self) -> bool {
        let status = self.computed_reservation_status.as_ref().or(self.reservation_status.as_ref());
        status.is_some_and(|status| matches!(status.as_str(), "InHouse" | "DueOut" | "Walkin"))
    }
}
