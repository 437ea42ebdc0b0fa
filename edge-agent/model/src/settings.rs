//! Settings that both ends may change: the house at the gateway, and whoever runs the fleet in the cloud, each also while
//! the line is cut.
//!
//! Each setting is a [`Register`]: what was written last at either end, and how far each end has been seen. A field of the
//! [table](FIELDS) has one writer, or two and a rule for what both wrote without knowing of each other; that is a
//! *conflict*, decided the same way at both ends and recorded with both values. Order is by cause where there is one, and by
//! a hybrid logical clock ([`Clock`]) where there is none: Kulkarni and others, "Logical Physical Clocks" (2014), with a
//! bound on how far ahead another end's clock is believed.
//!
//! Why here and not in a crate of the line: rules read settings, and the model imports nobody. The cloud takes the same
//! code, so that both ends decide alike.
//!
//! Never: I/O, a clock or randomness. Time is an argument.

mod clock;
mod field;
mod register;
mod replica;

pub use clock::{Ahead, Clock, MOST_AHEAD, Stamp};
pub(crate) use field::time;
pub use field::{FIELDS, Field, Kind, Rule, Scope, SettingValue, Writer, field};
pub use register::{Conflict, MOST_CONFLICTS, Node, Register, Seen, Unsound, Write};
pub use replica::{Note, Taken, WriteError, receive, write};
