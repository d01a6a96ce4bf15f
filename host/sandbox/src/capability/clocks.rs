//! `wasi:clocks`: the real clocks for operators, standing ones for the builder.

use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use super::Capability;
use crate::store::{Phase, SharedLog, StoreData};

/// What a builder sees on the wall: 2000-01-01T00:00:00Z, late enough for code that subtracts from it.
const BUILD_TIME: Duration = Duration::from_secs(946_684_800);

pub(super) struct Clocks;

struct StandingClock;

impl HostWallClock for StandingClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        BUILD_TIME
    }
}

impl HostMonotonicClock for StandingClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

impl Capability for Clocks {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        wall_clock::add_to_linker::<_, WasiClocks>(linker, StoreData::clocks)?;
        monotonic_clock::add_to_linker::<_, WasiClocks>(linker, StoreData::clocks)
    }

    fn prepare(&self, phase: Phase, _log: &SharedLog, wasi: &mut WasiCtxBuilder) {
        if phase == Phase::Build {
            wasi.wall_clock(StandingClock).monotonic_clock(StandingClock);
        }
    }
}
