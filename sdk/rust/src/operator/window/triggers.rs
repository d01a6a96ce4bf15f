//! The triggers that there are.

use std::time::Duration;

use super::time::Window;
use super::trigger::TriggerResult::{Continue, Fire, FireAndPurge, Purge};
use super::trigger::{Trigger, TriggerContext, TriggerResult};

/// Fires when the watermark passes the end of the window, and again for each late record: Flink's `EventTimeTrigger`.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTimeTrigger;

impl<T, W: Window> Trigger<T, W> for EventTimeTrigger {
    type State = ();

    fn on_element(&self, _: &T, _: i64, window: &W, ctx: &mut TriggerContext<'_, ()>) -> TriggerResult {
        if window.max_timestamp() <= ctx.current_watermark() {
            return Fire;
        }
        ctx.register_event_time_timer(window.max_timestamp());
        Continue
    }

    fn on_event_time(&self, time_ms: i64, window: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        if time_ms == window.max_timestamp() { Fire } else { Continue }
    }

    fn on_processing_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        Continue
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(&self, window: &W, ctx: &mut TriggerContext<'_, ()>) {
        // Otherwise the record that caused it fires.
        if window.max_timestamp() > ctx.current_watermark() {
            ctx.register_event_time_timer(window.max_timestamp());
        }
    }

    fn clear(&self, window: &W, ctx: &mut TriggerContext<'_, ()>) {
        ctx.delete_event_time_timer(window.max_timestamp());
    }
}

/// Fires when the wall clock passes the end of the window: Flink's `ProcessingTimeTrigger`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessingTimeTrigger;

impl<T, W: Window> Trigger<T, W> for ProcessingTimeTrigger {
    type State = ();

    fn on_element(&self, _: &T, _: i64, window: &W, ctx: &mut TriggerContext<'_, ()>) -> TriggerResult {
        ctx.register_processing_time_timer(window.max_timestamp());
        Continue
    }

    fn on_event_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        Continue
    }

    fn on_processing_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        Fire
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(&self, window: &W, ctx: &mut TriggerContext<'_, ()>) {
        if window.max_timestamp() > ctx.processing_time() {
            ctx.register_processing_time_timer(window.max_timestamp());
        }
    }

    fn clear(&self, window: &W, ctx: &mut TriggerContext<'_, ()>) {
        ctx.delete_processing_time_timer(window.max_timestamp());
    }
}

/// Never fires: what [`super::GlobalWindows`] have unless another trigger is given. Flink's `NeverTrigger`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverTrigger;

impl<T, W: Window> Trigger<T, W> for NeverTrigger {
    type State = ();

    fn on_element(&self, _: &T, _: i64, _: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        Continue
    }

    fn on_event_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        Continue
    }

    fn on_processing_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, ()>) -> TriggerResult {
        Continue
    }

    fn can_merge(&self) -> bool {
        true
    }
}

/// What a window assigner gives its windows unless another trigger is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultTrigger {
    /// [`EventTimeTrigger`].
    EventTime,
    /// [`ProcessingTimeTrigger`].
    ProcessingTime,
    /// [`NeverTrigger`].
    Never,
}

/// Calls a method of the trigger that a default one is.
macro_rules! of_default {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self {
            Self::EventTime => Trigger::<T, W>::$method(&EventTimeTrigger, $($argument),*),
            Self::ProcessingTime => Trigger::<T, W>::$method(&ProcessingTimeTrigger, $($argument),*),
            Self::Never => Trigger::<T, W>::$method(&NeverTrigger, $($argument),*),
        }
    };
}

impl<T, W: Window> Trigger<T, W> for DefaultTrigger {
    type State = ();

    fn on_element(&self, element: &T, at_ms: i64, window: &W, ctx: &mut TriggerContext<'_, ()>) -> TriggerResult {
        of_default!(self, on_element(element, at_ms, window, ctx))
    }

