//! Restoring what earlier subtasks sealed.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::StateKind;
use millrace_wire::Change;

use super::{KeyedBackend, Place};
use crate::address::state_key;
use crate::error::{Refusal, StateError};
use crate::merge::{MERGE_SEGMENTS_MAX, Merged, Merger};
use crate::operator_state::OperatorState;
use crate::registry::{StateDescriptor, StateId};
use crate::segment::{SegmentError, SegmentFault, SegmentInput, SegmentSource, TIMERS};
use crate::store::table::Growth;
use crate::timer::StateTimer;

/// The types of an operator's states, by name.
type Fingerprints = BTreeMap<String, String>;

/// Why an entry was not restored.
enum Stopped {
    Segment(SegmentError),
    State(StateError),
}

impl From<SegmentError> for Stopped {
    fn from(error: SegmentError) -> Self {
        Self::Segment(error)
    }
}

impl KeyedBackend {
    /// Restores an operator's keyed state before any instance is opened: for each earlier subtask that had some of the key
    /// groups, its segments in order. Entries of other key groups are passed over. Gives the operator's timers, in order.
    ///
    /// Whoever tracks changes goes on with these segments: [`crate::SegmentChain::restored`].
    pub fn restore<S: SegmentSource>(
        &mut self,
        uid: &str,
        fingerprints: &Fingerprints,
        segments: Vec<Vec<SegmentInput<S>>>,
    ) -> Result<Vec<StateTimer>, StateError> {
        let mut timers = BTreeSet::new();
        for subtask in segments {
            let mut rest = subtask.into_iter().peekable();
            while rest.peek().is_some() {
                let run = rest.by_ref().take(MERGE_SEGMENTS_MAX).collect();
                self.restore_run(uid, fingerprints, run, &mut timers)?;
            }
        }
        Ok(timers.into_iter().collect())
    }

    fn restore_run<S: SegmentSource>(
        &mut self,
        uid: &str,
        fingerprints: &Fingerprints,
        run: Vec<SegmentInput<S>>,
        timers: &mut BTreeSet<StateTimer>,
    ) -> Result<(), StateError> {
        let blame = |cause| StateError::Segment { uid: uid.to_owned(), cause };
        let (range, max_parallelism) = (self.options.key_groups, self.options.max_parallelism);
        let mut merger = Merger::open(run, range, max_parallelism).map_err(blame)?;
        let mut ids = Vec::with_capacity(merger.states.len());
        for state in &merger.states {
            ids.push(self.register_restored(uid, &state.name, fingerprints, StateKind::Keyed, state.expires)?);
        }
        let restored = merger.for_each(|Merged { section: (state, group), key, value }| {
            if state == TIMERS {
                let malformed = || SegmentFault::Malformed { part: "key", offset: 0, reason: "it is not a timer" };
                let timer = StateTimer::decode(key).ok_or_else(|| malformed().of("with the timers"))?;
                if value.is_some() {
                    timers.insert(timer)
                } else {
                    timers.remove(&timer)
                };
                return Ok(());
            }
            let Some(id) = ids.get(state as usize) else { return Ok(()) };
            let slot = usize::from(group.saturating_sub(range.start));
            let change = value.map_or(Change::Delete, Change::Set);
            self.load(*id, slot, key, change).map_err(Stopped::State)
        });
        restored.map_err(|stopped| match stopped {
            Stopped::Segment(cause) => blame(cause),
            Stopped::State(error) => error,
        })
    }

    /// Restores an operator's states that are not keyed before any instance is opened.
    pub fn restore_operator_state(
        &mut self,
        uid: &str,
        fingerprints: &Fingerprints,
        state: &OperatorState,
    ) -> Result<(), StateError> {
        for (name, state) in &state.states {
            let id = self.register_restored(uid, name, fingerprints, state.kind, state.expires)?;
            for (sub_key, value) in &state.entries {
                self.load(id, 0, &state_key(&[], sub_key), Change::Set(value))?;
            }
        }
        Ok(())
    }

    fn register_restored(
        &mut self,
        uid: &str,
        name: &str,
        fingerprints: &Fingerprints,
        kind: StateKind,
        expires: bool,
    ) -> Result<StateId, StateError> {
        let (uid, name) = (uid.to_owned(), name.to_owned());
        let Some(fingerprint) = fingerprints.get(&name).cloned() else {
            return Err(StateError::NoFingerprint { uid, name });
        };
        self.register(StateDescriptor { uid, name, fingerprint, kind, expires })
    }

    /// Applies a change that is part of the segments already.
    fn load(&mut self, id: StateId, slot: usize, key: &[u8], change: Change<'_>) -> Result<(), StateError> {
        let limits = &self.options.limits;
        let Some(state) = self.states.get_mut(id.0) else { return Ok(()) };
        let growth = match &mut state.place {
            Place::Keyed(table) => self.store.change(*table, slot, key, change, limits, false),
            Place::Subtask(table) => table.change(slot, key, change, limits, false),
        };
        let Growth { before, after } = growth.map_err(|cause| state.blame(cause))?;
        self.total_bytes = self.total_bytes.saturating_sub(before).saturating_add(after);
        if self.total_bytes > limits.total_bytes_max {
            return Err(state.blame(Refusal::TotalTooLarge { max: limits.total_bytes_max }));
        }
        Ok(())
    }
}
