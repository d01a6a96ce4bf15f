//! What holds for every chain and every order of events.

use std::collections::VecDeque;

use millrace_task_core::{ChainProgress, Command, Input};
use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME, NodeId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::{Kind, vertex};

const MAX: EventTime = MAX_EVENT_TIME;

/// A chain: its operators, the edges within, the operator that each gate leads to. All operators feed outputs, so that
/// everything that passes is seen.
#[derive(Debug, Clone)]
struct Chain {
    kinds: Vec<Kind>,
    edges: Vec<(u32, u32)>,
    gates: Vec<u32>,
}

fn chain() -> impl Strategy<Value = Chain> {
    let kind = prop_oneof![
        4 => Just(Kind::Guest),
        2 => Just(Kind::Generating),
        1 => Just(Kind::GeneratingSource),
        1 => Just(Kind::NativeSource),
        1 => Just(Kind::NativeSink),
        2 => Just(Kind::Async),
    ];
    (vec(kind, 1..7), vec(any::<bool>(), 21), vec(any::<prop::sample::Index>(), 0..5)).prop_map(
        |(kinds, wires, gates)| {
            let count = kinds.len() as u32;
            let pairs = (0..count).flat_map(|to| (0..to).map(move |from| (from, to)));
            let wired = pairs.zip(wires).filter(|((_, to), wire)| *wire && !kinds[*to as usize].is_source());
            let edges: Vec<_> = wired.map(|(pair, _)| pair).collect();
            let readers: Vec<u32> = (0..count).filter(|node| !kinds[*node as usize].is_source()).collect();
            let gates =
                if readers.is_empty() { Vec::new() } else { gates.iter().map(|at| *at.get(&readers)).collect() };
            Chain { kinds, edges, gates }
        },
    )
}

/// An event: which one is chosen by a number, so that it fits whatever the chain is.
type Event = (u8, prop::sample::Index, EventTime);

/// What the outside and the commands have shown about one operator.
#[derive(Debug, Clone)]
struct Seen {
    fired: EventTime,
    delivered: EventTime,
    emitted: EventTime,
    forwarded: EventTime,
    finished: bool,
    /// What its inputs have come to, the idle ones left out.
    reached: EventTime,
    /// It said that it generates nothing for now.
    says_idle: bool,
    /// Those below were told so.
    known_idle: bool,
    /// What an asynchronous operator was told and has not handed on.
    queue: VecDeque<EventTime>,
}

struct Model<'a> {
    chain: &'a Chain,
    progress: ChainProgress,
    /// Watermark, idle, ended.
    gates: Vec<(EventTime, bool, bool)>,
    sources_finished: Vec<bool>,
    nodes: Vec<Seen>,
    ended: bool,
    /// Watermarks that generators emit in answer to commands.
    answers: Vec<EventTime>,
}

impl<'a> Model<'a> {
    fn new(chain: &'a Chain, answers: Vec<EventTime>) -> Self {
        let seen = Seen {
            fired: MIN_EVENT_TIME,
            delivered: MIN_EVENT_TIME,
            emitted: MIN_EVENT_TIME,
            forwarded: MIN_EVENT_TIME,
            finished: false,
            reached: MIN_EVENT_TIME,
            says_idle: false,
            known_idle: false,
            queue: VecDeque::new(),
        };
        let count = chain.kinds.len();
        let gates: Vec<NodeId> = chain.gates.iter().copied().map(NodeId).collect();
        let all: Vec<NodeId> = (0..count as u32).map(NodeId).collect();
        let mut model = Self {
            chain,
            progress: ChainProgress::new(&vertex(&chain.kinds, &chain.edges), &gates, &all).unwrap(),
            gates: vec![(MIN_EVENT_TIME, false, false); gates.len()],
            sources_finished: vec![false; count],
            nodes: vec![seen; count],
            ended: false,
            answers,
        };
        model.combine();
        model
    }

    /// The watermark of each of an operator's inputs, whether it is idle, and whether it has ended.
    fn inputs(&self, node: usize) -> Vec<(EventTime, bool, bool)> {
        let mut inputs = Vec::new();
        if self.chain.kinds[node].is_source() {
            let finished = self.sources_finished[node];
            inputs.push((if finished { MAX } else { MIN_EVENT_TIME }, false, finished));
        }
        for (gate, target) in self.gates.iter().zip(&self.chain.gates) {
            if *target as usize == node {
                inputs.push(*gate);
            }
        }
        for (from, to) in &self.chain.edges {
            if *to as usize == node {
                let from = &self.nodes[*from as usize];
                inputs.push((from.forwarded, from.known_idle, from.forwarded == MAX));
            }
        }
        inputs
    }

