//! `millrace:app/host`: what operators ask of their task. Checks whether the call may be made now and what it hands
//! over, and passes it on to [`crate::OperatorHost`].

use bytes::Bytes;
use millrace_types::NodeId;
use wasmtime::component::{HasSelf, Linker};

use super::Capability;
use crate::bindings::millrace::app::{graph, host};
use crate::error::Stop;
use crate::host::{Clock, HostError, LogLevel, LogSource, OperatorHost};
use crate::log_gate::LINE_BYTES_MAX;
use crate::store::{Phase, StoreData};

pub(super) struct MillraceHost;

impl Capability for MillraceHost {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        graph::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
        host::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)
    }
}

impl StoreData {
    /// The task, if the function may be called now.
    fn task(&mut self, function: &'static str) -> wasmtime::Result<&mut dyn OperatorHost> {
        match (self.phase, &mut self.host) {
            (Phase::Operate, Some(host)) => Ok(host.as_mut()),
            _ => Err(Stop::NotWhileBuilding { function }.into()),
        }
    }

    /// Counts what the guest hands over in this call.
    fn admit_output(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.call.output_bytes = self.call.output_bytes.saturating_add(bytes as u64);
        if self.call.output_bytes > self.output_bytes_max {
            let (bytes, limit) = (self.call.output_bytes, self.output_bytes_max);
            return Err(Stop::Output { bytes, limit }.into());
        }
        Ok(())
    }

    /// Refuses functions that emit while the guest hands over its state.
    fn admit_emit(&self, function: &'static str) -> wasmtime::Result<()> {
        if self.call.name == "flush" { Err(Stop::NotWhileFlushing { function }.into()) } else { Ok(()) }
    }
}

/// Names the node or the state that a refused call was about.
fn refused(function: &'static str, error: HostError) -> wasmtime::Error {
    Stop::Host { function, error }.into()
}

fn clock(clock: host::Clock) -> Clock {
    match clock {
        host::Clock::EventTime => Clock::EventTime,
        host::Clock::ProcessingTime => Clock::ProcessingTime,
    }
}

impl graph::Host for StoreData {}

impl host::Host for StoreData {
    async fn emit(&mut self, node: u32, port: u32, batch: Vec<u8>) -> wasmtime::Result<()> {
        self.task("emit")?;
        self.admit_emit("emit")?;
        self.admit_output(batch.len())?;
        self.drain_log();
        let meter = self.meter.clone();
        let task = self.task("emit")?;
        meter.mark_emit(true);
        let emitted = task.emit(NodeId(node), port, Bytes::from(batch)).await;
        meter.mark_emit(false);
        emitted.map_err(|error| refused("emit", error))
    }

    fn emit_watermark(&mut self, node: u32, timestamp: i64) -> wasmtime::Result<()> {
        self.admit_emit("emit-watermark")?;
        let task = self.task("emit-watermark")?;
        task.emit_watermark(NodeId(node), timestamp).map_err(|error| refused("emit-watermark", error))
    }

    fn get(&mut self, state: u32, keys: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.task("get")?.get(state, &keys).map_err(|error| refused("get", error))
    }

    fn scan(
        &mut self,
        state: u32,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        max_bytes: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        let task = self.task("scan")?;
        task.scan(state, &prefix, after.as_deref(), max_bytes).map_err(|error| refused("scan", error))
    }

    fn put(&mut self, state: u32, changes: Vec<u8>) -> wasmtime::Result<()> {
        self.task("put")?;
        self.admit_output(changes.len())?;
        self.task("put")?.put(state, &changes).map_err(|error| refused("put", error))
    }

    fn set_timers(&mut self, node: u32, timers_clock: host::Clock, changes: Vec<u8>) -> wasmtime::Result<()> {
        self.task("set-timers")?;
        self.admit_output(changes.len())?;
        let task = self.task("set-timers")?;
        task.set_timers(NodeId(node), clock(timers_clock), &changes).map_err(|error| refused("set-timers", error))
    }

    fn now_ms(&mut self) -> wasmtime::Result<i64> {
        Ok(self.task("now-ms")?.now_ms())
    }

    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            host::Level::Error => LogLevel::Error,
            host::Level::Warn => LogLevel::Warn,
            host::Level::Info => LogLevel::Info,
            host::Level::Debug => LogLevel::Debug,
        };
        self.log.with(|gate, now| gate.line(now, level, LogSource::Log, &message));
        self.drain_log();
        Ok(())
    }

    fn report_panic(&mut self, mut message: String) -> wasmtime::Result<()> {
        message.truncate(message.floor_char_boundary(LINE_BYTES_MAX));
        self.panic = Some(message);
        Ok(())
    }
}
