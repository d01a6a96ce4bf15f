//! Feeding a chain from other tasks: the gates' records, watermarks, barriers and ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_graph::StreamNode;
use millrace_network::{Gate, InFlight, Item, Received};
use millrace_protocol::{InputGate, Rerouting, TaskGauge};
use millrace_task_core::{AlignerCommand, BarrierAligner, GateProgress, Input, WatermarkValve};
use millrace_types::{Barrier, Failure, FailureKind, NodeId, TaskManagerId, Timestamp};
use tokio::time::Instant;

use crate::run::chain::Chain;
use crate::run::checkpoints::{SnapshotExtras, TaskCheckpoints};
use crate::run::orders::Orders;
use crate::run::shared::{TaskError, TaskShared, wall_clock};
use crate::run::snapshot::{OvertakenRecords, Snapshot};
use crate::time_account::Activity;

/// What at most becomes part of one unaligned checkpoint of a task, in bytes.
const CAPTURED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One gate of the deployment: where it leads, and its watermark.
struct Entry {
    node: NodeId,
    uid: String,
    port: u32,
    rerouting: Rerouting,
    first_channel: usize,
    valve: WatermarkValve,
}

/// All gates of a task, read through one queue.
pub(crate) struct Inputs {
    gate: Gate,
    entries: Vec<Entry>,
    /// To which entry each channel of the queue belongs.
    entry_of: Vec<usize>,
    /// Whether the producer of each channel is on this TaskManager.
    is_local: Vec<bool>,
    aligner: BarrierAligner,
    /// When the first barrier came of the checkpoint that waits for more.
    first_barrier: Option<Instant>,
    /// A snapshot that was taken before all barriers came: what comes ahead of these belongs to it.
    unfinished: Option<Snapshot>,
    subtask: u32,
}

impl Inputs {
    /// `gate` has the channels of all `inputs`, one behind the other.
    /// `here` is the TaskManager that this is.
    pub(crate) fn new(
        gate: Gate,
        inputs: &[InputGate],
        nodes: &[(NodeId, StreamNode)],
        subtask: u32,
        here: &TaskManagerId,
    ) -> Self {
        let channels = inputs.iter().flat_map(|input| &input.channels);
        let is_local = channels.map(|channel| channel.task_manager == *here).collect();
        let mut entries = Vec::with_capacity(inputs.len());
        let mut entry_of = Vec::with_capacity(gate.channels().len());
        for (at, input) in inputs.iter().enumerate() {
            let uid = nodes.iter().find(|(node, _)| *node == input.target).map(|(_, node)| node.uid.clone());
            entries.push(Entry {
                node: input.target,
                uid: uid.unwrap_or_default(),
                port: input.target_port,
                rerouting: Rerouting::of(input.partitioning),
                first_channel: entry_of.len(),
                valve: WatermarkValve::new(input.channels.len()),
            });
            entry_of.extend(input.channels.iter().map(|_| at));
        }
        let aligner = BarrierAligner::new(entry_of.len());
        Self { gate, entries, entry_of, is_local, aligner, first_barrier: None, unfinished: None, subtask }
    }

    /// Waits until all producers are there.
    pub(crate) async fn connected(&self) -> Result<(), TaskError> {
        Ok(self.gate.connected().await?)
    }

    /// Takes all that comes and does nothing with it: of producers that have nothing to say but their end.
    pub(crate) async fn discard(&mut self) -> Result<(), TaskError> {
        while !self.gate.is_finished() {
            self.gate.recv().await?;
            self.gate.take_capture();
        }
        Ok(())
    }

    /// Processes all input to its end.
    pub(crate) async fn run(
        &mut self,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        while !chain.has_ended() {
            if let Some(orders) = checkpoints.orders() {
                self.heed(orders, chain, checkpoints, shared).await?;
                continue;
            }
            chain.hand_on().await?;
            if chain.has_ended() {
                continue;
            }
            if self.gate.is_finished() && !chain.awaits_answers() {
                return Err(Failure::new(FailureKind::Internal, "the input has ended and the task has not").into());
            }
            if let Some(received) = self.next(chain, checkpoints, shared).await? {
                self.take(received, chain, checkpoints, shared).await?;
            }
            if chain.next_deadline()?.is_some_and(|deadline| deadline <= Instant::now()) {
                chain.on_time().await?;
            }
            if self.aligner.next_deadline().is_some_and(|deadline| deadline <= wall_clock()) {
                let mut commands = Vec::new();
                self.aligner.on_time(wall_clock(), &mut commands);
                self.execute(commands, chain, checkpoints, shared).await?;
            }
            if self.unfinished.is_some() {
                self.end_capture(checkpoints).await?;
            }
            // Input that never runs dry must not keep the thread from other tasks.
            tokio::task::consume_budget().await;
        }
        checkpoints.conclude(SnapshotExtras::default, chain, shared).await?;
        // A producer that stops behind a savepoint may learn later than this task that it is complete, and ends its
        // channels then.
        self.discard().await
    }

