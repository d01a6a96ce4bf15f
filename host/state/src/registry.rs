//! Which states there are, and the numbers that guests know them by.
//!
//! A guest numbers the states of its instance from 0 in the order in which its `open` returned them. A subtask may run
//! several instances, and open one again, so these numbers are translated: [`SegmentStates`] belongs to an
//! instance, [`StateId`] to the backend.

use millrace_types::StateKind;

use crate::error::StateError;

/// A state that an operator uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDescriptor {
    /// The operator's uid.
    pub uid: String,
    /// The state's name, unique within the operator.
    pub name: String,
    /// Names the type of key and value.
    pub fingerprint: String,
    /// Whose it is.
    pub kind: StateKind,
    /// Whether its values begin with the time from which on they may be dropped.
    pub expires: bool,
}

/// A state of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateId(pub(crate) usize);

/// The states of one instance, by the guest's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentStates {
    pub(crate) ids: Vec<StateId>,
}

impl SegmentStates {
    /// The state that the guest means by a number.
    pub fn resolve(&self, state: u32) -> Result<StateId, StateError> {
        let id = usize::try_from(state).ok().and_then(|at| self.ids.get(at));
        id.copied().ok_or(StateError::UnknownState { state, count: self.ids.len() })
    }
}
