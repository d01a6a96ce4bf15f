//! Another parallelism for a job that runs, because its user wants it.

use std::collections::BTreeMap;

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{
    AdaptiveOptions, CheckpointOptions, Command, Input, ParallelismBounds, RequirementsError, RescaleCause, RescaleEnd,
    RestartStrategy, check_requirements,
};
use millrace_types::{CheckpointId, ExecutionState, JobStatus};

use crate::checkpoints::ack;
use crate::cluster::Cluster;
use crate::graphs::{edge, guest_source, job_graph, operator, spec, word_count};
use crate::harness::{Harness, cancelled, failure, kinds, offer};

const ALWAYS: RestartStrategy = RestartStrategy::FixedDelay { attempts: 9, delay_ms: 0 };

fn wide(parallelism: u32) -> JobGraph {
    let nodes = vec![guest_source("lines", parallelism), operator("count", parallelism, "main")];
    job_graph(nodes, vec![edge(0, 1, Partitioning::Hash)])
}

fn started(parallelism: u32, task_managers: &[&str]) -> Cluster {
    let mut cluster = Cluster::adaptive(wide(parallelism), ALWAYS, AdaptiveOptions::default(), task_managers);
    cluster.tell_job(Input::Start);
    run_all(&mut cluster);
    cluster
}

fn run_all(cluster: &mut Cluster) {
    for attempt in cluster.running.keys().copied().collect::<Vec<_>>() {
        cluster.report(attempt, ExecutionState::Running);
    }
}

fn require(cluster: &mut Cluster, bounds: [(u32, u32); 2]) {
    let bounds = bounds.map(|(lower, upper)| ParallelismBounds { lower, upper }).to_vec();
    cluster.tell_job(Input::RequirementsChanged { bounds });
}

fn parallelism(cluster: &Cluster) -> Vec<u32> {
    cluster.job.view().graph.vertices.iter().map(|vertex| vertex.parallelism).collect()
}

/// Causes and ends of the rescales, the oldest first.
fn rescales(cluster: &Cluster) -> Vec<(RescaleCause, Option<RescaleEnd>)> {
    let entries = cluster.job.view().rescales.entries.iter().rev();
    entries.map(|entry| (entry.cause, entry.ended.map(|(_, end)| end))).collect()
}

const BEGAN: (RescaleCause, Option<RescaleEnd>) = (RescaleCause::InitialSchedule, Some(RescaleEnd::Succeeded));

#[test]
fn a_job_that_is_to_have_more_restarts_at_once_where_there_are_slots() {
    let mut cluster = started(2, &["tm1", "tm2"]);
    assert_eq!((parallelism(&cluster), cluster.manager.slots_free()), (vec![2, 2], 2));
    require(&mut cluster, [(1, 2), (1, 4)]);
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![2, 4]));
    assert_eq!((cluster.running.len(), cluster.manager.slots_free()), (6, 0));
    let view = cluster.job.view();
    assert_eq!((view.restarts, view.exceptions.entries.len()), (0, 0), "it costs no restart");
    assert_eq!((&view.desired_parallelism, &view.least_parallelism), (&Some(vec![2, 4]), &Some(vec![1, 1])));
    let wanted = (RescaleCause::UpdateRequirement, Some(RescaleEnd::Succeeded));
    assert_eq!(rescales(&cluster), [BEGAN, wanted]);
    let newest = &view.rescales.entries[0];
    assert_eq!((newest.number, newest.requirements, newest.attempt), (2, 1, 1));
    assert_eq!(
        (newest.vertices[1].before, newest.vertices[1].desired, newest.vertices[1].after),
        (Some(2), 4, Some(4))
    );
}

#[test]
fn a_job_that_is_to_have_less_gives_slots_back() {
    let mut cluster = started(4, &["tm1", "tm2"]);
    require(&mut cluster, [(1, 1), (1, 1)]);
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![1, 1]));
    assert_eq!((cluster.running.len(), cluster.manager.slots_free(), cluster.granted.len()), (2, 3, 1));
    // And it stays so when it fails.
    run_all(&mut cluster);
    let attempt = *cluster.running.keys().next().unwrap();
    cluster.running.remove(&attempt);
    cluster.fail(attempt, failure("trap"));
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![1, 1]));
    assert_eq!(rescales(&cluster).last(), Some(&(RescaleCause::RecoverableFailover, Some(RescaleEnd::Succeeded))));
    cluster.finish();
    assert_eq!((cluster.status(), cluster.manager.slots_free()), (JobStatus::Finished, 4));
}

#[test]
fn what_lacks_slots_waits_for_them_and_runs_on() {
    let mut cluster = started(2, &["tm1"]);
    require(&mut cluster, [(1, 4), (1, 4)]);
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![2, 2]));
    assert_eq!(rescales(&cluster), [BEGAN, (RescaleCause::UpdateRequirement, None)]);
    cluster.register("tm2");
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![4, 4]));
    assert_eq!(rescales(&cluster)[1].1, Some(RescaleEnd::Succeeded));
}

