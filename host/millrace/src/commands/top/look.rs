//! One look at a cluster: what `millrace top` asks for.

use std::collections::BTreeMap;
use std::time::Instant;

use millrace_client::api::{CheckpointCounts, ClusterOverview, GroupInfo, JobDetails, JobSummary, TaskManagerInfo};
use millrace_client::{Client, ClientError};
use tokio::task::JoinSet;

/// The jobs whose tasks are looked at, the selected one first.
const DETAILED_JOBS_MAX: usize = 16;

/// A cluster as it answered.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// When it was asked, by this side's clock.
    pub(super) at: Instant,
    /// Who answered, `http://HOST:PORT`.
    pub(super) from: String,
    pub(super) overview: ClusterOverview,
    pub(super) group: GroupInfo,
    pub(super) task_managers: Vec<TaskManagerInfo>,
    /// The newest first; those that run before those that have ended.
    pub(super) jobs: Vec<JobSummary>,
    /// More of some of them.
    pub(super) details: BTreeMap<String, Details>,
}

/// What is asked of one job.
#[derive(Debug, Clone)]
pub(super) struct Details {
    pub(super) job: JobDetails,
    pub(super) checkpoints: CheckpointCounts,
}

impl Look {
    /// Looks at the cluster, and closer at the selected job.
    pub(super) async fn take(client: &Client, selected: Option<&str>) -> Result<Self, ClientError> {
        let at = Instant::now();
        let (overview, group, task_managers, jobs) =
            tokio::try_join!(client.overview(), client.members(), client.task_managers(), client.jobs())?;
        let mut jobs = jobs.jobs;
        jobs.sort_by_key(|job| (job.state.is_terminal(), std::cmp::Reverse(job.start_time)));
        let runs = jobs.iter().filter(|job| !job.state.is_terminal()).map(|job| job.jid.as_str());
        let selected = selected.filter(|selected| jobs.iter().any(|job| job.jid == *selected));
        let first = selected.or(jobs.first().map(|job| job.jid.as_str()));
        let mut wanted: Vec<&str> = first.into_iter().chain(runs.filter(|job| Some(*job) != first)).collect();
        wanted.truncate(DETAILED_JOBS_MAX);
        let details = details_of(client, &wanted).await?;
        let from = client.base_url().to_owned();
        Ok(Self { at, from, overview, group, task_managers: task_managers.taskmanagers, jobs, details })
    }
}

async fn details_of(client: &Client, jobs: &[&str]) -> Result<BTreeMap<String, Details>, ClientError> {
    let mut asked = JoinSet::new();
    for job in jobs {
        let (client, job) = (client.clone(), (*job).to_owned());
        asked.spawn(async move {
            let both = tokio::try_join!(client.job(&job), client.checkpoints(&job));
            (job, both)
        });
    }
    let mut details = BTreeMap::new();
    for (job, answer) in asked.join_all().await {
        match answer {
            Ok((found, checkpoints)) => {
                details.insert(job, Details { job: found, checkpoints: checkpoints.counts });
            }
            // It left the history meanwhile.
            Err(error) if error.is_status(404) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(details)
}
