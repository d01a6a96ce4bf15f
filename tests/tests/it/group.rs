//! Three JobManagers stand in for each other: whichever of them dies, stands still or is replaced, jobs go on, their
//! tasks do not restart where they live, and what was committed is exact.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millrace_client::api::{NewAddresses, NewMember};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::jobs::{Jobs, Run};
use millrace_tests::process::{PATIENCE, POLL, Process};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::JobStatus;

pub(crate) const EVENTS_PER_SECOND: u64 = 20_000;

/// Dead and silent TaskManagers are found sooner than by default, so that tests stay short.
pub(crate) const OPTIONS: [&str; 6] =
    ["--file-root", "/", "-D", "heartbeat.interval=200 ms", "-D", "heartbeat.timeout=1 s"];

/// A query that runs on a cluster and whose rows are known.
pub(crate) struct Query {
    pub(crate) job: String,
    output: std::path::PathBuf,
    expected: Expected,
}

/// So many seconds of input, and checkpoints and commits all the time.
pub(crate) async fn run(cluster: &Jobs, folder: &Path, query: &'static str, seconds: u64) -> Result<Query> {
    let rate = if query == "wc" { 2_000 } else { EVENTS_PER_SECOND };
    let records = rate * seconds;
    let expected = Expected::of(query, records, EVENTS_PER_SECOND)?;
    let output = folder.join(format!("rows-{query}"));
    let (records, rate, density) = (records.to_string(), rate.to_string(), EVENTS_PER_SECOND.to_string());
    let to = output.to_str().context("a path")?;
    let mut args = vec!["--query", query, "--events", &records, "--output", to, "--rate", &rate];
    if query != "wc" {
        args.extend(["--events-per-second", &density]);
    }
    let options = vec![
        ("execution.checkpointing.interval", "200 ms"),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "1000"),
        ("restart-strategy.fixed-delay.delay", "20 ms"),
    ];
    let run = Run { args, parallelism: 2, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("nexmark")?, run).await?;
    cluster.wait_running(&job).await?;
    Ok(Query { job, output, expected })
}

impl Query {
    /// Waits for this many more checkpoints.
    pub(crate) async fn go_on(&self, cluster: &Jobs, more: u64) -> Result<()> {
        // The first may be another leader's, of which this one counts none.
        let before = checkpoints::wait_for(cluster, &self.job, |figures| figures.latest.is_some()).await?;
        let until = before.latest.unwrap_or_default() + more;
        checkpoints::wait_for(cluster, &self.job, |figures| figures.latest.is_some_and(|id| id >= until)).await?;
        Ok(())
    }

    /// Which attempts of its tasks run, and since when.
    pub(crate) async fn attempts(&self, cluster: &Jobs) -> Result<Vec<(u32, i64)>> {
        let mut attempts = Vec::new();
        for vertex in cluster.client.job(&self.job).await?.vertices {
            let vertex = cluster.client.vertex(&self.job, &vertex.id).await?;
            attempts.extend(vertex.subtasks.iter().map(|subtask| (subtask.attempt, subtask.start_time)));
        }
        Ok(attempts)
    }

    pub(crate) async fn still_runs(&self, cluster: &Jobs) -> Result<()> {
        let state = cluster.client.job(&self.job).await?.state;
        ensure!(!state.is_terminal(), "the job is {state} already: it was to last longer");
        Ok(())
    }

    pub(crate) async fn is_exact(&self, cluster: &Jobs) -> Result<()> {
        cluster.wait_finished(&self.job).await?;
        self.expected.compare(committed_rows(&self.output)?)?;
        Ok(())
    }
}

#[tokio::test]
async fn the_leader_dies_and_no_task_restarts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &OPTIONS).await?;
    let queries = [run(&cluster, folder.path(), "q5", 16).await?, run(&cluster, folder.path(), "wc", 16).await?];
    let mut before = Vec::new();
    for query in &queries {
        query.go_on(&cluster, 1).await?;
        before.push(query.attempts(&cluster).await?);
    }
    for _ in 0..2 {
        let leader = cluster.leader().await?;
        cluster.job_managers[leader].kill()?;
        cluster.leader_after(leader).await?;
        for (query, before) in queries.iter().zip(&before) {
            query.go_on(&cluster, 2).await?;
            query.still_runs(&cluster).await?;
            assert_eq!(&query.attempts(&cluster).await?, before, "a task was restarted");
        }
        cluster.start_job_manager(leader, &[])?;
    }
    for query in &queries {
        query.is_exact(&cluster).await?;
    }
    Ok(())
}

