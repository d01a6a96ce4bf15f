//! What can go wrong with a TaskManager itself; what goes wrong in its tasks is in their reports.

use std::io;
use std::path::PathBuf;

use millrace_network::DataPlaneError;
use millrace_network::control::ControlError;

/// Why a TaskManager cannot start or answer.
#[derive(Debug, thiserror::Error)]
pub enum TaskManagerError {
    /// The folder of the tasks' logs cannot be made.
    #[error("the folder {} for the logs of tasks cannot be made: {source}; give another --data-dir", path.display())]
    LogDirectory {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder for state that is larger than memory cannot be made.
    #[error("the folder {} for the state of tasks cannot be made: {source}; give another --data-dir", path.display())]
    ScratchDirectory {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("a thread of the TaskManager cannot be started: {0}; allow the process more threads (ulimit -u)")]
    Thread(io::Error),
    /// No JobManager has taken it.
    #[error("no JobManager has taken this TaskManager: {0}; is its --jobmanager address right, and does it run?")]
    Registration(ControlError),
    /// Nobody could be asked.
    #[error("no JobManager is named: give --jobmanager HOST:PORT")]
    NoJobManager,
    /// It cannot take records from other TaskManagers.
    #[error(transparent)]
    DataPlane(#[from] DataPlaneError),
    /// It has stopped.
    #[error("the TaskManager has stopped")]
    Stopped,
}
