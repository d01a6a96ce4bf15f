//! Batches: many records in one byte string, laid out as `sdk/wit/millrace.wit` says.

mod copy;
mod read;
mod write;

pub(crate) use copy::{
    WORDS_BYTES_MAX, Words, append, append_packed, is_packed_ascii, pack, pack_front, packed_count, short_word, text,
};
pub use read::{BatchError, BatchReader, Row, Rows};
pub use write::BatchWriter;

/// The first four bytes of a batch.
const MAGIC: [u8; 4] = *b"MRB1";
/// Rows carry a timestamp.
const TIMESTAMPED: u32 = 1;
/// Rows carry a key.
const KEYED: u32 = 2;
/// The bytes in front of the rows.
const HEADER_BYTES: usize = 16;

/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = i64::MIN;
