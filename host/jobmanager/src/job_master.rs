//! The JobMaster: the shell around one job's core.

mod checkpoints;
mod upgrades;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use millrace_connectors::enumerate_splits;
use millrace_graph::{GuestCode, NodeKind};
use millrace_job_core::{Command, EnumerationId, Input, JobCore, JobSpec, JobView, RequestId, WriteId};
use millrace_metadata_core::Command as MetadataCommand;
use millrace_metadata_core::limits::DETAILS_BYTES_MAX;
use millrace_protocol::{CollectedRows, ComponentRef, ToTaskManager};
use millrace_resource_core::Input as ResourceInput;
use millrace_types::{
    AllocationId, CheckpointId, Failure, FailureKind, JobId, JobStatus, NodeId, SlotId, TenantId, Timestamp,
};
use tokio::sync::{mpsc, watch};

use crate::cluster::Services;
use crate::registry::JobEntry;
use crate::results::Results;
use crate::shell::{self, Driven};
use crate::views::{live_tasks, root_failure, task_manager_of};
use crate::{bundles, clock, recovery};
use checkpoints::Described;
pub(crate) use checkpoints::delete_all;
pub(crate) use upgrades::UpgradeOrder;

/// Messages that wait for a JobMaster.
const INBOX_MAX: usize = 1_024;

/// What a JobMaster is fed with.
#[derive(Debug)]
pub(crate) enum MasterInput {
    /// For the core.
    Core(Input),
    /// Rows of a `collect` sink.
    Collected(CollectedRows),
    /// A client has taken rows: sinks may go on.
    ResultsFetched,
    /// The description of a checkpoint is durable.
    Described(Described),
    /// The user wants the job to run other code.
    Upgrade {
        /// The request.
        request: RequestId,
        /// The code.
        order: Box<UpgradeOrder>,
        /// For the core.
        input: Box<Input>,
    },
}

/// What a JobMaster does.
pub(crate) enum MasterCommand {
    Core(Command),
    Acknowledge(crate::results::Acknowledgement),
}

/// Starts a JobMaster and its supervisor, and enters it into the registry.
pub(crate) fn spawn(services: &Arc<Services>, spec: JobSpec) {
    let (inbox_sender, mut inbox) = mpsc::channel(INBOX_MAX);
    let (job, tenant) = (spec.job, spec.tenant.clone());
    let core = JobCore::new(spec.clone(), clock::now());
    let (view_sender, view) = watch::channel(core.view().clone());
    let results = Results::new(services.options.results_bytes_max);
    let entry = JobEntry { tenant, master: inbox_sender.clone(), view, results: results.clone() };
    let seen = entry.view.clone();
    if !services.registry.insert_new(job, entry) {
        // Two requests to run one job came at once: the other one's JobMaster runs it.
        return;
    }
    services.traces.watch(seen);
    let mut master = JobMaster {
        services: services.clone(),
        spec: Arc::new(spec),
        core,
        view: view_sender,
        results,
        described: BTreeMap::new(),
        upgrades: BTreeMap::new(),
        inbox: inbox_sender,
        warmed: false,
        done: false,
    };
    let services = services.clone();
    tokio::spawn(async move {
        let spec = master.spec.clone();
        let running = tokio::spawn(async move {
            // The first input is fed by the shell's own hand: the inbox belongs to others.
            let start = master.inbox.send(MasterInput::Core(Input::Start)).await;
            debug_assert!(start.is_ok());
            shell::run(&mut master, &mut inbox).await;
        });
        let ended = running.await;
        // What was said to its inbox too late, such as that more tasks have outlived a leader, it has not acted upon.
        services.resources.send(ResourceInput::JobGone { job: spec.job }).await;
        if let Err(fault) = ended
            && fault.is_panic()
        {
            bury(&services, &spec, &fault.to_string()).await;
        }
        services.operations.job_ended(spec.job);
        services.warming.job_ended(spec.job);
        services.registry.ended(spec.job);
    });
}

