//! Cuts a failing day down.

use crate::flaw::Flaw;
use crate::play::{Fault, play};
use crate::script::Step;
use engawa_stage::seeds;

/// The fewest steps of `steps` that still fail, and how. `None` where the day does not fail.
pub fn shrink(steps: &[Step], flaw: Option<Flaw>) -> Option<(Vec<Step>, Fault)> {
    seeds::shrink(steps, |steps| play(steps, flaw).err())
}
