//! What the JobMaster's shell does beside it: proposals to the metadata store, descriptions, deletions. Each may be slow,
//! fail, or happen though it is said to have failed; and some are still on their way when their JobManager is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_job_core::{CompletedCheckpoint, Input, RequestId, WriteId};
use millrace_metadata_core::{CheckpointPointer, Command};
use millrace_types::{CheckpointId, JobId, JobStatus, LeaderEpoch, SnapshotKind, Timestamp};

use super::user::recorded_code;
use super::{Event, World, tenant};

/// What is to be decided.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Attempts {
        write: WriteId,
        attempts: Vec<u32>,
    },
    Ids {
        write: WriteId,
        upto: u64,
    },
    Status {
        write: WriteId,
        status: JobStatus,
    },
    Pointer {
        write: WriteId,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
        location: Box<str>,
        completed_at: Timestamp,
        retained: Vec<CheckpointId>,
        upgrade: Option<RequestId>,
    },
    Read {
        checkpoint: CheckpointId,
    },
}

/// A proposal of one life of the JobManager.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) life: u64,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) job: JobId,
    pub(crate) change: Change,
    /// Its life was told already that it has failed.
    pub(crate) is_late: bool,
}

/// A description, written or not.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) job: JobId,
    pub(crate) checkpoint: Arc<CompletedCheckpoint>,
    pub(crate) location: String,
}

/// Something that is to be deleted.
#[derive(Debug)]
pub(crate) struct Deletion {
    pub(crate) job: JobId,
    pub(crate) job_folder: String,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Files(Vec<Box<str>>),
    Folder(Box<str>),
    All(LeaderEpoch),
}

impl World {
    pub(crate) fn proposed(&mut self, proposal: &Proposal) {
        if !proposal.is_late && self.crashes_at(|| format!("decide {}", crate::crashes::name_of(&proposal.change))) {
            // What becomes of it was decided with the crash.
            return;
        }
        let fenced = matches!(proposal.change, Change::Pointer { .. } | Change::Ids { .. });
        if proposal.is_late {
            self.apply(proposal);
            return;
        }
        if self.job_manager.as_ref().is_none_or(|manager| manager.life != proposal.life) {
            // What no epoch fences was decided when its leader ended.
            assert!(fenced, "{proposal:?} comes after its leader's end");
            self.apply(proposal);
            return;
        }
        if matches!(proposal.change, Change::Read { .. }) {
            self.settle_late();
        }
        let chances = self.scenario.chances;
        let (fails, unknown) = (self.chance(chances.write_fails), self.chance(chances.write_unknown));
        let applied = !fails && {
            let late = unknown && fenced && self.rng.chance(300);
            if late {
                let after = self.rng.between(1, 60);
                self.schedule(after, Event::Proposed(Proposal { is_late: true, ..proposal.clone() }));
            }
            !late && self.apply(proposal)
        };
        let known = applied && !unknown;
        let failed =
            |write| Input::MetadataWriteFailed { write, reason: "the metadata store does not answer".to_owned() };
        let input = match proposal.change {
            Change::Read { checkpoint } => {
                let found = self.has_pointer(proposal.job, checkpoint);
                let result = if known { Ok(found) } else { Err("the metadata store does not answer".to_owned()) };
                Input::PointerRead { checkpoint, result }
            }
            Change::Attempts { write, .. }
            | Change::Ids { write, .. }
            | Change::Status { write, .. }
            | Change::Pointer { write, .. } => {
                if known {
                    Input::MetadataWritten { write }
                } else {
                    failed(write)
                }
            }
        };
        self.tell_job(proposal.job, input);
    }