#[tokio::test]
async fn jobs_survive_the_leader_with_a_task_manager_and_all_processes_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &OPTIONS).await?;
    let query = run(&cluster, folder.path(), "q8", 14).await?;
    query.go_on(&cluster, 1).await?;
    let leader = cluster.leader().await?;
    let victim = cluster.running(&query.job).await?;
    cluster.job_managers[leader].kill()?;
    cluster.kill_task_manager(victim)?;
    cluster.add_task_manager()?;
    query.go_on(&cluster, 2).await?;
    query.still_runs(&cluster).await?;
    let attempts = query.attempts(&cluster).await?;
    assert!(attempts.iter().all(|(attempt, _)| *attempt > 0), "the job restarted: {attempts:?}");
    cluster.start_job_manager(leader, &[])?;
    // As when a whole building loses its power.
    for which in 0..3 {
        cluster.job_managers[which].kill()?;
        cluster.kill_task_manager(0)?;
    }
    for which in 0..3 {
        cluster.start_job_manager(which, &[])?;
    }
    for _ in 0..3 {
        cluster.add_task_manager()?;
    }
    cluster.wait_running(&query.job).await?;
    query.still_runs(&cluster).await?;
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn a_leader_that_stands_still_is_replaced_and_does_no_harm_when_it_wakes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &OPTIONS).await?;
    let query = run(&cluster, folder.path(), "q5", 18).await?;
    query.go_on(&cluster, 1).await?;
    let frozen = cluster.leader().await?;
    cluster.job_managers[frozen].freeze()?;
    // Its sockets still take what clients send: they have to ask another one.
    let others: Vec<String> =
        (0..3).filter(|which| *which != frozen).map(|which| cluster.job_managers[which].rest.clone()).collect();
    cluster.speak_to(&others.join(","))?;
    let next = cluster.leader_after(frozen).await?;
    // Ten seconds, as long as somebody needs to look at a process in a debugger.
    tokio::time::sleep(Duration::from_secs(10)).await;
    query.still_runs(&cluster).await?;
    cluster.job_managers[frozen].thaw()?;
    query.go_on(&cluster, 2).await?;
    let rest = cluster.job_managers[frozen].rest.clone();
    cluster.speak_to(&rest)?;
    // It answers for the leader now.
    cluster.is_led_by(next).await?;
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn all_processes_are_restarted_one_after_the_other_under_load() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &OPTIONS).await?;
    let query = run(&cluster, folder.path(), "q5", 20).await?;
    for which in 0..3 {
        query.go_on(&cluster, 1).await?;
        cluster.job_managers[which].terminate()?;
        cluster.start_job_manager(which, &[])?;
        cluster.leader().await?;
    }
    for _ in 0..3 {
        query.go_on(&cluster, 1).await?;
        cluster.task_managers.remove(0).terminate()?;
        cluster.add_task_manager()?;
        cluster.wait_running(&query.job).await?;
    }
    query.still_runs(&cluster).await?;
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn a_group_of_one_grows_to_three_and_a_dead_member_is_replaced() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 1, 2, 2, &OPTIONS).await?;
    let query = run(&cluster, folder.path(), "q5", 16).await?;
    query.go_on(&cluster, 1).await?;
    for id in [2, 3] {
        add(&mut cluster, id).await?;
    }
    let before = query.attempts(&cluster).await?;
    knows_all(&cluster).await?;
    cluster.job_managers[0].kill()?;
    let next = cluster.leader().await?;
    assert_ne!(next, 0);
    query.go_on(&cluster, 1).await?;
    query.still_runs(&cluster).await?;
    assert_eq!(query.attempts(&cluster).await?, before, "TaskManagers that were told of one member found the others");
    // The dead one is replaced by a fourth.
    cluster.client.remove_member(1).await?;
    add(&mut cluster, 4).await?;
    let group = cluster.client.members().await?;
    assert_eq!(group.members.iter().map(|member| member.id).collect::<Vec<_>>(), [2, 3, 4]);
    cluster.job_managers[next].kill()?;
    let last = cluster.leader().await?;
    assert!(last != next && last != 0, "{last}");
    query.is_exact(&cluster).await
}

