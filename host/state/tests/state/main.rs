//! The backends, their segments and what becomes of them, against models.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;
mod damage;
mod model;
mod operator_state;
mod refusals;
mod snapshots;
