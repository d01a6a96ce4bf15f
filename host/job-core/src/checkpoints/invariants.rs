//! What holds between steps, for debug builds and simulations alike.

use super::coordinator::{Retained, Stage};
use crate::core::{JobCore, Phase};

impl JobCore {
    /// Checks what holds between steps.
    ///
    /// # Errors
    /// Which invariant does not hold: a bug.
    pub fn check(&self) -> Result<(), String> {
        for (vertex, view) in self.spec.graph.vertices.iter().zip(&self.view.vertices) {
            if vertex.parallelism as usize != view.subtasks.len() {
                return Err(format!(
                    "{} has {} subtasks, not {}",
                    vertex.name,
                    view.subtasks.len(),
                    vertex.parallelism
                ));
            }
        }
        let coordinator = &self.coordinator;
        let unsettled = coordinator.pending.values().filter(|pending| pending.is_unsettled()).count();
        if unsettled > 1 {
            return Err(format!("{unsettled} pointers are being written"));
        }
        if let Some(id) = coordinator.pending.keys().find(|id| !coordinator.ids.was_used(**id)) {
            return Err(format!("checkpoint {id} has an id that was not given out"));
        }
        if !coordinator.retained.is_sorted_by(|one, other| one.id() < other.id()) {
            return Err(format!("retained: {:?}", coordinator.retained.iter().map(Retained::id).collect::<Vec<_>>()));
        }
        let barriers = coordinator.pending.values().filter(|pending| pending.is_upgrade()).count();
        if barriers != usize::from(self.upgrade_is_taken()) || (barriers > 0 && coordinator.pending.len() > 1) {
            return Err(format!("{barriers} upgrades among {} checkpoints under way", coordinator.pending.len()));
        }
        for (id, pending) in &coordinator.pending {
            let collecting = matches!(pending.stage, Stage::Collecting);
            if collecting == pending.awaited.is_empty() {
                return Err(format!("checkpoint {id} waits for {} tasks", pending.awaited.len()));
            }
            if let Some(task) = pending.awaited.iter().find(|task| self.subtask(**task).state.is_terminal()) {
                return Err(format!("checkpoint {id} waits for {}, which has ended", self.task_name(*task)));
            }
            if !matches!(self.phase, Phase::Running) && !pending.is_unsettled() {
                return Err(format!("checkpoint {id} goes on while tasks are stopped"));
            }
        }
        if self.view.checkpoints.counts.in_progress != coordinator.pending.len() as u64 {
            return Err(format!(
                "{} checkpoints are shown to be in progress",
                self.view.checkpoints.counts.in_progress
            ));
        }
        Ok(())
    }
}
