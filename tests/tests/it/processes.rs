//! One JobManager and several TaskManagers, each a process: jobs that span them, slots that come and go.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use millrace_client::api::JobDetails;
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::{repository, rows};
use millrace_types::{ExecutionState, JobStatus};

/// Everything on this machine may be read and written by tests.
const ALL_FILES: [&str; 2] = ["--file-root", "/"];

/// Restarts at once, and often.
const FIXED_DELAY: [(&str, &str); 3] = [
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "10"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

fn expected(program: &str, inputs: &[&Path]) -> Result<Vec<String>> {
    rows::sorted_output(&repository::root().join("tests/expected").join(program), inputs)
}

#[tokio::test]
async fn jobs_that_span_processes_give_the_expected_rows() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 3, 2, &ALL_FILES).await?;
    let text = repository::data("text/emma.txt")?;
    let flights = repository::data("flights.csv")?;
    let cases = [("wordcount", "wordcount.py", &text), ("flights", "flights.py", &flights)];
    for (name, program, input) in cases {
        let expected = expected(program, &[input])?;
        for (parallelism, discard_seed) in [(3, None), (6, None), (6, Some(20_261_122))] {
            let output = folder.path().join(format!("{name}-{parallelism}-{discard_seed:?}"));
            let args = vec!["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
            let run = Run { args, parallelism, discard_seed, ..Run::default() };
            let job = cluster.run(&repository::bundle(name)?, run).await?;
            let details = cluster.wait_finished(&job).await?;
            let used: BTreeSet<_> = task_managers(&cluster, &job, &details).await?;
            assert_eq!(used.len(), if parallelism == 6 { 3 } else { 2 }, "{name} at {parallelism} ran on {used:?}");
            assert!(rows::sorted_rows(&output)? == expected, "{name} at {parallelism}, seed {discard_seed:?}");
        }
    }
    cluster.wait_for_slots(3, 6).await
}

/// The TaskManagers that a job's tasks ran on.
async fn task_managers(cluster: &Processes, job: &str, details: &JobDetails) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for vertex in &details.vertices {
        let vertex = cluster.client.vertex(job, &vertex.id).await?;
        used.extend(vertex.subtasks.iter().map(|subtask| subtask.taskmanager_id.clone()));
    }
    Ok(used)
}

fn waits_for(details: &JobDetails, what: &str) -> bool {
    details.waiting_for.as_deref().is_some_and(|text| text.contains(what))
}

#[tokio::test]
async fn a_job_that_lacks_slots_waits_and_starts_when_a_task_manager_joins() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 1, 2, &ALL_FILES).await?;
    let run = Run { args: vec!["unbounded"], parallelism: 4, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    let waiting = cluster
        .wait_for(&job, |details| waits_for(details, "needs 4 slots and has 0; 2 of the cluster's 2 are free"))
        .await?;
    assert_eq!(waiting.state, JobStatus::Created);
    assert!(waiting.vertices.iter().all(|vertex| vertex.status == ExecutionState::Scheduled), "{waiting:#?}");
    cluster.add_task_manager()?;
    let running = cluster.wait_running(&job).await?;
    assert_eq!((running.state, running.waiting_for), (JobStatus::Running, None));
    cluster.wait_for_slots(2, 0).await?;
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    cluster.wait_for_slots(2, 4).await
}

/// Six slots are left of eight; the job keeps them and waits for a spare.
#[tokio::test]
async fn a_dead_task_manager_costs_one_attempt_and_waiting_for_a_spare_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 4, 2, &ALL_FILES).await?;
    let options = vec![FIXED_DELAY[0], ("restart-strategy.fixed-delay.attempts", "1"), FIXED_DELAY[2]];
    let run = Run { args: vec!["unbounded"], parallelism: 8, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;

    cluster.kill_task_manager(1)?;
    let waiting = cluster.wait_for(&job, |details| waits_for(details, "needs 8 slots and has 6")).await?;
    assert_eq!(waiting.state, JobStatus::Restarting);
    let failure = cluster.failure(&job).await?;
    assert!(failure.contains("TaskManager"), "{failure}");

    cluster.add_task_manager()?;
    let running = cluster.wait_running(&job).await?;
    assert_eq!(running.state, JobStatus::Running);
    for vertex in &running.vertices {
        let vertex = cluster.client.vertex(&job, &vertex.id).await?;
        assert!(vertex.subtasks.iter().all(|subtask| subtask.attempt == 1), "{:#?}", vertex.subtasks);
    }
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    cluster.wait_for_slots(4, 8).await
}

