//! The TaskManagers that are known, and what others may see of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_protocol::TaskManagerRegistration;
use millrace_types::{JobId, SlotId, TaskManagerId, Timestamp};

use crate::slot::SlotState;

/// How many ids of lost TaskManagers are remembered, to refuse them.
const LOST_REMEMBERED_MAX: usize = 1_024;

/// A registered TaskManager.
#[derive(Debug, Clone)]
pub(crate) struct TaskManager {
    pub registration: TaskManagerRegistration,
    pub last_heartbeat: Timestamp,
    pub memory_free_bytes: u64,
    pub metrics: Arc<BTreeMap<String, u64>>,
    pub slots: Vec<SlotState>,
}

/// A TaskManager as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskManagerView {
    /// What it said of itself.
    pub registration: TaskManagerRegistration,
    /// When it was heard of last.
    pub last_heartbeat: Timestamp,
    /// Its free memory, in bytes, as of then.
    pub memory_free_bytes: u64,
    /// Its process's metrics, as of then.
    pub metrics: Arc<BTreeMap<String, u64>>,
    /// For each of its slots the job that has it, or is to get it.
    pub slots: Vec<Option<JobId>>,
    /// Slots that nobody has.
    pub slots_free: u32,
}

/// The TaskManagers that are known.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub known: BTreeMap<TaskManagerId, TaskManager>,
    lost: VecDeque<TaskManagerId>,
}

impl Registry {
    pub fn is_lost(&self, id: &TaskManagerId) -> bool {
        self.lost.contains(id)
    }

    /// Forgets a TaskManager, and remembers that this life of it is over.
    pub fn remove(&mut self, id: &TaskManagerId) -> Option<TaskManager> {
        let removed = self.known.remove(id)?;
        if self.lost.len() == LOST_REMEMBERED_MAX {
            self.lost.pop_front();
        }
        self.lost.push_back(id.clone());
        Some(removed)
    }

    pub fn slot_mut(&mut self, slot: &SlotId) -> Option<&mut SlotState> {
        self.known.get_mut(&slot.task_manager)?.slots.get_mut(slot.index as usize)
    }

    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &SlotState)> {
        self.known.iter().flat_map(|(id, task_manager)| {
            let slots = task_manager.slots.iter().enumerate();
            slots.map(|(index, state)| (SlotId { task_manager: id.clone(), index: index as u32 }, state))
        })
    }

    pub fn total(&self) -> u32 {
        self.known.values().map(|task_manager| task_manager.slots.len() as u32).sum()
    }

    pub fn free(&self) -> u32 {
        self.known.values().map(TaskManager::free).sum()
    }
}

impl TaskManager {
    fn free(&self) -> u32 {
        self.slots.iter().filter(|state| matches!(state, SlotState::Free)).count() as u32
    }

    pub fn view(&self) -> TaskManagerView {
        TaskManagerView {
            registration: self.registration.clone(),
            last_heartbeat: self.last_heartbeat,
            memory_free_bytes: self.memory_free_bytes,
            metrics: Arc::clone(&self.metrics),
            slots: self.slots.iter().map(SlotState::holder).collect(),
            slots_free: self.free(),
        }
    }
}
