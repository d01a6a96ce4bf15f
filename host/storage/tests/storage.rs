//! Bundles, hostile ones among them, and the store of blobs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "storage/blobs.rs"]
mod blobs;
#[path = "storage/bundles.rs"]
mod bundles;
#[path = "storage/hostile.rs"]
mod hostile;
#[path = "storage/manifests.rs"]
mod manifests;
#[path = "storage/support.rs"]
mod support;
