//! Tests of a job's core through its public API.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod cancelling;
mod cluster;
mod deployment;
mod ending;
mod failing;
mod five_operators;
mod graphs;
mod harness;
mod properties;
mod restarting;
mod running;
mod spare;
mod splits;
mod views;
mod waiting;
mod world;
