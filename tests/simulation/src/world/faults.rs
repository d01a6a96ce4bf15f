//! What breaks, and what comes back.

use millrace_job_core::CompletedCheckpoint;
use millrace_types::SnapshotKind;

use super::metadata::Change;
use super::{Event, HEARTBEAT_MS, World, tenant};
use crate::scenario::{Fault, ZOMBIE_MS_MIN};
use crate::task_manager::TaskManager;

impl World {
    pub(crate) fn start_task_manager(&mut self) {
        if self.job_manager.is_none() {
            return self.schedule(5, Event::StartTaskManager);
        }
        self.task_managers_begun += 1;
        let number = self.task_managers_begun;
        self.task_managers.insert(number, TaskManager::new(number, self.scenario.slots));
        if let Some(manager) = &mut self.job_manager {
            manager.connected.insert(number);
        }
        self.with_task_manager(number, |task_manager, env| env.outbound.push(task_manager.registration()));
        self.schedule(HEARTBEAT_MS, Event::Heartbeat { task_manager: number });
    }

    /// A TaskManager's life ends, and another one begins later.
    fn end_life(&mut self, number: u32, next_after_ms: u64) {
        let Some(task_manager) = self.task_managers.remove(&number) else { return };
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

    pub(crate) fn disconnected(&mut self, number: u32) {
        if let Some(task_manager) = self.task_managers.get(&number)
            && task_manager.stopped_until > self.now
        {
            let awake_at = task_manager.stopped_until;
            return self.schedule(awake_at - self.now, Event::Disconnected { task_manager: number });
        }
        let after = self.rng.between(1, 20);
        self.end_life(number, after);
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        let numbers: Vec<u32> = self.task_managers.keys().copied().collect();
        match fault {
            Fault::CrashJobManager => self.crash_job_manager(),
            Fault::DamageCheckpoint => self.damage(),
            _ if numbers.is_empty() => {}
            Fault::CrashTaskManager => {
                let number = self.rng.one_of(&numbers);
                let (noticed, back) = (self.rng.between(0, 10), self.rng.between(5, 80));
                let life = self.lives;
                self.schedule(noticed, Event::Lost { life, task_manager: number });
                self.end_life(number, back);
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
                let (here, there) = (self.rng.between(0, 80), self.rng.between(0, 80));
                let life = self.lives;
                // What is on its way, and what is said from now on, reaches nobody.
                self.events.retain(|_, event| match event {
                    Event::ToTaskManager { to, .. } => *to != number,
                    Event::ToJobManager { from, .. } => *from != number,
                    _ => true,
                });
                self.schedule(here, Event::Lost { life, task_manager: number });
                self.schedule(there, Event::Disconnected { task_manager: number });
            }
        }
    }

    fn crash_job_manager(&mut self) {
        let Some(manager) = self.job_manager.take() else { return };
        for number in manager.connected {
            let after = self.rng.between(0, 60);
            self.schedule(after, Event::Disconnected { task_manager: number });
        }
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
        let after = self.rng.between(5, 60);
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
