//! The durable log of metadata commands on redb, behind `millrace-metadata-core`.
//!
//! A thread of its own takes the commands that wait, applies them to a copy of the state, writes those that changed it
//! to the log in one transaction, and only then publishes the copy and answers.
//!
//! Invariants:
//! - What is answered with success has been fsynced; what readers see has been fsynced.
//! - Opening gives the state that was acknowledged last, or fails and says why: no damage is skipped, and nothing is
//!   lost in silence. Commits have two phases, so that a damaged newest commit is an error and not a step back.
//! - After a failed write nothing more is written until the store is opened again: what the write left is unknown.
//! - The log is bounded: a snapshot of the state replaces it every so often, in one transaction.
//!
//! Deliberately absent: replication. A driver over a replicated log takes the place of [`MetadataService`]; the state
//! machine and [`MetadataHandle`] know nothing of the log.

mod error;
mod handle;
mod log;
mod options;
mod record;
mod service;
#[cfg(test)]
mod tests;

pub use error::MetadataError;
pub use handle::{MetadataHandle, StateWatch};
pub use options::MetadataOptions;
pub use service::MetadataService;
