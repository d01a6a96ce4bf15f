//! States with one value a key: plain, reduced and aggregated.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::table::ValueTable;
use super::ttl::{Timed, Ttl, Verdict};
use crate::data::Data;
use crate::operator::AggregateFunction;

/// The slot when no key is being worked on.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The slot of the key being worked on, shared by an operator and the handles of its states.
#[derive(Clone)]
pub(crate) struct CurrentSlot(pub Rc<Cell<u32>>);

impl CurrentSlot {
    #[inline]
    pub fn get(&self) -> u32 {
        let slot = self.0.get();
        assert!(slot != NO_SLOT, "state belongs to a key, so it can be used only while a record or timer is handled");
        slot
    }
}

/// One value for each key: Flink's `ValueState`.
///
/// The handle always means the key of the record, or the timer, that is being worked on.
pub struct ValueState<V> {
    pub(crate) values: Values<V>,
    pub(crate) slot: CurrentSlot,
}

/// Values that stay, or expire.
pub(crate) enum Values<V> {
    Lasting(Rc<RefCell<ValueTable<V>>>),
    Expiring(Rc<RefCell<ValueTable<Timed<V>>>>, Ttl),
}

impl<V: Data> ValueState<V> {
    /// A copy of the value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<V> {
        self.with(|value| value.cloned())
    }

    /// Whether there is a value.
    pub fn exists(&self) -> bool {
        self.with(|value| value.is_some())
    }

    /// Looks at the value without copying it.
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(Option<&V>) -> R) -> R {
        match &self.values {
            Values::Lasting(table) => look(table.borrow().value(self.slot.get()).as_ref()),
            Values::Expiring(table, ttl) => {
                let (table, slot) = (&mut *table.borrow_mut(), self.slot.get());
                let Some(timed) = table.value(slot) else { return look(None) };
                match ttl.judge(timed.expires_at) {
                    Verdict::Keep => look(Some(&timed.value)),
                    Verdict::Renew => {
                        let value = table.value_mut(slot).as_mut();
                        look(value.map(|timed| {
                            timed.expires_at = ttl.expires_at();
                            &timed.value
                        }))
                    }
                    Verdict::Drop => {
                        *table.value_mut(slot) = None;
                        look(None)
                    }
                    Verdict::ShowAndDrop => look(table.value_mut(slot).take().map(|timed| timed.value).as_ref()),
                }
            }
        }
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: V) {
        match &self.values {
            Values::Lasting(table) => *table.borrow_mut().value_mut(self.slot.get()) = Some(value),
            Values::Expiring(table, ttl) => {
                *table.borrow_mut().value_mut(self.slot.get()) = Some(ttl.stamp(value));
            }
        }
    }

    /// Removes the value.
    pub fn clear(&self) {
        self.take();
    }

    /// Removes the value and returns it.
    pub fn take(&self) -> Option<V> {
        fn take<V: Data>(table: &RefCell<ValueTable<V>>, slot: u32) -> Option<V> {
            let mut table = table.borrow_mut();
            if table.value(slot).is_none() { None } else { table.value_mut(slot).take() }
        }
        match &self.values {
            Values::Lasting(table) => take(table, self.slot.get()),
            Values::Expiring(table, ttl) => take(table, self.slot.get()).and_then(|timed| ttl.unwrap(timed)),
        }
    }

    /// Changes the value in place; `None` is no value. The same state must not be used within `change`.
    #[inline]
    pub fn modify<R>(&self, change: impl FnOnce(&mut Option<V>) -> R) -> R {
        match &self.values {
            Values::Lasting(table) => change(table.borrow_mut().value_mut(self.slot.get())),
            Values::Expiring(table, ttl) => self.modify_expiring(table, ttl, change),
        }
    }

    #[inline(never)]
    fn modify_expiring<R>(
        &self,
        table: &RefCell<ValueTable<Timed<V>>>,
        ttl: &Ttl,
        change: impl FnOnce(&mut Option<V>) -> R,
    ) -> R {
        let mut table = table.borrow_mut();
        let cell = table.value_mut(self.slot.get());
        let mut value = cell.take().and_then(|timed| ttl.unwrap(timed));
        let result = change(&mut value);
        *cell = value.map(|value| ttl.stamp(value));
        result
    }
}

impl<V> Clone for ValueState<V> {
    fn clone(&self) -> Self {
        let values = match &self.values {
            Values::Lasting(table) => Values::Lasting(Rc::clone(table)),
            Values::Expiring(table, ttl) => Values::Expiring(Rc::clone(table), ttl.clone()),
        };
        Self { values, slot: self.slot.clone() }
    }
}

/// All that was added for a key, reduced to one value: Flink's `ReducingState`.
pub struct ReducingState<T> {
    pub(crate) value: ValueState<T>,
    pub(crate) reduce: Rc<dyn Fn(T, T) -> T>,
}

impl<T: Data> ReducingState<T> {
    /// Reduces a value into what is there.
    pub fn add(&self, value: T) {
        self.value.modify(|reduced| {
            *reduced = Some(match reduced.take() {
                Some(so_far) => (self.reduce)(so_far, value),
                None => value,
            });
        });
    }

    /// What was added, reduced; none if nothing was.
    pub fn get(&self) -> Option<T> {
        self.value.get()
    }

    /// Removes all.
    pub fn clear(&self) {
        self.value.clear();
    }
}

/// All that was added for a key, aggregated: Flink's `AggregatingState`.
pub struct AggregatingState<T, F: AggregateFunction<T>> {
    pub(crate) accumulator: ValueState<F::Accumulator>,
    pub(crate) function: Rc<F>,
}

impl<T: 'static, F: AggregateFunction<T>> AggregatingState<T, F> {
    /// Adds a value to what is there.
    pub fn add(&self, value: T) {
        self.accumulator.modify(|accumulator| {
            self.function.add(accumulator.get_or_insert_with(|| self.function.create()), value);
        });
    }

    /// What was added, aggregated; none if nothing was.
    pub fn get(&self) -> Option<F::Output> {
        self.accumulator.get().map(|accumulator| self.function.result(accumulator))
    }

    /// Removes all.
    pub fn clear(&self) {
        self.accumulator.clear();
    }
}
