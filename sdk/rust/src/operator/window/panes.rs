//! Windows of event time on a grid that fire at their ends and reduce or aggregate, or else do not overlap.
//!
//! A record changes one pane, however many windows it belongs to; at a window's end its panes are merged. The panes of a
//! key are one value of its state, so a record costs one look-up, and a window's end another one. Of the windows of a key
//! that are still to come only the first has a timer: its end sets the next one's. Timers stay in the guest until a flush.
//! Invariants: of a key with panes the next window to fire, or else the next clean-up, has a timer, here or in the host;
//! timers held here belong to keys that the cache does not forget.

use std::cell::RefCell;
use std::rc::Rc;

use super::Lateness;
use super::contents::Contents;
use super::context::{WindowContext, split};
use super::pane_list::Panes;
use super::time::{Grid, Pane, TimeWindow, Window};
use super::timers::HeldTimers;
use crate::batch::{BatchReader, NO_TIMESTAMP, Row};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::Clock;
use crate::operator::KeyedContext;
use crate::runtime::assembly::Control;
use crate::runtime::current::Label;
use crate::runtime::input::BatchInput;
use crate::state::ValueState;

/// The windows of each key, in panes. `E` hands over a window's result.
pub(crate) struct PaneOperator<K, T, U, C: Contents<T>, E> {
    pub label: Label,
    pub grid: Grid,
    pub contents: C,
    pub emit: E,
    pub lateness: Lateness<T>,
    pub panes: ValueState<Panes<C::Kept>>,
    pub context: KeyedContext<K, U>,
    pub timers: HeldTimers,
    /// The pane of the last record.
    pub pane: Pane,
}

/// One input of windows that share panes. `D` reads a record from its row.
pub(crate) struct PaneInput<O, D> {
    pub operator: Rc<RefCell<O>>,
    pub decode: D,
}

