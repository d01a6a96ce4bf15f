//! From the SDK's types to those of the ABI.

use super::bindings::exports::millrace::app::{operator, program};
use super::bindings::millrace::app::{graph as abi, host};
use crate::graph::{Chaining, Edge, Format, GuestCode, NativeConnector, Node, NodeKind, Partitioning, StreamGraph};
use crate::host::{Clock, Level};
use crate::runtime::{PollStatus, Polled, StateDescriptor, StateKind};

pub(super) fn graph(graph: &StreamGraph) -> program::StreamGraph {
    program::StreamGraph {
        name: graph.name.clone(),
        nodes: graph.nodes.iter().map(node).collect(),
        edges: graph.edges.iter().map(edge).collect(),
    }
}

fn node(node: &Node) -> abi::Node {
    abi::Node {
        uid: node.uid.clone(),
        name: node.name.clone(),
        kind: match &node.kind {
            NodeKind::Source(guest) => abi::NodeKind::Source(code(guest)),
            NodeKind::Operator(guest) => abi::NodeKind::Operator(code(guest)),
            NodeKind::NativeSource(native) => abi::NodeKind::NativeSource(connector(native)),
            NodeKind::NativeSink(native) => abi::NodeKind::NativeSink(connector(native)),
            NodeKind::NativeOperator(native) => abi::NodeKind::NativeOperator(connector(native)),
        },
        parallelism: node.parallelism,
        max_parallelism: node.max_parallelism,
        slot_sharing_group: node.slot_sharing_group.clone(),
        chaining: match node.chaining {
            Chaining::Always => abi::Chaining::Always,
            Chaining::Head => abi::Chaining::Head,
            Chaining::Never => abi::Chaining::Never,
        },
        generates_watermarks: node.generates_watermarks,
        idle_timeout_ms: node.idle_timeout_ms,
        alignment: node.alignment.as_ref().map(|alignment| abi::WatermarkAlignment {
            group: alignment.group.clone(),
            max_drift_ms: alignment.max_drift_ms,
            update_interval_ms: alignment.update_interval_ms,
        }),
    }
}

fn code(code: &GuestCode) -> abi::GuestCode {
    abi::GuestCode { component: code.component.clone(), function: code.function.clone(), config: code.config.clone() }
}

fn connector(native: &NativeConnector) -> abi::NativeConnector {
    abi::NativeConnector { connector: native.connector.clone(), options: native.options.clone() }
}

fn edge(edge: &Edge) -> abi::Edge {
    abi::Edge {
        source: edge.source,
        source_port: edge.source_port,
        target: edge.target,
        target_port: edge.target_port,
        partitioning: match edge.partitioning {
            Partitioning::Forward => abi::Partitioning::Forward,
            Partitioning::Rebalance => abi::Partitioning::Rebalance,
            Partitioning::Rescale => abi::Partitioning::Rescale,
            Partitioning::Hash => abi::Partitioning::Hash,
            Partitioning::Broadcast => abi::Partitioning::Broadcast,
            Partitioning::Global => abi::Partitioning::Global,
            Partitioning::Shuffle => abi::Partitioning::Shuffle,
        },
        format: match edge.format {
            Format::Internal => abi::Format::Internal,
            Format::Raw => abi::Format::Raw,
            Format::Json => abi::Format::Json,
            Format::Msgpack => abi::Format::Msgpack,
            Format::Fields => abi::Format::Fields,
        },
    }
}

pub(super) fn descriptor(state: &StateDescriptor) -> operator::StateDescriptor {
    operator::StateDescriptor {
        node: state.node,
        name: state.name.clone(),
        fingerprint: state.fingerprint.clone(),
        kind: match state.kind {
            StateKind::Keyed => operator::StateKind::Keyed,
            StateKind::List => operator::StateKind::List,
            StateKind::Union => operator::StateKind::Union,
            StateKind::Broadcast => operator::StateKind::Broadcast,
        },
        expires: state.expires,
    }
}

pub(super) fn polled(polled: Polled) -> operator::Polled {
    let status = match polled.status {
        PollStatus::More => operator::PollStatus::More,
        PollStatus::Idle { wait_ms } => operator::PollStatus::Idle(wait_ms),
        PollStatus::Finished => operator::PollStatus::Finished,
    };
    operator::Polled { offset: polled.offset, status }
}

pub(super) fn clock_of_call(clock: operator::Clock) -> Clock {
    match clock {
        operator::Clock::EventTime => Clock::EventTime,
        operator::Clock::ProcessingTime => Clock::ProcessingTime,
    }
}

pub(super) fn clock(clock: Clock) -> host::Clock {
    match clock {
        Clock::EventTime => host::Clock::EventTime,
        Clock::ProcessingTime => host::Clock::ProcessingTime,
    }
}

pub(super) fn level(level: Level) -> host::Level {
    match level {
        Level::Error => host::Level::Error,
        Level::Warn => host::Level::Warn,
        Level::Info => host::Level::Info,
        Level::Debug => host::Level::Debug,
    }
}
