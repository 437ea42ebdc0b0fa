//! What is due when, over all devices of a bus: earliest deadline first, writes before polls.
//!
//! Why not a look through the devices: a gateway with fifty units behind it, or a line of two hundred, is asked many
//! times a second, and each look would go over all of them.
//!
//! Never: the clock. Times are on the bus's own clock and come in.

use std::collections::BTreeSet;
use std::time::Duration;

/// One entry for each device and kind at most.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    writes: BTreeSet<(Duration, usize)>,
    polls: BTreeSet<(Duration, usize)>,
    /// What each device stands under now.
    entered: Vec<(Option<Duration>, Option<Duration>)>,
}

impl Agenda {
    pub(super) fn new(devices: usize) -> Self {
        Self { entered: vec![(None, None); devices], ..Self::default() }
    }

    /// Device `n` has a write due at `write` and a poll at `poll`; nothing where it is being asked.
    pub(super) fn enter(&mut self, n: usize, write: Option<Duration>, poll: Option<Duration>) {
        let Some(entered) = self.entered.get_mut(n) else { return };
        if *entered == (write, poll) {
            return;
        }
        for (set, old, new) in
            [(&mut self.writes, &mut entered.0, write), (&mut self.polls, &mut entered.1, poll)]
        {
            if let Some(old) = old.take() {
                set.remove(&(old, n));
            }
            if let Some(new) = new {
                set.insert((new, n));
                *old = Some(new);
            }
        }
    }

    /// The device that comes first among those due at `now`, and whether it is for a write.
    pub(super) fn due(&self, now: Duration) -> Option<(usize, bool)> {
        let first =
            |set: &BTreeSet<(Duration, usize)>| set.first().filter(|(due, _)| *due <= now).map(|(_, n)| *n);
        first(&self.writes).map(|n| (n, true)).or_else(|| first(&self.polls).map(|n| (n, false)))
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Duration> {
        [self.writes.first(), self.polls.first()].into_iter().flatten().map(|(due, _)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_earliest_deadline_first_and_writes_before_polls() {
        let mut agenda = Agenda::new(3);
        agenda.enter(0, None, Some(s(5)));
        agenda.enter(1, None, Some(s(3)));
        agenda.enter(2, Some(s(6)), Some(s(9)));
        assert_eq!((agenda.due(s(2)), agenda.next()), (None, Some(s(3))));
        assert_eq!(agenda.due(s(5)), Some((1, false)));
        assert_eq!(agenda.due(s(6)), Some((2, true)), "a write that is due goes ahead of older polls");
        agenda.enter(2, None, None);
        agenda.enter(1, None, Some(s(8)));
        assert_eq!(agenda.due(s(6)), Some((0, false)), "what stood there before is forgotten");
        agenda.enter(9, None, Some(s(0)));
        assert_eq!(agenda.due(s(1)), None, "no such device");
    }
}
