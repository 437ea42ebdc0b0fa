//! The field bench: what the agent costs and how fast it is beside other programs that do the same work.
//!
//! Why a crate of its own: the field of simulated devices (`engawa-fieldsim`) and the subscriber (`engawa-fieldsub`)
//! know no program that they measure. The devices count what is asked of them; now and then one takes a number that is
//! nowhere else in the house, a *marker*, and the subscriber looks for that number in whatever arrives. So every
//! program is measured by the same two, in whatever format it speaks.
//!
//! Terms: a *peer* is a program that is measured, the agent too; a *load* is how many devices it must poll; a device
//! is *healthy* unless the load makes it dead, flapping or a source of garbage.
//!
//! Never: a dependency on a crate of Engawa; sockets outside loopback; a run without an end.

pub mod broker;
pub mod check_in;
pub mod clock;
pub mod cost;
pub mod floor;
pub mod idle;
pub mod listen;
pub mod logs;
pub mod peers;
pub mod report;
pub mod run;
pub mod sim;
pub mod spawn;
