//! Why a StreamGraph is refused. Every message names the operator and says what to do.

use std::fmt;

use millrace_types::{MAX_PARALLELISM_LIMIT, MAX_PARALLELISM_PER_VERTEX, NodeId};

use crate::stream_graph::{Format, StreamNode};

/// The longest text of the graph that a message quotes, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// A text of the graph as a message quotes it: bounded, and without characters that would garble a terminal.
pub(crate) fn quoted(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).map(clean).collect();
    if quoted.len() < text.len() && text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

/// An operator as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRef {
    /// Its id.
    pub node: NodeId,
    /// Its uid, shortened.
    pub uid: String,
    /// Its name, shortened.
    pub name: String,
}

impl NodeRef {
    pub(crate) fn new(position: usize, node: &StreamNode) -> Self {
        Self { node: NodeId(position as u32), uid: quoted(&node.uid), name: quoted(&node.name) }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operator \"{}\" (uid \"{}\", node {})", self.name, self.uid, self.node)
    }
}

/// A side of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where records come in.
    Input,
    /// Where records leave.
    Output,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

/// Why a StreamGraph is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No operators.
    #[error("the graph has no operators: let the builder add at least a source")]
    Empty,
    /// More operators than allowed.
    #[error("the graph has {nodes} operators and may have {max}: merge operators or split the application")]
    TooManyNodes {
        /// How many it has.
        nodes: usize,
        /// How many it may have.
        max: usize,
    },
    /// More streams than allowed.
    #[error("the graph has {edges} streams between operators and may have {max}: split the application")]
    TooManyEdges {
        /// How many it has.
        edges: usize,
        /// How many it may have.
        max: usize,
    },
    /// The application's name cannot be shown.
    #[error("the application's name {reason}: give it another one")]
    ApplicationName {
        /// What is wrong with it.
        reason: String,
    },
    /// A text that must not be empty is.
    #[error("{node} has an empty {what}: give it one")]
    EmptyText {
        /// Whose.
        node: NodeRef,
        /// Which text.
        what: &'static str,
    },
    /// A text is longer than allowed.
    #[error("the {what} of {node} has {bytes} bytes and may have {max}: shorten it")]
    TextTooLong {
        /// Whose.
        node: NodeRef,
        /// Which text.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A text has characters that would garble logs and metrics.
    #[error("the {what} of {node} has control characters, such as line breaks: remove them")]
    ControlCharacter {
        /// Whose.
        node: NodeRef,
        /// Which text.
        what: &'static str,
    },
    /// Two operators have one uid.
    #[error("{first} and {second} have the same uid, which names an operator's state: give each its own")]
    DuplicateUid {
        /// The first one.
        first: NodeRef,
        /// The second one.
        second: NodeRef,
    },
    /// A stream begins or ends at a node that is not there.
    #[error(
        "stream {edge} names node {node} as its {side}, but the graph's {nodes} nodes count from 0: correct the id"
    )]
    NoSuchNode {
        /// The stream's position.
        edge: usize,
        /// The end at which it names it.
        side: &'static str,
        /// The id that is not there.
        node: NodeId,
        /// The number of nodes.
        nodes: usize,
    },
    /// A port's number is out of range.
    #[error("{node} uses {side} port {port}, but its ports are 0 to {last}: number them from 0")]
    PortOutOfRange {
        /// Whose.
        node: NodeRef,
        /// Which side.
        side: Side,
        /// The port.
        port: u32,
        /// The last one allowed.
        last: u32,
    },
    /// A source with an input.
    #[error("{node} is a source and cannot read the output of {from}: remove the stream or make it an operator")]
    SourceWithInput {
        /// The source.
        node: NodeRef,
        /// What feeds it.
        from: NodeRef,
    },
    /// An operator that nothing feeds.
    #[error("{node} has no input: connect a stream to it, remove it, or make it a source")]
    NoInput {
        /// The operator.
        node: NodeRef,
    },
    /// A native sink with an output.
    #[error("{node} is a sink and has no output for {to} to read: connect {to} to the operator before the sink")]
    SinkWithOutput {
        /// The sink.
        node: NodeRef,
        /// What reads it.
        to: NodeRef,
    },
    /// The streams form a cycle.
    #[error("the graph has a cycle: {path}; streams must lead from sources to sinks, so remove one of these")]
    Cycle {
        /// The operators along it.
        path: String,
    },
    /// Parallelism 0 or more than allowed.
    #[error("{node} has parallelism {parallelism}: set 1 to {MAX_PARALLELISM_PER_VERTEX}, or none for the default")]
    Parallelism {
        /// Whose.
        node: NodeRef,
        /// What it says.
        parallelism: u32,
    },
    /// The run's parallelism is 0 or more than allowed.
    #[error("the default parallelism is {parallelism}: set 1 to {MAX_PARALLELISM_PER_VERTEX}")]
    DefaultParallelism {
        /// What the run says.
        parallelism: u32,
    },
    /// Max parallelism 0 or more than allowed.
    #[error("{node} has max parallelism {max_parallelism}: set 1 to {MAX_PARALLELISM_LIMIT}, or none to derive it")]
    MaxParallelism {
        /// Whose.
        node: NodeRef,
        /// What it says.
        max_parallelism: u32,
    },
    /// More subtasks than key groups.
    #[error(
        "{node} has parallelism {parallelism} above its max parallelism {max_parallelism}: lower the one or raise the \
         other"
    )]
    ParallelismAboveMax {
        /// Whose.
        node: NodeRef,
        /// The parallelism, its own or the default.
        parallelism: u32,
        /// The max parallelism.
        max_parallelism: u32,
    },
    /// A forward stream between different parallelisms.
    #[error(
        "a forward stream leads from {from} with parallelism {from_parallelism} to {to} with parallelism \
         {to_parallelism}: make them equal, or use rebalance or rescale"
    )]
    ForwardParallelism {
        /// The producer.
        from: NodeRef,
        /// Its parallelism.
        from_parallelism: u32,
        /// The consumer.
        to: NodeRef,
        /// Its parallelism.
        to_parallelism: u32,
    },
    /// The SDK's own format between operators that do not share an SDK.
    #[error(
        "the stream from {from} to {to} has the format \"internal\", which only operators of one component share: use \
         raw, json, msgpack or fields"
    )]
    InternalFormat {
        /// The producer.
        from: NodeRef,
        /// The consumer.
        to: NodeRef,
    },
    /// Streams of one port differ in format.
    #[error(
        "the streams at {side} port {port} of {node} have the formats {first:?} and {second:?}: one port has one \
         format; use another port"
    )]
    MixedFormats {
        /// Whose.
        node: NodeRef,
        /// Which side.
        side: Side,
        /// The port.
        port: u32,
        /// One format.
        first: Format,
        /// The other.
        second: Format,
    },
    /// Partitioning by a key where there is none.
    #[error(
        "the stream from {from} to {to} is partitioned by key, but a native connector gives its records no keys: put an \
         operator between them that does"
    )]
    HashWithoutKeys {
        /// The producer.
        from: NodeRef,
        /// The consumer.
        to: NodeRef,
    },
    /// A component that the bundle does not have.
    #[error("{node} runs in component \"{component}\", but the bundle has {known}: correct the name or add it")]
    UnknownComponent {
        /// Whose.
        node: NodeRef,
        /// The name that it gives.
        component: String,
        /// The names that there are.
        known: String,
    },
    /// A node of a manifest's graph without a component.
    #[error("{node} names no component, and a graph that the manifest states has no default one: name it")]
    NoComponent {
        /// Whose.
        node: NodeRef,
    },
    /// More subtasks in all than allowed.
    #[error("the application has {subtasks} subtasks in all and may have {max}: lower the parallelism")]
    TooManySubtasks {
        /// How many it has.
        subtasks: u64,
        /// How many it may have.
        max: u32,
    },
    /// More channels in all than allowed.
    #[error(
        "the application has {channels} channels between subtasks and may have {max}: lower the parallelism, or use \
         forward or rescale where every subtask need not reach every other"
    )]
    TooManyChannels {
        /// How many it has.
        channels: u64,
        /// How many it may have.
        max: u64,
    },
}
