//! TaskManagers come and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_protocol::TaskManagerRegistration;
use millrace_types::TaskManagerId;

use crate::core::ResourceCore;
use crate::dropped::DropReason;
use crate::event::Command;
use crate::registry::TaskManager;
use crate::slot::{Grant, SlotState};

/// The longest id of a TaskManager, in bytes.
const ID_BYTES_MAX: usize = 256;

impl ResourceCore {
    pub(crate) fn registered(&mut self, registration: TaskManagerRegistration, out: &mut Vec<Command>) {
        if let Some(known) = self.registry.known.get_mut(&registration.id)
            && known.registration == registration
        {
            // It did not hear that it was registered, and says so once more.
            known.last_heartbeat = self.now;
            return;
        }
        let former = self.former_life(&registration);
        if let Some(reason) = self.refusal(&registration, former.is_some()) {
            out.push(Command::RefuseTaskManager { task_manager: registration.id, reason });
            return;
        }
        if let (Some(former), Some(address)) = (former, &registration.data_address) {
            let reason = format!("{} has registered from its address {address}, so it has ended", registration.id);
            self.task_manager_lost(&former, &reason, out);
        }
        let slots = self.granted_before(&registration);
        let task_manager = TaskManager {
            last_heartbeat: self.now,
            memory_free_bytes: registration.memory_bytes,
            metrics: Arc::default(),
            slots,
            registration,
        };
        self.registry.known.insert(task_manager.registration.id.clone(), task_manager);
        self.unplaced_changes = true;
    }

    /// The slots of a new TaskManager: those that an earlier leader granted stay with their jobs, which keep them or give
    /// them back.
    fn granted_before(&mut self, registration: &TaskManagerRegistration) -> Vec<SlotState> {
        let mut slots = vec![SlotState::Free; registration.slots as usize];
        for (slot, allocation, job) in &registration.allocated {
            let grant = Grant { allocation: *allocation, job: *job };
            match slots.get_mut(slot.index as usize).filter(|_| slot.task_manager == registration.id) {
                Some(state) => *state = SlotState::Allocated { grant, since: self.now },
                None => self.drop_message(DropReason::UnknownSlot),
            }
        }
        slots
    }

    /// The TaskManager that took records where this one does: both cannot, so the older one is gone, and nobody has to
    /// wait until its silence tells.
    fn former_life(&self, registration: &TaskManagerRegistration) -> Option<TaskManagerId> {
        let address = registration.data_address.as_ref()?;
        let mut known = self.registry.known.iter();
        let same = |known: &TaskManager| known.registration.data_address.as_ref() == Some(address);
        known.find(|(id, known)| **id != registration.id && same(known)).map(|(id, _)| id.clone())
    }

    fn refusal(&self, registration: &TaskManagerRegistration, replaces_another: bool) -> Option<String> {
        let options = &self.options;
        let id = &registration.id.0;
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Some(format!("its id has {} bytes: 1 to {ID_BYTES_MAX} are allowed", id.len()));
        }
        if !(1..=options.slots_per_task_manager_max).contains(&registration.slots) {
            let max = options.slots_per_task_manager_max;
            return Some(format!("it has {} slots: 1 to {max} are allowed", registration.slots));
        }
        if self.registry.is_lost(&registration.id) {
            return Some("it counts as lost under this id: register under a new one".to_owned());
        }
        if self.is_stopping(&registration.id) {
            return Some("its process was told to stop".to_owned());
        }
        if self.registry.known.contains_key(&registration.id) {
            return Some("another TaskManager is registered under this id: use a new one".to_owned());
        }
        let max = options.task_managers_max;
        let others = self.registry.known.len() - usize::from(replaces_another);
        (others >= max).then(|| format!("{max} TaskManagers are registered, which is the limit"))
    }

    pub(crate) fn task_manager_lost(&mut self, id: &TaskManagerId, reason: &str, out: &mut Vec<Command>) {
        let Some(lost) = self.registry.remove(id) else {
            return self.drop_message(DropReason::UnknownTaskManager);
        };
        self.unplaced_changes = true;
        let jobs: BTreeSet<_> = lost.slots.iter().filter_map(|state| state.grant().map(|grant| grant.job)).collect();
        for job in jobs {
            let (task_manager, reason) = (id.clone(), reason.to_owned());
            out.push(Command::NotifyTaskManagerLost { job, task_manager, reason });
        }
    }

    pub(crate) fn drop_silent_task_managers(&mut self, out: &mut Vec<Command>) {
        let timeout_ms = self.options.heartbeat_timeout_ms;
        let silent: Vec<TaskManagerId> = self
            .registry
            .known
            .iter()
            .filter(|(_, known)| known.last_heartbeat.plus_ms(timeout_ms) <= self.now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            self.task_manager_lost(&id, &format!("it was not heard of for {timeout_ms} ms"), out);
        }
    }
}
