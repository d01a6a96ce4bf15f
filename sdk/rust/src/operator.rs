//! The operators: what runs per record.

pub(crate) mod aggregate;
pub(crate) mod broadcast;
pub(crate) mod connected;
pub(crate) mod interval_join;
pub(crate) mod keyed;
pub(crate) mod process;
pub(crate) mod source;
pub(crate) mod stateful;
pub(crate) mod stateless;
pub(crate) mod watermarks;
pub(crate) mod window;

pub use aggregate::AggregateFunction;
pub use broadcast::{BroadcastContext, BroadcastProcessFunction, KeyedBroadcastProcessFunction};
pub use keyed::{KeyedCoProcessFunction, KeyedContext, KeyedProcessFunction};
pub use process::ProcessContext;
pub use source::{Source, SourceOutput, SourceStatus};
pub use stateful::ProcessFunction;
pub use watermarks::{WatermarkGenerator, WatermarkOutput, WatermarkStrategy};
