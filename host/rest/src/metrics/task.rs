//! The metrics of a task and of its operators, in Flink's names; what only a sandbox has begins with `sandbox.`.

use millrace_graph::{JobGraph, JobVertex, NodeKind};
use millrace_job_core::SubtaskView;
use millrace_jobmanager::input_watermark;
use millrace_protocol::{Counts, OperatorCounter, OperatorDetail, TaskCounter, TaskDetail, TaskFigures, TaskGauge};
use millrace_types::{AttemptId, FailureKind, NodeId};

use super::value::{Metrics, Value, scope_name};

/// What is looked up of a subtask.
pub(crate) struct Subject<'a> {
    pub graph: &'a JobGraph,
    /// The vertex, as an index.
    pub vertex: usize,
    pub subtask: &'a SubtaskView,
    pub attempt: AttemptId,
    /// What the task said last, if it runs.
    pub detail: Option<&'a TaskDetail>,
}

fn put(metrics: &mut Metrics, name: impl Into<String>, value: Value) {
    metrics.insert(name.into(), value);
}

/// A number that only grows, and by how much in a second.
fn put_counter(metrics: &mut Metrics, name: &str, counts: &Counts, counter: impl Into<usize>) {
    let counter = counter.into();
    put(metrics, name, Value::count(counts.total(counter)));
    put(metrics, format!("{name}PerSecond"), Value::Real(counts.per_second(counter)));
}

