//! Reducing the records of a window ahead of an exchange, in each subtask for itself.
//!
//! What is held back goes out when the watermark passes the end of its window, and ahead of every flush: then nothing need
//! be kept, and a window gives a record more. The operator behind the exchange reduces what comes of all subtasks.

use super::NO_TIMESTAMP_HINT;
use super::time::{Grid, TimeWindow, Window};
use crate::batch::{BatchReader, NO_TIMESTAMP};
use crate::chunk::Chunk;
use crate::collector::Collector;
use crate::error::Result;
use crate::host::Clock;
use crate::runtime::assembly::Control;
use crate::runtime::receiver::Receiver;

/// The most windows of which something is held back. Of more the earliest goes out before its end.
const WINDOWS_MAX: usize = 64;

/// What a window has so far.
struct Held<T> {
    window: TimeWindow,
    /// None only while it is being reduced.
    value: Option<T>,
    /// The latest timestamp.
    at: i64,
}

/// Reduces the records of each window.
pub(crate) struct LocalReduce<T, F> {
    function: F,
    grid: Grid,
    output: Collector<T>,
    /// Most records belong to the last one.
    held: Vec<Held<T>>,
    watermark: i64,
}

impl<T, F: Fn(T, T) -> T> LocalReduce<T, F> {
    pub fn new(function: F, grid: Grid, output: Collector<T>) -> Self {
        Self { function, grid, output, held: Vec::new(), watermark: i64::MIN }
    }

    #[inline]
    fn add(&mut self, value: T, at: i64) {
        let holds = |held: &Held<T>| held.window.start <= at && at < held.window.end;
        // A window that is over waits for nothing: the operator behind may still want a late record.
        match self.held.iter_mut().rfind(|held| holds(held)) {
            Some(held) => {
                held.value = match held.value.take() {
                    Some(so_far) => Some((self.function)(so_far, value)),
                    None => Some(value),
                };
                held.at = held.at.max(at);
            }
            None if at <= self.watermark => self.output.collect_at(value, at),
            None => {
                if self.held.len() >= WINDOWS_MAX {
                    self.let_go_first();
                }
                let start = self.grid.last_start(at);
                let window = self.grid.windows(at).next().unwrap_or(TimeWindow { start, end: at.saturating_add(1) });
                self.held.push(Held { window, value: Some(value), at });
            }
        }
    }

    fn let_go_first(&mut self) {
        let first = self.held.iter().enumerate().min_by_key(|(_, held)| held.window);
        if let Some(place) = first.map(|(place, _)| place) {
            self.emit(place);
        }
    }

    fn emit(&mut self, place: usize) {
        let Held { value, at, .. } = self.held.remove(place);
        if let Some(value) = value {
            self.output.collect_at(value, at);
        }
    }

    /// Lets all windows go that end at or before a time of the watermark.
    fn let_go(&mut self, watermark: i64) -> Result<()> {
        self.output.label().enter();
        while let Some(place) = self.held.iter().position(|held| held.window.max_timestamp() <= watermark) {
            self.emit(place);
        }
        self.output.check()
    }
}

impl<T, F: Fn(T, T) -> T> Receiver<T> for LocalReduce<T, F> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.output.label().enter();
        for (value, at) in chunk.drain() {
            if at == NO_TIMESTAMP {
                return Err(self.output.label().error(NO_TIMESTAMP_HINT));
            }
            self.add(value, at);
        }
        self.output.check()
    }
}

impl<T, F: Fn(T, T) -> T> Control for LocalReduce<T, F> {
    fn timers(&mut self, _: Clock, _: &BatchReader<'_>) -> Result<()> {
        Err(self.output.label().error("timers for an operator that has none"))
    }

    fn watermark(&mut self, timestamp: i64) -> Result<()> {
        self.watermark = timestamp;
        self.let_go(timestamp)
    }

    fn resume(&mut self, watermark: i64) {
        self.watermark = watermark;
    }

    fn end_call(&mut self) {}

    fn pre_barrier(&mut self) -> Result<()> {
        self.let_go(i64::MAX)
    }

    fn flush(&mut self) {}
}
