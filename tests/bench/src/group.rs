//! A group of three JobManagers: how long it is without a leader, how long jobs are without one, what a decision costs, and
//! how many jobs it can look after.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millrace_client::{Client, ClientOptions};
use millrace_metadata::{Formation, Leadership, MemberAddresses, MetadataHandle, MetadataOptions, MetadataService};
use millrace_metadata_core::Command;
use millrace_tests::jobs::Run;
use millrace_tests::ports::free_address;
use millrace_tests::processes::Processes;
use millrace_tests::{checkpoints, repository};
use millrace_types::JobStatus;
use serde::Serialize;

/// How often the leader is killed.
const KILLS: usize = 5;

/// How long decisions are made.
const COMMITS_TIME: Duration = Duration::from_secs(3);

/// How many jobs one group looks after; each so many-th of them is asked how it is, or asking would be half of the work;
/// and for how long they are watched.
const JOBS: usize = 1_000;
const ASKED: usize = 20;
const WATCHED: Duration = Duration::from_secs(10);

/// How often something is looked at, and for how long.
const POLL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(120);

/// What is measured of a group.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// From `kill -9` of the leader to the first answer of the next one, in milliseconds: the median and the longest.
    pub new_leader_ms: (u64, u64),
    /// From then to a job that runs under it, none of whose tasks restarted.
    pub adoption_ms: (u64, u64),
    /// From `kill -9` of the leader and of the job's TaskManager to the first record processed again.
    pub resume_ms: u64,
    /// Decisions a second and fsyncs for each, of one client and of 64.
    pub commits: Vec<Commits>,
    /// What it does with many jobs.
    pub jobs: Jobs,
}

/// How fast decisions are.
#[derive(Debug, Serialize)]
pub struct Commits {
    clients: usize,
    per_s: f64,
    /// Of the leader.
    fsyncs_each: f64,
}

/// Many jobs of one task each, that take a checkpoint each second.
#[derive(Debug, Serialize)]
pub struct Jobs {
    count: usize,
    /// From the first run to all of them running, in seconds.
    submitted_s: f64,
    checkpoints_per_s: f64,
    failed: u64,
    /// What the leader used of a processor.
    leader_cpu: f64,
    /// From `kill -9` of the leader to the next one's answer, with all jobs in it, in milliseconds.
    new_leader_ms: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (leader, adoption) = (self.new_leader_ms, self.adoption_ms);
        writeln!(
            f,
            "kill -9 of the leader of three to the next one's answer: {} ms, at most {} ms",
            leader.0, leader.1
        )?;
        writeln!(f, "to a job that it has adopted: {} ms, at most {} ms", adoption.0, adoption.1)?;
        writeln!(f, "with a TaskManager, to the first record processed again: {} ms", self.resume_ms)?;
        for Commits { clients, per_s, fsyncs_each } in &self.commits {
            let what = "decisions of three members";
            writeln!(f, "{what}, {clients} clients: {per_s:.0} a second, {fsyncs_each:.2} fsyncs of the leader each")?;
        }
        let Jobs { count, submitted_s, checkpoints_per_s, failed, leader_cpu, new_leader_ms } = &self.jobs;
        write!(
            f,
            "{count} jobs with checkpoints each second: run in {submitted_s:.1} s, {checkpoints_per_s:.0} checkpoints a \
             second, {failed} failed, the leader takes {leader_cpu:.2} processors; the next one answers after \
             {new_leader_ms} ms"
        )
    }
}

/// Measures a group.
pub async fn measure(folder: &Path) -> Result<Measured> {
    eprintln!("group: killing leaders");
    let (new_leader_ms, adoption_ms) = takeover(&folder.join("takeover")).await?;
    let resume_ms = crate::recovery::measure_with_leader(folder).await?;
    eprintln!("group: deciding");
    let commits = commits(&folder.join("commits")).await?;
    eprintln!("group: running {JOBS} jobs");
    let jobs = jobs(&folder.join("jobs")).await?;
    Ok(Measured { new_leader_ms, adoption_ms, resume_ms, commits, jobs })
}

fn median_and_longest(mut times: Vec<u64>) -> (u64, u64) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

/// Kills leaders under a job.
async fn takeover(folder: &Path) -> Result<((u64, u64), (u64, u64))> {
    std::fs::create_dir_all(folder)?;
    let mut cluster = Processes::start_group(folder, 3, 2, 2, &["--file-root", "/"]).await?;
    let options = vec![("execution.checkpointing.interval", "1 s")];
    let run = Run { args: vec!["unbounded"], parallelism: 4, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;
    let (mut leaders, mut adoptions) = (Vec::new(), Vec::new());
    for _ in 0..KILLS {
        checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 1).await?;
        let old = cluster.leader().await?;
        let others = others_of(&cluster, old)?;
        let killed = Instant::now();
        cluster.job_managers[old].kill()?;
        until(async || Ok(any(&others, async |other| other.overview().await.is_ok()).await)).await?;
        leaders.push(millis(killed));
        until(async || {
            let runs = async |other: &Client| other.status(&job).await.is_ok_and(|it| it.status == JobStatus::Running);
            Ok(any(&others, runs).await)
        })
        .await?;
        adoptions.push(millis(killed));
        cluster.start_job_manager(old, &[])?;
    }
    for vertex in cluster.client.job(&job).await?.vertices {
        let subtasks = cluster.client.vertex(&job, &vertex.id).await?.subtasks;
        ensure!(subtasks.iter().all(|subtask| subtask.attempt == 0), "a task was restarted");
    }
    Ok((median_and_longest(leaders), median_and_longest(adoptions)))
}

