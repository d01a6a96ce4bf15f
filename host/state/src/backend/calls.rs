//! What guests call: get, scan, put.

use bytes::Bytes;
use millrace_wire::{BatchBuilder, BatchFlags, BatchView, read_changes, read_keys};

use super::{KeyedBackend, Place, State, unknown};
use crate::error::{Refusal, StateError};
use crate::limits::StateLimits;
use crate::registry::StateId;
use crate::store::{ScanRange, Store};

impl KeyedBackend {
    /// Reads the values of a batch of state keys.
    pub fn get(&self, state: StateId, keys: &BatchView) -> Result<Bytes, StateError> {
        let state = self.state(state)?;
        state.get(&self.store, keys, &self.options.limits).map_err(|cause| state.blame(cause))
    }

    /// Reads about `bytes_max` of the entries whose state keys begin with `prefix`, behind the state key `after`: at
    /// least one if there is any, and never more than the limit on answers.
    pub fn scan(
        &self,
        state: StateId,
        prefix: &[u8],
        after: Option<&[u8]>,
        bytes_max: u32,
    ) -> Result<Bytes, StateError> {
        let state = self.state(state)?;
        let bytes_max = bytes_max.min(self.options.limits.answer_bytes_max);
        state.scan(&self.store, prefix, after, bytes_max).map_err(|cause| state.blame(cause))
    }

    /// Applies a batch of changes, in order.
    pub fn put(&mut self, state: StateId, changes: &BatchView) -> Result<(), StateError> {
        let Self { store, options, total_bytes, tracking, .. } = self;
        let count = self.states.len();
        let Some(state) = self.states.get_mut(state.0) else {
            return Err(unknown(state, count));
        };
        let put = state.put(store, changes, &options.limits, total_bytes, *tracking);
        put.map_err(|cause| state.blame(cause))
    }
}

impl State {
    pub(super) fn blame(&self, cause: Refusal) -> StateError {
        StateError::Refused { uid: self.descriptor.uid.clone(), name: self.descriptor.name.clone(), cause }
    }

    fn get(&self, store: &Store, keys: &BatchView, limits: &StateLimits) -> Result<Bytes, Refusal> {
        let max = limits.answer_bytes_max;
        let mut answer = BatchBuilder::new(BatchFlags { timestamped: false, keyed: false });
        for key in read_keys(keys)? {
            let key = key?;
            let slot = self.space.slot_of(key)?;
            match &self.place {
                Place::Keyed(table) => store.get(*table, slot, key, |value| answer.push_value(value))?,
                Place::Subtask(table) => answer.push_value(table.get(slot, key)),
            }
            if answer.byte_len() as u64 > u64::from(max) {
                return Err(Refusal::AnswerTooLong { keys: keys.len(), max });
            }
        }
        Ok(answer.finish())
    }

    fn scan(&self, store: &Store, prefix: &[u8], after: Option<&[u8]>, bytes_max: u32) -> Result<Bytes, Refusal> {
        let mut answer = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
        let slots = self.space.slots_from(prefix, after)?;
        let after = after.map(|after| Ok::<_, Refusal>((self.space.slot_of(after)?, after))).transpose()?;
        let mut visit = |key: &[u8], value: &[u8]| {
            // The row's own length and its place in the index are 4 bytes each.
            let with_row = answer.byte_len() as u64 + (key.len() + value.len()) as u64 + 8;
            let fits = answer.is_empty() || with_row <= u64::from(bytes_max);
            if fits {
                answer.push(None, Some(key), value);
            }
            fits
        };
        match &self.place {
            Place::Keyed(table) => store.scan(*table, ScanRange { slots, prefix, after }, &mut visit)?,
            Place::Subtask(table) => table.scan(slots, prefix, after, &mut visit),
        }
        Ok(answer.finish())
    }

    fn put(
        &mut self,
        store: &mut Store,
        changes: &BatchView,
        limits: &StateLimits,
        total_bytes: &mut u64,
        tracked: bool,
    ) -> Result<(), Refusal> {
        for change in read_changes(changes)? {
            let (key, change) = change?;
            let slot = self.space.slot_of(key)?;
            let growth = match &mut self.place {
                Place::Keyed(table) => store.change(*table, slot, key, change, limits, tracked)?,
                Place::Subtask(table) => table.change(slot, key, change, limits, false)?,
            };
            *total_bytes = total_bytes.saturating_sub(growth.before).saturating_add(growth.after);
            if growth.after > growth.before && *total_bytes > limits.total_bytes_max {
                return Err(Refusal::TotalTooLarge { max: limits.total_bytes_max });
            }
        }
        Ok(())
    }
}