/// A JobMaster has panicked: its job fails, its tasks are stopped, and nothing else is touched.
async fn bury(services: &Arc<Services>, spec: &JobSpec, fault: &str) {
    tracing::error!(job = %spec.job, %fault, "a JobMaster failed");
    if let Some(entry) = services.registry.get(spec.job) {
        entry.results.end();
        let view = entry.view.borrow().clone();
        for (attempt, task_manager) in live_tasks(&view) {
            let message = ToTaskManager::Cancel { epoch: services.epoch, attempt };
            // A TaskManager that cannot be reached has lost the task anyway.
            let _ = services.gateways.send(&task_manager, message).await;
        }
    }
    let failure = Failure::new(FailureKind::Internal, format!("the job's JobMaster failed: {fault}"))
        .with_remedy("run the job again; the process's log has the details of this fault of Millrace");
    let command = MetadataCommand::SetJobStatus {
        tenant: spec.tenant.clone(),
        job: spec.job,
        status: JobStatus::Failed,
        at: clock::now(),
        failure: Some(failure),
    };
    if let Err(error) = services.metadata.propose(command).await {
        tracing::error!(job = %spec.job, %error, "the failed job's end could not be written");
    }
}

struct JobMaster {
    services: Arc<Services>,
    spec: Arc<JobSpec>,
    core: JobCore,
    view: watch::Sender<JobView>,
    results: Results,
    /// Checkpoints whose descriptions are durable and whose pointers are not.
    described: BTreeMap<CheckpointId, Described>,
    /// Upgrades that were not answered: the core has one at a time.
    upgrades: BTreeMap<RequestId, UpgradeOrder>,
    inbox: mpsc::Sender<MasterInput>,
    /// Its tasks were deployed: all TaskManagers are to have its components.
    warmed: bool,
    done: bool,
}

impl Driven for JobMaster {
    type Input = MasterInput;
    type Command = MasterCommand;

