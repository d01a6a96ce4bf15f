//! Runs a graph in one thread: a queue of batches and watermarks between subtasks.

use std::collections::{BTreeMap, VecDeque};

use super::host::Output;
use super::layout::{Layout, is_own};
use super::random::Random;
use super::route::{Turn, connects, spread};
use super::splits::{SplitWatermarks, generators_behind};
use super::stand_ins::{Component, StandIns};
use super::task::{BuildProgram, Task};
use crate::batch::{BatchReader, BatchWriter};
use crate::error::{Error, Result};
use crate::graph::{Edge, NodeKind, StreamGraph};
use crate::host::Clock;
use crate::runtime::{OpenContext, PollStatus};

/// A node's subtask.
type Place = (u32, u32);

/// The bounds within which instances run.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub parallelism: u32,
    pub max_parallelism: u32,
    pub batch_bytes: u32,
    pub record_bytes_max: u32,
    pub state_cache_bytes: u32,
}

enum Content {
    Batch(Vec<u8>),
    Watermark(i64),
}

struct Message {
    edge: usize,
    from: u32,
    to: u32,
    content: Content,
}

/// A row that reached a sink.
#[derive(Debug, Clone)]
pub(super) struct SinkRow {
    pub timestamp: i64,
    pub payload: Vec<u8>,
}

pub(super) struct Engine {
    build: BuildProgram,
    pub graph: StreamGraph,
    layout: Layout,
    bounds: Bounds,
    stand_ins: StandIns,
    tasks: BTreeMap<(usize, u32), Task>,
    queue: VecDeque<Message>,
    turns: BTreeMap<(usize, u32), Turn>,
    /// The watermark of each channel, by edge, producer and target subtask.
    channels: BTreeMap<(usize, u32, u32), i64>,
    /// The watermarks that nodes have been told, and those that they have sent.
    told: BTreeMap<Place, i64>,
    sent: BTreeMap<Place, i64>,
    /// What generates watermarks behind a source that is read in splits.
    splits: BTreeMap<Place, SplitWatermarks>,
    sinks: BTreeMap<u32, Vec<SinkRow>>,
    random: Option<Random>,
}

impl Engine {
    pub fn new(build: BuildProgram, bounds: Bounds, stand_ins: StandIns, seed: Option<u64>) -> Result<Self> {
        let graph = build()?.graph().clone();
        let mut random = seed.map(Random);
        let layout = Layout::new(&graph, random.as_mut());
        let mut engine = Self {
            build,
            graph,
            layout,
            bounds,
            stand_ins,
            tasks: BTreeMap::new(),
            queue: VecDeque::new(),
            turns: BTreeMap::new(),
            channels: BTreeMap::new(),
            told: BTreeMap::new(),
            sent: BTreeMap::new(),
            splits: BTreeMap::new(),
            sinks: BTreeMap::new(),
            random,
        };
        for (segment, nodes) in engine.layout.segments.clone().into_iter().enumerate() {
            for subtask in 0..engine.parallelism(nodes[0]) {
                let context = OpenContext {
                    operators: nodes.clone(),
                    batch_bytes: engine.bounds.batch_bytes,
                    record_bytes_max: engine.bounds.record_bytes_max,
                    state_cache_bytes: engine.bounds.state_cache_bytes,
                };
                let task = Task::new(engine.build.clone(), context, engine.bounds.max_parallelism)?;
                engine.tasks.insert((segment, subtask), task);
            }
        }
        Ok(engine)
    }

    pub fn parallelism(&self, node: u32) -> u32 {
        self.graph.nodes[node as usize].parallelism.unwrap_or(self.bounds.parallelism)
    }

    /// The node of this name of which `is_wanted` holds.
    pub fn find(&self, name: &str, is_wanted: fn(&NodeKind) -> bool) -> Option<u32> {
        let found = self.graph.nodes.iter().position(|node| is_wanted(&node.kind) && node.name == name);
        found.map(|node| node as u32)
    }

    /// The rows that have reached a sink since the last time.
    pub fn take_sink(&mut self, node: u32) -> Vec<SinkRow> {
        self.sinks.remove(&node).unwrap_or_default()
    }

    /// How many entries of state and how many timers the hosts have.
    pub fn kept(&self) -> (usize, usize) {
        let kept = self.tasks.values().map(Task::kept);
        kept.fold((0, 0), |sum, kept| (sum.0 + kept.0, sum.1 + kept.1))
    }

    /// How many reads of state by keys there were.
    pub fn gets(&self) -> u64 {
        self.tasks.values().map(Task::gets).sum()
    }

    fn task(&mut self, (node, subtask): Place) -> Result<&mut Task> {
        let segment = self.layout.segment_of.get(&node).copied();
        let task = segment.and_then(|segment| self.tasks.get_mut(&(segment, subtask)));
        task.ok_or_else(|| Error::msg(format_args!("node {node} has no subtask {subtask}")))
    }

