//! What a subtask has done so far, shared between the task and whoever reports it.
//!
//! Invariant: the task adds once for a batch or a call, never for a record, and waits for nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millrace_protocol::{Counts, OperatorCounter, OperatorDetail, TaskCounter, TaskDetail, TaskFigures, TaskGauge};
use millrace_types::{AttemptId, EventTime, MIN_EVENT_TIME, NodeId};

use crate::peek::Peeks;
use crate::rates::Rates;
use crate::sampler::Sampler;
use crate::time_account::{Activity, TimeAccount};

/// The figures of one operator of a task.
#[derive(Debug)]
pub(crate) struct OperatorMetrics {
    counters: [AtomicU64; OperatorCounter::COUNT],
    memory_bytes: AtomicU64,
    input_watermark: AtomicI64,
    output_watermark: AtomicI64,
}

impl OperatorMetrics {
    fn new() -> Self {
        Self {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            memory_bytes: AtomicU64::new(0),
            input_watermark: AtomicI64::new(MIN_EVENT_TIME),
            output_watermark: AtomicI64::new(MIN_EVENT_TIME),
        }
    }

    pub(crate) fn add(&self, counter: OperatorCounter, more: u64) {
        self.counters[usize::from(counter)].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn memory(&self, bytes: u64) {
        self.memory_bytes.store(bytes, Ordering::Relaxed);
    }

    fn totals(&self) -> impl Iterator<Item = u64> {
        self.counters.iter().map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// The figures of one attempt. Records and bytes of the task count at its borders only.
#[derive(Debug)]
pub(crate) struct TaskMetrics {
    began: Instant,
    /// None before the task runs: what it takes to begin is nobody's busy time.
    time: Mutex<Option<TimeAccount>>,
    counters: [AtomicU64; TaskCounter::COUNT],
    gauges: [AtomicU64; TaskGauge::COUNT],
    operators: BTreeMap<NodeId, OperatorMetrics>,
    rates: Mutex<Rates>,
    /// Asks the task's guests what they do.
    pub sampler: Sampler,
    /// Those who look at the records that the task sends.
    pub peeks: Peeks,
}

impl TaskMetrics {
    pub(crate) fn new(operators: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            began: Instant::now(),
            time: Mutex::new(None),
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            gauges: std::array::from_fn(|_| AtomicU64::new(0)),
            operators: operators.into_iter().map(|node| (node, OperatorMetrics::new())).collect(),
            rates: Mutex::default(),
            sampler: Sampler::default(),
            peeks: Peeks::default(),
        }
    }

    /// The task is running from now on, and busy.
    pub(crate) fn begin_running(&self) {
        let account = TimeAccount::new(self.began.elapsed(), Activity::Busy);
        *self.lock_time() = Some(account);
        let now = self.began.elapsed();
        self.lock_rates().begin(now, &self.totals(now));
    }

    /// Says what the task does from now on. Returns what it did before.
    pub(crate) fn switch(&self, activity: Activity) -> Activity {
        let now = self.began.elapsed();
        self.lock_time().as_mut().map_or(Activity::Busy, |time| time.switch(now, activity))
    }

    /// What the task does; none: it does not run yet.
    pub(crate) fn activity(&self) -> Option<Activity> {
        self.lock_time().as_ref().map(TimeAccount::activity)
    }

    fn lock_time(&self) -> MutexGuard<'_, Option<TimeAccount>> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, counter: TaskCounter, more: u64) {
        self.counters[usize::from(counter)].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, gauge: TaskGauge, value: u64) {
        self.gauges[usize::from(gauge)].store(value, Ordering::Relaxed);
    }

    pub(crate) fn raise(&self, gauge: TaskGauge, more: u64) {
        self.gauges[usize::from(gauge)].fetch_add(more, Ordering::Relaxed);
    }

    /// A batch has come from another task.
    pub(crate) fn count_in(&self, records: usize, bytes: usize, is_local: bool) {
        let (buffers_of, bytes_of) = if is_local {
            (TaskCounter::BuffersInLocal, TaskCounter::BytesInLocal)
        } else {
            (TaskCounter::BuffersInRemote, TaskCounter::BytesInRemote)
        };
        self.add(TaskCounter::RecordsIn, records as u64);
        self.add(TaskCounter::BytesIn, bytes as u64);
        self.add(buffers_of, 1);
        self.add(bytes_of, bytes as u64);
    }

    /// The figures of one of the task's operators.
    pub(crate) fn operator(&self, node: NodeId) -> Option<&OperatorMetrics> {
        self.operators.get(&node)
    }

    /// An operator was handed a batch.
    pub(crate) fn operator_in(&self, node: NodeId, records: usize, bytes: usize) {
        if let Some(operator) = self.operators.get(&node) {
            operator.add(OperatorCounter::RecordsIn, records as u64);
            operator.add(OperatorCounter::BytesIn, bytes as u64);
        }
    }

    /// An operator has handed on a batch.
    pub(crate) fn operator_out(&self, node: NodeId, records: usize, bytes: usize) {
        if let Some(operator) = self.operators.get(&node) {
            operator.add(OperatorCounter::RecordsOut, records as u64);
            operator.add(OperatorCounter::BytesOut, bytes as u64);
        }
    }

    /// How far the watermarks of the operators are: what each was told, and what it let pass.
    pub(crate) fn watermarks(&self, of: impl Fn(NodeId) -> (Option<EventTime>, Option<EventTime>)) {
        for (node, operator) in &self.operators {
            let (input, output) = of(*node);
            operator.input_watermark.store(input.unwrap_or(MIN_EVENT_TIME), Ordering::Relaxed);
            operator.output_watermark.store(output.unwrap_or(MIN_EVENT_TIME), Ordering::Relaxed);
        }
    }

    fn time_ms(&self, now: Duration) -> [u64; 3] {
        let time = self.lock_time();
        let total_ms = |activity| time.as_ref().map_or(0, |time| time.total_ms(now, activity));
        [Activity::Busy, Activity::Idle, Activity::Backpressured].map(total_ms)
    }

    pub(crate) fn figures(&self) -> TaskFigures {
        let [busy_ms, idle_ms, backpressured_ms] = self.time_ms(self.began.elapsed());
        let of = |counter| self.counters[usize::from(counter)].load(Ordering::Relaxed);
        TaskFigures {
            records_in: of(TaskCounter::RecordsIn),
            bytes_in: of(TaskCounter::BytesIn),
            records_out: of(TaskCounter::RecordsOut),
            bytes_out: of(TaskCounter::BytesOut),
            busy_ms,
            idle_ms,
            backpressured_ms,
        }
    }

    /// All numbers that only grow: the task's, and behind them those of each operator.
    fn totals(&self, now: Duration) -> Vec<u64> {
        let mut totals: Vec<u64> = self.counters.iter().map(|counter| counter.load(Ordering::Relaxed)).collect();
        let of_time = [TaskCounter::BusyMs, TaskCounter::IdleMs, TaskCounter::BackpressuredMs];
        for (counter, ms) in of_time.into_iter().zip(self.time_ms(now)) {
            totals[usize::from(counter)] = ms;
        }
        totals.extend(self.operators.values().flat_map(OperatorMetrics::totals));
        totals
    }

    /// Keeps what rates are taken from. To be called about every second.
    pub(crate) fn note_rates(&self) {
        let now = self.began.elapsed();
        let totals = self.totals(now);
        self.lock_rates().note(now, &totals);
    }

    /// All there is to tell.
    pub(crate) fn detail(&self, attempt: AttemptId) -> TaskDetail {
        let now = self.began.elapsed();
        let totals = self.totals(now);
        let rates = self.lock_rates().per_second_milli(now, &totals);
        let (task_totals, mut totals) = totals.split_at(TaskCounter::COUNT);
        let (task_rates, mut rates) = rates.split_at(TaskCounter::COUNT);
        let mut operators = Vec::with_capacity(self.operators.len());
        for (node, operator) in &self.operators {
            let (of_totals, of_rates);
            (of_totals, totals) = totals.split_at(OperatorCounter::COUNT);
            (of_rates, rates) = rates.split_at(OperatorCounter::COUNT);
            operators.push(OperatorDetail {
                node: *node,
                counts: Counts { totals: of_totals.to_vec(), rates_milli: of_rates.to_vec() },
                input_watermark: operator.input_watermark.load(Ordering::Relaxed),
                output_watermark: operator.output_watermark.load(Ordering::Relaxed),
                memory_bytes: operator.memory_bytes.load(Ordering::Relaxed),
            });
        }
        TaskDetail {
            attempt,
            counts: Counts { totals: task_totals.to_vec(), rates_milli: task_rates.to_vec() },
            gauges: self.gauges.iter().map(|gauge| gauge.load(Ordering::Relaxed)).collect(),
            is_backpressured: self.activity() == Some(Activity::Backpressured),
            operators,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_types::{JobId, VertexId};

    #[test]
    fn what_was_counted_is_told_for_the_task_and_for_each_operator() {
        let metrics = TaskMetrics::new([NodeId(3), NodeId(1)]);
        metrics.begin_running();
        metrics.count_in(10, 100, true);
        metrics.count_in(1, 10, false);
        metrics.operator_in(NodeId(3), 7, 70);
        metrics.operator_out(NodeId(1), 2, 20);
        metrics.operator_out(NodeId(9), 2, 20);
        metrics.set(TaskGauge::InputQueue, 4);
        metrics.watermarks(|node| (Some(i64::from(node.0)), None));
        let (job, vertex) = (JobId::from_bytes([1; 16]), VertexId::from_bytes([2; 16]));
        let detail = metrics.detail(AttemptId { job, vertex, subtask: 0, attempt: 0 });
        let total = |counter| detail.counts.total(counter);
        assert_eq!((total(TaskCounter::RecordsIn), total(TaskCounter::BytesInRemote)), (11, 10));
        assert_eq!((total(TaskCounter::BuffersInLocal), total(TaskCounter::BytesInLocal)), (1, 100));
        assert_eq!(detail.gauge(TaskGauge::InputQueue), 4);
        let nodes: Vec<_> =
            detail.operators.iter().map(|operator| (operator.node.0, operator.input_watermark)).collect();
        assert_eq!(nodes, [(1, 1), (3, 3)]);
        assert_eq!(detail.operator(NodeId(1)).unwrap().counts.total(OperatorCounter::RecordsOut), 2);
        assert_eq!(detail.operator(NodeId(3)).unwrap().counts.total(OperatorCounter::BytesIn), 70);
        assert_eq!(detail.operator(NodeId(3)).unwrap().output_watermark, MIN_EVENT_TIME);
        assert_eq!(detail.counts.rates_milli.len(), TaskCounter::COUNT);
    }
}
