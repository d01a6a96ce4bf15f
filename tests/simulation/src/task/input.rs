//! Feeding a chain from other tasks, through the production `WatermarkValve` and `BarrierAligner`, as the TaskManager's
//! `Inputs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_protocol::{ChannelId, Rerouting, TaskDeployment};
use millrace_task_core::{AlignerCommand, BarrierAligner, GateProgress, Input, WatermarkValve};
use millrace_types::{Barrier, NodeId};

use super::chain::Chain;
use super::checkpoints::TaskCheckpoints;
use super::orders::Orders;
use super::snapshot::{OvertakenRows, Snapshot};
use super::{Env, TaskError};
use crate::plane::Item;
use crate::rows::Row;

/// One gate of the deployment.
#[derive(Debug)]
struct Entry {
    node: NodeId,
    uid: String,
    port: u32,
    rerouting: Rerouting,
    first_channel: usize,
    valve: WatermarkValve,
}

/// A snapshot that was taken before all barriers came.
#[derive(Debug)]
struct Capture {
    snapshot: Snapshot,
    channels: BTreeSet<usize>,
    rows: BTreeMap<usize, Vec<Row>>,
}

/// All gates of a task.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) channels: Vec<ChannelId>,
    entries: Vec<Entry>,
    entry_of: Vec<usize>,
    blocked: Vec<bool>,
    ended: Vec<bool>,
    aligner: BarrierAligner,
    capture: Option<Capture>,
    subtask: u32,
}

impl Inputs {
    pub(crate) fn new(task: &TaskDeployment) -> Self {
        let (mut entries, mut entry_of, mut channels) = (Vec::new(), Vec::new(), Vec::new());
        for (at, input) in task.inputs.iter().enumerate() {
            let uid =
                task.vertex.nodes.iter().find(|(node, _)| *node == input.target).map(|(_, node)| node.uid.clone());
            entries.push(Entry {
                node: input.target,
                uid: uid.unwrap_or_default(),
                port: input.target_port,
                rerouting: Rerouting::of(input.partitioning),
                first_channel: entry_of.len(),
                valve: WatermarkValve::new(input.channels.len()),
            });
            entry_of.extend(input.channels.iter().map(|_| at));
            channels.extend(input.channels.iter().map(|channel| channel.id));
        }
        let count = channels.len();
        let aligner = BarrierAligner::new(count);
        Self {
            subtask: task.attempt.subtask,
            channels,
            entries,
            entry_of,
            blocked: vec![false; count],
            ended: vec![false; count],
            aligner,
            capture: None,
        }
    }

    /// Takes all that comes and does nothing with it. Returns whether all has ended.
    pub(crate) fn discard(&mut self, env: &mut Env<'_>) -> Result<bool, TaskError> {
        for (at, id) in self.channels.iter().enumerate() {
            let channel = env.plane.get(id);
            self.ended[at] |= channel.items.contains(&Item::End);
            channel.items.clear();
            if channel.broken && !self.ended[at] {
                return Err(TaskError::PeerGone);
            }
        }
        Ok(self.ended.iter().all(|ended| *ended))
    }

