//! What the state machine wants done by its shell.

use engawa_model::Fact;

/// One thing to do, in order.
#[allow(clippy::large_enum_variant, reason = "the queue holds one input's worth and is drained at once")]
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    /// Write these bytes to the PMS.
    Send(Vec<u8>),
    /// Tell the house.
    Observe(Fact),
    /// Close the connection, then connect again after a pause.
    Close,
}
