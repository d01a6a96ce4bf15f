//! A standalone cluster in a process of its own.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::jobs::Jobs;
pub use crate::jobs::Run;
use crate::process::Process;

/// A cluster; killed when dropped.
pub struct Cluster {
    process: Process,
    folder: PathBuf,
    arguments: Vec<String>,
    jobs: Jobs,
}

impl Deref for Cluster {
    type Target = Jobs;

    fn deref(&self) -> &Jobs {
        &self.jobs
    }
}

impl Cluster {
    /// Starts a cluster with its data below `folder` and these further arguments.
    pub fn start(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (process, jobs) = spawn(folder, &arguments)?;
        Ok(Self { process, folder: folder.to_owned(), arguments, jobs })
    }

    /// Kills the process, as a power cut would, and starts another one on the same data.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        (self.process, self.jobs) = spawn(&self.folder, &self.arguments)?;
        Ok(())
    }

    /// Kills the process.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    /// The process's id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// Starts the process and waits until it says where it listens.
fn spawn(folder: &Path, arguments: &[String]) -> Result<(Process, Jobs)> {
    let data = folder.join("data");
    let own = ["standalone", "--listen", "127.0.0.1:0", "--data-dir", &data.to_string_lossy()].map(str::to_owned);
    let arguments: Vec<String> = own.into_iter().chain(arguments.iter().cloned()).collect();
    let process = Process::start(folder, "standalone", &arguments)?;
    let jobs = Jobs::at(&process.announced("http://")?)?;
    Ok((process, jobs))
}
