//! The options of native mode, and what TaskManagers take over that a JobManager starts.

use anyhow::{Result, anyhow};
use millrace_jobmanager::{WORKER_OPTIONS, WorkerOption, WorkerOptions};

use super::{Configuration, Kind, OptionSpec, option};

pub(crate) const DRIVER: &str = "resourcemanager.driver";
pub(crate) const PROCESS_DIR: &str = "resourcemanager.process.dir";
pub(crate) const PROCESS_ENDS: &str = "resourcemanager.process.end-with-jobmanager";

pub(crate) const REPLACES: &str = "resourcemanager.process.replace-jobmanagers";

/// The driver of processes of this machine, the only one; without it people start TaskManagers.
pub(crate) const PROCESS_DRIVER: &str = "process";
const NO_DRIVER: &str = "none";

/// All of them.
pub(super) const OPTIONS: [OptionSpec; 11] = [
    option(DRIVER, Kind::Driver, NO_DRIVER, "what starts TaskManagers: none, or process (--native): this machine"),
    option(
        PROCESS_DIR,
        Kind::Text,
        "",
        "native: where TaskManagers have their data; taskmanagers in data.dir unless set",
    ),
    option(PROCESS_ENDS, Kind::Flag, "false", "native: whether TaskManagers end with the JobManager that started them"),
    option(
        REPLACES,
        Kind::Flag,
        "true",
        "native: whether the leader starts JobManagers again that died, of those that share resourcemanager.process.dir",
    ),
    workers(0),
    workers(1),
    workers(2),
    workers(3),
    workers(4),
    workers(5),
    workers(6),
];

const fn workers(index: usize) -> OptionSpec {
    let WorkerOption { key, default, description } = WORKER_OPTIONS[index];
    option(key, Kind::Workers, default, description)
}

pub(super) fn check_driver(value: &str) -> Result<()> {
    let known = [NO_DRIVER, PROCESS_DRIVER].contains(&value);
    known.then_some(()).ok_or_else(|| anyhow!("\"{value}\" is neither {NO_DRIVER} nor {PROCESS_DRIVER}"))
}

impl Configuration {
    /// How many workers there may be, but for the slots of each.
    pub(crate) fn workers(&self) -> Result<WorkerOptions> {
        let mut options = WorkerOptions::default();
        for option in WORKER_OPTIONS {
            options.set(option.key, self.text(option.key))?;
        }
        Ok(options)
    }

    /// All that is set, but for some keys, as the text of a file.
    pub(crate) fn to_toml(&self, without: &[&str]) -> String {
        let set = self.values.iter().filter(|(key, _)| !without.contains(key));
        let table: toml::Table =
            set.map(|(key, (value, _))| ((*key).to_owned(), toml::Value::String(value.clone()))).collect();
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_option_of_workers_is_listed_and_read() {
        for option in WORKER_OPTIONS {
            assert!(OPTIONS.iter().any(|spec| spec.key == option.key), "{}", option.key);
        }
        let load = |define: &str| Configuration::load(None, &[define.to_owned()]);
        let configuration = load("slotmanager.number-of-slots.max=7").unwrap();
        assert_eq!(configuration.workers().unwrap().slots_max, 7);
        assert!(load("slotmanager.number-of-slots.max=many").is_err());
        assert!(load("resourcemanager.driver=kubernetes").is_err());
        assert!(load("resourcemanager.driver=process").is_ok());
    }
}
