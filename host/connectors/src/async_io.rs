//! Asynchronous requests for rows, as Flink's `AsyncDataStream` has them: many under way at once, their results in the
//! order of the rows or as they come.
//!
//! Invariants:
//! - At most `capacity` rows are under way or wait to be handed on; whoever has more waits.
//! - A row is in the queue until its results are handed on, and what is in the queue is the state of a checkpoint: after
//!   a failure those rows are requested again, before any new one.
//! - No result overtakes a watermark, nor is overtaken by one.

mod queue;
mod requests;

pub use queue::ResultOrder;
pub use requests::{AsyncEvent, AsyncFunction, AsyncRequests, AsyncRow, AsyncSettings};
