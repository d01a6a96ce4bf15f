//! Sealing: what an operator had at a barrier.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::StateKind;

use super::{KeyedBackend, Place, State};
use crate::error::StateError;
use crate::operator_state::{OperatorState, SubtaskState};
use crate::sealed::{Layout, Sealed, SealedOperator, SealedSegment, timer_rows};
use crate::segment::{SegmentState, Stamp};
use crate::timer::TimerUpdate;

/// The changes of timers of each operator, by its uid, in the order in which they were made.
type Timers = BTreeMap<String, Vec<TimerUpdate>>;

impl KeyedBackend {
    /// Whether changes are tracked from now on, for seals that cost what has changed. Without periodic checkpoints nothing
    /// should be tracked. Turn it on before the first `open_segment`: later, the next seal has to be a base.
    pub fn set_tracking(&mut self, on: bool) {
        if on == self.tracking {
            return;
        }
        self.tracking = on;
        self.base_due |= self.opened;
        self.store.forget_changes();
    }

    /// Whether the next [`Self::seal`] gives bases, since changes were not tracked: it then takes all timers that are set
    /// rather than changes.
    pub fn base_due(&self) -> bool {
        self.base_due || !self.tracking
    }

    /// Takes what has changed since the last seal, of each operator that has states or timers, and what changed of its
    /// timers: as changes, or as all timers that are set if [`Self::base_due`]. Costs time for what has changed.
    pub fn seal(&mut self, timers: Timers) -> Result<Sealed, StateError> {
        let base = self.base_due();
        let sealed = self.seal_all(timers, base)?;
        if base {
            self.store.forget_changes();
            self.base_due = false;
        }
        Ok(sealed)
    }

    /// Takes all that each operator has, together with all timers that are set, for a savepoint. What the next
    /// [`Self::seal`] gives is not touched by it.
    pub fn seal_base(&mut self, timers: Timers) -> Result<Sealed, StateError> {
        self.seal_all(timers, true)
    }

    fn seal_all(&mut self, mut timers: Timers, base: bool) -> Result<Sealed, StateError> {
        let uids = self.states.iter().map(|state| &state.descriptor.uid).chain(timers.keys());
        let uids: BTreeSet<String> = uids.cloned().collect();
        let mut sealed = Sealed::new();
        for uid in uids {
            let Layout { states, tables } = self.layout(&uid);
            let stamp = Stamp { max_parallelism: self.options.max_parallelism, base, states };
            let timers = timer_rows(timers.remove(&uid).unwrap_or_default(), &stamp);
            let bodies = if base { vec![self.store.snapshot(&tables)] } else { self.store.take_changes(&tables) };
            let key_groups = self.options.key_groups;
            let segment = |body| SealedSegment { stamp: stamp.clone(), key_groups, body, timers: BTreeMap::new() };
            let mut segments: Vec<_> = bodies.into_iter().map(segment).collect();
            segments.retain(|segment| base || !segment.body.is_empty());
            match segments.last_mut() {
                Some(last) => last.timers = timers,
                None if timers.is_empty() => {}
                None => segments.push(SealedSegment { timers, ..segment(crate::sealed::Body::Copied(Vec::new())) }),
            }
            let operator_state = self.operator_state(&uid).map(|state| state.encode());
            let fingerprints = self.fingerprints(&uid);
            sealed.insert(uid, SealedOperator { segments, fingerprints, operator_state });
        }
        Ok(sealed)
    }

    fn states_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a State> {
        self.states.iter().filter(move |state| state.descriptor.uid == uid)
    }

    fn layout(&self, uid: &str) -> Layout {
        let mut keyed: BTreeMap<&str, (bool, usize)> = BTreeMap::new();
        for State { descriptor, place, .. } in self.states_of(uid) {
            if let Place::Keyed(table) = place {
                keyed.insert(&descriptor.name, (descriptor.expires, *table));
            }
        }
        let states =
            keyed.iter().map(|(name, (expires, _))| SegmentState { name: (*name).to_owned(), expires: *expires });
        Layout { states: states.collect(), tables: keyed.values().map(|(_, table)| *table).collect() }
    }

    fn fingerprints(&self, uid: &str) -> BTreeMap<String, String> {
        let descriptors = self.states_of(uid).map(|state| &state.descriptor);
        descriptors.map(|state| (state.name.clone(), state.fingerprint.clone())).collect()
    }

    fn operator_state(&self, uid: &str) -> Option<OperatorState> {
        let mut states = BTreeMap::new();
        for State { descriptor, place, .. } in self.states_of(uid) {
            let Place::Subtask(table) = place else { continue };
            debug_assert_ne!(descriptor.kind, StateKind::Keyed);
            let mut entries = BTreeMap::new();
            table.scan(0..=0, &[], None, &mut |key, value| {
                // The sub-key: behind the length of a key that is empty.
                entries.insert(key.get(4..).unwrap_or_default().to_vec(), value.to_vec());
                true
            });
            let state = SubtaskState { kind: descriptor.kind, expires: descriptor.expires, entries };
            states.insert(descriptor.name.clone(), state);
        }
        (!states.is_empty()).then_some(OperatorState { states })
    }
}
