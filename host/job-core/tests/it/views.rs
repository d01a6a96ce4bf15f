//! What REST sees.

use std::sync::Arc;

use millrace_job_core::{Input, JobView, SubtaskView, VertexView};
use millrace_protocol::TaskFigures;
use millrace_types::{ExecutionState, JobStatus, Timestamp};

use crate::harness::{Harness, failure, tm};

#[test]
fn timestamps_follow_the_states() {
    let harness = Harness::running();
    let view = harness.core.view();
    let statuses: Vec<_> = view.timestamps.keys().copied().collect();
    assert_eq!(statuses, [JobStatus::Initializing, JobStatus::Created, JobStatus::Running]);
    assert_eq!(view.started_at(), Some(Timestamp(1_000)));
    let subtask = &view.vertices[0].subtasks[0];
    use ExecutionState::{Created, Deploying, Initializing, Running, Scheduled};
    assert_eq!(
        subtask.timestamps.keys().copied().collect::<Vec<_>>(),
        [Created, Scheduled, Deploying, Initializing, Running]
    );
    assert_eq!(subtask.started_at(), Some(subtask.timestamps[&Deploying]));
    assert_eq!((subtask.ended_at(), subtask.task_manager.clone()), (None, Some(tm("a"))));
    assert_eq!(view.task_counts()[&Running], 4);
    assert_eq!(view.task_counts()[&Created], 0);
}

#[test]
fn durations_add_up_to_the_life_of_a_task() {
    let times = [
        (ExecutionState::Created, 10),
        (ExecutionState::Deploying, 15),
        (ExecutionState::Running, 40),
        (ExecutionState::Finished, 100),
    ];
    let subtask = SubtaskView {
        state: ExecutionState::Finished,
        attempt: 0,
        task_manager: None,
        timestamps: times.map(|(state, at)| (state, Timestamp(at))).into(),
        figures: TaskFigures::default(),
        failure: None,
        earlier: vec![],
    };
    let durations = subtask.state_durations_ms(Timestamp(500));
    let expected = [(ExecutionState::Created, 5), (ExecutionState::Deploying, 25), (ExecutionState::Running, 60)];
    assert_eq!(durations.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(subtask.ended_at(), Some(Timestamp(100)));
}

#[test]
fn the_state_of_a_vertex_is_flinks() {
    use ExecutionState::{Canceled, Canceling, Created, Deploying, Failed, Finished, Initializing, Running, Scheduled};
    for (states, expected) in [
        (vec![Scheduled, Scheduled], Scheduled),
        (vec![Finished, Finished], Finished),
        (vec![Running, Failed, Canceling], Failed),
        (vec![Running, Canceling, Canceled], Canceling),
        (vec![Running, Canceled], Canceled),
        (vec![Running, Initializing], Initializing),
        (vec![Running, Deploying, Finished], Running),
        (vec![Finished, Deploying], Running),
        (vec![Scheduled, Deploying, Created], Created),
    ] {
        let subtask = |state: &ExecutionState| SubtaskView {
            state: *state,
            attempt: 0,
            task_manager: None,
            timestamps: [(*state, Timestamp(1))].into(),
            figures: TaskFigures::default(),
            failure: None,
            earlier: vec![],
        };
        let vertex = VertexView { subtasks: states.iter().map(subtask).collect() };
        assert_eq!(vertex.aggregate_state(), expected, "{states:?}");
    }
}

#[test]
fn a_vertex_has_ended_when_its_last_subtask_has() {
    let mut harness = Harness::running();
    harness.report(harness.attempt(0, 0), ExecutionState::Finished);
    assert_eq!(harness.core.view().vertices[0].ended_at(), None);
    harness.report(harness.attempt(0, 1), ExecutionState::Finished);
    assert_eq!(harness.core.view().vertices[0].ended_at(), Some(harness.now));
    assert!(harness.core.view().vertices[0].started_at() < Some(harness.now));
}

#[test]
fn a_snapshot_stays_as_it_was_and_shares_what_did_not_change() {
    let mut harness = Harness::running();
    let snapshot = harness.core.view().clone();
    harness.report(harness.attempt(0, 0), ExecutionState::Finished);
    assert_eq!(snapshot.vertices[0].subtasks[0].state, ExecutionState::Running);
    assert_eq!(harness.state(0, 0), ExecutionState::Finished);
    assert!(Arc::ptr_eq(&snapshot.vertices[1], &harness.core.view().vertices[1]));
    assert!(!Arc::ptr_eq(&snapshot.vertices[0], &harness.core.view().vertices[0]));
}

#[test]
fn a_view_is_stored_and_read_back() {
    let mut harness = Harness::running();
    harness.report_with(harness.attempt(0, 0), ExecutionState::Failed, Some(failure("boom")));
    harness.step(Input::SlotsLost(vec![]));
    let view = harness.core.view().clone();
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<JobView>(&text).unwrap(), view);
    let bytes = postcard::to_stdvec(&view).unwrap();
    assert_eq!(postcard::from_bytes::<JobView>(&bytes).unwrap(), view);
}