    /// Decisions are made in an order: what was proposed before a read is applied before it or never.
    fn settle_late(&mut self) {
        let late = |event: &Event| matches!(event, Event::Proposed(proposal) if proposal.is_late);
        let keys: Vec<_> = self.events.iter().filter(|(_, event)| late(event)).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(Event::Proposed(proposal)) = self.events.remove(&key)
                && self.rng.chance(500)
            {
                self.apply(&proposal);
            }
        }
    }

    /// The store decides. Returns whether it accepts.
    pub(crate) fn apply(&mut self, proposal: &Proposal) -> bool {
        let (tenant, job, epoch) = (tenant(), proposal.job, proposal.epoch);
        let command = match proposal.change.clone() {
            Change::Attempts { attempts, .. } => Command::RecordAttempts { tenant, job, attempts },
            Change::Ids { upto, .. } => Command::RecordCheckpointId { tenant, job, epoch, checkpoint: upto },
            Change::Read { .. } => Command::RecordCheckpointId { tenant, job, epoch, checkpoint: 0 },
            Change::Status { status, .. } => {
                Command::SetJobStatus { tenant, job, status, at: self.clock(), failure: None }
            }
            Change::Pointer { checkpoint, kind, location, completed_at, retained, upgrade, .. } => {
                let add = Box::new(CheckpointPointer {
                    id: checkpoint,
                    kind,
                    folder: location.into(),
                    metadata_bytes: 1,
                    metadata_checksum: 0,
                    completed_at,
                });
                let retained = retained.into_iter().collect();
                match upgrade.map(recorded_code) {
                    Some(code) => Command::CompleteUpgrade { tenant, job, epoch, add, retained, code: Box::new(code) },
                    None => Command::SetCheckpoints { tenant, job, epoch, add: Some(add), retained },
                }
            }
        };
        let applied = self.metadata.apply(command);
        self.trace
            .line(|| format!("      {:?}: {}", proposal.change, if applied.is_ok() { "applied" } else { "refused" }));
        if applied.is_err() {
            return false;
        }
        match &proposal.change {
            Change::Pointer { checkpoint, location, kind, .. } => {
                if *kind == (SnapshotKind::Savepoint { stop: true }) {
                    self.ledger.stop_stored(job, *checkpoint, location);
                }
                self.drained |= self.draining.contains(location);
                self.ledger.pointer_stored(job, *checkpoint);
                self.check_files(job);
            }
            Change::Status { status, .. } => self.job_ended(*status),
            _ => {}
        }
        true
    }

    pub(crate) fn has_pointer(&self, job: JobId, checkpoint: CheckpointId) -> bool {
        let record = self.metadata.job(&tenant(), job);
        record.is_some_and(|record| record.checkpoints.iter().any(|pointer| pointer.id == checkpoint))
    }

    /// All that a pointer leads to is there.
    fn check_files(&self, job: JobId) {
        let Some(record) = self.metadata.job(&tenant(), job) else { return };
        for pointer in &record.checkpoints {
            // Damage is not what is looked for here.
            let Some(description) = self.store.description(&pointer.folder) else { continue };
            let folder = description.folder.as_deref().unwrap_or(&self.job.folder);
            let missing = description.files().find(|path| !self.store.has(folder, path));
            assert_eq!(missing, None, "a file of checkpoint {} was deleted", pointer.id);
        }
    }

    pub(crate) fn store_description(&mut self, checkpoint: Arc<CompletedCheckpoint>) {
        let Some(life) = self.job_manager.as_ref().map(|manager| manager.life) else { return };
        let location = match &checkpoint.folder {
            Some(folder) => folder.to_string(),
            None => format!("{}/chk-{}", self.job.folder, checkpoint.id),
        };
        let delay = self.rng.below(self.scenario.write_ms);
        let described = Described { job: self.job.id, checkpoint, location };
        self.schedule(delay, Event::Described { life, described });
    }

    pub(crate) fn described(&mut self, life: u64, described: Described) {
        let Described { job, checkpoint, location } = described;
        let fails = self.chance(self.scenario.chances.store_fails);
        let id = checkpoint.id;
        if !fails {
            self.store.describe(&location, checkpoint);
        }
        let result = if fails { Err("the disk is full".to_owned()) } else { Ok(location.into()) };
        if self.job_manager.as_ref().is_some_and(|manager| manager.life == life) {
            self.tell_job(job, Input::CheckpointStored { checkpoint: id, result });
        }
    }

    pub(crate) fn delete(&mut self, deletion: &Deletion) {
        match &deletion.what {
            What::Files(paths) => paths.iter().for_each(|path| self.store.delete(&deletion.job_folder, path)),
            What::Folder(location) => self.store.delete_folder(location),
            What::All(epoch) => {
                let (tenant, job) = (tenant(), deletion.job);
                let (add, retained) = (None, BTreeSet::new());
                let command = Command::SetCheckpoints { tenant, job, epoch: *epoch, add, retained };
                if self.metadata.apply(command).is_err() {
                    return;
                }
                self.store.delete_folder(&deletion.job_folder);
            }
        }
        self.check_files(self.job.id);
    }
}
