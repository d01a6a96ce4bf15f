//! The shape of a chain: which operator stands behind which.

use millrace_graph::{JobVertex, NodeKind};
use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME, NodeId};

/// One input of an operator: a gate, an operator of the chain, or what a source reads.
#[derive(Debug, Clone)]
pub(crate) struct InputSlot {
    pub(crate) watermark: EventTime,
    pub(crate) idle: bool,
    pub(crate) ended: bool,
}

impl InputSlot {
    fn new() -> Self {
        Self { watermark: MIN_EVENT_TIME, idle: false, ended: false }
    }
}

/// Where an input arrives: an operator by its position in the chain, and the slot there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) operator: usize,
    pub(crate) slot: usize,
}

/// One operator of the chain and how far it has come.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    pub(crate) id: NodeId,
    pub(crate) uid: String,
    /// A guest has timers and is told watermarks; of native operators only asynchronous ones are told these.
    pub(crate) guest: bool,
    /// It hands on rows and watermarks later than it gets them, and the runner says when.
    pub(crate) asynchronous: bool,
    /// It has rows or watermarks to hand on.
    pub(crate) pending: bool,
    pub(crate) source: bool,
    pub(crate) generates_watermarks: bool,
    /// Whether anything outside the chain reads it.
    pub(crate) feeds_outputs: bool,
    pub(crate) inputs: Vec<InputSlot>,
    pub(crate) targets: Vec<Target>,
    /// The watermark that its inputs have come to. It never falls.
    pub(crate) reached: EventTime,
    /// It generates watermarks, and has none to come for now.
    pub(crate) generates_none: bool,
    /// Those below know it as idle.
    pub(crate) known_idle: bool,
    /// Timers up to here were told to fire.
    pub(crate) fired: EventTime,
    /// The operator was told this watermark.
    pub(crate) delivered: EventTime,
    /// The highest watermark that it emitted itself.
    pub(crate) emitted: EventTime,
    /// The watermark that those below know.
    pub(crate) output: EventTime,
    pub(crate) finished: bool,
}

impl Operator {
    /// The watermark that the inputs have come to; the last one if there is no input at all.
    pub(crate) fn input_watermark(&self) -> EventTime {
        if self.inputs.is_empty() { MAX_EVENT_TIME } else { self.reached }
    }

    /// Takes in what an input has come to: the least of those that are active counts. Flink's
    /// `CombinedWatermarkStatus`.
    pub(crate) fn combine(&mut self) {
        let active = self.inputs.iter().filter(|slot| !slot.idle && !slot.ended).map(|slot| slot.watermark).min();
        let least = if self.input_ended() { Some(MAX_EVENT_TIME) } else { active };
        self.reached = self.reached.max(least.unwrap_or(self.reached));
    }

    /// Whether what passes it is what it emitted.
    pub(crate) fn emits_watermarks(&self) -> bool {
        self.generates_watermarks || self.asynchronous
    }

    /// Whether those below have nothing to wait for.
    pub(crate) fn is_idle(&self) -> bool {
        let inputs_idle = || !self.input_ended() && self.inputs.iter().all(|slot| slot.idle || slot.ended);
        !self.finished && if self.generates_watermarks { self.generates_none } else { inputs_idle() }
    }

    pub(crate) fn input_ended(&self) -> bool {
        self.inputs.iter().all(|slot| slot.ended)
    }

    fn add_input(&mut self) -> usize {
        self.inputs.push(InputSlot::new());
        self.inputs.len() - 1
    }
}

/// The operators of a vertex, in its order, wired as its edges say.
pub(crate) fn operators(vertex: &JobVertex, outputs: &[NodeId]) -> Vec<Operator> {
    let mut operators: Vec<Operator> = vertex
        .nodes
        .iter()
        .map(|(id, node)| Operator {
            id: *id,
            uid: node.uid.clone(),
            guest: node.kind.guest_code().is_some(),
            asynchronous: matches!(node.kind, NodeKind::NativeOperator(_)),
            pending: false,
            source: node.kind.is_source(),
            generates_watermarks: node.generates_watermarks && node.kind.guest_code().is_some(),
            feeds_outputs: outputs.contains(id),
            inputs: if node.kind.is_source() { vec![InputSlot::new()] } else { Vec::new() },
            targets: Vec::new(),
            reached: MIN_EVENT_TIME,
            generates_none: false,
            known_idle: false,
            fired: MIN_EVENT_TIME,
            delivered: MIN_EVENT_TIME,
            emitted: MIN_EVENT_TIME,
            output: MIN_EVENT_TIME,
            finished: false,
        })
        .collect();
    for edge in &vertex.chained_edges {
        let (Some(from), Some(to)) = (position(&operators, edge.source), position(&operators, edge.target)) else {
            debug_assert!(false, "a chained edge joins operators of the chain");
            continue;
        };
        debug_assert!(from < to, "the operators of a chain are in topological order");
        let slot = operators[to].add_input();
        operators[from].targets.push(Target { operator: to, slot });
    }
    operators
}

/// Adds a gate in front of an operator.
pub(crate) fn add_gate(operators: &mut [Operator], node: NodeId) -> Option<Target> {
    let operator = position(operators, node)?;
    Some(Target { operator, slot: operators[operator].add_input() })
}

pub(crate) fn position(operators: &[Operator], node: NodeId) -> Option<usize> {
    operators.iter().position(|operator| operator.id == node)
}
