//! `millrace jobmanager`: Dispatcher, ResourceManager and JobMasters, whose TaskManagers are processes of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use millrace_connectors::{FileRoots, Reach};
use millrace_jobmanager::{JobManager, ProcessDriver};
use millrace_metadata::{MetadataOptions, MetadataService};
use millrace_rest::{RestOptions, RestServer};
use millrace_sandbox::Sandbox;
use millrace_storage::BlobStore;
use millrace_types::{CrashPoint, CrashPoints};

use crate::cli::{self, JobManagerArgs};
use crate::config::{self, Configuration};
use crate::progress::println_stdout;
use crate::roles::{block_on, folder, native, setup, stop_signal};

pub(crate) fn run(options: &cli::JobManager) -> Result<()> {
    let plan = Plan::new(&options.common)?;
    let crash_points = setup::crash_points(options.crash_at, &CrashPoint::OF_JOB_MANAGERS)?;
    block_on(async move {
        let stop = stop_signal()?;
        setup::announce_crash(options.crash_at);
        let start = Start { adopts: true, crash_points, driver: plan.driver.clone() };
        let core = Core::start(&plan.configuration, &plan.data_dir, plan.reach.clone(), start).await?;
        let control = plan.listen(&core.job_manager)?;
        let server = bind_rest(setup::rest_options(&plan.configuration)?, &core.job_manager).await?;
        announce(&server, control);
        server.run(stop).await.context("the REST server failed")?;
        tracing::info!("stopping");
        core.close();
        Ok(())
    })
}

/// What a process with a JobManager of its own takes from its flags.
pub(crate) struct Plan {
    pub(crate) configuration: Configuration,
    pub(crate) data_dir: PathBuf,
    pub(crate) reach: Reach,
    pub(crate) driver: Option<Arc<ProcessDriver>>,
}

impl Plan {
    pub(crate) fn new(options: &JobManagerArgs) -> Result<Self> {
        let mut configuration = Configuration::load(options.config.config.as_deref(), &options.config.define)?;
        let rest = options.listen.as_deref();
        setup::set_address(&mut configuration, "--listen", rest, config::REST_ADDRESS, config::REST_PORT)?;
        let rpc = options.rpc.as_deref();
        setup::set_address(&mut configuration, "--rpc", rpc, config::RPC_ADDRESS, config::RPC_PORT)?;
        let data_dir = setup::data_dir(&mut configuration, options.data_dir.as_deref())?;
        // Its TaskManagers run elsewhere: without a word nothing may be reached.
        let reach = setup::reach(&configuration, &options.file_root, &options.http_origin, FileRoots::none())?;
        native::set_driver(&mut configuration, options)?;
        let driver = native::driver(&configuration, &data_dir, options)?;
        Ok(Self { configuration, data_dir, reach, driver })
    }

    /// Listens for TaskManagers.
    pub(crate) fn listen(&self, job_manager: &JobManager) -> Result<SocketAddr> {
        let address = setup::resolve(&setup::address(&self.configuration, config::RPC_ADDRESS, config::RPC_PORT))?;
        let listens = job_manager.listen(address, setup::heartbeat_interval(&self.configuration)?)?;
        if let Some(driver) = &self.driver {
            driver.connect_to(native::job_managers(&self.configuration, listens)?);
        }
        Ok(listens)
    }
}

/// What differs between the roles that have a JobManager.
#[derive(Default)]
pub(crate) struct Start {
    /// Whether tasks may have outlived an earlier one.
    pub(crate) adopts: bool,
    pub(crate) crash_points: CrashPoints,
    /// What starts and stops TaskManagers.
    pub(crate) driver: Option<Arc<ProcessDriver>>,
}

/// The parts that every process with a JobManager has.
pub(crate) struct Core {
    pub(crate) job_manager: JobManager,
    pub(crate) blobs: BlobStore,
    pub(crate) sandbox: Sandbox,
    metadata: MetadataService,
}

impl Core {
    /// Opens the stores and starts the JobManager.
    pub(crate) async fn start(
        configuration: &Configuration,
        data_dir: &Path,
        reach: Reach,
        start: Start,
    ) -> Result<Self> {
        folder::create_private(data_dir)?;
        let (metadata, handle) = MetadataService::open(&MetadataOptions::new(data_dir.join("metadata.redb")))?;
        let blobs = BlobStore::open_local(&data_dir.join("blobs"))?;
        let sandbox = setup::sandbox(data_dir)?;
        let mut options = setup::job_manager_options(configuration, data_dir, reach)?;
        options.crash_points = start.crash_points;
        native::install(&mut options, start.driver.as_ref());
        if start.adopts {
            options.adoption_timeout_ms = Some(configuration.duration_ms(config::ADOPTION_TIMEOUT)?);
        }
        let job_manager = JobManager::start(options, handle, blobs.clone(), sandbox.clone()).await?;
        Ok(Self { job_manager, blobs, sandbox, metadata })
    }

    pub(crate) fn close(self) {
        self.job_manager.close();
        self.metadata.close();
    }
}

pub(crate) async fn bind_rest(options: RestOptions, job_manager: &JobManager) -> Result<RestServer> {
    let listen = options.listen.clone();
    let server = RestServer::bind(options, job_manager.dispatcher()).await;
    server.with_context(|| format!("cannot listen on {listen}: is another cluster running there?"))
}

/// Says where the process listens, for people and for scripts.
pub(crate) fn announce(server: &RestServer, control: SocketAddr) {
    println_stdout(&format!(
        "Millrace JobManager is up at http://{} and takes TaskManagers at {}.",
        server.address(),
        control
    ));
}
