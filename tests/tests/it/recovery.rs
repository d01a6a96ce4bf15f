//! What makes recovery fast: components that are compiled before they are needed.

use anyhow::Result;
use millrace_tests::jobs::Run;
use millrace_tests::metrics::{self, COMPILATIONS, COMPONENTS, INSTANCES, Metrics};
use millrace_tests::processes::Processes;
use millrace_tests::repository;

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
    metrics::wait_for(&cluster, 2, all_are_warm).await?;
    // One that comes later is told as well.
    cluster.add_task_manager()?;
    metrics::wait_for(&cluster, 3, all_are_warm).await?;

    let victim = cluster.running(&job).await?;
    cluster.kill_task_manager(victim)?;
    // An instance is there, so whatever had to be compiled for it has been.
    let runs = |metrics: &Metrics| metrics.get(INSTANCES) == Some(&1);
    let all = metrics::wait_for(&cluster, 2, |all| all.iter().any(runs)).await?;
    assert!(all.iter().all(|metrics| metrics.get(COMPILATIONS) == Some(&1)), "{all:?}");
    cluster.client.cancel(&job).await?;
    cluster.wait_for_slots(2, 2).await
}
