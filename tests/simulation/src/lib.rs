//! Deterministic simulation of a cluster around the production cores. What it does, what it checks and which bugs it was
//! seen to find stands in this crate's README.
//!
//! `JobCore`, `ResourceCore`, `MetadataState`, and of `task-core` `BarrierAligner`, `WatermarkValve`, `ChainProgress` and
//! `TimerService` run as they are; so do the TaskManager's slot table and split queue, which are pure and stand in a crate
//! with IO. Around them are a network, a blob store, an output and tasks that are small interpreters.
//!
//! Invariants:
//! - A seed decides everything: no clock, no threads, no iteration over hash maps.
//! - What must not happen panics, here as in the cores' own assertions; [`run`] tells it with its seed.
//! - Once nothing breaks any more the job ends within a bounded time: a job that stands still fails its seed.

mod crashes;
mod graph;
mod ledger;
mod oracle;
mod output;
mod plane;
mod rng;
mod rows;
mod scenario;
#[path = "../../../host/taskmanager/src/slots.rs"]
#[allow(dead_code, unreachable_pub, reason = "a file of the TaskManager, as it is")]
mod slots;
#[path = "../../../host/taskmanager/src/splits.rs"]
#[allow(dead_code, reason = "a file of the TaskManager, as it is")]
mod splits;
#[path = "../../../host/taskmanager/src/stale.rs"]
#[allow(dead_code, reason = "a file of the TaskManager, as it is")]
mod stale;
mod store;
mod task;
mod task_manager;
mod trace;
#[path = "../../../host/taskmanager/src/witness.rs"]
#[allow(dead_code, unreachable_pub, reason = "a file of the TaskManager, as it is")]
mod witness;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use crashes::Crash;
pub use oracle::{Doubt, Takeover};
use rng::Rng;
pub use scenario::Protocol;
use scenario::Scenario;
use trace::Trace;
use world::World;

/// A seed under which something happened that must not.
#[derive(Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What happened.
    pub what: String,
    /// What led to it, the newest last; empty unless it was asked for.
    pub trace: Vec<String>,
}

/// What a seed came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The number of events.
    pub events: u64,
    /// How jobs were taken over, by one leader after another.
    pub takeovers: Vec<Takeover>,
    /// What the leaders did, if that was to be named.
    pub steps: Vec<String>,
}

/// Runs what a seed decides, with a trace of it or without.
///
/// # Errors
/// An invariant does not hold, or the job does not come to its end.
pub fn run(seed: u64, traced: bool) -> Result<Ran, Failed> {
    attempt(seed, traced, |rng, trace| World::new(Scenario::new(rng), rng.clone(), trace))
}

/// Runs a job under which nothing breaks but its leader, at chosen steps.
///
/// # Errors
/// As [`run`].
pub fn run_protocol(protocol: Protocol, seed: u64, crashes: &[Crash], traced: bool) -> Result<Ran, Failed> {
    attempt(seed, traced, |rng, trace| {
        let mut world = World::new(Scenario::of(protocol, rng), rng.clone(), trace);
        world.plan(crashes);
        world
    })
}

fn attempt(seed: u64, traced: bool, world: impl FnOnce(&mut Rng, Trace) -> World) -> Result<Ran, Failed> {
    let trace = if traced { Trace::on() } else { Trace::default() };
    let inner = trace.clone();
    inner.line(|| format!("seed {seed}"));
    let outcome = catch_unwind(AssertUnwindSafe(move || world(&mut Rng::new(seed), inner).run()));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let what = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed { seed, what: what.unwrap_or_else(|| "a panic".to_owned()), trace: trace.lines() }
    })
}
