//! `millrace jobmanager`: Dispatcher, ResourceManager and JobMasters, whose TaskManagers are processes of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use millrace_connectors::{FileRoots, Reach};
use millrace_jobmanager::{Dispatcher, JobManager, MemberKeeper, MemberNote, ProcessDriver};
use millrace_metadata::MetadataService;
use millrace_rest::{RestOptions, RestServer};
use millrace_sandbox::Sandbox;
use millrace_storage::BlobStore;
use millrace_types::{CrashPoint, CrashPoints};

use crate::cli::{self, JobManagerArgs};
use crate::config::{self, Configuration};
use crate::progress::println_stdout;
use crate::roles::{block_on, folder, members, native, setup, stop_signal};

pub(crate) fn run(options: &cli::JobManager) -> Result<()> {
    let mut plan = Plan::new(&options.common)?;
    plan.join_group(options)?;
    let crash_points = setup::crash_points(options.crash_at, &CrashPoint::OF_JOB_MANAGERS)?;
    block_on(async move {
        let stop = stop_signal()?;
        setup::announce_crash(options.crash_at);
        let keeper = native::keeper(&plan.configuration, &plan.data_dir)?;
        let start = Start { adopts: true, crash_points, driver: plan.driver.clone(), keeper: keeper.clone() };
        let core = Core::start(&plan.configuration, &plan.data_dir, plan.reach.clone(), start).await?;
        let control = plan.listen(&core)?;
        let server = bind_rest(setup::rest_options(&plan.configuration)?, &core.job_manager).await?;
        let note = keeper.map(|keeper| keeper.note_this_process(core.job_manager.group().status().member)).transpose();
        let note = note.context("cannot note how this process was started")?;
        announce(&server, control);
        core.serve(server, stop).await?;
        tracing::info!("stopping");
        if let Some(Err(error)) = note.map(MemberNote::take_away) {
            tracing::warn!(%error, "the others may start another JobManager in the place of this one");
        }
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

    /// Takes which member of which group this process is from its flags.
    fn join_group(&mut self, options: &cli::JobManager) -> Result<()> {
        if let Some(id) = options.id {
            self.configuration.set(config::RAFT_ID, id.to_string(), "--id")?;
        }
        if let Some(peers) = &options.peers {
            self.configuration.set(config::RAFT_PEERS, peers.clone(), "--peers")?;
        }
        if options.join {
            self.configuration.set(config::RAFT_JOIN, "true".to_owned(), "--join")?;
        }
        Ok(())
    }

    /// Listens for TaskManagers and for the other members.
    pub(crate) fn listen(&self, core: &Core) -> Result<SocketAddr> {
        let address = setup::resolve(&setup::address(&self.configuration, config::RPC_ADDRESS, config::RPC_PORT))?;
        let heartbeat_interval = setup::heartbeat_interval(&self.configuration)?;
        let listens = core.job_manager.listen(address, heartbeat_interval, core.metadata.endpoint())?;
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
    /// What starts JobManagers again.
    pub(crate) keeper: Option<Arc<MemberKeeper>>,
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
        let (metadata, handle) = MetadataService::open(&members::metadata_options(configuration, data_dir)?)?;
        let storage = setup::storage(configuration, data_dir.to_owned())?;
        let blobs = setup::blobs(configuration, data_dir, &storage).await?;
        let sandbox = setup::sandbox(data_dir)?;
        let mut options = setup::job_manager_options(configuration, data_dir, storage, reach)?;
        options.crash_points = start.crash_points;
        native::install(&mut options, start.driver.as_ref());
        options.keeper = start.keeper;
        if start.adopts {
            options.adoption_timeout_ms = Some(configuration.duration_ms(config::ADOPTION_TIMEOUT)?);
        }
        let job_manager = JobManager::start(options, handle, blobs.clone(), sandbox.clone());
        Ok(Self { job_manager, blobs, sandbox, metadata })
    }

    /// Waits until this process leads; ends with the metadata's cause if they cannot go on. `None`: it was told to stop.
    pub(crate) async fn leads(&self, stop: &mut (impl Future<Output = ()> + Unpin)) -> Result<Option<Dispatcher>> {
        tokio::select! {
            dispatcher = self.job_manager.leads() => Ok(Some(dispatcher?)),
            cause = self.metadata.fatal() => Err(cause.into()),
            () = stop => Ok(None),
        }
    }

    /// Serves until the process is told to stop, or its metadata cannot go on: then it ends with that cause.
    pub(crate) async fn serve(
        &self,
        server: RestServer,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        tokio::select! {
            served = server.run(stop) => served.context("the REST server failed"),
            cause = self.metadata.fatal() => Err(cause.into()),
        }
    }

    pub(crate) fn close(self) {
        drop(self.job_manager);
        self.metadata.close();
    }
}

pub(crate) async fn bind_rest(options: RestOptions, job_manager: &JobManager) -> Result<RestServer> {
    let listen = options.listen.clone();
    let server = RestServer::bind(options, job_manager).await;
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
