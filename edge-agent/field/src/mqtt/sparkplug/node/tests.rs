//! The machine, as tables of what comes and what must follow.
