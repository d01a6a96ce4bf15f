//! Tenures: what runs while this process leads, and that it ends before another one leads.
//!
//! Invariants:
//! - All that a leader does runs on a runtime of its tenure. The tenure ends with the runtime: nothing of it goes on.
//! - A tenure has one epoch. What it writes is refused once a later epoch has begun; what it sends to TaskManagers waits
//!   while its lease is not valid (`gateway.rs`), which is before a successor can be elected.
//! - A lease that is lost for a moment suspends a tenure, and ends it only if it stays away and another member can lead.

use std::sync::Arc;
use std::time::Duration;

use millrace_connectors::Reach;
use millrace_metadata::{GroupStatus, Leadership, Lease, MemberAddresses, MemberId, MemberRole, Tenure};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::cluster::{Member, Services};
use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::figures::FigureStore;
use crate::flame_graphs::FlameGraphs;
use crate::gateway::Gateways;
use crate::operations::Operations;
use crate::planner::Planner;
use crate::recovery::{self, Unready};
use crate::registry::JobRegistry;
use crate::resource_manager::ResourceManager;
use crate::traces::Traces;
use crate::warming::Warming;
use millrace_sandbox::ProcessLoad;

/// The threads of a tenure.
const THREADS: usize = 2;

/// How many files a leader works on at a time. A thousand jobs that all write their checkpoints at once would leave the
/// metadata's own writes no turn at the disk, and the leader would lose its lead by its own work.
const BLOCKING_THREADS_MAX: usize = 16;

/// How long a leader without a lease waits for it, with its TaskManagers, before it gives up.
const SUSPENSION_MAX: Duration = Duration::from_millis(500);

/// How long a leader that could not begin waits before it tries again.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Who leads, as far as a process acts on it.
#[derive(Clone)]
pub enum Lead {
    /// This process.
    Here(Dispatcher),
    /// Another member.
    Elsewhere {
        /// Which.
        member: MemberId,
        /// Where it is reached.
        addresses: MemberAddresses,
    },
    /// Nobody that is known of, or somebody who has not begun yet.
    Nowhere,
}

/// A tenure of this process.
struct Term {
    tenure: Tenure,
    runtime: Option<Runtime>,
    /// The leader, once it has begun.
    beginning: Option<oneshot::Receiver<Result<Arc<Services>, DispatcherError>>>,
    services: Option<Arc<Services>>,
}

/// Begins and ends tenures as the group decides, until the metadata are closed.
pub(crate) async fn run(member: Arc<Member>) {
    let mut leadership = member.metadata.leadership();
    let mut term: Option<Term> = None;
    loop {
        let current = leadership.current();
        let suspended = matches!(current, Leadership::NoLeader) && term.is_some();
        match current {
            Leadership::Leader { tenure, lease } => {
                if term.as_ref().is_none_or(|term| term.tenure != tenure) {
                    end(&member, term.take(), Lead::Nowhere);
                    term = begin(&member, tenure, lease);
                }
            }
            Leadership::Follower { leader, addresses } => {
                end(&member, term.take(), Lead::Elsewhere { member: leader, addresses });
            }
            Leadership::NoLeader if suspended => {}
            Leadership::NoLeader => end(&member, None, Lead::Nowhere),
        }
        let wait = if suspended { SUSPENSION_MAX } else { RETRY_DELAY };
        // A leader that waits for nothing needs no clock. One that is alone, and whose disk stands still, waits for as long as
        // that takes: nobody can lead in its place, and a TaskManager of its own process would know no other tenure.
        let replaceable = suspended && !is_alone(&member.metadata.status());
        let waits = replaceable || (term.is_none() && matches!(leadership.current(), Leadership::Leader { .. }));
        tokio::select! {
            changed = leadership.changed() => if changed.is_none() {
                end(&member, term.take(), Lead::Nowhere);
                return;
            },
            begun = begun(&mut term) => match begun {
                Ok(services) => {
                    tracing::info!(epoch = services.epoch.0, "this JobManager leads");
                    member.introduce_local(&services);
                    if let Some(term) = &mut term {
                        term.services = Some(services.clone());
                    }
                    member.lead.send_replace(Lead::Here(Dispatcher { services }));
                }
                Err(error) => {
                    tracing::error!(%error, "this JobManager was elected and cannot begin");
                    end(&member, term.take(), Lead::Nowhere);
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            },
            () = tokio::time::sleep(wait), if waits => {
                if suspended && matches!(leadership.current(), Leadership::NoLeader) {
                    end(&member, term.take(), Lead::Nowhere);
                }
            }
        }
    }
}

/// Whether no other member can be elected.
fn is_alone(group: &GroupStatus) -> bool {
    group.members.iter().all(|member| member.id == group.member || member.role == MemberRole::Learner)
}

/// Waits until a tenure has begun.
async fn begun(term: &mut Option<Term>) -> Result<Arc<Services>, DispatcherError> {
    let Some(Term { beginning: Some(beginning), .. }) = term else { return std::future::pending().await };
    let begun = beginning.await;
    if let Some(term) = term {
        term.beginning = None;
    }
    begun.unwrap_or_else(|_| Err(DispatcherError::Internal("the beginning of a tenure was lost".to_owned())))
}

/// Begins a tenure; nothing if this process cannot.
fn begin(member: &Arc<Member>, tenure: Tenure, lease: Lease) -> Option<Term> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("leader")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "this JobManager was elected and has no threads to lead");
            return None;
        }
    };
    tracing::info!(term = tenure.term, "this JobManager was elected");
    let (begun, beginning) = oneshot::channel();
    let (handle, member) = (runtime.handle().clone(), member.clone());
    runtime.spawn(async move {
        // Nobody waits any more for a tenure that is over.
        let _ = begun.send(services(&member, lease, handle).await);
    });
    Some(Term { tenure, runtime: Some(runtime), beginning: Some(beginning), services: None })
}

