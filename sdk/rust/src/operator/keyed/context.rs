//! What a keyed function sees and does besides its record.

use std::rc::Rc;

use crate::batch::NO_TIMESTAMP;
use crate::collector::{Collector, OutputTag, SideOutputs};
use crate::data::Data;
use crate::host::{Clock, Host, Level};
use crate::state::store::KeyedStore;
use crate::state::timers::PendingTimers;

/// The context of a keyed function.
pub struct KeyedContext<K, U> {
    pub(crate) output: Collector<U>,
    pub(crate) sides: SideOutputs,
    pub(crate) store: KeyedStore<K>,
    pub(crate) host: Rc<dyn Host>,
    pub(crate) event_timers: PendingTimers,
    pub(crate) processing_timers: PendingTimers,
    pub(crate) watermark: i64,
}

impl<K: Data, U: Data> KeyedContext<K, U> {
    pub(crate) fn new(output: Collector<U>, sides: SideOutputs, store: KeyedStore<K>, host: Rc<dyn Host>) -> Self {
        Self {
            output,
            sides,
            store,
            host,
            event_timers: PendingTimers::default(),
            processing_timers: PendingTimers::default(),
            watermark: i64::MIN,
        }
    }

    /// The key of the record, or timer, being handled.
    ///
    /// # Panics
    /// Outside of a record's or timer's handling there is no key; a context cannot be had there.
    #[expect(clippy::expect_used, reason = "a function gets a context only together with a key")]
    pub fn key(&self) -> &K {
        self.store.key().expect("a key is being worked on")
    }

    /// Emits a record with the timestamp of the record, or timer, being handled.
    #[inline]
    pub fn collect(&mut self, value: U) {
        self.output.collect(value);
    }

    /// Emits a record with a timestamp of its own, in milliseconds since 1970.
    pub fn collect_at(&mut self, value: U, timestamp_ms: i64) {
        self.output.collect_at(value, timestamp_ms);
    }

    /// Emits a record to a side output.
    pub fn output<S: Data>(&mut self, tag: &OutputTag<S>, value: S) {
        if let Err(error) = self.sides.push(tag, value, self.output.at) {
            self.output.fail(error);
        }
        self.output.label().enter();
    }

    /// The timestamp of the record, or timer, being handled, in milliseconds since 1970, if it has one.
    pub fn timestamp(&self) -> Option<i64> {
        (self.output.at != NO_TIMESTAMP).then_some(self.output.at)
    }

    /// The operator's watermark, in milliseconds since 1970; `i64::MIN` before the first.
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.host.now_ms()
    }

    /// Sets a timer of the current key that fires when the watermark reaches `timestamp_ms`. A timer that is set
    /// twice fires once.
    pub fn register_event_time_timer(&mut self, timestamp_ms: i64) {
        self.event_timers.change(timestamp_ms, self.store.current_slot(), true);
    }

    /// Deletes a timer of the current key, if it is set.
    pub fn delete_event_time_timer(&mut self, timestamp_ms: i64) {
        self.event_timers.change(timestamp_ms, self.store.current_slot(), false);
    }

    /// Sets a timer of the current key that fires when the wall clock reaches `timestamp_ms`.
    pub fn register_processing_time_timer(&mut self, timestamp_ms: i64) {
        self.processing_timers.change(timestamp_ms, self.store.current_slot(), true);
    }

    /// Deletes a timer of the current key, if it is set.
    pub fn delete_processing_time_timer(&mut self, timestamp_ms: i64) {
        self.processing_timers.change(timestamp_ms, self.store.current_slot(), false);
    }

    /// Writes a line to the task's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    pub(crate) fn pending(&mut self, clock: Clock) -> &mut PendingTimers {
        match clock {
            Clock::EventTime => &mut self.event_timers,
            Clock::ProcessingTime => &mut self.processing_timers,
        }
    }

    pub(crate) fn send_timers(&mut self, node: u32) {
        let (keys, batch) = self.store.keys_and_buffer();
        self.event_timers.send(&*self.host, node, Clock::EventTime, keys, batch);
        self.processing_timers.send(&*self.host, node, Clock::ProcessingTime, keys, batch);
    }
}
