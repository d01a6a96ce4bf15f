//! What a JobMaster does for the coordinator of its checkpoints.
//!
//! Invariants: bytes first, pointer second; where the outcome of a pointer's write is unknown the core asks, and the answer
//! is of a decision that came after it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use millrace_job_core::{Command, CompletedCheckpoint, Input, JobSpec, RequestId, SnapshotLocation, WriteId};
use millrace_metadata_core::{CheckpointPointer, Command as MetadataCommand, JobCode as RecordedCode};
use millrace_protocol::ToTaskManager;
use millrace_types::{
    CheckpointId, CrashPoint, CrashPoints, Failure, FailureKind, JobId, SnapshotKind, TaskManagerId, TenantId,
    Timestamp, TriggerId,
};

use super::{JobMaster, MasterInput};
use crate::checkpoint_files::{self, Description, Written};
use crate::cluster::Services;
use crate::operations::{Kind, OperationKey, Outcome};
use crate::recovery;
use crate::upgrades::not_recorded;

/// A checkpoint whose description is durable, as its pointer is going to say.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    id: CheckpointId,
    kind: SnapshotKind,
    completed_at: Timestamp,
    written: Written,
}

/// How many descriptions wait for their pointer: as many checkpoints as can be under way, savepoints included.
const DESCRIBED_MAX: usize = 64;

