//! The tests of one subtask's core: commands by hand, then properties over random chains, channels and timers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod aligner;
mod fixture;
mod progress;
mod progress_properties;
mod splits;
mod timers;
mod valve;
