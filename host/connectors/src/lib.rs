//! Native sources, sinks and operators: `file`, `datagen`, `print`, `discard`, `collect`, `http-lookup`.
//!
//! A connector is named in the graph and configured by a JSON object. It is checked when the application is submitted
//! ([`validate_connector`]), cut into splits where the JobMaster runs ([`enumerate_splits`]), and read or written where
//! a task runs ([`open_source`], [`open_sink`], [`open_operator`]).
//!
//! Invariants:
//! - No path is opened that [`FileRoots`] does not cover, whatever symbolic links and `..` say; no request goes where
//!   [`HttpOrigins`] does not.
//! - File IO runs in blocking threads, in big chunks: an async worker is never held up by a disk.
//! - What is held in memory is bounded: one chunk, or the longest record that is allowed.
//! - A split can be read on from every offset that a reader returned, and gives the same rows.
//! - Output is visible when it is complete and not before; with checkpoints, when the checkpoint that covers it is.

mod async_io;
mod blocking;
mod datagen;
mod error;
mod file;
mod http;
mod operator;
mod options;
mod reach;
mod registry;
mod roots;
mod row_sinks;
mod sink;
mod source;

pub use async_io::{AsyncEvent, AsyncFunction, AsyncRequests, AsyncRow, AsyncSettings, ResultOrder};
pub use error::ConnectorError;
pub use http::HttpOrigins;
pub use operator::{AsyncOperator, OperatorContext};
pub use reach::Reach;
pub use registry::{
    ConnectorKind, enumerate_splits, open_operator, open_sink, open_source, operator_accepts, operator_format,
    sink_accepts, source_format, validate_connector,
};
pub use roots::FileRoots;
pub use sink::{CollectSender, RestoredSink, Sink, SinkContext, TaskLog};
pub use source::{PollStatus, Polled, SourceContext, SourceReader};
