//! How a task comes to run other code: asked first, made ready beside its work, swapped behind a barrier.
//!
//! Invariants:
//! - Nothing is compiled at the barrier: a task says that it is ready when its components are.
//! - The code is swapped behind the snapshot and before that is handed over: what is acknowledged was followed by
//!   instances of the new code that opened.
//! - State, timers, watermarks and ways out stay where they are, in the host.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_protocol::{DeclaredStates, TaskCode, TaskUpgrade, ToJobManager, UpgradeAnswer, UpgradeId};
use millrace_sandbox::CompiledComponent;
use millrace_types::{Failure, FailureKind, TenantId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::components::Held;
use crate::run::chain::Chain;
use crate::run::open::TaskEnvironment;
use crate::run::shared::{TaskError, TaskShared};

/// What the JobMaster says of an upgrade.
#[derive(Debug)]
pub(crate) enum UpgradeOrder {
    Prepare(Box<TaskUpgrade>),
    Forget(UpgradeId),
}

/// The components of some code, by name.
type Compiled = BTreeMap<String, (Held, CompiledComponent)>;

/// Code that the task is ready for, or soon will be.
struct Prepared {
    id: UpgradeId,
    code: TaskCode,
    components: oneshot::Receiver<Compiled>,
    compiling: JoinHandle<()>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.compiling.abort();
    }
}

/// A task's upgrades.
pub(crate) struct Upgrades {
    environment: Arc<TaskEnvironment>,
    tenant: TenantId,
    shared: Arc<TaskShared>,
    prepared: Option<Prepared>,
    /// What runs since the last upgrade stays known as long as the task runs it.
    running: Compiled,
}

impl Upgrades {
    pub(crate) fn new(environment: Arc<TaskEnvironment>, tenant: TenantId, shared: Arc<TaskShared>) -> Self {
        Self { environment, tenant, shared, prepared: None, running: Compiled::new() }
    }

    /// Does what the JobMaster says. Whatever was prepared before is let go.
    pub(crate) async fn heed(&mut self, order: &UpgradeOrder, chain: &mut Chain) -> Result<(), TaskError> {
        match order {
            UpgradeOrder::Forget(id) => {
                self.prepared.take_if(|prepared| prepared.id == *id);
                Ok(())
            }
            UpgradeOrder::Prepare(upgrade) => {
                self.prepared = None;
                self.prepare(upgrade, chain).await
            }
        }
    }

    async fn prepare(&mut self, upgrade: &TaskUpgrade, chain: &mut Chain) -> Result<(), TaskError> {
        let (id, attempt) = (upgrade.id, self.shared.attempt);
        let outbound = self.environment.outbound.clone();
        let answer = move |result| ToJobManager::UpgradeAnswered(UpgradeAnswer { attempt, id, result });
        let code = match (check_states(&upgrade.states, chain)?, &upgrade.code) {
            (Ok(()), Some(code)) => code.clone(),
            (fits, _) => {
                // Whoever is gone needs no answer.
                let _ = outbound.send(answer(fits)).await;
                return Ok(());
            }
        };
        let (environment, tenant, wanted) = (Arc::clone(&self.environment), self.tenant.clone(), code.clone());
        let (sender, components) = oneshot::channel();
        let compiling = tokio::spawn(async move {
            let compiled = compile(&environment, &tenant, &wanted).await;
            let result = compiled.map(|compiled| drop(sender.send(compiled)));
            let _ = outbound.send(answer(result)).await;
        });
        self.prepared = Some(Prepared { id, code, components, compiling });
        Ok(())
    }

    /// Behind the barrier: other instances in the places of those that have flushed.
    pub(crate) async fn swap(&mut self, chain: &mut Chain) -> Result<(), TaskError> {
        let prepared = self.prepared.take();
        let compiled = prepared.and_then(|mut prepared| Some((prepared.components.try_recv().ok()?, prepared)));
        let Some((compiled, prepared)) = compiled else {
            let message = "the barrier of an upgrade came to a task that was not ready for it";
            return Err(Failure::new(FailureKind::Internal, message).into());
        };
        let code = &prepared.code;
        for (segment, guest) in code.vertex.segments.iter().zip(chain.segments_in_order()) {
            let (Some(name), Ok(guest)) = (&segment.component, guest.guest()) else { continue };
            let (Some(described), Some((_, component))) = (code.components.get(name), compiled.get(name)) else {
                let message = format!("the upgrade names the component \"{name}\" and does not describe it");
                return Err(Failure::new(FailureKind::Internal, message).into());
            };
            guest.run_code(code, described, component.clone()).await?;
        }
        self.running = compiled;
        Ok(())
    }
}

/// Whether what the operators have fits what their new code uses.
fn check_states(states: &DeclaredStates, chain: &mut Chain) -> Result<Result<(), Failure>, TaskError> {
    for segment in chain.segments_in_order() {
        if let Ok(guest) = segment.guest()
            && let Err(error) = guest.host()?.check_states(states)
        {
            return Ok(Err(error.into()));
        }
    }
    Ok(Ok(()))
}

async fn compile(environment: &TaskEnvironment, tenant: &TenantId, code: &TaskCode) -> Result<Compiled, Failure> {
    let mut compiled = Compiled::new();
    for (name, component) in &code.components {
        compiled.insert(name.clone(), environment.components.get(tenant, component.digest).await?);
    }
    Ok(compiled)
}
