//! Native mode: a JobManager starts TaskManagers when jobs need them, replaces those that die, stops those that stand idle,
//! and finds those again that its former life has started.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints;
use millrace_tests::jobs::Run;
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::query::Query;
use millrace_tests::repository;
use millrace_tests::workers::{self, Workers};
use millrace_types::JobStatus;
use rustix::process::Signal;

/// TaskManagers of two slots, at most three, soon stopped; should a test fail they do not look for a JobManager for long.
const NATIVE: [&str; 11] = [
    "--native",
    "--file-root",
    "/",
    "-D",
    "taskmanager.numberOfTaskSlots=2",
    "-D",
    "slotmanager.number-of-slots.max=6",
    "-D",
    "resourcemanager.taskmanager-timeout=1 s",
    "-D",
    "taskmanager.registration.timeout=20 s",
];

const OPTIONS: [(&str, &str); 4] = [
    ("execution.checkpointing.interval", "100 ms"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "5"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

/// A JobManager without any TaskManager, and those that it is going to have.
async fn start(folder: &Path, further: &[&str]) -> Result<(Workers, Processes)> {
    let workers = Workers::of(&folder.join("job-manager"));
    let arguments: Vec<&str> = NATIVE.iter().chain(further).copied().collect();
    let cluster = Processes::start(folder, 0, 2, &arguments).await?;
    assert!(workers.processes()?.is_empty(), "nobody needs any yet");
    // Dropped the other way round: what a living JobManager sees die it would start again.
    Ok((workers, cluster))
}

/// Three members that share the place of their processes, and all of their JobManagers: those that they start, too.
async fn start_group(folder: &Path) -> Result<(Workers, Processes)> {
    let job_managers = Workers::job_managers(folder);
    let place = format!("resourcemanager.process.dir={}", folder.join("taskmanagers").display());
    let arguments: Vec<&str> = NATIVE.into_iter().chain(["-D", &place]).collect();
    Ok((job_managers, Processes::start_group(folder, 3, 0, 2, &arguments).await?))
}

fn unbounded(parallelism: u32) -> Run<'static> {
    Run { args: vec!["unbounded"], parallelism, options: OPTIONS[1..].to_vec(), ..Run::default() }
}

#[tokio::test]
async fn task_managers_come_with_a_job_are_replaced_and_go_and_the_rows_are_exact() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (workers, mut cluster) = start(folder.path(), &[]).await?;
    let query = Query::start(&cluster, folder.path(), "q5", 4, &OPTIONS).await?;
    let first = workers.processes()?;
    assert_eq!(first.len(), 2, "{first:?}");

    query.go_on(&cluster, 2).await?;
    let (killed, pid) = first.iter().next().context("a TaskManager")?;
    workers::signal(*pid, Signal::KILL)?;
    let second = workers.wait_for(|now| now.len() == 2 && !now.contains_key(killed)).await?;
    assert!(first.iter().filter(|(name, _)| *name != killed).all(|(name, pid)| second.get(name) == Some(pid)));
    checkpoints::wait_for(&cluster, &query.job, |figures| figures.restored > 0).await?;
    cluster.wait_running(&query.job).await?;

    query.go_on(&cluster, 2).await?;
    query.still_runs(&cluster).await?;
    cluster.restart_job_manager().await?;
    cluster.wait_running(&query.job).await?;
    query.go_on(&cluster, 2).await?;
    assert_eq!(workers.processes()?, second, "no second set was started");
    query.is_exact(&cluster).await?;

    cluster.wait_for_slots(0, 0).await?;
    workers.wait_for(std::collections::BTreeMap::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn a_restarted_job_manager_goes_on_with_the_task_managers_that_it_had() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (workers, mut cluster) = start(folder.path(), &[]).await?;
    let bundle = repository::bundle("faulty")?;
    let job = cluster.run(&bundle, unbounded(4)).await?;
    cluster.wait_running(&job).await?;
    let before = workers.processes()?;
    cluster.restart_job_manager().await?;
    cluster.wait_for_slots(2, 0).await?;
    cluster.wait_running(&job).await?;
    assert_eq!(workers.processes()?, before);
    // It starts one more for the next job, and none for one that would find no room all the same.
    let second = cluster.run(&bundle, unbounded(2)).await?;
    cluster.wait_running(&second).await?;
    let third = cluster.run(&bundle, unbounded(1)).await?;
    cluster.wait_for(&third, |details| details.waiting_for.is_some()).await?;
    assert_eq!(workers.processes()?.len(), 3);
    for job in [&job, &second, &third] {
        cluster.client.cancel(job).await?;
    }
    workers.wait_for(std::collections::BTreeMap::is_empty).await?;
    cluster.wait_for_slots(0, 0).await
}

#[tokio::test]
async fn a_frozen_task_manager_is_replaced_and_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (workers, cluster) = start(folder.path(), &[]).await?;
    let job = cluster.run(&repository::bundle("faulty")?, unbounded(2)).await?;
    cluster.wait_running(&job).await?;
    let (frozen, pid) = workers.processes()?.pop_first().context("a TaskManager")?;
    workers::signal(pid, Signal::STOP)?;
    let two = workers.wait_for(|now| now.len() == 2).await?;
    assert!(two.contains_key(&frozen));
    cluster.wait_running(&job).await?;
    // It does not hear that it is to end.
    workers.wait_for(|now| !now.contains_key(&frozen)).await?;
    assert_eq!(cluster.client.status(&job).await?.status, JobStatus::Running);
    Ok(())
}

