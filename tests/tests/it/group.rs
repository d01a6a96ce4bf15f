//! Three JobManagers stand in for each other: whichever of them dies, stands still or is replaced, jobs go on, their
//! tasks do not restart where they live, and what was committed is exact.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use millrace_client::api::{NewAddresses, NewMember};
use millrace_tests::jobs::{Jobs, Run};
use millrace_tests::process::Process;
use millrace_tests::processes::Processes;
use millrace_tests::query::Query;
use millrace_tests::{repository, wait};
use millrace_types::JobStatus;

/// Silence counts late: nobody is to be given up because the machine is busy. Who is killed is missed at once.
pub(crate) const OPTIONS: [&str; 6] =
    ["--file-root", "/", "-D", "heartbeat.timeout=10 s", "-D", "jobmanager.adoption.timeout=20 s"];

/// For tests in which somebody is silent, or tasks are gone that a new leader looks for.
pub(crate) const IMPATIENT: [&str; 4] = ["--file-root", "/", "-D", "heartbeat.timeout=2 s"];

/// A query with checkpoints and commits all the time.
pub(crate) async fn run(cluster: &Jobs, folder: &Path, query: &'static str) -> Result<Query> {
    let options = [
        ("execution.checkpointing.interval", "200 ms"),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "1000"),
        ("restart-strategy.fixed-delay.delay", "20 ms"),
    ];
    Query::start(cluster, folder, query, 2, &options).await
}

#[tokio::test]
async fn the_leader_dies_and_no_task_restarts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &OPTIONS).await?;
    let queries = [run(&cluster, folder.path(), "q5").await?, run(&cluster, folder.path(), "wc").await?];
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
    for query in queries {
        query.is_exact(&cluster).await?;
    }
    Ok(())
}

#[tokio::test]
async fn jobs_survive_the_leader_with_a_task_manager_and_all_processes_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &IMPATIENT).await?;
    let query = run(&cluster, folder.path(), "q8").await?;
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
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &IMPATIENT).await?;
    let query = run(&cluster, folder.path(), "q5").await?;
    query.go_on(&cluster, 1).await?;
    let frozen = cluster.leader().await?;
    cluster.job_managers[frozen].freeze()?;
    // Its sockets still take what clients send: they have to ask another one.
    let others: Vec<String> =
        (0..3).filter(|which| *which != frozen).map(|which| cluster.job_managers[which].rest.clone()).collect();
    cluster.speak_to(&others.join(","))?;
    cluster.leader_after(frozen).await?;
    // Ten seconds, as long as somebody needs to look at a process in a debugger.
    tokio::time::sleep(Duration::from_secs(10)).await;
    query.still_runs(&cluster).await?;
    cluster.job_managers[frozen].thaw()?;
    query.go_on(&cluster, 2).await?;
    let rest = cluster.job_managers[frozen].rest.clone();
    cluster.agree().await?;
    // It answers for the leader now.
    cluster.speak_to(&rest)?;
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn all_processes_are_restarted_one_after_the_other_under_load() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start_group(folder.path(), 3, 3, 2, &OPTIONS).await?;
    let query = run(&cluster, folder.path(), "q5").await?;
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
    let query = run(&cluster, folder.path(), "q5").await?;
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
    wait::until("the group to consist of 2, 3 and 4", async || {
        let group = cluster.client.members().await?;
        Ok(group.members.iter().map(|member| member.id).eq([2, 3, 4]).then_some(()))
    })
    .await?;
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
    let query = run(&jobs, folder.path(), "q5").await?;
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
    query.go_on(&cluster, 1).await?;
    query.is_exact(&cluster).await
}

/// Waits until all TaskManagers were told of all JobManagers.
async fn knows_all(cluster: &Processes) -> Result<()> {
    wait::until("the TaskManagers to be told of the group", async || {
        let logs = cluster.task_managers.iter().map(|task_manager| task_manager.log());
        let logs = logs.collect::<Result<Vec<_>>>()?;
        let known = |log: &String| cluster.job_managers.iter().all(|known| log.contains(&known.rpc));
        Ok(logs.iter().all(known).then_some(()))
    })
    .await
}

async fn add(cluster: &mut Processes, id: u64) -> Result<()> {
    let which = cluster.add_job_manager(id)?;
    let added = &cluster.job_managers[which];
    let member = NewMember { id, rpc: added.rpc.clone(), rest: added.rest.clone() };
    cluster.client.add_member(&member).await?;
    wait::until("a member that was added to have a vote", async || {
        let group = cluster.client.members().await?;
        Ok(group.members.iter().any(|member| member.id == id && member.role == "voter").then_some(()))
    })
    .await
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
