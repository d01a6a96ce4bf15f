//! The event `figures`: what passes through the vertices of a job.

use std::collections::BTreeMap;

use millrace_jobmanager::{JobFlow, VertexFlow};
use serde::Serialize;

use crate::figures::millis;

/// The body of the event.
#[derive(Debug, Serialize)]
pub(super) struct Flow {
    timestamp: i64,
    vertices: BTreeMap<String, Vertex>,
}

/// A vertex at the moment: shares of its subtasks' time from 0 to 1, rates a second, and totals.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Vertex {
    busy: f64,
    back_pressured: f64,
    idle: f64,
    records_in_per_second: f64,
    records_out_per_second: f64,
    bytes_in_per_second: f64,
    bytes_out_per_second: f64,
    records_in: u64,
    records_out: u64,
    watermark: Option<i64>,
}

pub(super) fn flow(flow: &JobFlow) -> Flow {
    let vertices = flow.vertices.iter().map(|(id, vertex)| (id.to_string(), vertex_of(vertex)));
    Flow { timestamp: millis(flow.at), vertices: vertices.collect() }
}

fn vertex_of(flow: &VertexFlow) -> Vertex {
    Vertex {
        busy: flow.busy,
        back_pressured: flow.backpressured,
        idle: flow.idle,
        records_in_per_second: flow.records_in_per_second,
        records_out_per_second: flow.records_out_per_second,
        bytes_in_per_second: flow.bytes_in_per_second,
        bytes_out_per_second: flow.bytes_out_per_second,
        records_in: flow.records_in,
        records_out: flow.records_out,
        watermark: flow.watermark,
    }
}
