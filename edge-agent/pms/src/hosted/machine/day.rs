//! The business day: hosted systems tell no night audit, so it turns by the clock of the property.

use super::Machine;
use engawa_model::{Date, Fact, Timestamp};
use jiff::civil::Time;

impl Machine {
    pub(super) fn business_day(&self, now: Timestamp) -> Date {
        let local = self.pace.zone.to_datetime(now);
        let before = local.time() < self.pace.day_ends;
        let date = local.date();
        let turned = self.pace.day_ends >= Time::constant(12, 0, 0, 0);
        match (turned, before) {
            // It ends in the morning: until then it is the day before.
            (false, true) => date.yesterday().unwrap_or(date),
            // It ends in the evening: from then on it is the day after.
            (true, false) => date.tomorrow().unwrap_or(date),
            _ => date,
        }
    }

    pub(super) fn turn_day(&mut self, now: Timestamp) {
        let date = self.business_day(now);
        // Never back: an hour that comes twice would end the day twice.
        if !self.up || self.day.is_some_and(|day| date <= day) {
            return;
        }
        self.day = Some(date);
        // Told as the end of a night audit at midnight of the day that begins: hosted systems have no clock of their own here.
        self.observe(Fact::NightAuditDone { date: Some(date), hour: Some(0) });
    }

    /// When the business day ends.
    pub(super) fn day_turns(&self) -> Option<Timestamp> {
        let day = self.day?;
        let evening = self.pace.day_ends >= Time::constant(12, 0, 0, 0);
        let date = if evening { day } else { day.tomorrow().ok()? };
        let at = date.to_datetime(self.pace.day_ends);
        self.pace.zone.to_ambiguous_timestamp(at).compatible().ok()
    }
}
