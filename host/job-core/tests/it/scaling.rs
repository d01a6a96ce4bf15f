//! The adaptive scheduler: fewer slots than wanted, and more later.

use bytes::Bytes;
use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{AdaptiveOptions, CheckpointOptions, Command, Input, RestartStrategy};
use millrace_protocol::{OperatorSnapshot, ReaderSnapshot, SplitId, SplitPosition, SplitRequest, TaskDeployment};
use millrace_types::{Alignment, CheckpointId, ExecutionState, FailureKind, JobStatus, NodeId, Timestamp};

use crate::checkpoints::{ack, segment, snapshot};
use crate::cluster::Cluster;
use crate::graphs::{edge, guest_source, job_graph, operator, spec, word_count};
use crate::harness::{Harness, allocation, cancelled, failure, kinds, offer, persisted, tm};

const ALWAYS: RestartStrategy = RestartStrategy::FixedDelay { attempts: 9, delay_ms: 0 };

fn wide(parallelism: u32) -> JobGraph {
    let nodes = vec![guest_source("lines", parallelism), operator("count", parallelism, "main")];
    job_graph(nodes, vec![edge(0, 1, Partitioning::Hash)])
}

/// A job of this width that is started on TaskManagers of two slots each, with Flink's defaults.
fn started(parallelism: u32, task_managers: &[&str]) -> Cluster {
    let mut cluster = Cluster::adaptive(wide(parallelism), ALWAYS, AdaptiveOptions::default(), task_managers);
    cluster.tell_job(Input::Start);
    cluster
}

fn parallelism(view: &millrace_job_core::JobView) -> Vec<u32> {
    let widths: Vec<u32> = view.graph.vertices.iter().map(|vertex| vertex.parallelism).collect();
    assert!(view.vertices.iter().zip(&widths).all(|(vertex, width)| vertex.subtasks.len() == *width as usize));
    widths
}

fn run_all(cluster: &mut Cluster) {
    for attempt in cluster.running.keys().copied().collect::<Vec<_>>() {
        cluster.report(attempt, ExecutionState::Running);
    }
}

fn pass(cluster: &mut Cluster, ms: u64) {
    cluster.now = cluster.now.plus_ms(ms);
    cluster.tell_job(Input::DeadlineReached);
}

fn deployments(commands: &[Command]) -> Vec<&TaskDeployment> {
    let deployed = commands.iter().filter_map(|command| match command {
        Command::Deploy { task, .. } => Some(&**task),
        _ => None,
    });
    deployed.collect()
}

#[test]
fn with_all_slots_it_begins_at_once() {
    let cluster = started(4, &["tm1", "tm2"]);
    assert_eq!((cluster.status(), cluster.running.len(), cluster.now), (JobStatus::Running, 8, Timestamp(0)));
    assert_eq!(cluster.job.next_deadline(), None);
}

#[test]
fn with_half_of_the_slots_it_runs_at_half_the_parallelism() {
    let mut cluster = started(4, &["tm1"]);
    assert_eq!(cluster.status(), JobStatus::Created);
    let waiting = cluster.job.view().waiting.as_ref().unwrap().to_string();
    assert_eq!(waiting, "needs 4 slots and has 2; 0 of the cluster's 2 are free");
    cluster.deadline();
    assert_eq!((cluster.status(), cluster.now, cluster.running.len()), (JobStatus::Running, Timestamp(10_000), 4));
    let view = cluster.job.view();
    assert_eq!((parallelism(view), &view.desired_parallelism), (vec![2, 2], &Some(vec![4, 4])));
    // What the builder is told does not change, and neither do the key groups.
    let original = spec(wide(4));
    for task in deployments(&cluster.commands) {
        assert_eq!(
            (task.default_parallelism, task.graph_digest),
            (original.default_parallelism, original.graph_digest)
        );
        assert_eq!(
            (task.vertex.parallelism, task.vertex.max_parallelism),
            (2, original.graph.vertices[0].max_parallelism)
        );
    }
    // The splits are listed for the readers that there are.
    let asked = cluster.commands.iter().filter_map(|command| match command {
        Command::EnumerateSplits { parallelism, .. } => Some(*parallelism),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), [4, 2]);
    cluster.finish();
    assert_eq!((cluster.status(), cluster.manager.slots_free()), (JobStatus::Finished, 2));
}

