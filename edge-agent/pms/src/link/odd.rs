//! Fields that hold what they are not for, as PMS that were set up badly send them: counted, and told once.

use super::naming::Naming;
use crate::codec::Record;
use crate::language;
use std::collections::VecDeque;

/// Why a question about a stay can't be asked whose number at the PMS is not known.
pub(super) const LOST: &str = "the PMS names this stay by a text that is no number, which the gateway keeps in memory alone and \
    has not heard since it started: `engawa pms resync` brings it back";

/// Counted, warning.
const LANGUAGE: (&str, &str) = (
    "odd-language",
    "the PMS sends something in GL that is no language, such as a name: it is dropped. Look at the field's set-up in the PMS",
);
const RESERVATION: (&str, &str) = (
    "odd-reservation-number",
    "the PMS sends something in G# that does not look like a reservation number, such as a name: a keyed hash stands for it. \
     Look at the field's set-up in the PMS; where such numbers are right, say so in `reservation_numbers`",
);

/// What is told of odd fields: as many warnings as there are kinds of them.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    told: Vec<&'static str>,
    waiting: VecDeque<&'static str>,
}

impl Oddities {
    /// The next warning.
    pub(super) fn next(&mut self) -> Option<&'static str> {
        self.waiting.pop_front()
    }

    /// What is odd about a record of the PMS, as it is counted.
    pub(super) fn of(&mut self, record: &Record, naming: &Naming) -> Vec<&'static str> {
        let mut odd = Vec::new();
        let language = record.filled("GL").filter(|code| !code.trim().is_empty());
        if language.is_some_and(|code| language::of_fias(code).is_none()) {
            odd.push(LANGUAGE);
        }
        if naming.is_odd(record) {
            odd.push(RESERVATION);
        }
        for &(name, warning) in &odd {
            if !self.told.contains(&name) {
                self.told.push(name);
                self.waiting.push_back(warning);
            }
        }
        odd.into_iter().map(|(name, _)| name).collect()
    }
}
