//! Where the output of one segment goes: to later segments of the chain, and to other tasks.
//!
//! Invariants:
//! - A batch for a later segment of the chain is queued and processed when the call that emitted it has returned; what
//!   a call may emit bounds the queue.
//! - A watermark may be told later than it was emitted: it holds for the rows that pass it as well.
//! - `emit` takes a batch for another task and returns when few enough are left to be sent: waiting there is
//!   backpressure. What is left goes with the next batches, or when the buffer timeout is over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_network::{InFlight, OutputEdgeWriter, WriteError};
use millrace_protocol::{Rerouting, SplitId, TaskCounter, TaskGauge};
use millrace_types::{Barrier, EventTime, Failure, FailureKind, NodeId};
use millrace_wire::BatchView;
use tokio::time::Instant;

use crate::run::shared::{TaskError, TaskShared};
use crate::run::snapshot::OvertakenRecords;
use crate::time_account::Activity;

/// How long a watermark waits for a later one to take its place. Each one costs a call of every operator behind it, and
/// operators emit one in every call of their own.
const WATERMARK_INTERVAL: Duration = Duration::from_millis(5);

/// An operator of a later segment, and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainTarget {
    pub segment: usize,
    pub node: NodeId,
    pub port: u32,
}

/// Where the rows of a port go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub chained: Vec<ChainTarget>,
    /// Positions among the outlet's edges.
    pub edges: Vec<usize>,
}

/// The operator at the other end of an edge.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub uid: String,
    pub port: u32,
    pub rerouting: Rerouting,
    /// Its subtasks, by channel.
    pub subtasks: Vec<u32>,
}

/// An edge out of the task: the operator and port that it reads, its writer, and who reads it.
pub(crate) struct OpenEdge {
    pub source: NodeId,
    pub port: u32,
    pub writer: OutputEdgeWriter,
    pub reader: Reader,
}

/// The ways out of a segment.
#[derive(Debug)]
pub(crate) struct Outlet {
    routes: BTreeMap<(NodeId, u32), Route>,
    edges: Vec<(NodeId, OutputEdgeWriter)>,
    /// Who reads each edge.
    readers: Vec<Reader>,
    queue: VecDeque<(ChainTarget, BatchView)>,
    /// The latest watermarks that operators emitted and that the chain was not told of.
    watermarks: Vec<(NodeId, EventTime)>,
    /// When the chain is to be told; none: there are no watermarks.
    watermarks_due: Option<Instant>,
    /// The operators that called `emit-watermark` since they were asked for, if anybody asks.
    emitters: Option<Vec<NodeId>>,
    /// For each operator that was told so, the split that its records come from, and the greatest watermark of that.
    turns: BTreeMap<NodeId, (SplitId, EventTime)>,
    /// What the edges had sent when it was counted last, in bytes.
    bytes_counted: u64,
    /// The same in batches.
    buffers_counted: u64,
    shared: Arc<TaskShared>,
}

impl Outlet {
    /// The edges stand with the operator that writes them.
    pub(crate) fn new(routes: BTreeMap<(NodeId, u32), Route>, edges: Vec<OpenEdge>, shared: Arc<TaskShared>) -> Self {
        let (edges, readers) = edges.into_iter().map(|edge| ((edge.source, edge.writer), edge.reader)).unzip();
        Self {
            routes,
            edges,
            readers,
            queue: VecDeque::new(),
            watermarks: Vec::new(),
            watermarks_due: None,
            emitters: None,
            turns: BTreeMap::new(),
            bytes_counted: 0,
            buffers_counted: 0,
            shared,
        }
    }