#[test]
fn slots_that_come_are_taken_up_and_cost_no_restart() {
    let mut cluster = started(4, &["tm1"]);
    cluster.deadline();
    run_all(&mut cluster);
    cluster.register("tm2");
    // Not before it has run for a while.
    assert_eq!((cluster.running.len(), cluster.job.next_deadline()), (4, Some(Timestamp(40_000))));
    cluster.deadline();
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 8));
    let view = cluster.job.view();
    assert_eq!((parallelism(view), view.restarts, view.exceptions.entries.len()), (vec![4, 4], 0, 0));
    assert!(cluster.running.keys().all(|attempt| attempt.attempt == 1));
    assert_eq!(cluster.job.next_deadline(), None);
}

#[test]
fn a_task_that_begins_is_not_disturbed() {
    let mut cluster = started(4, &["tm1"]);
    cluster.deadline();
    cluster.register("tm2");
    pass(&mut cluster, 100_000);
    assert_eq!((cluster.running.len(), cluster.job.next_deadline()), (4, None));
    run_all(&mut cluster);
    assert_eq!(cluster.running.len(), 8);
}

#[test]
fn a_task_manager_that_is_lost_costs_parallelism_and_one_restart() {
    let mut cluster = started(4, &["tm1", "tm2"]);
    run_all(&mut cluster);
    cluster.kill("tm2");
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Restarting, 0));
    cluster.deadline();
    assert_eq!((cluster.status(), cluster.now), (JobStatus::Running, Timestamp(10_000)));
    assert_eq!((parallelism(cluster.job.view()), cluster.job.view().restarts), (vec![2, 2], 1));
    // A failure that costs no slot is answered at once.
    run_all(&mut cluster);
    let attempt = *cluster.running.keys().next().unwrap();
    cluster.running.remove(&attempt);
    cluster.fail(attempt, failure("trap"));
    assert_eq!((cluster.status(), cluster.running.len(), cluster.now), (JobStatus::Running, 4, Timestamp(10_000)));
    assert_eq!(cluster.job.view().restarts, 2);
    // The numbers of the subtasks that come back are new.
    run_all(&mut cluster);
    cluster.register("tm3");
    cluster.deadline();
    assert_eq!(cluster.running.len(), 8);
    assert!(cluster.running.keys().all(|attempt| attempt.attempt == 3));
    assert_eq!(cluster.running.values().filter(|slot| slot.task_manager == tm("tm3")).count(), 4);
}

#[test]
fn a_spare_that_comes_in_time_saves_the_parallelism() {
    let mut cluster = started(4, &["tm1", "tm2"]);
    run_all(&mut cluster);
    cluster.kill("tm2");
    pass(&mut cluster, 9_000);
    assert_eq!(cluster.status(), JobStatus::Restarting);
    cluster.register("tm3");
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 8));
}

#[test]
fn slots_that_come_and_go_are_one_restart() {
    let mut cluster = started(6, &["tm1"]);
    cluster.deadline();
    run_all(&mut cluster);
    pass(&mut cluster, 40_000);
    // Some more, which do not stay: no task runs there, and nothing happens.
    cluster.register("tm2");
    pass(&mut cluster, 59_000);
    cluster.kill("tm2");
    pass(&mut cluster, 100_000);
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 4));
    cluster.register("tm3");
    pass(&mut cluster, 59_000);
    assert_eq!(cluster.running.len(), 4);
    // All are there: nothing more is waited for.
    cluster.register("tm4");
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 12));
    assert_eq!(deployments(&cluster.commands).len(), 4 + 12);
    assert_eq!(cluster.job.view().restarts, 0);
}

#[test]
fn some_more_slots_are_taken_up_once_they_have_stayed() {
    let mut cluster = started(6, &["tm1"]);
    cluster.deadline();
    run_all(&mut cluster);
    pass(&mut cluster, 40_000);
    cluster.register("tm2");
    let joined = cluster.now;
    cluster.deadline();
    assert_eq!((cluster.now, cluster.running.len()), (joined.plus_ms(60_000), 8));
}

#[test]
fn two_regions_restart_together_and_one_that_has_ended_does_not() {
    let graph = job_graph(vec![guest_source("a", 4), guest_source("b", 4)], vec![]);
    let mut cluster = Cluster::adaptive(graph, ALWAYS, AdaptiveOptions::default(), &["tm1", "tm2"]);
    cluster.tell_job(Input::Start);
    run_all(&mut cluster);
    let of_a = cluster.job.view().graph.vertices[0].id;
    cluster.kill("tm2");
    cluster.deadline();
    assert_eq!(parallelism(cluster.job.view()), [2, 2]);
    run_all(&mut cluster);
    let ends: Vec<_> = cluster.running.keys().copied().filter(|attempt| attempt.vertex == of_a).collect();
    ends.into_iter().for_each(|attempt| cluster.report(attempt, ExecutionState::Finished));
    cluster.register("tm3");
    cluster.deadline();
    assert_eq!((parallelism(cluster.job.view()), cluster.running.len()), (vec![2, 4], 4));
    assert!(cluster.job.view().vertices[0].subtasks.iter().all(|task| task.state == ExecutionState::Finished));
    cluster.finish();
    assert_eq!(cluster.status(), JobStatus::Finished);
}

