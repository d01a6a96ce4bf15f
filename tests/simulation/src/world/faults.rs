//! What breaks, and what comes back.

use millrace_job_core::CompletedCheckpoint;
use millrace_types::SnapshotKind;

use super::metadata::Change;
use super::{Event, World, tenant};
use crate::oracle::Doubt;
use crate::scenario::{Fault, ZOMBIE_MS_MIN};

impl World {
    /// A TaskManager's life ends, and another one begins later.
    pub(crate) fn end_life(&mut self, number: u32, next_after_ms: u64, why: Doubt) {
        let Some(task_manager) = self.task_managers.remove(&number) else { return };
        self.oracle.ended(task_manager.facts(), why);
        let (now, faulty) = (self.clock(), self.is_faulty());
        let mut env = crate::task::Env {
            now,
            faulty,
            rng: &mut self.rng,
            scenario: &self.scenario,
            plane: &mut self.plane,
            store: &mut self.store,
            output: &mut self.output,
            ledger: &mut self.ledger,
            outbound: &mut Vec::new(),
        };
        task_manager.abandon(&mut env);
        self.schedule(next_after_ms, Event::StartTaskManager);
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        let numbers: Vec<u32> = self.task_managers.keys().copied().collect();
        match fault {
            Fault::CrashJobManager => {
                let lost = self.rng.chance(500);
                self.crash_job_manager(lost);
            }
            Fault::DamageCheckpoint => self.damage(),
            _ if numbers.is_empty() => {}
            Fault::CrashTaskManager => {
                let number = self.rng.one_of(&numbers);
                let (noticed, back) = (self.rng.between(0, 10), self.rng.between(5, 80));
                if let Some(connection) = self.task_managers[&number].connection {
                    self.schedule(noticed, Event::Lost { task_manager: number, connection });
                }
                self.end_life(number, back, Doubt::Crashed);
            }
            Fault::StopTaskManager(for_ms) => {
                let (number, until) = (self.rng.one_of(&numbers), self.now + for_ms);
                if let Some(task_manager) = self.task_managers.get_mut(&number) {
                    task_manager.stopped_until = task_manager.stopped_until.max(until);
                }
                if for_ms >= ZOMBIE_MS_MIN {
                    // Another one takes its place, so that its tasks run elsewhere when it wakes.
                    let after = self.rng.below(ZOMBIE_MS_MIN);
                    self.schedule(after, Event::StartTaskManager);
                }
            }
            Fault::BreakConnection => {
                let number = self.rng.one_of(&numbers);
                self.break_connection(number, 80);
            }
        }
    }

    /// The leader's process ends, and another one leads later.
    pub(crate) fn crash_job_manager(&mut self, lost: bool) {
        let Some(manager) = self.job_manager.take() else { return };
        self.oracle.leader_lost();
        self.part_from_leader(manager.connected, lost);
        // What was proposed is decided before the next epoch begins, or never; or it comes late, where the epoch fences it.
        let proposals = self.events.iter().filter(|(_, event)| matches!(event, Event::Proposed(_)));
        let keys: Vec<_> = proposals.map(|(key, _)| *key).collect();
        for key in keys {
            let Some(Event::Proposed(proposal)) = self.events.remove(&key) else { continue };
            let fenced = matches!(proposal.change, Change::Pointer { .. } | Change::Ids { .. });
            match self.rng.below(3) {
                0 => drop(self.apply(&proposal)),
                1 if fenced => drop(self.events.insert(key, Event::Proposed(proposal))),
                _ => {}
            }
        }
        let lost = self.rng.chance(300);
        self.events.retain(|_, event| !(lost && matches!(event, Event::Delete(_) | Event::Described { .. })));
        let after = if self.chance(100) { self.rng.between(60, 300) } else { self.rng.between(5, 60) };
        self.schedule(after, Event::StartJobManager);
    }

    /// Damages the newest checkpoint, if another one is there to go back to: a file, or its description.
    fn damage(&mut self) {
        let Some(record) = self.metadata.job(&tenant(), self.job.id) else { return };
        let [_, .., newest] = record.checkpoints.as_slice() else { return };
        let (location, kind) = (newest.folder.clone(), newest.kind);
        let Some(description) = self.store.description(&location) else { return };
        if kind != SnapshotKind::Checkpoint {
            return;
        }
        self.ledger.damaged = true;
        let files: Vec<String> = CompletedCheckpoint::files(&description).map(str::to_owned).collect();
        if files.is_empty() || self.rng.chance(500) {
            return self.store.damage_description(&location);
        }
        let at = self.rng.below(files.len() as u64) as usize;
        self.store.damage(&self.job.folder, &files[at]);
    }
}
