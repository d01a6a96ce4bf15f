//! What makes recovery fast: components that are compiled before they are needed.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, bail};
use millrace_tests::jobs::Run;
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;

const COMPONENTS: &str = "Status.Millrace.Components";
const COMPILATIONS: &str = "Status.Millrace.Compilations";
const INSTANCES: &str = "Status.Millrace.Instances";

/// What a TaskManager says in one heartbeat, by name.
type Metrics = BTreeMap<String, u64>;

/// Waits until the newest heartbeats of so many TaskManagers satisfy a condition.
async fn wait_for_metrics(
    cluster: &Processes,
    task_managers: usize,
    condition: impl Fn(&[Metrics]) -> bool,
) -> Result<Vec<Metrics>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut all = Vec::new();
        for known in cluster.client.task_managers().await?.taskmanagers {
            let names = [COMPONENTS, COMPILATIONS, INSTANCES];
            let metrics = cluster.client.task_manager_metrics(&known.id, &names).await?;
            let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
            all.push(metrics.into_iter().map(|metric| (metric.id, number(metric.value))).collect::<Metrics>());
        }
        if all.len() == task_managers && condition(&all) {
            return Ok(all);
        }
        if Instant::now() > deadline {
            bail!("{task_managers} TaskManagers say {all:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether all have compiled one component.
fn all_are_warm(all: &[Metrics]) -> bool {
    all.iter().all(|metrics| metrics.get(COMPONENTS) == Some(&1))
}

#[tokio::test]
async fn a_spare_has_compiled_what_it_may_have_to_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 1, &[]).await?;
    let options = vec![
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "10"),
        ("restart-strategy.fixed-delay.delay", "10 ms"),
    ];
    let run = Run { args: vec!["unbounded"], parallelism: 1, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;
    wait_for_metrics(&cluster, 2, all_are_warm).await?;
    // One that comes later is told as well.
    cluster.add_task_manager()?;
    wait_for_metrics(&cluster, 3, all_are_warm).await?;

    let victim = cluster.running(&job).await?;
    cluster.kill_task_manager(victim)?;
    // An instance is there, so whatever had to be compiled for it has been.
    let runs = |metrics: &Metrics| metrics.get(INSTANCES) == Some(&1);
    let all = wait_for_metrics(&cluster, 2, |all| all.iter().any(runs)).await?;
    assert!(all.iter().all(|metrics| metrics.get(COMPILATIONS) == Some(&1)), "{all:?}");
    cluster.client.cancel(&job).await?;
    cluster.wait_for_slots(2, 2).await
}
