//! What a gateway is trusted for, and the ways that it goes, with the real programs: keys in a TPM, certificates and fences
//! where UDP is blocked, two ways out of the house. One program, so that they wait for their certificates side by side.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod on_tcp;
mod stand;
mod tpm;
mod uplink;
