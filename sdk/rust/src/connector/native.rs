//! Connectors of the host, by their names and options.

use std::marker::PhantomData;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::data::Data;
use crate::definition::NodeDef;
use crate::environment::{Environment, IntoSource};
use crate::format::{Decode, Encode};
use crate::graph::NativeConnector;
use crate::runtime::input::plain_input;
use crate::stream::{IntoSink, SinkHandle, Stream};

/// A source of the host. `D` is the format of its records: [`Raw`](crate::Raw), [`Json`](crate::Json) or
/// [`CsvFields`](crate::CsvFields).
pub struct NativeSource<T, D> {
    connector: &'static str,
    options: Map<String, Value>,
    types: PhantomData<fn() -> (T, D)>,
}

/// A sink of the host. `E` is the format in which it gets its records.
pub struct NativeSink<E> {
    connector: &'static str,
    options: Map<String, Value>,
    format: PhantomData<E>,
}

/// An operator of the host. `E` is the format in which it gets its records.
#[must_use]
pub struct NativeOperator<E> {
    connector: &'static str,
    options: Map<String, Value>,
    format: PhantomData<E>,
}

/// The options as the host reads them.
fn connector(name: &str, options: Map<String, Value>) -> NativeConnector {
    NativeConnector { connector: name.to_owned(), options: Value::Object(options).to_string() }
}

impl<T: Data, D: Decode<T>> NativeSource<T, D> {
    /// The connector of this name. Options are set by [`option`](Self::option).
    pub fn new(connector: &'static str) -> Self {
        Self { connector, options: Map::new(), types: PhantomData }
    }

    /// Sets an option of the connector.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }
}

impl<T: Data, D: Decode<T>> IntoSource for NativeSource<T, D> {
    type Record = T;

    fn add_to(self, env: &Environment, name: &str) -> Stream<T> {
        let node = NodeDef::native_source(connector(self.connector, self.options), name);
        let node = env.definition.borrow_mut().add_node(node);
        Stream::of_outside(&env.definition, node, D::FORMAT, plain_input::<T, D>)
    }
}

impl<E> NativeSink<E> {
    /// The connector of this name. Options are set by [`option`](Self::option).
    pub fn new(connector: &'static str) -> Self {
        Self { connector, options: Map::new(), format: PhantomData }
    }

    /// Sets an option of the connector.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }
}

impl<T: Data, E: Encode<T>> IntoSink<T> for NativeSink<E> {
    fn add_to(self, stream: &Stream<T>, name: &str) -> SinkHandle {
        let node = NodeDef::native_sink(connector(self.connector, self.options), name);
        let node = stream.definition.borrow_mut().add_node(node);
        stream.feed_outside::<E>(node);
        SinkHandle::new(Rc::clone(&stream.definition), node)
    }
}

impl<E> NativeOperator<E> {
    /// The connector of this name. Options are set by [`option`](Self::option).
    pub fn new(connector: &'static str) -> Self {
        Self { connector, options: Map::new(), format: PhantomData }
    }

    /// Sets an option of the connector.
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }

    /// The same for records of another format.
    pub(super) fn of<F>(self) -> NativeOperator<F> {
        NativeOperator { connector: self.connector, options: self.options, format: PhantomData }
    }

    /// Adds the operator behind a stream; `D` is the format of what it makes of the records.
    pub fn add_to<T: Data, U: Data, D: Decode<U>>(self, stream: &Stream<T>, name: &str) -> Stream<U>
    where
        E: Encode<T>,
    {
        let node = NodeDef::native_operator(connector(self.connector, self.options), name);
        let node = stream.definition.borrow_mut().add_node(node);
        stream.feed_outside::<E>(node);
        Stream::of_outside(&stream.definition, node, D::FORMAT, plain_input::<U, D>)
    }
}