    /// Does one thing. Returns whether there was anything to do.
    pub(crate) fn run(
        &mut self,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<bool, TaskError> {
        if let Some(orders) = checkpoints.orders.take() {
            self.heed(orders, chain, checkpoints, env)?;
            return Ok(true);
        }
        let mut commands = Vec::new();
        for id in &self.channels {
            for (barrier, overtaking) in env.plane.get(id).announced.drain(..) {
                self.aligner.announced(&barrier, overtaking, env.now, &mut commands);
            }
        }
        if self.aligner.next_deadline().is_some_and(|deadline| deadline <= env.now) {
            self.aligner.on_time(env.now, &mut commands);
        }
        if !commands.is_empty() {
            self.execute(commands, chain, checkpoints, env)?;
            return Ok(true);
        }
        if !chain.has_room(env) {
            return Ok(false);
        }
        let readable = |at: &usize| !self.blocked[*at] && !self.ended[*at];
        let waiting: Vec<usize> = (0..self.channels.len()).filter(readable).collect();
        let full: Vec<usize> =
            waiting.iter().copied().filter(|at| !env.plane.get(&self.channels[*at]).items.is_empty()).collect();
        if full.is_empty() {
            let broken = waiting.iter().any(|at| env.plane.get(&self.channels[*at]).broken);
            return if broken { Err(TaskError::PeerGone) } else { Ok(false) };
        }
        let channel = env.rng.one_of(&full);
        if let Some(item) = env.plane.get(&self.channels[channel]).items.pop_front() {
            self.take(channel, item, chain, checkpoints, env)?;
        }
        Ok(true)
    }

    fn heed(
        &mut self,
        orders: Orders,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<(), TaskError> {
        checkpoints.heed(&orders, chain, env)?;
        let mut commands = Vec::new();
        for aborted in &orders.aborted {
            self.aligner.aborted(*aborted, &mut commands);
        }
        if let Some(upto) = orders.aborted_upto {
            self.aligner.aborted_upto(upto, &mut commands);
        }
        let capturing = self.capture.as_ref().map(|capture| capture.snapshot.barrier.checkpoint);
        if capturing.is_some_and(|checkpoint| orders.has_aborted(checkpoint)) {
            self.end_capture(checkpoints, env);
        }
        for barrier in orders.triggers.into_values() {
            self.aligner.triggered(&Arc::new(barrier), env.now, &mut commands);
        }
        self.execute(commands, chain, checkpoints, env)
    }

    fn take(
        &mut self,
        channel: usize,
        item: Item,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<(), TaskError> {
        let gate = self.entry_of[channel];
        let entry = &mut self.entries[gate];
        let of_gate = channel - entry.first_channel;
        match item {
            Item::Row(row, code) => {
                chain.check_code(code);
                if let Some(capture) = &mut self.capture
                    && capture.channels.contains(&channel)
                {
                    capture.rows.entry(gate).or_default().push(row);
                }
                chain.process(entry.node, row, env)
            }
            Item::Watermark(watermark) => progressed(gate, entry.valve.watermark(of_gate, watermark), chain, env),
            Item::Idle(idle) => progressed(gate, entry.valve.status(of_gate, idle), chain, env),
            Item::Barrier(barrier) => self.barrier(channel, &barrier, chain, checkpoints, env),
            Item::End => {
                self.ended[channel] = true;
                progressed(gate, entry.valve.end(of_gate), chain, env)?;
                self.captured(channel, checkpoints, env);
                if chain.has_ended() && chain.has_outputs() {
                    // A barrier behind the end would reach nobody: the task finishes, and the JobMaster takes another
                    // checkpoint, of those that have not.
                    return Ok(());
                }
                let mut commands = Vec::new();
                self.aligner.ended(channel, env.now, &mut commands);
                self.execute(commands, chain, checkpoints, env)
            }
        }
    }

    fn barrier(
        &mut self,
        channel: usize,
        barrier: &Arc<Barrier>,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<(), TaskError> {
        if self.capture.as_ref().is_some_and(|capture| capture.snapshot.barrier.checkpoint <= barrier.checkpoint) {
            self.captured(channel, checkpoints, env);
        }
        let mut commands = Vec::new();
        self.aligner.barrier(channel, barrier, env.now, &mut commands);
        self.execute(commands, chain, checkpoints, env)
    }

    fn execute(
        &mut self,
        commands: Vec<AlignerCommand>,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<(), TaskError> {
        for command in commands {
            match command {
                AlignerCommand::Block { channel } => self.blocked[channel] = true,
                AlignerCommand::UnblockAll => self.blocked.fill(false),
                AlignerCommand::Decline { checkpoint, subsumed_by } => {
                    checkpoints.decline(checkpoint, subsumed_by, env)
                }
                AlignerCommand::TakeSnapshot { barrier, unaligned: _, in_flight } => {
                    if in_flight.is_empty() {
                        checkpoints.snapshot(&barrier, None, chain, env)?;
                        continue;
                    }
                    self.end_capture(checkpoints, env);
                    let snapshot = checkpoints.take(&barrier, None, chain, env)?;
                    let channels = in_flight.into_iter().collect();
                    self.capture = Some(Capture { snapshot, channels, rows: BTreeMap::new() });
                }
            }
        }
        Ok(())
    }

    /// What was in front of a channel's barrier has all come.
    fn captured(&mut self, channel: usize, checkpoints: &mut TaskCheckpoints, env: &mut Env<'_>) {
        let Some(capture) = &mut self.capture else { return };
        capture.channels.remove(&channel);
        if capture.channels.is_empty() {
            self.end_capture(checkpoints, env);
        }
    }

    fn end_capture(&mut self, checkpoints: &mut TaskCheckpoints, env: &mut Env<'_>) {
        let Some(Capture { mut snapshot, rows, .. }) = self.capture.take() else { return };
        for (gate, rows) in rows {
            let Entry { uid, port, rerouting, .. } = &self.entries[gate];
            let (target_uid, target_port, rerouting) = (uid.clone(), *port, *rerouting);
            let target_subtask = self.subtask;
            snapshot.overtaken.push(OvertakenRows { target_uid, target_port, target_subtask, rerouting, rows });
        }
        checkpoints.uploads.take(snapshot, env);
    }
}

/// Tells the chain what became of a gate.
fn progressed(gate: usize, progress: GateProgress, chain: &mut Chain, env: &mut Env<'_>) -> Result<(), TaskError> {
    if progress.idle == Some(false) {
        chain.apply(Input::GateActive { gate }, env)?;
    }
    if let Some(watermark) = progress.watermark {
        chain.apply(Input::GateWatermark { gate, watermark }, env)?;
    }
    if progress.idle == Some(true) {
        chain.apply(Input::GateIdle { gate }, env)?;
    }
    if progress.ended {
        chain.apply(Input::GateEnded { gate }, env)?;
    }
    Ok(())
}
