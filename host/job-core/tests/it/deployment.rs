//! What a TaskManager gets to run one subtask.

use std::collections::{BTreeMap, BTreeSet};

use millrace_graph::Partitioning;
use millrace_job_core::{Command, Input};
use millrace_protocol::{ChannelId, TaskDeployment};
use millrace_types::{NodeId, TaskManagerId};

use crate::graphs::{edge, guest_source, job_graph, operator, word_count};
use crate::harness::{Harness, allocation, offer, tm};

fn deployments(commands: &[Command]) -> Vec<(TaskManagerId, TaskDeployment)> {
    let deployed = |command: &Command| match command {
        Command::Deploy { task_manager, task } => Some((task_manager.clone(), (**task).clone())),
        _ => None,
    };
    commands.iter().filter_map(deployed).collect()
}

fn word_count_deployments() -> Vec<(TaskManagerId, TaskDeployment)> {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    harness.splits(0, 1);
    // Offered in another order than that of the TaskManagers.
    deployments(&harness.step(Input::SlotsOffered(vec![offer("b", 3, 1), offer("a", 5, 2)])))
}

#[test]
fn shared_slots_are_assigned_in_the_order_of_the_slots() {
    let placed: Vec<_> = word_count_deployments()
        .into_iter()
        .map(|(task_manager, task)| (task_manager, task.allocation, task.attempt.subtask))
        .collect();
    let on_a = |subtask| (tm("a"), allocation(2), subtask);
    let on_b = |subtask| (tm("b"), allocation(1), subtask);
    assert_eq!(placed, [on_a(0), on_b(1), on_a(0), on_b(1)]);
}

#[test]
fn a_deployment_has_all_that_a_task_needs() {
    let (_, task) = &word_count_deployments()[2];
    assert_eq!(task.vertex.name, "count -> Sink: out");
    assert_eq!((task.job_name.as_str(), task.tenant.as_str(), task.default_parallelism), ("test job", "default", 1));
    assert_eq!(task.args, ["--input"]);
    assert_eq!(task.components.keys().collect::<Vec<_>>(), ["other"], "no component that the chain does not use");
    assert!(task.outputs.is_empty());
    assert_eq!(task.inputs.len(), 1);
    let gate = &task.inputs[0];
    assert_eq!((gate.target, gate.target_port), (NodeId(2), 0));
    let from: Vec<_> = gate.channels.iter().map(|channel| (channel.id.source_subtask, &channel.task_manager)).collect();
    assert_eq!(from, [(0, &tm("a")), (1, &tm("b"))]);
}

#[test]
fn outputs_say_how_to_spread_the_records() {
    let (_, task) = &word_count_deployments()[1];
    let [output] = &task.outputs[..] else { panic!("one output") };
    assert_eq!((output.source, output.partitioning), (NodeId(1), Partitioning::Hash));
    assert_eq!((output.target_parallelism, output.target_max_parallelism), (2, 128));
    let to: Vec<_> = output.channels.iter().map(|channel| (channel.id.target_subtask, &channel.task_manager)).collect();
    assert_eq!(to, [(0, &tm("a")), (1, &tm("b"))]);
}

#[test]
fn both_ends_of_every_channel_are_deployed_and_know_where_the_other_is() {
    let graph = job_graph(
        vec![guest_source("a", 3), operator("b", 2, "main"), operator("c", 2, "main"), operator("d", 3, "main")],
        vec![
            edge(0, 1, Partitioning::Rescale),
            edge(1, 2, Partitioning::Forward),
            edge(0, 2, Partitioning::Broadcast),
            edge(2, 3, Partitioning::Rescale),
            edge(0, 3, Partitioning::Hash),
        ],
    );
    let mut harness = Harness::new(graph);
    harness.step(Input::Start);
    harness.splits(0, 1);
    let slots = vec![offer("x", 0, 1), offer("y", 0, 2), offer("z", 0, 3)];
    let deployments = deployments(&harness.step(Input::SlotsOffered(slots)));
    assert_eq!(deployments.len(), 10);
    let mut outgoing: BTreeMap<ChannelId, (TaskManagerId, TaskManagerId)> = BTreeMap::new();
    let mut incoming = BTreeMap::new();
    for (here, task) in &deployments {
        for channel in task.outputs.iter().flat_map(|output| &output.channels) {
            assert_eq!(channel.id.source_subtask, task.attempt.subtask);
            assert!(outgoing.insert(channel.id, (here.clone(), channel.task_manager.clone())).is_none());
        }
        for channel in task.inputs.iter().flat_map(|gate| &gate.channels) {
            assert_eq!(channel.id.target_subtask, task.attempt.subtask);
            assert!(incoming.insert(channel.id, (channel.task_manager.clone(), here.clone())).is_none());
        }
    }
    assert_eq!(outgoing, incoming);
    let edges: BTreeSet<_> = outgoing.keys().map(|channel| channel.edge).collect();
    assert_eq!(edges, (0..5).collect());
    // 3 rescaled into 2, 2 by 2 forward, 3 × 2 broadcast, 2 rescaled into 3, 3 × 3 by key.
    assert_eq!(outgoing.len(), 3 + 2 + 6 + 3 + 9);
}
