//! One guest segment: operators of a component, run in an instance that may be dropped and opened again.

use std::any::Any;

use bytes::Bytes;
use millrace_protocol::{ComponentRef, OperatorCounter, SplitId, TaskCode, TaskGauge};
use millrace_sandbox::{
    Clock, CompiledComponent, GuestError, OpenSpec, OperatorHost, OperatorInstance, Polled, Sandbox,
};
use millrace_task_core::{Clock as TimerClock, Timer};
use millrace_types::{EventTime, Failure, FailureKind, NodeId};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};
use rand::RngExt;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::run::host::SegmentHost;
use crate::run::shared::{TaskError, TaskShared};

/// In the mode that throws instances away, one call in so many is followed by that.
const DISCARD_ONE_IN: u32 = 3;

/// What a segment is opened with, again and again.
pub(crate) struct GuestPlan {
    pub sandbox: Sandbox,
    pub component: CompiledComponent,
    pub spec: OpenSpec,
    /// Chooses the calls behind which the instance is thrown away; none: never.
    pub discard: Option<StdRng>,
}

/// A segment at work.
pub(crate) struct GuestSegment {
    plan: GuestPlan,
    /// None only while one instance is replaced by another.
    instance: Option<OperatorInstance>,
    /// What the instance's calls had run when it was counted last.
    cpu_counted: Duration,
    shared: Arc<TaskShared>,
}

fn lost() -> TaskError {
    Failure::new(FailureKind::Internal, "the instance of a segment is gone").into()
}

impl GuestSegment {
    pub(crate) async fn open(plan: GuestPlan, host: SegmentHost, shared: Arc<TaskShared>) -> Result<Self, TaskError> {
        let mut segment = Self { plan, instance: None, cpu_counted: Duration::ZERO, shared };
        segment.instantiate(Box::new(host)).await?;
        Ok(segment)
    }

    async fn instantiate(&mut self, host: Box<dyn OperatorHost>) -> Result<(), TaskError> {
        let began = Instant::now();
        let opening = self.plan.sandbox.open(&self.plan.component, self.plan.spec.clone(), host);
        let instance = Box::pin(opening).await.map_err(|error| self.failed(error))?;
        let states = instance.states().to_vec();
        self.instance = Some(instance);
        self.cpu_counted = Duration::ZERO;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.metrics.raise(TaskGauge::InstantiateMs, ms);
        self.count(None);
        self.host()?.bind_states(&states).map_err(|error| TaskError::Failed(error.into()))
    }

    /// What outlives the instances.
    pub(crate) fn host(&mut self) -> Result<&mut SegmentHost, TaskError> {
        let host = self.instance.as_mut().and_then(OperatorInstance::host_mut);
        host.and_then(|host| (host as &mut dyn Any).downcast_mut()).ok_or_else(lost)
    }

    fn instance(&mut self) -> Result<&mut OperatorInstance, TaskError> {
        self.instance.as_mut().ok_or_else(lost)
    }

    fn failed(&self, error: GuestError) -> TaskError {
        self.shared.guest_failed(error.into())
    }

    /// Keeps account of a call for a node, or for all of them: then the first one has it.
    fn count(&mut self, node: Option<NodeId>) {
        let first = self.plan.spec.operators.iter().map(|operator| operator.node).min();
        let (Some(instance), Some(first)) = (&self.instance, first) else { return };
        let cpu = instance.cpu_time();
        let more = u64::try_from(cpu.saturating_sub(self.cpu_counted).as_nanos()).unwrap_or(u64::MAX);
        self.cpu_counted = cpu;
        if let Some(operator) = self.shared.metrics.operator(node.unwrap_or(first)) {
            operator.add(OperatorCounter::CpuNs, more);
            operator.add(OperatorCounter::Calls, 1);
        }
        if let Some(operator) = self.shared.metrics.operator(first) {
            operator.memory(instance.memory_bytes());
        }
    }

    /// The end of every call: its error, or perhaps another instance.
    async fn ended<T>(&mut self, node: NodeId, result: Result<T, GuestError>) -> Result<T, TaskError> {
        self.count(Some(node));
        let value = result.map_err(|error| self.failed(error))?;
        if self.plan.discard.as_mut().is_some_and(|rng| rng.random_ratio(1, DISCARD_ONE_IN)) {
            Box::pin(self.replace_instance()).await?;
        }
        Ok(value)
    }

