//! The compiled components of the tasks that run here: fetched and compiled once, however many tasks need one, and ahead
//! of its tasks where the JobManager says which are likely to come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use millrace_sandbox::{CompiledComponent, Sandbox};
use millrace_types::{Digest, Failure, TenantId};
use tokio::sync::OnceCell;

/// Where the bytes of components come from: the blob store.
#[async_trait]
pub trait ComponentSource: Send + Sync + 'static {
    /// The bytes of a tenant's component.
    ///
    /// # Errors
    /// Why they are not to be had, and what to do.
    async fn fetch(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure>;
}

/// A component that stays known as long as a task holds this.
pub(crate) type Held = Arc<OnceCell<CompiledComponent>>;

/// A component that is known as long as some task holds it.
type Known = Weak<OnceCell<CompiledComponent>>;

/// The components of a TaskManager.
pub(crate) struct Components {
    source: Arc<dyn ComponentSource>,
    sandbox: Sandbox,
    /// Those that a task holds, and some that none holds any more.
    known: Mutex<BTreeMap<(TenantId, Digest), Known>>,
}

impl Components {
    pub(crate) fn new(source: Arc<dyn ComponentSource>, sandbox: Sandbox) -> Self {
        Self { source, sandbox, known: Mutex::default() }
    }

    /// The component, ready to be instantiated.
    pub(crate) async fn get(&self, tenant: &TenantId, digest: Digest) -> Result<(Held, CompiledComponent), Failure> {
        let held = self.hold(tenant, digest);
        let compile = || async {
            if let Some(component) = self.sandbox.compiled(tenant, &digest) {
                return Ok(component);
            }
            let bytes = self.source.fetch(tenant, &digest).await?;
            self.sandbox.compile(tenant, &digest, bytes).await.map_err(Failure::from)
        };
        let component = held.get_or_try_init(compile).await?.clone();
        Ok((held, component))
    }

    /// Has a component compiled that no task needs yet, unless others would have to go for it. Whether it is ready.
    pub(crate) async fn prefetch(&self, tenant: &TenantId, digest: Digest) -> Result<bool, Failure> {
        if self.sandbox.compiled(tenant, &digest).is_some() {
            return Ok(true);
        }
        if !self.sandbox.has_room() {
            return Ok(false);
        }
        let bytes = self.source.fetch(tenant, &digest).await?;
        let compiled = self.sandbox.compile_ahead(tenant, &digest, bytes).await;
        compiled.map(|_| true).map_err(Failure::from)
    }

    fn hold(&self, tenant: &TenantId, digest: Digest) -> Held {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), digest);
        if let Some(held) = known.get(&key).and_then(Weak::upgrade) {
            return held;
        }
        known.retain(|_, held| held.strong_count() > 0);
        let held = Held::default();
        known.insert(key, Arc::downgrade(&held));
        held
    }
}
