//! The replicated state machine of bundles and jobs: what the cluster has decided, and nothing else.
//!
//! Invariants:
//! - Pure: no IO, no clock, no random numbers. The same commands in the same order give the same state everywhere, so
//!   a log of commands is the state.
//! - A rejected command changes nothing; a command whose [`Applied::changed`] is false changed nothing either.
//! - Everything belongs to a tenant. No command of one tenant reads or changes what another one has.
//! - A blob that a bundle, an unfinished job or a running upload needs is never condemned, and a condemned blob is
//!   never needed again before its deletion was reported: blobs are written before they are named here, and deleted
//!   after they are condemned here.
//! - Checkpoint ids are given out once, and a retained checkpoint is forgotten only by a decision: its files are deleted
//!   after that. Both are refused to a leader of an earlier epoch.
//! - A command that is proposed in an epoch is refused once a later epoch has begun.
//! - The status of a job that has ended is final.
//! - Every collection is bounded by a name in [`limits`].
//!
//! Deliberately absent: anything of Raft, of a log or of a disk. `millrace-metadata` drives this machine.

mod apply;
mod blobs;
mod check;
mod command;
pub mod limits;
mod record;
mod rejection;
mod state;

pub use command::{Applied, Command, Response, UploadId};
pub use record::{BundleRecord, CheckpointPointer, JobCode, JobRecord, JobRetention, JobSubmission};
pub use rejection::Rejection;
pub use state::MetadataState;