    fn input_ended(&self, node: usize) -> bool {
        self.inputs(node).iter().all(|input| input.2)
    }

    /// Notes what every operator's inputs have come to now.
    fn combine(&mut self) {
        for node in 0..self.nodes.len() {
            let inputs = self.inputs(node);
            let active = inputs.iter().filter(|input| !input.1 && !input.2).map(|input| input.0).min();
            let least = if self.input_ended(node) { Some(MAX) } else { active };
            let seen = &mut self.nodes[node];
            seen.reached = seen.reached.max(least.unwrap_or(MIN_EVENT_TIME));
        }
    }

    fn is_idle(&self, node: usize) -> bool {
        let seen = &self.nodes[node];
        let inputs_idle = !self.input_ended(node) && self.inputs(node).iter().all(|input| input.1 || input.2);
        !seen.finished && if self.chain.kinds[node].generates() { seen.says_idle } else { inputs_idle }
    }

    fn emit(&mut self, node: usize, watermark: EventTime) {
        self.progress.apply(Input::Emitted { node: NodeId(node as u32), watermark }).unwrap();
        let seen = &mut self.nodes[node];
        if watermark > seen.emitted {
            (seen.emitted, seen.says_idle) = (watermark, false);
        }
    }

    /// An asynchronous operator hands on a watermark.
    fn hand_on(&mut self, node: usize) {
        if let Some(watermark) = self.nodes[node].queue.pop_front() {
            self.emit(node, watermark);
            let pending = !self.nodes[node].queue.is_empty();
            self.progress.apply(Input::Pending { node: NodeId(node as u32), pending }).unwrap();
        }
    }

    /// Those of a kind.
    fn of(&self, kind: impl Fn(Kind) -> bool) -> Vec<usize> {
        (0..self.chain.kinds.len()).filter(|&at| kind(self.chain.kinds[at])).collect()
    }

    /// Tells the progress of an event and carries out the commands.
    fn event(&mut self, (what, which, time): Event) {
        let (generators, sources) = (self.of(Kind::generates), self.of(Kind::is_source));
        let asynchronous = self.of(|kind| kind == Kind::Async);
        match what {
            0..=4 if !self.gates.is_empty() => {
                let gate = which.index(self.gates.len());
                self.progress.apply(Input::GateWatermark { gate, watermark: time }).unwrap();
                self.gates[gate].0 = self.gates[gate].0.max(time);
            }
            5..=7 if !generators.is_empty() => self.emit(*which.get(&generators), time),
            8 if !self.gates.is_empty() => self.end_gate(which.index(self.gates.len())),
            9 if !sources.is_empty() => self.finish_source(*which.get(&sources)),
            10..=13 if !self.gates.is_empty() => {
                let (gate, idle) = (which.index(self.gates.len()), what % 2 == 0);
                self.progress.apply(if idle { Input::GateIdle { gate } } else { Input::GateActive { gate } }).unwrap();
                self.gates[gate].1 = idle;
            }
            14..=16 if !generators.is_empty() => {
                let at = *which.get(&generators);
                let (node, idle) = (NodeId(at as u32), what % 2 == 0);
                self.progress.apply(if idle { Input::NodeIdle { node } } else { Input::NodeActive { node } }).unwrap();
                self.nodes[at].says_idle = idle;
            }
            17..=22 if !asynchronous.is_empty() => self.hand_on(*which.get(&asynchronous)),
            _ => {}
        }
        self.combine();
        self.drain();
    }

    fn end_gate(&mut self, gate: usize) {
        self.progress.apply(Input::GateEnded { gate }).unwrap();
        self.gates[gate] = (MAX, self.gates[gate].1, true);
        self.combine();
    }

    fn finish_source(&mut self, node: usize) {
        self.progress.apply(Input::SourceFinished { node: NodeId(node as u32) }).unwrap();
        self.sources_finished[node] = true;
        self.combine();
    }

    fn drain(&mut self) {
        while let Some(command) = self.progress.next_command() {
            self.check(command);
            self.combine();
        }
        self.check_nothing_is_held_back();
    }

