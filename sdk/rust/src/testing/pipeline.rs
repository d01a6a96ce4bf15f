//! Whole applications on rows in memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use super::engine::{Bounds, Engine};
use super::stand_ins::StandIns;
use crate::args::Args;
use crate::batch::BatchWriter;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::graph::NodeKind;
use crate::program::Program;

/// How an application is to be run, and on what.
pub struct PipelineOptions {
    args: Vec<String>,
    inputs: BTreeMap<String, Vec<Vec<u8>>>,
    stand_ins: StandIns,
    bounds: Bounds,
    rows_per_batch: usize,
    seed: Option<u64>,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PipelineOptions {
    /// No arguments and no input; parallelism 1.
    pub fn new() -> Self {
        let bounds = Bounds {
            parallelism: 1,
            max_parallelism: 128,
            batch_bytes: 64 * 1024,
            record_bytes_max: 16 << 20,
            state_cache_bytes: 8 << 20,
        };
        let (inputs, stand_ins) = (BTreeMap::new(), StandIns::default());
        Self { args: Vec::new(), inputs, stand_ins, bounds, rows_per_batch: 100, seed: None }
    }

    /// The arguments of the run.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item: Into<String>>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// The parallelism of operators that name none.
    #[must_use]
    pub fn parallelism(mut self, parallelism: u32) -> Self {
        self.bounds.parallelism = parallelism.max(1);
        self
    }

    /// The rows of a native source, as bytes.
    #[must_use]
    pub fn input(mut self, source: &str, rows: impl IntoIterator<Item: Into<Vec<u8>>>) -> Self {
        self.inputs.insert(source.to_owned(), rows.into_iter().map(Into::into).collect());
        self
    }

    /// The lines of a native source.
    #[must_use]
    pub fn lines(self, source: &str, lines: impl IntoIterator<Item: Into<String>>) -> Self {
        self.input(source, lines.into_iter().map(|line| line.into().into_bytes()))
    }

    /// The rows of a native source that reads CSV: the fields that the application asks for, in its order.
    #[must_use]
    pub fn csv<R: IntoIterator<Item: AsRef<str>>>(self, source: &str, rows: impl IntoIterator<Item = R>) -> Self {
        let rows = rows.into_iter().map(|row| {
            let mut bytes = Vec::new();
            Fields::new(row).write(&mut bytes);
            bytes
        });
        self.input(source, rows)
    }

    /// The rows of a native source that reads JSON.
    #[must_use]
    pub fn json<T: Serialize>(self, source: &str, rows: impl IntoIterator<Item = T>) -> Self {
        // What cannot be JSON becomes an empty row, which the application refuses.
        self.input(source, rows.into_iter().map(|row| serde_json::to_vec(&row).unwrap_or_default()))
    }

    /// Stands in for a component of another language: for each row that it gets, the rows that it gives.
    #[must_use]
    pub fn component(mut self, name: &str, rows: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        self.stand_ins.components.insert(name.to_owned(), Rc::new(rows));
        self
    }

    /// Stands in for the service that an operator asks, which is given by its name: for each record the status and body
    /// of the answer. A record of another format than text is shown as JSON.
    #[must_use]
    pub fn service(mut self, operator: &str, answer: impl Fn(&str) -> (u16, String) + 'static) -> Self {
        self.stand_ins.services.insert(operator.to_owned(), Rc::new(answer));
        self
    }

    /// Flushes instances and throws them away between random calls, in random segments, with small batches and
    /// hardly any room for caches. The same seed does the same.
    #[must_use]
    pub fn discard_instances(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self.rows_per_batch = 1 + (seed % 7) as usize;
        self.bounds.batch_bytes = 64 + (seed % 5) as u32 * 100;
        self.bounds.state_cache_bytes = (seed % 4) as u32 * 500;
        self
    }
}

/// What has reached the sinks.
pub struct PipelineOutput {
    sinks: BTreeMap<String, Vec<Vec<u8>>>,
}

impl PipelineOutput {
    /// The rows of a sink, as bytes, in the order of their arrival.
    pub fn rows(&self, sink: &str) -> Result<&[Vec<u8>]> {
        self.sinks.get(sink).map(Vec::as_slice).ok_or_else(|| Error::msg(format_args!("there is no sink '{sink}'")))
    }

    /// The rows of a sink as text.
    pub fn lines(&self, sink: &str) -> Result<Vec<String>> {
        self.rows(sink)?.iter().map(|row| String::from_utf8(row.clone()).map_err(Error::from)).collect()
    }

    /// The rows of a sink as text, sorted: their order depends on the parallelism.
    pub fn sorted_lines(&self, sink: &str) -> Result<Vec<String>> {
        let mut lines = self.lines(sink)?;
        lines.sort_unstable();
        Ok(lines)
    }
}

/// Runs an application until all its sources have ended.
pub fn run_pipeline(
    builder: impl Fn(&Environment, &Args) -> Result<()> + 'static,
    options: &PipelineOptions,
) -> Result<PipelineOutput> {
    let (args, parallelism) = (options.args.clone(), options.bounds.parallelism);
    let build = Rc::new(move || Program::build(&builder, &args, parallelism));
    run(Engine::new(build, options.bounds.clone(), options.stand_ins.clone(), options.seed)?, options)
}

fn run(mut engine: Engine, options: &PipelineOptions) -> Result<PipelineOutput> {
    for name in options.inputs.keys() {
        if engine.find(name, |kind| matches!(kind, NodeKind::NativeSource(_))).is_none() {
            return Err(Error::msg(format_args!("the application has no native source '{name}'")));
        }
    }
    let nodes: Vec<(u32, NodeKind, String)> =
        (0..).zip(&engine.graph.nodes).map(|(id, node)| (id, node.kind.clone(), node.name.clone())).collect();
    for (node, kind, name) in &nodes {
        match kind {
            NodeKind::Source(_) => engine.read_source(*node)?,
            NodeKind::NativeSource(_) => {
                let rows = options.inputs.get(name);
                let rows = rows.ok_or_else(|| Error::msg(format_args!("the source '{name}' has no input")))?;
                feed(&mut engine, *node, rows, options)?;
            }
            NodeKind::Operator(_) | NodeKind::NativeSink(_) | NodeKind::NativeOperator(_) => {}
        }
    }
    for (node, kind, _) in &nodes {
        if matches!(kind, NodeKind::Source(_) | NodeKind::NativeSource(_)) {
            for subtask in 0..engine.parallelism(*node) {
                engine.emit_watermark((*node, subtask), i64::MAX)?;
            }
        }
    }
    engine.run()?;
    let mut sinks = BTreeMap::new();
    for (node, kind, name) in nodes {
        if matches!(kind, NodeKind::NativeSink(_)) {
            let rows = engine.take_sink(node).into_iter().map(|row| row.payload);
            sinks.entry(name).or_insert_with(Vec::new).extend(rows);
        }
    }
    Ok(PipelineOutput { sinks })
}

fn feed(engine: &mut Engine, node: u32, rows: &[Vec<u8>], options: &PipelineOptions) -> Result<()> {
    let subtasks = (0..engine.parallelism(node)).cycle();
    for (subtask, rows) in subtasks.zip(rows.chunks(options.rows_per_batch)) {
        let mut batch = BatchWriter::new(false, false);
        for row in rows {
            batch.row(0, &[], row);
        }
        engine.emit((node, subtask), 0, batch.finish())?;
        engine.run()?;
    }
    Ok(())
}
