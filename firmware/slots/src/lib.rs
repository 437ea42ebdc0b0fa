//! The two slots of the application: which is started, which is on trial, which way back there is. Pure but for its files.