/// An operator that always fails shows how often each strategy tries.
#[tokio::test]
async fn each_restart_strategy_tries_as_often_as_it_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 1, &[]).await?;
    let bundle = repository::bundle("faulty")?;
    let strategies: [(u32, &[(&str, &str)]); 4] = [
        (0, &[("restart-strategy.type", "none")]),
        (
            3,
            &[
                ("restart-strategy.type", "fixed-delay"),
                ("restart-strategy.fixed-delay.attempts", "3"),
                ("restart-strategy.fixed-delay.delay", "5 ms"),
            ],
        ),
        (
            2,
            &[
                ("restart-strategy.type", "failure-rate"),
                ("restart-strategy.failure-rate.max-failures-per-interval", "2"),
                ("restart-strategy.failure-rate.failure-rate-interval", "1 h"),
                ("restart-strategy.failure-rate.delay", "5 ms"),
            ],
        ),
        (
            4,
            &[
                ("restart-strategy.type", "exponential-delay"),
                ("restart-strategy.exponential-delay.initial-backoff", "5 ms"),
                ("restart-strategy.exponential-delay.max-backoff", "20 ms"),
                ("restart-strategy.exponential-delay.attempts-before-reset-backoff", "4"),
            ],
        ),
    ];
    for (restarts, options) in strategies {
        let run = Run { args: vec!["panic-at-1000"], parallelism: 2, options: options.to_vec(), ..Run::default() };
        let job = cluster.run(&bundle, run).await?;
        let failure = cluster.wait_failed(&job).await?;
        assert!(failure.contains("panicked at record 1000"), "{failure}");
        let details = cluster.client.job(&job).await?;
        let vertex = cluster.client.vertex(&job, &details.vertices[0].id).await?;
        let attempts: Vec<u32> = vertex.subtasks.iter().map(|subtask| subtask.attempt).collect();
        assert_eq!(attempts, [restarts; 2], "{options:?}");
        let history = cluster.client.exceptions(&job).await?.exception_history;
        assert_eq!(history.entries.len(), restarts as usize + 1, "one entry for each failure: {options:?}");
    }
    cluster.wait_for_slots(2, 2).await
}

#[tokio::test]
async fn rows_are_exact_after_a_task_manager_died_in_the_middle() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 3, 2, &ALL_FILES).await?;
    let input = folder.path().join("text");
    let emma = std::fs::read(repository::data("text/emma.txt")?)?;
    std::fs::write(&input, emma.repeat(40))?;
    let expected = expected("wordcount.py", &[&input])?;
    let output = folder.path().join("rows");
    let args = vec!["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let run = Run { args, parallelism: 4, options: FIXED_DELAY.to_vec(), ..Run::default() };
    let job = cluster.run(&repository::bundle("wordcount")?, run).await?;
    let reads = |details: &JobDetails| {
        details.vertices.iter().any(|vertex| vertex.metrics.write_records > 0) || details.state.is_terminal()
    };
    let details = cluster.wait_for(&job, reads).await?;
    assert_eq!(details.state, JobStatus::Running, "the job was over before its TaskManager could be killed");
    let used = task_managers(&cluster, &job, &details).await?;
    let victim =
        cluster.task_managers.iter().position(|process| used.iter().any(|id| process.announcement.contains(id)));
    cluster.kill_task_manager(victim.expect("a TaskManager that runs tasks"))?;
    cluster.wait_finished(&job).await?;
    assert!(cluster.failure(&job).await?.contains("TaskManager"));
    assert!(rows::sorted_rows(&output)? == expected);
    Ok(())
}

