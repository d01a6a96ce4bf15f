//! Unfinished jobs that cannot be made ready to run for now, since the storage of their bundles or checkpoints does not
//! answer.
//!
//! Invariants:
//! - Such a job neither fails nor is forgotten: it is tried again until it has a JobMaster or an end, or the tenure is over.
//! - It can be cancelled meanwhile.
//! - It leaves the list when its JobMaster is in the registry, or its end is written, and not before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millrace_job_core::Input;
use millrace_types::{Failure, JobId, JobStatus, TenantId};
use tokio::sync::watch;

use super::{KnownComponents, RESUMED_AT_ONCE, end, resume};
use crate::cluster::Services;
use crate::job_master;

/// The pause before all of them are tried again, at first and at most: each one doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A job, and what keeps it from running.
#[derive(Debug, Clone)]
pub(super) struct UnreadyJob {
    pub(super) tenant: TenantId,
    pub(super) job: JobId,
    pub(super) because: Failure,
}

/// The jobs that wait for their storage; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unready {
    because: Arc<watch::Sender<BTreeMap<JobId, Failure>>>,
}

impl Unready {
    /// What keeps a job from running, if it is one of these.
    pub(crate) fn because(&self, job: JobId) -> Option<Failure> {
        self.because.borrow().get(&job).cloned()
    }

    /// Waits until a job is none of these.
    pub(crate) async fn wait_for(&self, job: JobId) {
        // It cannot end before this: the sender is here.
        let _ = self.because.subscribe().wait_for(|unready| !unready.contains_key(&job)).await;
    }

    fn note(&self, unready: &UnreadyJob) {
        self.because.send_modify(|because| drop(because.insert(unready.job, unready.because.clone())));
    }

    fn forget(&self, job: JobId) {
        self.because.send_modify(|because| drop(because.remove(&job)));
    }
}

/// Goes on trying beside all else that the leader does.
pub(super) fn resume_later(services: &Arc<Services>, jobs: Vec<UnreadyJob>) {
    if jobs.is_empty() {
        return;
    }
    jobs.iter().for_each(|unready| services.unready.note(unready));
    tokio::spawn(keep_trying(services.clone(), jobs));
}

async fn keep_trying(services: Arc<Services>, mut jobs: Vec<UnreadyJob>) {
    let mut pause = PAUSE_MIN;
    while let Some(UnreadyJob { job, because, .. }) = jobs.first() {
        let (jobs_waiting, pause_s) = (jobs.len(), pause.as_secs());
        tracing::warn!(
            jobs_waiting, pause_s, %job, %because,
            "unfinished jobs cannot run again, since what they need cannot be read for now: they are tried again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = one_is_cancelled(&services, &jobs) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
        // What could not be read before is looked at anew.
        let known = KnownComponents::default();
        let attempts = jobs.iter().map(|unready| attempt(&services, &known, unready));
        let failed = futures::stream::iter(attempts.collect::<Vec<_>>()).buffer_unordered(RESUMED_AT_ONCE);
        let still_unready: Vec<_> = failed.filter_map(std::future::ready).collect().await;
        jobs = still_unready;
    }
}

/// Tries a job once more; gives it back if that is still in vain.
async fn attempt(services: &Arc<Services>, known: &KnownComponents, unready: &UnreadyJob) -> Option<UnreadyJob> {
    let UnreadyJob { tenant, job, .. } = unready;
    let record = services.metadata.state().job(tenant, *job).cloned();
    if let Some(record) = record {
        let resumed = tokio::select! {
            resumed = resume(services, known, tenant, &record) => resumed,
            () = one_is_cancelled(services, std::slice::from_ref(unready)) => {
                end(services, tenant, &record, JobStatus::Canceled, None).await;
                Ok(())
            }
        };
        if let Err(because) = resumed {
            let unready = UnreadyJob { because, ..unready.clone() };
            services.unready.note(&unready);
            return Some(unready);
        }
    }
    // Who cancelled it before its JobMaster was there could not tell it.
    if is_cancelled(services, unready)
        && let Some(master) = services.registry.master(*job)
    {
        job_master::tell(&master, *job, Input::CancelRequested).await;
    }
    services.unready.forget(*job);
    None
}

/// Waits until any of these jobs is to end.
async fn one_is_cancelled(services: &Services, jobs: &[UnreadyJob]) {
    let mut state = services.metadata.watch();
    while !jobs.iter().any(|unready| is_cancelled(services, unready)) {
        if state.changed().await.is_none() {
            // Nothing is decided any more.
            std::future::pending::<()>().await;
        }
    }
}

fn is_cancelled(services: &Services, unready: &UnreadyJob) -> bool {
    let state = services.metadata.state();
    state.job(&unready.tenant, unready.job).is_some_and(|record| record.status == JobStatus::Cancelling)
}
