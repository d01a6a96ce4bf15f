//! INITIALIZING and CREATED.

use millrace_job_core::{Command, DropReason, EnumerationId, Input};
use millrace_types::{ExecutionState, Failure, FailureKind, JobStatus, NodeId};

use crate::graphs::{edge, guest_source, job_graph, operator, word_count};
use crate::harness::{Harness, allocation, kinds, offer, persisted, tm};

#[test]
fn a_job_asks_for_its_slots_and_its_splits() {
    let mut harness = Harness::new(word_count());
    assert_eq!(harness.status(), JobStatus::Initializing);
    assert_eq!(harness.state(0, 0), ExecutionState::Created);
    let commands = harness.step(Input::Start);
    assert_eq!(
        commands,
        [
            Command::RequestSlots { count: 2 },
            Command::EnumerateSplits { node: NodeId(0), parallelism: 2, enumeration: EnumerationId(1) }
        ]
    );
    assert_eq!(harness.status(), JobStatus::Created);
    assert_eq!(harness.state(1, 1), ExecutionState::Scheduled);
    assert_eq!(harness.step(Input::Start), []);
    assert_eq!(harness.dropped(DropReason::AlreadyAnswered), 1);
}

#[test]
fn every_source_of_the_graph_is_enumerated() {
    let hash = millrace_graph::Partitioning::Hash;
    let graph = job_graph(
        vec![guest_source("a", 1), guest_source("b", 3), operator("c", 2, "main")],
        vec![edge(0, 2, hash), edge(1, 2, hash)],
    );
    let mut harness = Harness::new(graph);
    let commands = harness.step(Input::Start);
    let enumerated = |node, parallelism, id| Command::EnumerateSplits {
        node: NodeId(node),
        parallelism,
        enumeration: EnumerationId(id),
    };
    assert_eq!(commands, [Command::RequestSlots { count: 3 }, enumerated(0, 1, 1), enumerated(1, 3, 2)]);
}

#[test]
fn it_says_what_it_lacks_and_goes_on_when_that_comes() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    harness.step(Input::SlotsLacking { needed: 2, free: 1, total: 1 });
    let waiting = |harness: &Harness| harness.core.view().waiting.as_ref().unwrap().to_string();
    assert_eq!(waiting(&harness), "needs 2 slots and has 0; 1 of the cluster's 1 are free");
    let commands = harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]));
    assert_eq!(kinds(&commands), ["accept"]);
    assert_eq!(waiting(&harness), "needs 2 slots and has 1; 1 of the cluster's 1 are free");
    harness.step(Input::SlotsOffered(vec![offer("b", 0, 2)]));
    assert_eq!(waiting(&harness), "lists the splits of 1 sources");
    assert_eq!(kinds(&harness.splits(0, 1)), ["deploy"; 4]);
    assert_eq!(harness.core.view().waiting, None);
    assert_eq!(harness.status(), JobStatus::Running);
}

#[test]
fn splits_may_come_first() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    assert_eq!(harness.splits(0, 1), []);
    let commands = harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("a", 1, 2)]));
    assert_eq!(kinds(&commands), ["accept", "accept", "deploy", "deploy", "deploy", "deploy"]);
}

#[test]
fn offers_that_are_not_needed_are_rejected() {
    let mut harness = Harness::new(word_count());
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]))), ["reject"]);
    harness.step(Input::Start);
    let offers = vec![offer("a", 0, 1), offer("a", 1, 2), offer("a", 2, 3)];
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(offers))), ["accept", "accept", "reject"]);
    assert_eq!(harness.dropped(DropReason::SurplusSlot), 2);
}

#[test]
fn an_offer_may_come_twice_but_a_grant_is_of_one_slot_and_a_slot_under_one_grant() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    let mut offered = |slot| kinds(&harness.step(Input::SlotsOffered(vec![slot])));
    assert_eq!(offered(offer("a", 0, 1)), ["accept"]);
    assert_eq!(offered(offer("a", 0, 1)), ["accept"]);
    assert_eq!(offered(offer("a", 0, 9)), ["reject"]);
    assert!(offered(offer("a", 1, 1)).is_empty());
    assert_eq!(harness.core.view().waiting.as_ref().unwrap().slots_have, 1);
    assert_eq!(harness.dropped(DropReason::UnknownAllocation), 1);
}

#[test]
fn slots_that_are_lost_before_anything_runs_are_asked_for_again() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]));
    let gone = Input::TaskManagerLost { task_manager: tm("a"), reason: "x".into() };
    assert_eq!(harness.step(gone.clone()), [Command::RequestSlots { count: 2 }]);
    assert_eq!(harness.step(gone), []);
    harness.step(Input::SlotsOffered(vec![offer("b", 0, 2)]));
    assert_eq!(harness.step(Input::SlotsLost(vec![allocation(2)])), [Command::RequestSlots { count: 2 }]);
    assert_eq!(harness.step(Input::SlotsLost(vec![allocation(2)])), []);
    assert_eq!(harness.core.view().waiting.as_ref().unwrap().slots_have, 0);
    assert_eq!(harness.status(), JobStatus::Created);
}

#[test]
fn a_source_that_cannot_list_its_splits_fails_the_job_before_anything_runs() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]));
    let missing = Failure::new(FailureKind::Connector, "no such file").with_remedy("check the path");
    let commands =
        harness.step(Input::SplitsEnumerated { node: NodeId(0), enumeration: EnumerationId(1), result: Err(missing) });
    assert_eq!(kinds(&commands), ["request", "release", "persist"]);
    assert_eq!(commands[0], Command::RequestSlots { count: 0 });
    assert_eq!(persisted(&commands), Some((1, JobStatus::Failed)));
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Failed }]);
    let exception = &harness.core.view().exceptions.entries[0];
    assert_eq!(exception.failure.operator.as_deref(), Some("lines"));
    assert_eq!(exception.failure.remedy.as_deref(), Some("check the path"));
    assert_eq!((exception.task_name.as_ref(), exception.execution_name()), (None, None));
    assert_eq!(harness.state(0, 0), ExecutionState::Canceled);
}

#[test]
fn answers_to_other_questions_change_nothing() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    assert_eq!(harness.splits(2, 1), []);
    assert_eq!(harness.dropped(DropReason::UnknownSplits), 1);
    assert_eq!(harness.splits(0, 1), []);
    assert_eq!(harness.splits(0, 9), []);
    assert_eq!(harness.dropped(DropReason::AlreadyAnswered), 1);
    assert_eq!(harness.core.view().splits[&NodeId(0)].waiting, 1);
    harness.step(Input::SlotsLacking { needed: 7, free: 0, total: 0 });
    assert_eq!(harness.core.view().waiting.as_ref().unwrap().cluster_slots, None);
    assert_eq!(harness.written(1), []);
    assert_eq!(harness.core.next_deadline(), None);
}