impl Subject<'_> {
    fn of_vertex(&self) -> &JobVertex {
        &self.graph.vertices[self.vertex]
    }

    /// The task's metrics. One that has ended has what it did; one that never ran has none.
    pub(crate) fn task_metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        match self.detail {
            Some(detail) => self.put_task(&mut metrics, detail),
            None if self.subtask.figures != TaskFigures::default() => {
                self.put_task(&mut metrics, &ended(self.attempt, &self.subtask.figures));
            }
            None => {}
        }
        metrics
    }

    fn put_task(&self, metrics: &mut Metrics, detail: &TaskDetail) {
        use TaskCounter as C;
        let counters = [
            ("numRecordsIn", C::RecordsIn),
            ("numRecordsOut", C::RecordsOut),
            ("numBytesIn", C::BytesIn),
            ("numBytesOut", C::BytesOut),
            ("numBuffersOut", C::BuffersOut),
            ("numBuffersInLocal", C::BuffersInLocal),
            ("numBuffersInRemote", C::BuffersInRemote),
            ("numBytesInLocal", C::BytesInLocal),
            ("numBytesInRemote", C::BytesInRemote),
            ("Shuffle.Netty.Input.numBuffersInLocal", C::BuffersInLocal),
            ("Shuffle.Netty.Input.numBuffersInRemote", C::BuffersInRemote),
            ("Shuffle.Netty.Input.numBytesInLocal", C::BytesInLocal),
            ("Shuffle.Netty.Input.numBytesInRemote", C::BytesInRemote),
            ("numFiredTimers", C::FiredTimers),
        ];
        for (name, counter) in counters {
            put_counter(metrics, name, &detail.counts, counter);
        }
        self.put_time(metrics, &detail.counts);
        put(metrics, "isBackPressured", Value::Flag(detail.is_backpressured));
        self.put_queues(metrics, detail);
        let gauge = |gauge| Value::count(detail.gauge(gauge));
        put(metrics, "checkpointStartDelayNanos", gauge(TaskGauge::StartDelayNs));
        if self.graph.edges.iter().any(|edge| edge.target_vertex == self.vertex) {
            put(metrics, "checkpointAlignmentTime", gauge(TaskGauge::AlignmentNs));
        }
        if let Some(watermark) = input_watermark(self.graph, self.vertex, detail) {
            put(metrics, "currentInputWatermark", Value::Whole(watermark));
        }
        if self.of_vertex().segments.iter().any(|segment| segment.component.is_some()) {
            self.put_sandbox(metrics, detail);
        }
    }

    fn put_time(&self, metrics: &mut Metrics, counts: &Counts) {
        // Two clocks that are read one after the other may differ by a little more than there is.
        let rate = |counter| counts.per_second(counter).min(1_000.0);
        let whole = |counter| Value::Whole(rate(counter).round() as i64);
        put(metrics, "busyTimeMsPerSecond", Value::Real(rate(TaskCounter::BusyMs)));
        put(metrics, "idleTimeMsPerSecond", whole(TaskCounter::IdleMs));
        put(metrics, "backPressuredTimeMsPerSecond", whole(TaskCounter::BackpressuredMs));
        // A task waits for buffers between two batches and never within one, which is what Flink calls soft.
        put(metrics, "softBackPressuredTimeMsPerSecond", whole(TaskCounter::BackpressuredMs));
        put(metrics, "hardBackPressuredTimeMsPerSecond", Value::Whole(0));
        put(metrics, "accumulateBusyTimeMs", Value::Real(counts.total(TaskCounter::BusyMs) as f64));
        put(metrics, "accumulateIdleTimeMs", Value::count(counts.total(TaskCounter::IdleMs)));
        put(metrics, "accumulateBackPressuredTimeMs", Value::count(counts.total(TaskCounter::BackpressuredMs)));
    }

    fn put_queues(&self, metrics: &mut Metrics, detail: &TaskDetail) {
        let (queued, queued_max) = (detail.gauge(TaskGauge::InputQueue), detail.gauge(TaskGauge::InputQueueMax));
        let usage = if queued_max == 0 { 0.0 } else { (queued as f64 / queued_max as f64).min(1.0) };
        put(metrics, "Shuffle.Netty.Input.Buffers.inputQueueLength", Value::count(queued));
        put(metrics, "Shuffle.Netty.Input.Buffers.inPoolUsage", Value::Real(usage));
        let waiting = detail.gauge(TaskGauge::OutputQueue);
        put(metrics, "Shuffle.Netty.Output.Buffers.outputQueueLength", Value::count(waiting));
        let usage = f64::from(u8::from(detail.is_backpressured));
        put(metrics, "Shuffle.Netty.Output.Buffers.outPoolUsage", Value::Real(usage));
    }

    fn put_sandbox(&self, metrics: &mut Metrics, detail: &TaskDetail) {
        let sum = |of: fn(&OperatorDetail) -> u64| Value::count(detail.operators.iter().map(of).sum());
        let cpu_ns: f64 =
            detail.operators.iter().map(|operator| operator.counts.per_second(OperatorCounter::CpuNs)).sum();
        put(metrics, "sandbox.cpuTimeMs", sum(|operator| operator.counts.total(OperatorCounter::CpuNs) / 1_000_000));
        put(metrics, "sandbox.cpuTimeMsPerSecond", Value::Real(cpu_ns / 1_000_000.0));
        put(metrics, "sandbox.calls", sum(|operator| operator.counts.total(OperatorCounter::Calls)));
        put(metrics, "sandbox.flushBytes", sum(|operator| operator.counts.total(OperatorCounter::FlushBytes)));
        put(metrics, "sandbox.stateReads", sum(|operator| operator.counts.total(OperatorCounter::StateReads)));
        put(metrics, "sandbox.linearMemory", sum(|operator| operator.memory_bytes));
        let gauges = [
            ("sandbox.compileTimeMs", TaskGauge::CompileMs),
            ("sandbox.instantiateTimeMs", TaskGauge::InstantiateMs),
            ("sandbox.cacheHits", TaskGauge::CacheHits),
            ("sandbox.cacheMisses", TaskGauge::CacheMisses),
        ];
        for (name, gauge) in gauges {
            put(metrics, name, Value::count(detail.gauge(gauge)));
        }
        let [traps, deadlines] = faults(self.subtask);
        put(metrics, "sandbox.traps", Value::count(traps));
        put(metrics, "sandbox.deadlinesExceeded", Value::count(deadlines));
    }

    /// The metrics of each operator that the task told of. Records that pass within an instance are seen by nobody: of
    /// fused operators the first has what comes in, and the last what goes out.
    pub(crate) fn operator_metrics(&self) -> Vec<(NodeId, &str, Metrics)> {
        let Some(detail) = self.detail else { return Vec::new() };
        let vertex = self.of_vertex();
        let nodes = vertex.nodes.iter().filter_map(|(id, node)| Some((*id, node, detail.operator(*id)?)));
        let of_node = nodes.map(|(id, node, told)| {
            let mut metrics = Metrics::new();
            let is_source = matches!(node.kind, NodeKind::NativeSource(_));
            if is_source || self.is_handed_records(id) {
                put_counter(&mut metrics, "numRecordsIn", &told.counts, OperatorCounter::RecordsIn);
                put_counter(&mut metrics, "numBytesIn", &told.counts, OperatorCounter::BytesIn);
            }
            if self.hands_records_on(id) {
                put_counter(&mut metrics, "numRecordsOut", &told.counts, OperatorCounter::RecordsOut);
                put_counter(&mut metrics, "numBytesOut", &told.counts, OperatorCounter::BytesOut);
            }
            if matches!(node.kind, NodeKind::NativeSink(_)) {
                put(&mut metrics, "numRecordsSend", Value::count(told.counts.total(OperatorCounter::RecordsIn)));
                put(&mut metrics, "numBytesSend", Value::count(told.counts.total(OperatorCounter::BytesIn)));
            }
            if !node.kind.is_source() {
                put(&mut metrics, "currentInputWatermark", Value::Whole(told.input_watermark));
            }
            put(&mut metrics, "currentOutputWatermark", Value::Whole(told.output_watermark));
            if node.kind.guest_code().is_some() {
                self.put_operator_sandbox(&mut metrics, id, told);
            }
            (id, node.name.as_str(), metrics)
        });
        of_node.collect()
    }

    fn put_operator_sandbox(&self, metrics: &mut Metrics, id: NodeId, told: &OperatorDetail) {
        let total = |counter| Value::count(told.counts.total(counter));
        let cpu_ms = told.counts.total(OperatorCounter::CpuNs) / 1_000_000;
        put(metrics, "sandbox.cpuTimeMs", Value::count(cpu_ms));
        let per_second = told.counts.per_second(OperatorCounter::CpuNs) / 1_000_000.0;
        put(metrics, "sandbox.cpuTimeMsPerSecond", Value::Real(per_second));
        put(metrics, "sandbox.calls", total(OperatorCounter::Calls));
        // What is of the instance stands with its first operator.
        let is_first = |segment: &millrace_graph::Segment| segment.nodes.iter().min() == Some(&id);
        if self.of_vertex().segments.iter().any(is_first) {
            put(metrics, "sandbox.linearMemory", Value::count(told.memory_bytes));
            put(metrics, "sandbox.flushBytes", total(OperatorCounter::FlushBytes));
            put(metrics, "sandbox.stateReads", total(OperatorCounter::StateReads));
        }
    }

    fn segment_of(&self, node: NodeId) -> Option<usize> {
        self.of_vertex().segments.iter().position(|segment| segment.nodes.contains(&node))
    }

    /// Whether the host hands it records: they come from another task or another instance.
    fn is_handed_records(&self, node: NodeId) -> bool {
        let here = self.segment_of(node);
        let mut chained = self.of_vertex().chained_edges.iter().filter(|edge| edge.target == node);
        self.graph.edges.iter().any(|edge| edge.target_vertex == self.vertex && edge.target == node)
            || chained.any(|edge| self.segment_of(edge.source) != here)
    }

    /// Whether the host takes records from it.
    fn hands_records_on(&self, node: NodeId) -> bool {
        let here = self.segment_of(node);
        let mut chained = self.of_vertex().chained_edges.iter().filter(|edge| edge.source == node);
        self.graph.edges.iter().any(|edge| edge.source_vertex == self.vertex && edge.source == node)
            || chained.any(|edge| self.segment_of(edge.target) != here)
    }

    /// The task's metrics and, with their names in front, those of its operators.
    pub(crate) fn all_metrics(&self) -> Metrics {
        let mut metrics = self.task_metrics();
        for (_, name, of_operator) in self.operator_metrics() {
            let scope = scope_name(name);
            metrics.extend(of_operator.into_iter().map(|(name, value)| (format!("{scope}.{name}"), value)));
        }
        metrics
    }
}

