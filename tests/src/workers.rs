//! The processes that a JobManager in native mode has started, as the machine's table of processes shows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{PATIENCE, POLL};

/// The processes of one cluster that play one role. Those that are left are killed when this is dropped.
pub struct Workers {
    role: &'static str,
    /// Each has its data in a folder of its own in this one.
    folder: PathBuf,
}

impl Workers {
    /// The TaskManagers of the JobManager whose data are in a folder, which need not be there yet.
    pub fn of(data_dir: &Path) -> Self {
        Self { role: "taskmanager", folder: data_dir.join("taskmanagers") }
    }

    /// The JobManagers whose data are in folders in this one.
    pub fn job_managers(folder: &Path) -> Self {
        Self { role: "jobmanager", folder: folder.to_owned() }
    }

    /// Their numbers, by name.
    pub fn processes(&self) -> Result<BTreeMap<String, i32>> {
        let mut found = BTreeMap::new();
        let Ok(folder) = self.folder.canonicalize() else { return Ok(found) };
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that ends meanwhile has no arguments any more.
            let arguments = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let mut arguments = arguments.split('\0').skip(1);
            if arguments.next() != Some(self.role) {
                continue;
            }
            let behind = arguments.skip_while(|argument| *argument != "--data-dir").nth(1);
            let own = behind.map(Path::new).filter(|data| data.parent() == Some(&folder));
            if let Some(name) = own.and_then(Path::file_name) {
                found.insert(name.to_string_lossy().into_owned(), pid);
            }
        }
        Ok(found)
    }

    /// Waits until the processes satisfy a condition.
    pub async fn wait_for(&self, condition: impl Fn(&BTreeMap<String, i32>) -> bool) -> Result<BTreeMap<String, i32>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let processes = self.processes()?;
            if condition(&processes) {
                return Ok(processes);
            }
            if Instant::now() > deadline {
                bail!("after {PATIENCE:?} there are the processes {processes:?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Sends a process a signal.
pub fn signal(pid: i32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid).context("a process id")?;
    Ok(kill_process(pid, signal)?)
}

impl Drop for Workers {
    fn drop(&mut self) {
        for pid in self.processes().unwrap_or_default().into_values() {
            // It may have ended.
            let _ = signal(pid, Signal::KILL);
        }
    }
}
