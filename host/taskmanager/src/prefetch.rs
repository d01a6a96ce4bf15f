//! Compiles components before their tasks come: a TaskManager that takes over for another one need not begin with that.
//!
//! Invariants:
//! - One at a time, in a compiler of low priority: what runs here goes first.
//! - No more are waiting, and no more are kept, than there may be: what has no room is compiled when its task comes.

use std::sync::Arc;

use millrace_types::{Digest, TenantId};
use tokio::sync::mpsc;

use crate::run::TaskEnvironment;

/// Components that wait to be compiled. Those beyond are left to the tasks that need them.
const WAITING_MAX: usize = 256;

/// Where components are named that are to be compiled. Dropped, it ends what is under way.
pub(crate) struct Prefetches {
    waiting: mpsc::Sender<(TenantId, Digest)>,
    worker: tokio::task::JoinHandle<()>,
}

impl Prefetches {
    /// Starts the worker, on the runtime that this is called on.
    pub(crate) fn start(environment: Arc<TaskEnvironment>) -> Self {
        let (waiting, mut named) = mpsc::channel::<(TenantId, Digest)>(WAITING_MAX);
        let worker = async move {
            while let Some((tenant, digest)) = named.recv().await {
                match environment.components.prefetch(&tenant, digest).await {
                    Ok(true) => tracing::debug!(component = %digest, "a component is ready for its tasks"),
                    Ok(false) => tracing::debug!(component = %digest, "there is no room to compile a component ahead"),
                    // A task that needs it tries again, and tells whom it concerns.
                    Err(error) => tracing::warn!(component = %digest, %error, "a component was not compiled ahead"),
                }
            }
        };
        Self { waiting, worker: tokio::spawn(worker) }
    }

    /// Has components compiled.
    pub(crate) fn add(&self, tenant: &TenantId, components: Vec<Digest>) {
        for digest in components {
            if self.waiting.try_send((tenant.clone(), digest)).is_err() {
                tracing::debug!(component = %digest, "too many components wait to be compiled ahead");
            }
        }
    }
}

impl Drop for Prefetches {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
