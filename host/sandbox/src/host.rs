//! What the task that an instance runs for does for it: the host's half of the `host` interface.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_types::NodeId;

/// Why a host function fails the call that it was called from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The guest broke the contract: a malformed batch, an unknown port, an unknown state.
    #[error("{0}")]
    Contract(String),
    /// The host could not do what it was asked for, and the guest is not to blame.
    #[error("{0}")]
    Failed(String),
    /// The task is being cancelled.
    #[error("the task is being cancelled")]
    Cancelled,
}

/// Which clock a timer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Watermarks.
    EventTime,
    /// The clock on the wall.
    ProcessingTime,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Something worth knowing happened.
    Info,
    /// A detail for whoever looks for a mistake.
    Debug,
}

/// Where a line of the log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// The guest called `log`.
    Log,
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The sandbox itself, about the guest's lines.
    Host,
}

/// What an instance's operators ask of their task. An error fails the guest's call, and with it the task's attempt.
///
/// All functions but `emit` run on the thread that runs the guest and must not block it for long.
#[async_trait]
pub trait OperatorHost: Any + Send {
    /// Takes a batch of output and waits until there is a buffer for it. The host checks the batch.
    async fn emit(&mut self, node: NodeId, port: u32, batch: Bytes) -> Result<(), HostError>;

    /// Sets the output watermark of a node that generates watermarks, in milliseconds since 1970.
    fn emit_watermark(&mut self, node: NodeId, timestamp: i64) -> Result<(), HostError>;

    /// Reads state: a keyed batch of keys in, a batch of answers out.
    fn get(&mut self, state: u32, keys: &[u8]) -> Result<Vec<u8>, HostError>;

    /// Reads state in order, about `max_bytes` of it.
    fn scan(&mut self, state: u32, prefix: &[u8], after: Option<&[u8]>, max_bytes: u32) -> Result<Vec<u8>, HostError>;

    /// Changes state.
    fn put(&mut self, state: u32, changes: &[u8]) -> Result<(), HostError>;

    /// Sets and deletes timers of a node.
    fn set_timers(&mut self, node: NodeId, clock: Clock, changes: &[u8]) -> Result<(), HostError>;

    /// The wall clock, in milliseconds since 1970.
    fn now_ms(&mut self) -> i64;

    /// Takes a line for the task's log. Rate and length were checked before.
    fn log(&mut self, level: LogLevel, line: &str, from: LogSource);

    /// Whether [`Self::sampled`] is to be told what the guest does. Asked at the end of every slice.
    fn wants_sample(&self) -> bool {
        false
    }

    /// What the guest does: the export that was called and for which node, and the functions on its stack by their
    /// names, outermost first, the innermost ones if there are very many.
    fn sampled(&mut self, _call: &'static str, _node: Option<NodeId>, _functions: Vec<String>) {}
}
