//! The commands that a chain answers with.

use millrace_task_core::{ChainProgress, Command, Input, ProgressError};
use millrace_types::{Failure, FailureKind, MAX_EVENT_TIME, NodeId};

use crate::fixture::{Kind, vertex};

const MAX: i64 = MAX_EVENT_TIME;

fn chain(kinds: &[Kind], edges: &[(u32, u32)], gates: &[u32], outputs: &[u32]) -> ChainProgress {
    let ids = |ids: &[u32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    ChainProgress::new(&vertex(kinds, edges), &ids(gates), &ids(outputs)).unwrap()
}

fn gate(gate: usize, watermark: i64) -> Input {
    Input::GateWatermark { gate, watermark }
}

fn emitted(node: u32, watermark: i64) -> Input {
    Input::Emitted { node: NodeId(node), watermark }
}

/// The commands that follow from an input, in short: `fire 0 10`, `watermark 0 10`, `finish 0`, `forward 0 10`, `end`.
fn after(progress: &mut ChainProgress, input: Input) -> Vec<String> {
    progress.apply(input).unwrap();
    rest(progress)
}

fn rest(progress: &mut ChainProgress) -> Vec<String> {
    std::iter::from_fn(|| progress.next_command()).map(short).collect()
}

fn short(command: Command) -> String {
    let time = |time: i64| if time == MAX { "max".to_owned() } else { time.to_string() };
    match command {
        Command::FireTimers { node, upto } => format!("fire {node} {}", time(upto)),
        Command::DeliverWatermark { node, watermark } => format!("watermark {node} {}", time(watermark)),
        Command::Finish { node } => format!("finish {node}"),
        Command::ForwardWatermark { node, watermark } => format!("forward {node} {}", time(watermark)),
        Command::ForwardStatus { node, idle: true } => format!("idle {node}"),
        Command::ForwardStatus { node, idle: false } => format!("active {node}"),
        Command::EndOutputs => "end".to_owned(),
    }
}

#[test]
fn a_watermark_passes_a_chain_timers_first() {
    let mut progress = chain(&[Kind::Guest, Kind::Guest, Kind::NativeSink], &[(0, 1), (1, 2)], &[0], &[1]);
    assert!(rest(&mut progress).is_empty());
    let commands = after(&mut progress, gate(0, 10));
    assert_eq!(commands, ["fire 0 10", "watermark 0 10", "fire 1 10", "watermark 1 10", "forward 1 10"]);
    assert!(after(&mut progress, gate(0, 10)).is_empty());
    assert!(after(&mut progress, gate(0, 9)).is_empty());
    assert_eq!(progress.input_watermark(NodeId(2)), Some(10));
}

#[test]
fn each_operator_finishes_before_the_last_watermark_passes_it() {
    let mut progress = chain(&[Kind::Guest, Kind::Guest, Kind::NativeSink], &[(0, 1), (1, 2)], &[0], &[1]);
    // The last watermark alone is not the end of the input.
    assert_eq!(after(&mut progress, gate(0, MAX)), ["fire 0 max", "watermark 0 max"]);
    let commands = after(&mut progress, Input::GateEnded { gate: 0 });
    assert_eq!(commands, ["finish 0", "fire 1 max", "watermark 1 max", "finish 1", "forward 1 max", "finish 2", "end"]);
    assert!(after(&mut progress, Input::GateEnded { gate: 0 }).is_empty());
}

#[test]
fn the_end_of_a_gate_is_its_last_watermark() {
    let mut progress = chain(&[Kind::Guest], &[], &[0, 0], &[0]);
    assert!(after(&mut progress, Input::GateEnded { gate: 1 }).is_empty());
    assert_eq!(after(&mut progress, gate(0, 5)), ["fire 0 5", "watermark 0 5", "forward 0 5"]);
    let commands = after(&mut progress, Input::GateEnded { gate: 0 });
    assert_eq!(commands, ["fire 0 max", "watermark 0 max", "finish 0", "forward 0 max", "end"]);
}

#[test]
fn a_source_has_no_watermark_but_the_last_unless_it_emits_one() {
    let mut progress = chain(&[Kind::GeneratingSource, Kind::Guest], &[(0, 1)], &[], &[1]);
    assert_eq!(after(&mut progress, emitted(0, 7)), ["fire 1 7", "watermark 1 7", "forward 1 7"]);
    assert!(after(&mut progress, emitted(0, 7)).is_empty());
    let commands = after(&mut progress, Input::SourceFinished { node: NodeId(0) });
    assert_eq!(
        commands,
        [
            "fire 0 max",
            "watermark 0 max",
            "finish 0",
            "fire 1 max",
            "watermark 1 max",
            "finish 1",
            "forward 1 max",
            "end"
        ]
    );
    assert!(after(&mut progress, emitted(0, MAX)).is_empty());

    let mut native = chain(&[Kind::NativeSource, Kind::NativeSink], &[(0, 1)], &[], &[]);
    assert_eq!(after(&mut native, Input::SourceFinished { node: NodeId(0) }), ["finish 0", "finish 1", "end"]);
}

#[test]
fn a_generating_operator_hears_watermarks_and_passes_its_own() {
    let mut progress = chain(&[Kind::Generating, Kind::Guest], &[(0, 1)], &[0], &[]);
    assert_eq!(after(&mut progress, gate(0, 100)), ["fire 0 100", "watermark 0 100"]);
    assert_eq!(after(&mut progress, emitted(0, 40)), ["fire 1 40", "watermark 1 40"]);
    // A generator that declares the end early is held to its last row.
    assert!(after(&mut progress, emitted(0, MAX)).is_empty());
    let commands = after(&mut progress, Input::GateEnded { gate: 0 });
    assert_eq!(
        commands,
        ["fire 0 max", "watermark 0 max", "finish 0", "fire 1 max", "watermark 1 max", "finish 1", "end"]
    );
}

#[test]
fn an_asynchronous_operator_passes_what_it_has_handed_on_and_ends_behind_that() {
    let mut progress = chain(&[Kind::Async, Kind::Guest], &[(0, 1)], &[0], &[1]);
    let pending = |pending| Input::Pending { node: NodeId(0), pending };
    assert!(after(&mut progress, pending(true)).is_empty());
    assert_eq!(after(&mut progress, gate(0, 10)), ["watermark 0 10"]);
    assert!(after(&mut progress, Input::GateIdle { gate: 0 }).is_empty(), "rows are under way");
    assert_eq!(after(&mut progress, emitted(0, 10)), ["fire 1 10", "watermark 1 10", "forward 1 10"]);
    assert_eq!(after(&mut progress, pending(false)), ["idle 1"]);
    assert_eq!(after(&mut progress, Input::GateActive { gate: 0 }), ["active 1"]);
    assert_eq!(after(&mut progress, Input::GateEnded { gate: 0 }), ["watermark 0 max"]);
    let commands = after(&mut progress, emitted(0, MAX));
    assert_eq!(commands, ["finish 0", "fire 1 max", "watermark 1 max", "finish 1", "forward 1 max", "end"]);
}

/// A generator (0) and an ordinary operator (1) of one gate feed a third one. What the generator emits at a watermark must
/// not overtake the timers that the same watermark fires in the ordinary operator.
#[test]
fn an_emitted_watermark_waits_for_the_operators_beside() {
    let edges = [(0, 2), (1, 2)];
    let mut progress = chain(&[Kind::Generating, Kind::Guest, Kind::Guest], &edges, &[0, 1], &[]);
    progress.apply(gate(0, 10)).unwrap();
    progress.apply(gate(1, 10)).unwrap();
    assert_eq!(progress.next_command().map(short).unwrap(), "fire 0 10");
    progress.apply(emitted(0, 9)).unwrap();
    assert_eq!(rest(&mut progress), ["watermark 0 10", "fire 1 10", "watermark 1 10", "fire 2 9", "watermark 2 9"]);
}

#[test]
fn a_watermark_that_comes_while_timers_fire_is_delivered_with_the_first() {
    let mut progress = chain(&[Kind::Guest], &[], &[0], &[]);
    progress.apply(gate(0, 10)).unwrap();
    assert_eq!(progress.next_command().map(short).unwrap(), "fire 0 10");
    assert_eq!(after(&mut progress, gate(0, 20)), ["fire 0 20", "watermark 0 20"]);
}

#[test]
fn an_idle_input_holds_nothing_back_and_falls_nowhere() {
    let mut progress = chain(&[Kind::Guest], &[], &[0, 0], &[0]);
    assert!(after(&mut progress, gate(0, 10)).is_empty());
    let commands = after(&mut progress, Input::GateIdle { gate: 1 });
    assert_eq!(commands, ["fire 0 10", "watermark 0 10", "forward 0 10"]);
    assert_eq!(after(&mut progress, gate(0, 20)), ["fire 0 20", "watermark 0 20", "forward 0 20"]);
    // Active again and behind: what was told stands, and no more is told before it has caught up.
    assert!(after(&mut progress, Input::GateActive { gate: 1 }).is_empty());
    assert!(after(&mut progress, gate(0, 30)).is_empty());
    assert_eq!(after(&mut progress, gate(1, 25)), ["fire 0 25", "watermark 0 25", "forward 0 25"]);
    // An ended input makes no operator active.
    assert!(after(&mut progress, Input::GateIdle { gate: 1 }).len() == 3);
    assert_eq!(after(&mut progress, Input::GateEnded { gate: 0 }), ["idle 0"]);
    let commands = after(&mut progress, Input::GateEnded { gate: 1 });
    assert_eq!(commands, ["active 0", "fire 0 max", "watermark 0 max", "finish 0", "forward 0 max", "end"]);
}

#[test]
fn idleness_passes_a_chain_behind_the_watermark() {
    let mut progress = chain(&[Kind::Guest, Kind::Guest], &[(0, 1)], &[0], &[0, 1]);
    progress.apply(gate(0, 5)).unwrap();
    let commands = after(&mut progress, Input::GateIdle { gate: 0 });
    let told =
        ["fire 0 5", "watermark 0 5", "forward 0 5", "idle 0", "fire 1 5", "watermark 1 5", "forward 1 5", "idle 1"];
    assert_eq!(commands, told);
    assert!(after(&mut progress, Input::GateIdle { gate: 0 }).is_empty());
    assert_eq!(after(&mut progress, Input::GateActive { gate: 0 }), ["active 0", "active 1"]);
}

#[test]
fn a_generator_is_idle_when_it_says_so() {
    let mut progress = chain(&[Kind::Generating, Kind::Guest], &[(0, 1)], &[0], &[1]);
    assert!(after(&mut progress, Input::GateIdle { gate: 0 }).is_empty(), "its input's idleness is not its own");
    let node = NodeId(0);
    assert_eq!(after(&mut progress, Input::NodeIdle { node }), ["idle 1"]);
    assert_eq!(after(&mut progress, emitted(0, 7)), ["active 1", "fire 1 7", "watermark 1 7", "forward 1 7"]);
    assert_eq!(after(&mut progress, Input::NodeIdle { node }), ["idle 1"]);
    assert!(after(&mut progress, emitted(0, 7)).is_empty(), "no news");
    assert_eq!(after(&mut progress, Input::NodeActive { node }), ["active 1"]);
    let refused = progress.apply(Input::NodeIdle { node: NodeId(1) });
    assert!(matches!(refused, Err(ProgressError::NotGenerating { .. })));
}

#[test]
fn events_that_do_not_fit_the_chain_are_refused() {
    let mut progress = chain(&[Kind::Guest], &[], &[0], &[]);
    let not_generating = progress.apply(emitted(0, 1)).unwrap_err();
    assert_eq!(not_generating, ProgressError::NotGenerating { uid: "uid-0".to_owned() });
    assert_eq!(Failure::from(not_generating).kind, FailureKind::Contract);
    assert_eq!(progress.apply(emitted(7, 1)), Err(ProgressError::UnknownNode { node: NodeId(7) }));
    assert_eq!(progress.apply(gate(1, 1)), Err(ProgressError::UnknownGate { gate: 1, count: 1 }));
    let finished = Input::SourceFinished { node: NodeId(0) };
    assert_eq!(progress.apply(finished), Err(ProgressError::NotASource { uid: "uid-0".to_owned() }));
    assert!(ChainProgress::new(&vertex(&[Kind::Guest], &[]), &[NodeId(1)], &[]).is_err());
    assert!(rest(&mut progress).is_empty());
}
