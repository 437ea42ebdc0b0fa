//! Cohorts of rollouts that run, read once: a plan never changes, and may name each gateway of a large fleet.

use super::plan::Cohort;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Cohorts that are kept; where there are more, all are read again.
const KEPT: usize = 16;

/// Those of one database.
#[derive(Debug, Default)]
pub struct Cohorts(Mutex<BTreeMap<String, Arc<Cohort>>>);

impl Cohorts {
    /// That of this rollout, if it was read before.
    pub fn get(&self, rollout: &str) -> Option<Arc<Cohort>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(rollout).cloned()
    }

    /// Keeps that of this rollout.
    pub fn keep(&self, rollout: &str, cohort: Cohort) -> Arc<Cohort> {
        let cohort = Arc::new(cohort);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(rollout.to_owned(), Arc::clone(&cohort));
        cohort
    }
}