impl JobMaster {
    pub(super) fn execute_checkpoint(&mut self, command: Command) -> Option<BoxFuture<'static, Option<MasterInput>>> {
        let (services, spec) = (self.services.clone(), self.spec.clone());
        let epoch = services.epoch;
        match command {
            Command::TriggerCheckpoint { task_manager, attempt, barrier } => {
                self.message(task_manager, ToTaskManager::TriggerCheckpoint { epoch, attempt, barrier })
            }
            Command::NotifyCheckpointCompleted { task_manager, attempt, checkpoint } => {
                self.message(task_manager, ToTaskManager::CheckpointCompleted { epoch, attempt, checkpoint })
            }
            Command::NotifyCheckpointAborted { task_manager, attempt, checkpoint } => {
                self.message(task_manager, ToTaskManager::CheckpointAborted { epoch, attempt, checkpoint })
            }
            Command::DrainSource { task_manager, attempt } => {
                self.message(task_manager, ToTaskManager::DrainSource { epoch, attempt })
            }
            Command::LimitWatermark { task_manager, attempt, limit } => {
                self.message(task_manager, ToTaskManager::LimitWatermark { epoch, attempt, limit })
            }
            Command::PrepareUpgrade { task_manager, attempt, upgrade } => {
                self.message(task_manager, ToTaskManager::PrepareUpgrade { epoch, attempt, upgrade })
            }
            Command::ForgetUpgrade { task_manager, attempt, upgrade } => {
                self.message(task_manager, ToTaskManager::ForgetUpgrade { epoch, attempt, upgrade })
            }
            Command::StoreCheckpoint { checkpoint } => {
                self.store(checkpoint);
                None
            }
            Command::PersistCheckpoint { write, checkpoint, location, retained, upgrade } => {
                // It stays: should the outcome be unknown, the same pointer may be written again.
                let described = self.described.get(&checkpoint).cloned();
                let code = upgrade.map(|request| {
                    let order = self.upgrades.get(&request);
                    order.map(|order| order.recorded.clone()).ok_or_else(|| not_recorded(request))
                });
                self.beside(persist(services, spec, write, described, location, retained, code));
                None
            }
            Command::ReadPointer { checkpoint } => {
                self.beside(read_pointer(services, spec, checkpoint));
                None
            }
            Command::ReserveCheckpointIds { write, upto } => {
                self.beside(reserve(services, spec, write, upto));
                None
            }
            Command::DeleteFiles { paths } => {
                let folder = job_folder(&spec);
                tokio::spawn(async move { log(spec.job, checkpoint_files::delete_files(&folder, &paths).await) });
                None
            }
            Command::DeleteCheckpoint { checkpoint, location } => {
                tokio::spawn(async move { log(spec.job, delete(&spec, checkpoint, &location).await) });
                None
            }
            Command::DeleteAllCheckpoints => {
                tokio::spawn(async move { delete_all(&services, &spec.tenant, spec.job, &job_folder(&spec)).await });
                None
            }
            Command::SavepointEnded { request, result } => {
                self.answer(request, result);
                None
            }
            Command::UpgradeEnded { request, result } => {
                self.upgrade_ended(request, result);
                None
            }
            other => {
                debug_assert!(false, "{other:?} has nothing to do with checkpoints");
                None
            }
        }
    }

    /// Tells a task something. One that is gone needs to know nothing.
    fn message(
        &self,
        task_manager: TaskManagerId,
        message: ToTaskManager,
    ) -> Option<BoxFuture<'static, Option<MasterInput>>> {
        let services = self.services.clone();
        let completed = matches!(message, ToTaskManager::CheckpointCompleted { .. });
        Some(Box::pin(async move {
            let _ = services.gateways.send(&task_manager, message).await;
            let crash_points = &services.options.crash_points;
            if completed && crash_points.is_due(CrashPoint::Told) {
                tokio::time::sleep(CrashPoints::LINGER).await;
                crash_points.die();
            }
            None
        }))
    }

    /// Writes a description beside the outbox.
    fn store(&self, checkpoint: Arc<CompletedCheckpoint>) {
        let (spec, inbox) = (self.spec.clone(), self.inbox.clone());
        tokio::spawn(async move {
            let CompletedCheckpoint { id, kind, completed_at, .. } = *checkpoint;
            let description =
                Description { tenant: spec.tenant.clone(), job: spec.job, checkpoint: (*checkpoint).clone() };
            let outcome = match checkpoint_files::write(&job_folder(&spec), &description).await {
                Ok(written) => MasterInput::Described(Described { id, kind, completed_at, written }),
                Err(failure) => {
                    tracing::warn!(job = %spec.job, checkpoint = %id, %failure, "a checkpoint could not be described");
                    let result = Err(failure.to_string());
                    MasterInput::Core(Input::CheckpointStored { checkpoint: id, result })
                }
            };
            // The JobMaster may have ended meanwhile; then nobody needs the outcome.
            let _ = inbox.send(outcome).await;
        });
    }

    /// A description is durable: what its pointer will say is kept until then.
    pub(super) fn described(&mut self, described: Described) -> Input {
        let checkpoint = described.id;
        let location = described.written.folder.as_str().into();
        self.described.insert(checkpoint, described);
        while self.described.len() > DESCRIBED_MAX {
            // It has its pointer, or was given up, or is a savepoint, of which there is no pointer.
            self.described.pop_first();
        }
        Input::CheckpointStored { checkpoint, result: Ok(location) }
    }

    /// Answers who asked for a savepoint or checkpoint.
    fn answer(&self, request: RequestId, result: Result<SnapshotLocation, Failure>) {
        let key = OperationKey {
            tenant: self.spec.tenant.clone(),
            job: Some(self.spec.job),
            trigger: TriggerId::from_bytes(request.0.to_be_bytes()),
        };
        self.services.operations.end(&key, |kind| match (result, kind) {
            (Ok(done), Kind::Checkpoint) => Outcome::Checkpoint { id: done.checkpoint.0 },
            (Ok(done), _) => Outcome::Savepoint { location: done.location.into() },
            (Err(failure), _) => Outcome::Failed(Box::new(failure)),
        });
    }
}

/// The folder of the job's checkpoints.
fn job_folder(spec: &JobSpec) -> PathBuf {
    PathBuf::from(&spec.settings.checkpoints.folder)
}

fn log(job: JobId, result: Result<(), Failure>) {
    if let Err(failure) = result {
        tracing::warn!(%job, %failure, "files of a checkpoint that is not needed any more were left behind");
    }
}