#[tokio::test]
async fn a_task_manager_that_was_stopped_counts_as_lost_and_comes_back_under_a_new_id() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 1, &ALL_FILES).await?;
    let run = Run { args: vec!["unbounded"], parallelism: 1, options: FIXED_DELAY.to_vec(), ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    let details = cluster.wait_running(&job).await?;
    let used = task_managers(&cluster, &job, &details).await?;
    let frozen = cluster.task_managers.iter().find(|process| used.iter().any(|id| process.announcement.contains(id)));
    let frozen = frozen.expect("a TaskManager that runs the job");
    let before: Vec<_> = cluster.client.task_managers().await?.taskmanagers.into_iter().map(|known| known.id).collect();

    frozen.freeze()?;
    cluster.wait_for_slots(1, 0).await?;
    let again = cluster.wait_running(&job).await?;
    assert!(task_managers(&cluster, &job, &again).await?.is_disjoint(&used), "it runs elsewhere");
    frozen.thaw()?;
    cluster.wait_for_slots(2, 1).await?;
    let after: Vec<_> = cluster.client.task_managers().await?.taskmanagers.into_iter().map(|known| known.id).collect();
    assert!(after.iter().any(|id| !before.contains(id)), "{after:?} instead of {before:?}");
    assert_eq!(cluster.client.status(&job).await?.status, JobStatus::Running);
    cluster.client.cancel(&job).await?;
    cluster.wait_for_slots(2, 2).await
}

#[tokio::test]
async fn a_restarted_job_manager_adopts_the_tasks_that_outlived_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &ALL_FILES).await?;
    let run = Run { args: vec!["unbounded"], parallelism: 4, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    let started = cluster.wait_running(&job).await?.start_time;
    let before = cluster.attempts(&job).await?;
    for _ in 0..2 {
        cluster.restart_job_manager().await?;
        cluster.wait_for_slots(2, 0).await?;
        let running = cluster.wait_running(&job).await?;
        assert_eq!(cluster.attempts(&job).await?, before, "no task was restarted");
        assert_eq!(running.start_time, started);
    }
    // What is deployed by one leader obeys the next one.
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    cluster.wait_for_slots(2, 4).await
}

#[tokio::test]
async fn tasks_of_a_job_that_ended_while_nobody_could_tell_them_are_stopped() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 1, &ALL_FILES).await?;
    let run = Run { args: vec!["unbounded"], parallelism: 2, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;
    cluster.task_managers[1].freeze()?;
    cluster.restart_job_manager().await?;
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    // It tells the new leader of its slot and of the task in it.
    cluster.task_managers[1].thaw()?;
    cluster.wait_for_slots(2, 2).await
}

#[tokio::test]
async fn a_job_that_lost_a_task_with_its_job_manager_begins_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 3, 2, &ALL_FILES).await?;
    let run = Run { args: vec!["unbounded"], parallelism: 4, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;
    cluster.kill_task_manager(cluster.running(&job).await?)?;
    cluster.restart_job_manager().await?;
    cluster.wait_for_slots(2, 0).await?;
    cluster.wait_running(&job).await?;
    let attempts = cluster.attempts(&job).await?;
    assert!(attempts.iter().all(|(attempt, _)| *attempt > 0), "{attempts:?}");
    cluster.client.cancel(&job).await?;
    cluster.wait_for_slots(2, 4).await
}

#[tokio::test]
async fn the_logs_of_all_task_managers_are_read_through_the_job_manager() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 1, &ALL_FILES).await?;
    let run = Run { args: vec!["floods-the-log"], parallelism: 2, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_finished(&job).await?;
    let log = cluster.client.log(&job, None, None).await?.log;
    for subtask in ["(1/2)", "(2/2)"] {
        assert!(log.lines().any(|line| line.contains(subtask) && line.contains("line ")), "{subtask} in {log}");
    }
    let second = cluster.client.log(&job, None, Some(1)).await?.log;
    assert!(!second.is_empty() && second.lines().all(|line| line.contains("(2/2)")), "{second}");
    Ok(())
}
