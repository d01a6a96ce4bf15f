//! Heartbeats: what a TaskManager says of its slots is compared with what is believed of them.
//!
//! A heartbeat may have been sent before the last request or offer, so silence about a slot counts only where it cannot
//! be explained by that.

use std::sync::Arc;

use millrace_protocol::TaskManagerHeartbeat;
use millrace_types::SlotId;

use crate::core::ResourceCore;
use crate::dropped::DropReason;
use crate::event::Command;
use crate::slot::{Grant, SlotState};

impl ResourceCore {
    pub(crate) fn heartbeat(&mut self, heartbeat: &TaskManagerHeartbeat, out: &mut Vec<Command>) {
        let Some(known) = self.registry.known.get_mut(&heartbeat.id) else {
            self.drop_message(DropReason::UnknownTaskManager);
            let reason = if self.registry.is_lost(&heartbeat.id) {
                "it counts as lost under this id: register under a new one"
            } else {
                "it is not registered: register first"
            };
            let (task_manager, reason) = (heartbeat.id.clone(), reason.to_owned());
            out.push(Command::RefuseTaskManager { task_manager, reason });
            return;
        };
        known.last_heartbeat = self.now;
        known.memory_free_bytes = heartbeat.memory_free_bytes;
        known.metrics = Arc::new(heartbeat.metrics.clone());
        let mut reported = vec![None; known.slots.len()];
        for (slot, allocation, job) in &heartbeat.allocated {
            match reported.get_mut(slot.index as usize) {
                Some(entry) if slot.task_manager == heartbeat.id => {
                    *entry = Some(Grant { allocation: *allocation, job: *job });
                }
                _ => self.drop_message(DropReason::UnknownSlot),
            }
        }
        for (index, reported) in reported.into_iter().enumerate() {
            let slot = SlotId { task_manager: heartbeat.id.clone(), index: index as u32 };
            self.reconcile(&slot, reported, out);
        }
    }

    fn reconcile(&mut self, slot: &SlotId, reported: Option<Grant>, out: &mut Vec<Command>) {
        let Some(believed) = self.registry.slot_mut(slot).copied() else { return };
        match (believed, reported) {
            (SlotState::Pending { grant, .. }, Some(reported)) if grant == reported => {
                self.set(slot, SlotState::Allocated { grant, since: self.now });
            }
            // A grant of another time occupies the slot: it has to go before the one that is asked for can come.
            (SlotState::Pending { .. }, Some(reported)) => {
                out.push(Command::FreeSlot {
                    task_manager: slot.task_manager.clone(),
                    allocation: reported.allocation,
                });
            }
            (SlotState::Allocated { grant, .. }, Some(reported)) if grant != reported => {
                self.notify_lost(grant, out);
                self.free(slot, reported, out);
            }
            (SlotState::Free, Some(reported)) => self.free(slot, reported, out),
            // The request may still be under way.
            (SlotState::Pending { .. }, None) => {}
            (SlotState::Allocated { grant, since }, None) => {
                if since.plus_ms(self.options.slot_timeout_ms) <= self.now {
                    self.notify_lost(grant, out);
                    self.set(slot, SlotState::Free);
                }
            }
            (SlotState::Freeing { grant, silence_counts_from, .. }, None) => {
                if silence_counts_from <= self.now {
                    self.notify_lost(grant, out);
                    self.set(slot, SlotState::Free);
                }
            }
            (SlotState::Freeing { grant, retry_at, .. }, Some(reported)) if grant == reported => {
                self.set(slot, SlotState::Freeing { grant, silence_counts_from: self.now, retry_at });
            }
            (SlotState::Free, None) | (SlotState::Allocated { .. } | SlotState::Freeing { .. }, Some(_)) => {}
        }
    }
}
