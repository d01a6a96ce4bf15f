//! The ResourceManager: the shell around the registry of TaskManagers and the allocation of slots.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use millrace_job_core::Input as JobInput;
use millrace_protocol::{TaskDeployment, ToTaskManager};
use millrace_resource_core::{Command, Input, ResourceCore, ResourceOptions, TaskManagerView};
use millrace_types::{LeaderEpoch, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::driver::{self, Order, ResourceDriver};
use crate::gateway::Gateways;
use crate::job_master::tell;
use crate::registry::JobRegistry;
use crate::shell::{self, Driven};

/// Messages that wait for the ResourceManager.
const INBOX_MAX: usize = 4_096;

/// The ResourceManager, from outside; cheap to clone.
#[derive(Clone)]
pub(crate) struct ResourceManager {
    inbox: mpsc::Sender<Input>,
    /// Native mode: where workers are ordered.
    orders: Arc<OnceLock<mpsc::Sender<Order>>>,
    task_managers: watch::Receiver<Vec<TaskManagerView>>,
}

impl ResourceManager {
    pub(crate) fn spawn(options: ResourceOptions, epoch: LeaderEpoch, gateways: Gateways, jobs: JobRegistry) -> Self {
        let (inbox, mut receiver) = mpsc::channel(INBOX_MAX);
        let (sender, task_managers) = watch::channel(Vec::new());
        let core = ResourceCore::new(options, epoch, rand::random());
        let orders = Arc::default();
        let mut shell = Shell { core, epoch, gateways, jobs, orders: Arc::clone(&orders), task_managers: sender };
        tokio::spawn(async move { shell::run(&mut shell, &mut receiver).await });
        Self { inbox, orders, task_managers }
    }

    /// Native mode: has workers started and stopped by a driver, as long as the present runtime lasts.
    pub(crate) fn drive(&self, driver: Arc<dyn ResourceDriver>) {
        self.orders.get_or_init(|| driver::spawn(driver, self.inbox.clone()));
    }

    /// Delivers a message, in order.
    pub(crate) async fn send(&self, input: Input) {
        if self.inbox.send(input).await.is_err() {
            tracing::debug!("a message for the ResourceManager was dropped: it has stopped");
        }
    }

    /// The TaskManagers as they are now.
    pub(crate) fn task_managers(&self) -> Vec<TaskManagerView> {
        self.task_managers.borrow().clone()
    }

    /// The TaskManagers as they become.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Vec<TaskManagerView>> {
        self.task_managers.clone()
    }

    /// States where the consumers of a task's channels take records. One that is gone keeps none: its own loss fails
    /// the attempt.
    pub(crate) fn fill_addresses(&self, task: &mut TaskDeployment) {
        let task_managers = self.task_managers.borrow();
        for channel in task.outputs.iter_mut().flat_map(|output| &mut output.channels) {
            let found = task_managers.iter().find(|known| known.registration.id == channel.task_manager);
            channel.data_address = found.and_then(|known| known.registration.data_address.clone());
        }
    }

    /// Waits until a condition on the TaskManagers holds.
    pub(crate) async fn wait_for(&self, condition: impl FnMut(&Vec<TaskManagerView>) -> bool) {
        // An error means that the ResourceManager has stopped: then nothing is waited for any more.
        let _ = self.task_managers.clone().wait_for(condition).await;
    }
}

struct Shell {
    core: ResourceCore,
    epoch: LeaderEpoch,
    gateways: Gateways,
    jobs: JobRegistry,
    orders: Arc<OnceLock<mpsc::Sender<Order>>>,
    task_managers: watch::Sender<Vec<TaskManagerView>>,
}

impl Driven for Shell {
    type Input = Input;
    type Command = Command;

    fn step(&mut self, now: Timestamp, input: Input, out: &mut Vec<Command>) {
        self.core.step(now, input, out);
        self.task_managers.send_replace(self.core.task_managers().collect());
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.core.next_deadline()
    }

    fn deadline_reached() -> Input {
        Input::DeadlineReached
    }

    fn execute(&mut self, command: Command) -> Option<BoxFuture<'static, Option<Input>>> {
        let gateways = self.gateways.clone();
        let epoch = self.epoch;
        match command {
            Command::RequestSlotFromTaskManager { task_manager, request } => Some(Box::pin(async move {
                let (slot, allocation) = (request.slot.clone(), request.allocation);
                let sent = gateways.send(&task_manager, ToTaskManager::RequestSlot(request)).await;
                sent.err().map(|error| {
                    tracing::warn!(%error, "a slot could not be requested");
                    Input::SlotRequestFailed { slot, allocation }
                })
            })),
            Command::FreeSlot { task_manager, allocation } => Some(Box::pin(async move {
                let _ = gateways.send(&task_manager, ToTaskManager::FreeSlot { epoch, allocation }).await;
                None
            })),
            Command::NotifyTaskManagerLost { job, task_manager, reason } => {
                self.notify(job, JobInput::TaskManagerLost { task_manager, reason })
            }
            Command::NotifySlotsLost { job, allocations } => self.notify(job, JobInput::SlotsLost(allocations)),
            Command::NotifyLacking { job, needed, free, total } => {
                self.notify(job, JobInput::SlotsLacking { needed, free, total })
            }
            Command::StartWorker { worker } => self.order(Order::Start(worker)),
            Command::StopWorker { worker } => self.order(Order::Stop(worker)),
            Command::RefuseTaskManager { task_manager, reason } => {
                tracing::warn!(%task_manager, %reason, "a TaskManager was refused");
                gateways.refuse(&task_manager, &reason);
                None
            }
        }
    }

    fn is_done(&self) -> bool {
        false
    }
}

impl Shell {
    /// The core orders nothing before the driver has said what there is, so there is one.
    fn order(&self, order: Order) -> Option<BoxFuture<'static, Option<Input>>> {
        let orders = self.orders.get()?.clone();
        Some(Box::pin(async move {
            if orders.send(order).await.is_err() {
                tracing::debug!("an order for a TaskManager was dropped: the driver's loop has ended");
            }
            None
        }))
    }

    fn notify(&self, job: millrace_types::JobId, input: JobInput) -> Option<BoxFuture<'static, Option<Input>>> {
        let inbox = self.jobs.master(job)?;
        Some(Box::pin(async move {
            tell(&inbox, job, input).await;
            None
        }))
    }
}
