//! `millrace taskmanager`: slots for a JobManager in another process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millrace_connectors::FileRoots;
use millrace_taskmanager::{DataPlaneOptions, RemoteOptions, serve};
use millrace_types::{CrashPoint, TaskManagerId};

use crate::cli;
use crate::config::{self, Configuration};
use crate::progress::println_stdout;
use crate::roles::folder::{self, OwnFolder};
use crate::roles::{block_on, setup, stop_signal};

/// How long one attempt to reach the JobManager may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run(options: &cli::TaskManager) -> Result<()> {
    options.end_with.map_or(Ok(()), end_with)?;
    let mut configuration = Configuration::load(options.config.config.as_deref(), &options.config.define)?;
    if !options.jobmanager.is_empty() {
        configuration.set(config::RPC_PEERS, options.jobmanager.join(","), "--jobmanager")?;
    }
    let data = options.listen.as_deref();
    setup::set_address(&mut configuration, "--listen", data, config::DATA_ADDRESS, config::DATA_PORT)?;
    if let Some(slots) = options.slots {
        configuration.set(config::SLOTS, slots.to_string(), "--slots")?;
    }
    let data_dir = setup::data_dir(&mut configuration, options.data_dir.as_deref())?;
    folder::create_private(&data_dir)?;
    let own = OwnFolder::take(&data_dir)?;
    let reach = setup::reach(&configuration, &options.file_root, &options.http_origin, FileRoots::none())?;
    let id = TaskManagerId(resource_id(&configuration)?);
    let mut task_manager = setup::task_manager_options(&configuration, id, own.path.clone(), reach)?;
    let data = setup::address(&configuration, config::DATA_ADDRESS, config::DATA_PORT);
    task_manager.data = Some(DataPlaneOptions::new(data));
    task_manager.crash_points = setup::crash_points(options.crash_at, &CrashPoint::OF_TASK_MANAGERS)?;
    let remote = RemoteOptions {
        jobmanagers: setup::job_managers(&configuration)?,
        connect_timeout: CONNECT_TIMEOUT,
        heartbeat_timeout: Duration::from_millis(configuration.duration_ms(config::HEARTBEAT_TIMEOUT)?),
        registration_timeout: Duration::from_millis(configuration.duration_ms(config::REGISTRATION_TIMEOUT)?),
        orphan_timeout: Duration::from_millis(configuration.duration_ms(config::ORPHAN_TIMEOUT)?),
    };
    block_on(async move {
        let stop = stop_signal()?;
        setup::announce_crash(options.crash_at);
        let sandbox = setup::sandbox(&own.path)?;
        let slots = task_manager.slots;
        let announce = move |id: &TaskManagerId| {
            println_stdout(&format!("Millrace TaskManager {id} is up with {slots} slots."));
        };
        Ok(serve(task_manager, remote, sandbox, stop, Box::new(move |handle| announce(handle.id()))).await?)
    })
}

/// Has this process be told to stop when its parent ends.
fn end_with(parent: u32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM)).context("--end-with")?;
    // It may have ended before that.
    let present = getppid().and_then(|pid| u32::try_from(pid.as_raw_pid()).ok());
    ensure!(present == Some(parent), "--end-with {parent}: this process was not started by that one, or it has ended");
    Ok(())
}

/// What the ids of all lives of this process begin with.
fn resource_id(configuration: &Configuration) -> Result<String> {
    let stated = configuration.text(config::RESOURCE_ID);
    if !stated.is_empty() {
        return Ok(stated.to_owned());
    }
    let name = rustix::system::uname();
    let host = name.nodename().to_str().context("the machine's name is not UTF-8: set taskmanager.resource-id")?;
    Ok(format!("{host}-{}", std::process::id()))
}
