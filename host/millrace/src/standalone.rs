//! `millrace standalone`: all roles in one process.

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use millrace_connectors::FileRoots;
use millrace_jobmanager::{GatewayError, JobManager, JobManagerOptions, TaskManagerGateway};
use millrace_metadata::{MetadataOptions, MetadataService};
use millrace_metadata_core::JobRetention;
use millrace_rest::{RestOptions, RestServer};
use millrace_sandbox::{CompilerCommand, Sandbox, SandboxOptions};
use millrace_storage::{BlobStore, BundleLimits};
use millrace_taskmanager::{ComponentSource, TaskManager, TaskManagerHandle, TaskManagerOptions};
use millrace_types::{BlobKey, BlobKind, Digest, Failure, FailureKind, JobId, SandboxLimits, TaskManagerId, TenantId};

use crate::cli::Standalone;
use crate::config::{self, Configuration};
use crate::progress::println_stdout;

/// Threads of the control plane. Tasks have a runtime of their own, so that no guest can delay these.
const CONTROL_THREADS: usize = 2;

/// How long requests and tasks under way may take to end when the process is told to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What a standalone process is made of.
struct Setup {
    listen: String,
    data_dir: PathBuf,
    slots: u32,
    cores: usize,
    roots: FileRoots,
    limits: SandboxLimits,
    configuration: Configuration,
}

