//! Flink's REST API on axum.
//!
//! Invariants:
//! - Every handler takes the tenant first; what belongs to another tenant is answered with 404.
//! - Paths work with and without `/v1`. Every error is `{"errors": [...]}`; a client's mistake is never a 500.
//! - Handlers hold no state of their own: they ask the Dispatcher and shape its answer. [`events`] remembers what it told.

mod accumulators;
mod backpressure;
mod body;
mod bundles;
mod checkpoint_figures;
mod checkpoints;
mod cluster;
mod error;
mod events;
mod figures;
mod flame_graphs;
mod gate;
mod group;
mod jobs;
mod metrics;
mod page;
mod path;
mod peek;
mod processes;
mod prometheus;
mod rescale_figures;
mod rescaling;
mod results;
mod routes;
mod savepoints;
mod server;
mod tenant;
mod upgrades;
mod vertices;

pub use server::{RestOptions, RestServer};
