//! The way to the cloud, without I/O: frames, lanes, cursors, and both ends' session state machines.
//!
//! How it goes: the edge says [`Hello`](frame::Hello) with its journal's epoch and heads; the cloud welcomes it with
//! the marks it holds. Then each lane ships its rows from the mark on, in order, in compressed batches; the cloud
//! stores a batch and its mark in one transaction and acknowledges the mark. Rows that are gone for good are told as a
//! gap, which is stored like rows. Commands come down the same way, with numbers of their own. Delivery is at least
//! once; the mark makes the effect exactly once.
//!
//! The machines: [`edge::EdgeMachine`] and [`cloud::CloudMachine`] are told what has happened (a frame, a store's answer,
//! the time) and are asked by `poll` what to do. Who drives them owns sockets, stores and clock.
//!
//! Back-pressure: the edge keeps bulky lanes to one bandwidth-delay product ([`flow`]); the cloud takes from a stream only
//! what it has room for, and says by credits how much more may come.
//!
//! Terms: *lane*, *row*, *mark*, *epoch*: see [`ports`]. Times are a monotonic clock's, from any beginning.
//!
//! Never: sockets, files, the clock, randomness, tokio.

pub mod backoff;
pub mod batch;
pub mod bucket;
pub mod cloud;
pub mod dictionary;
pub mod edge;
pub mod flow;
pub mod frame;
pub mod line;
pub mod live;
pub mod liveness;
pub mod ports;
pub mod reconcile;
pub mod trust;
pub mod update;
