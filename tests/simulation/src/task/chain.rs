//! The operators of a task, driven by the production `ChainProgress` as the TaskManager's `Chain` does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_graph::Partitioning;
use millrace_protocol::{OutputEdge, Rerouting, TaskDeployment, UpgradeId};
use millrace_task_core::{ChainProgress, Command, Input};
use millrace_types::{
    Alignment, Barrier, CheckpointId, Digest, Failure, FailureKind, KeyGroupRange, NodeId, SnapshotKind,
};

use super::counter::Counter;
use super::sink::Sink;
use super::snapshot::{OperatorParts, OvertakenRows};
use super::{Env, TaskError};
use crate::graph;
use crate::plane::Item;
use crate::rows::{Row, key_group};

/// What an operator does.
#[derive(Debug)]
pub(crate) enum Work {
    Source,
    Relay,
    Count(Box<Counter>),
    /// `None`: it is not open yet.
    Sink(Option<Sink>),
}

#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) node: NodeId,
    pub(crate) uid: String,
    pub(crate) work: Work,
}

#[derive(Debug)]
struct Output {
    edge: OutputEdge,
    /// Whose turn it is.
    next: usize,
    /// The consuming operator and its port.
    target: (&'static str, u32),
}

#[derive(Debug)]
pub(crate) struct Chain {
    progress: ChainProgress,
    pub(crate) operators: Vec<Operator>,
    /// The operators behind each, by position.
    chained: Vec<Vec<usize>>,
    outputs: Vec<Output>,
    ended: bool,
    /// The code that the operators run.
    code: Digest,
    /// The code that they are ready to run.
    prepared: Option<(UpgradeId, Digest)>,
    /// Checkpoints were given up while it was ready for other code: others may have sent what only that reads, and all of
    /// them go back.
    gave_up: bool,
}

impl Chain {
    pub(crate) fn new(task: &TaskDeployment) -> Self {
        let vertex = &task.vertex;
        let gates: Vec<NodeId> = task.inputs.iter().map(|input| input.target).collect();
        let outputs: Vec<NodeId> = task.outputs.iter().map(|output| output.source).collect();
        let progress = ChainProgress::new(vertex, &gates, &outputs);
        let range = KeyGroupRange::of_subtask(task.attempt.subtask, vertex.parallelism, vertex.max_parallelism);
        let work = |node: NodeId, uid: &str| match uid {
            source if source.starts_with(graph::SOURCE) => Work::Source,
            graph::RELAY => Work::Relay,
            graph::COUNT => Work::Count(Box::new(Counter::new(node, range, vertex.max_parallelism))),
            _ => Work::Sink(None),
        };
        let operators: Vec<_> = vertex
            .nodes
            .iter()
            .map(|(node, stream)| Operator { node: *node, uid: stream.uid.clone(), work: work(*node, &stream.uid) })
            .collect();
        let position = |node: NodeId| operators.iter().position(|operator| operator.node == node);
        let mut chained = vec![Vec::new(); operators.len()];
        for edge in &vertex.chained_edges {
            if let (Some(from), Some(to)) = (position(edge.source), position(edge.target)) {
                chained[from].push(to);
            }
        }
        let uid = |node: NodeId| position(node).map_or("", |at| operators[at].uid.as_str());
        let outputs = task
            .outputs
            .iter()
            .map(|edge| Output {
                edge: edge.clone(),
                next: 0,
                target: target_of(uid(edge.source), task.outputs[0].partitioning),
            })
            .collect();
        let progress = progress.unwrap_or_else(|error| panic!("{error}"));
        let code = task.graph_digest;
        Self { progress, operators, chained, outputs, ended: false, code, prepared: None, gave_up: false }
    }

    /// Makes ready to run other code.
    pub(crate) fn prepare(&mut self, id: UpgradeId, code: Option<Digest>) {
        self.prepared = code.map(|code| (id, code));
    }

    /// Lets go of code that it made ready for.
    pub(crate) fn forget(&mut self, id: UpgradeId) {
        self.prepared.take_if(|(prepared, _)| *prepared == id);
    }

    /// A checkpoint is given up.
    pub(crate) fn give_up(&mut self) {
        self.gave_up |= self.prepared.is_some();
    }

    /// Runs the code that it is ready for.
    fn swap(&mut self) {
        let Some((_, code)) = self.prepared.take() else {
            panic!("the barrier of an upgrade came to a task that is not ready");
        };
        self.code = code;
    }

