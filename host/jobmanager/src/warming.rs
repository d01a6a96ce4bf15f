//! Has all TaskManagers compile the components of the jobs that run, so that the one that takes over for another is ready.
//!
//! Invariants:
//! - A TaskManager is told of a component once in its life, behind the job's first deployment or the upgrade that brought
//!   it: those that run the job compile it for their tasks anyway, and the others meanwhile.
//! - Nobody waits for this: a TaskManager that takes no message for long is told later, or compiles what its task needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_job_core::JobSpec;
use millrace_protocol::ToTaskManager;
use millrace_types::{Digest, JobId, LeaderEpoch, TaskManagerId, TenantId};
use tokio::sync::watch;

use crate::gateway::Gateways;
use crate::resource_manager::ResourceManager;

/// News within this time are worked off together: a heartbeat is news as well.
const GATHERED: Duration = Duration::from_millis(50);

/// How long a TaskManager may take to accept what it is told.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// A component that running jobs need, by its owner.
type Component = (TenantId, Digest);

/// The components of the jobs that run; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Warming {
    jobs: Arc<watch::Sender<BTreeMap<JobId, Vec<Component>>>>,
}

impl Warming {
    /// Tells TaskManagers as long as the process runs.
    pub(crate) fn spawn(&self, epoch: LeaderEpoch, resources: &ResourceManager, gateways: Gateways) {
        let (jobs, task_managers) = (self.jobs.subscribe(), resources.subscribe());
        tokio::spawn(async move {
            let mut told = Told::default();
            let (mut jobs, mut task_managers) = (jobs, task_managers);
            loop {
                let known =
                    task_managers.borrow_and_update().iter().map(|known| known.registration.id.clone()).collect();
                let wanted = jobs.borrow_and_update().values().flatten().cloned().collect();
                for (task_manager, tenant, components) in told.lacking(&known, &wanted) {
                    let message =
                        ToTaskManager::Prefetch { epoch, tenant: tenant.clone(), components: components.clone() };
                    let sent = tokio::time::timeout(SEND_TIMEOUT, gateways.send(&task_manager, message)).await;
                    if matches!(sent, Ok(Ok(()))) {
                        told.note(&task_manager, &tenant, components);
                    }
                }
                tokio::time::sleep(GATHERED).await;
                let changed = tokio::select! {
                    changed = jobs.changed() => changed,
                    changed = task_managers.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        });
    }

    /// The tasks of a job are deployed, or run other code.
    pub(crate) fn job_runs(&self, spec: &JobSpec) {
        let components = spec.components.values().map(|component| (spec.tenant.clone(), component.digest)).collect();
        self.jobs.send_modify(|jobs| drop(jobs.insert(spec.job, components)));
    }

    /// A job has ended.
    pub(crate) fn job_ended(&self, job: JobId) {
        self.jobs.send_if_modified(|jobs| jobs.remove(&job).is_some());
    }
}

/// Which TaskManager was told of what.
#[derive(Default)]
struct Told(BTreeMap<TaskManagerId, BTreeSet<Component>>);

impl Told {
    /// Who is to be told what; what is gone is forgotten.
    fn lacking(
        &mut self,
        known: &BTreeSet<TaskManagerId>,
        wanted: &BTreeSet<Component>,
    ) -> Vec<(TaskManagerId, TenantId, Vec<Digest>)> {
        self.0.retain(|task_manager, _| known.contains(task_manager));
        self.0.values_mut().for_each(|told| told.retain(|component| wanted.contains(component)));
        let mut lacking = Vec::new();
        for task_manager in known {
            let told = self.0.get(task_manager);
            let mut of_tenant: BTreeMap<&TenantId, Vec<Digest>> = BTreeMap::new();
            for component in wanted.iter().filter(|component| told.is_none_or(|told| !told.contains(component))) {
                of_tenant.entry(&component.0).or_default().push(component.1);
            }
            let of_tenant = of_tenant.into_iter();
            lacking.extend(of_tenant.map(|(tenant, components)| (task_manager.clone(), tenant.clone(), components)));
        }
        lacking
    }

    fn note(&mut self, task_manager: &TaskManagerId, tenant: &TenantId, components: Vec<Digest>) {
        let components = components.into_iter().map(|digest| (tenant.clone(), digest));
        self.0.entry(task_manager.clone()).or_default().extend(components);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn everyone_is_told_of_everything_once_and_a_new_life_anew() {
        let (default, other) = (TenantId::default_tenant(), TenantId::new("other").unwrap());
        let [one, two, three] = [1, 2, 3].map(|n| Digest::from_bytes([n; 32]));
        let ids = |names: &[&str]| names.iter().map(|name| TaskManagerId((*name).to_owned())).collect::<BTreeSet<_>>();
        let mut told = Told::default();
        let mut tell = |known: &[&str], wanted: &[(&TenantId, Digest)]| {
            let wanted = wanted.iter().map(|(tenant, digest)| ((*tenant).clone(), *digest)).collect();
            let lacking = told.lacking(&ids(known), &wanted);
            for (task_manager, tenant, components) in &lacking {
                told.note(task_manager, tenant, components.clone());
            }
            lacking.into_iter().map(|(id, tenant, digests)| (id.0, tenant, digests)).collect::<Vec<_>>()
        };
        let both = [(&default, one), (&default, two)];
        assert_eq!(tell(&["a"], &both), [("a".to_owned(), default.clone(), vec![one, two])]);
        assert_eq!(tell(&["a"], &both), []);
        assert_eq!(tell(&["a", "spare"], &both), [("spare".to_owned(), default.clone(), vec![one, two])]);
        let more = [both[0], both[1], (&other, one), (&other, three)];
        let expected = ["a", "spare"].map(|id| (id.to_owned(), other.clone(), vec![one, three]));
        assert_eq!(tell(&["a", "spare"], &more), expected);
        // What no job needs any more is forgotten, and so is a TaskManager that is gone.
        assert_eq!(tell(&["a"], &both), []);
        let expected = [
            ("a".to_owned(), other.clone(), vec![three]),
            ("spare".to_owned(), default.clone(), vec![one]),
            ("spare".to_owned(), other.clone(), vec![three]),
        ];
        assert_eq!(tell(&["a", "spare"], &[(&default, one), (&other, three)]), expected);
    }
}
