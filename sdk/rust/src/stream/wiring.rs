//! Connecting streams to operators.

use std::any::TypeId;

use super::{Origin, Stream, Upstream};
use crate::data::Data;
use crate::definition::{MAIN_OUTPUT, NodeDef, PortKind};
use crate::format::{Encode, Internal};
use crate::graph::{Format, Partitioning};
use crate::operator::stateless::Identity;
use crate::runtime::input::{InputFactory, plain_input};
use crate::runtime::port::{PortFactory, plain_port};

impl<T: Data> Stream<T> {
    /// Adds an operator that reads this stream.
    pub(crate) fn operator<U: Data>(&self, node: NodeDef) -> Stream<U> {
        let node = self.definition.borrow_mut().add_node(node);
        self.feed(node, 0);
        Stream::of_node(&self.definition, node)
    }

    /// Connects the stream to an input of an operator of this component.
    pub(crate) fn feed(&self, node: u32, input: u32) {
        let definition = &mut *self.definition.borrow_mut();
        for upstream in &self.upstreams {
            let (format, factory) = match upstream.origin {
                Origin::Own => (Format::Internal, plain_input::<T, Internal> as InputFactory<T>),
                Origin::Outside { format, input } => (format, input),
            };
            let port = match upstream.origin {
                Origin::Own => definition.port(upstream.node, upstream.output, plain_kind::<Internal>(), || {
                    Box::new(plain_port::<T, Internal>())
                }),
                Origin::Outside { .. } => 0,
            };
            let target_port = definition.input(node, input, format, Some(Box::new(factory)));
            definition.add_edge((upstream.node, port), (node, target_port), upstream.partitioning, format);
        }
    }

    /// Connects the stream to a node outside of this component, in a format.
    pub(crate) fn feed_outside<E: Encode<T>>(&self, node: u32) {
        let fits = |upstream: &Upstream<T>| match upstream.origin {
            Origin::Own => true,
            Origin::Outside { format, .. } => format == E::FORMAT,
        };
        let upstreams: Vec<Upstream<T>> = self
            .upstreams
            .iter()
            .map(|upstream| if fits(upstream) { upstream.clone() } else { self.own(upstream) })
            .collect();
        let definition = &mut *self.definition.borrow_mut();
        for upstream in upstreams {
            let port = match upstream.origin {
                Origin::Own => definition
                    .port(upstream.node, upstream.output, plain_kind::<E>(), || Box::new(plain_port::<T, E>())),
                Origin::Outside { .. } => 0,
            };
            definition.add_edge((upstream.node, port), (node, 0), upstream.partitioning, E::FORMAT);
        }
    }

    /// Connects the stream to a keyed input. All upstreams have to be this component's own.
    pub(crate) fn feed_keyed(&self, node: u32, input: u32, selector: u32, factory: &PortFactory<T>) {
        let definition = &mut *self.definition.borrow_mut();
        let target_port = definition.input(node, input, Format::Internal, None);
        for upstream in &self.upstreams {
            let port = definition.port(upstream.node, upstream.output, PortKind::Keyed(selector), || {
                Box::new(PortFactory::clone(factory))
            });
            let partitioning = Some(Partitioning::Hash);
            definition.add_edge((upstream.node, port), (node, target_port), partitioning, Format::Internal);
        }
    }

    /// The same records as an output of this component, which can give them keys and any format: an operator is
    /// put behind outputs of others.
    fn own(&self, upstream: &Upstream<T>) -> Upstream<T> {
        if matches!(upstream.origin, Origin::Own) {
            return upstream.clone();
        }
        let node = NodeDef::operator(
            "convert",
            "Convert",
            Box::new(|assembly| {
                let output = assembly.output::<T>()?;
                assembly.accept::<T>(0, Box::new(Identity { output }))
            }),
        );
        let outside = Self { definition: self.definition.clone(), upstreams: vec![upstream.clone()] };
        let mut converted = outside.operator::<T>(node).upstreams;
        converted.pop().unwrap_or_else(|| upstream.clone())
    }

    pub(crate) fn owned(&self) -> Self {
        let upstreams = self.upstreams.iter().map(|upstream| self.own(upstream)).collect();
        Self { definition: self.definition.clone(), upstreams }
    }

    /// The node and output behind the stream, if it is a single one.
    pub(crate) fn single(&self) -> Option<(u32, u32)> {
        match self.upstreams.as_slice() {
            [only] => Some((only.node, only.output)),
            _ => None,
        }
    }

    /// Changes the operator that the stream comes from.
    pub(crate) fn change(&self, what: &str, change: impl FnOnce(&mut NodeDef)) -> Self {
        let operator = match self.upstreams.as_slice() {
            [only] if only.partitioning.is_none() && only.output == MAIN_OUTPUT => Some(only.node),
            _ => None,
        };
        let definition = &mut *self.definition.borrow_mut();
        match operator {
            Some(node) => change(&mut definition.nodes[node as usize]),
            None => definition.errors.push(format!("{what} has to follow an operator directly")),
        }
        self.clone()
    }
}

fn plain_kind<E: 'static>() -> PortKind {
    PortKind::Plain(TypeId::of::<E>())
}
