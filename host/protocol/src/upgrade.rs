//! Other code for a job that runs: what tasks are asked before the barrier behind which they run it.
//!
//! Invariant: a task that has said that it is ready runs the code of that upgrade behind the next barrier of the kind
//! [`millrace_types::SnapshotKind::Upgrade`], and whatever was prepared last before it alone.

use std::collections::BTreeMap;

use millrace_graph::JobVertex;
use millrace_types::{AttemptId, Digest, Failure, StateKind};
use serde::{Deserialize, Serialize};

use crate::ComponentRef;

/// Names an upgrade among those of its job, in one life of its JobMaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpgradeId(pub u64);

/// A state that an operator's new code uses, as its `open` returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDeclaration {
    /// Its name, unique within the operator.
    pub name: String,
    /// Names the type of key and value.
    pub fingerprint: String,
    /// Whose it is.
    pub kind: StateKind,
    /// Whether its values begin with the time from which on they may be dropped.
    pub expires: bool,
}

/// What an operator's new code uses, by operator uid.
pub type DeclaredStates = BTreeMap<String, Vec<StateDeclaration>>;

/// The code of a task: what differs in its deployment from one bundle to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCode {
    /// The components that the task needs, by their names in the manifest.
    pub components: BTreeMap<String, ComponentRef>,
    /// The digest that the builder's graph must have.
    pub graph_digest: Digest,
    /// The arguments of the builder.
    pub args: Vec<String>,
    /// The default parallelism that the builder is told.
    pub default_parallelism: u32,
    /// The chain; its operators and streams are those that run.
    pub vertex: JobVertex,
}

/// Asks a task whether its state fits other code, and to make ready to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUpgrade {
    /// Which one.
    pub id: UpgradeId,
    /// The states of the task's operators.
    pub states: DeclaredStates,
    /// The code; `None`: it is only asked about.
    pub code: Option<TaskCode>,
}

/// What a task says of an upgrade that it was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeAnswer {
    /// Whose answer.
    pub attempt: AttemptId,
    /// Which upgrade.
    pub id: UpgradeId,
    /// It is ready; or why it cannot be.
    pub result: Result<(), Failure>,
}
