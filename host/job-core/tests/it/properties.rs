//! Random inputs in random order, repeated and out of order, against TaskManagers that react or do not.

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{
    AdaptiveOptions, CheckpointOptions, Decimal, EnumerationId, ExponentialDelay, Input, ParallelismBounds,
    RestartStrategy, WriteId,
};
use millrace_protocol::{SplitId, SplitRequest, TaskFigures, TaskReport};
use millrace_types::{AttemptId, ExecutionState, Failure, FailureKind, JobStatus, NodeId, Timestamp};
use proptest::prelude::*;

use crate::graphs::{edge, guest_source, job_graph, operator, sink, word_count};
use crate::harness::{failure, offer, tm};
use crate::world::World;

#[derive(Debug, Clone)]
enum Event {
    Start,
    Offer(u8),
    LoseSlot(u8),
    LoseTaskManager(u8),
    Lacking,
    Splits {
        node: u32,
        ok: bool,
        stale: bool,
    },
    /// A task, how far the report's attempt is from the present one, the state.
    Report(usize, i32, ExecutionState),
    /// The application is wrong.
    Permanent(usize),
    AskForSplits(usize, i32),
    Figures(usize, u64),
    DeployFailed(usize),
    /// All tasks that are being cancelled confirm it.
    Confirm,
    Cancel,
    /// The user wants so many subtasks of each vertex, the least and the most.
    Require(u32, u32),
    Written,
    WriteFailed,
    Wait(u64),
    /// One of the inputs before comes once more.
    Repeat(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let state = prop::sample::select(ExecutionState::ALL.to_vec());
    let task = 0..6usize;
    let event = prop_oneof![
        2 => Just(Event::Start),
        12 => (0..6u8).prop_map(Event::Offer),
        2 => (0..6u8).prop_map(Event::LoseSlot),
        2 => (0..3u8).prop_map(Event::LoseTaskManager),
        1 => Just(Event::Lacking),
        12 => (0..4u32, prop::bool::weighted(0.9), prop::bool::weighted(0.1))
            .prop_map(|(node, ok, stale)| Event::Splits { node, ok, stale }),
        8 => (task.clone(), prop_oneof![8 => Just(0), 1 => -2..3i32], state)
            .prop_map(|(task, off, state)| Event::Report(task, off, state)),
        6 => task.clone().prop_map(|task| Event::Report(task, 0, ExecutionState::Finished)),
        1 => task.clone().prop_map(Event::Permanent),
        3 => (task.clone(), -1..2i32).prop_map(|(task, off)| Event::AskForSplits(task, off)),
        2 => (task.clone(), 0..9u64).prop_map(|(task, number)| Event::Figures(task, number)),
        1 => task.prop_map(Event::DeployFailed),
        8 => Just(Event::Confirm),
        1 => Just(Event::Cancel),
        2 => (1..3u32, 1..3u32).prop_map(|(one, other)| Event::Require(one.min(other), one.max(other))),
        8 => Just(Event::Written),
        1 => Just(Event::WriteFailed),
        6 => prop_oneof![4 => 0..3_000u64, 1 => 0..200_000u64].prop_map(Event::Wait),
        6 => (0..1_000usize).prop_map(Event::Repeat),
    ];
    proptest::collection::vec(event, 0..200)
}

/// Word count, with or without a second region in the same slots.
fn graphs() -> impl Strategy<Value = JobGraph> {
    let two_regions = || {
        job_graph(
            vec![
                guest_source("lines", 2),
                operator("split", 2, "main"),
                operator("count", 2, "other"),
                guest_source("clicks", 2),
                sink("out", 2),
            ],
            vec![edge(0, 1, Partitioning::Forward), edge(1, 2, Partitioning::Hash), edge(3, 4, Partitioning::Forward)],
        )
    };
    // Two slot sharing groups, three and two slots wide.
    let two_groups = || {
        let mut heavy = operator("count", 2, "other");
        heavy.slot_sharing_group = Some("heavy".to_owned());
        job_graph(vec![guest_source("lines", 3), heavy], vec![edge(0, 1, Partitioning::Hash)])
    };
    prop_oneof![
        Just(()).prop_map(|()| word_count()),
        Just(()).prop_map(move |()| two_regions()),
        Just(()).prop_map(move |()| two_groups())
    ]
}

/// The default scheduler, or the adaptive one with short patience.
pub fn schedulers() -> impl Strategy<Value = Option<AdaptiveOptions>> {
    let adaptive = (prop::option::of(10_000..60_000u64), 0..2_000u64, 0..2_000u64, prop::option::of(0..2_000u64));
    let adaptive =
        adaptive.prop_map(|(wait_timeout_ms, stabilization_ms, cooldown_ms, max_delay_ms)| AdaptiveOptions {
            wait_timeout_ms,
            stabilization_ms,
            executing_stabilization_ms: stabilization_ms,
            cooldown_ms,
            max_delay_ms,
        });
    prop_oneof![Just(None), adaptive.prop_map(Some)]
}

fn world(graph: JobGraph, strategy: RestartStrategy, adaptive: Option<AdaptiveOptions>) -> World {
    World::checkpointed(graph, strategy, CheckpointOptions::default(), adaptive)
}

fn strategies() -> impl Strategy<Value = RestartStrategy> {
    let growing = ExponentialDelay {
        backoff_ms_initial: 100,
        backoff_ms_max: 2_000,
        multiplier: Decimal::from_millionths(2_000_000),
        reset_threshold_ms: 50_000,
        jitter_factor: Decimal::from_millionths(500_000),
        attempts_max: u32::MAX,
    };
    prop::sample::select(vec![
        RestartStrategy::None,
        RestartStrategy::FixedDelay { attempts: 3, delay_ms: 500 },
        RestartStrategy::FixedDelay { attempts: u32::MAX, delay_ms: 0 },
        RestartStrategy::FailureRate { failures_max: 2, interval_ms: 10_000, delay_ms: 100 },
        RestartStrategy::ExponentialDelay(growing),
    ])
}

fn input(world: &World, event: &Event) -> Input {
    let attempt = |task: usize, off: i32| {
        let attempts = world.attempts();
        let (present, _) = attempts[task % attempts.len()];
        AttemptId { attempt: present.attempt.saturating_add_signed(off), ..present }
    };
    let report = |attempt, state, failure| {
        let (at, figures) = (Timestamp(0), TaskFigures::default());
        Input::TaskReported(TaskReport { attempt, state, at, failure, figures })
    };
    // Two TaskManagers of two slots, each slot under a grant of its own; then one grant that contradicts another.
    let offers = [("a", 0, 1), ("a", 1, 2), ("b", 0, 3), ("b", 1, 4), ("c", 0, 5), ("a", 1, 1)];
    let offered = |which: &u8| {
        let (name, index, number) = offers[usize::from(*which)];
        offer(name, index, number)
    };
    match event {
        Event::Start => Input::Start,
        Event::Offer(which) => Input::SlotsOffered(vec![offered(which)]),
        Event::LoseSlot(which) => Input::SlotsLost(vec![offered(which).1]),
        Event::LoseTaskManager(which) => {
            let task_manager = tm(["a", "b", "c"][usize::from(*which)]);
            Input::TaskManagerLost { task_manager, reason: "gone".into() }
        }
        Event::Lacking => Input::SlotsLacking { needed: 2, free: 1, total: 3 },
        Event::Splits { node, ok, stale } => {
            let node = NodeId(*node);
            let asked = world.enumerations.get(&node).map_or(0, |asked| asked.0);
            let enumeration = EnumerationId(asked.saturating_sub(u64::from(*stale)));
            let result = if *ok { Ok(vec![vec![1], vec![2]]) } else { Err(failure("no such file")) };
            Input::SplitsEnumerated { node, enumeration, result }
        }
        Event::Report(task, off, state) => report(attempt(*task, *off), *state, None),
        Event::Permanent(task) => {
            let wrong = Failure::new(FailureKind::InvalidApplication, "two states of one name");
            report(attempt(*task, 0), ExecutionState::Failed, Some(wrong))
        }
        Event::AskForSplits(task, off) => Input::SplitRequested(SplitRequest {
            attempt: attempt(*task, *off),
            node: NodeId(0),
            finished: vec![SplitId(0)],
        }),
        Event::Figures(task, number) => {
            let figures = TaskFigures { records_in: *number, ..TaskFigures::default() };
            Input::FiguresUpdated(vec![(attempt(*task, 0), figures)])
        }
        Event::DeployFailed(task) => Input::DeployFailed { attempt: attempt(*task, 0), failure: failure("refused") },
        Event::Cancel => Input::CancelRequested,
        Event::Require(lower, upper) => {
            let bounds = ParallelismBounds { lower: *lower, upper: *upper };
            Input::RequirementsChanged { bounds: vec![bounds; world.core.view().graph.vertices.len()] }
        }
        Event::Written => Input::MetadataWritten { write: WriteId(world.last_write.unwrap_or(9)) },
        Event::WriteFailed => {
            Input::MetadataWriteFailed { write: WriteId(world.last_write.unwrap_or(9)), reason: "full".into() }
        }
        Event::Wait(_) | Event::Confirm => Input::DeadlineReached,
        Event::Repeat(_) if world.history.is_empty() => Input::DeadlineReached,
        Event::Repeat(which) => world.history[which % world.history.len()].clone(),
    }
}

fn apply(world: &mut World, event: &Event) {
    match event {
        Event::Wait(ms) => world.now = world.now.plus_ms(*ms),
        Event::Confirm => {
            for (attempt, state) in world.attempts() {
                if state == ExecutionState::Canceling {
                    world.report(attempt, ExecutionState::Canceled);
                }
            }
        }
        _ => {}
    }
    let input = input(world, event);
    world.step(input);
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn whatever_comes_the_promises_hold_and_the_job_can_end(
        graph in graphs(), strategy in strategies(), adaptive in schedulers(), events in events()
    ) {
        let mut world = world(graph, strategy, adaptive);
        events.iter().for_each(|event| apply(&mut world, event));
        world.step(Input::CancelRequested);
        // Tasks that never confirm lose their slots.
        for _ in 0..200 {
            if let (None, Some(write)) = (world.ended, world.last_write) {
                world.step(Input::MetadataWritten { write: WriteId(write) });
            }
            if world.ended.is_none() {
                world.now = world.now.plus_ms(1_000);
                world.step(Input::DeadlineReached);
            }
        }
        prop_assert!(world.ended.is_some(), "the job ends: {:?}", world.core.view().status);
    }

    #[test]
    fn given_slots_and_no_more_failures_the_job_ends_by_itself(
        graph in graphs(), strategy in strategies(), adaptive in schedulers(), events in events()
    ) {
        let mut world = world(graph, strategy, adaptive);
        world.step(Input::Start);
        events.iter().for_each(|event| apply(&mut world, event));
        let (before, restarts) = (world.core.view().status, world.core.view().restarts);
        world.behave(250);
        let view = world.core.view();
        prop_assert!(world.ended.is_some(), "{before} then {}: {:?}", view.status, view.waiting);
        prop_assert_eq!(view.restarts, restarts, "nothing failed any more");
        if matches!(before, JobStatus::Created | JobStatus::Running | JobStatus::Restarting) {
            prop_assert_eq!(world.ended, Some(JobStatus::Finished));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_job(graph in graphs(), strategy in strategies(), adaptive in schedulers(), events in events()) {
        let run = || {
            let mut world = world(graph.clone(), strategy, adaptive);
            events.iter().for_each(|event| apply(&mut world, event));
            world.core.view().clone()
        };
        prop_assert_eq!(run(), run());
    }
}
