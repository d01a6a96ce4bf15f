//! Checkpoints amid random acknowledgements, failures, restarts and lost writes.

use std::collections::BTreeMap;

use millrace_job_core::{CheckpointOptions, Input, RestartStrategy, Retention, StopMode};
use millrace_protocol::{TaskFigures, TaskReport};
use millrace_types::{AttemptId, ExecutionState, Failure, FailureKind};
use proptest::prelude::*;

use crate::graphs::{edge, guest_source, job_graph, operator, sink, word_count};
use crate::harness::failure;
use crate::properties::schedulers;
use crate::world::World;
use millrace_graph::{JobGraph, Partitioning};

#[derive(Debug, Clone)]
enum Event {
    /// Slots come, splits are listed, attempts are recorded, cancelled tasks stop.
    Settle,
    /// All deployed tasks run.
    Run,
    Acknowledge(usize),
    AcknowledgeAll,
    Decline(usize),
    Stored(usize, bool),
    /// A write is answered: it took effect and that is told, it took effect and is said to have failed, or neither.
    Write(usize, bool, bool),
    /// Whether a pointer is there is answered, or not.
    Read(usize, bool),
    Fail(usize),
    NotRead(usize),
    Finish(usize),
    Savepoint(Option<bool>),
    Checkpoint,
    LoseSlot(usize),
    OfferSlot,
    /// As settling, without slots.
    Answer,
    Wait(u64),
    Repeat(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let which = 0..8usize;
    let event = prop_oneof![
        12 => Just(Event::Settle),
        12 => Just(Event::Run),
        12 => which.clone().prop_map(Event::Acknowledge),
        10 => Just(Event::AcknowledgeAll),
        1 => which.clone().prop_map(Event::Decline),
        12 => (which.clone(), prop::bool::weighted(0.9)).prop_map(|(which, ok)| Event::Stored(which, ok)),
        20 => (which.clone(), prop::bool::weighted(0.9), prop::bool::weighted(0.8))
            .prop_map(|(which, effect, told)| Event::Write(which, effect, told)),
        8 => (which.clone(), prop::bool::weighted(0.8)).prop_map(|(which, ok)| Event::Read(which, ok)),
        2 => which.clone().prop_map(Event::Fail),
        1 => which.clone().prop_map(Event::NotRead),
        1 => which.clone().prop_map(Event::Finish),
        1 => prop::option::weighted(0.3, any::<bool>()).prop_map(Event::Savepoint),
        1 => Just(Event::Checkpoint),
        2 => which.prop_map(Event::LoseSlot),
        3 => Just(Event::OfferSlot),
        6 => Just(Event::Answer),
        15 => (0..1_500u64).prop_map(Event::Wait),
        3 => (0..1_000usize).prop_map(Event::Repeat),
    ];
    proptest::collection::vec(event, 0..300)
}

fn graphs() -> impl Strategy<Value = JobGraph> {
    let two = job_graph(
        vec![guest_source("a", 2), sink("x", 2), guest_source("b", 1), operator("m", 2, "main"), sink("y", 1)],
        vec![edge(0, 1, Partitioning::Hash), edge(2, 3, Partitioning::Rebalance), edge(3, 4, Partitioning::Rebalance)],
    );
    prop::sample::select(vec![word_count(), two])
}

fn options() -> impl Strategy<Value = CheckpointOptions> {
    (1..3u32, 1..4u32, 0..3u32, any::<bool>()).prop_map(|(max_concurrent, retained_max, tolerable_failures, pause)| {
        CheckpointOptions {
            interval_ms: Some(1_000),
            timeout_ms: 5_000,
            min_pause_ms: if pause { 500 } else { 0 },
            max_concurrent,
            retained_max,
            tolerable_failures,
            retention: Retention::DeleteOnCancellation,
            ..CheckpointOptions::default()
        }
    })
}

fn report(attempt: AttemptId, state: ExecutionState, failure: Option<Failure>) -> Input {
    let figures = TaskFigures::default();
    Input::TaskReported(TaskReport { attempt, state, at: millrace_types::Timestamp(0), failure, figures })
}

fn chosen(world: &World, which: usize) -> Option<AttemptId> {
    let running = world.running();
    running.get(which % running.len().max(1)).copied()
}

fn apply(world: &mut World, event: &Event) {
    let nth = |count: usize, which: usize| which % count.max(1);
    let input = match event {
        Event::Settle => return world.settle(),
        Event::LoseSlot(which) => return world.lose_slot(*which),
        Event::OfferSlot => return world.offer_one(),
        Event::Answer => return world.answer(),
        Event::Run => {
            for (attempt, state) in world.attempts() {
                if matches!(state, ExecutionState::Deploying | ExecutionState::Initializing) {
                    world.report(attempt, ExecutionState::Running);
                }
            }
            return;
        }
        Event::Acknowledge(which) => world.snapshots.acknowledgement(*which),
        Event::AcknowledgeAll => {
            for _ in 0..20 {
                if let Some(ack) = world.snapshots.acknowledgement(0) {
                    world.step(ack);
                }
            }
            return;
        }
        Event::Decline(which) => world.snapshots.decline(*which),
        Event::Stored(which, ok) => {
            let storing = &world.snapshots.storing;
            let result = if *ok { Ok("/folder".into()) } else { Err("full".to_owned()) };
            storing
                .get(nth(storing.len(), *which))
                .map(|checkpoint| Input::CheckpointStored { checkpoint: *checkpoint, result })
        }
        Event::Write(which, effect, told) => world.snapshots.write(*which, *effect, *told),
        Event::Read(which, ok) => {
            let reading = &world.snapshots.reading;
            let checkpoint = reading.iter().nth(nth(reading.len(), *which)).copied();
            let there = |checkpoint| world.snapshots.pointers.contains(&checkpoint);
            checkpoint.map(|checkpoint| {
                let result = if *ok { Ok(there(checkpoint)) } else { Err("no leader".to_owned()) };
                Input::PointerRead { checkpoint, result }
            })
        }
        Event::Fail(which) => {
            chosen(world, *which).map(|attempt| report(attempt, ExecutionState::Failed, Some(failure("out of luck"))))
        }
        Event::NotRead(which) => chosen(world, *which).map(|attempt| {
            world.snapshots.not_read(&attempt, &world.core);
            let failure = Failure::new(FailureKind::StateUnreadable, "checksum");
            report(attempt, ExecutionState::Failed, Some(failure))
        }),
        Event::Finish(which) => chosen(world, *which).map(|attempt| report(attempt, ExecutionState::Finished, None)),
        Event::Savepoint(stop) => {
            let stop = stop.map(|drain| StopMode { drain });
            Some(Input::SavepointRequested { request: world.next_request(), folder: "/savepoint".into(), stop })
        }
        Event::Checkpoint => Some(Input::CheckpointRequested { request: world.next_request() }),
        Event::Wait(ms) => {
            world.now = world.now.plus_ms(*ms);
            Some(Input::DeadlineReached)
        }
        Event::Repeat(which) => {
            let past = &world.history;
            let once = past.get(nth(past.len(), *which)).cloned();
            // Requests and answers to IO come once.
            once.filter(|input| {
                matches!(
                    input,
                    Input::CheckpointAcknowledged(_) | Input::CheckpointDeclined(_) | Input::TaskReported(_)
                )
            })
        }
    };
    if let Some(input) = input {
        world.step(input);
    }
}

fn always() -> RestartStrategy {
    RestartStrategy::FixedDelay { attempts: u32::MAX, delay_ms: 100 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_incomplete_is_complete_and_nothing_needed_is_deleted(
        graph in graphs(), options in options(), adaptive in schedulers(), events in events()
    ) {
        let mut world = World::checkpointed(graph, always(), options, adaptive);
        world.step(Input::Start);
        for event in &events {
            if world.ended.is_none() {
                apply(&mut world, event);
            }
        }
        world.behave(400);
        let view = world.core.view();
        prop_assert!(world.ended.is_some(), "{:?} {:?}", view.status, view.waiting);
        let counts = view.checkpoints.counts;
        prop_assert_eq!(counts.total, counts.completed + counts.failed);
        prop_assert!(view.checkpoints.history.len() <= 12);
    }
}

/// The property is worth something only if what it speaks of happens.
#[test]
fn the_events_lead_to_what_the_property_speaks_of() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..200 {
        let draw = (graphs(), options(), schedulers(), events()).new_tree(&mut runner).unwrap().current();
        let mut world = World::checkpointed(draw.0, always(), draw.1, draw.2);
        world.step(Input::Start);
        let (mut before, mut restarts) = (None, 0);
        for event in &draw.3 {
            if world.ended.is_none() {
                apply(&mut world, event);
                let view = world.core.view();
                let width: u32 = view.graph.vertices.iter().map(|vertex| vertex.parallelism).sum();
                let grows = before.is_some_and(|before| width > before);
                *seen.entry("rescaled down").or_default() += u32::from(before.is_some_and(|before| width < before));
                *seen.entry("rescaled up").or_default() += u32::from(grows && view.restarts == restarts);
                (before, restarts) = (Some(width), view.restarts);
            }
        }
        *seen.entry("completed").or_default() += world.snapshots.completed;
        *seen.entry("restored").or_default() += world.snapshots.restored;
        *seen.entry("files deleted").or_default() += world.snapshots.files_deleted;
        *seen.entry("merges").or_default() += world.snapshots.merges;
        *seen.entry("read back").or_default() += world.snapshots.read_back;
        *seen.entry("gone back").or_default() += world.snapshots.gone_back;
        let savepoint = &world.core.view().checkpoints.latest_savepoint;
        *seen.entry("savepoints").or_default() += u32::from(savepoint.is_some());
    }
    assert!(seen.values().all(|count| *count > 5), "{seen:?}");
}
