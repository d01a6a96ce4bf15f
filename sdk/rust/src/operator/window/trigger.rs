//! When windows give their results.

use super::time::Window;
use crate::data::Data;
use crate::host::Clock;
use crate::state::timers::PendingTimers;

/// What a trigger makes of an event: Flink's `TriggerResult`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing.
    Continue,
    /// The window gives its result, and keeps what it has.
    Fire,
    /// The window forgets what it has.
    Purge,
    /// The window gives its result and forgets what it has.
    FireAndPurge,
}

impl TriggerResult {
    pub(crate) fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    pub(crate) fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// Decides when a window gives its result: Flink's `Trigger`.
///
/// A trigger does not change itself: what it has to remember of a window is its `State`, which is kept with the
/// window and dropped with it. So are its timers.
pub trait Trigger<T, W: Window>: 'static {
    /// What is remembered of a window.
    type State: Data + Default;

    /// A record came into the window.
    fn on_element(
        &self,
        element: &T,
        timestamp_ms: i64,
        window: &W,
        ctx: &mut TriggerContext<'_, Self::State>,
    ) -> TriggerResult;

    /// An event-time timer that the trigger set for the window, or the window's end, has come.
    fn on_event_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, Self::State>) -> TriggerResult;

    /// The same by the wall clock.
    fn on_processing_time(&self, time_ms: i64, window: &W, ctx: &mut TriggerContext<'_, Self::State>) -> TriggerResult;

    /// Whether windows that merge can have this trigger: then `merge_state` and `on_merge` say how.
    fn can_merge(&self) -> bool {
        false
    }

    /// Takes in the state of a window that was merged into another one.
    fn merge_state(&self, state: &mut Self::State, merged: Self::State) {
        let _ = (state, merged);
    }

    /// Windows have been merged into this one. Their timers are gone.
    fn on_merge(&self, window: &W, ctx: &mut TriggerContext<'_, Self::State>) {
        let _ = (window, ctx);
    }

    /// The window is purged by the trigger or its time is over.
    fn clear(&self, window: &W, ctx: &mut TriggerContext<'_, Self::State>) {
        let _ = (window, ctx);
    }
}

/// What a trigger sees and does.
pub struct TriggerContext<'a, S> {
    /// What the trigger remembers of the window.
    pub state: &'a mut S,
    pub(crate) event_timers: &'a mut PendingTimers,
    pub(crate) processing_timers: &'a mut PendingTimers,
    /// The timers of the window that are set.
    pub(crate) set: &'a mut Vec<(bool, i64)>,
    /// The key and the window, as timers have them.
    pub(crate) slot: u32,
    pub(crate) namespace: &'a [u8],
    pub(crate) watermark: i64,
    pub(crate) now_ms: i64,
}

impl<S> TriggerContext<'_, S> {
    /// The operator's watermark, in milliseconds since 1970; `i64::MIN` before the first.
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// The wall clock when the batch of the record, or of the timer, was received: in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.now_ms
    }

    /// Sets a timer of the window that fires when the watermark reaches `timestamp_ms`.
    pub fn register_event_time_timer(&mut self, timestamp_ms: i64) {
        self.change(Clock::EventTime, timestamp_ms, true);
    }

    /// Deletes a timer of the window, if it is set.
    pub fn delete_event_time_timer(&mut self, timestamp_ms: i64) {
        self.change(Clock::EventTime, timestamp_ms, false);
    }

    /// Sets a timer of the window that fires when the wall clock reaches `timestamp_ms`.
    pub fn register_processing_time_timer(&mut self, timestamp_ms: i64) {
        self.change(Clock::ProcessingTime, timestamp_ms, true);
    }

    /// Deletes a timer of the window, if it is set.
    pub fn delete_processing_time_timer(&mut self, timestamp_ms: i64) {
        self.change(Clock::ProcessingTime, timestamp_ms, false);
    }

    pub(crate) fn change(&mut self, clock: Clock, timestamp: i64, is_set: bool) {
        let timer = (clock == Clock::EventTime, timestamp);
        let place = self.set.iter().position(|known| *known == timer);
        match (place, is_set) {
            // It is known from the window that there is nothing to do, so most records cause no call.
            (Some(_), true) | (None, false) => return,
            (None, true) => self.set.push(timer),
            (Some(place), false) => drop(self.set.swap_remove(place)),
        }
        let timers = match clock {
            Clock::EventTime => &mut *self.event_timers,
            Clock::ProcessingTime => &mut *self.processing_timers,
        };
        timers.change(timestamp, self.slot, self.namespace.to_vec(), is_set);
    }
}
