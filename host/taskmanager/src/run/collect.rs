//! The rows of a `collect` sink on their way to the JobMaster, with a window of what it has not acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_connectors::{CollectSender, ConnectorError};
use millrace_protocol::{CollectedRows, ToJobManager};
use millrace_types::NodeId;
use tokio::sync::{Mutex, mpsc, watch};

use crate::run::shared::TaskShared;
use crate::time_account::Activity;

/// The most messages that are under way without an acknowledgement. Each has the rows of one batch.
const UNACKNOWLEDGED_MAX: usize = 8;

struct Window {
    /// The rows that were sent.
    sent: u64,
    /// The number of rows that are to be acknowledged for each message under way.
    under_way: VecDeque<u64>,
    acknowledged: watch::Receiver<u64>,
}

/// Sends the rows of one sink of one attempt.
pub(crate) struct CollectLink {
    node: NodeId,
    outbound: mpsc::Sender<ToJobManager>,
    window: Mutex<Window>,
    shared: Arc<TaskShared>,
}

impl CollectLink {
    /// A link whose acknowledgements, the number of rows that have arrived, come through the watch.
    pub(crate) fn new(
        node: NodeId,
        outbound: mpsc::Sender<ToJobManager>,
        acknowledged: watch::Receiver<u64>,
        shared: Arc<TaskShared>,
    ) -> Self {
        let window = Window { sent: 0, under_way: VecDeque::new(), acknowledged };
        Self { node, outbound, window: Mutex::new(window), shared }
    }
}

fn closed(reason: &str) -> ConnectorError {
    ConnectorError::CollectClosed { reason: reason.to_owned() }
}

#[async_trait]
impl CollectSender for CollectLink {
    async fn send(&self, rows: Vec<Vec<u8>>) -> Result<(), ConnectorError> {
        let mut window = self.window.lock().await;
        let before = self.shared.metrics.switch(Activity::Backpressured);
        loop {
            let arrived = *window.acknowledged.borrow_and_update();
            while window.under_way.front().is_some_and(|rows| *rows <= arrived) {
                window.under_way.pop_front();
            }
            if window.under_way.len() < UNACKNOWLEDGED_MAX {
                break;
            }
            window.acknowledged.changed().await.map_err(|_| closed("the TaskManager is ending"))?;
        }
        let sequence = window.sent;
        window.sent += rows.len() as u64;
        let sent = window.sent;
        window.under_way.push_back(sent);
        let message = CollectedRows { attempt: self.shared.attempt, node: self.node, sequence, rows };
        let result = self.outbound.send(ToJobManager::Collected(message)).await;
        self.shared.metrics.switch(before);
        result.map_err(|_| closed("the JobManager is gone"))
    }
}

#[cfg(test)]
mod tests;
