//! The StreamGraph: operators and streams as the application's builder, or its manifest, states them.
//!
//! The types mirror the `graph` interface of the guest contract.

use std::fmt;

use millrace_types::NodeId;
use serde::{Deserialize, Serialize};

/// How the records of an edge are spread over the subtasks of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioning {
    /// Subtask i to subtask i.
    Forward,
    /// To all targets in turn, a batch at a time.
    Rebalance,
    /// In turn within the group of targets that belongs to the producer.
    Rescale,
    /// By the key group of the record's key.
    Hash,
    /// Every record to every target.
    Broadcast,
    /// Every record to the first subtask.
    Global,
    /// Each batch to a random target.
    Shuffle,
}

impl Partitioning {
    /// Flink's name, as its plans show it.
    pub const fn as_flink(self) -> &'static str {
        match self {
            Self::Forward => "FORWARD",
            Self::Rebalance => "REBALANCE",
            Self::Rescale => "RESCALE",
            Self::Hash => "HASH",
            Self::Broadcast => "BROADCAST",
            Self::Global => "GLOBAL",
            Self::Shuffle => "SHUFFLE",
        }
    }

    /// Whether a producer sends to some of the targets only, chosen by position (Flink: pointwise).
    pub const fn is_pointwise(self) -> bool {
        matches!(self, Self::Forward | Self::Rescale)
    }
}

impl fmt::Display for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_flink())
    }
}

/// What the payload of a record is; the guest contract describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The producing SDK's own codec; both ends are operators of one component.
    Internal,
    /// The payload is the record.
    Raw,
    /// One JSON value.
    Json,
    /// One MessagePack value.
    Msgpack,
    /// A record of byte strings.
    Fields,
}

/// Flink's ChainingStrategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chaining {
    /// Chain to the predecessor and let successors chain.
    #[default]
    Always,
    /// Begin a chain.
    Head,
    /// Stand alone.
    Never,
}

/// Code of a component of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestCode {
    /// The component's name in the manifest; `None`: the entry component.
    #[serde(default)]
    pub component: Option<String>,
    /// What the component is to run, where it finds its code by name; else empty.
    #[serde(default)]
    pub function: String,
    /// Handed through to the operator.
    #[serde(default)]
    pub config: String,
}

/// A connector that is part of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeConnector {
    /// The connector's name.
    pub connector: String,
    /// Its options, as a JSON object.
    #[serde(default)]
    pub options: String,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// A source in the guest.
    Source(GuestCode),
    /// An operator in the guest.
    Operator(GuestCode),
    /// A source in the host.
    NativeSource(NativeConnector),
    /// A sink in the host.
    NativeSink(NativeConnector),
    /// An operator in the host.
    NativeOperator(NativeConnector),
}

impl NodeKind {
    /// Whether the node reads from outside the graph.
    pub const fn is_source(&self) -> bool {
        matches!(self, Self::Source(_) | Self::NativeSource(_))
    }

    /// The guest's code, if a guest runs it.
    pub const fn guest_code(&self) -> Option<&GuestCode> {
        match self {
            Self::Source(code) | Self::Operator(code) => Some(code),
            Self::NativeSource(_) | Self::NativeSink(_) | Self::NativeOperator(_) => None,
        }
    }

    /// The connector, if the host runs it.
    pub const fn native_connector(&self) -> Option<&NativeConnector> {
        match self {
            Self::NativeSource(native) | Self::NativeSink(native) | Self::NativeOperator(native) => Some(native),
            Self::Source(_) | Self::Operator(_) => None,
        }
    }
}

/// One operator of the application.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamNode {
    /// Names the operator's state and metrics; unique in the graph.
    pub uid: String,
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The number of subtasks; `None`: the default of the run.
    #[serde(default)]
    pub parallelism: Option<u32>,
    /// The number of key groups; `None`: derived from the parallelism.
    #[serde(default)]
    pub max_parallelism: Option<u32>,
    /// `None`: the inputs' group if they agree, else `default`.
    #[serde(default)]
    pub slot_sharing_group: Option<String>,
    /// Whether it may stand in a chain with its neighbours.
    #[serde(default)]
    pub chaining: Chaining,
    /// Whether it decides its output watermark itself.
    #[serde(default)]
    pub generates_watermarks: bool,
    /// After how long without a watermark a node that generates them is idle, in milliseconds; `None`: never.
    #[serde(default)]
    pub idle_timeout_ms: Option<u64>,
    /// How the source of a node that generates watermarks waits for others; `None`: it does not.
    #[serde(default)]
    pub alignment: Option<WatermarkAlignment>,
}

impl StreamNode {
    /// A node that states nothing but what it is; it is called by its uid.
    pub fn new(uid: impl Into<String>, kind: NodeKind) -> Self {
        let uid = uid.into();
        Self {
            name: uid.clone(),
            uid,
            kind,
            parallelism: None,
            max_parallelism: None,
            slot_sharing_group: None,
            chaining: Chaining::Always,
            generates_watermarks: false,
            idle_timeout_ms: None,
            alignment: None,
        }
    }
}

/// Holds back sources that are ahead of others of their group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatermarkAlignment {
    /// Sources of one group wait for each other.
    pub group: String,
    /// How far a source's watermark may be ahead of the group's least one, in milliseconds.
    pub max_drift_ms: u64,
    /// How often the sources tell and learn, in milliseconds.
    pub update_interval_ms: u64,
}

/// A stream between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamEdge {
    /// The producer.
    pub source: NodeId,
    /// The way out of the producer: all edges of a port see the same rows.
    #[serde(default)]
    pub source_port: u32,
    /// The consumer.
    pub target: NodeId,
    /// The way into the consumer.
    #[serde(default)]
    pub target_port: u32,
    /// How records are spread.
    pub partitioning: Partitioning,
    /// What the payloads are.
    pub format: Format,
}

/// An application's graph, as its builder returns it. A node's id is its position in `nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamGraph {
    /// The application's name.
    pub name: String,
    /// The operators.
    pub nodes: Vec<StreamNode>,
    /// The streams between them.
    pub edges: Vec<StreamEdge>,
}
