//! The operator that asks an HTTP service about each record: in both orders, through failures, and at another parallelism.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::routing::get;
use millrace_client::api::JobDetails;
use millrace_tests::checkpoints::{self, Savepoint};
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::expected::committed_rows;
use millrace_tests::processes::Processes;
use tokio::sync::watch;

use crate::stated_graphs::write_bundle;

/// The longest that the service takes for an answer, in milliseconds.
const SLOW_MS: u64 = 40;

/// Answers `/n/7` with `49`, some requests later than others, and none while it is shut.
struct Service {
    origin: String,
    open: watch::Sender<bool>,
    state: Arc<Mutex<Asked>>,
}

/// What it was asked.
#[derive(Default)]
struct Asked {
    waiting: usize,
    waiting_max: usize,
    /// How often it was asked for each number.
    times: BTreeMap<u64, usize>,
}

#[derive(Clone)]
struct Shared(watch::Receiver<bool>, Arc<Mutex<Asked>>);

/// Counts a request as long as it waits, whatever becomes of it.
struct Waiting(Arc<Mutex<Asked>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().unwrap().waiting -= 1;
    }
}

async fn square(Segment(number): Segment<u64>, State(Shared(mut open, asked)): State<Shared>) -> String {
    let _waiting = {
        let mut state = asked.lock().unwrap();
        state.waiting += 1;
        state.waiting_max = state.waiting_max.max(state.waiting);
        *state.times.entry(number).or_default() += 1;
        Waiting(Arc::clone(&asked))
    };
    // The sender lives as long as the test.
    let _ = open.wait_for(|open| *open).await;
    tokio::time::sleep(Duration::from_millis(number * 7919 % SLOW_MS)).await;
    (number * number).to_string()
}

impl Service {
    async fn start(open: bool) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (open, opened) = watch::channel(open);
        let state = Arc::<Mutex<Asked>>::default();
        let app = Router::new().route("/n/{number}", get(square)).with_state(Shared(opened, Arc::clone(&state)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { origin, open, state })
    }

    fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    async fn wait_for(&self, condition: impl Fn(&Asked) -> bool) -> Result<()> {
        let deadline = std::time::Instant::now() + millrace_tests::process::PATIENCE;
        while !condition(&self.state.lock().unwrap()) {
            anyhow::ensure!(std::time::Instant::now() < deadline, "{} requests wait", self.waiting());
            tokio::time::sleep(millrace_tests::process::POLL).await;
        }
        Ok(())
    }
}

/// Numbers from 0, their squares by the service, and a folder of rows.
struct Job<'a> {
    rows: u64,
    rate: u64,
    /// How the numbers reach the lookup: forward chains both.
    partitioning: &'a str,
    options: &'a str,
    output: PathBuf,
}

impl Job<'_> {
    fn bundle(&self, folder: &Path, service: &Service) -> Result<PathBuf> {
        let Self { rows, rate, partitioning, options, output } = self;
        let origin = &service.origin;
        write_bundle(
            folder,
            &format!(
                "[graph.nodes.numbers]\nparallelism = 1\nnative-source = {{ connector = \"datagen\", options = \
                 {{ rows = {rows}, rows-per-second = {rate} }} }}\n\n\
                 [graph.nodes.squares]\nnative-operator = {{ connector = \"http-lookup\", options = \
                 {{ url = \"{origin}/n/{{}}\", {options} }} }}\n\n\
                 [graph.nodes.rows]\nnative-sink = {{ connector = \"file\", options = {{ path = {output:?} }} }}\n\n\
                 [[graph.edges]]\nfrom = \"numbers\"\nto = \"squares\"\npartitioning = \"{partitioning}\"\n\
                 format = \"raw\"\n\n\
                 [[graph.edges]]\nfrom = \"squares\"\nto = \"rows\"\npartitioning = \"forward\"\nformat = \"json\"\n"
            ),
        )
    }

    /// What the numbers in the folder are, in the order of the rows; each with its square.
    fn numbers(&self) -> Result<Vec<u64>> {
        let number = |row: &String| {
            let row: serde_json::Value = serde_json::from_str(row)?;
            let input: u64 = row["input"].as_str().context("no input")?.parse()?;
            assert_eq!(
                (row["status"].as_u64(), row["body"].as_str()),
                (Some(200), Some(&*(input * input).to_string()))
            );
            Ok(input)
        };
        committed_rows(&self.output)?.iter().map(number).collect()
    }

    fn assert_exact(&self) -> Result<()> {
        let mut numbers = self.numbers()?;
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..self.rows), "{} of {} rows", numbers.len(), self.rows);
        Ok(())
    }
}

