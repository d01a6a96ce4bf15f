//! Bundles, hostile ones among them, the store of blobs, and the files of checkpoints.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "storage/blobs.rs"]
mod blobs;
#[path = "storage/bundles.rs"]
mod bundles;
#[path = "storage/checkpoints.rs"]
mod checkpoints;
#[path = "storage/conformance.rs"]
mod conformance;
#[path = "storage/hostile.rs"]
mod hostile;
#[path = "storage/manifests.rs"]
mod manifests;
#[path = "../../../tests/src/s3_server.rs"]
mod s3_server;
#[path = "storage/support.rs"]
mod support;
