//! Short names for the things that the tests talk about.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_metadata_core::{
    Applied, BundleRecord, CheckpointPointer, Command, JobCode, JobSubmission, MetadataState, Rejection, Response,
    UploadId,
};
use millrace_types::{
    BlobKey, BlobKind, BundleId, CheckpointId, Digest, JobId, JobStatus, SnapshotKind, TenantId, Timestamp,
};

pub fn tenant(number: u8) -> TenantId {
    TenantId::new(&format!("tenant-{number}")).unwrap()
}

pub fn digest(number: u32) -> Digest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

pub fn blob(tenant: &TenantId, kind: BlobKind, number: u32) -> BlobKey {
    BlobKey { tenant: tenant.clone(), kind, digest: digest(number) }
}

pub fn bundle(number: u32, components: &[u32]) -> BundleRecord {
    BundleRecord {
        entry: None,
        id: BundleId::new(digest(number), "app.mrb"),
        size_bytes: 10,
        uploaded_at: Timestamp(1),
        name: "app".to_owned(),
        version: "0.1.0".to_owned(),
        components: components.iter().map(|number| (format!("c{number}"), digest(*number))).collect(),
    }
}

/// The blobs of [`bundle`].
pub fn blobs(tenant: &TenantId, number: u32, components: &[u32]) -> Vec<BlobKey> {
    let components = components.iter().map(|number| blob(tenant, BlobKind::Component, *number));
    std::iter::once(blob(tenant, BlobKind::Bundle, number)).chain(components).collect()
}

pub fn job_id(number: u32) -> JobId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    JobId::from_bytes(bytes)
}

pub fn submission(job: u32, bundle: u32) -> JobSubmission {
    JobSubmission {
        id: job_id(job),
        name: "job".to_owned(),
        bundle: self::bundle(bundle, &[]).id,
        args: vec!["--input".to_owned()],
        default_parallelism: 2,
        settings: BTreeMap::new(),
        graph_digest: digest(0),
        stream_graph: Bytes::from_static(b"stream"),
        job_graph: Bytes::from_static(b"job"),
        submitted_at: Timestamp(3),
        submitted_in: millrace_types::LeaderEpoch(1),
    }
}

/// Applies a command that has to be accepted.
pub fn done(state: &mut MetadataState, command: Command) -> Applied {
    let applied = state.apply(command).unwrap();
    state.check().unwrap();
    applied
}

pub fn begin_upload(state: &mut MetadataState, tenant: &TenantId, blobs: Vec<BlobKey>) -> Result<UploadId, Rejection> {
    match state.apply(Command::BeginUpload { tenant: tenant.clone(), blobs })?.response {
        Response::Upload(upload) => Ok(upload),
        other => panic!("{other:?}"),
    }
}

pub fn add_bundle(state: &mut MetadataState, tenant: &TenantId, number: u32, components: &[u32]) -> Applied {
    let upload = begin_upload(state, tenant, blobs(tenant, number, components)).unwrap();
    let bundle = bundle(number, components);
    state.apply(Command::AddBundle { tenant: tenant.clone(), upload, bundle }).unwrap()
}

pub fn status_command(tenant: &TenantId, job: u32, status: JobStatus, at: u64) -> Command {
    let at = Timestamp(at);
    Command::SetJobStatus { tenant: tenant.clone(), job: job_id(job), status, at, failure: None }
}

/// Completes an upgrade to a bundle with a checkpoint, which alone is retained.
pub fn complete_upgrade(tenant: &TenantId, job: u32, epoch: u64, checkpoint: u64, bundle: u32) -> Command {
    let Command::SetCheckpoints { tenant, job, epoch, add: Some(add), retained } =
        set_checkpoints(tenant, job, epoch, Some(checkpoint), &[checkpoint])
    else {
        panic!("another command")
    };
    let code = JobCode {
        bundle: self::bundle(bundle, &[]).id,
        args: vec!["--new".to_owned()],
        default_parallelism: 2,
        graph_digest: digest(7),
        stream_graph: Bytes::from_static(b"new stream"),
        job_graph: Bytes::from_static(b"new job graph"),
    };
    Command::CompleteUpgrade { tenant, job, epoch, add, retained, code: Box::new(code) }
}

/// Adds a checkpoint and retains these.
pub fn set_checkpoints(tenant: &TenantId, job: u32, epoch: u64, add: Option<u64>, retained: &[u64]) -> Command {
    let pointer = |id| CheckpointPointer {
        id: CheckpointId(id),
        kind: SnapshotKind::Checkpoint,
        folder: format!("/checkpoints/chk-{id}"),
        metadata_bytes: 10,
        metadata_checksum: id,
        completed_at: Timestamp(id),
    };
    Command::SetCheckpoints {
        tenant: tenant.clone(),
        job: job_id(job),
        epoch: millrace_types::LeaderEpoch(epoch),
        add: add.map(|id| Box::new(pointer(id))),
        retained: retained.iter().copied().map(CheckpointId).collect(),
    }
}

pub fn set_status(state: &mut MetadataState, tenant: &TenantId, job: u32, status: JobStatus, at: u64) -> Applied {
    done(state, status_command(tenant, job, status, at))
}