/// Word count at parallelism 2 that takes a checkpoint each second, and runs in one slot.
fn in_one_slot() -> Harness {
    let mut spec = spec(word_count());
    spec.checkpoints = CheckpointOptions { interval_ms: Some(1_000), ..CheckpointOptions::default() };
    spec.options.restart_strategy = ALWAYS;
    spec.options.adaptive = Some(AdaptiveOptions { cooldown_ms: 0, ..AdaptiveOptions::default() });
    let mut harness = Harness::of(spec);
    assert_eq!(kinds(&harness.step(Input::Start)), ["request", "enumerate", "reserve"]);
    harness.written(1);
    harness.splits(0, 3);
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]))), ["accept"]);
    assert_eq!(kinds(&harness.deadline()), ["enumerate"]);
    assert_eq!(kinds(&harness.splits(0, 3)), ["deploy", "deploy"]);
    harness.all_running()
}

fn asks(harness: &mut Harness, subtask: u32) -> Vec<(SplitId, Vec<u8>, Bytes)> {
    let (attempt, finished) = (harness.attempt(0, subtask), Vec::new());
    let commands = harness.step(Input::SplitRequested(SplitRequest { attempt, node: NodeId(0), finished }));
    let [Command::AssignSplits { assignment, .. }] = &commands[..] else { panic!("{commands:?}") };
    assignment.splits.clone()
}

#[test]
fn it_restarts_right_behind_a_checkpoint_and_the_splits_are_dealt_out_again() {
    let mut harness = in_one_slot();
    assert_eq!((asks(&mut harness, 0)[0].0, asks(&mut harness, 0)[0].0), (SplitId(0), SplitId(1)));
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("b", 0, 2)]))), ["accept"]);
    assert_eq!(kinds(&harness.deadline()), ["trigger"]);
    let held = |id, offset: &str| SplitPosition { id: SplitId(id), offset: offset.to_owned().into() };
    let reader = Some(ReaderSnapshot { received: 2, held: vec![held(0, "at 5"), held(1, "at 6")] });
    let (source, count) = (harness.attempt(0, 0), harness.attempt(1, 0));
    let positions = snapshot("lines", OperatorSnapshot { reader, ..OperatorSnapshot::default() });
    harness.step(ack(source, CheckpointId(1), positions));
    let keyed = OperatorSnapshot { keyed: vec![segment("counts")], ..OperatorSnapshot::default() };
    harness.step(ack(count, CheckpointId(1), snapshot("count", keyed)));
    let commands = harness.step(Input::CheckpointStored { checkpoint: CheckpointId(1), result: Ok("/c".into()) });
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    let commands = harness.step(Input::MetadataWritten { write });
    assert_eq!(kinds(&commands), ["completed", "completed", "cancel", "cancel", "attempt"]);
    assert_eq!(harness.status(), JobStatus::Restarting);
    let Some(Command::PersistAttempts { write, .. }) = commands.last() else { panic!("{commands:?}") };
    harness.step(Input::MetadataWritten { write: *write });
    harness.report(source, ExecutionState::Canceled);
    let commands = harness.report(count, ExecutionState::Canceled);
    let tasks = deployments(&commands);
    assert_eq!((tasks.len(), parallelism(harness.core.view())), (4, vec![2, 2]));
    for task in &tasks {
        assert_eq!((task.attempt.attempt, task.vertex.parallelism), (1, 2));
        assert_eq!(task.restore.as_ref().unwrap().checkpoint, CheckpointId(1));
    }
    assert_eq!(tasks[2].restore.as_ref().unwrap().operators["count"].keyed, [vec![segment("counts")]]);
    let mut harness = harness.all_running();
    assert_eq!(asks(&mut harness, 0), [(SplitId(0), vec![0], Bytes::from("at 5"))]);
    assert_eq!(asks(&mut harness, 1), [(SplitId(1), vec![1], Bytes::from("at 6"))]);
    let view = harness.core.view();
    assert_eq!((view.restarts, view.exceptions.entries.len(), view.checkpoints.counts.restored), (0, 0, 1));
    // And with a slot less one reader gets what both held.
    let commands = harness.step(Input::SlotsLost(vec![allocation(2)]));
    let recorded = commands.iter().find_map(|command| match command {
        Command::PersistAttempts { write, .. } => Some(*write),
        _ => None,
    });
    harness.step(Input::MetadataWritten { write: recorded.unwrap() });
    cancelled(&commands).into_iter().for_each(|task| drop(harness.report(task, ExecutionState::Canceled)));
    assert_eq!(deployments(&harness.deadline()).len(), 2);
    let mut harness = harness.all_running();
    let offsets: Vec<_> = asks(&mut harness, 0).into_iter().map(|(id, _, offset)| (id, offset)).collect();
    assert_eq!(offsets, [(SplitId(0), Bytes::from("at 5")), (SplitId(1), Bytes::from("at 6"))]);
}

