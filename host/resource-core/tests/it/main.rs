//! Tests of the ResourceManager's core through its public API.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod grants;
mod harness;
mod heartbeats;
mod membership;
mod placement;
mod properties;
mod worker_properties;
mod workers;
