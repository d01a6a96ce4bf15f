//! Streams: what a builder connects operators with.
//!
//! A stream knows the outputs that feed it. Connecting it to an operator adds the ports and edges, and with them
//! the code that encodes and decodes its records where they leave an instance.

mod connected;
mod interval_join;
mod keyed;
mod properties;
mod sink;
mod stateful;
mod transform;
mod window_join;
mod windowed;
mod wiring;

use std::cell::RefCell;
use std::rc::Rc;

pub use connected::{ConnectedKeyedStreams, ConnectedStreams};
pub use interval_join::IntervalJoin;
pub use keyed::KeyedStream;
pub use sink::{IntoSink, SinkHandle};
pub use stateful::{BroadcastConnectedStream, KeyedBroadcastConnectedStream};
pub use transform::{Component, IntoOperator};
pub use window_join::{CoGrouped, Joined, PairedStreams, PairedStreamsWhere, PairedStreamsWithKey, PairedWindows};
pub use windowed::{AllWindowedStream, WindowedStream};

use crate::definition::{Definition, MAIN_OUTPUT};
use crate::graph::{Format, Partitioning};
use crate::runtime::input::InputFactory;

/// A stream of records: Flink's `DataStream`.
///
/// Methods leave it as it is, so a stream can feed several operators.
pub struct Stream<T> {
    pub(crate) definition: Rc<RefCell<Definition>>,
    pub(crate) upstreams: Vec<Upstream<T>>,
}

/// An output that feeds a stream.
pub(crate) struct Upstream<T> {
    pub node: u32,
    pub output: u32,
    /// What was asked for; `None`: what follows from the parallelisms.
    pub partitioning: Option<Partitioning>,
    pub origin: Origin<T>,
}

/// Who makes the records of an output.
pub(crate) enum Origin<T> {
    /// This component: it encodes them as the reader wants them.
    Own,
    /// The host or another component: their format is given.
    Outside { format: Format, input: InputFactory<T> },
}

impl<T> Clone for Upstream<T> {
    fn clone(&self) -> Self {
        let origin = match self.origin {
            Origin::Own => Origin::Own,
            Origin::Outside { format, input } => Origin::Outside { format, input },
        };
        Self { origin, ..*self }
    }
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Self { definition: Rc::clone(&self.definition), upstreams: self.upstreams.clone() }
    }
}

impl<T> Stream<T> {
    /// The main output of a node of this component.
    pub(crate) fn of_node(definition: &Rc<RefCell<Definition>>, node: u32) -> Self {
        Self::of_output(definition, node, MAIN_OUTPUT)
    }

    pub(crate) fn of_output(definition: &Rc<RefCell<Definition>>, node: u32, output: u32) -> Self {
        let upstream = Upstream { node, output, partitioning: None, origin: Origin::Own };
        Self { definition: Rc::clone(definition), upstreams: vec![upstream] }
    }

    /// The output of a node outside of this component.
    pub(crate) fn of_outside(
        definition: &Rc<RefCell<Definition>>,
        node: u32,
        format: Format,
        input: InputFactory<T>,
    ) -> Self {
        let origin = Origin::Outside { format, input };
        let upstream = Upstream { node, output: MAIN_OUTPUT, partitioning: None, origin };
        Self { definition: Rc::clone(definition), upstreams: vec![upstream] }
    }
}
