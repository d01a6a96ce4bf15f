//! The digest of a StreamGraph: what tells whether a builder returned the same graph again.
//!
//! SHA-256 of this encoding. Integers are little-endian; `text` is its length in bytes as `u64` and its UTF-8;
//! `option` is the byte 0, or the byte 1 and the value.
//!
//! ```text
//! graph  "millrace stream-graph 2", text name, u64 number of nodes, nodes, u64 number of edges, edges
//! node   text uid, text name, kind, option u32 parallelism, option u32 max parallelism,
//!        option text slot sharing group, u8 chaining (0 always, 1 head, 2 never), u8 generates watermarks,
//!        option u64 idle timeout, option alignment
//! alignment  text group, u64 maximum drift, u64 update interval
//! kind   u8 0 source or 1 operator, then option text component, text function, text config;
//!        u8 2 native source or 3 native sink, then text connector, text options
//! edge   u32 source, u32 source port, u32 target, u32 target port,
//!        u8 partitioning (0 forward, 1 rebalance, 2 rescale, 3 hash, 4 broadcast, 5 global, 6 shuffle),
//!        u8 format (0 internal, 1 raw, 2 json, 3 msgpack, 4 fields)
//! ```

use millrace_types::Digest;
use sha2::{Digest as _, Sha256};

use crate::stream_graph::{
    Chaining, Format, GuestCode, NativeConnector, NodeKind, Partitioning, StreamEdge, StreamGraph, StreamNode,
};

struct Encoder(Sha256);

impl Encoder {
    fn byte(&mut self, value: u8) {
        self.0.update([value]);
    }

    fn number(&mut self, value: u32) {
        self.0.update(value.to_le_bytes());
    }

    fn wide(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn length(&mut self, value: usize) {
        self.wide(value as u64);
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Self, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            encode(self, value);
        }
    }

    fn guest(&mut self, tag: u8, code: &GuestCode) {
        self.byte(tag);
        self.option(code.component.as_deref(), Self::text);
        self.text(&code.function);
        self.text(&code.config);
    }

    fn native(&mut self, tag: u8, native: &NativeConnector) {
        self.byte(tag);
        self.text(&native.connector);
        self.text(&native.options);
    }

    fn node(&mut self, node: &StreamNode) {
        self.text(&node.uid);
        self.text(&node.name);
        match &node.kind {
            NodeKind::Source(code) => self.guest(0, code),
            NodeKind::Operator(code) => self.guest(1, code),
            NodeKind::NativeSource(native) => self.native(2, native),
            NodeKind::NativeSink(native) => self.native(3, native),
            NodeKind::NativeOperator(native) => self.native(4, native),
        }
        self.option(node.parallelism, Self::number);
        self.option(node.max_parallelism, Self::number);
        self.option(node.slot_sharing_group.as_deref(), Self::text);
        self.byte(match node.chaining {
            Chaining::Always => 0,
            Chaining::Head => 1,
            Chaining::Never => 2,
        });
        self.byte(node.generates_watermarks.into());
        self.option(node.idle_timeout_ms, Self::wide);
        self.option(node.alignment.as_ref(), |digest, alignment| {
            digest.text(&alignment.group);
            digest.wide(alignment.max_drift_ms);
            digest.wide(alignment.update_interval_ms);
        });
    }

    fn edge(&mut self, edge: &StreamEdge) {
        self.number(edge.source.0);
        self.number(edge.source_port);
        self.number(edge.target.0);
        self.number(edge.target_port);
        self.byte(match edge.partitioning {
            Partitioning::Forward => 0,
            Partitioning::Rebalance => 1,
            Partitioning::Rescale => 2,
            Partitioning::Hash => 3,
            Partitioning::Broadcast => 4,
            Partitioning::Global => 5,
            Partitioning::Shuffle => 6,
        });
        self.byte(match edge.format {
            Format::Internal => 0,
            Format::Raw => 1,
            Format::Json => 2,
            Format::Msgpack => 3,
            Format::Fields => 4,
        });
    }
}

impl StreamGraph {
    /// The SHA-256 of the graph, the same on every machine and in every version that reads this encoding.
    pub fn digest(&self) -> Digest {
        let mut encoder = Encoder(Sha256::new());
        encoder.0.update(b"millrace stream-graph 2");
        encoder.text(&self.name);
        encoder.length(self.nodes.len());
        self.nodes.iter().for_each(|node| encoder.node(node));
        encoder.length(self.edges.len());
        self.edges.iter().for_each(|edge| encoder.edge(edge));
        Digest::from_bytes(encoder.0.finalize().into())
    }
}