#[test]
fn it_restarts_without_a_checkpoint_after_the_longest_delay() {
    let mut harness = in_one_slot();
    harness.step(Input::SlotsOffered(vec![offer("b", 0, 2)]));
    let offered = harness.now;
    assert_eq!(kinds(&harness.deadline()), ["trigger"]);
    let commands = harness.deadline();
    assert_eq!(harness.now, offered.plus_ms(3_000));
    assert_eq!(kinds(&commands), ["aborted", "aborted", "cancel", "cancel", "attempt"]);
    assert_eq!(cancelled(&commands).len(), 2);
}

#[test]
fn a_savepoint_that_was_asked_for_comes_first() {
    let mut harness = in_one_slot();
    let request = millrace_job_core::RequestId(1);
    harness.step(Input::SavepointRequested { request, folder: "/s".into(), stop: None });
    harness.step(Input::SlotsOffered(vec![offer("b", 0, 2)]));
    harness.now = harness.now.plus_ms(5_000);
    assert_eq!(kinds(&harness.step(Input::DeadlineReached)), Vec::<&str>::new());
    let commands = harness.report_with(harness.attempt(0, 0), ExecutionState::Running, None);
    assert_eq!(cancelled(&commands), []);
    let savepoint = harness.core.view().checkpoints.history[0].id;
    for task in harness.all_attempts() {
        harness.step(ack(task, savepoint, Default::default()));
    }
    let commands = harness.step(Input::CheckpointStored { checkpoint: savepoint, result: Ok("/s".into()) });
    assert_eq!(kinds(&commands), ["answer", "cancel", "cancel", "attempt"]);
}

#[test]
fn barriers_do_not_overtake_where_a_job_broadcasts_that_may_be_rescaled() {
    let alignment = |partitioning, adaptive| {
        let nodes = vec![guest_source("rules", 1), operator("match", 2, "main")];
        let mut spec = spec(job_graph(nodes, vec![edge(0, 1, partitioning)]));
        spec.checkpoints =
            CheckpointOptions { interval_ms: Some(1_000), unaligned: true, ..CheckpointOptions::default() };
        spec.options.adaptive = adaptive;
        let mut harness = Harness::of(spec);
        harness.step(Input::Start);
        harness.written(1);
        harness.splits(0, 1);
        harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
        let mut harness = harness.all_running();
        let commands = harness.deadline();
        let [Command::TriggerCheckpoint { barrier, .. }] = &commands[..] else { panic!("{commands:?}") };
        barrier.alignment
    };
    let (adaptive, unaligned) = (Some(AdaptiveOptions::default()), Alignment::Unaligned { timeout_ms: 0 });
    assert_eq!(alignment(Partitioning::Broadcast, adaptive), Alignment::Aligned);
    assert_eq!(alignment(Partitioning::Broadcast, None), unaligned);
    assert_eq!(alignment(Partitioning::Hash, adaptive), unaligned);
}

#[test]
fn without_any_slot_it_fails_in_the_end() {
    let mut spec = spec(word_count());
    spec.options.restart_strategy = ALWAYS;
    spec.options.adaptive = Some(AdaptiveOptions::default());
    let mut harness = Harness::of(spec);
    harness.step(Input::Start);
    let started = harness.now;
    let commands = harness.deadline();
    assert_eq!(harness.now, started.plus_ms(300_000));
    assert_eq!(persisted(&commands).map(|(_, status)| status), Some(JobStatus::Failed));
    let failure = &harness.core.view().exceptions.entries[0].failure;
    assert_eq!((failure.kind, harness.core.view().restarts), (FailureKind::NoResources, 0));
    assert!(failure.to_string().contains("resource-wait-timeout"), "{failure}");
}
