//! Generated lines, for trying things out.

use super::native::NativeSource;
use crate::format::Raw;

/// Generates numbers, each the text of a record.
pub struct DatagenSource;

impl DatagenSource {
    /// Numbers from 0 on, without an end.
    pub fn unbounded() -> NativeSource<String, Raw> {
        NativeSource::new("datagen")
    }

    /// So many numbers.
    pub fn rows(rows: u64) -> NativeSource<String, Raw> {
        Self::unbounded().option("rows", rows)
    }
}
