//! The business date, and the night audit that turns it.

use super::{Applied, Entity, Property};
use crate::ids::LinkId;
use crate::{Change, Date, Timestamp};

/// Night audits whose beginning is remembered.
const REMEMBERED: usize = 7;

impl Property {
    pub(super) fn night_audit_begun(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        if !self.meta.of(link).night_audit {
            if self.meta.audits.len() >= REMEMBERED {
                self.meta.audits.remove(0);
            }
            self.meta.audits.push(at);
            self.meta.of_mut(link).night_audit = true;
            out.touched.insert(Entity::Meta);
            out.changes.push(Change::NightAudit { running: true, link: self.pms.in_rows(link) });
        }
    }

    pub(super) fn night_audit_done(
        &mut self,
        at: Timestamp,
        link: &LinkId,
        date: Option<Date>,
        hour: Option<u8>,
        out: &mut Applied,
    ) {
        if self.meta.of(link).night_audit {
            self.meta.of_mut(link).night_audit = false;
            out.changes.push(Change::NightAudit { running: false, link: self.pms.in_rows(link) });
        }
        out.touched.insert(Entity::Meta);
        self.postings_after_audit(at, link, out);
        if !self.pms.is_default(link) {
            // The house has one business date, which is the first PMS's: it would turn twice in a night.
            return;
        }
        // NE carries the PMS's clock, not the business date. An audit that ends before noon has closed the
        // day before; one that ends in the evening has closed the day itself.
        let next =
            date.and_then(|date| if hour.unwrap_or(0) < 12 { Some(date) } else { date.tomorrow().ok() });
        match next.or_else(|| self.meta.business_date.and_then(|date| date.tomorrow().ok())) {
            Some(date) => self.turn_business_date(date, out),
            None => self.count("night-audit-without-date"),
        }
    }

    pub(super) fn turn_business_date(&mut self, date: Date, out: &mut Applied) {
        if self.meta.business_date != Some(date) {
            self.meta.business_date = Some(date);
            out.touched.insert(Entity::Meta);
            out.changes.push(Change::BusinessDate { date });
        }
    }
}
