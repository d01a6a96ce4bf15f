//! Native sources and sinks: `file`, `datagen`, `print`, `discard`, `collect`.
//!
//! A connector is named in the graph and configured by a JSON object. It is checked when the application is submitted
//! ([`validate_connector`]), cut into splits where the JobMaster runs ([`enumerate_splits`]), and read or written where
//! a task runs ([`open_source`], [`open_sink`]).
//!
//! Invariants:
//! - No path is opened that [`FileRoots`] does not cover, whatever symbolic links and `..` say.
//! - File IO runs in blocking threads, in big chunks: an async worker is never held up by a disk.
//! - What is held in memory is bounded: one chunk, or the longest record that is allowed.
//! - A split can be read on from every offset that a reader returned, and gives the same rows.
//! - Output is visible when it is complete and not before; with checkpoints, when the checkpoint that covers it is.

mod blocking;
mod datagen;
mod error;
mod file;
mod options;
mod registry;
mod roots;
mod row_sinks;
mod sink;
mod source;

pub use error::ConnectorError;
pub use registry::{
    ConnectorKind, enumerate_splits, open_sink, open_source, sink_accepts, source_format, validate_connector,
};
pub use roots::FileRoots;
pub use sink::{CollectSender, RestoredSink, Sink, SinkContext, TaskLog};
pub use source::{PollStatus, Polled, SourceContext, SourceReader};
