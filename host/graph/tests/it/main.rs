//! Tests of the graph crate through its public API.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod builder;
mod chaining;
mod code;
mod digest;
mod layout;
mod naming;
mod properties;
mod scaling;
mod slots;
mod validation;
