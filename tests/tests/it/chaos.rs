//! Short rounds of chaos, as part of all tests; `just chaos` runs longer ones.

use anyhow::{Context, Result};
use millrace_tests::chaos::{self, Plan, Size};

/// Chosen so that together they kill TaskManagers and the JobManager, stop processes, fill disks and rescale.
const SEEDS: [u64; 2] = [1, 2];

#[tokio::test]
async fn what_a_job_commits_under_chaos_is_exact() -> Result<()> {
    for seed in SEEDS {
        let plan = Plan::new(seed, Size::Short);
        println!("{plan}");
        let folder = tempfile::tempdir()?;
        let outcome = chaos::run(&plan, folder.path(), &mut |line| println!("{line}")).await;
        let outcome = outcome.with_context(|| format!("{plan}"))?;
        println!("{outcome}");
    }
    Ok(())
}
