//! Connections between TaskManagers and the leader, as TCP gives them: messages stay in order, and those on their way are
//! lost with it. A TaskManager that loses its leader looks for the next one, as `taskmanager/src/remote.rs` does.

use millrace_protocol::ToJobManager;
use millrace_types::TaskManagerId;

use super::{Event, HEARTBEAT_MS, Link, World};
use crate::oracle::Doubt;
use crate::task_manager::TaskManager;

/// The number in a TaskManager's id.
pub(crate) fn number_of(id: &TaskManagerId) -> u32 {
    let number = id.0.strip_prefix("tm-").and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{id} is no TaskManager"))
}

impl World {
    pub(crate) fn start_task_manager(&mut self) {
        if self.job_manager.is_none() {
            return self.schedule(5, Event::StartTaskManager);
        }
        self.task_managers_begun += 1;
        let number = self.task_managers_begun;
        self.task_managers.insert(number, TaskManager::new(number, self.scenario.slots));
        self.connect(number);
        self.with_task_manager(number, |task_manager, env| env.outbound.push(task_manager.registration()));
        self.schedule(HEARTBEAT_MS, Event::Heartbeat { task_manager: number });
    }

    /// Connects a TaskManager with the leader, to which it introduces itself.
    fn connect(&mut self, number: u32) {
        let (Some(manager), Some(task_manager)) = (&mut self.job_manager, self.task_managers.get_mut(&number)) else {
            return;
        };
        self.connections += 1;
        let connection = self.connections;
        manager.connected.insert(number, connection);
        (task_manager.connection, task_manager.newest) = (Some(connection), manager.epoch);
        self.oracle.introduced(number, task_manager.facts());
        let introduction = task_manager.witness.introduction();
        introduction.into_iter().for_each(|message| self.transmit(number, message));
    }

    /// A TaskManager says something: it is noted, whether anybody hears it or not.
    pub(crate) fn say_to_job_manager(&mut self, from: u32, message: ToJobManager) {
        if let Some(task_manager) = self.task_managers.get_mut(&from) {
            task_manager.witness.heard(&message);
            self.transmit(from, message);
        }
    }

    /// A TaskManager notices that its connection is gone: its tasks run on.
    pub(crate) fn disconnected(&mut self, number: u32, connection: u64) {
        if let Some(awake_at) = self.asleep(number) {
            return self.schedule(awake_at - self.now, Event::Disconnected { task_manager: number, connection });
        }
        let Some(task_manager) = self.task_managers.get_mut(&number) else { return };
        if task_manager.connection != Some(connection) {
            return;
        }
        (task_manager.connection, task_manager.orphaned_at) = (None, self.now);
        let slow = self.chance(100);
        let after = if slow { self.rng.between(40, 400) } else { self.rng.below(8) };
        self.schedule(after, Event::SeekLeader { task_manager: number });
    }

    /// A TaskManager without a leader asks who leads.
    pub(crate) fn seek_leader(&mut self, number: u32) {
        if let Some(awake_at) = self.asleep(number) {
            return self.schedule(awake_at - self.now, Event::SeekLeader { task_manager: number });
        }
        let Some(task_manager) = self.task_managers.get(&number) else { return };
        let waited_ms = self.now - task_manager.orphaned_at;
        let newest = task_manager.newest;
        match self.job_manager.as_ref().map(|manager| manager.epoch) {
            Some(epoch) if epoch > newest => self.connect(number),
            // To this leader it is dead.
            Some(_) => {
                let after = self.rng.between(1, 20);
                self.end_life(number, after, Doubt::Crashed);
            }
            None if waited_ms >= self.scenario.orphan_ms => {
                let after = self.rng.between(1, 20);
                self.end_life(number, after, Doubt::GaveUp);
            }
            None => {
                let after = self.rng.between(1, 8);
                self.schedule(after, Event::SeekLeader { task_manager: number });
            }
        }
    }

    /// Loses what is said over a connection from now on; each side notices in its own time.
    pub(crate) fn break_connection(&mut self, number: u32, within_ms: u64) {
        let Some(connection) = self.task_managers.get(&number).and_then(|task_manager| task_manager.connection) else {
            return;
        };
        self.broken.insert(connection);
        self.events.retain(|_, event| !event.is_on(connection));
        self.part(number, connection, within_ms);
    }

    /// Both sides of a connection notice that it ends, each in its own time.
    pub(crate) fn part(&mut self, number: u32, connection: u64, within_ms: u64) {
        let (here, there) = (self.rng.below(within_ms), self.rng.below(within_ms));
        self.schedule(here, Event::Lost { task_manager: number, connection });
        self.schedule(there, Event::Disconnected { task_manager: number, connection });
    }

    /// The leader's end of all connections is gone. With `lost` some of what was on its way to the TaskManagers is so, too;
    /// what was on its way to the leader is in any case.
    pub(crate) fn part_from_leader(&mut self, connected: impl IntoIterator<Item = (u32, u64)>, lost: bool) {
        for (number, connection) in connected {
            if lost {
                let on_it = self.events.iter().filter(|(_, event)| event.is_on(connection));
                let keys: Vec<_> = on_it.map(|(key, _)| *key).collect();
                let arrive = self.rng.between(0, keys.len() as u64) as usize;
                keys[arrive..].iter().for_each(|key| drop(self.events.remove(key)));
            }
            let after = self.rng.between(0, 60);
            self.send(Link::ToTaskManager(number), after, Event::Disconnected { task_manager: number, connection });
        }
    }

    /// The JobManager notices that a connection is gone.
    pub(crate) fn lost(&mut self, number: u32, connection: u64) {
        let Some(manager) = &mut self.job_manager else { return };
        if manager.connected.get(&number) == Some(&connection) {
            manager.connected.remove(&number);
            let task_manager = TaskManagerId(format!("tm-{number}"));
            let reason = "its connection has ended".to_owned();
            let input = millrace_resource_core::Input::TaskManagerLost { task_manager, reason };
            let life = manager.life;
            self.send(Link::ToResources(life), 0, Event::ForResources { life, input });
        }
    }
}