#[tokio::test]
async fn task_managers_end_with_their_job_manager_if_that_is_wanted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let with_it = ["-D", "resourcemanager.process.end-with-jobmanager=true"];
    let (workers, mut cluster) = start(folder.path(), &with_it).await?;
    let job = cluster.run(&repository::bundle("faulty")?, unbounded(2)).await?;
    cluster.wait_running(&job).await?;
    assert_eq!(workers.processes()?.len(), 1);
    cluster.job_manager().kill()?;
    workers.wait_for(std::collections::BTreeMap::is_empty).await?;
    Ok(())
}

/// The members share the place of their processes, so each leader knows those of the one before it.
#[tokio::test]
async fn the_next_leader_goes_on_with_the_task_managers_of_its_machine_and_stops_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let workers = Workers::of(folder.path());
    let (_job_managers, mut cluster) = start_group(folder.path()).await?;
    let job = cluster.run(&repository::bundle("faulty")?, unbounded(4)).await?;
    cluster.wait_running(&job).await?;
    let before = workers.processes()?;
    assert_eq!(before.len(), 2, "{before:?}");
    let leader = cluster.leader().await?;
    cluster.job_managers[leader].kill()?;
    assert_ne!(cluster.leader().await?, leader);
    cluster.wait_running(&job).await?;
    assert_eq!(workers.processes()?, before);
    cluster.client.cancel(&job).await?;
    workers.wait_for(std::collections::BTreeMap::is_empty).await?;
    Ok(())
}

/// Waits until all members are reached, and gives the one that leads.
async fn leader_of_all(cluster: &Processes) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // While another one takes over, nobody may answer.
        if let Ok(group) = cluster.client.members().await
            && let Some(leader) = group.leader
            && group.members.iter().all(|member| member.reachable == Some(true))
        {
            return Ok(leader);
        }
        ensure!(Instant::now() < deadline, "not all members are reached: {:?}", cluster.client.members().await);
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn the_leader_starts_job_managers_again_that_die_and_leaves_those_alone_that_are_stopped() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let workers = Workers::of(folder.path());
    let (job_managers, cluster) = start_group(folder.path()).await?;
    let first = job_managers.wait_for(|now| now.len() == 3).await?;
    let job = cluster.run(&repository::bundle("faulty")?, unbounded(2)).await?;
    cluster.wait_running(&job).await?;
    let tasks = cluster.attempts(&job).await?;
    let mut leader = leader_of_all(&cluster).await?;
    // After the second death there is no majority without the one that was started for the first.
    for _ in 0..2 {
        let name = format!("job-manager-{leader}");
        let pid = *job_managers.processes()?.get(&name).context("no leader")?;
        workers::signal(pid, Signal::KILL)?;
        job_managers.wait_for(|now| now.get(&name).is_some_and(|found| *found != pid)).await?;
        leader = leader_of_all(&cluster).await?;
    }
    cluster.wait_running(&job).await?;
    assert_eq!(cluster.attempts(&job).await?, tasks, "a death of a JobManager is none of the tasks' business");
    let second = job_managers.processes()?;
    let (stopped, pid) = second.iter().find(|(name, pid)| first.get(*name) != Some(pid)).context("no new process")?;
    workers::signal(*pid, Signal::TERM)?;
    job_managers.wait_for(|now| !now.contains_key(stopped)).await?;
    let note = stopped.trim_start_matches("job-manager-");
    assert!(
        !folder.path().join(format!("taskmanagers/jobmanagers/{note}.json")).exists(),
        "nothing says how to start it"
    );
    cluster.client.cancel(&job).await?;
    workers.wait_for(std::collections::BTreeMap::is_empty).await?;
    Ok(())
}
