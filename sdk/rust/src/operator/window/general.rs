//! Windows of any kind, with any trigger.
//!
//! A key's windows are one value of its state: there are few at a time. Each remembers which of its timers are set, so
//! that a record in a known window costs no call, and that nothing is left of a window that is gone. Invariants: every
//! window whose time ends has a timer for its clean-up; windows that merge never overlap or touch each other.

use std::cell::RefCell;
use std::rc::Rc;

use super::Lateness;
use super::assigner::WindowAssigner;
use super::contents::Contents;
use super::context::{WindowContext, split};
use super::entry::Entry;
use super::time::Window;
use super::trigger::{Trigger, TriggerContext, TriggerResult};
use crate::batch::{BatchReader, NO_TIMESTAMP, Row};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::Clock;
use crate::operator::KeyedContext;
use crate::runtime::assembly::Control;
use crate::runtime::current::Label;
use crate::runtime::input::BatchInput;
use crate::state::ValueState;

/// A key's windows.
pub(crate) type Windows<W, C, S> = Vec<Entry<W, C, S>>;

/// The windows of each key. `E` hands over a window's result.
pub(crate) struct WindowOperator<K, T, U, A, R, C, E>
where
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
{
    pub label: Label,
    pub assigner: A,
    pub trigger: R,
    pub contents: C,
    pub emit: E,
    pub lateness: Lateness<T>,
    pub windows: ValueState<Windows<A::Window, C::Kept, R::State>>,
    pub context: KeyedContext<K, U>,
    /// Empty between two records.
    pub assigned: Vec<A::Window>,
    pub namespace: Vec<u8>,
    /// The wall clock at the beginning of the call.
    pub now_ms: i64,
}

type EntryOf<T, A, R, C> = Entry<
    <A as WindowAssigner<T>>::Window,
    <C as Contents<T>>::Kept,
    <R as Trigger<T, <A as WindowAssigner<T>>::Window>>::State,
>;

