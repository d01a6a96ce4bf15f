//! Running operators and whole applications natively, under `cargo test`: Flink's test harnesses.
//!
//! [`run_pipeline`] runs an application on rows in memory; [`OperatorHarness`] feeds one operator record by record.
//! Both run the code that runs in a component, against a host that keeps state and timers in memory. With
//! [`PipelineOptions::discard_instances`] the host flushes instances and throws them away between random calls,
//! cuts the graph into random segments and leaves hardly any room for caches: what an application gives must not
//! change by that.
//!
//! ```
//! use millrace::prelude::*;
//! use millrace::testing::{PipelineOptions, run_pipeline};
//!
//! fn shout(env: &Environment, _args: &Args) -> Result<()> {
//!     env.from_source(FileSource::lines(["in"]), "lines")
//!         .map(|line| line.to_uppercase())
//!         .sink_to(FileSink::lines("out"), "rows");
//!     Ok(())
//! }
//!
//! let output = run_pipeline(shout, &PipelineOptions::new().lines("lines", ["a", "b"])).unwrap();
//! assert_eq!(output.lines("rows").unwrap(), ["A", "B"]);
//! ```

mod engine;
pub(crate) mod host;
mod layout;
mod operator;
mod pipeline;
mod random;
mod route;
mod splits;
mod stand_ins;
mod task;

pub use operator::OperatorHarness;
pub use pipeline::{PipelineOptions, PipelineOutput, run_pipeline};