    /// Flushes all instances and throws them away.
    pub fn replace_all(&mut self) -> Result<()> {
        self.each_task(Task::replace)
    }

    /// Flushes all instances.
    pub fn flush_all(&mut self) -> Result<()> {
        self.each_task(Task::flush)
    }

    /// Does something to each task, and takes what its instance hands over because of that.
    fn each_task(&mut self, act: fn(&mut Task) -> Result<()>) -> Result<()> {
        let places: Vec<(usize, u32)> = self.tasks.keys().copied().collect();
        for (segment, subtask) in places {
            let place = (self.layout.segments[segment][0], subtask);
            act(self.task(place)?)?;
            self.drain(place)?;
        }
        self.run()
    }

    /// Before a call: perhaps the instance is replaced, or only flushed.
    fn disturb(&mut self, place: Place) -> Result<()> {
        match self.random.as_mut().map(|random| random.below(8)) {
            Some(0 | 1) => self.task(place)?.replace()?,
            Some(2) => self.task(place)?.flush()?,
            _ => return Ok(()),
        }
        self.drain(place)
    }

    /// Sends a batch out of a node.
    pub fn emit(&mut self, (node, subtask): Place, port: u32, bytes: &[u8]) -> Result<()> {
        let is_of_port = |edge: &Edge| edge.source == node && edge.source_port == port;
        let mut is_read = false;
        for (index, edge) in self.graph.edges.iter().enumerate().filter(|(_, edge)| is_of_port(edge)) {
            if self.layout.is_fused(&self.graph, edge) {
                continue;
            }
            is_read = true;
            let (targets, groups) = (self.parallelism(edge.target), self.bounds.max_parallelism);
            let turn = self.turns.entry((index, subtask)).or_default();
            for (to, bytes) in spread(edge.partitioning, bytes.to_vec(), subtask, targets, groups, turn)? {
                self.queue.push_back(Message { edge: index, from: subtask, to, content: Content::Batch(bytes) });
            }
        }
        if is_read {
            Ok(())
        } else {
            Err(Error::msg(format_args!("node {node} emits to port {port}, which has no edge")))
        }
    }

    /// Sends a watermark out of a node, unless it does not advance.
    pub fn emit_watermark(&mut self, place: Place, timestamp: i64) -> Result<()> {
        let (node, subtask) = place;
        let sent = self.sent.entry(place).or_insert(i64::MIN);
        if timestamp <= *sent {
            return Ok(());
        }
        *sent = timestamp;
        let edges: Vec<(usize, Edge)> = self.graph.edges.iter().copied().enumerate().collect();
        for (index, edge) in edges.into_iter().filter(|(_, edge)| edge.source == node) {
            if self.layout.is_fused(&self.graph, &edge) {
                self.receive_watermark(index, subtask, subtask, timestamp)?;
                continue;
            }
            for to in (0..self.parallelism(edge.target)).filter(|to| connects(edge.partitioning, subtask, *to)) {
                let content = Content::Watermark(timestamp);
                self.queue.push_back(Message { edge: index, from: subtask, to, content });
            }
        }
        Ok(())
    }

    fn receive_watermark(&mut self, edge: usize, from: u32, to: u32, timestamp: i64) -> Result<()> {
        self.channels.insert((edge, from, to), timestamp);
        let target = self.graph.edges[edge].target;
        let mut least = i64::MAX;
        for (index, edge) in self.graph.edges.iter().enumerate().filter(|(_, edge)| edge.target == target) {
            for from in (0..self.parallelism(edge.source)).filter(|from| connects(edge.partitioning, *from, to)) {
                least = least.min(self.channels.get(&(index, from, to)).copied().unwrap_or(i64::MIN));
            }
        }
        let told = self.told.entry((target, to)).or_insert(i64::MIN);
        if least <= *told {
            return Ok(());
        }
        *told = least;
        self.advance((target, to), least)
    }

    /// A node's watermark has advanced.
    fn advance(&mut self, place: Place, timestamp: i64) -> Result<()> {
        let node = &self.graph.nodes[place.0 as usize];
        let generates_watermarks = node.generates_watermarks;
        if is_own(&node.kind) {
            self.fire(place, Clock::EventTime, timestamp)?;
            self.task(place)?.watermark(place.0, timestamp)?;
            self.drain(place)?;
        }
        if generates_watermarks { Ok(()) } else { self.emit_watermark(place, timestamp) }
    }

    fn fire(&mut self, place: Place, clock: Clock, up_to: i64) -> Result<()> {
        loop {
            self.disturb(place)?;
            if !self.task(place)?.fire(place.0, clock, up_to)? {
                return Ok(());
            }
            self.drain(place)?;
        }
    }

