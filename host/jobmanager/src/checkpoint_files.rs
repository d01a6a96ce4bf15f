//! The files of checkpoints and savepoints, from the JobManager's side: what describes them, and what is deleted.
//!
//! Invariants:
//! - A description is durable before anybody learns where it is.
//! - What a pointer of the metadata store leads to is compared with the length and checksum that it states.
//! - Nothing is deleted here that was not decided elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use millrace_job_core::{CompletedCheckpoint, StoredCheckpoint};
use millrace_metadata_core::CheckpointPointer;
use millrace_storage::{CheckpointStore, CheckpointStoreError, StorageAccess, StorageLocation};
use millrace_types::{CheckpointId, Failure, FailureKind, JobId, SnapshotKind, TenantId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What a `_metadata` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Who wrote it.
    pub(crate) tenant: TenantId,
    /// Of which job.
    pub(crate) job: JobId,
    /// What it consists of.
    pub(crate) checkpoint: CompletedCheckpoint,
}

/// A description that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) folder: String,
    pub(crate) bytes: u64,
    pub(crate) checksum: u64,
}

/// The name of a checkpoint's own folder, as Flink's.
fn own_folder(id: CheckpointId) -> String {
    format!("chk-{id}")
}

/// Writes the description of a checkpoint of a job whose folder is `job_folder`.
pub(crate) async fn write(
    storage: &StorageAccess,
    job_folder: &StorageLocation,
    description: &Description,
) -> Result<Written, Failure> {
    let payload = postcard::to_stdvec(description)
        .map_err(|error| failed(format!("the description of a checkpoint cannot be encoded: {error}")))?;
    let payload = Bytes::from(payload);
    let (bytes, checksum) = (payload.len() as u64, xxh3_64(&payload));
    let checkpoint = &description.checkpoint;
    let (folder, within) = match &checkpoint.folder {
        Some(folder) => (parse(folder)?, None),
        None => (job_folder.clone(), Some(own_folder(checkpoint.id))),
    };
    let store = open(storage, &folder, true).await?;
    store.write_metadata(within.as_deref(), payload).await.map_err(of_store)?;
    let folder = within.map_or_else(|| folder.clone(), |within| folder.join(&within));
    Ok(Written { folder: folder.to_string(), bytes, checksum })
}

/// Reads a checkpoint that the metadata store points to.
pub(crate) async fn read_pointer(
    storage: &StorageAccess,
    job: JobId,
    pointer: &CheckpointPointer,
) -> Result<StoredCheckpoint, Failure> {
    let location = &parse(&pointer.folder)?;
    let payload = read_payload(storage, location).await?;
    if payload.len() as u64 != pointer.metadata_bytes || xxh3_64(&payload) != pointer.metadata_checksum {
        return Err(unreadable(format!("{}/_metadata is not the one that was written", pointer.folder)));
    }
    let Description { mut checkpoint, .. } = decode(location, &payload)?;
    if checkpoint.id != pointer.id {
        return Err(unreadable(format!("{} is checkpoint {}, and not {}", pointer.folder, checkpoint.id, pointer.id)));
    }
    if checkpoint.kind.is_savepoint() {
        checkpoint.folder = Some(pointer.folder.as_str().into());
    }
    tracing::debug!(%job, checkpoint = %pointer.id, folder = pointer.folder, "read a checkpoint's description");
    Ok(StoredCheckpoint { checkpoint: Arc::new(checkpoint), location: pointer.folder.as_str().into() })
}

/// Reads a savepoint, or a retained checkpoint of some job, where a client says that it is.
pub(crate) async fn read_foreign(storage: &StorageAccess, location: &StorageLocation) -> Result<Description, Failure> {
    let payload = read_payload(storage, location).await?;
    let mut description = decode(location, &payload)?;
    let folder = files_folder(location, &description.checkpoint);
    description.checkpoint.folder = Some(folder.to_string().into());
    Ok(description)
}

/// The folder that the paths of a checkpoint at this location are within.
fn files_folder(location: &StorageLocation, checkpoint: &CompletedCheckpoint) -> StorageLocation {
    match checkpoint.kind {
        SnapshotKind::Savepoint { .. } => location.clone(),
        // `chk-N` stands in its job's folder.
        SnapshotKind::Checkpoint | SnapshotKind::Upgrade => location.parent(),
    }
}

/// Deletes files of a job. Those of a folder that is not there are deleted already.
pub(crate) async fn delete_files(
    storage: &StorageAccess,
    job_folder: &StorageLocation,
    paths: &[Box<str>],
) -> Result<(), Failure> {
    match opened(storage, job_folder, false).await? {
        Err(CheckpointStoreError::Missing { .. }) => Ok(()),
        store => store.map_err(of_store)?.delete(paths).await.map_err(of_store),
    }
}

