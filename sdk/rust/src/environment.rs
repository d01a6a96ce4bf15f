//! Where a builder begins: Flink's `StreamExecutionEnvironment`.

use std::cell::RefCell;
use std::rc::Rc;

use crate::data::Data;
use crate::definition::Definition;
use crate::stream::Stream;

/// What an application is built in.
pub struct Environment {
    pub(crate) definition: Rc<RefCell<Definition>>,
}

/// What a stream can begin with: a connector of the host, or a [`Source`](crate::Source) of the application.
pub trait IntoSource {
    /// The type of its records.
    type Record: Data;

    /// Adds the source to an application.
    fn add_to(self, env: &Environment, name: &str) -> Stream<Self::Record>;
}

impl Environment {
    pub(crate) fn new(definition: Rc<RefCell<Definition>>) -> Self {
        Self { definition }
    }

    /// Names the application.
    pub fn name(&self, name: impl Into<String>) {
        self.definition.borrow_mut().name = Some(name.into());
    }

    /// The parallelism of operators that are given none.
    pub fn parallelism(&self) -> u32 {
        self.definition.borrow().parallelism
    }

    /// A stream of a source's records.
    pub fn from_source<S: IntoSource>(&self, source: S, name: &str) -> Stream<S::Record> {
        source.add_to(self, name)
    }
}
