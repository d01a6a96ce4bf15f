//! What a TaskManager has at the moment: for its heartbeats, and for whoever holds its handle.

use std::collections::BTreeMap;

use millrace_network::{DataPlane, Exchange};
use millrace_sandbox::{ProcessLoad, Sandbox, process_use};
use millrace_storage::{LocalCopies, LocalFigures};
use millrace_types::{BATCH_BYTES, LogTail};

use crate::inquiry::LiveTasks;
use crate::log::TaskLogs;
use crate::stale::StaleCounts;

/// What a TaskManager has at the moment, and what it has dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskManagerFigures {
    /// Tasks that run or are being cleaned up.
    pub tasks: usize,
    /// Instances of guests in the process's sandbox.
    pub instances: u64,
    /// Components that are compiled and kept.
    pub components: u64,
    /// How often a component was compiled.
    pub compilations: u64,
    /// Channels between tasks.
    pub channels: usize,
    /// Channels that wait for one of their ends.
    pub waiting_channels: usize,
    /// Connections with other TaskManagers, in both directions, those included that are about to begin.
    pub connections: usize,
    /// Connections, frames and channels of other TaskManagers that were refused, by reason.
    pub refused_frames: BTreeMap<&'static str, u64>,
    /// Messages that were dropped, by reason.
    pub stale: BTreeMap<&'static str, u64>,
    /// Copies of state on the process's own disks.
    pub local_state: LocalFigures,
    /// Lines of tasks' logs that were dropped because the disk was too slow.
    pub log_lines_dropped: u64,
}

/// Where the figures are read.
#[derive(Clone)]
pub(crate) struct Gauges {
    pub logs: TaskLogs,
    pub process_log: LogTail,
    pub exchange: Exchange,
    pub data: Option<DataPlane>,
    pub sandbox: Sandbox,
    pub local_state: Option<LocalCopies>,
    pub stale: StaleCounts,
    pub tasks: LiveTasks,
    pub load: ProcessLoad,
}

impl Gauges {
    pub(crate) fn figures(&self) -> TaskManagerFigures {
        let data = self.data.as_ref().map(DataPlane::figures).unwrap_or_default();
        TaskManagerFigures {
            tasks: self.tasks.count(),
            instances: self.sandbox.instances_in_use(),
            components: self.sandbox.components_ready(),
            compilations: self.sandbox.compilations(),
            channels: self.exchange.budget().live_channels(),
            waiting_channels: self.exchange.waiting_channels(),
            connections: data.connections + data.half_open,
            refused_frames: data.refused,
            stale: self.stale.by_name(),
            local_state: self.local_state.as_ref().map(LocalCopies::figures).unwrap_or_default(),
            log_lines_dropped: self.logs.lines_dropped(),
        }
    }

    /// The figures under the names that REST shows: Flink's where it has one, though there is no JVM and no Netty.
    pub(crate) fn metrics(&self) -> BTreeMap<String, u64> {
        let figures = self.figures();
        let budget = self.exchange.budget();
        let (total, free) = (budget.total_bytes() as u64, budget.free_bytes() as u64);
        let (process, faults) = (process_use(), self.sandbox.faults());
        let (memory_bytes, _) = crate::machine::memory_bytes();
        let segments = |bytes: u64| bytes / u64::from(BATCH_BYTES);
        let named = [
            ("Status.Shuffle.Netty.TotalMemory", total),
            ("Status.Shuffle.Netty.AvailableMemory", free),
            ("Status.Shuffle.Netty.UsedMemory", total.saturating_sub(free)),
            ("Status.Shuffle.Netty.TotalMemorySegments", segments(total)),
            ("Status.Shuffle.Netty.AvailableMemorySegments", segments(free)),
            ("Status.Shuffle.Netty.UsedMemorySegments", segments(total.saturating_sub(free))),
            ("Status.JVM.CPU.Load", self.load.millionths(process.cpu_ns)),
            ("Status.JVM.CPU.Time", process.cpu_ns),
            ("Status.JVM.Memory.Heap.Used", process.resident_bytes),
            ("Status.JVM.Memory.Heap.Committed", process.resident_bytes),
            ("Status.JVM.Memory.Heap.Max", memory_bytes),
            ("Status.JVM.Threads.Count", process.threads),
            ("Status.JVM.FileDescriptor.Open", process.open_files),
            ("Status.JVM.FileDescriptor.Max", process.open_files_max),
            ("sandbox.traps", faults.traps),
            ("sandbox.deadlinesExceeded", faults.deadlines_exceeded),
            ("Status.Millrace.Tasks", figures.tasks as u64),
            ("Status.Millrace.Instances", figures.instances),
            ("Status.Millrace.Components", figures.components),
            ("Status.Millrace.Compilations", figures.compilations),
            ("Status.Millrace.Channels", figures.channels as u64),
            ("Status.Millrace.WaitingChannels", figures.waiting_channels as u64),
            ("Status.Millrace.Connections", figures.connections as u64),
            ("Status.Millrace.RefusedFrames", figures.refused_frames.values().sum()),
            ("Status.Millrace.StaleMessages", figures.stale.values().sum()),
            ("Status.Millrace.LocalState.Copies", figures.local_state.copies),
            ("Status.Millrace.LocalState.Bytes", figures.local_state.bytes),
            ("Status.Millrace.LocalState.RestoredLocalBytes", figures.local_state.restored_local_bytes),
            ("Status.Millrace.LocalState.RestoredRemoteBytes", figures.local_state.restored_remote_bytes),
            ("Status.Millrace.LogLinesDropped", figures.log_lines_dropped),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