/// Deletes a folder with all that is in it. One that is not there is deleted already.
pub(crate) async fn delete_folder(storage: &StorageAccess, folder: &StorageLocation) -> Result<(), Failure> {
    storage.delete_folder(folder).await.map_err(of_store)
}

/// Deletes a savepoint or checkpoint that some job wrote, with its files; those that checkpoints beside it refer to stay.
pub(crate) async fn delete_foreign(
    storage: &StorageAccess,
    location: &StorageLocation,
    checkpoint: &CompletedCheckpoint,
) -> Result<(), Failure> {
    if !checkpoint.kind.is_savepoint() {
        let folder = files_folder(location, checkpoint);
        let store = open(storage, &folder, false).await?;
        let needed = needed_beside(&store, location).await?;
        let free: Vec<&str> = checkpoint.files().filter(|file| !needed.contains(*file)).collect();
        store.delete(free).await.map_err(of_store)?;
    }
    delete_folder(storage, location).await
}

/// The files that the other checkpoints of a job's folder refer to.
async fn needed_beside(job_folder: &CheckpointStore, without: &StorageLocation) -> Result<BTreeSet<String>, Failure> {
    let mut needed = BTreeSet::new();
    for name in job_folder.folders().await.map_err(of_store)? {
        if Some(name.as_str()) == without.name() || !name.starts_with("chk-") {
            continue;
        }
        // One that was never complete, or is damaged, needs nothing.
        if let Ok(payload) = job_folder.read_metadata(Some(&name)).await
            && let Ok(other) = decode(&job_folder.location().join(&name), &payload)
        {
            needed.extend(other.checkpoint.files().map(str::to_owned));
        }
    }
    Ok(needed)
}

async fn read_payload(storage: &StorageAccess, location: &StorageLocation) -> Result<Bytes, Failure> {
    open(storage, location, false).await?.read_metadata(None).await.map_err(of_store)
}

fn decode(location: &StorageLocation, payload: &[u8]) -> Result<Description, Failure> {
    postcard::from_bytes(payload).map_err(|error| {
        unreadable(format!("{location}/_metadata cannot be read: {error}"))
            .with_remedy("it was written by another version of Millrace, or is damaged: use another one")
    })
}

async fn open(storage: &StorageAccess, folder: &StorageLocation, create: bool) -> Result<CheckpointStore, Failure> {
    opened(storage, folder, create).await?.map_err(of_store)
}

/// Opens a store, which blocks.
async fn opened(
    storage: &StorageAccess,
    folder: &StorageLocation,
    create: bool,
) -> Result<Result<CheckpointStore, CheckpointStoreError>, Failure> {
    let (storage, folder) = (storage.clone(), folder.clone());
    let opening = move || if create { storage.create(&folder) } else { storage.open(&folder) };
    let lost = |error| failed(format!("the opening of a folder was lost: {error}"));
    tokio::task::spawn_blocking(opening).await.map_err(lost)
}

