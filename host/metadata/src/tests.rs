//! The store, on good disks and on bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cluster;
mod crash;
mod damage;
mod disk;
mod group;
mod hazards;
mod linearizable;
mod reopen;
mod sockets;
mod suite;

use std::time::Duration;

use millrace_metadata_core::{BundleRecord, Command, JobSubmission, MetadataState, UploadId};
use millrace_types::{BlobKey, BlobKind, BundleId, Digest, JobId, JobStatus, TenantId, Timestamp};

use crate::peers::GrpcTransport;
use crate::store::Store;
use crate::{MetadataError, MetadataHandle, MetadataOptions, MetadataService, Timing};

/// A small log, so that a few commands show all of it, and a member that elects itself at once.
fn options(path: impl Into<std::path::PathBuf>) -> MetadataOptions {
    let timing = Timing {
        heartbeat_interval: Duration::from_millis(4),
        election_timeout_min: Duration::from_millis(20),
        election_timeout_max: Duration::from_millis(40),
    };
    MetadataOptions { snapshot_entries: 5, timing, ..MetadataOptions::new(path) }
}

/// A history of accepted commands in which bundles and jobs come and go.
fn history() -> Vec<Command> {
    let mut commands = vec![Command::BeginEpoch];
    for number in 1..6u8 {
        let tenant = TenantId::new(&format!("tenant-{}", number % 2)).unwrap();
        let digest = Digest::from_bytes([number; 32]);
        let bundle = BundleId::new(digest, "app.mrb");
        let blob = BlobKey { tenant: tenant.clone(), kind: BlobKind::Bundle, digest };
        let job = JobId::from_bytes([number; 16]);
        let at = Timestamp(u64::from(number));
        let record = BundleRecord {
            entry: None,
            id: bundle.clone(),
            size_bytes: 1,
            uploaded_at: at,
            name: "app".to_owned(),
            version: "1".to_owned(),
            components: Default::default(),
        };
        let submission = JobSubmission {
            id: job,
            name: "job".to_owned(),
            bundle: bundle.clone(),
            args: vec!["--input".to_owned()],
            default_parallelism: 1,
            settings: Default::default(),
            graph_digest: digest,
            // Larger than a page, so that the tree grows.
            stream_graph: vec![number; 5_000].into(),
            job_graph: vec![number; 100].into(),
            submitted_at: at,
            submitted_in: millrace_types::LeaderEpoch(1),
        };
        let upload = UploadId(u64::from(number));
        commands.push(Command::BeginUpload { tenant: tenant.clone(), blobs: vec![blob.clone()] });
        commands.push(Command::AddBundle { tenant: tenant.clone(), upload, bundle: record });
        commands.push(Command::AddJob { tenant: tenant.clone(), job: Box::new(submission) });
        if number.is_multiple_of(2) {
            commands.push(Command::RemoveBundle { tenant: tenant.clone(), bundle });
            let status = JobStatus::Finished;
            commands.push(Command::SetJobStatus { tenant, job, status, at, failure: None });
            commands.push(Command::BlobsDeleted { blobs: vec![blob] });
        }
    }
    commands.push(Command::ReserveIds { count: 7 });
    commands
}

/// The state that a history leads to.
fn state_of(commands: &[Command]) -> MetadataState {
    let mut state = MetadataState::default();
    for command in commands {
        let applied = state.apply(command.clone()).unwrap();
        assert!(applied.changed, "{command:?}");
    }
    state
}

/// Opens what is on a disk in memory.
fn start_on(disk: &disk::Disk) -> Result<(MetadataService, MetadataHandle), MetadataError> {
    let options = options("disk");
    let transport = std::sync::Arc::new(GrpcTransport::default());
    MetadataService::start(&options, transport, || Store::open_on(disk.clone(), &options))
}

fn open(options: &MetadataOptions) -> Result<(MetadataService, MetadataHandle), MetadataError> {
    MetadataService::open(options)
}

fn assert_state(handle: &MetadataHandle, expected: &MetadataState) {
    assert_eq!(*handle.state(), *expected);
}

/// Waits for a condition; the test's own time limit is its bound.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it did not come to pass within 30 s");
}
