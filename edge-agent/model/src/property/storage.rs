//! The room that the house has to write in: an alert while it is short.

use super::alerts::alert_name;
use super::{Applied, Property};
use crate::{AlertKind, StoragePart, Timestamp};

impl Property {
    /// The state of a part of the storage was told.
    pub(super) fn storage_told(
        &mut self,
        at: Timestamp,
        part: StoragePart,
        trouble: Option<&str>,
        out: &mut Applied,
    ) {
        let known = self.alerts.get(&alert_name(AlertKind::Storage, part.word()));
        match trouble {
            Some(trouble) if known.is_some_and(|alert| alert.active && alert.text == trouble) => {}
            Some(trouble) => self.raise(at, AlertKind::Storage, part.word(), trouble, out),
            None => self.clear(AlertKind::Storage, part.word(), out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::House;
    use crate::{Fact, Observation, StoragePart, Timestamp};

    #[test]
    fn an_alert_lasts_as_long_as_the_shortage_and_is_told_again_when_it_changes() {
        let mut house = House::new().property;
        let mut told = |trouble: Option<&str>| {
            let fact = Fact::Storage { part: StoragePart::Disk, trouble: trouble.map(str::to_owned) };
            house.apply(&Observation::new(Timestamp::UNIX_EPOCH, fact)).changes.len()
        };
        assert_eq!(told(None), 0);
        assert_eq!((told(Some("full")), told(Some("full")), told(Some("worse"))), (1, 0, 1));
        assert_eq!((told(None), told(None)), (1, 0));
        assert_eq!(house.alerts()["storage:disk"].count, 2);
    }
}