/// Where a folder is that the metadata log or a description names.
pub(crate) fn parse(folder: &str) -> Result<StorageLocation, Failure> {
    StorageLocation::parse(folder).map_err(|error| unreadable(error.to_string()))
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn of_store(error: CheckpointStoreError) -> Failure {
    let kind = if error.is_state_lost() { FailureKind::StateUnreadable } else { FailureKind::Checkpoint };
    let failure = Failure::new(kind, error.to_string());
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}

fn failed(message: String) -> Failure {
    Failure::new(FailureKind::Checkpoint, message)
}

fn unreadable(message: String) -> Failure {
    Failure::new(FailureKind::StateUnreadable, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;
    use std::path::Path;

    use millrace_job_core::OperatorState;
    use millrace_protocol::{OperatorSnapshot, StateBlob};
    use millrace_types::Timestamp;

    use super::*;

    fn storage() -> StorageAccess {
        StorageAccess::default()
    }

    fn at(folder: &Path) -> StorageLocation {
        folder.into()
    }

    const JOB: JobId = JobId::from_bytes([7; 16]);

    /// A checkpoint with one operator whose subtasks have these files.
    fn description(id: u64, kind: SnapshotKind, folder: Option<&Path>, files: &[&str]) -> Description {
        let blob = |path: &&str| StateBlob::File { path: (*path).to_owned(), bytes: 1, checksum: 0 };
        let subtasks = files
            .iter()
            .map(|path| OperatorSnapshot { operator_state: Some(blob(path)), ..OperatorSnapshot::default() });
        let operator = OperatorState { subtasks: (0..).zip(subtasks).collect(), ..OperatorState::default() };
        let checkpoint = CompletedCheckpoint {
            id: CheckpointId(id),
            kind,
            triggered_at: Timestamp(1),
            completed_at: Timestamp(2),
            folder: folder.map(|folder| folder.to_string_lossy().into()),
            operators: BTreeMap::from([("count".to_owned(), operator)]),
            in_flight: Vec::new(),
            figures: BTreeMap::new(),
        };
        Description { tenant: TenantId::default_tenant(), job: JOB, checkpoint }
    }

    fn pointer(description: &Description, written: &Written) -> CheckpointPointer {
        CheckpointPointer {
            id: description.checkpoint.id,
            kind: description.checkpoint.kind,
            folder: written.folder.clone(),
            metadata_bytes: written.bytes,
            metadata_checksum: written.checksum,
            completed_at: description.checkpoint.completed_at,
        }
    }

    fn touch(folder: &Path, files: &[&str]) {
        for file in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
    }

    #[tokio::test]
    async fn a_pointer_leads_to_what_was_written_and_to_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let described = description(3, SnapshotKind::Checkpoint, None, &["shared/a"]);
        let written = write(&storage(), &at(folder.path()), &described).await.unwrap();
        assert_eq!(Path::new(&written.folder), folder.path().join("chk-3"));
        let pointer = pointer(&described, &written);
        let read = read_pointer(&storage(), JOB, &pointer).await.unwrap();
        assert_eq!((&*read.checkpoint, &*read.location), (&described.checkpoint, written.folder.as_str()));

        let other = CheckpointPointer { metadata_checksum: 1, ..pointer.clone() };
        let failure = read_pointer(&storage(), JOB, &other).await.unwrap_err();
        assert!(failure.kind == FailureKind::StateUnreadable && failure.message.contains("not the one"), "{failure}");
        let file = folder.path().join("chk-3/_metadata");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(read_pointer(&storage(), JOB, &pointer).await.unwrap_err().message.contains("damaged"));
        std::fs::remove_file(&file).unwrap();
        let failure = read_pointer(&storage(), JOB, &pointer).await.unwrap_err();
        assert!(failure.message.contains("missing") && failure.remedy.is_some(), "{failure}");
    }

    #[tokio::test]
    async fn a_savepoint_is_read_wherever_it_was_moved_to() {
        let folder = tempfile::tempdir().unwrap();
        let (made, moved) = (folder.path().join("savepoint-1"), folder.path().join("moved"));
        let kind = SnapshotKind::Savepoint { stop: true };
        let described = description(4, kind, Some(&made), &["a"]);
        let written = write(&storage(), &at(&folder.path().join("job")), &described).await.unwrap();
        assert_eq!(Path::new(&written.folder), made);
        assert!(!folder.path().join("job").exists());
        std::fs::rename(&made, &moved).unwrap();
        let found = read_foreign(&storage(), &at(&moved)).await.unwrap();
        assert_eq!((found.tenant, found.job), (TenantId::default_tenant(), JOB));
        assert_eq!(found.checkpoint.folder.as_deref(), moved.to_str());
        delete_foreign(&storage(), &at(&moved), &found.checkpoint).await.unwrap();
        assert!(!moved.exists());
    }

    #[tokio::test]
    async fn a_foreign_checkpoint_goes_without_the_files_that_those_beside_it_need() {
        let job = tempfile::tempdir().unwrap();
        touch(job.path(), &["shared/both", "shared/first", "shared/second"]);
        let first = description(1, SnapshotKind::Checkpoint, None, &["shared/both", "shared/first"]);
        let second = description(2, SnapshotKind::Checkpoint, None, &["shared/both", "shared/second"]);
        for described in [&first, &second] {
            write(&storage(), &at(job.path()), described).await.unwrap();
        }
        let location = job.path().join("chk-1");
        let found = read_foreign(&storage(), &at(&location)).await.unwrap();
        assert_eq!(found.checkpoint.folder.as_deref(), job.path().to_str());
        delete_foreign(&storage(), &at(&location), &found.checkpoint).await.unwrap();
        let there = |file: &str| job.path().join(file).exists();
        assert_eq!(
            ["chk-1", "shared/first", "shared/both", "shared/second", "chk-2"].map(there),
            [false, false, true, true, true]
        );
        delete_files(&storage(), &at(job.path()), &["shared/second".into(), "shared/gone".into()]).await.unwrap();
        assert!(!there("shared/second"));
        delete_folder(&storage(), &at(job.path())).await.unwrap();
        delete_folder(&storage(), &at(job.path())).await.unwrap();
        delete_files(&storage(), &at(job.path()), &["shared/both".into()]).await.unwrap();
    }
}
