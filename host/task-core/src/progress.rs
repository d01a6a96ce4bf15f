//! How watermarks and the end of input pass through a chain.
//!
//! [`ChainProgress`] takes what happened ([`Input`]) and says what to do next ([`Command`]), one command at a time: a
//! command may make a guest emit a watermark, and what is to be done after it depends on that. Operators are
//! served in topological order, so that all that one of them emits at a watermark reaches those below before the
//! watermark does.
//!
//! For each operator the order is: fire timers, deliver the watermark, then let it pass. The last watermark,
//! [`MAX_EVENT_TIME`], passes only when the operator has finished, since it may emit rows until then; Flink lets it
//! pass before, which makes such rows late.
//!
//! Idleness passes with the watermarks, as Flink's `WatermarkStatus` does: an operator is idle while all its inputs are
//! that have not ended; one that generates watermarks, while it says so itself. Idle inputs hold no watermark back.
//! What an input reached before it became idle counts.
//!
//! An asynchronous operator, which waits for answers from elsewhere, is told watermarks as a guest is, and lets pass those
//! that the runner says it has come to, behind the rows before them: the last one when no row is left. It has finished
//! then, and is not idle before.

use millrace_graph::JobVertex;
use millrace_types::{EventTime, MAX_EVENT_TIME, NodeId};

use crate::error::ProgressError;
use crate::topology::{self, Operator, Target};

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The watermark of a gate has advanced.
    GateWatermark {
        /// The gate's position among those of the task.
        gate: usize,
        /// The watermark.
        watermark: EventTime,
    },
    /// All channels of a gate have ended.
    GateEnded {
        /// The gate's position among those of the task.
        gate: usize,
    },
    /// All channels of a gate are idle that have not ended.
    GateIdle {
        /// The gate's position among those of the task.
        gate: usize,
    },
    /// A channel of a gate is active again.
    GateActive {
        /// The gate's position among those of the task.
        gate: usize,
    },
    /// An operator that generates watermarks has had no records for its idle timeout.
    NodeIdle {
        /// The operator.
        node: NodeId,
    },
    /// An operator that generates watermarks has records again. A watermark that it emits says the same.
    NodeActive {
        /// The operator.
        node: NodeId,
    },
    /// A source has read its last split.
    SourceFinished {
        /// The source.
        node: NodeId,
    },
    /// A guest called `emit-watermark`, or an asynchronous operator has handed on all rows in front of a watermark that it
    /// was told. One that does not exceed the last one has no effect.
    Emitted {
        /// The operator.
        node: NodeId,
        /// The watermark.
        watermark: EventTime,
    },
    /// Whether an asynchronous operator has rows or watermarks that it has not handed on.
    Pending {
        /// The operator.
        node: NodeId,
        /// Whether it has.
        pending: bool,
    },
}

/// What the runner has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Fire the operator's event-time timers up to and including `upto`, also those that are set meanwhile.
    FireTimers {
        /// The operator; a guest.
        node: NodeId,
        /// The new watermark.
        upto: EventTime,
    },
    /// Call the operator's `watermark`; put it behind an asynchronous operator's rows.
    DeliverWatermark {
        /// The operator; a guest or asynchronous.
        node: NodeId,
        /// The watermark.
        watermark: EventTime,
    },
    /// Call the operator's `finish`, or close the native operator. Its timers of both clocks are void from now on.
    Finish {
        /// The operator.
        node: NodeId,
    },
    /// Send the watermark to all channels of all outputs of the operator, behind all that it emitted.
    ForwardWatermark {
        /// The operator; it has outputs outside the chain.
        node: NodeId,
        /// The watermark.
        watermark: EventTime,
    },
    /// Tell all channels of all outputs of the operator whether they are idle, behind all that it emitted.
    ForwardStatus {
        /// The operator; it has outputs outside the chain.
        node: NodeId,
        /// Whether they are idle from here on.
        idle: bool,
    },
    /// End all channels of all outputs: the task is done. The last command of all.
    EndOutputs,
}

