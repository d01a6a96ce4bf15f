//! The backend: all states of one subtask.

use bytes::Bytes;
use millrace_types::KeyGroupRange;
use millrace_wire::{BatchBuilder, BatchFlags, BatchView, read_changes, read_keys};

use crate::error::{Refusal, StateError};
use crate::limits::StateLimits;
use crate::registry::{SegmentStates, StateDescriptor, StateId};
use crate::table::{Ownership, Table};

#[derive(Debug)]
struct State {
    descriptor: StateDescriptor,
    table: Table,
}

/// The keyed state of one subtask, in memory.
///
/// Batches come and go as the functions `get`, `scan` and `put` of the guest contract describe them. A call that fails
/// may have been carried out in part: the attempt ends with it.
#[derive(Debug)]
pub struct KeyedBackend {
    ownership: Ownership,
    limits: StateLimits,
    states: Vec<State>,
    total_bytes: u64,
}

impl KeyedBackend {
    /// A backend without states for the key groups of a subtask.
    pub fn new(key_groups: KeyGroupRange, max_parallelism: u32, limits: StateLimits) -> Self {
        let ownership = Ownership { range: key_groups, max_parallelism };
        Self { ownership, limits, states: Vec::new(), total_bytes: 0 }
    }

    /// Takes the descriptors that an instance's `open` returned, in that order. States that are there already keep
    /// their entries; one whose fingerprint has changed is refused.
    pub fn open_segment(
        &mut self,
        descriptors: impl IntoIterator<Item = StateDescriptor>,
    ) -> Result<SegmentStates, StateError> {
        let mut segment = SegmentStates::default();
        for descriptor in descriptors {
            let (uid, name) = (descriptor.uid.clone(), descriptor.name.clone());
            let id = self.register(descriptor)?;
            if segment.ids.contains(&id) {
                return Err(StateError::DuplicateState { uid, name });
            }
            segment.ids.push(id);
        }
        Ok(segment)
    }

    fn register(&mut self, descriptor: StateDescriptor) -> Result<StateId, StateError> {
        let same = |state: &State| state.descriptor.uid == descriptor.uid && state.descriptor.name == descriptor.name;
        let Some(at) = self.states.iter().position(same) else {
            if self.states.len() >= self.limits.states_max {
                let StateDescriptor { uid, name, .. } = descriptor;
                return Err(StateError::TooManyStates { uid, name, max: self.limits.states_max });
            }
            self.states.push(State { descriptor, table: Table::new(self.ownership) });
            return Ok(StateId(self.states.len() - 1));
        };
        let found = &self.states[at].descriptor.fingerprint;
        if *found != descriptor.fingerprint {
            let StateDescriptor { uid, name, fingerprint: requested } = descriptor;
            return Err(StateError::Fingerprint { uid, name, found: found.clone(), requested });
        }
        Ok(StateId(at))
    }

    /// All keys and values with what each entry costs besides, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Reads the values of a batch of keys.
    pub fn get(&self, state: StateId, keys: &BatchView) -> Result<Bytes, StateError> {
        let state = self.state(state)?;
        state.get(keys, &self.limits).map_err(|cause| state.blame(cause))
    }

    /// Reads about `bytes_max` of the entries whose keys begin with `prefix`, behind the key `after`: at least one if
    /// there is any, and never more than the limit on answers.
    pub fn scan(
        &self,
        state: StateId,
        prefix: &[u8],
        after: Option<&[u8]>,
        bytes_max: u32,
    ) -> Result<Bytes, StateError> {
        let state = self.state(state)?;
        let bytes_max = bytes_max.min(self.limits.answer_bytes_max);
        state.scan(prefix, after, bytes_max).map_err(|cause| state.blame(cause))
    }

    /// Applies a batch of changes, in order.
    pub fn put(&mut self, state: StateId, changes: &BatchView) -> Result<(), StateError> {
        let count = self.states.len();
        let Some(state) = self.states.get_mut(state.0) else {
            return Err(unknown(state, count));
        };
        let total_bytes = &mut self.total_bytes;
        state.put(changes, &self.limits, total_bytes).map_err(|cause| state.blame(cause))
    }

    fn state(&self, id: StateId) -> Result<&State, StateError> {
        self.states.get(id.0).ok_or_else(|| unknown(id, self.states.len()))
    }
}

/// An id of another backend.
fn unknown(id: StateId, count: usize) -> StateError {
    StateError::UnknownState { state: u32::try_from(id.0).unwrap_or(u32::MAX), count }
}

impl State {
    fn blame(&self, cause: Refusal) -> StateError {
        StateError::Refused { uid: self.descriptor.uid.clone(), name: self.descriptor.name.clone(), cause }
    }

    fn get(&self, keys: &BatchView, limits: &StateLimits) -> Result<Bytes, Refusal> {
        let max = limits.answer_bytes_max;
        let mut answer = BatchBuilder::new(BatchFlags { timestamped: false, keyed: false });
        for key in read_keys(keys)? {
            answer.push_value(self.table.get(key?)?);
            if answer.byte_len() as u64 > u64::from(max) {
                return Err(Refusal::AnswerTooLong { keys: keys.len(), max });
            }
        }
        Ok(answer.finish())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, bytes_max: u32) -> Result<Bytes, Refusal> {
        let mut answer = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
        for (key, value) in self.table.scan(prefix, after)? {
            // The row's own length and its place in the index are 4 bytes each.
            let with_row = answer.byte_len() as u64 + (key.len() + value.len()) as u64 + 8;
            if !answer.is_empty() && with_row > u64::from(bytes_max) {
                break;
            }
            answer.push(None, Some(key), value);
        }
        Ok(answer.finish())
    }

    fn put(&mut self, changes: &BatchView, limits: &StateLimits, total_bytes: &mut u64) -> Result<(), Refusal> {
        for change in read_changes(changes)? {
            let (key, change) = change?;
            let (before, after) = self.table.change(key, change, limits)?;
            *total_bytes = total_bytes.saturating_sub(before).saturating_add(after);
            if after > before && *total_bytes > limits.total_bytes_max {
                return Err(Refusal::TotalTooLarge { max: limits.total_bytes_max });
            }
        }
        Ok(())
    }
}