/// Clients of the other members, each of its own, that ask once.
fn others_of(cluster: &Processes, leader: usize) -> Result<Vec<Client>> {
    let once = ClientOptions { retry_timeout_ms: 0, request_timeout_ms: 500, ..ClientOptions::default() };
    let others = (0..cluster.job_managers.len()).filter(|which| *which != leader);
    Ok(others.map(|which| Client::new(&cluster.job_managers[which].rest, &once)).collect::<Result<_, _>>()?)
}

async fn any(clients: &[Client], asked: impl AsyncFn(&Client) -> bool) -> bool {
    for client in clients {
        if asked(client).await {
            return true;
        }
    }
    false
}

async fn until(mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        ensure!(Instant::now() < deadline, "it did not come within {PATIENCE:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Three members in this process over the loopback interface, each with its own file and threads.
async fn commits(folder: &Path) -> Result<Vec<Commits>> {
    std::fs::create_dir_all(folder)?;
    let places: BTreeMap<u64, SocketAddr> =
        (1..=3).map(|member| Ok((member, free_address()?.parse()?))).collect::<Result<_>>()?;
    let at = |address: &SocketAddr| MemberAddresses { rpc: address.to_string(), rest: String::new() };
    let mut members = Vec::new();
    for (member, place) in &places {
        let formation = Formation::Bootstrap(places.iter().map(|(member, place)| (*member, at(place))).collect());
        let options = MetadataOptions {
            member: *member,
            formation,
            ..MetadataOptions::new(folder.join(format!("{member}.redb")))
        };
        let (service, handle) = MetadataService::open(&options)?;
        service.listen(*place)?;
        members.push((service, handle));
    }
    let leads = |handle: &MetadataHandle| matches!(handle.leadership().current(), Leadership::Leader { .. });
    until(async || Ok(members.iter().any(|(_, handle)| leads(handle)))).await?;
    let leader = members.iter().map(|(_, handle)| handle).find(|handle| leads(handle)).context("a leader")?;
    let mut measured = Vec::new();
    for clients in [1, 64] {
        let (began, syncs) = (Instant::now(), leader.status().syncs);
        let clients_at_work = (0..clients).map(|_| {
            let handle = leader.clone();
            tokio::spawn(async move {
                let mut made = 0u64;
                while began.elapsed() < COMMITS_TIME {
                    handle.propose(Command::ReserveIds { count: 1 }).await?;
                    made += 1;
                }
                anyhow::Ok(made)
            })
        });
        let mut made = 0;
        for client in clients_at_work.collect::<Vec<_>>() {
            made += client.await??;
        }
        let (seconds, syncs) = (began.elapsed().as_secs_f64(), leader.status().syncs - syncs);
        measured.push(Commits { clients, per_s: made as f64 / seconds, fsyncs_each: syncs as f64 / made as f64 });
    }
    members.into_iter().for_each(|(service, _)| service.close());
    Ok(measured)
}

async fn jobs(folder: &Path) -> Result<Jobs> {
    std::fs::create_dir_all(folder)?;
    let options = ["--file-root", "/", "-D", "taskmanager.memory.network.max=1 gb"];
    let slots = u32::try_from(JOBS / 2)?;
    let mut cluster = Processes::start_group(folder, 3, 2, slots, &options).await?;
    let bundle = cluster.client.upload(&repository::bundle("nexmark")?).await?;
    let began = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..JOBS {
        let args = vec!["--query", "wc", "--events", "1000000000", "--rate", "10"];
        let options = vec![("execution.checkpointing.interval", "1 s")];
        let run = Run { args, parallelism: 1, options, ..Run::default() };
        ids.push(cluster.client.run(&bundle, &run.request()).await?.jobid);
    }
    until(async || Ok(cluster.client.overview().await?.jobs_running as usize == JOBS)).await?;
    let submitted_s = began.elapsed().as_secs_f64();
    let leader = cluster.leader().await?;
    let process = cluster.job_managers[leader].id();
    let (before, watched) = (figures(&cluster, &ids).await?, Instant::now());
    let cpu = crate::process::cpu_seconds_of(process)?;
    tokio::time::sleep(WATCHED).await;
    let cpu = crate::process::cpu_seconds_of(process)? - cpu;
    let (after, seconds) = (figures(&cluster, &ids).await?, watched.elapsed().as_secs_f64());
    let others = others_of(&cluster, leader)?;
    let killed = Instant::now();
    cluster.job_managers[leader].kill()?;
    let knows_all = async |other: &Client| other.overview().await.is_ok_and(|it| it.jobs_running as usize == JOBS);
    until(async || Ok(any(&others, knows_all).await)).await?;
    let new_leader_ms = millis(killed);
    Ok(Jobs {
        count: JOBS,
        submitted_s,
        checkpoints_per_s: (after.0 - before.0) as f64 / seconds,
        failed: after.1 - before.1,
        leader_cpu: cpu / WATCHED.as_secs_f64(),
        new_leader_ms,
    })
}

/// How many checkpoints of the jobs are complete, and how many failed, by those that are asked.
async fn figures(cluster: &Processes, ids: &[String]) -> Result<(u64, u64)> {
    let (mut completed, mut failed) = (0, 0);
    for id in ids.iter().step_by(ASKED) {
        let figures = checkpoints::figures(&cluster.client, id).await?;
        completed += figures.completed;
        failed += figures.failed;
    }
    Ok((completed * ASKED as u64, failed * ASKED as u64))
}