    /// Sets the wall clock of all subtasks and fires what is due.
    pub fn set_processing_time(&mut self, now_ms: i64) -> Result<()> {
        for task in self.tasks.values() {
            task.set_now_ms(now_ms);
        }
        let nodes: Vec<u32> = self.layout.segment_of.keys().copied().collect();
        for node in nodes {
            for subtask in 0..self.parallelism(node) {
                self.fire((node, subtask), Clock::ProcessingTime, now_ms)?;
            }
        }
        self.run()
    }

    /// Takes what an instance has handed over.
    fn drain(&mut self, place: Place) -> Result<()> {
        for output in self.task(place)?.take_outputs()? {
            match output {
                Output::Batch { node, port, bytes } => self.emit((node, place.1), port, &bytes)?,
                Output::Watermark { node, timestamp } => {
                    let splits = self.splits.get_mut(&(node, place.1));
                    let timestamp = splits.map_or(timestamp, |splits| splits.emitted(timestamp));
                    self.emit_watermark((node, place.1), timestamp)?;
                }
            }
        }
        Ok(())
    }

    /// Works until nothing is left in the queue.
    pub fn run(&mut self) -> Result<()> {
        while let Some(message) = self.queue.pop_front() {
            match message.content {
                Content::Watermark(timestamp) => {
                    self.receive_watermark(message.edge, message.from, message.to, timestamp)?;
                }
                Content::Batch(bytes) => self.receive(message.edge, message.to, &bytes)?,
            }
        }
        Ok(())
    }

    fn receive(&mut self, edge: usize, to: u32, bytes: &[u8]) -> Result<()> {
        let edge = self.graph.edges[edge];
        let place = (edge.target, to);
        match &self.graph.nodes[edge.target as usize].kind {
            NodeKind::NativeSink(_) => {
                let rows = BatchReader::new(bytes)?;
                let rows = rows.rows().map(|row| SinkRow { timestamp: row.timestamp, payload: row.payload.to_vec() });
                self.sinks.entry(edge.target).or_default().extend(rows);
                Ok(())
            }
            NodeKind::Operator(code) => match &code.component {
                None => {
                    self.disturb(place)?;
                    self.task(place)?.process(edge.target, edge.target_port, bytes)?;
                    self.drain(place)
                }
                Some(component) => {
                    let component = self.stand_ins.component(component)?;
                    self.stand_in(place, &component, bytes)
                }
            },
            NodeKind::NativeOperator(_) => {
                let name = &self.graph.nodes[edge.target as usize].name;
                let service = self.stand_ins.service(name, edge.format)?;
                self.stand_in(place, &service, bytes)
            }
            NodeKind::Source(_) | NodeKind::NativeSource(_) => Err(Error::msg("a source has an input")),
        }
    }

    fn stand_in(&mut self, place: Place, stand_in: &Component, bytes: &[u8]) -> Result<()> {
        let batch = BatchReader::new(bytes)?;
        let mut output = BatchWriter::new(batch.is_timestamped(), false);
        for row in batch.rows() {
            for payload in stand_in(row.payload) {
                output.row(row.timestamp, &[], &payload);
            }
        }
        let output = output.finish().to_vec();
        self.emit(place, 0, &output)
    }

    /// The records of a source's subtask come from this split from here on.
    pub fn turn(&mut self, (source, subtask): Place, split: u32) -> Result<()> {
        for node in generators_behind(&self.graph, source) {
            if is_own(&self.graph.nodes[node as usize].kind) {
                let watermark = self.splits.entry((node, subtask)).or_default().turn(split);
                self.task((node, subtask))?.turn(node, split, watermark)?;
            }
        }
        Ok(())
    }

    /// A split of a source's subtask has ended.
    pub fn end_split(&mut self, (source, subtask): Place, split: u32) -> Result<()> {
        for node in generators_behind(&self.graph, source) {
            let splits = self.splits.get_mut(&(node, subtask));
            if let Some(timestamp) = splits.and_then(|splits| splits.end(split)) {
                self.emit_watermark((node, subtask), timestamp)?;
            }
        }
        self.run()
    }

    /// Reads a source of this component to its end.
    pub fn read_source(&mut self, node: u32) -> Result<()> {
        let parallelism = self.parallelism(node);
        let splits = (self.build)()?.splits(node, parallelism)?;
        for ((subtask, split), number) in (0..parallelism).cycle().zip(&splits).zip(0..) {
            let (place, mut offset) = ((node, subtask), Vec::new());
            self.turn(place, number)?;
            loop {
                self.disturb(place)?;
                let bytes_max = self.bounds.batch_bytes;
                let polled = self.task(place)?.poll(node, split, &offset, bytes_max)?;
                self.drain(place)?;
                self.run()?;
                offset = polled.offset;
                match polled.status {
                    PollStatus::More => {}
                    PollStatus::Finished => break,
                    PollStatus::Idle { .. } => {
                        let name = &self.graph.nodes[node as usize].name;
                        return Err(Error::msg(format_args!("'{name}' is idle; a pipeline needs sources that end")));
                    }
                }
            }
            self.end_split(place, number)?;
        }
        Ok(())
    }
}