    fn step(&mut self, now: Timestamp, input: MasterInput, out: &mut Vec<MasterCommand>) {
        match input {
            MasterInput::Core(input) => self.step_core(now, input, out),
            MasterInput::Described(described) => {
                let input = self.described(described);
                self.step_core(now, input, out);
            }
            MasterInput::Upgrade { request, order, input } => {
                self.upgrades.insert(request, *order);
                self.step_core(now, *input, out);
            }
            MasterInput::Collected(rows) => {
                self.results.arrived(rows);
                out.extend(self.results.acknowledgements().into_iter().map(MasterCommand::Acknowledge));
            }
            MasterInput::ResultsFetched => {
                out.extend(self.results.acknowledgements().into_iter().map(MasterCommand::Acknowledge));
            }
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.core.next_deadline()
    }

    fn deadline_reached() -> MasterInput {
        MasterInput::Core(Input::DeadlineReached)
    }

    fn execute(&mut self, command: MasterCommand) -> Option<BoxFuture<'static, Option<MasterInput>>> {
        match command {
            MasterCommand::Core(command) => self.execute_core(command),
            MasterCommand::Acknowledge(told) => {
                let services = self.services.clone();
                let task_manager = task_manager_of(self.core.view(), told.attempt)?;
                Some(Box::pin(async move {
                    let message = ToTaskManager::CollectAcknowledged {
                        epoch: services.epoch,
                        attempt: told.attempt,
                        node: told.node,
                        received: told.received,
                    };
                    // A sink on a TaskManager that is gone needs no acknowledgement.
                    let _ = services.gateways.send(&task_manager, message).await;
                    None
                }))
            }
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl JobMaster {
    fn step_core(&mut self, now: Timestamp, input: Input, out: &mut Vec<MasterCommand>) {
        let mut commands = Vec::new();
        self.core.step(now, input, &mut commands);
        out.extend(commands.into_iter().map(MasterCommand::Core));
        self.note_attempts();
        if !self.warmed && self.core.view().status == JobStatus::Running {
            self.warmed = true;
            self.services.warming.job_runs(&self.spec);
        }
        self.view.send_replace(self.core.view().clone());
    }

    fn execute_core(&mut self, command: Command) -> Option<BoxFuture<'static, Option<MasterInput>>> {
        let services = self.services.clone();
        let (job, tenant) = (self.spec.job, self.spec.tenant.clone());
        let epoch = services.epoch;
        match command {
            // These take long and wait for nobody: they run beside the outbox.
            Command::EnumerateSplits { node, parallelism, enumeration } => {
                self.beside(enumerate(services, self.spec.clone(), node, parallelism, enumeration));
                None
            }
            Command::PersistAttempts { write, attempts } => {
                self.beside(persist_attempts(services, self.spec.clone(), write, attempts));
                None
            }
            Command::RecordTakeover { takeover } => {
                tracing::info!(%job, adopted = takeover.adopted, reason = %takeover.reason, "the job was taken over");
                tokio::spawn(async move {
                    let command = MetadataCommand::RecordTakeover { tenant, job, takeover };
                    if let Err(error) = services.metadata.propose(command).await {
                        tracing::warn!(%job, %error, "the job's takeover could not be recorded");
                    }
                });
                None
            }
            Command::AdoptTask { task_manager, attempt, completed, over } => Some(Box::pin(async move {
                let message = ToTaskManager::Adopt { epoch, attempt, completed, over };
                let _ = services.gateways.send(&task_manager, message).await;
                None
            })),
            Command::PersistStatus { write, status, view } => {
                self.beside(persist(services, self.spec.clone(), write, status, view));
                None
            }
            Command::RequestSlots { count } => {
                let partly = self.spec.options.adaptive.is_some();
                Some(Box::pin(async move {
                    services.resources.send(ResourceInput::SlotsRequested { job, tenant, count, partly }).await;
                    None
                }))
            }
            Command::AcceptSlot { slot, allocation } => Some(Box::pin(async move {
                services.resources.send(ResourceInput::SlotAccepted { job, slot, allocation }).await;
                None
            })),
            // The ResourceManager tells the TaskManagers, again and again until the slots are free.
            Command::RejectSlot { slot, allocation } => self.release(vec![(slot, allocation)]),
            Command::ReleaseSlots { slots } => self.release(slots),
            Command::Deploy { task_manager, mut task } => Some(Box::pin(async move {
                let attempt = task.attempt;
                services.resources.fill_addresses(&mut task);
                let sent = services.gateways.send(&task_manager, ToTaskManager::Deploy { epoch, task }).await;
                sent.err().map(|error| {
                    let failure = Failure::new(FailureKind::TaskManagerLost, error.to_string());
                    MasterInput::Core(Input::DeployFailed { attempt, failure })
                })
            })),
            Command::CancelTask { task_manager, attempt } => Some(Box::pin(async move {
                let _ = services.gateways.send(&task_manager, ToTaskManager::Cancel { epoch, attempt }).await;
                None
            })),
            Command::AssignSplits { task_manager, assignment } => Some(Box::pin(async move {
                let message = ToTaskManager::AssignSplits { epoch, assignment };
                let _ = services.gateways.send(&task_manager, message).await;
                None
            })),
            Command::JobEnded { status } => {
                tracing::info!(%job, %status, "the job has ended");
                self.results.end();
                self.done = true;
                None
            }
            other => self.execute_checkpoint(other),
        }
    }

    /// Tells the results which rows are of an attempt that is over.
    fn note_attempts(&self) {
        let view = self.core.view();
        let resumes = view.checkpoints.latest_completed.is_some() || view.checkpoints.latest_restored.is_some();
        for (vertex, tasks) in view.graph.vertices.iter().zip(&view.vertices) {
            // The subtasks of a vertex are of one region and restart together.
            if let Some(first) = tasks.subtasks.first().filter(|first| !first.earlier.is_empty()) {
                if resumes {
                    self.results.resumed(vertex.id, first.attempt);
                } else {
                    self.results.restarted(vertex.id, first.attempt);
                }
            }
        }
    }

    fn release(&self, slots: Vec<(SlotId, AllocationId)>) -> Option<BoxFuture<'static, Option<MasterInput>>> {
        let resources = self.services.resources.clone();
        Some(Box::pin(async move {
            resources.send(ResourceInput::SlotsReleased { slots }).await;
            None
        }))
    }

    /// Runs some IO beside the outbox and feeds its outcome into the inbox.
    fn beside(&self, io: impl Future<Output = Input> + Send + 'static) {
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let outcome = io.await;
            // The JobMaster may have ended meanwhile; then nobody needs the outcome.
            let _ = inbox.send(MasterInput::Core(outcome)).await;
        });
    }
}

/// Writes that attempt numbers are given out.
async fn persist_attempts(services: Arc<Services>, spec: Arc<JobSpec>, write: WriteId, attempts: Vec<u32>) -> Input {
    let command = MetadataCommand::RecordAttempts { tenant: spec.tenant.clone(), job: spec.job, attempts };
    match services.metadata.propose(command).await {
        Ok(_) => Input::MetadataWritten { write },
        Err(error) => {
            tracing::warn!(job = %spec.job, %error, "attempts could not be recorded, which is tried again");
            Input::MetadataWriteFailed { write, reason: error.to_string() }
        }
    }
}

/// A job as later readers see it; without the earlier attempts of its tasks where these take too much room.
fn encoded_details(view: &JobView) -> Result<Vec<u8>, postcard::Error> {
    let details = postcard::to_stdvec(view)?;
    if details.len() > DETAILS_BYTES_MAX { postcard::to_stdvec(&view.without_earlier_attempts()) } else { Ok(details) }
}