pub(crate) fn run(options: &Standalone) -> Result<()> {
    start_logging();
    let setup = Setup::new(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("millrace-control")
        .enable_all()
        .build()
        .context("cannot start the control threads")?;
    let outcome = runtime.block_on(serve(&setup));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    outcome
}

/// Logs go to standard error, so that standard output is for what scripts read.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLRACE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}

impl Setup {
    fn new(options: &Standalone) -> Result<Self> {
        let mut configuration = Configuration::load(options.config.config.as_deref(), &options.config.define)?;
        if let Some(slots) = options.slots {
            configuration.set(config::SLOTS, slots.to_string(), "--slots")?;
        }
        if let Some(folder) = &options.data_dir {
            configuration.set(config::DATA_DIR, folder.to_string_lossy().into_owned(), "--data-dir")?;
        }
        if let Some(listen) = &options.listen {
            let (host, port) =
                listen.rsplit_once(':').with_context(|| format!("--listen {listen} is not HOST:PORT"))?;
            configuration.set(config::REST_ADDRESS, host.to_owned(), "--listen")?;
            configuration.set(config::REST_PORT, port.to_owned(), "--listen")?;
        }
        let listen = format!("{}:{}", configuration.text(config::REST_ADDRESS), configuration.text(config::REST_PORT));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let slots = match configuration.count(config::SLOTS)? {
            0 => u32::try_from(cores).unwrap_or(1),
            stated => stated,
        };
        let data_dir = std::path::absolute(configuration.text(config::DATA_DIR)).context(config::DATA_DIR)?;
        let limits = SandboxLimits {
            memory_bytes_max: configuration.bytes(config::SANDBOX_MEMORY)?,
            call_deadline_ms: configuration.duration_ms(config::SANDBOX_DEADLINE)?,
            output_bytes_per_call_max: configuration.bytes(config::SANDBOX_OUTPUT)?,
            log_lines_per_second_max: configuration.count(config::SANDBOX_LOG_RATE)?,
            ..SandboxLimits::default()
        };
        let roots = file_roots(&options.file_root, configuration.text(config::FILE_ROOTS), &listen)?;
        Ok(Self { listen, data_dir, slots, cores, roots, limits, configuration })
    }
}

/// Folders that file connectors may reach: those that are named; without any, all on loopback and none elsewhere.
fn file_roots(flags: &[PathBuf], option: &str, listen: &str) -> Result<FileRoots> {
    let mut folders: Vec<PathBuf> = option.split(':').filter(|text| !text.is_empty()).map(PathBuf::from).collect();
    folders.extend_from_slice(flags);
    if !folders.is_empty() {
        return FileRoots::only(&folders).context("--file-root");
    }
    let mut addresses = listen.to_socket_addrs().with_context(|| format!("cannot listen on {listen}"))?;
    let loopback = addresses.all(|address| address.ip().is_loopback());
    Ok(if loopback { FileRoots::unrestricted() } else { FileRoots::none() })
}

async fn serve(setup: &Setup) -> Result<()> {
    let stop = stop_signal()?;
    create_private_folder(&setup.data_dir)?;
    let metadata_path = setup.data_dir.join("metadata.redb");
    let (service, metadata) = MetadataService::open(&MetadataOptions::new(metadata_path))?;
    let blobs = BlobStore::open_local(&setup.data_dir.join("blobs"))?;
    let program = std::env::current_exe().context("cannot tell this program's path")?;
    let compiler = CompilerCommand { program, args: vec!["compile-component".to_owned()] };
    let sandbox = Sandbox::new(SandboxOptions::new(setup.data_dir.join("compiled"), compiler))?;

    let job_manager = JobManager::start(job_manager_options(setup)?, metadata, blobs.clone(), sandbox.clone()).await?;
    let task_manager = start_task_manager(setup, &job_manager, sandbox, blobs)?;
    job_manager.wait_for_slots(setup.slots).await;

    let rest = RestOptions {
        listen: setup.listen.clone(),
        upload_bytes_max: setup.configuration.bytes(config::BUNDLE_MAX)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let server = RestServer::bind(rest, job_manager.dispatcher()).await;
    let server =
        server.with_context(|| format!("cannot listen on {}: is another cluster running there?", setup.listen))?;
    println_stdout(&format!("Millrace is up at http://{} with {} slots.", server.address(), setup.slots));
    server.run(stop).await.context("the REST server failed")?;

    tracing::info!("stopping");
    task_manager.shutdown().await;
    service.close();
    Ok(())
}

fn job_manager_options(setup: &Setup) -> Result<JobManagerOptions> {
    let configuration = &setup.configuration;
    let mut options = JobManagerOptions {
        default_parallelism: configuration.count(config::PARALLELISM)?,
        buffer_timeout_ms: configuration.duration_ms(config::BUFFER_TIMEOUT)?,
        restart: configuration.restart()?,
        file_roots: setup.roots.clone(),
        bundle_limits: BundleLimits {
            bundle_bytes_max: configuration.bytes(config::BUNDLE_MAX)?,
            ..BundleLimits::default()
        },
        sandbox_limits: setup.limits.clone(),
        retention: JobRetention {
            capacity_per_tenant: configuration.count(config::JOBSTORE_CAPACITY)?,
            expiration_ms: configuration.duration_ms(config::JOBSTORE_EXPIRATION)?,
        },
        ..JobManagerOptions::default()
    };
    options.resources.heartbeat_timeout_ms = configuration.duration_ms(config::HEARTBEAT_TIMEOUT)?;
    Ok(options)
}

fn start_task_manager(
    setup: &Setup,
    job_manager: &JobManager,
    sandbox: Sandbox,
    blobs: BlobStore,
) -> Result<TaskManagerHandle> {
    // A restarted process is another TaskManager: what was sent to its former life must not reach it.
    let id = TaskManagerId(format!("standalone-{:08x}", std::process::id()));
    let mut options = TaskManagerOptions::new(id.clone(), setup.slots, setup.data_dir.clone());
    options.cores = setup.cores;
    options.file_roots = setup.roots.clone();
    let buffers = setup.configuration.bytes(config::NETWORK_MEMORY)?;
    options.buffer_bytes =
        u32::try_from(buffers).with_context(|| format!("{} is too large", config::NETWORK_MEMORY))?;
    options.heartbeat_interval = Duration::from_millis(setup.configuration.duration_ms(config::HEARTBEAT_INTERVAL)?);
    let components = Arc::new(StoredComponents(blobs));
    let handle = TaskManager::start(options, sandbox, components, job_manager.inbox())?;
    job_manager.connect(id, Arc::new(LocalGateway(handle.clone())));
    Ok(handle)
}

/// Bundles and state of tenants are nobody else's business on this machine.
fn create_private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("cannot make the data folder {}", folder.display()))
}

/// Completes when the process is told to stop.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
    })
}

/// The TaskManager of this process.
struct LocalGateway(TaskManagerHandle);

#[async_trait]
impl TaskManagerGateway for LocalGateway {
    async fn send(&self, message: millrace_protocol::ToTaskManager) -> Result<(), GatewayError> {
        self.0.send(message).await.map_err(|error| self.unreachable(&error))
    }

    async fn task_log(&self, tenant: &TenantId, job: JobId, bytes_max: usize) -> Result<String, GatewayError> {
        self.0.task_log(tenant, job, None, bytes_max).await.map_err(|error| self.unreachable(&error))
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