    fn on_event_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, ()>) -> TriggerResult {
        of_default!(self, on_event_time(time_ms, window, ctx))
    }

    fn on_processing_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, ()>) -> TriggerResult {
        of_default!(self, on_processing_time(time_ms, window, ctx))
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(&self, window: &W, ctx: &mut TriggerContext<'_, ()>) {
        of_default!(self, on_merge(window, ctx));
    }

    fn clear(&self, window: &W, ctx: &mut TriggerContext<'_, ()>) {
        of_default!(self, clear(window, ctx));
    }
}

/// Fires when a window has so many records, and counts anew: Flink's `CountTrigger`.
#[derive(Debug, Clone, Copy)]
pub struct CountTrigger {
    count_max: u64,
}

impl CountTrigger {
    /// Fires at every so many records.
    pub fn of(count: u64) -> Self {
        Self { count_max: count.max(1) }
    }
}

impl<T, W: Window> Trigger<T, W> for CountTrigger {
    type State = u64;

    fn on_element(&self, _: &T, _: i64, _: &W, ctx: &mut TriggerContext<'_, u64>) -> TriggerResult {
        *ctx.state += 1;
        if *ctx.state < self.count_max {
            return Continue;
        }
        *ctx.state = 0;
        Fire
    }

    fn on_event_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, u64>) -> TriggerResult {
        Continue
    }

    fn on_processing_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, u64>) -> TriggerResult {
        Continue
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge_state(&self, state: &mut u64, merged: u64) {
        *state += merged;
    }

    fn clear(&self, _: &W, ctx: &mut TriggerContext<'_, u64>) {
        *ctx.state = 0;
    }
}

/// A timestamp's next multiple of an interval.
fn next_multiple(time_ms: i64, interval_ms: i64) -> i64 {
    time_ms.saturating_sub(time_ms.rem_euclid(interval_ms)).saturating_add(interval_ms)
}

fn interval_ms(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// The earlier of two next firings.
fn earlier(state: &mut Option<i64>, merged: Option<i64>) {
    *state = match (*state, merged) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

/// Fires whenever the watermark passes another interval, and at the end of the window: Flink's
/// `ContinuousEventTimeTrigger`.
#[derive(Debug, Clone, Copy)]
pub struct ContinuousEventTimeTrigger {
    interval_ms: i64,
}

impl ContinuousEventTimeTrigger {
    /// Fires at the multiples of an interval.
    pub fn of(interval: Duration) -> Self {
        Self { interval_ms: interval_ms(interval) }
    }

    fn register_next(self, after_ms: i64, end_ms: i64, ctx: &mut TriggerContext<'_, Option<i64>>) {
        let next = next_multiple(after_ms, self.interval_ms).min(end_ms);
        *ctx.state = Some(next);
        ctx.register_event_time_timer(next);
    }
}

impl<T, W: Window> Trigger<T, W> for ContinuousEventTimeTrigger {
    /// When it fires next.
    type State = Option<i64>;

    fn on_element(
        &self,
        _: &T,
        timestamp_ms: i64,
        window: &W,
        ctx: &mut TriggerContext<'_, Option<i64>>,
    ) -> TriggerResult {
        if window.max_timestamp() <= ctx.current_watermark() {
            return Fire;
        }
        ctx.register_event_time_timer(window.max_timestamp());
        if ctx.state.is_none() {
            self.register_next(timestamp_ms, window.max_timestamp(), ctx);
        }
        Continue
    }

    fn on_event_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, Option<i64>>) -> TriggerResult {
        if time_ms == window.max_timestamp() {
            return Fire;
        }
        if *ctx.state != Some(time_ms) {
            return Continue;
        }
        self.register_next(time_ms, window.max_timestamp(), ctx);
        Fire
    }

    fn on_processing_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, Option<i64>>) -> TriggerResult {
        Continue
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge_state(&self, state: &mut Option<i64>, merged: Option<i64>) {
        earlier(state, merged);
    }

    fn on_merge(&self, _: &W, ctx: &mut TriggerContext<'_, Option<i64>>) {
        if let Some(next) = *ctx.state {
            ctx.register_event_time_timer(next);
        }
    }

    fn clear(&self, _: &W, ctx: &mut TriggerContext<'_, Option<i64>>) {
        if let Some(next) = ctx.state.take() {
            ctx.delete_event_time_timer(next);
        }
    }
}

/// Fires whenever the wall clock passes another interval: Flink's `ContinuousProcessingTimeTrigger`.
#[derive(Debug, Clone, Copy)]
pub struct ContinuousProcessingTimeTrigger {
    interval_ms: i64,
}

impl ContinuousProcessingTimeTrigger {
    /// Fires at the multiples of an interval.
    pub fn of(interval: Duration) -> Self {
        Self { interval_ms: interval_ms(interval) }
    }

    fn register_next(self, after_ms: i64, end_ms: i64, ctx: &mut TriggerContext<'_, Option<i64>>) {
        let next = next_multiple(after_ms, self.interval_ms).min(end_ms);
        // A window of event time may have ended by the wall clock: it would fire without end.
        *ctx.state = (next > after_ms).then_some(next);
        if next > after_ms {
            ctx.register_processing_time_timer(next);
        }
    }
}

impl<T, W: Window> Trigger<T, W> for ContinuousProcessingTimeTrigger {
    /// When it fires next.
    type State = Option<i64>;

    fn on_element(&self, _: &T, _: i64, window: &W, ctx: &mut TriggerContext<'_, Option<i64>>) -> TriggerResult {
        if ctx.state.is_none() {
            self.register_next(ctx.processing_time(), window.max_timestamp(), ctx);
        }
        Continue
    }

    fn on_event_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, Option<i64>>) -> TriggerResult {
        Continue
    }

    fn on_processing_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, Option<i64>>) -> TriggerResult {
        if *ctx.state != Some(time_ms) {
            return Continue;
        }
        self.register_next(time_ms, window.max_timestamp(), ctx);
        Fire
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge_state(&self, state: &mut Option<i64>, merged: Option<i64>) {
        earlier(state, merged);
    }

    fn on_merge(&self, _: &W, ctx: &mut TriggerContext<'_, Option<i64>>) {
        if let Some(next) = *ctx.state {
            ctx.register_processing_time_timer(next);
        }
    }

    fn clear(&self, _: &W, ctx: &mut TriggerContext<'_, Option<i64>>) {
        if let Some(next) = ctx.state.take() {
            ctx.delete_processing_time_timer(next);
        }
    }
}

