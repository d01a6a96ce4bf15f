//! Native mode: a JobManager that has its TaskManagers started and stopped as processes of this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use millrace_jobmanager::{JobManagerOptions, MemberKeeper, ProcessDriver, ProcessOptions, WorkerOptions};

use crate::cli::JobManagerArgs;
use crate::config::{self, Configuration};
use crate::roles::{members, setup};

/// Options that a TaskManager does not take over: those that are its own, and where it finds its JobManagers.
const NOT_INHERITED: [&str; 8] = [
    config::DATA_DIR,
    config::DATA_PORT,
    config::RESOURCE_ID,
    config::RPC_PEERS,
    config::RAFT_ID,
    config::RAFT_PEERS,
    config::RAFT_JOIN,
    config::DRIVER,
];

/// What `--native` says, as an option.
pub(crate) fn set_driver(configuration: &mut Configuration, options: &JobManagerArgs) -> Result<()> {
    if options.native {
        configuration.set(config::DRIVER, config::PROCESS_DRIVER.to_owned(), "--native")?;
    }
    Ok(())
}

/// How many workers there may be; none unless a driver is chosen.
pub(crate) fn worker_options(configuration: &Configuration) -> Result<Option<WorkerOptions>> {
    if configuration.text(config::DRIVER) != config::PROCESS_DRIVER {
        return Ok(None);
    }
    let mut options = configuration.workers()?;
    options.slots_per_worker = setup::slots(configuration)?;
    options.check()?;
    Ok(Some(options))
}

/// Where the processes of this machine have what is theirs.
fn process_folder(configuration: &Configuration, data_dir: &Path) -> Result<PathBuf> {
    Ok(match configuration.text(config::PROCESS_DIR) {
        "" => data_dir.join("taskmanagers"),
        stated => std::path::absolute(stated).context(config::PROCESS_DIR)?,
    })
}

/// What starts the JobManagers of a group again that have died on this machine, if that is wanted.
pub(crate) fn keeper(configuration: &Configuration, data_dir: &Path) -> Result<Option<Arc<MemberKeeper>>> {
    let wanted = configuration.flag(config::REPLACES)?.unwrap_or_default();
    let native = configuration.text(config::DRIVER) == config::PROCESS_DRIVER;
    if !(wanted && native && members::is_in_group(configuration)?) {
        return Ok(None);
    }
    let folder = process_folder(configuration, data_dir)?;
    let opened = MemberKeeper::open(&folder);
    opened.map(|keeper| Some(Arc::new(keeper))).with_context(|| format!("cannot use the folder {}", folder.display()))
}

/// The driver of processes, if one is chosen. It begins when it is told where TaskManagers connect.
pub(crate) fn driver(
    configuration: &Configuration,
    data_dir: &Path,
    options: &JobManagerArgs,
) -> Result<Option<Arc<ProcessDriver>>> {
    if configuration.text(config::DRIVER) != config::PROCESS_DRIVER {
        return Ok(None);
    }
    let folder = process_folder(configuration, data_dir)?;
    let mut arguments = Vec::new();
    for root in &options.file_root {
        arguments.extend(["--file-root".to_owned(), root.to_string_lossy().into_owned()]);
    }
    for origin in &options.http_origin {
        arguments.extend(["--http-origin".to_owned(), origin.clone()]);
    }
    let processes = ProcessOptions {
        program: std::env::current_exe().context("cannot tell this program's path")?,
        arguments,
        configuration: configuration.to_toml(&NOT_INHERITED),
        folder: folder.clone(),
        end_with_this_process: configuration.flag(config::PROCESS_ENDS)?.unwrap_or_default(),
    };
    let opened = ProcessDriver::open(processes);
    opened.map(|driver| Some(Arc::new(driver))).with_context(|| format!("cannot use the folder {}", folder.display()))
}

/// Has the JobManager use the driver.
pub(crate) fn install(options: &mut JobManagerOptions, driver: Option<&Arc<ProcessDriver>>) {
    options.driver = driver.map(|driver| Arc::clone(driver) as _);
}

/// Where this machine's TaskManagers connect: to the members of the group, or to this process.
pub(crate) fn job_managers(configuration: &Configuration, listens: SocketAddr) -> Result<Vec<String>> {
    if !configuration.text(config::RPC_PEERS).is_empty() {
        return setup::job_managers(configuration);
    }
    let members = members::rpc_addresses(configuration)?;
    if !members.is_empty() {
        return Ok(members);
    }
    let host = if listens.ip().is_unspecified() { "127.0.0.1".to_owned() } else { host(listens) };
    Ok(vec![format!("{host}:{}", listens.port())])
}

fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn load(define: &[&str]) -> Configuration {
        let define: Vec<String> = define.iter().map(|text| (*text).to_owned()).collect();
        Configuration::load(None, &define).unwrap()
    }

    #[test]
    fn task_managers_take_over_what_is_set_and_not_their_own() {
        let configuration = load(&[
            "taskmanager.numberOfTaskSlots=3",
            "taskmanager.data.port=7777",
            "data.dir=/x",
            "execution.checkpointing.dir=/a \"b\"",
        ]);
        let text = configuration.to_toml(&NOT_INHERITED);
        let table: toml::Table = text.parse().unwrap();
        let keys: Vec<&str> = table.keys().map(String::as_str).collect();
        assert_eq!(keys, ["execution.checkpointing.dir", "taskmanager.numberOfTaskSlots"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("millrace.toml");
        std::fs::write(&path, text).unwrap();
        let read = Configuration::load(Some(&path), &[]).unwrap();
        assert_eq!(read.text(config::CHECKPOINT_DIR), "/a \"b\"");
        assert_eq!(setup::slots(&read).unwrap(), 3);
    }

    #[test]
    fn there_are_workers_only_with_a_driver() {
        assert_eq!(worker_options(&load(&[])).unwrap(), None);
        let native = ["resourcemanager.driver=process", "taskmanager.numberOfTaskSlots=2"];
        assert_eq!(worker_options(&load(&native)).unwrap().unwrap().slots_per_worker, 2);
        let few = [native[0], native[1], "slotmanager.number-of-slots.max=1"];
        assert!(worker_options(&load(&few)).unwrap_err().to_string().contains("number-of-slots.max"));
    }

    #[test]
    fn task_managers_connect_to_where_this_process_listens() {
        let at = |text: &str| job_managers(&load(&[]), text.parse().unwrap()).unwrap().join(",");
        assert_eq!(at("10.0.0.1:6123"), "10.0.0.1:6123");
        assert_eq!(at("0.0.0.0:6123"), "127.0.0.1:6123");
        assert_eq!(at("[::1]:6123"), "[::1]:6123");
        let group = load(&["jobmanager.rpc.peers=a:1,b:2"]);
        assert_eq!(job_managers(&group, "10.0.0.1:6123".parse().unwrap()).unwrap(), ["a:1", "b:2"]);
        let group = load(&["high-availability.raft.peers=1=a:1:2,2=b:3"]);
        assert_eq!(job_managers(&group, "0.0.0.0:1".parse().unwrap()).unwrap(), ["a:1", "b:3"]);
    }
}
