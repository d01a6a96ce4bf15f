//! Keyed operators: functions with state and timers for each key.

mod context;
mod function;

use std::cell::RefCell;
use std::rc::Rc;

pub use context::KeyedContext;
pub use function::{KeyedCoProcessFunction, KeyedProcessFunction};

use crate::batch::{BatchReader, Row};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::Clock;
use crate::runtime::assembly::Control;
use crate::runtime::current::Label;
use crate::runtime::input::BatchInput;

/// A function with its state handles and context. `T` calls the function's timer method.
pub(crate) struct KeyedOperator<K, U, F, S, T> {
    pub label: Label,
    pub function: F,
    pub states: S,
    pub context: KeyedContext<K, U>,
    pub on_timer: T,
}

/// One input of a keyed operator. `C` calls the function's method for it.
pub(crate) struct KeyedInput<O, V, C> {
    pub operator: Rc<RefCell<O>>,
    pub call: C,
    /// The records are their own keys, and have no payload.
    pub is_own_key: bool,
    pub record: std::marker::PhantomData<fn(V)>,
}

impl<K, U, F, S, T> KeyedOperator<K, U, F, S, T>
where
    K: Data,
    U: Data,
{
    /// Runs `handle` for each row of a batch, with the row's key and timestamp in the context.
    fn each_row(
        &mut self,
        batch: &BatchReader<'_>,
        mut handle: impl FnMut(&mut Self, &Row<'_>, u32) -> Result<()>,
    ) -> Result<()> {
        self.context.store.prepare(batch).map_err(|error| self.label.error(error))?;
        self.label.enter();
        for (index, row) in batch.rows().enumerate() {
            let slot = self.context.store.select(index);
            self.context.output.at = row.timestamp;
            if let Err(error) = handle(self, &row, slot) {
                return self.failed(error);
            }
        }
        self.context.output.check()
    }

    /// What failed downstream comes before what the function says, and names its own operator.
    #[cold]
    #[inline(never)]
    fn failed(&mut self, error: Error) -> Result<()> {
        self.context.output.check()?;
        Err(self.label.error(error))
    }
}

impl<K, U, F, S, T, V, C> BatchInput for KeyedInput<KeyedOperator<K, U, F, S, T>, V, C>
where
    K: Data,
    U: Data,
    V: Data,
    C: Fn(&F, &S, V, &mut KeyedContext<K, U>) -> Result<()>,
{
    fn process(&mut self, batch: &BatchReader<'_>) -> Result<()> {
        let (call, is_own_key) = (&self.call, self.is_own_key);
        self.operator.borrow_mut().each_row(batch, |operator, row, _| {
            let value: V = if is_own_key { row.decode_key()? } else { row.decode_payload()? };
            call(&operator.function, &operator.states, value, &mut operator.context)
        })
    }
}

impl<K, U, F, S, T> Control for KeyedOperator<K, U, F, S, T>
where
    K: Data,
    U: Data,
    T: Fn(&F, &S, Clock, i64, &mut KeyedContext<K, U>) -> Result<()>,
{
    fn timers(&mut self, clock: Clock, due: &BatchReader<'_>) -> Result<()> {
        self.each_row(due, |operator, row, slot| {
            if !operator.context.pending(clock).fire(row.timestamp, slot, row.payload) {
                return Ok(());
            }
            let call = &operator.on_timer;
            call(&operator.function, &operator.states, clock, row.timestamp, &mut operator.context)
        })
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
