//! What a keyed function sees and does besides its record.

use std::rc::Rc;

use crate::batch::NO_TIMESTAMP;
use crate::collector::{Collector, OutputTag, SideOutputs};
use crate::data::Data;
use crate::host::{Clock, Host, Level};
use crate::state::store::KeyedStore;
use crate::state::timers::{Namespace, PendingTimers};

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
        self.change_timer(Clock::EventTime, timestamp_ms, Namespace::new(), true);
    }

    /// Deletes a timer of the current key, if it is set.
    pub fn delete_event_time_timer(&mut self, timestamp_ms: i64) {
        self.change_timer(Clock::EventTime, timestamp_ms, Namespace::new(), false);
    }

    /// Sets a timer of the current key that fires when the wall clock reaches `timestamp_ms`.
    pub fn register_processing_time_timer(&mut self, timestamp_ms: i64) {
        self.change_timer(Clock::ProcessingTime, timestamp_ms, Namespace::new(), true);
    }

    /// Deletes a timer of the current key, if it is set.
    pub fn delete_processing_time_timer(&mut self, timestamp_ms: i64) {
        self.change_timer(Clock::ProcessingTime, timestamp_ms, Namespace::new(), false);
    }

    /// Writes a line to the task's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    /// Sets or deletes a timer of the current key that belongs to something within the key: a window, for example. When
    /// it fires, `namespace` is the payload of its row.
    pub(crate) fn change_timer(&mut self, clock: Clock, timestamp_ms: i64, namespace: Namespace, is_set: bool) {
        let slot = self.store.current_slot();
        self.pending(clock).change(timestamp_ms, slot, namespace, is_set);
    }

    pub(crate) fn pending(&mut self, clock: Clock) -> &mut PendingTimers {
        match clock {
            Clock::EventTime => &mut self.event_timers,
            Clock::ProcessingTime => &mut self.processing_timers,
        }
    }

    pub(crate) fn send_timers(&mut self, node: u32) {
        let backing = self.store.backing();
        self.event_timers.send(backing, node, Clock::EventTime);
        self.processing_timers.send(backing, node, Clock::ProcessingTime);
    }
}
