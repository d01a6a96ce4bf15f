//! One segment of a chain: a guest's operators, a native source, operator or sink.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_connectors::{ConnectorError, PollStatus, Sink, SourceReader};
use millrace_sandbox::PollStatus as GuestPollStatus;
use millrace_types::{BATCH_BYTES, CheckpointId, CrashPoint, CrashPoints, EventTime, Failure, FailureKind, NodeId};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};

use crate::run::asynchronous::AsyncSegment;
use crate::run::guest::GuestSegment;
use crate::run::outlet::Outlet;
use crate::run::shared::TaskError;
use crate::splits::{ReadStatus, Split};

/// What a guest's source is asked for at once. It emits full batches while it is at that, and a call has its price.
const POLL_BYTES: u32 = 4 * BATCH_BYTES;

/// The port that native sources and operators emit to.
pub(crate) const NATIVE_PORT: u32 = 0;

/// A source of the host.
pub(crate) struct NativeSource {
    pub node: NodeId,
    pub name: String,
    pub reader: Box<dyn SourceReader>,
    pub outlet: Outlet,
}

/// A sink of the host.
pub(crate) struct NativeSink {
    pub uid: String,
    pub name: String,
    pub sink: Box<dyn Sink>,
    /// It was made visible or removed: nothing else may be called.
    pub closed: bool,
    /// What was not committed at the barriers of checkpoints that are not complete, by checkpoint.
    pub prepared: BTreeMap<CheckpointId, Vec<Bytes>>,
}

/// One segment.
pub(crate) enum Segment {
    /// Boxed: it is several times the size of the others.
    Guest(Box<GuestSegment>),
    Source(NativeSource),
    /// Boxed for the same reason.
    Async(Box<AsyncSegment>),
    Sink(NativeSink),
}

pub(crate) fn connector_failed(name: &str, error: ConnectorError) -> TaskError {
    TaskError::Failed(Failure::from(error).in_operator(name))
}

fn not_meant(what: &str) -> TaskError {
    Failure::new(FailureKind::Internal, format!("{what}: the task's chain is not what its deployment says")).into()
}

impl Segment {
    /// The way out; none: a sink.
    pub(crate) fn outlet(&mut self) -> Result<Option<&mut Outlet>, TaskError> {
        match self {
            Self::Guest(guest) => Ok(Some(&mut guest.host()?.outlet)),
            Self::Source(source) => Ok(Some(&mut source.outlet)),
            Self::Async(operator) => Ok(Some(&mut operator.outlet)),
            Self::Sink(_) => Ok(None),
        }
    }

    pub(crate) fn guest(&mut self) -> Result<&mut GuestSegment, TaskError> {
        match self {
            Self::Guest(guest) => Ok(guest),
            Self::Source(_) | Self::Async(_) | Self::Sink(_) => {
                Err(not_meant("a native operator was called as a guest"))
            }
        }
    }

    /// The watermark of an operator has advanced.
    pub(crate) async fn watermark(&mut self, node: NodeId, watermark: EventTime) -> Result<(), TaskError> {
        match self {
            Self::Async(operator) => {
                operator.watermark(watermark);
                Ok(())
            }
            other => other.guest()?.watermark(node, watermark).await,
        }
    }

    pub(crate) async fn process(&mut self, node: NodeId, port: u32, batch: &BatchView) -> Result<(), TaskError> {
        match self {
            Self::Guest(guest) => guest.process(node, port, batch).await,
            Self::Sink(sink) => sink.sink.write(batch).await.map_err(|error| connector_failed(&sink.name, error)),
            Self::Async(operator) => {
                operator.process(batch);
                Ok(())
            }
            Self::Source(_) => Err(not_meant("a source got input")),
        }
    }

    /// Reads on from a split and hands over what was read. Returns where to go on.
    pub(crate) async fn read(&mut self, node: NodeId, split: &Split) -> Result<(Bytes, ReadStatus), TaskError> {
        match self {
            Self::Guest(guest) => {
                let polled = guest.poll(node, &split.bytes, &split.offset, POLL_BYTES).await?;
                let status = match polled.status {
                    GuestPollStatus::More => ReadStatus::More,
                    GuestPollStatus::Idle(ms) => ReadStatus::IdleMs(ms),
                    GuestPollStatus::Finished => ReadStatus::Finished,
                };
                Ok((polled.offset, status))
            }
            Self::Source(source) => source.read(split).await,
            Self::Async(_) | Self::Sink(_) => Err(not_meant("an operator that is no source was read")),
        }
    }

    /// All input of an operator has ended.
    pub(crate) async fn finish(&mut self, node: NodeId) -> Result<(), TaskError> {
        match self {
            Self::Guest(guest) => guest.finish(node).await,
            Self::Sink(sink) if sink.sink.transactional() => Ok(()),
            Self::Sink(sink) => sink.publish().await,
            Self::Source(_) | Self::Async(_) => Ok(()),
        }
    }

    /// Removes unfinished output of a task that will not end as it should.
    pub(crate) async fn abort(&mut self) {
        if let Self::Sink(sink) = self
            && !std::mem::replace(&mut sink.closed, true)
        {
            sink.sink.abort().await;
        }
    }
}

impl NativeSink {
    /// Makes all that was written visible.
    pub(crate) async fn publish(&mut self) -> Result<(), TaskError> {
        if !std::mem::replace(&mut self.closed, true) {
            self.sink.finish().await.map_err(|error| connector_failed(&self.name, error))?;
        }
        Ok(())
    }

    /// Prepares what was written. Returns all that is not committed: what was prepared for a checkpoint that was aborted
    /// belongs to the next one.
    pub(crate) async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Bytes>, TaskError> {
        if self.closed {
            return Ok(Vec::new());
        }
        let prepared = self.sink.prepare(checkpoint).await.map_err(|error| connector_failed(&self.name, error))?;
        if !prepared.is_empty() {
            self.prepared.insert(checkpoint, prepared.clone());
        }
        Ok(prepared)
    }

    /// Commits what was prepared for a checkpoint that is complete.
    pub(crate) async fn commit(
        &mut self,
        completed: CheckpointId,
        crash_points: &CrashPoints,
    ) -> Result<(), TaskError> {
        let later = self.prepared.split_off(&CheckpointId(completed.0.saturating_add(1)));
        // The newest one has what the earlier ones had.
        if let Some((_, committables)) = std::mem::replace(&mut self.prepared, later).pop_last() {
            crash_points.pass(CrashPoint::Completed);
            self.sink.commit(&committables).await.map_err(|error| connector_failed(&self.name, error))?;
            crash_points.pass(CrashPoint::Committed);
        }
        Ok(())
    }
}

impl NativeSource {
    async fn read(&mut self, split: &Split) -> Result<(Bytes, ReadStatus), TaskError> {
        let mut rows = BatchBuilder::new(BatchFlags::default());
        let polled = self.reader.poll(&split.bytes, &split.offset, &mut rows, BATCH_BYTES as usize).await;
        let polled = polled.map_err(|error| connector_failed(&self.name, error))?;
        if !rows.is_empty() {
            let rows = rows.finish_view();
            self.outlet.count_read(self.node, rows.len(), rows.byte_len());
            self.outlet.emit(self.node, NATIVE_PORT, rows).await?;
        }
        let status = match polled.status {
            PollStatus::More => ReadStatus::More,
            PollStatus::Idle { wait_ms } => ReadStatus::IdleMs(wait_ms),
            PollStatus::Finished => ReadStatus::Finished,
        };
        Ok((Bytes::from(polled.offset), status))
    }
}
