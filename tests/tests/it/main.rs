//! End-to-end tests against real processes, and tests of the repository itself. One binary: linking is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod adaptive;
mod application_mode;
mod bad_bundles;
mod bad_guests;
mod bad_requests;
mod chaos;
mod checkpoint_rest;
mod damaged_checkpoints;
mod exactly_once;
mod examples;
mod fuzz_targets;
mod layers;
mod lifecycle;
mod nexmark;
mod object_storage;
mod processes;
mod rest_shapes;
mod savepoints;
mod slow_consumer;
mod stated_graphs;
mod style;
mod survival;
mod tools;
mod traces;
mod wire_fuzz;