    /// Takes a batch from an operator's port.
    pub(crate) async fn emit(&mut self, node: NodeId, port: u32, batch: BatchView) -> Result<(), TaskError> {
        let Some(route) = self.routes.get(&(node, port)) else {
            return Err(no_edge(node, port).into());
        };
        if batch.is_empty() {
            return Ok(());
        }
        self.shared.metrics.operator_out(node, batch.len(), batch.byte_len());
        for target in &route.chained {
            self.queue.push_back((*target, batch.clone()));
        }
        if route.edges.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let is_looked_at = self.shared.metrics.peeks.is_wanted();
        for edge in &route.edges {
            if is_looked_at && let Some(reader) = self.readers.get(*edge) {
                self.shared.metrics.peeks.copy(&reader.uid, reader.port, &batch);
            }
            let (_, writer) = &mut self.edges[*edge];
            writer.push_batch(&batch, now).map_err(write_error)?;
            writer.flush_due(now);
        }
        self.shared.metrics.add(TaskCounter::RecordsOut, batch.len() as u64);
        if self.edges.iter().any(|(_, writer)| writer.is_ready()) { self.drain().await } else { Ok(()) }
    }

    /// A source has read so much.
    pub(crate) fn count_read(&self, node: NodeId, records: usize, bytes: usize) {
        self.shared.metrics.operator_in(node, records, bytes);
    }

    /// Takes note of a watermark that an operator emitted.
    pub(crate) fn emit_watermark(&mut self, node: NodeId, timestamp: EventTime) {
        if let Some(emitters) = &mut self.emitters
            && !emitters.contains(&node)
        {
            emitters.push(node);
        }
        if let Some((_, watermark)) = self.turns.get_mut(&node) {
            *watermark = (*watermark).max(timestamp);
        }
        match self.watermarks.iter_mut().find(|(emitter, _)| *emitter == node) {
            Some((_, watermark)) => *watermark = (*watermark).max(timestamp),
            None => self.watermarks.push((node, timestamp)),
        }
        let wait = if timestamp == EventTime::MAX { Duration::ZERO } else { WATERMARK_INTERVAL };
        let due = Instant::now() + wait;
        self.watermarks_due = Some(self.watermarks_due.map_or(due, |known| known.min(due)));
    }

    /// The watermarks of which the chain is to be told now; with `all`, also those that could wait.
    pub(crate) fn take_watermarks(&mut self, all: bool) -> Vec<(NodeId, EventTime)> {
        if self.watermarks_due.is_some_and(|due| all || due <= Instant::now()) {
            self.watermarks_due = None;
            return std::mem::take(&mut self.watermarks);
        }
        Vec::new()
    }

    /// Takes note of who calls `emit-watermark` from now on.
    pub(crate) fn note_emitters(&mut self) {
        self.emitters = Some(Vec::new());
    }

