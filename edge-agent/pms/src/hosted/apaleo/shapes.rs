//! The answers of Apaleo, as far as they are of use (api.apaleo.com/swagger: identity, inventory, booking, finance).

use engawa_model::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) access_token: String,
    pub(super) expires_in: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Property {
    pub(super) time_zone: String,
    pub(super) currency_code: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Units {
    pub(super) units: Vec<Unit>,
}

#[derive(Deserialize)]
pub(super) struct Unit {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Reservations {
    pub(super) reservations: Vec<Reservation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservation {
    pub(super) id: String,
    /// `InHouse` is in the house.
    pub(super) status: String,
    pub(super) unit: Option<Unit>,
    pub(super) arrival: Option<Timestamp>,
    pub(super) departure: Option<Timestamp>,
    pub(super) primary_guest: Option<Guest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Guest {
    pub(super) title: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) preferred_language: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Folios {
    pub(super) folios: Vec<Folio>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Folio {
    pub(super) id: String,
    #[serde(default)]
    pub(super) is_main_folio: bool,
    #[serde(default)]
    pub(super) charges: Vec<Charge>,
}

#[derive(Deserialize)]
pub(super) struct Charge {
    pub(super) receipt: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Charged {
    #[allow(dead_code, reason = "that it is there says that the charge is")]
    pub(super) id: String,
}
