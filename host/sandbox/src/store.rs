//! What an instance's store holds: its host, its WASI, its accounts.
//!
//! Invariants:
//! - One store, one instance, one tenant: a store is never used again for another instance.
//! - While [`Phase::Build`] lasts, the guest sees constant clocks and random numbers and none of the operators'
//!   functions; [`StoreData::begin_operating`] replaces all of WASI's state before an operator runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use millrace_types::{NodeId, SandboxLimits};
use wasmtime::component::ResourceTable;
use wasmtime::{AsContext, Engine, Store, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::capability;
use crate::error::Stop;
use crate::host::OperatorHost;
use crate::limiter::Limiter;
use crate::log_gate::{LogGate, LogLine};
use crate::meter::Meter;
use crate::trap;

/// The most that a guest may hand to the host in one call of a function, or return from one, in bytes.
const HOST_CALL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most handles of resources that an instance may hold.
const RESOURCES_MAX: usize = 10_000;

/// What an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its builder runs.
    Build,
    /// Its operators run.
    Operate,
}

/// The export that is being called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub name: &'static str,
    pub node: Option<NodeId>,
    /// What the guest handed over in this call, in bytes.
    pub output_bytes: u64,
}

/// The lines that an instance writes, shared between its functions and its standard streams.
#[derive(Clone)]
pub(crate) struct SharedLog {
    gate: Arc<Mutex<LogGate>>,
    began: Instant,
}

impl SharedLog {
    fn new(limits: &SandboxLimits) -> Self {
        Self { gate: Arc::new(Mutex::new(LogGate::new(limits.log_lines_per_second_max))), began: Instant::now() }
    }

    /// Uses the gate; tells it the time.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut LogGate, std::time::Duration) -> R) -> R {
        f(&mut self.lock(), self.began.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, LogGate> {
        // A panic inside of the gate leaves at worst a line half written.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<LogLine> {
        self.lock().take()
    }
}

/// The data of a store.
pub(crate) struct StoreData {
    pub wasi: WasiCtx,
    pub resources: ResourceTable,
    pub limiter: Limiter,
    pub meter: Arc<Meter>,
    pub log: SharedLog,
    /// None: the builder's own instance, whose lines go to the process's log.
    pub host: Option<Box<dyn OperatorHost>>,
    pub phase: Phase,
    pub call: Call,
    pub output_bytes_max: u64,
    /// What the guest said before it trapped.
    pub panic: Option<String>,
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl StoreData {
    /// Gives the guest the real clocks and random numbers, and the operators' functions.
    pub(crate) fn begin_operating(&mut self) {
        self.phase = Phase::Operate;
        self.wasi = capability::wasi_context(Phase::Operate, &self.log);
    }

    /// Hands finished lines to the task's log.
    pub(crate) fn drain_log(&mut self) {
        for line in self.log.take() {
            match &mut self.host {
                Some(host) => host.log(line.level, &line.text, line.source),
                None => tracing::info!(from = "builder", "{}", line.text),
            }
        }
    }

    /// Tells the task what the guest does.
    fn sampled(&mut self, functions: Vec<String>) {
        let Call { name, node, .. } = self.call;
        if let Some(host) = &mut self.host {
            host.sampled(name, node, functions);
        }
    }

    /// Ends unfinished lines and hands over what is left.
    pub(crate) fn finish_log(&mut self) {
        self.log.with(|gate, now| gate.finish(now));
        self.drain_log();
    }
}

/// A store for one instance.
pub(crate) fn new_store(
    engine: &Engine,
    limits: &SandboxLimits,
    host: Option<Box<dyn OperatorHost>>,
) -> Store<StoreData> {
    let log = SharedLog::new(limits);
    let mut resources = ResourceTable::new();
    resources.set_max_capacity(RESOURCES_MAX);
    let data = StoreData {
        wasi: capability::wasi_context(Phase::Build, &log),
        resources,
        limiter: Limiter::new(limits),
        meter: Arc::default(),
        log,
        host,
        phase: Phase::Build,
        call: Call { name: "instantiate", node: None, output_bytes: 0 },
        output_bytes_max: limits.output_bytes_per_call_max,
        panic: None,
    };
    let mut store = Store::new(engine, data);
    store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
    store.set_max_component_handles(RESOURCES_MAX);
    store.limiter(|data| &mut data.limiter);
    store.epoch_deadline_callback(|mut context| {
        let data = context.data_mut();
        data.drain_log();
        if data.meter.is_exhausted() {
            return Err(Stop::Deadline { budget: data.meter.budget() }.into());
        }
        if data.host.as_ref().is_some_and(|host| host.wants_sample()) {
            let mut functions = trap::functions(&WasmBacktrace::force_capture(context.as_context()));
            functions.reverse();
            context.data_mut().sampled(functions);
        }
        context.data_mut().meter.mark_yield();
        // Tokio's own yield lets the runtime look at its sockets and timers before this task goes on.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}
