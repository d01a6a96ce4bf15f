//! The state machine, by stories and by random histories.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "core/commands.rs"]
mod commands;
#[path = "core/properties.rs"]
mod properties;
#[path = "core/support.rs"]
mod support;