#[test]
fn the_least_parallelism_is_waited_for() {
    let mut cluster = started(4, &["tm1", "tm2"]);
    require(&mut cluster, [(3, 4), (3, 4)]);
    assert_eq!(rescales(&cluster)[1], (RescaleCause::UpdateRequirement, Some(RescaleEnd::NothingChanges)));
    cluster.kill("tm2");
    cluster.now = cluster.now.plus_ms(60_000);
    cluster.tell_job(Input::DeadlineReached);
    assert_eq!(cluster.status(), JobStatus::Restarting, "two slots are too few");
    cluster.register("tm3");
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![4, 4]));
}

#[test]
fn a_later_wish_takes_the_place_of_an_earlier_one() {
    let mut cluster = started(2, &["tm1"]);
    require(&mut cluster, [(1, 4), (1, 4)]);
    require(&mut cluster, [(1, 2), (1, 2)]);
    let ends: Vec<_> = rescales(&cluster).into_iter().map(|(_, end)| end).collect();
    assert_eq!(ends[1..], [Some(RescaleEnd::RequirementsUpdated), Some(RescaleEnd::NothingChanges)]);
    assert_eq!((cluster.status(), parallelism(&cluster)), (JobStatus::Running, vec![2, 2]));
    cluster.register("tm2");
    assert_eq!(cluster.manager.slots_free(), 2, "nothing more is asked for");
}

#[test]
fn a_cancelled_job_is_not_rescaled() {
    let mut cluster = started(2, &["tm1"]);
    require(&mut cluster, [(1, 4), (1, 4)]);
    cluster.tell_job(Input::CancelRequested);
    require(&mut cluster, [(1, 1), (1, 1)]);
    assert_eq!(rescales(&cluster)[1].1, Some(RescaleEnd::JobCanceled));
    assert_eq!(rescales(&cluster).len(), 2);
}

#[test]
fn under_the_default_scheduler_nothing_changes() {
    let mut cluster = Cluster::new(wide(2), ALWAYS, &["tm1"]);
    cluster.tell_job(Input::Start);
    run_all(&mut cluster);
    require(&mut cluster, [(1, 1), (1, 1)]);
    assert_eq!((parallelism(&cluster), cluster.running.len()), (vec![2, 2], 4));
    assert_eq!(cluster.job.view().rescales.entries.len(), 0);
}

/// A leader that takes over knows what was wanted.
#[test]
fn a_job_begins_with_what_was_wanted_of_it() {
    let mut spec = spec(word_count());
    spec.options.adaptive = Some(AdaptiveOptions::default());
    spec.requirements = Some(vec![ParallelismBounds { lower: 1, upper: 1 }, ParallelismBounds { lower: 1, upper: 3 }]);
    let mut harness = Harness::of(spec);
    let commands = harness.step(Input::Start);
    assert_eq!(commands.first(), Some(&Command::RequestSlots { count: 3 }));
    assert_eq!(harness.core.view().desired_parallelism, Some(vec![1, 3]));
}

#[test]
fn a_job_with_checkpoints_restarts_behind_one() {
    let mut spec = spec(word_count());
    spec.checkpoints = CheckpointOptions { interval_ms: Some(1_000), ..CheckpointOptions::default() };
    spec.options.restart_strategy = ALWAYS;
    spec.options.adaptive = Some(AdaptiveOptions::default());
    let mut harness = Harness::of(spec);
    harness.step(Input::Start);
    harness.written(1);
    harness.splits(0, 3);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
    let mut harness = harness.all_running();
    let bounds = vec![ParallelismBounds { lower: 1, upper: 1 }; 2];
    assert_eq!(kinds(&harness.step(Input::RequirementsChanged { bounds })), ["request"]);
    assert_eq!(kinds(&harness.deadline()), ["trigger", "trigger"]);
    for task in harness.all_attempts() {
        harness.step(ack(task, CheckpointId(1), Default::default()));
    }
    let commands = harness.step(Input::CheckpointStored { checkpoint: CheckpointId(1), result: Ok("/c".into()) });
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    let commands = harness.step(Input::MetadataWritten { write });
    assert_eq!((harness.status(), cancelled(&commands).len()), (JobStatus::Restarting, 4));
}

#[test]
fn requirements_name_every_vertex_and_fit_its_key_groups() {
    let graph = wide(2);
    let [lines, count] = [graph.vertices[0].id, graph.vertices[1].id];
    let check = |stated: &[(millrace_types::VertexId, (i64, i64))]| {
        check_requirements(&graph, &stated.iter().copied().collect::<BTreeMap<_, _>>())
    };
    let bounds = |lower, upper| ParallelismBounds { lower, upper };
    assert_eq!(check(&[(lines, (1, 2)), (count, (2, 128))]), Ok(vec![bounds(1, 2), bounds(2, 128)]));
    assert!(matches!(check(&[(lines, (1, 2))]), Err(RequirementsError::Missing { .. })));
    let stranger = millrace_types::VertexId::from_bytes([9; 16]);
    assert_eq!(
        check(&[(lines, (1, 2)), (count, (1, 2)), (stranger, (1, 1))]),
        Err(RequirementsError::Unknown(stranger))
    );
    for wrong in [(0, 2), (3, 2), (-1, -1), (1, 129), (1, i64::MAX)] {
        let refused = check(&[(lines, wrong), (count, (1, 2))]);
        assert!(matches!(refused, Err(RequirementsError::Bounds { .. })), "{wrong:?}: {refused:?}");
    }
}
