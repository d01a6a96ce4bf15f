//! The graph in a manifest, for applications without a builder: nodes keyed by uid, edges that name uids.

use std::collections::BTreeMap;

use millrace_graph::{
    Chaining, Format, GuestCode, NativeConnector, NodeKind, Partitioning, StreamEdge, StreamGraph, StreamNode,
    WatermarkAlignment,
};
use millrace_types::NodeId;
use serde::{Deserialize, Serialize};

use super::check::{check_parallelism, known};
use super::{Manifest, ManifestError};

/// The most nodes, and the most edges, of a graph in a manifest.
const GRAPH_PARTS_MAX: usize = 10_000;

/// The graph. A node's id is its place in the order of the uids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ManifestGraph {
    /// Its name; the application's where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<ManifestEdge>,
    /// The nodes, by uid.
    pub nodes: BTreeMap<String, ManifestNode>,
}

/// A node; exactly one of `source`, `operator`, `native-source`, `native-operator` and `native-sink` says what it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ManifestNode {
    /// Its name for people; the uid where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of subtasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// The number of key groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallelism: Option<u32>,
    /// Its slot sharing group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot_sharing_group: Option<String>,
    /// Whether it may stand in a chain.
    pub chaining: Chaining,
    /// Whether it decides its output watermark itself.
    pub generates_watermarks: bool,
    /// After how long without a watermark it is idle, in milliseconds, if it decides its output watermark itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// How its source waits for others, if it decides its output watermark itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment: Option<WatermarkAlignment>,
    /// A source in a component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<GuestCode>,
    /// An operator in a component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<GuestCode>,
    /// A source in the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_source: Option<NativeSpec>,
    /// An operator in the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_operator: Option<NativeSpec>,
    /// A sink in the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_sink: Option<NativeSpec>,
}

/// A connector of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NativeSpec {
    /// Its name.
    pub connector: String,
    /// Its options.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub options: toml::Table,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ManifestEdge {
    /// The producer's uid.
    pub from: String,
    /// The way out of the producer.
    #[serde(default)]
    pub from_port: u32,
    /// The consumer's uid.
    pub to: String,
    /// The way into the consumer.
    #[serde(default)]
    pub to_port: u32,
    /// How records are spread.
    pub partitioning: Partitioning,
    /// What the payloads are.
    pub format: Format,
}

impl Manifest {
    /// The graph that the manifest states, if it does.
    ///
    /// # Errors
    /// What is wrong with it: a node that is nothing or two things, an unknown component or uid, an option that JSON
    /// does not have. Whether the graph as a whole is one that can run is for [`StreamGraph`]'s own checks.
    pub fn stream_graph(&self) -> Result<Option<StreamGraph>, ManifestError> {
        let Some(graph) = &self.graph else { return Ok(None) };
        for (key, count) in [("graph.nodes", graph.nodes.len()), ("graph.edges", graph.edges.len())] {
            if count > GRAPH_PARTS_MAX {
                return Err(ManifestError::invalid(key, format!("{count}, where {GRAPH_PARTS_MAX} are allowed")));
            }
        }
        let nodes = graph.nodes.iter().map(|(uid, node)| self.node(uid, node)).collect::<Result<_, _>>()?;
        let ids: BTreeMap<&String, NodeId> = graph.nodes.keys().zip((0..).map(NodeId)).collect();
        let id = |key: String, uid: &String| {
            let unknown = || format!("there is no node \"{uid}\"; {}", known("nodes", graph.nodes.keys()));
            ids.get(uid).copied().ok_or_else(|| ManifestError::invalid(key, unknown()))
        };
        let edges = graph.edges.iter().enumerate().map(|(place, edge)| {
            Ok(StreamEdge {
                source: id(format!("graph.edges[{place}].from"), &edge.from)?,
                source_port: edge.from_port,
                target: id(format!("graph.edges[{place}].to"), &edge.to)?,
                target_port: edge.to_port,
                partitioning: edge.partitioning,
                format: edge.format,
            })
        });
        let edges = edges.collect::<Result<_, _>>()?;
        let name = graph.name.as_ref().unwrap_or(&self.application.name).clone();
        Ok(Some(StreamGraph { name, nodes, edges }))
    }

    fn node(&self, uid: &str, node: &ManifestNode) -> Result<StreamNode, ManifestError> {
        let key = format!("graph.nodes.{uid}");
        if uid.is_empty() {
            return Err(ManifestError::invalid("graph.nodes", "a uid is empty"));
        }
        if let Some(parallelism) = node.parallelism {
            check_parallelism(&format!("{key}.parallelism"), parallelism)?;
        }
        let native = |spec: &NativeSpec| {
            let options = to_json(&toml::Value::Table(spec.options.clone()))
                .map_err(|reason| ManifestError::invalid(format!("{key}: options"), reason))?;
            Ok(NativeConnector { connector: spec.connector.clone(), options: options.to_string() })
        };
        let ManifestNode { source, operator, native_source, native_operator, native_sink, .. } = node;
        let kind = match (source, operator, native_source, native_operator, native_sink) {
            (Some(code), None, None, None, None) => NodeKind::Source(self.guest_code(&key, code)?),
            (None, Some(code), None, None, None) => NodeKind::Operator(self.guest_code(&key, code)?),
            (None, None, Some(spec), None, None) => NodeKind::NativeSource(native(spec)?),
            (None, None, None, Some(spec), None) => NodeKind::NativeOperator(native(spec)?),
            (None, None, None, None, Some(spec)) => NodeKind::NativeSink(native(spec)?),
            _ => {
                let reason = "state exactly one of source, operator, native-source, native-operator and native-sink";
                return Err(ManifestError::invalid(key, reason));
            }
        };
        Ok(StreamNode {
            uid: uid.to_owned(),
            name: node.name.clone().unwrap_or_else(|| uid.to_owned()),
            kind,
            parallelism: node.parallelism,
            max_parallelism: node.max_parallelism,
            slot_sharing_group: node.slot_sharing_group.clone(),
            chaining: node.chaining,
            generates_watermarks: node.generates_watermarks,
            idle_timeout_ms: node.idle_timeout_ms,
            alignment: node.alignment.clone(),
        })
    }

    fn guest_code(&self, key: &str, code: &GuestCode) -> Result<GuestCode, ManifestError> {
        let reason = match (&code.component, &self.application.entry) {
            (Some(component), _) if !self.components.contains_key(component) => {
                format!("there is no component \"{component}\"; {}", known("components", self.components.keys()))
            }
            (None, None) => "it names no component, and application.entry is missing".to_owned(),
            _ => return Ok(code.clone()),
        };
        Err(ManifestError::invalid(key, reason))
    }
}

/// The same value in JSON, which connectors read.
fn to_json(value: &toml::Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => {
            let number = serde_json::Number::from_f64(*number);
            number.ok_or("a number that is not finite cannot be used")?.into()
        }
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::Datetime(_) => return Err("write dates and times as strings".to_owned()),
        toml::Value::Array(values) => serde_json::Value::Array(values.iter().map(to_json).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| Ok((key.clone(), to_json(value)?)));
            serde_json::Value::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}
