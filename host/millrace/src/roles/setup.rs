//! What the roles take from the configuration.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use millrace_connectors::{FileRoots, HttpOrigins, Reach};
use millrace_jobmanager::{FlameOptions, JobManagerOptions, TraceOptions, inline_bytes, state_backend};
use millrace_metadata_core::JobRetention;
use millrace_rest::RestOptions;
use millrace_sandbox::{CompilerCommand, Sandbox, SandboxOptions};
use millrace_storage::{
    BlobStore, BundleLimits, LocalCopies, S3Options, S3Roots, StorageAccess, StorageLocation, digest_of,
};
use millrace_taskmanager::TaskManagerOptions;
use millrace_types::{CrashAt, CrashPoint, CrashPoints, SandboxLimits, TaskManagerId};

use crate::config::{self, Configuration};
use crate::roles::{PROCESS_LOG, native};

/// Reads `HOST:PORT` of a flag into two options.
pub(crate) fn set_address(
    configuration: &mut Configuration,
    flag: &str,
    stated: Option<&str>,
    host_key: &str,
    port_key: &str,
) -> Result<()> {
    if let Some(address) = stated {
        let (host, port) = address.rsplit_once(':').with_context(|| format!("{flag} {address} is not HOST:PORT"))?;
        configuration.set(host_key, host.to_owned(), flag)?;
        configuration.set(port_key, port.to_owned(), flag)?;
    }
    Ok(())
}

/// `HOST:PORT` of two options.
pub(crate) fn address(configuration: &Configuration, host: &'static str, port: &'static str) -> String {
    format!("{}:{}", configuration.text(host), configuration.text(port))
}

/// The RPC addresses of the JobManagers.
pub(crate) fn job_managers(configuration: &Configuration) -> Result<Vec<String>> {
    let peers = configuration.text(config::RPC_PEERS);
    let peers: Vec<String> =
        peers.split(',').map(str::trim).filter(|peer| !peer.is_empty()).map(str::to_owned).collect();
    if let Some(wrong) = peers.iter().find(|peer| peer.rsplit_once(':').is_none_or(|(host, _)| host.is_empty())) {
        bail!("\"{wrong}\" is no address of a JobManager: write HOST:PORT");
    }
    let only = || vec![address(configuration, config::RPC_ADDRESS, config::RPC_PORT)];
    Ok(if peers.is_empty() { only() } else { peers })
}

/// The first address that a `HOST:PORT` stands for.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr> {
    let found = address.to_socket_addrs().with_context(|| format!("cannot listen on {address}"))?.next();
    found.with_context(|| format!("{address} stands for no address"))
}

/// The folders that `--file-root` and the configuration name.
fn named_roots(configuration: &Configuration, flags: &[PathBuf]) -> Result<Option<FileRoots>> {
    let (folders, s3) = config::split_roots(configuration.text(config::FILE_ROOTS));
    let mut folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    folders.extend_from_slice(flags);
    if folders.is_empty() && s3.is_empty() {
        return Ok(None);
    }
    FileRoots::only(&folders).context("--file-root").map(Some)
}

/// What connectors may reach. Without named folders the files are `otherwise`; without named origins none is allowed, on
/// loopback neither: what listens there often trusts whoever asks.
pub(crate) fn reach(
    configuration: &Configuration,
    folders: &[PathBuf],
    origins: &[String],
    otherwise: FileRoots,
) -> Result<Reach> {
    let stated = configuration.text(config::HTTP_ORIGINS).split(',').map(str::trim).filter(|text| !text.is_empty());
    let http = HttpOrigins::only(stated.chain(origins.iter().map(String::as_str))).context("--http-origin")?;
    Ok(Reach { files: named_roots(configuration, folders)?.unwrap_or(otherwise), http })
}

/// The folder of the process's data.
pub(crate) fn data_dir(configuration: &mut Configuration, flag: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = flag {
        configuration.set(config::DATA_DIR, folder.to_string_lossy().into_owned(), "--data-dir")?;
    }
    std::path::absolute(configuration.text(config::DATA_DIR)).context(config::DATA_DIR)
}

/// The sandbox of a process, which compiles below a folder.
pub(crate) fn sandbox(data_dir: &Path) -> Result<Sandbox> {
    let program = std::env::current_exe().context("cannot tell this program's path")?;
    let compiler = CompilerCommand { program, args: vec!["compile-component".to_owned()] };
    Ok(Sandbox::new(SandboxOptions::new(data_dir.join("compiled"), compiler))?)
}

pub(crate) fn rest_options(configuration: &Configuration) -> Result<RestOptions> {
    Ok(RestOptions {
        listen: address(configuration, config::REST_ADDRESS, config::REST_PORT),
        upload_bytes_max: configuration.bytes(config::BUNDLE_MAX)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        configuration: configuration.all_shown(),
        process_log: PROCESS_LOG.clone(),
        submissions: true,
    })
}

/// Where the process is to die, of the points that its role passes.
pub(crate) fn crash_points(at: Option<CrashAt>, passed: &[CrashPoint]) -> Result<CrashPoints> {
    let Some(at) = at else { return Ok(CrashPoints::default()) };
    anyhow::ensure!(passed.contains(&at.point), "--crash-at {at}: this process never passes that point");
    Ok(CrashPoints::armed(at, die))
}