/// What `millrace standalone` began is a group of one on the same code: its folder becomes the first member's.
#[tokio::test]
async fn what_one_process_began_goes_on_when_its_machine_is_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("job-manager-1");
    let own = ["standalone", "--listen", "127.0.0.1:0", "--slots", "4", "--data-dir", data.to_str().context("a path")?];
    let arguments: Vec<String> = own.iter().chain(&OPTIONS).map(ToString::to_string).collect();
    let mut alone = Process::start(folder.path(), "standalone", &arguments)?;
    let jobs = Jobs::at(&alone.announced("http://")?)?;
    let query = run(&jobs, folder.path(), "q5", 14).await?;
    query.go_on(&jobs, 2).await?;
    query.still_runs(&jobs).await?;
    alone.terminate()?;

    let mut cluster = Processes::start_group(folder.path(), 1, 2, 2, &OPTIONS).await?;
    let first = &cluster.job_managers[0];
    let addresses = NewAddresses { rpc: first.rpc.clone(), rest: first.rest.clone() };
    cluster.client.readdress_member(1, &addresses).await?;
    for id in [2, 3] {
        add(&mut cluster, id).await?;
    }
    knows_all(&cluster).await?;
    query.go_on(&cluster, 2).await?;
    query.still_runs(&cluster).await?;
    cluster.job_managers[0].kill()?;
    std::fs::remove_dir_all(&data)?;
    // With a TaskManager the job loses what it has in memory.
    let victim = cluster.running(&query.job).await?;
    cluster.kill_task_manager(victim)?;
    cluster.add_task_manager()?;
    query.is_exact(&cluster).await
}

/// Waits until all TaskManagers were told of all JobManagers.
async fn knows_all(cluster: &Processes) -> Result<()> {
    let deadline = std::time::Instant::now() + PATIENCE;
    for task_manager in &cluster.task_managers {
        while !cluster.job_managers.iter().all(|known| task_manager.log().is_ok_and(|log| log.contains(&known.rpc))) {
            ensure!(std::time::Instant::now() < deadline, "a TaskManager was not told of the group");
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

async fn add(cluster: &mut Processes, id: u64) -> Result<()> {
    let which = cluster.add_job_manager(id)?;
    let added = &cluster.job_managers[which];
    let member = NewMember { id, rpc: added.rpc.clone(), rest: added.rest.clone() };
    cluster.client.add_member(&member).await?;
    let group = cluster.client.members().await?;
    let role = group.members.iter().find(|member| member.id == id).map(|member| member.role.as_str());
    ensure!(role == Some("voter"), "member {id} is {role:?}");
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_sent_twice_is_one_job() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 1, 2, &OPTIONS).await?;
    let bundle = cluster.client.upload(&repository::bundle("faulty")?).await?;
    let id = "00112233445566778899aabbccddeeff";
    let run = Run { args: vec!["unbounded"], parallelism: 1, ..Run::default() };
    let request = millrace_client::api::RunRequest { job_id: Some(id.to_owned()), ..run.request() };
    assert_eq!(cluster.client.run(&bundle, &request).await?.jobid, id);
    let leader = cluster.leader().await?;
    cluster.job_managers[leader].kill()?;
    // As a client sends it that did not hear the answer.
    assert_eq!(cluster.client.run(&bundle, &request).await?.jobid, id);
    let other = millrace_client::api::RunRequest { parallelism: Some(2), ..request };
    let refused = cluster.client.run(&bundle, &other).await.expect_err("another job of the same id");
    assert!(refused.is_status(409), "{refused}");
    assert_eq!(cluster.client.jobs().await?.jobs.len(), 1);
    cluster.wait_running(id).await?;
    cluster.client.cancel(id).await?;
    cluster.wait_for(id, |details| details.state == JobStatus::Canceled).await?;
    Ok(())
}