/// Answers come out of order; with a watermark at the end alone, unordered ones go on as they come.
#[tokio::test]
async fn answers_have_the_order_that_was_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(true).await?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2", "--http-origin", &service.origin])?;
    for (mode, partitioning) in
        [("ordered", "forward"), ("ordered", "rebalance"), ("unordered", "forward"), ("unordered", "rebalance")]
    {
        let options = format!("mode = \"{mode}\", capacity = 20");
        let output = folder.path().join(format!("{mode}-{partitioning}"));
        let job = Job { rows: 400, rate: 100_000, partitioning, options: &options, output };
        let id = cluster.run(&job.bundle(folder.path(), &service)?, Run::default()).await?;
        cluster.wait_finished(&id).await.context(options.clone())?;
        job.assert_exact()?;
        assert_eq!(job.numbers()?.is_sorted(), mode == "ordered", "{mode} {partitioning}");
    }
    assert_eq!(service.state.lock().unwrap().waiting_max, 20, "as many at a time as there is room for");
    Ok(())
}

/// A TaskManager is killed while requests are under way: the answers that had not been handed on are asked for again.
#[tokio::test]
async fn each_record_has_one_answer_though_a_task_manager_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(true).await?;
    let arguments = ["--file-root", "/", "--http-origin", &service.origin];
    let mut cluster = Processes::start(folder.path(), 3, 1, &arguments).await?;
    let checkpoints = folder.path().join("checkpoints");
    for mode in ["ordered", "unordered"] {
        let options = format!("mode = \"{mode}\", capacity = 50");
        let output = folder.path().join(mode);
        let job = Job { rows: 6_000, rate: 1_000, partitioning: "rebalance", options: &options, output };
        let options = vec![
            ("execution.checkpointing.interval", "50 ms"),
            ("execution.checkpointing.dir", checkpoints.to_str().context("a path")?),
            ("restart-strategy.type", "fixed-delay"),
            ("restart-strategy.fixed-delay.attempts", "3"),
            ("restart-strategy.fixed-delay.delay", "10 ms"),
        ];
        let run = Run { parallelism: 2, options, ..Run::default() };
        let id = cluster.run(&job.bundle(folder.path(), &service)?, run).await?;
        checkpoints::wait_for(&cluster, &id, |figures| figures.completed >= 3).await?;
        let victim = cluster.running(&id).await?;
        cluster.kill_task_manager(victim)?;
        cluster.add_task_manager()?;
        cluster.wait_finished(&id).await?;
        assert!(checkpoints::figures(&cluster.client, &id).await?.restored > 0);
        job.assert_exact()?;
    }
    Ok(())
}

/// No answer comes before the savepoint is complete: all records are in it, and go where the new subtasks are.
#[tokio::test]
async fn what_was_asked_and_not_answered_is_in_a_savepoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(false).await?;
    let cluster = Cluster::start(folder.path(), &["--slots", "3", "--http-origin", &service.origin])?;
    let savepoints = folder.path().join("savepoints");
    // Forward chains the lookup to the source, whose parallelism is 1.
    for (partitioning, before, after, options) in [
        ("rebalance", 2, 3, "capacity = 60, timeout-ms = 600000"),
        // More than there is room for: some wait in the operator.
        ("forward", 1, 1, "capacity = 20, timeout-ms = 600000"),
    ] {
        service.open.send_replace(false);
        let output = folder.path().join(partitioning);
        let job = Job { rows: 60, rate: 300, partitioning, options, output };
        let bundle = job.bundle(folder.path(), &service)?;
        let options = vec![("execution.checkpointing.interval", "1 h")];
        let run = Run { parallelism: before, options: options.clone(), ..Run::default() };
        let id = cluster.run(&bundle, run).await?;
        let full = if partitioning == "forward" { 20 } else { 60 };
        service.wait_for(|asked| asked.waiting == full).await?;
        let request = checkpoints::stop(&cluster.client, &id, savepoints.to_str().context("a path")?).await?;
        cluster.wait_finished(&id).await?;
        let savepoint = match checkpoints::ended(&cluster.client, &id, &request).await? {
            Savepoint::Complete(savepoint) => savepoint,
            other => anyhow::bail!("the savepoint of {id} is not complete: {other:?}"),
        };
        service.wait_for(|asked| asked.waiting == 0).await.context("requests of a job that has ended are dropped")?;
        service.open.send_replace(true);
        let run = Run { parallelism: after, options, from: Some(&savepoint), ..Run::default() };
        let id = cluster.run(&bundle, run).await?;
        cluster.wait_finished(&id).await?;
        job.assert_exact()?;
        let asked = std::mem::take(&mut service.state.lock().unwrap().times);
        let twice = asked.values().filter(|times| **times == 2).count();
        assert_eq!((asked.len(), twice), (60, full), "those that were asked about are asked about again, and no other");
    }
    Ok(())
}

