//! The `file` connector: reads text files in splits, writes part files.

mod csv;
mod csv_layout;
mod input;
mod lines;
mod listing;
mod options;
mod part_commit;
mod part_name;
mod part_writer;
mod reader;
#[cfg(test)]
mod reader_tests;
mod sink;
#[cfg(test)]
mod sink_tests;
mod source;
mod split;
mod split_reader;

pub use sink::FileSinkPlan;
pub use source::FileSourcePlan;

/// What is read at once, in bytes. Reads are big so that the change to a blocking thread costs little.
const CHUNK_BYTES: usize = 512 * 1024;