/// Writes a job's end: first what happened, then the details for later readers.
async fn persist(
    services: Arc<Services>,
    spec: Arc<JobSpec>,
    write: WriteId,
    status: JobStatus,
    view: Box<JobView>,
) -> Input {
    let command = MetadataCommand::SetJobStatus {
        tenant: spec.tenant.clone(),
        job: spec.job,
        status,
        at: clock::now(),
        failure: root_failure(&view),
    };
    if let Err(error) = services.metadata.propose(command).await {
        return Input::MetadataWriteFailed { write, reason: error.to_string() };
    }
    match encoded_details(&view) {
        Ok(details) => {
            let archive = MetadataCommand::ArchiveJob {
                tenant: spec.tenant.clone(),
                job: spec.job,
                details: Bytes::from(details),
            };
            // The details are for people; a job that is too large for them has ended all the same.
            if let Err(error) = services.metadata.propose(archive).await {
                tracing::warn!(job = %spec.job, %error, "the ended job's details could not be stored");
            }
        }
        Err(error) => tracing::warn!(job = %spec.job, %error, "the ended job's details cannot be encoded"),
    }
    recovery::expire_jobs(&services).await;
    Input::MetadataWritten { write }
}

async fn enumerate(
    services: Arc<Services>,
    spec: Arc<JobSpec>,
    node: NodeId,
    parallelism: u32,
    enumeration: EnumerationId,
) -> Input {
    let found =
        spec.graph.sources().find(|(_, id, _)| *id == node).map(|(_, _, node)| (node.name.clone(), node.kind.clone()));
    let result = match found {
        Some((name, NodeKind::NativeSource(connector))) => {
            let roots = services.options.file_roots.clone();
            let enumerated =
                tokio::task::spawn_blocking(move || enumerate_splits(&connector, parallelism, &roots)).await;
            match enumerated {
                Ok(splits) => splits.map_err(|error| Failure::from(error).in_operator(&name)),
                Err(error) => Err(internal(format!("the search for splits was lost: {error}"))),
            }
        }
        Some((name, NodeKind::Source(code))) => {
            let run = (spec.args.as_slice(), spec.default_parallelism);
            let source = (node, &code);
            let listed = enumerate_guest(&services, &spec.tenant, &spec.components, run, source, parallelism).await;
            listed.map_err(|error| error.in_operator(&name))
        }
        _ => Err(internal(format!("node {node} of job {} is no source", spec.job))),
    };
    Input::SplitsEnumerated { node, enumeration, result }
}

/// The splits of a source in the guest, for so many readers, in a run of these arguments and default parallelism.
pub(crate) async fn enumerate_guest(
    services: &Services,
    tenant: &TenantId,
    components: &BTreeMap<String, ComponentRef>,
    (args, default_parallelism): (&[String], u32),
    (node, code): (NodeId, &GuestCode),
    readers: u32,
) -> Result<Vec<Vec<u8>>, Failure> {
    // Only the component with the builder knows its sources' splits.
    let name = code.component.as_deref();
    let mut with_builder = components.iter().filter(|(_, component)| component.has_builder);
    let (_, component) = with_builder
        .find(|(candidate, _)| name.is_none_or(|name| name == candidate.as_str()))
        .ok_or_else(|| internal("a guest source's component has no builder that could state its splits"))?;
    let bytes = bundles::component_bytes(&services.blobs, tenant, component.digest).await?;
    let compiled = services.sandbox.compile(tenant, &component.digest, bytes).await.map_err(Failure::from)?;
    let splits = services
        .sandbox
        .enumerate_splits(&compiled, args, default_parallelism, node, readers)
        .await
        .map_err(Failure::from)?;
    Ok(splits.into_iter().map(Vec::from).collect())
}

fn internal(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Internal, message)
}

/// Tells a JobMaster something, if it has not ended.
pub(crate) async fn tell(inbox: &mpsc::Sender<MasterInput>, job: JobId, input: Input) {
    let _ = is_told(inbox, job, input).await;
}

/// Tells a JobMaster something; `false`: it has ended. The job that an inbox belongs to cannot be told from the inbox:
/// callers name it.
pub(crate) async fn is_told(inbox: &mpsc::Sender<MasterInput>, job: JobId, input: Input) -> bool {
    let told = inbox.send(MasterInput::Core(input)).await.is_ok();
    if !told {
        tracing::debug!(%job, "a message for a job that has ended was dropped");
    }
    told
}
