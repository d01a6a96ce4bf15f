//! Messages from TaskManagers on their way to the ResourceManager or to the JobMaster that they concern.

use std::collections::BTreeMap;

use millrace_job_core::Input as JobInput;
use millrace_protocol::{TaskManagerHeartbeat, ToJobManager};
use millrace_resource_core::Input as ResourceInput;

use crate::job_master::{MasterInput, is_told, tell};
use crate::registry::JobRegistry;
use crate::resource_manager::ResourceManager;

/// Delivers a message to the one that it concerns. Messages of one TaskManager are routed one after the other, so that
/// they stay in order.
pub(crate) async fn route(message: ToJobManager, resources: &ResourceManager, jobs: &JobRegistry) {
    match message {
        ToJobManager::Register(registration) => resources.send(ResourceInput::Registered(registration)).await,
        ToJobManager::Present(presence) => {
            let (job, slots) = (presence.job, presence.slots.clone());
            let told = match jobs.master(job) {
                Some(master) => is_told(&master, job, JobInput::Present(presence)).await,
                None => false,
            };
            if !told {
                // The job has ended: nobody else would stop its tasks and give its slots back.
                resources.send(ResourceInput::SlotsReleased { slots }).await;
            }
        }
        ToJobManager::Heartbeat(heartbeat) => {
            figures(&heartbeat, jobs).await;
            resources.send(ResourceInput::Heartbeat(heartbeat)).await;
        }
        ToJobManager::SlotFreed { slot, allocation } => {
            resources.send(ResourceInput::SlotFreed { slot, allocation }).await;
        }
        ToJobManager::OfferSlots { job, slots } => match jobs.master(job) {
            Some(master) => tell(&master, job, JobInput::SlotsOffered(slots)).await,
            None => tracing::debug!(%job, "slots were offered to a job that is not there"),
        },
        ToJobManager::TaskReport(report) => {
            let job = report.attempt.job;
            if let Some(master) = jobs.master(job) {
                tell(&master, job, JobInput::TaskReported(report)).await;
            }
        }
        ToJobManager::SplitRequest(request) => {
            let job = request.attempt.job;
            if let Some(master) = jobs.master(job) {
                tell(&master, job, JobInput::SplitRequested(request)).await;
            }
        }
        ToJobManager::CheckpointAcknowledged(acknowledged) => {
            let job = acknowledged.attempt.job;
            if let Some(master) = jobs.master(job) {
                tell(&master, job, JobInput::CheckpointAcknowledged(acknowledged)).await;
            }
        }
        ToJobManager::CheckpointDeclined(declined) => {
            let job = declined.attempt.job;
            if let Some(master) = jobs.master(job) {
                tell(&master, job, JobInput::CheckpointDeclined(declined)).await;
            }
        }
        ToJobManager::WatermarkReached { attempt, node, watermark } => {
            if let Some(master) = jobs.master(attempt.job) {
                tell(&master, attempt.job, JobInput::WatermarkReached { attempt, node, watermark }).await;
            }
        }
        ToJobManager::AwaitingCheckpoint { attempt } => {
            if let Some(master) = jobs.master(attempt.job) {
                tell(&master, attempt.job, JobInput::AwaitingCheckpoint { attempt }).await;
            }
        }
        ToJobManager::UpgradeAnswered(answer) => {
            let job = answer.attempt.job;
            if let Some(master) = jobs.master(job) {
                tell(&master, job, JobInput::UpgradeAnswered(answer)).await;
            }
        }
        ToJobManager::Collected(rows) => {
            if let Some(master) = jobs.master(rows.attempt.job) {
                // A JobMaster that has ended needs no rows.
                let _ = master.send(MasterInput::Collected(rows)).await;
            }
        }
    }
}

/// Hands each job what its own tasks have done.
async fn figures(heartbeat: &TaskManagerHeartbeat, jobs: &JobRegistry) {
    let mut by_job = BTreeMap::<_, Vec<_>>::new();
    for (attempt, figures) in &heartbeat.figures {
        by_job.entry(attempt.job).or_default().push((*attempt, *figures));
    }
    for (job, figures) in by_job {
        if let Some(master) = jobs.master(job) {
            tell(&master, job, JobInput::FiguresUpdated(figures)).await;
        }
    }
}
