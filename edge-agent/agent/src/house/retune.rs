//! Settings that change while the house goes on.

use super::House;
use crate::config::Loaded;
use engawa_model::{ClimateDefaults, ListGuard, Property, RoomId, WakeSpec, settings::SettingValue};
use engawa_rules::InForce;
use jiff::SignedDuration;
use std::sync::PoisonError;

/// What can change without a restart. Everything else of the configuration stays as it was at the start.
pub(crate) struct Settings {
    in_force: InForce,
    wake_up: WakeSpec,
    list_guard: ListGuard,
    language: String,
    name: String,
    climate: ClimateDefaults,
    resync_every_s: u32,
    order_ttl_s: u32,
    values: Vec<(String, SettingValue)>,
    register_days: u32,
}

impl Settings {
    /// What of a checked configuration can change.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let config = &loaded.config;
        Self {
            in_force: loaded.in_force(),
            wake_up: config.wake_up.spec(),
            list_guard: config.list_guard,
            language: config.property.language.clone(),
            name: config.property.name.clone(),
            climate: config.climate.clone(),
            resync_every_s: config.property.resync_every_s,
            order_ttl_s: config.property.order_ttl_s,
            values: config.settings().map(|(name, value)| (name.to_owned(), value)).collect(),
            register_days: config.privacy.register_days,
        }
    }
}

impl House {
    /// Takes other settings. They hold from the next observation on, which is the house's next step.
    pub(super) fn retune(&mut self, property: &mut Property, settings: Settings) {
        let spec = property.spec();
        // Rooms and zone are those of the start, whatever the file says of them now.
        let rooms: Vec<RoomId> = spec.rooms.iter().map(|room| room.id.clone()).collect();
        let InForce { files, firewall, arrival_time } = &settings.in_force;
        let files: Vec<_> = files.iter().collect();
        let policy = crate::config::rules::policy(&files, &rooms, &spec.zone, *arrival_time, firewall);
        property.govern(policy);
        property.ring_with(settings.wake_up);
        property.guard_lists(settings.list_guard);
        property.speak(&settings.language);
        property.welcome_to(&settings.name);
        let values = settings.values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        property.retune(settings.climate, settings.resync_every_s, settings.order_ttl_s, values);
        self.register_retention = SignedDuration::from_hours(i64::from(settings.register_days) * 24);
        if let Some(recording) = &self.recording {
            recording.lock().unwrap_or_else(PoisonError::into_inner).now_under(settings.in_force);
        }
    }
}
