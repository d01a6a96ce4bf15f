//! The threads of a TaskManager, apart from those that it is controlled on.

use millrace_network::{DataPlane, DataPlaneOptions, Exchange};
use millrace_types::TaskManagerId;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::TaskManagerError;

/// The threads that serve connections with other TaskManagers. They are not those that run tasks: a guest's call keeps
/// its thread for a while, and nobody else's records should wait for it.
const DATA_THREADS: usize = 1;

/// A runtime. Dropped, it leaves what runs to end by itself: it may be dropped where nothing may block.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) fn start(name: &str, threads: usize) -> Result<Self, TaskManagerError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(TaskManagerError::Thread)?;
        Ok(Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The way to other TaskManagers, and the threads that it runs on.
pub(crate) struct DataLink {
    pub plane: DataPlane,
    _threads: Threads,
}

impl DataLink {
    pub(crate) fn start(
        options: DataPlaneOptions,
        id: &TaskManagerId,
        exchange: &Exchange,
    ) -> Result<Self, TaskManagerError> {
        let threads = Threads::start("millrace-data", DATA_THREADS)?;
        let handle = threads.handle().ok_or(TaskManagerError::Stopped)?;
        let plane = DataPlane::bind(options, id.clone(), exchange.clone(), handle)?;
        Ok(Self { plane, _threads: threads })
    }
}
