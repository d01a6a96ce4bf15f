//! Messages between the JobManager and TaskManagers, and the steps of tasks.

use millrace_job_core::Input as JobInput;
use millrace_protocol::{ToJobManager, ToTaskManager};
use millrace_resource_core::Input as ResourceInput;
use millrace_types::{AttemptId, JobId, TaskManagerId};

use super::{Event, HEARTBEAT_MS, Link, World, number_of};

/// The longest pause of a task that has nothing to do, in milliseconds.
const PAUSE_MS_MAX: u64 = 12;

impl World {
    fn delay(&mut self) -> u64 {
        let most = self.scenario.delay_ms;
        self.rng.between(0, most)
    }

    /// Sends a message about checkpoints, to which more may happen than to others.
    fn send_checkpoint_message(&mut self, link: Link, event: impl Fn() -> Event) {
        let chances = self.scenario.chances;
        if self.chance(chances.loss) {
            return;
        }
        let copies = if self.chance(chances.duplicate) { 2 } else { 1 };
        for copy in 0..copies {
            let delay = self.delay();
            if copy > 0 || self.chance(chances.reorder) {
                let more = self.rng.below(30);
                self.schedule(delay + more, event());
            } else {
                self.send(link, delay, event());
            }
        }
    }

    /// Sends a message of a TaskManager, if it has a connection.
    pub(crate) fn transmit(&mut self, from: u32, message: ToJobManager) {
        let connection = self.task_managers.get(&from).and_then(|task_manager| task_manager.connection);
        let Some(connection) = connection.filter(|connection| !self.broken.contains(connection)) else { return };
        let link = Link::FromTaskManager(from);
        match message {
            ToJobManager::CheckpointAcknowledged(_) | ToJobManager::CheckpointDeclined(_) => {
                self.send_checkpoint_message(link, || Event::ToJobManager {
                    from,
                    connection,
                    message: message.clone(),
                });
            }
            _ => {
                let delay = self.delay();
                self.send(link, delay, Event::ToJobManager { from, connection, message });
            }
        }
    }

    /// Sends a message to a TaskManager. Returns whether there is a connection to it.
    pub(crate) fn tell_task_manager(&mut self, id: &TaskManagerId, message: ToTaskManager) -> bool {
        let to = number_of(id);
        let connection = self.job_manager.as_ref().and_then(|manager| manager.connected.get(&to).copied());
        let Some(connection) = connection else { return false };
        if self.broken.contains(&connection) {
            return true;
        }
        let link = Link::ToTaskManager(to);
        match message {
            ToTaskManager::TriggerCheckpoint { .. }
            | ToTaskManager::CheckpointCompleted { .. }
            | ToTaskManager::CheckpointAborted { .. } => {
                self.send_checkpoint_message(link, || Event::ToTaskManager {
                    to,
                    connection,
                    message: message.clone(),
                });
            }
            _ => {
                let delay = self.delay();
                self.send(link, delay, Event::ToTaskManager { to, connection, message });
            }
        }
        true
    }

    pub(crate) fn for_task_manager(&mut self, to: u32, connection: u64, message: ToTaskManager) {
        if let Some(awake_at) = self.asleep(to) {
            return self.schedule(awake_at - self.now, Event::ToTaskManager { to, connection, message });
        }
        let Some(task_manager) = self.task_managers.get_mut(&to) else { return };
        if task_manager.connection != Some(connection) {
            return;
        }
        task_manager.witness.told(&message);
        let started = self.with_task_manager(to, |task_manager, env| task_manager.handle(message, env));
        if let Some(Some(attempt)) = started {
            let after = self.rng.between(0, self.scenario.pace_ms);
            self.schedule(after, Event::Step { task_manager: to, attempt, wait_ms: 1 });
        }
    }

    /// Until when a TaskManager stands still, if it does.
    pub(crate) fn asleep(&self, number: u32) -> Option<u64> {
        let awake_at = self.task_managers.get(&number)?.awake_at(self.clock());
        (awake_at > self.now).then_some(awake_at)
    }