/// Stores that a checkpoint is complete, and which are retained; and with it the code that an upgrade leads to.
async fn persist(
    services: Arc<Services>,
    spec: Arc<JobSpec>,
    write: WriteId,
    described: Option<Described>,
    location: Box<str>,
    retained: Vec<CheckpointId>,
    code: Option<Result<RecordedCode, Failure>>,
) -> Input {
    let Some(Described { id, kind, completed_at, written }) = described else {
        let reason = format!("the description of {location} is not known");
        return Input::MetadataWriteFailed { write, reason };
    };
    let pointer = CheckpointPointer {
        id,
        kind,
        folder: location.into(),
        metadata_bytes: written.bytes,
        metadata_checksum: written.checksum,
        completed_at,
    };
    let (tenant, job, epoch) = (spec.tenant.clone(), spec.job, services.epoch);
    let (add, retained) = (Box::new(pointer), retained.into_iter().collect());
    let command = match code {
        None => MetadataCommand::SetCheckpoints { tenant, job, epoch, add: Some(add), retained },
        Some(Ok(code)) => MetadataCommand::CompleteUpgrade { tenant, job, epoch, add, retained, code: Box::new(code) },
        Some(Err(failure)) => return Input::MetadataWriteFailed { write, reason: failure.to_string() },
    };
    let crash_points = &services.options.crash_points;
    crash_points.pass(CrashPoint::Described);
    match services.metadata.propose(command).await {
        Ok(applied) => {
            crash_points.pass(CrashPoint::Pointed);
            recovery::settle(&services, applied).await;
            Input::MetadataWritten { write }
        }
        Err(error) => {
            tracing::warn!(job = %spec.job, checkpoint = %id, %error, "a checkpoint's pointer may not be stored");
            Input::MetadataWriteFailed { write, reason: error.to_string() }
        }
    }
}

/// Whether a pointer is stored. The write whose outcome is unknown is decided first: a pointer that is absent then stays
/// absent.
async fn read_pointer(services: Arc<Services>, spec: Arc<JobSpec>, checkpoint: CheckpointId) -> Input {
    let result = match services.metadata.barrier().await {
        Ok(state) => {
            let record = state.job(&spec.tenant, spec.job);
            Ok(record.is_some_and(|record| record.checkpoints.iter().any(|pointer| pointer.id == checkpoint)))
        }
        Err(error) => Err(error.to_string()),
    };
    Input::PointerRead { checkpoint, result }
}

/// Stores that checkpoint ids are given out.
async fn reserve(services: Arc<Services>, spec: Arc<JobSpec>, write: WriteId, upto: u64) -> Input {
    let (tenant, job) = (spec.tenant.clone(), spec.job);
    let command = MetadataCommand::RecordCheckpointId { tenant, job, epoch: services.epoch, checkpoint: upto };
    match services.metadata.propose(command).await {
        Ok(_) => Input::MetadataWritten { write },
        Err(error) => {
            tracing::warn!(%job, upto, %error, "checkpoint ids could not be reserved, which is tried again");
            Input::MetadataWriteFailed { write, reason: error.to_string() }
        }
    }
}

/// Deletes what a checkpoint has for itself. One that the job claimed and began with is another job's: its files go too.
async fn delete(spec: &JobSpec, checkpoint: CheckpointId, location: &str) -> Result<(), Failure> {
    let location = PathBuf::from(location);
    let start = spec.start_from.as_ref().map(|start| &start.from);
    match start.filter(|from| from.checkpoint.id == checkpoint && location.as_os_str() == &*from.location) {
        Some(from) => checkpoint_files::delete_foreign(&location, &from.checkpoint).await,
        None => checkpoint_files::delete_folder(&location).await,
    }
}

/// The job has ended and needs none of its checkpoints: first the pointers, then the files.
pub(crate) async fn delete_all(services: &Services, tenant: &TenantId, job: JobId, folder: &Path) {
    let command = MetadataCommand::SetCheckpoints {
        tenant: tenant.clone(),
        job,
        epoch: services.epoch,
        add: None,
        retained: BTreeSet::new(),
    };
    if let Err(error) = services.metadata.propose(command).await {
        let message = format!("the pointers to the checkpoints of an ended job could not be deleted: {error}");
        return log(job, Err(Failure::new(FailureKind::Checkpoint, message)));
    }
    log(job, checkpoint_files::delete_folder(folder).await);
}