/// The progress of one subtask's chain.
#[derive(Debug)]
pub struct ChainProgress {
    operators: Vec<Operator>,
    gates: Vec<Target>,
    /// The first operator for which there may be something to do.
    first_stirred: usize,
    outputs_ended: bool,
}

impl ChainProgress {
    /// The progress of a chain. `gates` names the operator that each gate of the task leads to, in the task's order;
    /// `outputs` the operators that are read from outside the chain.
    pub fn new(vertex: &JobVertex, gates: &[NodeId], outputs: &[NodeId]) -> Result<Self, ProgressError> {
        let mut operators = topology::operators(vertex, outputs);
        let gates = gates
            .iter()
            .map(|&node| topology::add_gate(&mut operators, node).ok_or(ProgressError::UnknownNode { node }))
            .collect::<Result<_, _>>()?;
        Ok(Self { operators, gates, first_stirred: 0, outputs_ended: false })
    }

    /// Notes what happened. What follows from it is told by [`Self::next_command`].
    pub fn apply(&mut self, input: Input) -> Result<(), ProgressError> {
        match input {
            Input::GateWatermark { gate, watermark } => self.raise(self.gate(gate)?, watermark, false),
            Input::GateEnded { gate } => self.raise(self.gate(gate)?, MAX_EVENT_TIME, true),
            Input::GateIdle { gate } => self.set_idle(self.gate(gate)?, true),
            Input::GateActive { gate } => self.set_idle(self.gate(gate)?, false),
            Input::NodeIdle { node } => self.set_generates_none(node, true)?,
            Input::NodeActive { node } => self.set_generates_none(node, false)?,
            Input::SourceFinished { node } => {
                let operator = self.position(node)?;
                if !self.operators[operator].source {
                    return Err(ProgressError::NotASource { uid: self.operators[operator].uid.clone() });
                }
                self.raise(Target { operator, slot: 0 }, MAX_EVENT_TIME, true);
            }
            Input::Pending { node, pending } => {
                let at = self.position(node)?;
                self.operators[at].pending = pending;
                self.stir(at);
            }
            Input::Emitted { node, watermark } => {
                let at = self.emitter(node, Operator::emits_watermarks)?;
                let operator = &mut self.operators[at];
                if watermark > operator.emitted {
                    (operator.emitted, operator.generates_none) = (watermark, false);
                    self.stir(at);
                }
            }
        }
        Ok(())
    }

    /// What to do next; `None`: nothing until something happens.
    ///
    /// To be called only when the last command has been carried out, which includes that all that it made operators emit
    /// has been processed by those below in the chain and that their watermarks were [applied](Self::apply).
    pub fn next_command(&mut self) -> Option<Command> {
        while let Some(operator) = self.operators.get_mut(self.first_stirred) {
            if let Some(idle) = operator.pass_status() {
                let (node, feeds_outputs) = (operator.id, operator.feeds_outputs);
                for at in 0..operator.targets.len() {
                    let target = self.operators[self.first_stirred].targets[at];
                    self.set_idle(target, idle);
                }
                if feeds_outputs {
                    return Some(Command::ForwardStatus { node, idle });
                }
                continue;
            }
            if let Some(command) = operator.serve() {
                return Some(command);
            }
            let Some(watermark) = operator.pass() else {
                self.first_stirred += 1;
                continue;
            };
            let (node, feeds_outputs, finished) = (operator.id, operator.feeds_outputs, operator.finished);
            for at in 0..operator.targets.len() {
                let target = self.operators[self.first_stirred].targets[at];
                self.raise(target, watermark, finished);
            }
            if feeds_outputs {
                return Some(Command::ForwardWatermark { node, watermark });
            }
        }
        let done = self.operators.iter().all(|operator| operator.finished);
        if done && !std::mem::replace(&mut self.outputs_ended, true) {
            return Some(Command::EndOutputs);
        }
        None
    }

    /// The watermark that an operator was told last, as Flink's `currentInputWatermark` shows it.
    pub fn input_watermark(&self, node: NodeId) -> Option<EventTime> {
        topology::position(&self.operators, node).map(|at| self.operators[at].delivered)
    }

