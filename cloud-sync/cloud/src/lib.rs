//! The cloud end: takes the gateways' journals in, exactly once, and hands commands out.
//!
//! A library beside the `engawa-cloud` binary, so that tests and benches can drive its pieces without a process.
//!
//! Never: personal data. What gateways send names stays by reservation number.

pub mod bundles;
pub mod commands;
pub mod end;
pub mod erasure;
pub mod house_settings;
pub mod live;
pub mod postgres;
pub mod releases;
pub mod rollout;
pub mod store;
pub mod trust;
