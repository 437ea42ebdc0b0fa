//! Starts the agent from its active slot, and goes back by itself when a new version is unwell.

fn main() {}
