//! What TaskManagers say of themselves in their heartbeats, by REST.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::jobs::Jobs;
use crate::process::{PATIENCE, POLL};

/// Components that are compiled and kept.
pub const COMPONENTS: &str = "Status.Millrace.Components";
/// How often a component was compiled.
pub const COMPILATIONS: &str = "Status.Millrace.Compilations";
/// Instances of guests.
pub const INSTANCES: &str = "Status.Millrace.Instances";
/// Copies of state on the TaskManager's own disk.
pub const COPIES: &str = "Status.Millrace.LocalState.Copies";
/// What was restored from such copies, in bytes.
pub const RESTORED_LOCAL: &str = "Status.Millrace.LocalState.RestoredLocalBytes";
/// What was restored from checkpoint folders, in bytes, by jobs that use copies.
pub const RESTORED_REMOTE: &str = "Status.Millrace.LocalState.RestoredRemoteBytes";

const NAMES: [&str; 6] = [COMPONENTS, COMPILATIONS, INSTANCES, COPIES, RESTORED_LOCAL, RESTORED_REMOTE];

/// What a TaskManager says in one heartbeat, by name.
pub type Metrics = BTreeMap<String, u64>;

/// The newest word of each TaskManager, by its id.
pub async fn of_task_managers(cluster: &Jobs) -> Result<BTreeMap<String, Metrics>> {
    let mut all = BTreeMap::new();
    for known in cluster.client.task_managers().await?.taskmanagers {
        // One that was killed may be listed still, and gone when it is asked for.
        let Ok(metrics) = cluster.client.task_manager_metrics(&known.id, &NAMES).await else { continue };
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
        all.insert(known.id, metrics.into_iter().map(|metric| (metric.id, number(metric.value))).collect());
    }
    Ok(all)
}

/// Waits until the newest heartbeats of so many TaskManagers satisfy a condition.
pub async fn wait_for(
    cluster: &Jobs,
    task_managers: usize,
    condition: impl Fn(&[Metrics]) -> bool,
) -> Result<Vec<Metrics>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all: Vec<Metrics> = of_task_managers(cluster).await?.into_values().collect();
        if all.len() == task_managers && condition(&all) {
            return Ok(all);
        }
        if Instant::now() > deadline {
            bail!("{task_managers} TaskManagers should have come to something else than {all:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}
