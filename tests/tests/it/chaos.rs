//! Short rounds of chaos, as part of all tests; `just chaos` runs longer ones.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use millrace_tests::chaos::{self, Fault, Harm, JobPlan, Moment, Plan, Size};
use millrace_types::{CrashAt, CrashPoint};

/// How many seeds are looked at for those that run.
const SEEDS_MAX: u64 = 400;

/// What the short rounds have to do, together: all that can be done to a job, deaths at a point of a checkpoint in either
/// role among it, on both backends, with barriers that overtake and that do not.
const COVERED: [&str; 14] = [
    "kill TaskManager",
    "all TaskManagers but one",
    "stop TaskManager",
    "fill the disk",
    "kill the JobManager",
    "a TaskManager die at",
    "the JobManager die at",
    "rescale to 4",
    "rescale to 1",
    "while a checkpoint is under way",
    "on redb",
    "on hashmap",
    ", aligned",
    ", unaligned",
];

/// The first three seeds whose plans cover everything.
fn seeds() -> [u64; 3] {
    let covers = |seed| {
        let plan = Plan::new(seed, Size::Short, 1).to_string();
        (0u32..).zip(COVERED).filter(|(_, text)| plan.contains(text)).map(|(bit, _)| 1 << bit).sum::<u32>()
    };
    let plans: Vec<u32> = (0..SEEDS_MAX).map(covers).collect();
    let all = (1 << COVERED.len()) - 1;
    for (first, a) in (0..).zip(&plans) {
        for (second, b) in (0..).zip(&plans[..first as usize]) {
            let third = (0..).zip(&plans[..second as usize]).find(|(_, c)| a | b | **c == all);
            if let Some((third, _)) = third {
                return [third, second, first];
            }
        }
    }
    panic!("no three of the first {SEEDS_MAX} seeds cover {COVERED:?}: look at more, or run more")
}

async fn exact(plan: &Plan) -> Result<usize> {
    println!("{plan}");
    let folder = tempfile::tempdir()?;
    let outcome = chaos::run(plan, folder.path(), &mut |line| println!("{line}")).await;
    let outcome = outcome.with_context(|| format!("{plan}"))?;
    println!("{outcome}");
    Ok(outcome.faults)
}

#[tokio::test]
async fn what_a_job_commits_under_chaos_is_exact() -> Result<()> {
    for seed in seeds() {
        exact(&Plan::new(seed, Size::Short, 1)).await?;
    }
    Ok(())
}

/// One after the other, at every point between what is prepared and what is committed.
#[tokio::test]
async fn a_process_may_die_at_any_point_of_a_checkpoint() -> Result<()> {
    let passes = 2;
    let task_managers = CrashPoint::OF_TASK_MANAGERS.map(|point| Harm::CrashTaskManager(CrashAt { point, passes }));
    let job_managers = CrashPoint::OF_JOB_MANAGERS.map(|point| Harm::CrashJobManager(CrashAt { point, passes }));
    let faults: Vec<Fault> =
        task_managers.into_iter().chain(job_managers).map(|harm| Fault { when: Moment::Completed(1), harm }).collect();
    let job = JobPlan {
        job_managers: 1,
        query: "wc",
        records: 240_000,
        rate: 3_000,
        parallelism: 4,
        backend: "hashmap",
        unaligned_after_ms: None,
        interval_ms: Some(150),
        tolerated: 10,
    };
    let kinds: BTreeSet<String> = faults.iter().map(Fault::to_string).collect();
    let happened = exact(&Plan { seed: 0, job, faults }).await?;
    assert_eq!(happened, kinds.len(), "the job was over too soon");
    Ok(())
}
