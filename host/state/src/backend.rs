//! The backend: all states of one subtask.

mod calls;
mod restore;
mod seal;

use std::collections::BTreeMap;

use millrace_types::{KeyGroupRange, StateKind};

use crate::address::Space;
use crate::error::StateError;
use crate::fingerprint::fingerprint_accepts;
use crate::limits::StateLimits;
use crate::registry::{SegmentStates, StateDescriptor, StateId};
use crate::sealed::SealedSegment;
use crate::store::Store;
use crate::store::scratch::{ScratchOptions, ScratchStore};
use crate::store::table::Table;

/// Where the entries of a state are.
#[derive(Debug)]
enum Place {
    /// In the table of this number of the store.
    Keyed(usize),
    /// Here: states that are not keyed are small.
    Subtask(Box<Table>),
}

#[derive(Debug)]
struct State {
    descriptor: StateDescriptor,
    space: Space,
    place: Place,
}

/// Where keyed state is kept: Flink's `state.backend.type`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Storage {
    /// In memory, up to [`StateLimits::total_bytes_max`].
    #[default]
    Hashmap,
    /// In a scratch file, larger than memory.
    Redb(ScratchOptions),
}

/// What a backend is opened with.
#[derive(Debug, Clone)]
pub struct BackendOptions {
    /// Where keyed state is kept. States that are not keyed are always in memory.
    pub storage: Storage,
    /// The key groups of the subtask.
    pub key_groups: KeyGroupRange,
    /// The number of key groups of all subtasks.
    pub max_parallelism: u32,
    /// What its state may grow to.
    pub limits: StateLimits,
}

/// The state of one subtask.
///
/// Batches come and go as the functions `get`, `scan` and `put` of the guest contract describe them. A call that fails
/// may have been carried out in part: the attempt ends with it.
#[derive(Debug)]
pub struct KeyedBackend {
    keyed: Space,
    options: BackendOptions,
    states: Vec<State>,
    store: Store,
    total_bytes: u64,
    tracking: bool,
    /// An instance was opened: there may be changes.
    opened: bool,
    /// There were changes that nobody tracked.
    base_due: bool,
    /// Segments of changes that could not stay in memory until they are sealed, by uid.
    cut: BTreeMap<String, Vec<SealedSegment>>,
}

impl KeyedBackend {
    /// A backend without states. It tracks no changes.
    pub fn open(options: BackendOptions) -> Result<Self, StateError> {
        let keyed = Space::Keyed { range: options.key_groups, max_parallelism: options.max_parallelism };
        let store = match &options.storage {
            Storage::Hashmap => Store::Memory(Vec::new()),
            Storage::Redb(scratch) => {
                Store::Scratch(Box::new(ScratchStore::open(scratch).map_err(StateError::Scratch)?))
            }
        };
        Ok(Self {
            keyed,
            options,
            states: Vec::new(),
            store,
            total_bytes: 0,
            tracking: false,
            opened: false,
            base_due: false,
            cut: BTreeMap::new(),
        })
    }

    /// Takes the descriptors that an instance's `open` returned, in that order. States that are there already keep
    /// their entries; one whose type or kind has changed is refused.
    pub fn open_segment(
        &mut self,
        descriptors: impl IntoIterator<Item = StateDescriptor>,
    ) -> Result<SegmentStates, StateError> {
        self.opened = true;
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

    /// Whether an instance with these states could be opened: each is new, or accepts what is there.
    ///
    /// # Errors
    /// The first one that could not be.
    pub fn check_segment(&self, descriptors: impl IntoIterator<Item = StateDescriptor>) -> Result<(), StateError> {
        descriptors.into_iter().try_for_each(|descriptor| match self.position(&descriptor) {
            Some(at) => accept(&self.states[at].descriptor, &descriptor),
            None => Ok(()),
        })
    }

    fn position(&self, wanted: &StateDescriptor) -> Option<usize> {
        let same = |state: &State| state.descriptor.uid == wanted.uid && state.descriptor.name == wanted.name;
        self.states.iter().position(same)
    }

    fn register(&mut self, descriptor: StateDescriptor) -> Result<StateId, StateError> {
        let Some(at) = self.position(&descriptor) else {
            if self.states.len() >= self.options.limits.states_max {
                let StateDescriptor { uid, name, .. } = descriptor;
                return Err(StateError::TooManyStates { uid, name, max: self.options.limits.states_max });
            }
            let (space, place) = match descriptor.kind {
                StateKind::Keyed => (self.keyed, Place::Keyed(self.store.add(self.keyed))),
                StateKind::List | StateKind::Union | StateKind::Broadcast => {
                    (Space::Subtask, Place::Subtask(Box::new(Table::new(Space::Subtask))))
                }
            };
            self.states.push(State { descriptor, space, place });
            return Ok(StateId(self.states.len() - 1));
        };
        let found = &mut self.states[at].descriptor;
        accept(found, &descriptor)?;
        found.fingerprint = descriptor.fingerprint;
        Ok(StateId(at))
    }

    /// All state keys and values in memory with what each entry costs besides, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn state(&self, id: StateId) -> Result<&State, StateError> {
        self.states.get(id.0).ok_or_else(|| unknown(id, self.states.len()))
    }
}

/// Whether what was written as one state can be read as another of its name.
fn accept(found: &StateDescriptor, requested: &StateDescriptor) -> Result<(), StateError> {
    let (uid, name) = (requested.uid.clone(), requested.name.clone());
    if (found.kind, found.expires) != (requested.kind, requested.expires) {
        let (found, requested) = (describe(found.kind, found.expires), describe(requested.kind, requested.expires));
        return Err(StateError::OtherKind { uid, name, found, requested });
    }
    if !fingerprint_accepts(&found.fingerprint, &requested.fingerprint) {
        let (found, requested) = (found.fingerprint.clone(), requested.fingerprint.clone());
        return Err(StateError::Fingerprint { uid, name, found, requested });
    }
    Ok(())
}

/// A kind of state for people.
fn describe(kind: StateKind, expires: bool) -> String {
    let kind = match kind {
        StateKind::Keyed => "keyed",
        StateKind::List => "a list",
        StateKind::Union => "a union list",
        StateKind::Broadcast => "broadcast",
    };
    format!("{kind} {} time to live", if expires { "with" } else { "without" })
}

/// An id of another backend.
fn unknown(id: StateId, count: usize) -> StateError {
    StateError::UnknownState { state: u32::try_from(id.0).unwrap_or(u32::MAX), count }
}
