//! What a TaskManager needs to run one subtask.

use std::collections::BTreeMap;

use millrace_graph::{Format, JobVertex, Partitioning};
use millrace_types::{
    AllocationId, AttemptId, BUFFER_TIMEOUT_MS, Digest, ExecutionState, JobId, NodeId, SandboxLimits, StateBackendKind,
    TaskManagerId, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::TaskRestore;

/// A component of the job's bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRef {
    /// The SHA-256 of the component's bytes, under which the blob store has it.
    pub digest: Digest,
    /// Whether it exports a builder, which then has to return the graph of `graph_digest`.
    pub has_builder: bool,
    /// What its instances may use.
    pub limits: SandboxLimits,
}

/// A channel of one attempt of a producer to one attempt of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelId {
    /// The job.
    pub job: JobId,
    /// The exchange: its position in the JobGraph's edges.
    pub edge: u32,
    /// The producing attempt's subtask.
    pub source_subtask: u32,
    /// The producing attempt's number.
    pub source_attempt: u32,
    /// The consuming attempt's subtask.
    pub target_subtask: u32,
    /// The consuming attempt's number.
    pub target_attempt: u32,
}

/// A channel that a subtask reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputChannel {
    /// The channel.
    pub id: ChannelId,
    /// Where its producer runs.
    pub task_manager: TaskManagerId,
}

/// All channels of one exchange that a subtask reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputGate {
    /// The operator that consumes them.
    pub target: NodeId,
    /// The operator's port.
    pub target_port: u32,
    /// How records are spread over the subtasks.
    pub partitioning: Partitioning,
    /// The channels, by producing subtask.
    pub channels: Vec<InputChannel>,
}

/// A channel that a subtask writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChannel {
    /// The channel.
    pub id: ChannelId,
    /// Where its consumer runs.
    pub task_manager: TaskManagerId,
    /// Where that TaskManager takes records, as `host:port`; `None` where all is one process.
    pub data_address: Option<String>,
}

/// An exchange that a subtask writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputEdge {
    /// The operator that produces it.
    pub source: NodeId,
    /// The operator's port.
    pub source_port: u32,
    /// The uid of the operator that consumes it.
    pub target_uid: String,
    /// That operator's port.
    pub target_port: u32,
    /// How records are spread over the channels.
    pub partitioning: Partitioning,
    /// What the payloads are.
    pub format: Format,
    /// The consumers' number of key groups, for hash partitioning.
    pub target_max_parallelism: u32,
    /// The consumers' number of subtasks, for hash partitioning.
    pub target_parallelism: u32,
    /// The channels, by consuming subtask. Pointwise edges have those of this producer only.
    pub channels: Vec<OutputChannel>,
}

/// Where and how a task writes its part of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSettings {
    /// The job's checkpoint folder, an absolute path that all processes share.
    pub folder: String,
    /// What at most travels with the acknowledgement instead of a file: Flink's
    /// `execution.checkpointing.data-inline-threshold`, in bytes.
    pub inline_bytes_max: u32,
    /// Whether checkpoints are taken without being asked for: then transactions are committed by them, and a bounded
    /// task with transactions ends with a last one. Otherwise there are savepoints alone.
    pub periodic: bool,
    /// Whether state that is written or restored is copied to the TaskManager's own disk: Flink's
    /// `execution.checkpointing.local-backup.enabled`.
    pub local_backup: bool,
    /// Whether such copies are read where they are: Flink's `execution.state-recovery.from-local`.
    pub from_local: bool,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            folder: String::new(),
            inline_bytes_max: 20 * 1024,
            periodic: false,
            local_backup: false,
            from_local: false,
        }
    }
}

/// What a run may set for its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSettings {
    /// How long a partly filled batch waits for more rows, in milliseconds.
    pub buffer_timeout_ms: u64,
    /// Seed of a test mode that flushes and throws away instances after random calls.
    pub discard_instances_seed: Option<u64>,
    /// What keyed state is kept in.
    pub state_backend: StateBackendKind,
    /// Where checkpoints and savepoints are written.
    pub checkpoints: CheckpointSettings,
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self {
            buffer_timeout_ms: BUFFER_TIMEOUT_MS,
            discard_instances_seed: None,
            state_backend: StateBackendKind::default(),
            checkpoints: CheckpointSettings::default(),
        }
    }
}

/// One subtask to run: everything it needs, so that a TaskManager asks nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDeployment {
    /// The attempt; its number fences all its messages.
    pub attempt: AttemptId,
    /// The slot grant that it runs in.
    pub allocation: AllocationId,
    /// Who owns it.
    pub tenant: TenantId,
    /// The job's name, for logs.
    pub job_name: String,
    /// The job's components, by their names in the manifest.
    pub components: BTreeMap<String, ComponentRef>,
    /// The digest that the builder's graph must have.
    pub graph_digest: Digest,
    /// The recorded arguments of the builder.
    pub args: Vec<String>,
    /// The recorded default parallelism of the builder.
    pub default_parallelism: u32,
    /// The chain.
    pub vertex: JobVertex,
    /// What it reads.
    pub inputs: Vec<InputGate>,
    /// What it writes.
    pub outputs: Vec<OutputEdge>,
    /// How it runs.
    pub settings: TaskSettings,
    /// What it begins with; `None`: nothing.
    pub restore: Option<TaskRestore>,
    /// When the attempt entered each state so far, for the leaders after this one.
    pub timestamps: BTreeMap<ExecutionState, Timestamp>,
}