/// Another trigger whose windows forget what they have when they fire: Flink's `PurgingTrigger`.
#[derive(Debug, Clone, Copy)]
pub struct PurgingTrigger<R> {
    trigger: R,
}

impl<R> PurgingTrigger<R> {
    /// Fires when the other one does, and purges.
    pub fn of(trigger: R) -> Self {
        Self { trigger }
    }
}

fn purging(result: TriggerResult) -> TriggerResult {
    match result {
        Fire | FireAndPurge => FireAndPurge,
        Continue => Continue,
        Purge => Purge,
    }
}

impl<T, W: Window, R: Trigger<T, W>> Trigger<T, W> for PurgingTrigger<R> {
    type State = R::State;

    fn on_element(
        &self,
        element: &T,
        timestamp_ms: i64,
        window: &W,
        ctx: &mut TriggerContext<'_, R::State>,
    ) -> TriggerResult {
        purging(self.trigger.on_element(element, timestamp_ms, window, ctx))
    }

    fn on_event_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, R::State>) -> TriggerResult {
        purging(self.trigger.on_event_time(time_ms, window, ctx))
    }

    fn on_processing_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, R::State>) -> TriggerResult {
        purging(self.trigger.on_processing_time(time_ms, window, ctx))
    }

    fn can_merge(&self) -> bool {
        self.trigger.can_merge()
    }

    fn merge_state(&self, state: &mut R::State, merged: R::State) {
        self.trigger.merge_state(state, merged);
    }

    fn on_merge(&self, window: &W, ctx: &mut TriggerContext<'_, R::State>) {
        self.trigger.on_merge(window, ctx);
    }

    fn clear(&self, window: &W, ctx: &mut TriggerContext<'_, R::State>) {
        self.trigger.clear(window, ctx);
    }
}