    /// Has the operators emit what should not wait for a flush.
    pub(crate) async fn pre_barrier(&mut self) -> Result<(), TaskError> {
        let result = self.instance()?.pre_barrier().await;
        self.count(None);
        result.map_err(|error| self.failed(error))
    }

    /// Has the operators hand over all state that has changed.
    pub(crate) async fn flush(&mut self) -> Result<(), TaskError> {
        let result = self.instance()?.flush().await;
        self.count(None);
        result.map_err(|error| self.failed(error))
    }

    /// Flushes, throws the instance away and opens another one in its place.
    async fn replace_instance(&mut self) -> Result<(), TaskError> {
        self.pre_barrier().await?;
        self.flush().await?;
        let host = self.instance.take().and_then(OperatorInstance::into_host).ok_or_else(lost)?;
        self.replace(host).await
    }

    /// The records that a node gets come from this split from here on.
    pub(crate) async fn turn(&mut self, node: NodeId, split: SplitId, watermark: EventTime) -> Result<(), TaskError> {
        self.host()?.outlet.turn(node, split, watermark);
        let result = self.instance()?.turn(node, split.0, watermark).await;
        self.ended(node, result).await
    }

    /// Has another instance take the place of this one, which has flushed, and run other code.
    pub(crate) async fn run_code(
        &mut self,
        code: &TaskCode,
        described: &ComponentRef,
        component: CompiledComponent,
    ) -> Result<(), TaskError> {
        let spec = &mut self.plan.spec;
        spec.args.clone_from(&code.args);
        spec.default_parallelism = code.default_parallelism;
        spec.graph_digest = described.has_builder.then_some(code.graph_digest);
        spec.limits = described.limits.clone();
        for operator in &mut spec.operators {
            let found = code.vertex.nodes.iter().find(|(node, _)| *node == operator.node);
            if let Some((_, node)) = found
                && let Some(code) = node.kind.guest_code()
            {
                operator.name.clone_from(&node.name);
                operator.code = code.clone();
            }
        }
        self.plan.component = component;
        let names = self.plan.spec.operators.iter().map(|operator| (operator.node, operator.name.clone())).collect();
        self.host()?.rename(&names);
        let host = self.instance.take().and_then(OperatorInstance::into_host).ok_or_else(lost)?;
        self.replace(host).await
    }

    /// Opens an instance that goes on where another one was.
    async fn replace(&mut self, host: Box<dyn OperatorHost>) -> Result<(), TaskError> {
        self.instantiate(host).await?;
        for (node, split, watermark) in self.host()?.outlet.turns() {
            let result = self.instance()?.turn(node, split.0, watermark).await;
            result.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    pub(crate) async fn process(&mut self, node: NodeId, port: u32, batch: &BatchView) -> Result<(), TaskError> {
        let result = self.instance()?.process(node, port, batch.as_bytes()).await;
        self.ended(node, result).await
    }

    pub(crate) async fn poll(
        &mut self,
        node: NodeId,
        split: &Bytes,
        offset: &Bytes,
        max_bytes: u32,
    ) -> Result<Polled, TaskError> {
        let result = self.instance()?.poll(node, split, offset, max_bytes).await;
        self.ended(node, result).await
    }

    pub(crate) async fn watermark(&mut self, node: NodeId, timestamp: i64) -> Result<(), TaskError> {
        let result = self.instance()?.watermark(node, timestamp).await;
        // Another instance in this one's place begins with it.
        if let Some(operator) = self.plan.spec.operators.iter_mut().find(|operator| operator.node == node) {
            operator.watermark = timestamp;
        }
        self.ended(node, result).await
    }

    pub(crate) async fn timers(&mut self, node: NodeId, clock: TimerClock, due: &[Timer]) -> Result<(), TaskError> {
        let mut batch = BatchBuilder::new(BatchFlags { timestamped: true, keyed: true });
        for timer in due {
            batch.push(Some(timer.timestamp), Some(&timer.key), &timer.namespace);
        }
        let clock = match clock {
            TimerClock::EventTime => Clock::EventTime,
            TimerClock::ProcessingTime => Clock::ProcessingTime,
        };
        let batch = batch.finish();
        let result = self.instance()?.timers(node, clock, &batch).await;
        self.ended(node, result).await
    }

    pub(crate) async fn finish(&mut self, node: NodeId) -> Result<(), TaskError> {
        let result = self.instance()?.finish(node).await;
        self.ended(node, result).await?;
        self.host()?.timers.close(node);
        Ok(())
    }
}