/// Says loudly that this process is going to die.
pub(crate) fn announce_crash(at: Option<CrashAt>) {
    if let Some(at) = at {
        tracing::error!(%at, "THIS PROCESS IS GOING TO KILL ITSELF, as --crash-at says: it is for tests alone");
    }
}

/// As a power cut would: nothing is flushed, nobody is told.
fn die() {
    // What keeps a process from killing itself is not known; it ends all the same.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

/// The place that an option names, if it is set. A relative path begins at the working folder.
fn location(configuration: &Configuration, key: &'static str) -> Result<Option<StorageLocation>> {
    let text = configuration.text(key);
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(':') {
        return StorageLocation::parse(text).context(key).map(Some);
    }
    Ok(Some(StorageLocation::Local(std::path::absolute(text).context(key)?)))
}

/// Opens local folders and S3, as the configuration says, with scratch files in a folder.
pub(crate) fn storage(configuration: &Configuration, scratch: PathBuf) -> Result<StorageAccess> {
    let stated = |key| Some(configuration.text(key).to_owned()).filter(|text| !text.is_empty());
    let s3 = S3Options {
        endpoint: stated(config::S3_ENDPOINT),
        region: stated(config::S3_REGION),
        access_key: stated(config::S3_ACCESS_KEY),
        secret_key: stated(config::S3_SECRET_KEY),
        path_style: configuration.flag(config::S3_PATH_STYLE)?.unwrap_or_default(),
        retry_timeout: Some(Duration::from_millis(configuration.duration_ms(config::S3_RETRY_TIMEOUT)?)),
    };
    if s3.access_key.is_some() != s3.secret_key.is_some() {
        bail!("{} and {} are set together or not at all", config::S3_ACCESS_KEY, config::S3_SECRET_KEY);
    }
    if s3.endpoint.as_ref().is_some_and(|text| !text.starts_with("http://") && !text.starts_with("https://")) {
        bail!("{} has to begin with http:// or https://", config::S3_ENDPOINT);
    }
    Ok(StorageAccess::new(s3, scratch))
}

/// Where bundles are kept. What this process kept while it was alone goes to where all members of its group reach it.
pub(crate) async fn blobs(
    configuration: &Configuration,
    data_dir: &Path,
    storage: &StorageAccess,
) -> Result<BlobStore> {
    let own = StorageLocation::Local(data_dir.join("blobs"));
    let Some(shared) = location(configuration, config::HA_STORAGE_DIR)? else { return Ok(storage.blobs(&own)?) };
    let blobs = storage.blobs(&shared.join("blob"))?;
    if data_dir.join("blobs").try_exists()? {
        let moved = blobs.take_over(&storage.blobs(&own)?).await?;
        if moved > 0 {
            tracing::info!(moved, to = %shared, "bundles and components were moved to the storage that all members share");
        }
    }
    Ok(blobs)
}

/// Where in S3 clients may have state written and read: what `file.roots` names, or all that the keys open where all
/// local files may be reached.
fn s3_roots(configuration: &Configuration, roots: &FileRoots) -> Result<S3Roots> {
    let named = config::split_roots(configuration.text(config::FILE_ROOTS)).1;
    let named: Result<Vec<_>> =
        named.iter().map(|text| StorageLocation::parse(text).context(config::FILE_ROOTS)).collect();
    Ok(if roots.is_unrestricted() { S3Roots::Unrestricted } else { S3Roots::Only(named?) })
}

/// How flame graphs are made.
fn flame_graphs(configuration: &Configuration) -> Result<FlameOptions> {
    Ok(FlameOptions {
        enabled: configuration.flag(config::FLAME_ENABLED)?.unwrap_or_default(),
        samples: configuration.count(config::FLAME_SAMPLES)?,
        delay_ms: configuration.duration_ms(config::FLAME_DELAY)?,
        refresh_ms: configuration.duration_ms(config::FLAME_REFRESH)?,
        cleanup_ms: configuration.duration_ms(config::FLAME_CLEANUP)?,
        depth_max: configuration.count(config::FLAME_DEPTH)?,
    })
}

/// Where traces are sent.
fn traces(configuration: &Configuration) -> Result<TraceOptions> {
    let endpoint = Some(configuration.text(config::TRACES_ENDPOINT).to_owned()).filter(|text| !text.is_empty());
    if endpoint.as_ref().is_some_and(|text| !text.starts_with("http://") && !text.starts_with("https://")) {
        bail!("{} has to begin with http:// or https://", config::TRACES_ENDPOINT);
    }
    let timeout_ms = configuration.duration_ms(config::TRACES_TIMEOUT)?;
    Ok(TraceOptions { endpoint, timeout_ms, service_name: configuration.text(config::TRACES_SERVICE).to_owned() })
}

/// The options of a JobManager whose data are below a folder.
pub(crate) fn job_manager_options(
    configuration: &Configuration,
    data_dir: &Path,
    storage: StorageAccess,
    reach: Reach,
) -> Result<JobManagerOptions> {
    let shared = location(configuration, config::HA_STORAGE_DIR)?;
    let mut options = JobManagerOptions {
        default_parallelism: configuration.count(config::PARALLELISM)?,
        buffer_timeout_ms: configuration.duration_ms(config::BUFFER_TIMEOUT)?,
        restart: configuration.restart()?,
        scheduler: configuration.scheduler()?,
        checkpoints: configuration.checkpoints()?,
        storage,
        checkpoint_dir: match location(configuration, config::CHECKPOINT_DIR)? {
            Some(stated) => stated,
            None => shared.unwrap_or_else(|| StorageLocation::Local(data_dir.to_owned())).join("checkpoints"),
        },
        savepoint_dir: location(configuration, config::SAVEPOINT_DIR)?,
        inline_bytes_max: inline_bytes(configuration.text(config::INLINE_MAX)).map_err(Error::msg)?,
        state_backend: state_backend(configuration.text(config::STATE_BACKEND)).map_err(Error::msg)?,
        local_backup: configuration.flag(config::LOCAL_BACKUP)?,
        flame_graphs: flame_graphs(configuration)?,
        traces: traces(configuration)?,
        from_local: configuration.flag(config::FROM_LOCAL)?.unwrap_or_default(),
        s3_roots: s3_roots(configuration, &reach.files)?,
        file_roots: reach.files,
        http_origins: reach.http,
        bundle_limits: BundleLimits {
            bundle_bytes_max: configuration.bytes(config::BUNDLE_MAX)?,
            ..BundleLimits::default()
        },
        sandbox_limits: SandboxLimits {
            memory_bytes_max: configuration.bytes(config::SANDBOX_MEMORY)?,
            call_deadline_ms: configuration.duration_ms(config::SANDBOX_DEADLINE)?,
            output_bytes_per_call_max: configuration.bytes(config::SANDBOX_OUTPUT)?,
            log_lines_per_second_max: configuration.count(config::SANDBOX_LOG_RATE)?,
            ..SandboxLimits::default()
        },
        retention: JobRetention {
            capacity_per_tenant: configuration.count(config::JOBSTORE_CAPACITY)?,
            expiration_ms: configuration.duration_ms(config::JOBSTORE_EXPIRATION)?,
        },
        ..JobManagerOptions::default()
    };
    options.resources.heartbeat_timeout_ms = configuration.duration_ms(config::HEARTBEAT_TIMEOUT)?;
    options.resources.workers = native::worker_options(configuration)?;
    Ok(options)
}

pub(crate) fn heartbeat_interval(configuration: &Configuration) -> Result<Duration> {
    Ok(Duration::from_millis(configuration.duration_ms(config::HEARTBEAT_INTERVAL)?))
}

/// Where a TaskManager whose data are below a folder, which no other process uses, keeps copies of state.
fn local_copies(configuration: &Configuration, data_dir: &Path) -> Result<LocalCopies> {
    let stated = configuration.text(config::LOCAL_DIRS).split(':').filter(|text| !text.is_empty());
    // Several processes may share a folder: the name of each one's own part is that of its data folder.
    let own = digest_of(data_dir.to_string_lossy().as_bytes()).to_string();
    let own = own.get(..16).unwrap_or(&own).to_owned();
    let mut folders = Vec::new();
    for text in stated {
        folders.push(std::path::absolute(text).context(config::LOCAL_DIRS)?.join(format!("millrace-{own}")));
    }
    if folders.is_empty() {
        folders.push(data_dir.join("local-state"));
    }
    LocalCopies::new(folders, configuration.bytes(config::LOCAL_MAX)?).context(config::LOCAL_DIRS)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The slots of a TaskManager.
pub(crate) fn slots(configuration: &Configuration) -> Result<u32> {
    Ok(match configuration.count(config::SLOTS)? {
        0 => u32::try_from(cores()).unwrap_or(1),
        stated => stated,
    })
}

/// The options of a TaskManager whose data are below a folder.
pub(crate) fn task_manager_options(
    configuration: &Configuration,
    id: TaskManagerId,
    data_dir: PathBuf,
    reach: Reach,
) -> Result<TaskManagerOptions> {
    let slots = slots(configuration)?;
    let local_state = local_copies(configuration, &data_dir)?;
    let storage = storage(configuration, data_dir.clone())?;
    let mut options = TaskManagerOptions::new(id, slots, data_dir);
    options.local_state = Some(local_state);
    options.process_log = PROCESS_LOG.clone();
    options.storage = storage;
    options.cores = cores();
    options.file_roots = reach.files;
    options.http_origins = reach.http;
    let buffers = configuration.bytes(config::NETWORK_MEMORY)?;
    options.buffer_bytes =
        u32::try_from(buffers).with_context(|| format!("{} is too large", config::NETWORK_MEMORY))?;
    options.heartbeat_interval = heartbeat_interval(configuration)?;
    options.state_memory_bytes = configuration.bytes(config::STATE_MEMORY)?;
    options.state_disk_bytes_max = configuration.bytes(config::STATE_DISK)?;
    Ok(options)
}