/// What a leader is made of: a new epoch, and the jobs that had not ended.
async fn services(
    member: &Member,
    lease: Lease,
    runtime: tokio::runtime::Handle,
) -> Result<Arc<Services>, DispatcherError> {
    let Member { options, metadata, blobs, sandbox, door, .. } = member;
    let epoch = metadata.begin_epoch().await?;
    let gateways = Gateways::new(lease);
    let registry = JobRegistry::default();
    let resources = ResourceManager::spawn(options.resources, epoch, gateways.clone(), registry.clone());
    if let Some(driver) = options.driver.clone() {
        resources.drive(driver);
    }
    if let Some(keeper) = options.keeper.clone() {
        tokio::spawn(keeper.run(metadata.clone()));
    }
    let reach = Reach { files: options.file_roots.clone(), http: options.http_origins.clone() };
    let planner = Planner::new(sandbox.clone(), options.sandbox_limits.clone(), reach);
    let warming = Warming::default();
    warming.spawn(epoch, &resources, gateways.clone());
    let services = Arc::new(Services {
        options: options.clone(),
        epoch,
        metadata: metadata.in_epoch(epoch),
        blobs: blobs.clone(),
        sandbox: sandbox.clone(),
        planner,
        figures: FigureStore::new(gateways.clone()),
        flame_graphs: FlameGraphs::default(),
        load: ProcessLoad::default(),
        traces: Traces::start(&options.traces),
        gateways,
        registry,
        resources,
        operations: Operations::default(),
        unready: Unready::default(),
        warming,
        door: door.clone(),
        runtime,
    });
    recovery::resume_jobs(&services).await;
    recovery::clean_up(&services);
    Ok(services)
}

/// Says who leads now, ends a tenure of this process if there is one, and sends its TaskManagers on their way.
fn end(member: &Member, term: Option<Term>, now: Lead) {
    member.lead.send_replace(now);
    let Some(mut term) = term else { return };
    tracing::warn!(term = term.tenure.term, "this JobManager does not lead any more");
    if let Some(runtime) = term.runtime.take() {
        runtime.shutdown_background();
    }
    if let Some(services) = term.services.take() {
        for gateway in services.gateways.all() {
            gateway.refuse("this JobManager does not lead any more");
        }
    }
}

impl Drop for Term {
    /// A runtime may not be dropped where others wait: it is let go of.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_metadata::MemberStatus;

    use super::*;

    fn group(roles: &[MemberRole]) -> GroupStatus {
        let members = (1..).zip(roles).map(|(id, role)| MemberStatus {
            id,
            addresses: MemberAddresses::default(),
            role: *role,
            matched_index: None,
            lag: None,
            last_answer: None,
            reachable: None,
        });
        GroupStatus {
            member: 1,
            leader: None,
            term: 1,
            last_log_index: None,
            applied_index: None,
            snapshot_index: None,
            syncs: 0,
            members: members.collect(),
        }
    }

    #[test]
    fn whoever_has_no_other_voter_is_alone() {
        use MemberRole::{Learner, Voter};
        assert!(is_alone(&group(&[Voter])));
        assert!(is_alone(&group(&[Voter, Learner])));
        assert!(!is_alone(&group(&[Voter, Voter])));
    }
}