    pub(crate) fn step_task(&mut self, number: u32, attempt: AttemptId, wait_ms: u64) {
        if let Some(awake_at) = self.asleep(number) {
            return self.schedule(awake_at - self.now, Event::Step { task_manager: number, attempt, wait_ms });
        }
        let stepped = self.with_task_manager(number, |task_manager, env| task_manager.step(attempt, env));
        let (after, wait_ms) = match stepped.flatten() {
            None => return,
            Some(true) => (self.rng.below(self.scenario.pace_ms), 1),
            Some(false) => (wait_ms, (2 * wait_ms).min(PAUSE_MS_MAX)),
        };
        self.schedule(after, Event::Step { task_manager: number, attempt, wait_ms });
    }

    pub(crate) fn heartbeat(&mut self, number: u32) {
        if let Some(awake_at) = self.asleep(number) {
            // Its timer is as old as it is: until it is due the tasks go on, and nobody has told them what they missed.
            let after = self.rng.below(HEARTBEAT_MS);
            return self.schedule(awake_at - self.now + after, Event::Heartbeat { task_manager: number });
        }
        let said = self.with_task_manager(number, |task_manager, env| env.outbound.push(task_manager.heartbeat()));
        if said.is_some() {
            self.schedule(HEARTBEAT_MS, Event::Heartbeat { task_manager: number });
        }
    }

    /// A message has reached the JobManager: as its router does.
    pub(crate) fn for_job_manager(&mut self, from: u32, connection: u64, message: ToJobManager) {
        let Some(manager) = &self.job_manager else { return };
        if manager.connected.get(&from) != Some(&connection) {
            return;
        }
        let leads = |job: JobId| manager.master.as_ref().is_some_and(|master| master.job == job);
        let (job, input) = match message {
            ToJobManager::Register(registration) => {
                return self.tell_resources(ResourceInput::Registered(registration));
            }
            ToJobManager::Heartbeat(heartbeat) => return self.tell_resources(ResourceInput::Heartbeat(heartbeat)),
            ToJobManager::SlotFreed { slot, allocation } => {
                return self.tell_resources(ResourceInput::SlotFreed { slot, allocation });
            }
            ToJobManager::OfferSlots { job, slots } => (job, JobInput::SlotsOffered(slots)),
            ToJobManager::TaskReport(report) => (report.attempt.job, JobInput::TaskReported(report)),
            ToJobManager::SplitRequest(request) => (request.attempt.job, JobInput::SplitRequested(request)),
            ToJobManager::CheckpointAcknowledged(ack) => (ack.attempt.job, JobInput::CheckpointAcknowledged(ack)),
            ToJobManager::CheckpointDeclined(decline) => (decline.attempt.job, JobInput::CheckpointDeclined(decline)),
            ToJobManager::AwaitingCheckpoint { attempt } => (attempt.job, JobInput::AwaitingCheckpoint { attempt }),
            // The job has ended: nobody else would stop its tasks and give its slots back.
            ToJobManager::Present(presence) if !leads(presence.job) => {
                return self.tell_resources(ResourceInput::SlotsReleased { slots: presence.slots });
            }
            ToJobManager::Present(presence) => (presence.job, JobInput::Present(presence)),
            ToJobManager::UpgradeAnswered(answer) => (answer.attempt.job, JobInput::UpgradeAnswered(answer)),
            ToJobManager::Collected(_) | ToJobManager::WatermarkReached { .. } => return,
        };
        self.tell_job(job, input);
    }

    /// Puts something into the JobMaster's inbox.
    pub(crate) fn tell_job(&mut self, job: JobId, input: JobInput) {
        let Some(life) = self.job_manager.as_ref().map(|manager| manager.life) else { return };
        self.send(Link::ToJob(life), 0, Event::ForJob { life, job, input });
    }

    /// Puts something into the ResourceManager's inbox.
    pub(crate) fn tell_resources(&mut self, input: ResourceInput) {
        let Some(life) = self.job_manager.as_ref().map(|manager| manager.life) else { return };
        let delay = self.rng.below(2);
        self.send(Link::ToResources(life), delay, Event::ForResources { life, input });
    }
}
