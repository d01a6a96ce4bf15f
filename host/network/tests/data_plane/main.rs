//! The data plane over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod ends;
mod flow;
mod fuzz;
mod handshake;
mod protocol;
mod support;