impl<K, T, U, A, R, C, E> WindowOperator<K, T, U, A, R, C, E>
where
    K: Data,
    T: Clone + 'static,
    U: Data,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    E: Fn(&K, &A::Window, C::Kept, &mut WindowContext<'_, U>) -> Result<()>,
{
    /// Takes a batch of records, which `decode` reads.
    pub fn process(&mut self, batch: &BatchReader<'_>, decode: impl Fn(&Row<'_>) -> Result<T>) -> Result<()> {
        self.context.store.prepare(batch).map_err(|error| self.label.error(error))?;
        self.label.enter();
        self.now_ms = self.context.store.backing().now_ms();
        for (index, row) in batch.rows().enumerate() {
            let slot = self.context.store.select(index);
            let result = decode(&row).and_then(|value| self.element(slot, row.timestamp, value));
            if let Err(error) = result {
                self.context.output.check()?;
                return Err(self.label.error(error));
            }
        }
        self.context.output.check()
    }

    fn take_windows(&self) -> Vec<EntryOf<T, A, R, C>> {
        self.windows.take().unwrap_or_default()
    }

    fn put_windows(&self, windows: Vec<EntryOf<T, A, R, C>>) {
        if !windows.is_empty() {
            self.windows.set(windows);
        }
    }

    fn element(&mut self, slot: u32, at: i64, value: T) -> Result<()> {
        let assigned_at = match self.assigner.clock() {
            Clock::EventTime if at == NO_TIMESTAMP => {
                return Err(Error::msg(super::NO_TIMESTAMP_HINT));
            }
            Clock::EventTime => at,
            Clock::ProcessingTime => self.now_ms,
        };
        let mut assigned = std::mem::take(&mut self.assigned);
        self.assigner.assign(&value, assigned_at, &mut assigned);
        let mut windows = self.take_windows();
        let mut is_skipped = true;
        for window in assigned.drain(..) {
            if let Some(place) = self.place(slot, &mut windows, window) {
                is_skipped = false;
                self.add(slot, at, &value, &mut windows[place])?;
            }
        }
        self.put_windows(windows);
        self.assigned = assigned;
        let is_late = at.saturating_add(self.lateness.allowed_ms) <= self.context.watermark;
        if is_skipped
            && self.assigner.clock() == Clock::EventTime
            && is_late
            && let Some(tag) = &self.lateness.late
        {
            self.context.sides.push(tag, value, at)?;
            self.label.enter();
        }
        Ok(())
    }

    /// Where a record's window is among those of its key; `None`: its time is over.
    fn place(&mut self, slot: u32, windows: &mut Vec<EntryOf<T, A, R, C>>, window: A::Window) -> Option<usize> {
        if self.assigner.is_merging() {
            let place = self.merge(slot, windows, window);
            if self.is_over(&windows[place].window) {
                let gone = windows.remove(place);
                self.delete_timers(slot, &gone);
                return None;
            }
            return Some(place);
        }
        if self.is_over(&window) {
            return None;
        }
        let known = windows.iter().rposition(|entry| entry.window == window);
        Some(known.unwrap_or_else(|| {
            windows.push(Entry::new(window));
            windows.len() - 1
        }))
    }

    /// Adds a window to those of its key, merged with those that it touches.
    fn merge(&mut self, slot: u32, windows: &mut Vec<EntryOf<T, A, R, C>>, window: A::Window) -> usize {
        let mut result = window.clone();
        let mut merged: Vec<EntryOf<T, A, R, C>> = Vec::new();
        let mut place = 0;
        while place < windows.len() {
            match windows[place].window.merged(&window) {
                // Lies within one that is there: no other touches it.
                Some(whole) if whole == windows[place].window => return place,
                Some(whole) => {
                    result = result.merged(&whole).unwrap_or(result);
                    merged.push(windows.remove(place));
                }
                None => place += 1,
            }
        }
        let mut entry = Entry::new(result);
        let is_new = merged.is_empty();
        for old in merged {
            self.delete_timers(slot, &old);
            self.trigger.merge_state(&mut entry.trigger, old.trigger);
            entry.contents = match (entry.contents.take(), old.contents) {
                (Some(one), Some(other)) => Some(self.contents.merge(one, other)),
                (one, other) => one.or(other),
            };
        }
        if !is_new {
            self.with_trigger(slot, &mut entry, |trigger, window, ctx| trigger.on_merge(window, ctx));
        }
        windows.push(entry);
        windows.len() - 1
    }

    fn add(&mut self, slot: u32, at: i64, value: &T, entry: &mut EntryOf<T, A, R, C>) -> Result<()> {
        let cleanup = (self.assigner.clock(), self.cleanup_time(&entry.window));
        let result = self.with_trigger(slot, entry, |trigger, window, ctx| {
            let result = trigger.on_element(value, at, window, ctx);
            if cleanup.1 != i64::MAX {
                ctx.change(cleanup.0, cleanup.1, true);
            }
            result
        });
        self.contents.add(&mut entry.contents, value.clone());
        self.act(result, entry, false)
    }

    /// Does what the trigger says. With `is_last` nothing of the window is needed any more.
    fn act(&mut self, result: TriggerResult, entry: &mut EntryOf<T, A, R, C>, is_last: bool) -> Result<()> {
        let contents = if result.purges() || is_last { entry.contents.take() } else { None };
        if !result.fires() {
            return Ok(());
        }
        let Some(contents) = contents.or_else(|| entry.contents.clone()) else { return Ok(()) };
        let (key, mut ctx) = split(&mut self.context, entry.window.max_timestamp());
        let key = key.ok_or_else(|| Error::msg("a window without a key"))?;
        (self.emit)(key, &entry.window, contents, &mut ctx)
    }

    fn with_trigger<V>(
        &mut self,
        slot: u32,
        entry: &mut EntryOf<T, A, R, C>,
        call: impl FnOnce(&R, &A::Window, &mut TriggerContext<'_, R::State>) -> V,
    ) -> V {
        self.namespace.clear();
        entry.window.encode(&mut self.namespace);
        let KeyedContext { event_timers, processing_timers, watermark, .. } = &mut self.context;
        let mut ctx = TriggerContext {
            state: &mut entry.trigger,
            event_timers,
            processing_timers,
            set: &mut entry.timers,
            slot,
            namespace: &self.namespace,
            watermark: *watermark,
            now_ms: self.now_ms,
        };
        call(&self.trigger, &entry.window, &mut ctx)
    }

    fn delete_timers(&mut self, slot: u32, entry: &EntryOf<T, A, R, C>) {
        let namespace = entry.window.to_bytes();
        for (is_event_time, timestamp) in &entry.timers {
            let clock = if *is_event_time { Clock::EventTime } else { Clock::ProcessingTime };
            self.context.pending(clock).change(*timestamp, slot, namespace.clone(), false);
        }
    }

    /// When a window is forgotten, by the clock of the windows.
    fn cleanup_time(&self, window: &A::Window) -> i64 {
        match self.assigner.clock() {
            Clock::EventTime => window.max_timestamp().saturating_add(self.lateness.allowed_ms),
            Clock::ProcessingTime => window.max_timestamp(),
        }
    }

    fn is_over(&self, window: &A::Window) -> bool {
        self.assigner.clock() == Clock::EventTime && self.cleanup_time(window) <= self.context.watermark
    }

    fn on_timer(&mut self, clock: Clock, timestamp: i64, slot: u32, namespace: &[u8]) -> Result<()> {
        let window = A::Window::from_bytes(namespace)?;
        let mut windows = self.take_windows();
        if let Some(place) = windows.iter().position(|entry| entry.window == window) {
            let entry = &mut windows[place];
            entry.timers.retain(|timer| *timer != (clock == Clock::EventTime, timestamp));
            let result = self.with_trigger(slot, entry, |trigger, window, ctx| match clock {
                Clock::EventTime => trigger.on_event_time(timestamp, window, ctx),
                Clock::ProcessingTime => trigger.on_processing_time(timestamp, window, ctx),
            });
            let is_cleanup = clock == self.assigner.clock() && timestamp == self.cleanup_time(&window);
            // No record comes behind the end of all input.
            let is_last = is_cleanup || (clock == Clock::EventTime && timestamp == i64::MAX);
            self.act(result, entry, is_last)?;
            if is_last {
                self.with_trigger(slot, entry, |trigger, window, ctx| trigger.clear(window, ctx));
                let gone = windows.remove(place);
                self.delete_timers(slot, &gone);
            }
        }
        self.put_windows(windows);
        Ok(())
    }

    fn fire(&mut self, clock: Clock, timestamp: i64, slot: u32, namespace: &[u8]) -> Result<()> {
        self.context.store.select_slot(slot);
        if clock == Clock::EventTime {
            // All timers up to here are due, so the watermark has come at least as far.
            self.context.watermark = self.context.watermark.max(timestamp);
        }
        if let Err(error) = self.on_timer(clock, timestamp, slot, namespace) {
            self.context.output.check()?;
            return Err(self.label.error(error));
        }
        Ok(())
    }
}

impl<K, T, U, A, R, C, E> Control for WindowOperator<K, T, U, A, R, C, E>
where
    K: Data,
    T: Clone + 'static,
    U: Data,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    E: Fn(&K, &A::Window, C::Kept, &mut WindowContext<'_, U>) -> Result<()>,
{
    fn timers(&mut self, clock: Clock, due: &BatchReader<'_>) -> Result<()> {
        self.context.store.prepare(due).map_err(|error| self.label.error(error))?;
        self.label.enter();
        self.now_ms = self.context.store.backing().now_ms();
        for (index, row) in due.rows().enumerate() {
            // What earlier timers have set comes in its turn.
            while let Some((timestamp, slot, namespace)) = self.context.pending(clock).take_before(row.timestamp) {
                self.fire(clock, timestamp, slot, &namespace)?;
            }
            let slot = self.context.store.select(index);
            if self.context.pending(clock).fire(row.timestamp, slot, row.payload) {
                self.fire(clock, row.timestamp, slot, row.payload)?;
            }
        }
        self.context.output.check()
    }

    fn watermark(&mut self, timestamp: i64) -> Result<()> {
        self.context.watermark = timestamp;
        Ok(())
    }

    fn resume(&mut self, watermark: i64) {
        self.context.watermark = watermark;
    }

    fn end_call(&mut self) {
        self.context.send_timers(self.label.node);
        self.context.store.end_call();
    }

    fn flush(&mut self) {
        self.context.store.flush();
    }
}

/// One input of a window operator. `D` reads a record from its row.
pub(crate) struct WindowInput<O, D> {
    pub operator: Rc<RefCell<O>>,
    pub decode: D,
}

impl<K, T, U, A, R, C, E, D> BatchInput for WindowInput<WindowOperator<K, T, U, A, R, C, E>, D>
where
    K: Data,
    T: Clone + 'static,
    U: Data,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    E: Fn(&K, &A::Window, C::Kept, &mut WindowContext<'_, U>) -> Result<()>,
    D: Fn(&Row<'_>) -> Result<T>,
{
    fn process(&mut self, batch: &BatchReader<'_>) -> Result<()> {
        self.operator.borrow_mut().process(batch, &self.decode)
    }
}
