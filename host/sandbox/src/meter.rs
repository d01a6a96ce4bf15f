//! What a call used: the processor time that it ran itself, and the time that it spent blocked.
//!
//! Invariants:
//! - Only time between the beginning and the end of a poll of the call's future counts as running, and of that only
//!   what the thread really ran: time in which the call, its task or its thread was descheduled counts for nothing.
//! - Waiting in `emit` is backpressure and counts neither as running nor as blocked.
//! - A call that a WASI function blocks (a sleep, a poll) is ended after its allowance of blocked time, measured by
//!   the clock on the wall: nobody can sleep forever.
//!
//! Asking for a thread's processor time costs a microsecond on some machines, as much as a whole small call. So the
//! clock on the wall serves until a call's first slice is over, which is within a slice or two of its beginning, and
//! the thread's own clock from there on.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep};

/// The most that counts of a poll that was measured by the clock on the wall: the thread may have been descheduled.
const ROUGH_POLL_NS_MAX: u64 = 5_000_000;

/// What one call may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallBudget {
    /// Processor time.
    pub run: Duration,
    /// Time blocked in WASI functions.
    pub blocked: Duration,
}

/// The call was blocked for longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockedTooLong;

/// The account of an instance. Shared between the call's future and the callbacks that run inside of it, all on the
/// thread that polls the future: the atomics are for the type checker, and relaxed.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Whether the thread's own clock measures: from the end of a call's first slice on.
    precise: AtomicBool,
    /// What the clock that measures showed at the beginning of the poll, in nanoseconds.
    poll_began_ns: AtomicU64,
    /// What the call ran in polls that have ended, in nanoseconds.
    call_ns: AtomicU64,
    /// What all calls before this one ran, in nanoseconds.
    past_calls_ns: AtomicU64,
    /// What the call may run, in nanoseconds.
    budget_ns: AtomicU64,
    /// The call waits for buffers.
    in_emit: AtomicBool,
    /// The call gave way to others at the end of a slice.
    yielded: AtomicBool,
}

fn clock_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000) + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl Meter {
    fn begin_call(&self, budget: CallBudget) {
        let before = self.call_ns.swap(0, Ordering::Relaxed);
        self.past_calls_ns.fetch_add(before, Ordering::Relaxed);
        let budget_ns = u64::try_from(budget.run.as_nanos()).unwrap_or(u64::MAX);
        self.budget_ns.store(budget_ns, Ordering::Relaxed);
        // A call that was cancelled while it waited leaves its marks behind.
        self.in_emit.store(false, Ordering::Relaxed);
        self.precise.store(false, Ordering::Relaxed);
        self.yielded.store(false, Ordering::Relaxed);
    }

    fn now_ns(&self) -> u64 {
        let precise = self.precise.load(Ordering::Relaxed);
        clock_ns(if precise { ClockId::ThreadCPUTime } else { ClockId::Monotonic })
    }

    /// What the poll has run up to now.
    fn poll_ns(&self) -> u64 {
        let ran = self.now_ns().saturating_sub(self.poll_began_ns.load(Ordering::Relaxed));
        if self.precise.load(Ordering::Relaxed) { ran } else { ran.min(ROUGH_POLL_NS_MAX) }
    }

    fn begin_poll(&self) {
        if self.yielded.swap(false, Ordering::Relaxed) {
            self.precise.store(true, Ordering::Relaxed);
        }
        self.poll_began_ns.store(self.now_ns(), Ordering::Relaxed);
    }

    fn end_poll(&self) {
        self.call_ns.fetch_add(self.poll_ns(), Ordering::Relaxed);
    }

    /// Whether the call has used up its budget. Only while it is being polled.
    pub(crate) fn is_exhausted(&self) -> bool {
        let ran = self.call_ns.load(Ordering::Relaxed).saturating_add(self.poll_ns());
        ran > self.budget_ns.load(Ordering::Relaxed)
    }

    /// What the current call may run.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget_ns.load(Ordering::Relaxed))
    }

    /// Says that the call is about to give way to others.
    pub(crate) fn mark_yield(&self) {
        self.yielded.store(true, Ordering::Relaxed);
    }

    /// Says whether the call waits for buffers.
    pub(crate) fn mark_emit(&self, waiting: bool) {
        self.in_emit.store(waiting, Ordering::Relaxed);
    }

    /// What all calls ran, the last one included.
    pub(crate) fn total(&self) -> Duration {
        let call = self.call_ns.load(Ordering::Relaxed);
        Duration::from_nanos(self.past_calls_ns.load(Ordering::Relaxed).saturating_add(call))
    }

    fn is_blocked(&self) -> bool {
        !self.in_emit.load(Ordering::Relaxed) && !self.yielded.load(Ordering::Relaxed)
    }
}