    /// Who has called `emit-watermark` since the last time.
    pub(crate) fn take_emitters(&mut self) -> Vec<NodeId> {
        self.emitters.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// An operator's records come from this split from here on, whose watermark stands here.
    pub(crate) fn turn(&mut self, node: NodeId, split: SplitId, watermark: EventTime) {
        self.turns.insert(node, (split, watermark));
    }

    /// What an instance has to know that takes the place of another one: whose turn it is.
    pub(crate) fn turns(&self) -> Vec<(NodeId, SplitId, EventTime)> {
        self.turns.iter().map(|(node, (split, watermark))| (*node, *split, *watermark)).collect()
    }

    /// The next batch for a later segment.
    pub(crate) fn pop_chained(&mut self) -> Option<(ChainTarget, BatchView)> {
        self.queue.pop_front()
    }

    /// Sends a watermark to all that read an operator from outside the chain.
    pub(crate) async fn forward_watermark(&mut self, node: NodeId, timestamp: EventTime) -> Result<(), TaskError> {
        for (source, writer) in &mut self.edges {
            if *source == node {
                writer.push_watermark(timestamp);
            }
        }
        self.drain().await
    }

    /// Puts a barrier behind all that was emitted, on all channels, and sends what can be sent at once.
    pub(crate) fn push_barrier(&mut self, barrier: &Arc<Barrier>) -> Result<(), TaskError> {
        for (_, writer) in &mut self.edges {
            writer.push_barrier(barrier);
            // What cannot be sent yet is sent when the snapshot has been taken.
            writer.try_drain()?;
        }
        Ok(())
    }

    /// Lets a barrier overtake what is pending. Returns the records that it has overtaken, which are still sent.
    pub(crate) fn overtake(&mut self, barrier: &Arc<Barrier>) -> Result<Vec<OvertakenRecords>, TaskError> {
        let mut records = Vec::new();
        for ((_, writer), Reader { uid, port, rerouting, subtasks }) in self.edges.iter_mut().zip(&self.readers) {
            let mut by_channel: BTreeMap<usize, Vec<Bytes>> = BTreeMap::new();
            for InFlight { channel, batch } in writer.push_barrier_unaligned(barrier)? {
                by_channel.entry(channel).or_default().push(batch.as_bytes().clone());
            }
            records.extend(by_channel.into_iter().map(|(channel, batches)| OvertakenRecords {
                target_uid: uid.clone(),
                target_port: *port,
                target_subtask: subtasks.get(channel).copied().unwrap_or_default(),
                rerouting: *rerouting,
                batches,
            }));
        }
        Ok(records)
    }

    /// Waits until all that is pending was sent.
    pub(crate) async fn drained(&mut self) -> Result<(), TaskError> {
        self.drain().await
    }

    /// Tells all that read an operator from outside the chain whether it is idle.
    pub(crate) async fn forward_status(&mut self, node: NodeId, idle: bool) -> Result<(), TaskError> {
        for (source, writer) in &mut self.edges {
            if *source == node {
                writer.push_status(idle);
            }
        }
        self.drain().await
    }

    /// Ends all channels.
    pub(crate) async fn end(&mut self) -> Result<(), TaskError> {
        self.edges.iter_mut().for_each(|(_, writer)| writer.push_end());
        self.drain().await
    }

    /// When rows must go that wait for more, or watermarks be told.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let rows = self.edges.iter().filter_map(|(_, writer)| writer.next_flush_deadline());
        rows.chain(self.watermarks_due).min()
    }

    /// Sends the rows that have waited long enough.
    pub(crate) async fn flush_due(&mut self, now: Instant) -> Result<(), TaskError> {
        self.edges.iter_mut().for_each(|(_, writer)| writer.flush_due(now));
        self.drain().await
    }

    /// Sends all that is pending. Only real waiting counts as backpressure.
    async fn drain(&mut self) -> Result<(), TaskError> {
        let metrics = &self.shared.metrics;
        for (_, writer) in &mut self.edges {
            if !writer.try_drain()? {
                metrics.set(TaskGauge::OutputQueue, writer.pending() as u64);
                let before = metrics.switch(Activity::Backpressured);
                writer.drain().await?;
                metrics.switch(before);
            }
        }
        let bytes: u64 = self.edges.iter().map(|(_, writer)| writer.bytes_out()).sum();
        let buffers: u64 = self.edges.iter().map(|(_, writer)| writer.batches_out()).sum();
        metrics.add(TaskCounter::BytesOut, bytes - self.bytes_counted);
        metrics.add(TaskCounter::BuffersOut, buffers - self.buffers_counted);
        (self.bytes_counted, self.buffers_counted) = (bytes, buffers);
        metrics.set(TaskGauge::OutputQueue, 0);
        Ok(())
    }
}

fn no_edge(node: NodeId, port: u32) -> Failure {
    let message = format!("emitted to port {port} of node {node}, which no edge leads out of");
    Failure::new(FailureKind::Contract, message).with_remedy(
        "emit only to ports that the graph has edges for, and not to those whose edges stay inside of the instance; \
         with an SDK, build the component with a current one",
    )
}

fn write_error(error: WriteError) -> TaskError {
    match error {
        WriteError::Closed(closed) => closed.into(),
        broken @ WriteError::NoKeys => Failure::new(FailureKind::Contract, broken.to_string()).into(),
        broken @ WriteError::Channels { .. } => Failure::new(FailureKind::Internal, broken.to_string()).into(),
    }
}