    fn check(&mut self, command: Command) {
        assert!(!self.ended, "nothing follows the end of the outputs: {command:?}");
        let at = match command {
            Command::FireTimers { node, .. }
            | Command::DeliverWatermark { node, .. }
            | Command::Finish { node }
            | Command::ForwardStatus { node, .. }
            | Command::ForwardWatermark { node, .. } => node.0 as usize,
            Command::EndOutputs => {
                assert!(self.nodes.iter().all(|node| node.finished && node.forwarded == MAX));
                self.ended = true;
                return;
            }
        };
        let (input, input_ended, idle_now) = (self.nodes[at].reached, self.input_ended(at), self.is_idle(at));
        let kind = self.chain.kinds[at];
        let seen = &mut self.nodes[at];
        match command {
            Command::FireTimers { upto, .. } => {
                assert!(kind.is_guest() && !seen.finished);
                assert!(upto > seen.fired, "rises");
                assert!(upto <= input, "no upstream is behind what fires");
                seen.fired = upto;
            }
            Command::DeliverWatermark { watermark, .. } if kind == Kind::Async => {
                assert!(watermark > seen.delivered && watermark <= input && !seen.finished);
                seen.delivered = watermark;
                seen.queue.push_back(watermark);
            }
            Command::DeliverWatermark { watermark, .. } => {
                assert!(kind.is_guest() && !seen.finished);
                assert!(watermark > seen.delivered, "rises");
                assert_eq!(watermark, seen.fired, "the timers have fired");
                seen.delivered = watermark;
            }
            Command::Finish { .. } => {
                assert!(!seen.finished, "once");
                assert!(input_ended, "behind the end of all inputs");
                assert!(!kind.is_guest() || seen.delivered == MAX, "behind the last watermark");
                assert!(kind != Kind::Async || seen.emitted == MAX, "behind its last row");
                seen.finished = true;
            }
            Command::ForwardWatermark { watermark, .. } => {
                assert!(watermark > seen.forwarded, "rises");
                assert!(!seen.known_idle || idle_now, "active again before its watermark");
                assert_eq!(watermark == MAX, seen.finished, "the last watermark is behind the operator's last row");
                let own = if kind.is_guest() { seen.delivered } else { input };
                let most = if kind.generates() || kind == Kind::Async { seen.emitted } else { own };
                assert!(seen.finished || watermark <= most);
                seen.forwarded = watermark;
            }
            Command::ForwardStatus { idle, .. } => {
                assert_eq!((idle, idle_now), (!seen.known_idle, idle), "news, and true");
                assert!(!idle || seen.queue.is_empty(), "behind all that is to be handed on");
                seen.known_idle = idle;
            }
            Command::EndOutputs => {}
        }
        let called = matches!(command, Command::FireTimers { .. } | Command::DeliverWatermark { .. });
        if kind.generates()
            && called
            && let Some(watermark) = self.answers.pop()
        {
            self.emit(at, watermark);
        }
    }

    /// When there is nothing more to do, every watermark is as far as it can be.
    fn check_nothing_is_held_back(&self) {
        for (at, (seen, kind)) in self.nodes.iter().zip(&self.chain.kinds).enumerate() {
            let (input, input_ended) = (seen.reached, self.input_ended(at));
            assert!(!seen.queue.is_empty() || seen.known_idle == self.is_idle(at), "those below know");
            assert_eq!(self.progress.input_watermark(NodeId(at as u32)), Some(input));
            let told = kind.is_guest() || *kind == Kind::Async;
            assert!(!told || seen.delivered == input);
            let drained = *kind != Kind::Async || seen.emitted == MAX;
            assert_eq!(seen.finished, input_ended && drained, "finished as soon as the input has ended");
            let own = if kind.generates() || *kind == Kind::Async { seen.emitted } else { input };
            if seen.finished {
                assert_eq!(seen.forwarded, MAX);
            } else if own < MAX {
                assert_eq!(seen.forwarded, own);
            }
        }
        assert_eq!(self.ended, self.nodes.iter().all(|node| node.finished));
    }
}

fn time() -> impl Strategy<Value = EventTime> {
    prop_oneof![20 => 0i64..30, 1 => Just(MAX), 1 => Just(MIN_EVENT_TIME)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn watermarks_and_the_end_pass_every_chain_in_order(
        chain in chain(),
        events in vec((0u8..23, any::<prop::sample::Index>(), time()), 0..60),
        answers in vec(time(), 0..20),
    ) {
        let mut model = Model::new(&chain, answers);
        model.drain();
        for event in events {
            model.event(event);
        }
        for gate in 0..chain.gates.len() {
            model.end_gate(gate);
            model.drain();
        }
        for (node, kind) in chain.kinds.iter().enumerate() {
            if kind.is_source() {
                model.finish_source(node);
                model.drain();
            }
        }
        for node in 0..chain.kinds.len() {
            while !model.nodes[node].queue.is_empty() {
                model.hand_on(node);
                model.combine();
                model.drain();
            }
        }
        prop_assert!(model.ended, "everything ends once all input has ended");
    }
}