    /// Each record is processed by the code of the task that sent it: an upgrade's barrier parts them.
    pub(crate) fn check_code(&self, sent_by: Digest) {
        assert!(sent_by == self.code || self.gave_up, "a record came past the barrier of an upgrade");
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Whether all outputs take more.
    pub(crate) fn has_room(&self, env: &mut Env<'_>) -> bool {
        let credit = env.scenario.credit;
        let mut channels = self.outputs.iter().flat_map(|output| &output.edge.channels);
        channels.all(|channel| env.plane.get(&channel.id).items.len() < credit)
    }

    fn position(&self, node: NodeId) -> usize {
        let found = self.operators.iter().position(|operator| operator.node == node);
        found.unwrap_or_else(|| panic!("node {node} is not part of the task"))
    }

    /// Input for an operator.
    pub(crate) fn process(&mut self, node: NodeId, row: Row, env: &mut Env<'_>) -> Result<(), TaskError> {
        self.feed(self.position(node), row, env)?;
        self.advance(env)
    }

    fn feed(&mut self, at: usize, row: Row, env: &mut Env<'_>) -> Result<(), TaskError> {
        match &mut self.operators[at].work {
            Work::Source => panic!("a source got input"),
            Work::Relay => self.emit(at, row, env),
            Work::Count(counter) => {
                if env.faulty && env.rng.chance(env.scenario.chances.operator_fails) {
                    return Err(Failure::new(FailureKind::Trap, "the operator fails on this row").into());
                }
                let Row::Read(record) = row else { panic!("{row:?} came to the counter") };
                let mut out = Vec::new();
                counter.process(record, env.scenario, &mut out);
                out.into_iter().try_for_each(|row| self.emit(at, row, env))
            }
            Work::Sink(sink) => {
                let sink = sink.as_mut().unwrap_or_else(|| panic!("a sink that is not open got input"));
                sink.write(row);
                Ok(())
            }
        }
    }

    /// What an operator emits goes down the chain, and out.
    pub(crate) fn emit(&mut self, at: usize, row: Row, env: &mut Env<'_>) -> Result<(), TaskError> {
        for target in self.chained[at].clone() {
            self.feed(target, row, env)?;
        }
        let node = self.operators[at].node;
        for output in self.outputs.iter_mut().filter(|output| output.edge.source == node) {
            let channels = &output.edge.channels;
            let channel = match output.edge.partitioning {
                Partitioning::Hash => {
                    let group = key_group(row.key(env.scenario.keys), output.edge.target_max_parallelism);
                    let edge = &output.edge;
                    KeyGroupRange::subtask_of(group, edge.target_parallelism, edge.target_max_parallelism) as usize
                }
                _ => {
                    output.next = (output.next + 1) % channels.len();
                    output.next
                }
            };
            if !env.plane.push(&channels[channel].id, Item::Row(row, self.code)) {
                return Err(TaskError::PeerGone);
            }
        }
        Ok(())
    }

    /// A source has read a row.
    pub(crate) fn read(&mut self, node: NodeId, row: Row, time: i64, env: &mut Env<'_>) -> Result<(), TaskError> {
        self.emit(self.position(node), row, env)?;
        self.apply(Input::Emitted { node, watermark: time }, env)
    }

    /// Something happened to the inputs' watermarks or ends.
    pub(crate) fn apply(&mut self, input: Input, env: &mut Env<'_>) -> Result<(), TaskError> {
        self.progress.apply(input).map_err(Failure::from)?;
        self.advance(env)
    }

    fn advance(&mut self, env: &mut Env<'_>) -> Result<(), TaskError> {
        while let Some(command) = self.progress.next_command() {
            match command {
                Command::FireTimers { node, upto } => {
                    let (at, mut out) = (self.position(node), Vec::new());
                    if let Work::Count(counter) = &mut self.operators[at].work {
                        counter.fire(upto, &mut out);
                    }
                    out.into_iter().try_for_each(|row| self.emit(at, row, env))?;
                }
                Command::DeliverWatermark { node, watermark } => {
                    let at = self.position(node);
                    if let Work::Count(counter) = &mut self.operators[at].work {
                        counter.watermark(watermark);
                    }
                }
                // A transactional sink ends with its last checkpoint.
                Command::Finish { .. } => {}
                Command::ForwardWatermark { node, watermark } => {
                    self.push_all(Some(node), &Item::Watermark(watermark), env)?;
                }
                Command::ForwardStatus { node, idle } => self.push_all(Some(node), &Item::Idle(idle), env)?,
                Command::EndOutputs => self.end_outputs(env)?,
            }
        }
        Ok(())
    }

    /// Sends something to all channels of an operator, or of all.
    fn push_all(&self, node: Option<NodeId>, item: &Item, env: &mut Env<'_>) -> Result<(), TaskError> {
        let outputs = self.outputs.iter().filter(|output| node.is_none_or(|node| output.edge.source == node));
        for channel in outputs.flat_map(|output| &output.edge.channels) {
            if !env.plane.push(&channel.id, item.clone()) {
                return Err(TaskError::PeerGone);
            }
        }
        Ok(())
    }

    /// Takes a snapshot of all operators and sends the barrier on.
    pub(crate) fn snapshot(
        &mut self,
        barrier: &Arc<Barrier>,
        env: &mut Env<'_>,
    ) -> Result<(BTreeMap<String, OperatorParts>, Vec<OvertakenRows>), TaskError> {
        self.advance(env)?;
        let mut parts = BTreeMap::new();
        for operator in &mut self.operators {
            let mut part = OperatorParts::default();
            match &mut operator.work {
                Work::Source | Work::Relay => continue,
                Work::Count(counter) => part.sealed = Some(counter.seal()),
                Work::Sink(Some(sink)) => part.committables = sink.prepare(barrier.checkpoint, env),
                Work::Sink(None) => panic!("a sink that is not open takes part in a checkpoint"),
            }
            parts.insert(operator.uid.clone(), part);
        }
        let overtaken = self.push_barrier(barrier, env)?;
        if barrier.kind == SnapshotKind::Upgrade && !self.ended {
            self.swap();
        }
        Ok((parts, overtaken))
    }

    fn push_barrier(&self, barrier: &Arc<Barrier>, env: &mut Env<'_>) -> Result<Vec<OvertakenRows>, TaskError> {
        let overtakes_at = match (barrier.kind, barrier.alignment) {
            (SnapshotKind::Checkpoint, Alignment::Unaligned { timeout_ms }) => {
                Some(barrier.triggered_at.plus_ms(timeout_ms))
            }
            _ => None,
        };
        let overtakes = overtakes_at.is_some_and(|at| at <= env.now);
        let mut overtaken = Vec::new();
        for output in &self.outputs {
            let mut rows = Vec::new();
            for channel in &output.edge.channels {
                let id = channel.id;
                if !env.plane.push(&channel.id, Item::Barrier(Arc::clone(barrier))) {
                    return Err(TaskError::PeerGone);
                }
                let channel = env.plane.get(&channel.id);
                if overtakes && !channel.items.is_empty() {
                    rows.push((id.target_subtask, overtake(&mut channel.items, env.scenario.credit / 2)));
                }
                if overtakes_at.is_some() {
                    channel.announced.push_back((Arc::clone(barrier), overtakes));
                }
            }
            let (uid, port) = output.target;
            overtaken.extend(rows.into_iter().map(|(target_subtask, rows)| OvertakenRows {
                target_uid: uid.to_owned(),
                target_port: port,
                target_subtask,
                rerouting: Rerouting::of(output.edge.partitioning),
                rows,
            }));
        }
        Ok(overtaken)
    }

    pub(crate) fn commit(&mut self, completed: CheckpointId, env: &mut Env<'_>) -> Result<(), TaskError> {
        self.sinks().try_for_each(|sink| sink.commit(completed, env))
    }

    pub(crate) fn ends_by_checkpoint(&self) -> bool {
        self.operators.iter().any(|operator| matches!(operator.work, Work::Sink(_)))
    }

    pub(crate) fn publish(&mut self) {
        self.sinks().for_each(Sink::publish);
    }

    fn sinks(&mut self) -> impl Iterator<Item = &mut Sink> {
        self.operators.iter_mut().filter_map(|operator| match &mut operator.work {
            Work::Sink(sink) => sink.as_mut(),
            _ => None,
        })
    }

    /// Ends a task behind a savepoint that stops the job.
    pub(crate) fn stop(&mut self, env: &mut Env<'_>) -> Result<(), TaskError> {
        if self.ended { Ok(()) } else { self.end_outputs(env) }
    }

    pub(crate) fn end_outputs(&mut self, env: &mut Env<'_>) -> Result<(), TaskError> {
        self.push_all(None, &Item::End, env)?;
        self.ended = true;
        Ok(())
    }
}

/// Puts the barrier, which is the last item, in front of what has not been sent, and returns the rows that it overtakes.
/// It overtakes no other barrier.
fn overtake(items: &mut std::collections::VecDeque<Item>, sent: usize) -> Vec<Row> {
    let Some(barrier) = items.pop_back() else { return Vec::new() };
    let last_barrier = items.iter().rposition(|item| matches!(item, Item::Barrier(_)));
    let at = sent.max(last_barrier.map_or(0, |at| at + 1)).min(items.len());
    items.insert(at, barrier);
    let behind = items.iter().skip(at + 1);
    behind.filter_map(|item| if let Item::Row(row, _) = item { Some(*row) } else { None }).collect()
}

/// The operator and the port that an operator sends to.
fn target_of(uid: &str, partitioning: Partitioning) -> (&'static str, u32) {
    match (uid, partitioning) {
        (graph::COUNT, _) => (graph::SINK, 0),
        (graph::RELAY, _) | ("source-0", Partitioning::Hash) => (graph::COUNT, 0),
        ("source-1", _) => (graph::COUNT, 1),
        _ => (graph::RELAY, 0),
    }
}
