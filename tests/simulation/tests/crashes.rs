//! The leader dies before each of its steps, one run for each, with and without loss of the messages that are on their way;
//! and once more at a step some way behind. `MILLRACE_CRASH=Commits:3:120:lost` runs one of them alone and prints it.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_simulation::{Crash, Failed, Protocol, Takeover, run_protocol};

/// Runs without a crash, whose steps are the crash points.
const SEEDS: u64 = 3;

/// How far behind the first death the second one is, at most, in steps: most of an adoption.
const SECOND_MAX: usize = 24;

const PROTOCOLS: [Protocol; 5] =
    [Protocol::Checkpoints, Protocol::Splits, Protocol::Rescale, Protocol::Adaptive, Protocol::Commits];

/// What the leader of each has to do, so that it dies before and behind it.
fn steps_of(protocol: Protocol) -> &'static [&'static str] {
    const CHECKPOINT: [&str; 8] = [
        "ReserveCheckpointIds",
        "TriggerCheckpoint",
        "CheckpointAcknowledged",
        "StoreCheckpoint",
        "CheckpointStored",
        "PersistCheckpoint",
        "decide Pointer",
        "NotifyCheckpointCompleted",
    ];
    match protocol {
        Protocol::Checkpoints | Protocol::Commits => &CHECKPOINT,
        Protocol::Splits => &["EnumerateSplits", "SplitsEnumerated", "SplitRequested", "AssignSplits"],
        Protocol::Adaptive => &["PersistAttempts", "decide Attempts", "RequestSlots", "SlotsOffered", "Deploy"],
        Protocol::Rescale => &["SavepointRequested", "SavepointEnded", "PersistStatus", "decide Status", "JobEnded"],
    }
}

/// One run.
#[derive(Debug, Clone)]
struct Death {
    protocol: Protocol,
    seed: u64,
    crashes: Vec<Crash>,
    name: String,
}

fn deaths() -> Vec<Death> {
    let mut deaths = Vec::new();
    for protocol in PROTOCOLS {
        for seed in 0..SEEDS {
            let steps = run_protocol(protocol, seed, &[], false).unwrap_or_else(|failed| panic!("{failed:?}")).steps;
            for expected in steps_of(protocol) {
                assert!(steps.iter().any(|step| step == expected), "{protocol:?} {seed}: no {expected} in {steps:?}");
            }
            for (step, name) in steps.into_iter().enumerate() {
                for lost in [false, true] {
                    let second = Crash { step: step + 1 + step % SECOND_MAX, lost };
                    let first = Crash { step, lost };
                    let death = |crashes| Death { protocol, seed, crashes, name: name.clone() };
                    deaths.push(death(vec![first]));
                    deaths.push(death(vec![first, second]));
                }
            }
        }
    }
    deaths
}

fn replay(named: &str) {
    let mut parts = named.split(':');
    let mut part = || parts.next().unwrap_or_default();
    let (name, seed, step) = (part(), part().parse().unwrap(), part().parse().unwrap());
    let (lost, second) = (part() == "lost", part());
    let protocol = *PROTOCOLS.iter().find(|protocol| format!("{protocol:?}") == name).unwrap();
    let second = second.parse().map(|step| Crash { step, lost });
    let crashes: Vec<_> = [Ok(Crash { step, lost }), second].into_iter().flatten().collect();
    match run_protocol(protocol, seed, &crashes, true) {
        Ok(ran) => println!("{named}: takeovers {:?}, and all holds", ran.takeovers),
        Err(failed) => {
            failed.trace.iter().for_each(|line| println!("{line}"));
            panic!("MILLRACE_CRASH={named}: {}", failed.what);
        }
    }
}

fn name_of(death: &Death) -> String {
    let Death { protocol, seed, crashes, name } = death;
    let lost = if crashes[0].lost { "lost" } else { "kept" };
    let second = crashes.get(1).map_or_else(String::new, |second| format!(":{}", second.step));
    format!("MILLRACE_CRASH={protocol:?}:{seed}:{}:{lost}{second} ({name})", crashes[0].step)
}

#[test]
fn whatever_step_the_leader_dies_at_the_output_stays_exact() {
    if let Ok(named) = std::env::var("MILLRACE_CRASH") {
        return replay(&named);
    }
    let deaths = deaths();
    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<(String, Failed)>> = Mutex::default();
    let takeovers: Mutex<BTreeMap<(Protocol, Takeover), u64>> = Mutex::default();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(death) = deaths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run_protocol(death.protocol, death.seed, &death.crashes, false) {
                        Ok(ran) => {
                            let mut takeovers = takeovers.lock().unwrap();
                            for how in ran.takeovers {
                                *takeovers.entry((death.protocol, how)).or_default() += 1;
                            }
                        }
                        Err(failed) => failures.lock().unwrap().push((name_of(death), failed)),
                    }
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let (mut failures, takeovers) = (failures.into_inner().unwrap(), takeovers.into_inner().unwrap());
    println!("{} deaths, {} failed, takeovers: {takeovers:?}", deaths.len(), failures.len());
    failures.sort_by(|(one, _), (other, _)| one.cmp(other));
    failures.dedup_by_key(|(_, failed)| failed.what.chars().filter(|char| !char.is_ascii_digit()).collect::<String>());
    failures.iter().for_each(|(name, failed)| println!("{name}: {}", failed.what));
    assert!(failures.is_empty(), "run one of them alone with MILLRACE_CRASH");
    for protocol in PROTOCOLS {
        assert!(takeovers.contains_key(&(protocol, Ok(()))), "no leader of {protocol:?} was followed by an adoption");
    }
}
