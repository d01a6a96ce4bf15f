//! Looking at what a task is doing at a moment: what its guest runs is found out by the guest's own thread, at the end of a
//! slice, and only while somebody wants to know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use millrace_types::NodeId;

/// Stacks that nobody has collected.
const SAMPLES_MAX: usize = 1_000;

/// A guest's stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestSample {
    /// For whom the call was made; none: for all operators of the instance.
    pub node: Option<NodeId>,
    /// The functions, outermost first, the export in front.
    pub frames: Vec<String>,
}

/// Between a task and whoever looks at it.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    wanted: AtomicBool,
    taken: Mutex<Vec<GuestSample>>,
}

impl Sampler {
    /// Whether the guest is to say what it does.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The guest says what it does.
    pub(crate) fn take(&self, sample: GuestSample) {
        self.wanted.store(false, Ordering::Relaxed);
        let mut taken = self.lock();
        if taken.len() < SAMPLES_MAX {
            taken.push(sample);
        }
    }

    /// Asks the guest to say what it does when it next can.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Asks no longer. Whether the guest has not answered.
    pub(crate) fn withdraw(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// What the guest has said.
    pub(crate) fn collect(&self) -> Vec<GuestSample> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<GuestSample>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
