//! End-to-end tests against real processes, and tests of the repository itself. One binary: linking is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod adaptive;
mod application_mode;
mod async_lookup;
mod bad_bundles;
mod bad_guests;
mod bad_requests;
mod chaos;
mod checkpoint_rest;
mod damaged_checkpoints;
mod drained;
mod exactly_once;
mod examples;
mod fuzz_targets;
mod kubernetes;
mod larger_than_memory;
mod layers;
mod lifecycle;
mod local_state;
mod native;
mod nexmark;
mod processes;
mod recovery;
mod rest_shapes;
mod savepoints;
mod slow_consumer;
mod stated_graphs;
mod style;
mod survival;
mod systemd;
mod takeover;
mod tools;
mod traces;
mod two_outputs;
mod upgrades;
mod wire_fuzz;