/// How long a call was blocked, and the alarm for when that is too long.
struct BlockedTime {
    left: Duration,
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl BlockedTime {
    fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The timer rounds up: an alarm set for now would ring a millisecond later, again and again.
        if self.left.is_zero() {
            return Poll::Ready(());
        }
        let now = Instant::now();
        self.since = Some(now);
        let deadline = now + self.left;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        alarm.as_mut().reset(deadline);
        alarm.as_mut().poll(cx)
    }
}

/// Runs a call within its budget of blocked time and keeps account of it. The budget of running time is enforced by
/// the epoch callback, which asks [`Meter::is_exhausted`].
pub(crate) async fn metered<F: Future>(
    meter: Arc<Meter>,
    budget: CallBudget,
    call: F,
) -> Result<F::Output, BlockedTooLong> {
    let mut call = pin!(call);
    let mut blocked = BlockedTime { left: budget.blocked, since: None, alarm: None };
    meter.begin_call(budget);
    poll_fn(|cx| {
        blocked.end();
        meter.begin_poll();
        let polled = call.as_mut().poll(cx);
        meter.end_poll();
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if meter.is_blocked() => blocked.begin(cx).map(|()| Err(BlockedTooLong)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const BUDGET: CallBudget = CallBudget { run: Duration::from_secs(1), blocked: Duration::from_millis(20) };

    fn meter() -> Arc<Meter> {
        Arc::new(Meter::default())
    }

    #[tokio::test]
    async fn a_call_that_is_blocked_for_too_long_ends() {
        let result = metered(meter(), BUDGET, std::future::pending::<()>()).await;
        assert_eq!(result, Err(BlockedTooLong));
    }

    #[tokio::test]
    async fn waiting_in_emit_is_not_being_blocked() {
        let meter = meter();
        let inner = Arc::clone(&meter);
        let result = metered(meter, BUDGET, async move {
            inner.mark_emit(true);
            tokio::time::sleep(3 * BUDGET.blocked).await;
            inner.mark_emit(false);
            7
        });
        assert_eq!(result.await, Ok(7));
    }

    /// Runs for so long, and gives way then as a guest does at the end of a slice.
    async fn spin(meter: &Meter, duration: Duration) {
        let began = clock_ns(ClockId::ThreadCPUTime);
        while clock_ns(ClockId::ThreadCPUTime) - began < u64::try_from(duration.as_nanos()).unwrap() {}
        meter.mark_yield();
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn running_counts_and_waiting_does_not() {
        let meter = meter();
        let inner = Arc::clone(&meter);
        let budget = CallBudget { run: Duration::from_millis(20), blocked: Duration::from_secs(5) };
        let call = async move {
            spin(&inner, Duration::from_millis(2)).await;
            let early = inner.is_exhausted();
            tokio::time::sleep(Duration::from_millis(30)).await;
            spin(&inner, Duration::from_millis(12)).await;
            let rested = inner.is_exhausted();
            spin(&inner, Duration::from_millis(12)).await;
            [early, rested, inner.is_exhausted()]
        };
        assert_eq!(metered(Arc::clone(&meter), budget, call).await, Ok([false, false, true]));
        assert!(meter.total() >= Duration::from_millis(26), "{:?}", meter.total());
        let before = meter.total();
        metered(Arc::clone(&meter), budget, std::future::ready(())).await.unwrap();
        assert!(meter.total() >= before && !meter.is_exhausted(), "a call begins anew and earlier ones count");
    }
}
