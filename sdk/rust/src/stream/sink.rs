//! The ends of streams.

use std::cell::RefCell;
use std::rc::Rc;

use super::Stream;
use crate::data::Data;
use crate::definition::{Definition, NodeDef};
use crate::graph::Chaining;

/// What a stream can end in.
pub trait IntoSink<T> {
    /// Adds the sink behind a stream.
    fn add_to(self, stream: &Stream<T>, name: &str) -> SinkHandle;
}

/// A sink that was added.
pub struct SinkHandle {
    definition: Rc<RefCell<Definition>>,
    node: u32,
}

impl<T: Data> Stream<T> {
    /// Writes the records to a sink.
    pub fn sink_to<S: IntoSink<T>>(&self, sink: S, name: &str) -> SinkHandle {
        sink.add_to(self, name)
    }
}

impl SinkHandle {
    pub(crate) fn new(definition: Rc<RefCell<Definition>>, node: u32) -> Self {
        Self { definition, node }
    }

    fn change(self, change: impl FnOnce(&mut NodeDef)) -> Self {
        change(&mut self.definition.borrow_mut().nodes[self.node as usize]);
        self
    }

    /// Identifies the sink in later versions of the application. Unique in the application.
    pub fn uid(self, uid: impl Into<String>) -> Self {
        self.change(|node| node.uid = Some(uid.into()))
    }

    /// The sink's name, as people see it.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.change(|node| node.name = name.into())
    }

    /// The number of the sink's subtasks.
    pub fn set_parallelism(self, parallelism: u32) -> Self {
        self.change(|node| node.parallelism = Some(parallelism))
    }

    /// The slots that the sink shares with others.
    pub fn slot_sharing_group(self, group: impl Into<String>) -> Self {
        self.change(|node| node.slot_sharing_group = Some(group.into()))
    }

    /// Keeps the sink out of every chain.
    pub fn disable_chaining(self) -> Self {
        self.change(|node| node.chaining = Chaining::Never)
    }
}
