//! What can be said of the operator that a stream comes from, and of the way that its records take.

use super::Stream;
use crate::data::Data;
use crate::graph::{Chaining, Partitioning};

impl<T: Data> Stream<T> {
    /// Identifies the operator's state in later versions of the application. Unique in the application.
    pub fn uid(&self, uid: impl Into<String>) -> Self {
        self.change("uid()", |node| node.uid = Some(uid.into()))
    }

    /// The operator's name, as people see it.
    pub fn name(&self, name: impl Into<String>) -> Self {
        self.change("name()", |node| node.name = name.into())
    }

    /// The number of the operator's subtasks.
    pub fn set_parallelism(&self, parallelism: u32) -> Self {
        self.change("set_parallelism()", |node| node.parallelism = Some(parallelism))
    }

    /// The number of key groups into which the operator's state is divided: the most subtasks it can ever have.
    pub fn set_max_parallelism(&self, max_parallelism: u32) -> Self {
        self.change("set_max_parallelism()", |node| node.max_parallelism = Some(max_parallelism))
    }

    /// The slots that the operator shares with others: operators of different groups never share one.
    pub fn slot_sharing_group(&self, group: impl Into<String>) -> Self {
        self.change("slot_sharing_group()", |node| node.slot_sharing_group = Some(group.into()))
    }

    /// Keeps the operator out of every chain.
    pub fn disable_chaining(&self) -> Self {
        self.change("disable_chaining()", |node| node.chaining = Chaining::Never)
    }

    /// Begins a chain with the operator.
    pub fn start_new_chain(&self) -> Self {
        self.change("start_new_chain()", |node| node.chaining = Chaining::Head)
    }

    fn partitioned(&self, partitioning: Partitioning) -> Self {
        let mut stream = self.clone();
        for upstream in &mut stream.upstreams {
            upstream.partitioning = Some(partitioning);
        }
        stream
    }

    /// Sends records to all subtasks of the next operator in turn.
    pub fn rebalance(&self) -> Self {
        self.partitioned(Partitioning::Rebalance)
    }

    /// Sends records in turn to those subtasks of the next operator that are near.
    pub fn rescale(&self) -> Self {
        self.partitioned(Partitioning::Rescale)
    }

    /// Sends every record to all subtasks of the next operator.
    pub fn broadcast(&self) -> Self {
        self.partitioned(Partitioning::Broadcast)
    }

    /// Sends every record to the first subtask of the next operator.
    pub fn global(&self) -> Self {
        self.partitioned(Partitioning::Global)
    }

    /// Sends records to random subtasks of the next operator.
    pub fn shuffle(&self) -> Self {
        self.partitioned(Partitioning::Shuffle)
    }

    /// Sends the records of each subtask to the one of the same number of the next operator.
    pub fn forward(&self) -> Self {
        self.partitioned(Partitioning::Forward)
    }
}
