//! Sealing: what an operator had at a barrier.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use millrace_types::StateKind;

use super::{KeyedBackend, Place, State};
use crate::error::StateError;
use crate::operator_state::{OperatorState, SubtaskState};
use crate::sealed::{Body, Layout, Sealed, SealedOperator, SealedSegment, timer_rows};
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
        self.cut.clear();
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
        if !self.base_due() {
            return self.seal_changes(timers);
        }
        let sealed = self.seal_bases(timers)?;
        self.store.forget_changes();
        self.base_due = false;
        Ok(sealed)
    }

    /// Takes all that each operator has, together with all timers that are set, for a savepoint. What the next
    /// [`Self::seal`] gives is not touched by it.
    pub fn seal_base(&mut self, timers: Timers) -> Result<Sealed, StateError> {
        self.seal_bases(timers)
    }

    /// Does what a call with so many changes leaves to be done.
    pub(super) fn settle(&mut self, changed: usize) -> Result<(), StateError> {
        if self.store.overflows() {
            self.freeze()?;
        }
        self.store.settle(changed).map_err(StateError::Scratch)
    }

    /// Sees to it that no change is in memory only, and that those that are tracked are in segments.
    fn freeze(&mut self) -> Result<(), StateError> {
        let folder = self.store.scratch_folder().map(Path::to_path_buf);
        let frozen = self.store.freeze().map_err(StateError::Scratch)?;
        let Some(folder) = folder.filter(|_| !self.base_due()) else { return Ok(()) };
        for uid in self.uids() {
            let Layout { states, tables } = self.layout(&uid);
            let Some(body) = self.store.changes(&frozen, &tables) else { continue };
            let stamp = Stamp { max_parallelism: self.options.max_parallelism, base: false, states };
            let segment = SealedSegment { stamp, key_groups: self.options.key_groups, body, timers: BTreeMap::new() };
            let cut = segment.cut(&folder).map_err(|cause| StateError::Segment { uid: uid.clone(), cause })?;
            self.cut.entry(uid).or_default().push(cut);
        }
        Ok(())
    }

    fn seal_changes(&mut self, mut timers: Timers) -> Result<Sealed, StateError> {
        let frozen = self.store.freeze().map_err(StateError::Scratch)?;
        let mut sealed = Sealed::new();
        for uid in self.uids_with(&timers) {
            let Layout { states, tables } = self.layout(&uid);
            let stamp = Stamp { max_parallelism: self.options.max_parallelism, base: false, states };
            let timers = timer_rows(timers.remove(&uid).unwrap_or_default(), &stamp);
            let mut segments = self.cut.remove(&uid).unwrap_or_default();
            let changes = self.store.changes(&frozen, &tables);
            if changes.is_some() || !timers.is_empty() {
                let body = changes.unwrap_or(Body::Copied(Vec::new()));
                segments.push(SealedSegment { stamp, key_groups: self.options.key_groups, body, timers });
            }
            let operator = self.sealed_operator(&uid, segments);
            sealed.insert(uid, operator);
        }
        Ok(sealed)
    }

    fn seal_bases(&mut self, mut timers: Timers) -> Result<Sealed, StateError> {
        self.freeze()?;
        let mut sealed = Sealed::new();
        for uid in self.uids_with(&timers) {
            let Layout { states, tables } = self.layout(&uid);
            let stamp = Stamp { max_parallelism: self.options.max_parallelism, base: true, states };
            let timers = timer_rows(timers.remove(&uid).unwrap_or_default(), &stamp);
            let body = self.store.snapshot(&tables).map_err(StateError::Scratch)?;
            let segment = SealedSegment { stamp, key_groups: self.options.key_groups, body, timers };
            let operator = self.sealed_operator(&uid, vec![segment]);
            sealed.insert(uid, operator);
        }
        Ok(sealed)
    }

    fn sealed_operator(&self, uid: &str, segments: Vec<SealedSegment>) -> SealedOperator {
        let operator_state = self.operator_state(uid).map(|state| state.encode());
        SealedOperator { segments, fingerprints: self.fingerprints(uid), operator_state }
    }

    fn uids(&self) -> BTreeSet<String> {
        self.states.iter().map(|state| state.descriptor.uid.clone()).collect()
    }

    fn uids_with(&self, timers: &Timers) -> BTreeSet<String> {
        let mut uids = self.uids();
        uids.extend(timers.keys().cloned());
        uids
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
