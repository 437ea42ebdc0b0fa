//! A house for tests and benches. Not part of the agent's own work.

use crate::{ClimateDefaults, Currency, DeviceSpec, PropertyId, PropertySpec, RoomId, RoomSpec, Season};

/// The climate of a house in winter: 22 °C for guests, 17 °C without.
pub fn climate() -> ClimateDefaults {
    ClimateDefaults {
        comfort_c: 22.0,
        eco_heating_c: 17.0,
        eco_cooling_c: 28.0,
        season: Season::Heating,
        guest_hold_s: 7200,
    }
}

/// A house called `test` in UTC, that charges in EUR, with these rooms and no devices.
///
/// # Panics
/// Never: EUR is a currency.
#[allow(clippy::expect_used, reason = "EUR is a currency")]
pub fn house<'a>(rooms: impl IntoIterator<Item = &'a str>) -> PropertySpec {
    PropertySpec {
        id: PropertyId::from("test"),
        zone: "UTC".into(),
        currency: Currency::new("EUR").expect("EUR is a currency"),
        climate: climate(),
        rooms: rooms.into_iter().map(|id| RoomSpec { id: RoomId::from(id) }).collect(),
        devices: Vec::<DeviceSpec>::new(),
        resync_every_s: 3600,
        order_ttl_s: 600,
    }
}
