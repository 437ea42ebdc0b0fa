//! The gateway's turn on its disk: what tells a box from its copy (see `engawa_protocol::trust`).
//!
//! The secret of a new turn is durable before it is shown, and stays the same until the cloud has answered. Where the
//! folder can't be written (a full disk, one that has become read-only) the last secret is shown again: the cloud then
//! keeps what it has, and the house goes on.

use crate::identity::write_whole;
use engawa_protocol::trust::Turn;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file, in the identity's folder: a line of words that says what it is, and a line with number, last and new secret.
pub(crate) const TURN_FILE: &str = "turn";
const HEAD: &str = "engawa turn v1: made anew with each session; a copy of it on another box is noticed";

/// One at a time in this process. What a link that has been ended still writes comes from a thread that can't be ended, and
/// may come after its successor's: so the disk is looked at before each write, and what is newer there stands.
static ONE: Mutex<()> = Mutex::new(());

/// The turns of one gateway.
#[derive(Debug)]
pub(crate) struct Turns {
    path: Option<PathBuf>,
    /// `mine` is 0 while no turn is being asked for.
    now: Mutex<Turn>,
}

impl Turns {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        let path = folder.map(|folder| folder.join(TURN_FILE));
        let now = path.as_deref().and_then(read).unwrap_or_default();
        Self { path, now: Mutex::new(now) }
    }

    /// The turn to show; `None` where this gateway has none and can't keep one.
    pub(crate) fn show(&self) -> Option<Turn> {
        let path = self.path.as_deref()?;
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = read(path) {
            *now = kept;
        }
        if now.mine != 0 {
            return Some(*now);
        }
        let turn = Turn { mine: rand::random::<u64>().max(1), ..*now };
        match write(path, &turn) {
            Ok(()) => {
                *now = turn;
                Some(turn)
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway's turn can't be kept; its last one is shown again");
                (now.last != 0).then_some(Turn { mine: now.last, ..*now })
            }
        }
    }

    /// The cloud has noted the turn that was shown, under this number.
    pub(crate) fn taken(&self, shown: Turn, number: u64) {
        let Some(path) = self.path.as_deref() else { return };
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = read(path) {
            *now = kept;
        }
        // An answer that comes late must not undo a newer turn, which the cloud may have noted by now.
        if now.mine != shown.mine && (now.mine != 0 || now.last != shown.mine) {
            return;
        }
        *now = Turn { number, last: shown.mine, mine: 0 };
        // What is on the disk still has this turn's secret as its new one, which the cloud knows as well.
        if let Err(error) = write(path, &now) {
            tracing::warn!(%error, "the gateway's turn can't be kept");
        }
    }
}

/// The turn of the identity in `folder`, as it would be shown next; `None` where it never had one.
pub(crate) fn kept(folder: &Path) -> Option<Turn> {
    read(&folder.join(TURN_FILE))
}

fn read(path: &Path) -> Option<Turn> {
    let text = fs::read_to_string(path).ok()?;
    let mut numbers = text.lines().nth(1)?.split(' ').map(|n| u64::from_str_radix(n, 16).ok());
    Some(Turn { number: numbers.next()??, last: numbers.next()??, mine: numbers.next()?? })
}

fn write(path: &Path, turn: &Turn) -> Result<(), crate::IdentityError> {
    let text = format!("{HEAD}\n{:x} {:x} {:x}\n", turn.number, turn.last, turn.mine);
    write_whole(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_kept_until_it_is_answered_and_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let turns = Turns::new(Some(dir.path()));
        let first = turns.show().unwrap();
        assert_eq!((first.number, first.last), (0, 0));
        assert_eq!(turns.show(), Some(first));
        assert_eq!(Turns::new(Some(dir.path())).show(), Some(first), "after a crash before the answer");
        turns.taken(first, 7);
        let again = Turns::new(Some(dir.path()));
        let second = again.show().unwrap();
        assert_eq!((second.number, second.last), (7, first.mine));
        assert_ne!(second.mine, first.mine);
    }

    #[test]
    fn a_late_answer_undoes_no_newer_turn() {
        let dir = tempfile::tempdir().unwrap();
        let turns = Turns::new(Some(dir.path()));
        let first = turns.show().unwrap();
        turns.taken(first, 1);
        // Before the next turn it is only the same once more.
        turns.taken(first, 2);
        let second = turns.show().unwrap();
        assert_eq!((second.number, second.last), (2, first.mine));
        turns.taken(first, 1);
        assert_eq!(turns.show(), Some(second));
        assert_eq!(Turns::new(Some(dir.path())).show(), Some(second), "on the disk");
        turns.taken(second, 3);
        turns.taken(first, 1);
        assert_eq!(turns.show().map(|third| (third.number, third.last)), Some((3, second.mine)));
    }

    #[test]
    fn what_an_ended_link_still_writes_undoes_no_turn_of_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let ended = Turns::new(Some(dir.path()));
        let first = ended.show().unwrap();
        // The successor begins before the answer to the first is written down, and has a turn of its own.
        let successor = Turns::new(Some(dir.path()));
        assert_eq!(successor.show(), Some(first));
        successor.taken(first, 1);
        let second = successor.show().unwrap();
        ended.taken(first, 1);
        assert_eq!(Turns::new(Some(dir.path())).show(), Some(second));
        // Nor does a turn that the ended one still makes take the place of the one that the cloud knows.
        assert_eq!(ended.show(), Some(second));
        successor.taken(second, 2);
        assert_eq!(ended.show().map(|third| (third.number, third.last)), Some((2, second.mine)));
    }

    #[test]
    fn a_folder_that_can_not_be_written_shows_the_last_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("identity");
        fs::create_dir(&folder).unwrap();
        let turns = Turns::new(Some(&folder));
        let first = turns.show().unwrap();
        turns.taken(first, 1);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(turns.show(), Some(Turn { number: 1, last: first.mine, mine: first.mine }));
        assert_eq!(Turns::new(Some(&folder)).show(), None);
        assert_eq!(Turns::new(None).show(), None);
    }
}
