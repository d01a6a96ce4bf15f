//! Connectors: the host's, by name, and sources of the application's own.

mod datagen;
mod file;
mod guest;
mod http;
mod native;
mod sinks;

pub use datagen::DatagenSource;
pub use file::{FileSink, FileSource};
pub use http::{HttpAnswer, HttpLookup};
pub use native::{NativeOperator, NativeSink, NativeSource};
pub use sinks::{CollectSink, DiscardSink, PrintSink};
