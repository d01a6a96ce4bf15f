//! `just chaos --rounds N --seed S`: rounds of chaos with the seeds S, S + 1 and so on. The first that fails ends the
//! program; its seed and what happened are printed, and what the processes left behind is kept. With `--plan` nothing
//! runs: it is printed what would.
#![allow(clippy::print_stdout, reason = "what happens is what this program is for")]

use std::path::Path;

use anyhow::{Context, Result, bail};
use millrace_tests::chaos::{self, Plan, Size};

const USAGE: &str = "usage: millrace-chaos [--rounds N] [--seed S] [--jobmanagers N] [--plan]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut rounds, mut seed, mut only_plan) = (10u64, rand::random_range(0..1_000_000u64), false);
    let mut job_managers = 1u64;
    while let Some(name) = arguments.next() {
        if name == "--plan" {
            only_plan = true;
            continue;
        }
        let value = arguments.next().context(USAGE)?.parse().context(USAGE)?;
        match name.as_str() {
            "--rounds" => rounds = value,
            "--seed" => seed = value,
            "--jobmanagers" => job_managers = value,
            _ => bail!(USAGE),
        }
    }
    let job_managers = usize::try_from(job_managers).ok().filter(|count| (1..=9).contains(count)).context(USAGE)?;
    let plan = |seed| Plan::new(seed, Size::Full, job_managers);
    if only_plan {
        (seed..seed.saturating_add(rounds)).for_each(|seed| println!("{}", plan(seed)));
        return Ok(());
    }
    // One thread: processes die with the one that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut faults = 0;
    for seed in seed..seed.saturating_add(rounds) {
        faults += runtime.block_on(round(&plan(seed)))?;
    }
    println!("{rounds} rounds with {faults} faults: all rows exact");
    Ok(())
}

async fn round(plan: &Plan) -> Result<usize> {
    println!("{plan}");
    let folder = tempfile::tempdir()?;
    match chaos::run(plan, folder.path(), &mut |line| println!("{line}")).await {
        Ok(outcome) => {
            println!("  {outcome}\n");
            Ok(outcome.faults)
        }
        Err(error) => {
            let kept = folder.keep();
            Err(error).with_context(|| failed(plan, &kept))
        }
    }
}

fn failed(plan: &Plan, kept: &Path) -> String {
    let (seed, job_managers) = (plan.seed, plan.job.job_managers);
    let again = format!("just chaos --rounds 1 --seed {seed} --jobmanagers {job_managers}");
    format!("`{again}` failed; logs and files are in {}", kept.display())
}
