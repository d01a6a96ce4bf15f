//! The StreamGraph as the host sees it: the types of `sdk/wit`, free of the ABI.

/// How the records of an edge are spread over the subtasks of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partitioning {
    /// Subtask i to subtask i.
    Forward,
    /// To all targets in turn.
    Rebalance,
    /// In turn within the group of targets that is local to the producer.
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

/// What the payload of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The SDK's own codec.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct GuestCode {
    /// The component's name in the manifest; `None`: the builder's own.
    pub component: Option<String>,
    /// What it is to run, for components that find their code by name.
    pub function: String,
    /// Handed through to the operator.
    pub config: String,
}

/// A connector that is part of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NativeConnector {
    /// Its name.
    pub connector: String,
    /// Its options, as a JSON object.
    pub options: String,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A source in a guest.
    Source(GuestCode),
    /// An operator in a guest.
    Operator(GuestCode),
    /// A source in the host.
    NativeSource(NativeConnector),
    /// A sink in the host.
    NativeSink(NativeConnector),
    /// An operator in the host.
    NativeOperator(NativeConnector),
}

/// One operator of the application; its id is its position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Names the operator's state and metrics.
    pub uid: String,
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The number of subtasks; `None`: the run's default.
    pub parallelism: Option<u32>,
    /// The number of key groups; `None`: derived.
    pub max_parallelism: Option<u32>,
    /// `None`: the inputs' group if they agree.
    pub slot_sharing_group: Option<String>,
    /// Whether it may stand in a chain with its neighbours.
    pub chaining: Chaining,
    /// Whether it decides its output watermark itself.
    pub generates_watermarks: bool,
    /// After how long without a watermark it is idle, in milliseconds; `None`: never.
    pub idle_timeout_ms: Option<u64>,
    /// How its source waits for others; `None`: it does not.
    pub alignment: Option<WatermarkAlignment>,
}

/// Holds back sources that are ahead of others of their group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkAlignment {
    /// Sources of one group wait for each other.
    pub group: String,
    /// How far a source's watermark may be ahead of the group's least one, in milliseconds.
    pub max_drift_ms: u64,
    /// How often the sources tell and learn, in milliseconds.
    pub update_interval_ms: u64,
}

/// A stream between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The producer.
    pub source: u32,
    /// The way out of the producer.
    pub source_port: u32,
    /// The consumer.
    pub target: u32,
    /// The way into the consumer.
    pub target_port: u32,
    /// How records are spread.
    pub partitioning: Partitioning,
    /// What the payloads are.
    pub format: Format,
}

/// An application's graph.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamGraph {
    /// The application's name.
    pub name: String,
    /// The operators.
    pub nodes: Vec<Node>,
    /// The streams between them.
    pub edges: Vec<Edge>,
}
