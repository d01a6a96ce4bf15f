//! Splits are handed to readers one by one.

use bytes::Bytes;
use millrace_job_core::{Command, DropReason, Input, SPLIT_BYTES_MAX, SPLITS_MAX, SplitAssigner, SplitProgress};
use millrace_protocol::{SplitAssignment, SplitId, SplitRequest};
use millrace_types::{AttemptId, ExecutionState, FailureKind, JobStatus, NodeId};
use proptest::prelude::*;

use crate::harness::{Harness, tm};

fn ask(harness: &mut Harness, attempt: AttemptId, finished: &[u32]) -> Vec<Command> {
    let finished = finished.iter().map(|number| SplitId(*number)).collect();
    harness.step(Input::SplitRequested(SplitRequest { attempt, node: NodeId(0), finished }))
}

#[track_caller]
fn assigned(commands: &[Command], expected_tm: &str, expected_split: Option<u32>, expected_no_more: bool) {
    let [Command::AssignSplits { task_manager, assignment }] = commands else { panic!("{commands:?}") };
    let SplitAssignment { node, splits, no_more, .. } = assignment;
    assert_eq!((task_manager, *node, *no_more), (&tm(expected_tm), NodeId(0), expected_no_more));
    let expected: Vec<_> =
        expected_split.map(|number| (SplitId(number), vec![number as u8], Bytes::new())).into_iter().collect();
    assert_eq!(*splits, expected);
}

#[test]
fn each_reader_gets_the_next_split() {
    let mut harness = Harness::running();
    let (one, two) = (harness.attempt(0, 0), harness.attempt(0, 1));
    assigned(&ask(&mut harness, one, &[]), "a", Some(0), false);
    assigned(&ask(&mut harness, two, &[]), "b", Some(1), false);
    assigned(&ask(&mut harness, two, &[1]), "b", Some(2), true);
    assigned(&ask(&mut harness, one, &[0]), "a", None, true);
    let progress = SplitProgress { waiting: 0, assigned: 3, finished: 2 };
    assert_eq!(harness.core.view().splits[&NodeId(0)], progress);
}

#[test]
fn a_source_without_splits_ends_its_readers() {
    let mut harness = Harness::new(crate::graphs::word_count());
    harness.step(Input::Start);
    harness.splits(0, 0);
    harness.step(Input::SlotsOffered(vec![crate::harness::offer("a", 0, 1), crate::harness::offer("b", 0, 2)]));
    let attempt = harness.attempt(0, 0);
    assigned(&ask(&mut harness, attempt, &[]), "a", None, true);
}

#[test]
fn requests_that_do_not_fit_are_dropped() {
    let mut harness = Harness::running();
    let reader = harness.attempt(0, 0);
    let stale = AttemptId { attempt: 9, ..reader };
    assert_eq!(ask(&mut harness, stale, &[]), []);
    assert_eq!(harness.dropped(DropReason::StaleAttempt), 1);
    // The second vertex does not run the source, and the first one no source "split".
    let other = harness.attempt(1, 0);
    assert_eq!(ask(&mut harness, other, &[]), []);
    let no_source = SplitRequest { attempt: reader, node: NodeId(1), finished: vec![] };
    assert_eq!(harness.step(Input::SplitRequested(no_source)), []);
    assert_eq!(harness.dropped(DropReason::UnknownSplits), 2);
    // A split that was never handed out cannot be finished, nor one that another reader has.
    ask(&mut harness, reader, &[0, 77]);
    assert_eq!(harness.dropped(DropReason::UnknownSplits), 4);
    assert_eq!(harness.core.view().splits[&NodeId(0)].finished, 0);
    harness.report(other, ExecutionState::Failed);
    assert_eq!(ask(&mut harness, reader, &[]), []);
    assert_eq!(harness.dropped(DropReason::TooLate), 1);
    harness.report(reader, ExecutionState::Canceled);
    assert_eq!(ask(&mut harness, reader, &[]), []);
    assert_eq!(harness.dropped(DropReason::TaskEnded), 1);
}

#[test]
fn too_many_or_too_long_splits_fail_the_job() {
    for splits in [vec![vec![]; SPLITS_MAX + 1], vec![vec![0; SPLIT_BYTES_MAX + 1]], vec![vec![0; 60_000]; 5_000]] {
        let mut harness = Harness::new(crate::graphs::word_count());
        harness.step(Input::Start);
        let enumeration = harness.enumeration(0);
        harness.step(Input::SplitsEnumerated { node: NodeId(0), enumeration, result: Ok(splits) });
        assert_eq!(harness.status(), JobStatus::Failing);
        let failure = &harness.core.view().exceptions.entries[0].failure;
        assert_eq!(failure.kind, FailureKind::InvalidApplication);
        assert_eq!(failure.operator.as_deref(), Some("lines"));
        assert!(failure.remedy.is_some());
    }
}

proptest! {
    #[test]
    fn every_split_goes_to_one_reader(splits in 0..30u8, readers in proptest::collection::vec(0..4u32, 0..60)) {
        let harness = Harness::running();
        let mut assigner = SplitAssigner::new((0..splits).map(|n| vec![n]).collect()).unwrap();
        let mut handed_out = Vec::new();
        for (position, reader) in readers.iter().enumerate() {
            let attempt = AttemptId { subtask: *reader, ..harness.attempt(0, 0) };
            let handout = assigner.request(attempt, &[]);
            prop_assert!(handout.splits.len() <= 1);
            prop_assert_eq!(handout.no_more, position + 1 >= usize::from(splits));
            handed_out.extend(handout.splits);
        }
        let expected = usize::from(splits).min(readers.len());
        let in_order = (0..expected).map(|n| (SplitId(n as u32), vec![n as u8], Bytes::new()));
        prop_assert_eq!(handed_out, in_order.collect::<Vec<_>>());
        prop_assert_eq!(assigner.progress().assigned as usize, expected);
    }
}
