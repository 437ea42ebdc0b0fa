//! Cuts a failing day down (delta debugging after Zeller and Hildebrandt): ever smaller pieces are left out as long as
//! the day still fails.

use crate::flaw::Flaw;
use crate::play::{Fault, play};
use crate::script::Step;

/// The fewest steps of `steps` that still fail, and how. `None` where the day does not fail.
pub fn shrink(steps: &[Step], flaw: Option<Flaw>) -> Option<(Vec<Step>, Fault)> {
    let mut fault = play(steps, flaw).err()?;
    let mut least = steps.to_vec();
    let mut piece = least.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut smaller = false;
        while from < least.len() {
            let to = (from + piece).min(least.len());
            let mut without = least[..from].to_vec();
            without.extend_from_slice(&least[to..]);
            match play(&without, flaw) {
                Err(still) => {
                    (least, fault, smaller) = (without, still, true);
                }
                Ok(_) => from = to,
            }
        }
        if piece == 1 && !smaller {
            return Some((least, fault));
        }
        piece = piece.div_ceil(2).max(1);
    }
}