/// All that a source read is answered and written before it is drained, though it is asked to end while requests wait.
#[tokio::test]
async fn a_drain_waits_for_the_last_answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(false).await?;
    let cluster = Cluster::start(folder.path(), &["--slots", "3", "--http-origin", &service.origin])?;
    let savepoints = folder.path().join("savepoints");
    let options = "capacity = 20, timeout-ms = 600000";
    // In the source's own task, and behind an exchange: there the source has ended while requests wait.
    for (partitioning, parallelism) in [("forward", 1), ("rebalance", 2)] {
        service.open.send_replace(false);
        let output = folder.path().join(partitioning);
        let job = Job { rows: 1_000_000, rate: 300, partitioning, options, output };
        let run = Run { parallelism, options: vec![("execution.checkpointing.interval", "1 h")], ..Run::default() };
        let id = cluster.run(&job.bundle(folder.path(), &service)?, run).await?;
        service.wait_for(|asked| asked.waiting == 20 * parallelism as usize).await?;
        let request = checkpoints::drain(&cluster.client, &id, savepoints.to_str().context("a path")?).await?;
        service.open.send_replace(true);
        cluster.wait_finished(&id).await?;
        let outcome = checkpoints::ended(&cluster.client, &id, &request).await?;
        anyhow::ensure!(matches!(outcome, Savepoint::Complete(_)), "{outcome:?}");
        let asked = std::mem::take(&mut service.state.lock().unwrap().times);
        let mut numbers = job.numbers()?;
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(asked.into_keys()), "{partitioning}: {} rows", numbers.len());
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{partitioning}: every row that was read");
    }
    Ok(())
}

/// While the service is silent the lookup takes no more than it has room for, and its producer is held up; then it goes on.
#[tokio::test]
async fn a_silent_service_holds_up_the_source() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(false).await?;
    let memory = "taskmanager.memory.network.max=1 mb";
    let arguments = ["--slots", "2", "-D", memory, "--http-origin", &service.origin];
    let cluster = Cluster::start(folder.path(), &arguments)?;
    let options = "capacity = 5, timeout-ms = 600000";
    let output = folder.path().join("rows");
    let job = Job { rows: 10_000_000, rate: 10_000_000, partitioning: "rebalance", options, output };
    let id = cluster.run(&job.bundle(folder.path(), &service)?, Run::default()).await?;
    let held_up = |details: &JobDetails| {
        let (source, lookup) = (&details.vertices[0].metrics, &details.vertices[1].metrics);
        source.accumulated_backpressured_time > 500 && lookup.accumulated_busy_time > 500.0
    };
    let lookup = &cluster.wait_for(&id, held_up).await?.vertices[1].metrics;
    assert!(lookup.accumulated_backpressured_time == 0, "{lookup:?}");
    assert_eq!(service.waiting(), 5);
    service.open.send_replace(true);
    service.wait_for(|asked| asked.times.len() > 50).await.context("it goes on")?;
    cluster.client.cancel(&id).await?;
    service.wait_for(|asked| asked.waiting == 0).await?;
    Ok(())
}

#[tokio::test]
async fn no_answer_in_time_fails_the_job_and_says_who_was_asked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(false).await?;
    let cluster = Cluster::start(folder.path(), &["--http-origin", &service.origin])?;
    let output = folder.path().join("rows");
    let job = Job { rows: 1, rate: 1, partitioning: "forward", options: "timeout-ms = 200", output };
    let id = cluster.run(&job.bundle(folder.path(), &service)?, Run::default()).await?;
    let failure = cluster.wait_failed(&id).await?;
    for part in ["MR-CONNECTOR", "squares", "no answer within 200 ms", &format!("{}/n/{{}}", service.origin)] {
        assert!(failure.contains(part), "{part}: {failure}");
    }
    Ok(())
}

/// Nobody allowed the origin: a process that listens on loopback is no exception.
#[tokio::test]
async fn an_origin_that_is_not_named_is_refused_at_submission() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(true).await?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let output = folder.path().join("rows");
    let job = Job { rows: 1, rate: 1, partitioning: "forward", options: "capacity = 1", output };
    let Err(error) = cluster.run(&job.bundle(folder.path(), &service)?, Run::default()).await else {
        panic!("it was accepted")
    };
    let error = error.to_string();
    assert!(error.contains(&service.origin) && error.contains("--http-origin"), "{error}");
    assert!(service.state.lock().unwrap().times.is_empty());
    Ok(())
}
