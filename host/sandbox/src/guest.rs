//! One instance and the frame of every call into it: begin, run within limits, end.
//!
//! Invariants:
//! - A call that did not end well, or whose future was dropped, was the last one: the instance is never entered again.
//! - Whatever ends a call, the guest's lines up to there are in the log.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use millrace_types::{Failure, NodeId, SandboxLimits};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::component::CompiledComponent;
use crate::error::{GuestError, GuestErrorKind};
use crate::faults::FaultCounts;
use crate::host::OperatorHost;
use crate::meter::{BlockedTooLong, CallBudget, Meter, metered};
use crate::sandbox::Inner;
use crate::store::{Call, StoreData, new_store};
use crate::ticker::Ticker;
use crate::trap::{Circumstances, explain, explain_returned};

/// How a call ended: too long blocked, a trap, an error of the guest's, a result.
pub(crate) type Outcome<R> = Result<wasmtime::Result<Result<R, String>>, BlockedTooLong>;

/// An instance.
pub(crate) struct Guest {
    pub store: Store<StoreData>,
    ticker: Arc<Ticker>,
    deadline: Duration,
    blocked_time_max: Duration,
    faults: Arc<FaultCounts>,
    /// Whether it may be entered.
    alive: bool,
}

/// A call that may run now.
pub(crate) struct Started {
    ticker: Arc<Ticker>,
    meter: Arc<Meter>,
    budget: CallBudget,
}

impl Started {
    /// Runs the call.
    pub(crate) async fn run<R>(self, call: impl Future<Output = R>) -> Result<R, BlockedTooLong> {
        let _running = self.ticker.run_call();
        metered(self.meter, self.budget, call).await
    }
}

impl Guest {
    /// Makes an instance. Until it begins to operate it is its builder's.
    pub(crate) async fn instantiate(
        sandbox: &Inner,
        component: &CompiledComponent,
        limits: &SandboxLimits,
        host: Option<Box<dyn OperatorHost>>,
    ) -> Result<(Self, Instance), GuestError> {
        let builder = &sandbox.options.builder;
        let mut guest = Self {
            store: new_store(&sandbox.engine, limits, host),
            ticker: Arc::clone(&sandbox.ticker),
            deadline: Duration::from_millis(builder.sandbox.call_deadline_ms),
            blocked_time_max: sandbox.options.blocked_time_max,
            faults: Arc::clone(&sandbox.faults),
            alive: true,
        };
        let started = guest.begin("instantiate", None)?;
        let instance = component.linked().instance.instantiate_async(&mut guest.store);
        let outcome = started.run(Box::pin(instance)).await;
        let instance = guest.end(outcome.map(|instance| instance.map(Ok)))?;
        Ok((guest, instance))
    }

    /// Lets the operators run: real clocks, the operators' functions, the operators' deadline.
    pub(crate) fn begin_operating(&mut self, limits: &SandboxLimits) {
        self.deadline = Duration::from_millis(limits.call_deadline_ms);
        self.store.data_mut().begin_operating();
    }

    /// Begins a call. Whoever gets an answer runs it and hands its outcome to [`Guest::end`].
    pub(crate) fn begin(&mut self, name: &'static str, node: Option<NodeId>) -> Result<Started, GuestError> {
        if !std::mem::replace(&mut self.alive, false) {
            let message = "the instance was thrown away when an earlier call failed or was cancelled".to_owned();
            return Err(error(GuestErrorKind::Discarded, name, node, message));
        }
        self.store.set_epoch_deadline(1);
        let data = self.store.data_mut();
        data.call = Call { name, node, output_bytes: 0 };
        data.panic = None;
        data.limiter.take_refusal();
        let budget = CallBudget { run: self.deadline, blocked: self.blocked_time_max };
        Ok(Started { ticker: Arc::clone(&self.ticker), meter: Arc::clone(&data.meter), budget })
    }

    /// Ends a call: accounts, log, and what the outcome means.
    pub(crate) fn end<R>(&mut self, outcome: Outcome<R>) -> Result<R, GuestError> {
        let blocked_time_max = self.blocked_time_max;
        let data = self.store.data_mut();
        data.drain_log();
        let circumstances = Circumstances { refusal: data.limiter.take_refusal(), panic: data.panic.take() };
        let mut failed = match outcome {
            Ok(Ok(Ok(result))) => {
                self.alive = true;
                return Ok(result);
            }
            Ok(Ok(Err(message))) => explain_returned(message, &circumstances),
            Ok(Err(error)) => explain(&error, &circumstances),
            Err(BlockedTooLong) => {
                let blocked_ms = blocked_time_max.as_millis();
                let message = format!("the call slept or polled for more than {blocked_ms} ms");
                error(GuestErrorKind::Blocked, "", None, message)
            }
        };
        self.faults.count(failed.kind);
        failed.call = data.call.name;
        failed.node = data.call.node;
        let message = failed.message.floor_char_boundary(Failure::MESSAGE_BYTES_MAX);
        failed.message.truncate(message);
        Err(failed)
    }

    /// An error of the call that has just ended well, about what it returned.
    pub(crate) fn reject(&mut self, kind: GuestErrorKind, message: String) -> GuestError {
        self.alive = false;
        let call = self.store.data().call;
        error(kind, call.name, call.node, message)
    }

    /// Whether it may be entered.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    /// Takes the host out of the instance, which is of no use behind it.
    pub(crate) fn take_host(&mut self) -> Option<Box<dyn OperatorHost>> {
        self.alive = false;
        let data = self.store.data_mut();
        data.finish_log();
        data.host.take()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.store.data().host.is_some() {
            self.store.data_mut().finish_log();
        }
    }
}

fn error(kind: GuestErrorKind, call: &'static str, node: Option<NodeId>, message: String) -> GuestError {
    GuestError { kind, call, node, operator: None, message, backtrace: Vec::new() }
}