    /// The watermark that an operator has let pass last.
    pub fn output_watermark(&self, node: NodeId) -> Option<EventTime> {
        topology::position(&self.operators, node).map(|at| self.operators[at].output)
    }

    fn gate(&self, gate: usize) -> Result<Target, ProgressError> {
        self.gates.get(gate).copied().ok_or(ProgressError::UnknownGate { gate, count: self.gates.len() })
    }

    fn position(&self, node: NodeId) -> Result<usize, ProgressError> {
        topology::position(&self.operators, node).ok_or(ProgressError::UnknownNode { node })
    }

    fn raise(&mut self, target: Target, watermark: EventTime, ended: bool) {
        let slot = &mut self.operators[target.operator].inputs[target.slot];
        slot.watermark = slot.watermark.max(watermark);
        slot.ended |= ended;
        self.operators[target.operator].combine();
        self.stir(target.operator);
    }

    fn set_idle(&mut self, target: Target, idle: bool) {
        self.operators[target.operator].inputs[target.slot].idle = idle;
        self.operators[target.operator].combine();
        self.stir(target.operator);
    }

    fn set_generates_none(&mut self, node: NodeId, none: bool) -> Result<(), ProgressError> {
        let at = self.emitter(node, |operator| operator.generates_watermarks)?;
        self.operators[at].generates_none = none;
        self.stir(at);
        Ok(())
    }

    /// The position of an operator of which it is known that it emits watermarks.
    fn emitter(&self, node: NodeId, is: impl Fn(&Operator) -> bool) -> Result<usize, ProgressError> {
        let at = self.position(node)?;
        match &self.operators[at] {
            operator if is(operator) => Ok(at),
            operator => Err(ProgressError::NotGenerating { uid: operator.uid.clone() }),
        }
    }

    fn stir(&mut self, operator: usize) {
        self.first_stirred = self.first_stirred.min(operator);
    }
}

impl Operator {
    /// What the operator itself has to do before its watermark may pass.
    fn serve(&mut self) -> Option<Command> {
        let (node, watermark) = (self.id, self.input_watermark());
        if watermark > self.fired {
            self.fired = watermark;
            if self.guest {
                return Some(Command::FireTimers { node, upto: watermark });
            }
        }
        // A watermark that came while the timers fired has made more of them fire; one delivery does for both.
        if self.fired > self.delivered {
            self.delivered = self.fired;
            self.pending |= self.asynchronous;
            if self.guest || self.asynchronous {
                return Some(Command::DeliverWatermark { node, watermark: self.delivered });
            }
        }
        let drained = !self.asynchronous || self.emitted == MAX_EVENT_TIME;
        if !self.finished && drained && self.delivered == MAX_EVENT_TIME && self.input_ended() {
            self.finished = true;
            return Some(Command::Finish { node });
        }
        None
    }

    /// Whether those below learn now that it is idle or active: active ahead of what its
    /// watermark makes it emit, idle behind that.
    fn pass_status(&mut self) -> Option<bool> {
        let idle = self.is_idle();
        let has_more = self.pending || self.input_watermark() > self.delivered || self.has_watermark_to_pass();
        let passes = idle != self.known_idle && !(idle && has_more);
        passes.then(|| {
            self.known_idle = idle;
            idle
        })
    }

    fn watermark_to_pass(&self) -> EventTime {
        match self {
            _ if self.finished => MAX_EVENT_TIME,
            _ if self.emits_watermarks() => self.emitted,
            _ => self.delivered,
        }
    }

    fn has_watermark_to_pass(&self) -> bool {
        let watermark = self.watermark_to_pass();
        watermark > self.output && (watermark < MAX_EVENT_TIME || self.finished)
    }

    /// The watermark that those below learn now, if it is a new one.
    fn pass(&mut self) -> Option<EventTime> {
        let watermark = self.watermark_to_pass();
        self.has_watermark_to_pass().then(|| {
            self.output = watermark;
            watermark
        })
    }
}
