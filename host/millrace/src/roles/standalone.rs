//! `millrace standalone`: all roles in one process.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use millrace_connectors::FileRoots;
use millrace_jobmanager::{GatewayError, TaskManagerGateway};
use millrace_protocol::{Answer, LogRequest, LogWanted, Question, ToTaskManager};
use millrace_storage::BlobStore;
use millrace_taskmanager::{ComponentSource, TaskManager, TaskManagerHandle, TaskManagerOptions};
use millrace_types::{BlobKey, BlobKind, Digest, Failure, FailureKind, TaskManagerId, TenantId};

use crate::cli::Standalone;
use crate::config::{self, Configuration};
use crate::progress::println_stdout;
use crate::roles::jobmanager::{Core, Start, bind_rest};
use crate::roles::{block_on, setup, stop_signal};

pub(crate) fn run(options: &Standalone) -> Result<()> {
    let mut configuration = Configuration::load(options.config.config.as_deref(), &options.config.define)?;
    if let Some(slots) = options.slots {
        configuration.set(config::SLOTS, slots.to_string(), "--slots")?;
    }
    let listen = options.listen.as_deref();
    setup::set_address(&mut configuration, "--listen", listen, config::REST_ADDRESS, config::REST_PORT)?;
    let data_dir = setup::data_dir(&mut configuration, options.data_dir.as_deref())?;
    let otherwise = default_roots(&setup::address(&configuration, config::REST_ADDRESS, config::REST_PORT))?;
    let reach = setup::reach(&configuration, &options.file_root, &options.http_origin, otherwise)?;
    // A restarted process is another TaskManager: what was sent to its former life must not reach it.
    let id = TaskManagerId(format!("standalone-{:08x}", std::process::id()));
    let task_manager = setup::task_manager_options(&configuration, id, data_dir.clone(), reach.clone())?;
    block_on(async move {
        let mut stop = Box::pin(stop_signal()?);
        let core = Core::start(&configuration, &data_dir, reach, Start::default()).await?;
        let slots = task_manager.slots;
        // It registers once, with a leader that is there.
        let Some(dispatcher) = core.leads(&mut stop).await? else {
            core.close();
            return Ok(());
        };
        let task_manager = start_task_manager(task_manager, &core)?;
        dispatcher.wait_for_slots(slots).await;
        let server = bind_rest(setup::rest_options(&configuration)?, &core.job_manager).await?;
        println_stdout(&format!("Millrace is up at http://{} with {slots} slots.", server.address()));
        core.serve(server, stop).await?;
        tracing::info!("stopping");
        task_manager.shutdown().await;
        core.close();
        Ok(())
    })
}

/// Without named folders a process that listens on loopback allows all that its user may read, any other nothing.
fn default_roots(listen: &str) -> Result<FileRoots> {
    let mut addresses = listen.to_socket_addrs().with_context(|| format!("cannot listen on {listen}"))?;
    let loopback = addresses.all(|address| address.ip().is_loopback());
    Ok(if loopback { FileRoots::unrestricted() } else { FileRoots::none() })
}

fn start_task_manager(options: TaskManagerOptions, core: &Core) -> Result<TaskManagerHandle> {
    let id = options.id.clone();
    let components = Arc::new(StoredComponents(core.blobs.clone()));
    let handle = TaskManager::start(options, core.sandbox.clone(), components, core.job_manager.inbox())?;
    core.job_manager.connect(id, Arc::new(LocalGateway(handle.clone())));
    Ok(handle)
}

/// The TaskManager of this process.
struct LocalGateway(TaskManagerHandle);

#[async_trait]
impl TaskManagerGateway for LocalGateway {
    async fn send(&self, message: ToTaskManager) -> Result<(), GatewayError> {
        self.0.send(message).await.map_err(|error| self.unreachable(&error))
    }

    async fn task_log(&self, wanted: &LogRequest) -> Result<String, GatewayError> {
        self.0.task_log(wanted.clone()).await.map_err(|error| self.unreachable(&error))
    }

    async fn process_log(&self, bytes_max: u64) -> Result<String, GatewayError> {
        self.0.log(LogWanted::Process { bytes_max }).await.map_err(|error| self.unreachable(&error))
    }

    async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, GatewayError> {
        let answer = tokio::time::timeout(timeout, self.0.ask(question.clone())).await;
        answer.map_err(|_| self.unreachable(&"it did not answer in time"))
    }

    fn refuse(&self, reason: &str) {
        // It shares this process's clock and threads: only a process that stood still for long gets here.
        tracing::error!(reason, "this process's TaskManager counts as lost: start the process again");
    }
}

impl LocalGateway {
    fn unreachable(&self, error: &impl ToString) -> GatewayError {
        GatewayError { task_manager: self.0.id().clone(), reason: error.to_string() }
    }
}

/// Components from the blob store of this process.
struct StoredComponents(BlobStore);

#[async_trait]
impl ComponentSource for StoredComponents {
    async fn fetch(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure> {
        let key = BlobKey { tenant: tenant.clone(), kind: BlobKind::Component, digest: *digest };
        let lost = |error: millrace_storage::StorageError| {
            Failure::new(FailureKind::Internal, error.to_string()).with_remedy("upload the bundle again")
        };
        self.0.get(&key).await.map_err(lost)
    }
}