impl<K, T, U, C, E> PaneOperator<K, T, U, C, E>
where
    K: Data,
    T: 'static,
    U: Data,
    C: Contents<T>,
    E: Fn(&K, &TimeWindow, C::Kept, &mut WindowContext<'_, U>) -> Result<()>,
{
    /// When a window is forgotten.
    fn cleanup_time(&self, window: &TimeWindow) -> i64 {
        window.max_timestamp().saturating_add(self.lateness.allowed_ms)
    }

    #[inline]
    fn row(&mut self, at: i64, value: T, slot: u32) -> Result<()> {
        let watermark = self.context.watermark;
        if at < self.pane.start || at >= self.pane.end {
            if at == NO_TIMESTAMP {
                return Err(Error::msg(super::NO_TIMESTAMP_HINT));
            }
            self.pane = self.grid.pane(at);
        }
        let Some(last) = self.pane.last.filter(|last| self.cleanup_time(last) > watermark) else {
            return self.late(at, value);
        };
        let Pane { start, first_fires_at, .. } = self.pane;
        let is_new = self.panes.modify(|panes| {
            let (kept, is_new) = panes.get_or_insert_default().pane(start);
            self.contents.add(kept, value);
            is_new
        });
        if is_new {
            self.set_timer(slot, start, last);
        }
        let is_late = first_fires_at <= watermark && self.lateness.allowed_ms > 0;
        if is_late { self.fire_late(start) } else { Ok(()) }
    }

    /// Sets the timer of a new pane: of the first of its windows that is to fire, or of its clean-up.
    fn set_timer(&mut self, slot: u32, start: i64, last: TimeWindow) {
        let watermark = self.context.watermark;
        let to_fire = self.grid.windows(start).take_while(|window| window.max_timestamp() > watermark).last();
        let at = to_fire.map_or_else(|| self.cleanup_time(&last), |window| window.max_timestamp());
        self.timers.set(at, slot);
    }

    /// A record for which there is no window.
    #[cold]
    fn late(&mut self, at: i64, value: T) -> Result<()> {
        if at.saturating_add(self.lateness.allowed_ms) <= self.context.watermark
            && let Some(tag) = &self.lateness.late
        {
            self.context.sides.push(tag, value, at)?;
            self.label.enter();
        }
        Ok(())
    }

    /// A record came: its windows that have fired and are kept fire again.
    fn fire_late(&mut self, start: i64) -> Result<()> {
        let watermark = self.context.watermark;
        for window in self.grid.windows(start) {
            if window.max_timestamp() <= watermark && self.cleanup_time(&window) > watermark {
                self.emit_window(window, false)?;
            }
        }
        Ok(())
    }

    /// Hands over what a window has. With `is_last` its panes are dropped next.
    fn emit_window(&mut self, window: TimeWindow, is_last: bool) -> Result<()> {
        let merge = |one, other| self.contents.merge(one, other);
        let kept = match is_last {
            true => self.panes.modify(|panes| panes.as_mut().and_then(|panes| panes.take(window, merge))),
            false => self.panes.with(|panes| panes.and_then(|panes| panes.merged(window, merge))),
        };
        let Some(kept) = kept else { return Ok(()) };
        let (key, mut ctx) = split(&mut self.context, window.max_timestamp());
        let key = key.ok_or_else(|| Error::msg("a window without a key"))?;
        (self.emit)(key, &window, kept, &mut ctx)
    }

    /// A timer of a key: fires the window that ends, drops the panes whose time is over, and sets the next timer.
    fn on_timer(&mut self, timestamp: i64, slot: u32) -> Result<()> {
        self.context.store.select_slot(slot);
        self.context.watermark = self.context.watermark.max(timestamp);
        let ending = self.grid.window_of_end(timestamp.saturating_add(1));
        let fired_end = self.panes.with(|panes| panes.map(|panes| panes.fired_end));
        // A timer may come twice, or for a key that has nothing any more.
        let Some(fired_end) = fired_end else { return Ok(()) };
        let ending = ending.filter(|window| window.end > fired_end);
        let (grid, allowed_ms) = (self.grid, self.lateness.allowed_ms);
        if let Some(window) = ending {
            self.emit_window(window, grid.is_tumbling() && allowed_ms == 0)?;
        }
        let timers = &mut self.timers;
        self.panes.modify(|kept| {
            let Some(panes) = kept else { return };
            panes.drop_until(&grid, allowed_ms, timestamp);
            if let Some(window) = ending {
                panes.fired_end = window.end;
                let next = grid.next(window);
                if panes.has(next) {
                    timers.set(next.max_timestamp(), slot);
                }
            }
            if panes.panes.is_empty() {
                *kept = None;
            } else if allowed_ms > 0 {
                // The first pane is the first to go, once all of its windows have fired.
                let last = panes.panes.first().and_then(|pane| grid.windows(pane.start).next());
                if let Some(last) = last.filter(|last| last.max_timestamp() <= timestamp) {
                    timers.set(last.max_timestamp().saturating_add(allowed_ms), slot);
                }
            }
        });
        Ok(())
    }

    fn fire(&mut self, timestamp: i64, slot: u32) -> Result<()> {
        if let Err(error) = self.on_timer(timestamp, slot) {
            self.context.output.check()?;
            return Err(self.label.error(error));
        }
        Ok(())
    }

    /// Fires the timers held here up to a time.
    fn fire_held(&mut self, up_to: i64) -> Result<()> {
        while let Some((timestamp, slots)) = self.timers.take_first(up_to) {
            for slot in slots {
                self.fire(timestamp, slot)?;
            }
        }
        Ok(())
    }

    fn send_timers(&mut self) {
        self.timers.send(self.context.store.backing(), self.label.node);
    }
}

impl<K, T, U, C, E, D> BatchInput for PaneInput<PaneOperator<K, T, U, C, E>, D>
where
    K: Data,
    T: 'static,
    U: Data,
    C: Contents<T>,
    E: Fn(&K, &TimeWindow, C::Kept, &mut WindowContext<'_, U>) -> Result<()>,
    D: Fn(&Row<'_>) -> Result<T>,
{
    fn process(&mut self, batch: &BatchReader<'_>) -> Result<()> {
        let (decode, operator) = (&self.decode, &mut *self.operator.borrow_mut());
        operator.context.store.prepare(batch).map_err(|error| operator.label.error(error))?;
        operator.label.enter();
        for (index, row) in batch.rows().enumerate() {
            let slot = operator.context.store.select(index);
            let result = decode(&row).and_then(|value| operator.row(row.timestamp, value, slot));
            if let Err(error) = result {
                operator.context.output.check()?;
                return Err(operator.label.error(error));
            }
        }
        operator.context.output.check()
    }
}

impl<K, T, U, C, E> Control for PaneOperator<K, T, U, C, E>
where
    K: Data,
    T: 'static,
    U: Data,
    C: Contents<T>,
    E: Fn(&K, &TimeWindow, C::Kept, &mut WindowContext<'_, U>) -> Result<()>,
{
    fn timers(&mut self, clock: Clock, due: &BatchReader<'_>) -> Result<()> {
        if clock == Clock::ProcessingTime {
            return Err(self.label.error("a timer of the wall clock for windows of event time"));
        }
        self.context.store.prepare(due).map_err(|error| self.label.error(error))?;
        self.label.enter();
        for (index, row) in due.rows().enumerate() {
            // What is held here comes in its turn: if a timer is due, so are all before it.
            self.fire_held(row.timestamp.saturating_sub(1))?;
            let slot = self.context.store.select(index);
            self.fire(row.timestamp, slot)?;
        }
        self.context.output.check()
    }

    fn watermark(&mut self, timestamp: i64) -> Result<()> {
        self.context.watermark = timestamp;
        self.label.enter();
        self.fire_held(timestamp)?;
        self.context.output.check()
    }

    fn resume(&mut self, watermark: i64) {
        self.context.watermark = watermark;
    }

    fn end_call(&mut self) {
        if self.timers.is_full() || self.context.store.is_over_budget() {
            self.send_timers();
        }
        self.context.store.end_call();
    }

    fn flush(&mut self) {
        self.send_timers();
        self.context.store.flush();
    }
}
