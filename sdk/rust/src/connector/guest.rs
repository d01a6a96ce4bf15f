//! Sources of the application's own.

use std::rc::Rc;

use crate::definition::NodeDef;
use crate::environment::{Environment, IntoSource};
use crate::operator::source::{ErasedSource, Source, SourceReader};
use crate::stream::Stream;

impl<S: Source> IntoSource for S {
    type Record = S::Record;

    fn add_to(self, env: &Environment, name: &str) -> Stream<S::Record> {
        let source = Rc::new(self);
        let in_instance = Rc::clone(&source);
        let node = NodeDef::source(
            name,
            source as Rc<dyn ErasedSource>,
            Box::new(|assembly| {
                let (collector, host) = (assembly.collector()?, assembly.host());
                assembly.source(Box::new(SourceReader::new(in_instance, collector, host)));
                Ok(())
            }),
        );
        let node = env.definition.borrow_mut().add_node(node);
        Stream::of_node(&env.definition, node)
    }
}
