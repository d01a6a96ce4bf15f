//! Tests of a job's core through its public API.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod adopting;
mod alignment;
mod cancelling;
mod checkpoint_properties;
mod checkpoints;
mod cluster;
mod deployment;
mod ending;
mod failing;
mod five_operators;
mod graphs;
mod harness;
mod properties;
mod rescaling;
mod restarting;
mod restoring;
mod running;
mod savepoints;
mod scaling;
mod snapshots;
mod spare;
mod splits;
mod upgrades;
mod views;
mod waiting;
mod world;
