//! What the operators of a task begin with: the state and timers of a checkpoint or savepoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_protocol::{OperatorRestore, StateBlob, StateSegment, TaskDeployment, TaskRestore};
use millrace_state::{ChainSegment, KeyedBackend, OperatorState, SegmentChain, SegmentInput};
use millrace_storage::{CheckpointStoreError, StorageAccess};
use millrace_task_core::{Clock, Timer, TimerService};
use millrace_types::{Failure, FailureKind, KeyGroupRange, NodeId};
use tokio::runtime::Handle;

use crate::run::uploads::{Chains, SegmentHandle, TaskCopies};

/// The state of one guest segment.
pub(crate) struct GuestState {
    pub backend: KeyedBackend,
    pub timers: TimerService,
    /// The segments that it was restored from, by operator uid.
    pub chains: Chains,
}

/// The folder that the paths of a restored checkpoint are within.
pub(crate) fn folder(restore: &TaskRestore, task: &TaskDeployment) -> String {
    restore.folder.clone().unwrap_or_else(|| task.settings.checkpoints.folder.clone())
}

/// The checkpoint cannot be read: the job goes back to the one before, unless it may be read later.
fn unreadable(error: &CheckpointStoreError) -> Failure {
    let kind = if error.may_pass() { FailureKind::Checkpoint } else { FailureKind::StateUnreadable };
    let failure = Failure::new(kind, error.to_string());
    match error.remedy() {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}

/// Reads a blob of a restored checkpoint, whose paths are within a folder.
pub(crate) async fn read_blob(storage: &StorageAccess, folder: &str, blob: &StateBlob) -> Result<Bytes, Failure> {
    match blob {
        StateBlob::Inline(bytes) => Ok(bytes.clone()),
        file @ StateBlob::File { .. } => {
            let store = storage.open_at(folder).map_err(|error| unreadable(&error))?;
            store.read_blob(file).await.map_err(|error| unreadable(&error))
        }
    }
}

fn decode_operator_state(uid: &str, bytes: &[u8]) -> Result<OperatorState, Failure> {
    OperatorState::decode(bytes).map_err(|error| {
        let message = format!("the state of the operator \"{uid}\" cannot be read: {error}");
        Failure::new(FailureKind::StateUnreadable, message)
    })
}

/// A subtask's share of what a checkpoint has of an operator's state that is not keyed.
pub(crate) struct RestoredState {
    pub state: OperatorState,
    pub fingerprints: BTreeMap<String, String>,
}

/// The state of a native operator, which is not keyed; none: the checkpoint has none of it.
pub(crate) async fn operator_state(
    task: &TaskDeployment,
    storage: &StorageAccess,
    uid: &str,
) -> Result<Option<RestoredState>, Failure> {
    let Some(restore) = &task.restore else { return Ok(None) };
    let Some(operator) = restore.operators.get(uid) else { return Ok(None) };
    let folder = folder(restore, task);
    let mut earlier = BTreeMap::new();
    for (subtask, blob) in &operator.operator_state {
        earlier.insert(*subtask, decode_operator_state(uid, &read_blob(storage, &folder, blob).await?)?);
    }
    let (subtask, parallelism) = (task.attempt.subtask, task.vertex.parallelism);
    let state = OperatorState::redistribute(&earlier, operator.parallelism, subtask, parallelism);
    Ok(Some(RestoredState { state, fingerprints: operator.fingerprints.clone() }))
}

/// Restores the state of operators, given by node and uid, into a backend and timers without any.
pub(crate) async fn restore(
    task: &TaskDeployment,
    storage: &StorageAccess,
    operators: Vec<(NodeId, String)>,
    copies: &TaskCopies,
    state: GuestState,
) -> Result<GuestState, Failure> {
    let Some(restore) = &task.restore else { return Ok(state) };
    let mut found = Vec::new();
    for (node, uid) in operators {
        if let Some(operator) = restore.operators.get(&uid) {
            found.push((node, uid, operator.clone()));
        }
    }
    let vertex = &task.vertex;
    let restorer = Restorer {
        storage: storage.clone(),
        job_folder: task.settings.checkpoints.folder.clone(),
        foreign: restore.folder.as_deref().map(Arc::from),
        key_groups: KeyGroupRange::of_subtask(task.attempt.subtask, vertex.parallelism, vertex.max_parallelism),
        subtask: task.attempt.subtask,
        parallelism: vertex.parallelism,
        runtime: Handle::current(),
        copies: copies.clone(),
        state,
    };
    let restoring = tokio::task::spawn_blocking(move || restorer.restore_all(found));
    let lost = |error| Failure::new(FailureKind::Internal, format!("restoring state was given up: {error}"));
    restoring.await.unwrap_or_else(|error| Err(lost(error)))
}

struct Restorer {
    storage: StorageAccess,
    job_folder: String,
    foreign: Option<Arc<str>>,
    key_groups: KeyGroupRange,
    subtask: u32,
    parallelism: u32,
    runtime: Handle,
    copies: TaskCopies,
    state: GuestState,
}

impl Restorer {
    fn restore_all(mut self, operators: Vec<(NodeId, String, OperatorRestore)>) -> Result<GuestState, Failure> {
        for (node, uid, operator) in operators {
            self.restore_keyed(node, &uid, &operator)?;
            self.restore_operator_state(&uid, &operator)?;
        }
        Ok(self.state)
    }

    fn restore_keyed(&mut self, node: NodeId, uid: &str, operator: &OperatorRestore) -> Result<(), Failure> {
        let handle =
            |segment: &StateSegment| SegmentHandle { blob: segment.blob.clone(), folder: self.foreign.clone() };
        let handles: Vec<_> = operator.keyed.iter().flatten().map(handle).collect();
        let sources =
            self.copies.restore_all(&self.storage, &handles, &self.runtime).map_err(|error| unreadable(&error))?;
        let mut opened = handles.into_iter().zip(sources);
        let mut inputs = Vec::with_capacity(operator.keyed.len());
        let mut chain = Vec::with_capacity(operator.keyed.len());
        for subtask in &operator.keyed {
            let (mut segments, mut handles) = (Vec::new(), Vec::new());
            for (segment, (handle, source)) in subtask.iter().zip(&mut opened) {
                let (key_groups, bytes) = (segment.key_groups, segment.blob.byte_len());
                segments.push(SegmentInput { source, key_groups });
                handles.push(ChainSegment { handle, key_groups, bytes });
            }
            inputs.push(segments);
            chain.push(handles);
        }
        for timer in self.state.backend.restore(uid, &operator.fingerprints, inputs)? {
            let clock = match timer.clock {
                millrace_state::TimerClock::EventTime => Clock::EventTime,
                millrace_state::TimerClock::ProcessingTime => Clock::ProcessingTime,
            };
            let timer = Timer { timestamp: timer.timestamp, key: timer.key, namespace: timer.namespace };
            self.state.timers.restore(node, clock, timer)?;
        }
        self.state.chains.insert(uid.to_owned(), SegmentChain::restored(self.key_groups, chain));
        Ok(())
    }

    fn restore_operator_state(&mut self, uid: &str, operator: &OperatorRestore) -> Result<(), Failure> {
        let mut earlier = BTreeMap::new();
        for (subtask, blob) in &operator.operator_state {
            let folder = self.foreign.as_deref().unwrap_or(&self.job_folder);
            let bytes = self.runtime.block_on(read_blob(&self.storage, folder, blob))?;
            earlier.insert(*subtask, decode_operator_state(uid, &bytes)?);
        }
        if earlier.is_empty() {
            return Ok(());
        }
        let own = OperatorState::redistribute(&earlier, operator.parallelism, self.subtask, self.parallelism);
        Ok(self.state.backend.restore_operator_state(uid, &operator.fingerprints, &own)?)
    }
}

/// The transactions that a sink has to commit before anything else.
pub(crate) fn committables(restore: &TaskRestore, uid: &str) -> Vec<Bytes> {
    restore.operators.get(uid).map(|operator| operator.committables.clone()).unwrap_or_default()
}
