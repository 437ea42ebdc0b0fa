//! Cuts a failing history down (delta debugging after Zeller and Hildebrandt).

use crate::flaw::Flaw;
use crate::script::Step;
use crate::world::{Fault, play};

/// The fewest steps of `steps` that still fail, and how. `None` where the history does not fail.
pub fn shrink(steps: &[Step], flaw: Option<Flaw>) -> Option<(Vec<Step>, Fault)> {
    let mut fault = play(steps, flaw).err()?;
    let mut least = steps.to_vec();
    let mut piece = least.len().div_ceil(2).max(1);
    loop {
        let (mut from, mut smaller) = (0, false);
        while from < least.len() {
            let to = (from + piece).min(least.len());
            let mut without = least[..from].to_vec();
            without.extend_from_slice(&least[to..]);
            match play(&without, flaw) {
                Err(still) => (least, fault, smaller) = (without, still, true),
                Ok(_) => from = to,
            }
        }
        if piece == 1 && !smaller {
            return Some((least, fault));
        }
        piece = piece.div_ceil(2).max(1);
    }
}