    /// What comes next; none: time has passed, or the JobMaster has said something.
    async fn next(
        &mut self,
        chain: &mut Chain,
        checkpoints: &TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<Option<Received>, TaskError> {
        let takes = chain.has_room();
        chain.takes_input(takes);
        let (queued, queued_max) = self.gate.queued();
        shared.metrics.set(TaskGauge::InputQueue, queued as u64);
        shared.metrics.set(TaskGauge::InputQueueMax, queued_max as u64);
        if takes && let Some(received) = self.gate.try_recv()? {
            return Ok(Some(received));
        }
        let alignment = self.aligner.next_deadline().map(instant_of);
        let deadline = [chain.next_deadline()?, alignment].into_iter().flatten().min();
        // A task that has no room for its input has not too little to do: others are held up by it.
        shared.metrics.switch(if takes { Activity::Idle } else { Activity::Busy });
        let finished = self.gate.is_finished();
        let received = tokio::select! {
            received = self.gate.recv(), if takes && !finished => received,
            () = chain.answered() => Ok(None),
            () = checkpoints.ordered() => Ok(None),
            () = sleep_until(deadline) => Ok(None),
        };
        shared.metrics.switch(Activity::Busy);
        Ok(received?)
    }

    /// What the JobMaster says.
    async fn heed(
        &mut self,
        orders: Orders,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        checkpoints.heed(&orders, chain).await?;
        let mut commands = Vec::new();
        for aborted in &orders.aborted {
            self.aligner.aborted(*aborted, &mut commands);
        }
        if let Some(upto) = orders.aborted_upto {
            self.aligner.aborted_upto(upto, &mut commands);
        }
        let capturing = self.unfinished.as_ref().map(|snapshot| snapshot.barrier.checkpoint);
        if let Some(aborted) = capturing.filter(|checkpoint| orders.has_aborted(*checkpoint)) {
            self.gate.abandon_capture(aborted);
            self.give_up_capture(checkpoints, "it was aborted").await?;
        }
        for barrier in orders.triggers.into_values() {
            self.aligner.triggered(&Arc::new(barrier), wall_clock(), &mut commands);
        }
        self.execute(commands, chain, checkpoints, shared).await
    }

    async fn take(
        &mut self,
        received: Received,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        let gate = self.entry_of[received.channel];
        let entry = &mut self.entries[gate];
        let channel = received.channel - entry.first_channel;
        match received.item {
            Item::Batch(batch) => {
                let is_local = self.is_local[received.channel];
                shared.metrics.count_in(batch.len(), batch.byte_len(), is_local);
                chain.process(entry.node, entry.port, &batch).await
            }
            Item::Watermark(watermark) => {
                let progress = entry.valve.watermark(channel, watermark);
                progressed(gate, progress, chain).await
            }
            Item::Status { idle } => {
                let progress = entry.valve.status(channel, idle);
                progressed(gate, progress, chain).await
            }
            Item::Barrier(barrier) => {
                self.barrier_came(&barrier, checkpoints);
                let mut commands = Vec::new();
                self.aligner.barrier(received.channel, &barrier, wall_clock(), &mut commands);
                self.execute(commands, chain, checkpoints, shared).await
            }
            Item::Announced { barrier, overtaking } => {
                self.barrier_came(&barrier, checkpoints);
                let mut commands = Vec::new();
                self.aligner.announced(&barrier, overtaking, wall_clock(), &mut commands);
                self.execute(commands, chain, checkpoints, shared).await
            }
            Item::EndOfInput => {
                let progress = entry.valve.end(channel);
                progressed(gate, progress, chain).await?;
                if chain.has_ended() && !chain.ends_by_checkpoint() {
                    // The task ends: a checkpoint that waits here is taken again without it.
                    return Ok(());
                }
                let mut commands = Vec::new();
                self.aligner.ended(received.channel, wall_clock(), &mut commands);
                self.execute(commands, chain, checkpoints, shared).await
            }
        }
    }

    fn barrier_came(&mut self, barrier: &Barrier, checkpoints: &TaskCheckpoints) {
        if checkpoints.is_news(barrier.checkpoint) {
            self.first_barrier.get_or_insert_with(Instant::now);
        }
    }

    async fn execute(
        &mut self,
        commands: Vec<AlignerCommand>,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        for command in commands {
            match command {
                AlignerCommand::Block { channel } => self.gate.block(channel),
                AlignerCommand::UnblockAll => self.gate.unblock_all(),
                AlignerCommand::Decline { checkpoint, subsumed_by } => {
                    checkpoints.decline(checkpoint, subsumed_by, shared).await;
                }
                AlignerCommand::TakeSnapshot { barrier, unaligned, in_flight } => {
                    // What was sealed first is handed over first.
                    if let Some(open) = self.unfinished.as_ref().map(|open| open.barrier.checkpoint) {
                        self.end_capture(checkpoints).await?;
                        self.gate.abandon_capture(open);
                        self.give_up_capture(checkpoints, "a newer one has come").await?;
                    }
                    let first_barrier = self.first_barrier.take();
                    if barrier.drain {
                        // The task stops behind it: what comes of the last answers is to be in front of it.
                        chain.finish_answers().await?;
                        if chain.has_ended() && !chain.ends_by_checkpoint() {
                            // The task ends: the savepoint is taken without it.
                            continue;
                        }
                    }
                    let extras = SnapshotExtras { first_barrier, unaligned, reader: None };
                    if in_flight.is_empty() {
                        checkpoints.snapshot(&barrier, extras, chain, shared).await?;
                        continue;
                    }
                    self.gate.begin_capture(barrier.checkpoint, &in_flight, CAPTURED_BYTES_MAX);
                    let mut snapshot = checkpoints.take(&barrier, extras, chain).await?;
                    checkpoints.send_barrier(&mut snapshot, &barrier, chain, shared).await?;
                    self.unfinished = Some(snapshot);
                }
            }
        }
        Ok(())
    }

    /// Hands over a snapshot when all that was in front of the barriers has come.
    async fn end_capture(&mut self, checkpoints: &TaskCheckpoints) -> Result<(), TaskError> {
        let Some((checkpoint, captured)) = self.gate.take_capture() else { return Ok(()) };
        let Some(mut snapshot) = self.unfinished.take_if(|snapshot| snapshot.barrier.checkpoint == checkpoint) else {
            return Ok(());
        };
        match captured {
            Ok(batches) => {
                let mut by_gate: BTreeMap<usize, Vec<Bytes>> = BTreeMap::new();
                for InFlight { channel, batch } in batches {
                    by_gate.entry(self.entry_of[channel]).or_default().push(batch.as_bytes().clone());
                }
                for (gate, batches) in by_gate {
                    let Entry { uid, port, rerouting, .. } = &self.entries[gate];
                    snapshot.overtaken.push(OvertakenRecords {
                        target_uid: uid.clone(),
                        target_port: *port,
                        target_subtask: self.subtask,
                        rerouting: *rerouting,
                        batches,
                    });
                }
            }
            Err(error) => snapshot.refused = Some(Failure::new(FailureKind::Checkpoint, error.to_string())),
        }
        checkpoints.hand_over(snapshot).await
    }

    /// Hands over a snapshot that cannot be completed, for the changes in it.
    async fn give_up_capture(&mut self, checkpoints: &TaskCheckpoints, why: &str) -> Result<(), TaskError> {
        let Some(mut snapshot) = self.unfinished.take() else { return Ok(()) };
        let message = format!("checkpoint {} was given up: {why}", snapshot.barrier.checkpoint);
        snapshot.refused = Some(Failure::new(FailureKind::Checkpoint, message));
        checkpoints.hand_over(snapshot).await
    }
}

/// Tells the chain what became of a gate.
async fn progressed(gate: usize, progress: GateProgress, chain: &mut Chain) -> Result<(), TaskError> {
    if progress.idle == Some(false) {
        chain.apply(Input::GateActive { gate }).await?;
    }
    if let Some(watermark) = progress.watermark {
        chain.apply(Input::GateWatermark { gate, watermark }).await?;
    }
    if progress.idle == Some(true) {
        chain.apply(Input::GateIdle { gate }).await?;
    }
    if progress.ended {
        chain.apply(Input::GateEnded { gate }).await?;
    }
    Ok(())
}

/// When the wall clock shows a time.
fn instant_of(at: Timestamp) -> Instant {
    Instant::now() + Duration::from_millis(at.since_ms(wall_clock()))
}

/// Waits until a time; without one, for ever.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