/// What is left of a task that has ended: what it did.
fn ended(attempt: AttemptId, figures: &TaskFigures) -> TaskDetail {
    let mut totals = vec![0; TaskCounter::COUNT];
    let known = [
        (TaskCounter::RecordsIn, figures.records_in),
        (TaskCounter::RecordsOut, figures.records_out),
        (TaskCounter::BytesIn, figures.bytes_in),
        (TaskCounter::BytesOut, figures.bytes_out),
        (TaskCounter::BusyMs, figures.busy_ms),
        (TaskCounter::IdleMs, figures.idle_ms),
        (TaskCounter::BackpressuredMs, figures.backpressured_ms),
    ];
    for (counter, value) in known {
        totals[usize::from(counter)] = value;
    }
    TaskDetail {
        attempt,
        counts: Counts { totals, rates_milli: Vec::new() },
        gauges: Vec::new(),
        is_backpressured: false,
        operators: Vec::new(),
    }
}

/// How often attempts of a subtask ended by a trap, and by a deadline; of the attempts that are kept.
fn faults(subtask: &SubtaskView) -> [u64; 2] {
    let attempts = subtask.earlier.iter().map(AsRef::as_ref).chain([subtask]);
    let kinds: Vec<_> = attempts.filter_map(|attempt| attempt.failure.as_ref()).map(|failure| failure.kind).collect();
    let count = |of: &[FailureKind]| kinds.iter().filter(|kind| of.contains(kind)).count() as u64;
    [count(&[FailureKind::Trap, FailureKind::Memory]), count(&[FailureKind::Deadline])]
}
