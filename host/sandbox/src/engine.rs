//! The engine: one per process, with one configuration for what compiles and what runs.
//!
//! Invariants:
//! - Code generation is set up in [`base_config`] alone, so that what the compile child writes fits this process.
//! - The component model's own concurrency is off: a call is three times cheaper without it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::limiter::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};

/// What a guest's own frames may take of the stack, in bytes.
const GUEST_STACK_BYTES: usize = 1024 * 1024;
/// The whole stack of a call: the guest's frames and behind them the host's functions.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// The most frames that are read of a guest's stack, the innermost ones.
const FRAMES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);
/// Core instances of a usual component: toolchains make its module, an adapter and two for wiring.
const CORE_INSTANCES_PER_INSTANCE: u32 = 8;
/// Memories of a usual component.
const MEMORIES_PER_INSTANCE: u32 = 2;
/// Tables of a usual component.
const TABLES_PER_INSTANCE: u32 = 3;
/// The elements that a table may have, interpreters' tables of functions included.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// The size of a linear memory's reservation: all that 32 bits address.
const MEMORY_RESERVATION_BYTES: usize = 1 << 32;
/// The host's own record of a core instance and of a component instance, in bytes.
const INSTANCE_RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What decides on the code that is generated, in the compile child and in the process that runs it alike.
fn base_config() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        // Names come from the module's name section. Line numbers would have the host parse the guest's debugging
        // information at the moment of a trap, outside of every limit.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(FRAMES_MAX));
    config
}

/// The engine of the compile child. It allocates on demand: a limit on address space and the reservations of the
/// pool exclude each other.
pub(crate) fn compile_engine() -> wasmtime::Result<Engine> {
    Engine::new(&base_config())
}

/// The engine that runs guests, with room for so many instances.
pub(crate) fn run_engine(instances_max: u32) -> wasmtime::Result<Engine> {
    let times = |factor: u32| instances_max.saturating_mul(factor).max(CORE_INSTANCES_MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(times(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(times(MEMORIES_PER_INSTANCE))
        .total_tables(times(TABLES_PER_INSTANCE))
        .total_stacks(instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .max_core_instance_size(INSTANCE_RECORD_BYTES_MAX)
        .max_component_instance_size(INSTANCE_RECORD_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(MEMORY_RESERVATION_BYTES);
    let mut config = base_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Names the configuration that code was compiled for: code of another one does not load.
pub(crate) fn compatibility(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_the_child_compiles_fits_what_runs_it() {
        assert_eq!(compatibility(&compile_engine().unwrap()), compatibility(&run_engine(3).unwrap()));
    }
}
