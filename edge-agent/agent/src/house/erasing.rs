//! Guests' data erased in the house's transactions, and the end of the audit trail told.

use super::{Effects, House};
use engawa_model::{Change, Erasure, Fact, Observation, Property, Timestamp};
use engawa_store::vault::Target;
use engawa_store::{Batch, StoreError};

impl House {
    /// Erases what `target` names, in this transaction. What goes by its time leaves a row in the audit trail here;
    /// whoever asked has left theirs.
    pub(super) fn erase(
        &mut self,
        property: &mut Property,
        target: &Target,
        now: Timestamp,
        batch: &mut Batch,
        effects: &mut Effects,
    ) -> Result<Vec<Erasure>, StoreError> {
        let erasures = self.store.plan_erasure(target, now)?;
        if let (Target::LeftBefore(..), false) = (target, erasures.is_empty()) {
            let what = format!("{} records of guests erased", erasures.len());
            self.store.audit().append(now, "engawa", "their time is over", &what)?;
        }
        for erasure in &erasures {
            let fact = Fact::GuestErased { erasure: erasure.clone() };
            self.apply(property, &Observation::new(now, fact), batch, effects);
        }
        batch.erased.extend(erasures.iter().cloned());
        Ok(erasures)
    }

    pub(super) fn tell_audit(&mut self, now: Timestamp, batch: &mut Batch) -> Result<(), StoreError> {
        let (head, told) = (self.store.audit().head()?, self.store.audit_told()?);
        if let Some(told) = told.as_ref().filter(|told| told.rows > head.rows) {
            tracing::error!(
                ends = head.rows,
                told = told.rows,
                "the audit trail of guests' data was cut: run `engawa guest audit --verify`"
            );
            return Ok(());
        }
        if head.rows > 0 && told.as_ref() != Some(&head) {
            batch.changes.push((now, Change::AuditHead { rows: head.rows, hash: head.hash.clone() }));
            batch.audit = Some(head);
        }
        Ok(())
    }
}
