//! What the end-to-end tests share: a real cluster in a process of its own, the bundles that `just guests` builds, and
//! rows of files.
//!
//! A test starts its own cluster on a free port with its own data folder; when the test ends, the process is killed.

pub mod chaos;
pub mod checkpoints;
pub mod cluster;
pub mod deployment;
pub mod events;
pub mod expected;
pub mod exposition;
pub mod fuzz_targets;
pub mod jobs;
pub mod metrics;
pub mod network;
pub mod ports;
pub mod process;
pub mod processes;
pub mod query;
pub mod repository;
pub mod rows;
pub mod s3_server;
pub mod wait;
pub mod workers;
