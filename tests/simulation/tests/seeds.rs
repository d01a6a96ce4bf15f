//! Runs seeds. `MILLRACE_SEED=7 cargo test --release -p millrace-simulation -- --nocapture` runs one of them alone and
//! prints what happens; `MILLRACE_SEEDS=100000` runs more, and `MILLRACE_SEEDS_FROM=...` others.
#![allow(clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_simulation::{Doubt, Takeover, run};

/// How many seeds run where nothing else is said.
const SEEDS: u64 = 12_000;

/// How jobs are taken over, each in some of the seeds: all but the loss of a slot whose TaskManager is there.
const HAPPENS: [Takeover; 13] = [
    Ok(()),
    Err(Doubt::Failed),
    Err(Doubt::Canceled),
    Err(Doubt::Behind),
    Err(Doubt::Drained),
    Err(Doubt::OtherCode),
    Err(Doubt::TaskManagerLost),
    Err(Doubt::NeverDeployed),
    Err(Doubt::Crashed),
    Err(Doubt::GaveUp),
    Err(Doubt::SlotFreed),
    Err(Doubt::Late),
    Err(Doubt::SplitsUnlisted),
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

#[test]
fn whatever_breaks_no_record_is_lost_or_doubled_and_the_job_ends() {
    if let Some(seed) = number("MILLRACE_SEED") {
        match run(seed, true) {
            Ok(ran) => println!("seed {seed}: {} events, takeovers {:?}, and all holds", ran.events, ran.takeovers),
            Err(failed) => {
                failed.trace.iter().for_each(|line| println!("{line}"));
                panic!("MILLRACE_SEED={seed}: {}", failed.what);
            }
        }
        return;
    }
    let (from, seeds) = (number("MILLRACE_SEEDS_FROM").unwrap_or(0), number("MILLRACE_SEEDS").unwrap_or(SEEDS));
    let (next, events) = (AtomicU64::new(from), AtomicU64::new(0));
    let takeovers: Mutex<BTreeMap<Takeover, u64>> = Mutex::default();
    // By what happened, without numbers: the seeds.
    let failures: Mutex<BTreeMap<String, Vec<(u64, String)>>> = Mutex::default();
    let hook = std::panic::take_hook();
    // Each failure is told below, with the seed that replays it.
    std::panic::set_hook(Box::new(|_| {}));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    match run(seed, false) {
                        Ok(ran) => {
                            events.fetch_add(ran.events, Ordering::Relaxed);
                            let mut takeovers = takeovers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            ran.takeovers.into_iter().for_each(|how| *takeovers.entry(how).or_default() += 1);
                        }
                        Err(failed) => {
                            let kind = failed.what.chars().filter(|char| !char.is_ascii_digit()).take(60).collect();
                            let mut failures = failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            failures.entry(kind).or_default().push((seed, failed.what));
                        }
                    }
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let failures = failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let failed: usize = failures.values().map(Vec::len).sum();
    println!("{seeds} seeds, {} events, {failed} failed", events.into_inner());
    for (seed, what) in failures.values().filter_map(|seeds| seeds.iter().min()) {
        println!("MILLRACE_SEED={seed}: {what}");
    }
    let takeovers = takeovers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("takeovers: {takeovers:?}");
    assert_eq!(failed, 0, "run one of them alone with MILLRACE_SEED");
    if seeds >= SEEDS {
        let never: Vec<_> = HAPPENS.iter().filter(|how| !takeovers.contains_key(how)).collect();
        assert!(never.is_empty(), "{never:?} happens in none of the seeds");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..20 {
        let (one, other) = (run(seed, false).ok(), run(seed, true).ok());
        assert_eq!(one, other, "seed {seed}");
    }
}
