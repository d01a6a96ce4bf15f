//! Feeding a chain from other tasks: the gates' records, watermarks and ends.

use millrace_network::{Gate, Item, Received};
use millrace_protocol::InputGate;
use millrace_task_core::{Input, WatermarkValve};
use millrace_types::{Failure, FailureKind, NodeId};
use tokio::time::Instant;

use crate::run::chain::Chain;
use crate::run::shared::{TaskError, TaskShared};
use crate::time_account::Activity;

/// One gate of the deployment: where it leads, and its watermark.
struct Entry {
    node: NodeId,
    port: u32,
    first_channel: usize,
    valve: WatermarkValve,
}

/// All gates of a task, read through one queue.
pub(crate) struct Inputs {
    gate: Gate,
    entries: Vec<Entry>,
    /// To which entry each channel of the queue belongs.
    entry_of: Vec<usize>,
}

impl Inputs {
    /// `gate` has the channels of all `inputs`, one behind the other.
    pub(crate) fn new(gate: Gate, inputs: &[InputGate]) -> Self {
        let mut entries = Vec::with_capacity(inputs.len());
        let mut entry_of = Vec::with_capacity(gate.channels().len());
        for (at, input) in inputs.iter().enumerate() {
            entries.push(Entry {
                node: input.target,
                port: input.target_port,
                first_channel: entry_of.len(),
                valve: WatermarkValve::new(input.channels.len()),
            });
            entry_of.extend(input.channels.iter().map(|_| at));
        }
        Self { gate, entries, entry_of }
    }

    /// Waits until all producers are there.
    pub(crate) async fn connected(&self) -> Result<(), TaskError> {
        Ok(self.gate.connected().await?)
    }

    /// Processes all input to its end.
    pub(crate) async fn run(&mut self, chain: &mut Chain, shared: &TaskShared) -> Result<(), TaskError> {
        while !chain.has_ended() {
            if self.gate.is_finished() {
                return Err(Failure::new(FailureKind::Internal, "the input has ended and the task has not").into());
            }
            if let Some(received) = self.next(chain, shared).await? {
                self.take(received, chain, shared).await?;
            }
            if chain.next_deadline()?.is_some_and(|deadline| deadline <= Instant::now()) {
                chain.on_time().await?;
            }
            // Input that never runs dry must not keep the thread from other tasks.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// What comes next; none: time has passed.
    async fn next(&mut self, chain: &mut Chain, shared: &TaskShared) -> Result<Option<Received>, TaskError> {
        if let Some(received) = self.gate.try_recv()? {
            return Ok(Some(received));
        }
        let deadline = chain.next_deadline()?;
        shared.metrics.switch(Activity::Idle);
        let received = tokio::select! {
            received = self.gate.recv() => received,
            () = sleep_until(deadline) => Ok(None),
        };
        shared.metrics.switch(Activity::Busy);
        Ok(received?)
    }

    async fn take(&mut self, received: Received, chain: &mut Chain, shared: &TaskShared) -> Result<(), TaskError> {
        let gate = self.entry_of[received.channel];
        let entry = &mut self.entries[gate];
        let channel = received.channel - entry.first_channel;
        let progress = match received.item {
            Item::Batch(batch) => {
                shared.metrics.count_in(batch.len(), batch.byte_len());
                return chain.process(entry.node, entry.port, &batch).await;
            }
            Item::Watermark(watermark) => entry.valve.watermark(channel, watermark),
            Item::Status { idle } => entry.valve.status(channel, idle),
            // Nobody triggers a checkpoint yet.
            Item::Barrier(_) | Item::Announced { .. } => return Ok(()),
            Item::EndOfInput => entry.valve.end(channel),
        };
        if let Some(watermark) = progress.watermark {
            chain.apply(Input::GateWatermark { gate, watermark }).await?;
        }
        if let Some(idle) = progress.idle {
            chain.apply(if idle { Input::GateIdle { gate } } else { Input::GateActive { gate } }).await?;
        }
        if progress.ended {
            chain.apply(Input::GateEnded { gate }).await?;
        }
        Ok(())
    }
}

/// Waits until a time; without one, for ever.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
