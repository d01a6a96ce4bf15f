//! `program.build` and `program.splits`.

use bytes::Bytes;
use millrace_graph::StreamGraph;
use millrace_types::NodeId;
use wasmtime::component::Instance;

use crate::bindings::exports::millrace::app::program;
use crate::component::CompiledComponent;
use crate::error::{GuestError, GuestErrorKind};
use crate::graph;
use crate::guest::Guest;
use crate::options::BuilderLimits;

/// What `build` is told, recorded with the run so that it is told the same every time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuildInput<'a> {
    pub args: &'a [String],
    pub parallelism: u32,
}

/// The builder of an instance.
pub(crate) fn program(
    guest: &mut Guest,
    instance: &Instance,
    component: &CompiledComponent,
) -> Result<program::Guest, GuestError> {
    let Some(indices) = &component.linked().program else {
        let message = "the component has no builder: it exports no `millrace:app/program`".to_owned();
        return Err(guest.reject(GuestErrorKind::Contract, message));
    };
    indices
        .load(&mut guest.store, instance)
        .map_err(|error| guest.reject(GuestErrorKind::Contract, format!("{error:#}")))
}

/// Runs the builder.
pub(crate) async fn build(
    guest: &mut Guest,
    program: &program::Guest,
    input: BuildInput<'_>,
    limits: &BuilderLimits,
) -> Result<StreamGraph, GuestError> {
    let context = program::BuildContext { args: input.args.to_vec(), parallelism: input.parallelism };
    let started = guest.begin("build", None)?;
    let outcome = started.run(Box::pin(program.call_build(&mut guest.store, &context))).await;
    let built = guest.end(outcome)?;
    graph::from_guest(built, limits).map_err(|message| guest.reject(GuestErrorKind::TooMuch, message))
}

/// Asks for the splits of a source of the graph that `build` has returned in this instance.
pub(crate) async fn splits(
    guest: &mut Guest,
    program: &program::Guest,
    node: NodeId,
    parallelism: u32,
    limits: &BuilderLimits,
) -> Result<Vec<Bytes>, GuestError> {
    let started = guest.begin("splits", Some(node))?;
    let outcome = started.run(Box::pin(program.call_splits(&mut guest.store, node.0, parallelism))).await;
    let splits = guest.end(outcome)?;
    let bytes: usize = splits.iter().map(Vec::len).sum();
    if splits.len() > limits.splits_max || bytes > limits.split_bytes_max {
        let message = format!(
            "{} splits of {bytes} bytes altogether, limit {} splits and {} bytes",
            splits.len(),
            limits.splits_max,
            limits.split_bytes_max
        );
        return Err(guest.reject(GuestErrorKind::TooMuch, message));
    }
    Ok(splits.into_iter().map(Bytes::from).collect())
}
