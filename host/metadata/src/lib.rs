//! The metadata of a cluster: commands that a group of JobManagers agrees on by Raft, each with its log in a redb file,
//! behind `millrace-metadata-core`.
//!
//! [`MetadataService`] is one member. It gathers the commands that wait into one entry of the log, has a quorum write
//! it, carries it out, and only then answers. A group of one is the same code.
//!
//! Invariants:
//! - What is answered with success is on the disks of a quorum; what readers see is decided.
//! - Opening gives a state that goes on to what was acknowledged last, or fails and says why: no damage is skipped, and
//!   nothing is lost in silence. Commits have two phases, so that a damaged newest commit is an error and not a step
//!   back.
//! - After a failed write nothing more is written, decided or answered: what the write left is unknown.
//!   [`MetadataService::fatal`] has the cause, and the process ends with it.
//! - A leader stops being one in [`MetadataHandle::leadership`], and its [`Lease`] ends, before a successor can act.
//! - What is proposed in an epoch is refused once a later one has begun.
//! - Log, queue, messages and snapshots are bounded. Entries leave the log only when a snapshot on disk has them.
//!
//! Raft's types appear in no public item: what it is built on is this crate's affair.
#![allow(clippy::result_large_err, reason = "openraft's errors are as large as they are")]

mod acks;
mod batcher;
mod disk;
mod error;
mod group;
mod handle;
mod lead;
mod leadership;
mod log_storage;
mod machine;
mod membership;
mod options;
mod peers;
mod record;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod types;

pub use error::MetadataError;
pub use handle::{MetadataHandle, StateWatch};
pub use leadership::{Leadership, LeadershipWatch, Lease, Tenure};
pub use membership::{GroupStatus, MemberRole, MemberStatus};
pub use options::{Formation, MEMBERS_MAX, MetadataOptions, Timing};
pub use peers::{PEER_PATH, PeerEndpoint};
pub use service::MetadataService;
pub use types::{MemberAddresses, MemberId};
