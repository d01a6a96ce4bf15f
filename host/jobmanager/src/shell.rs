//! The loop that every shell runs: a pure core, its inbox, its deadline, and an outbox that is worked off beside them.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use futures::future::BoxFuture;
use millrace_types::Timestamp;
use tokio::sync::mpsc;

use crate::clock;

/// The most commands that may wait to be executed. More mean that a receiver has stood still for long, and the shell
/// stops taking input until some have gone.
const OUTBOX_MAX: usize = 65_536;

/// What a shell drives.
pub(crate) trait Driven: Send {
    /// What the core is fed with.
    type Input: Send;
    /// What it orders.
    type Command: Send;

    /// Feeds the core.
    fn step(&mut self, now: Timestamp, input: Self::Input, out: &mut Vec<Self::Command>);

    /// When the core wants to be woken.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// The input that wakes it.
    fn deadline_reached() -> Self::Input;

    /// Executes a command, behind all earlier ones, and returns what the core is to know of the outcome. `None` from the
    /// outer call: nothing is to be done.
    fn execute(&mut self, command: Self::Command) -> Option<BoxFuture<'static, Option<Self::Input>>>;

    /// Whether the shell has done its work.
    fn is_done(&self) -> bool;
}

/// Runs a shell until it is done or its inbox is closed.
pub(crate) async fn run<D: Driven>(driven: &mut D, inbox: &mut mpsc::Receiver<D::Input>) {
    let mut outbox = VecDeque::new();
    let mut commands = Vec::new();
    let mut running: Option<BoxFuture<'static, Option<D::Input>>> = None;
    loop {
        while running.is_none() {
            let Some(command) = outbox.pop_front() else { break };
            running = driven.execute(command);
        }
        if driven.is_done() && running.is_none() && outbox.is_empty() {
            return;
        }
        let deadline = driven.next_deadline();
        let input = tokio::select! {
            biased;
            outcome = poll_running(&mut running) => outcome,
            input = inbox.recv(), if outbox.len() < OUTBOX_MAX => match input {
                Some(input) => Some(input),
                None => return,
            },
            () = sleep_until(deadline) => Some(D::deadline_reached()),
        };
        if let Some(input) = input {
            driven.step(clock::now(), input, &mut commands);
            outbox.extend(commands.drain(..));
        }
    }
}

/// Waits for the command that is being executed; forever if there is none.
async fn poll_running<I>(running: &mut Option<BoxFuture<'static, Option<I>>>) -> Option<I> {
    match running {
        Some(future) => {
            let outcome = future.await;
            *running = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

fn sleep_until(deadline: Option<Timestamp>) -> impl Future<Output = ()> {
    let wait_ms = deadline.map(|deadline| deadline.since_ms(clock::now()));
    async move {
        match wait_ms {
            // A millisecond more than asked: the core must not be woken before its deadline by a rounded clock.
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms + 1)).await,
            None => std::future::pending().await,
        }
    }
}
