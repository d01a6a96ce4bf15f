//! Tests of the SDK from outside, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod args;
mod data;
mod graph;
mod operators;
mod own_triggers;
mod pipelines;
mod state_kinds;
mod state_model;
mod subtask_state;
mod vectors;
mod watermarks;
mod window_joins;
mod window_model;
mod windows;
