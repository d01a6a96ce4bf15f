//! Segments: immutable files of sorted entries, and how they are read again.
//!
//! # Layout
//! All integers are little-endian.
//!
//! ```text
//! 8     "MRSTATE" and a zero byte
//! 4     version: 1
//! …     blocks, back to back: entries of one state and one key group, about 64 KiB
//! …     footer
//! 8     offset of the footer
//! 8     length of the footer
//! 8     xxh3_64 of the footer
//! 4     version: 1
//! 8     "MRSTEND" and a zero byte
//! ```
//!
//! An entry is one byte (0 delete, 1 set), `u32` the length of the state key, the state key and, of a set, `u32` the
//! length of the value and the value. Blocks are ordered by (state, key group), and the entries of all blocks of one
//! state and key group by the bytes of their keys, each at most once. The footer:
//!
//! ```text
//! 4     max parallelism
//! 1     1 if it is a base: what it has no entry of does not exist; else 0
//! 4     number of states; for each, in the order of their names:
//!       1   1 if its values expire, else 0
//!       4   length of the name
//!       …   the name
//! 4     number of blocks; for each, in their order:
//!       4   state: its position in the list, or 0xffffffff for the timers, which come last
//!       2   key group
//!       8   offset
//!       4   length
//!       4   number of entries
//!       8   xxh3_64 of the block
//! ```
//!
//! Timers are entries with empty values; their "state keys" are one byte for the clock (0 event time, 1 processing
//! time), the timestamp big-endian with its sign bit flipped, `u32` the length of the key, the key, the namespace.
//!
//! Invariants:
//! - Whoever reads entries has verified the checksum of their block, and nothing panics whatever the bytes are.
//! - Reading takes the memory of the footer and one block.

mod cursor;
mod error;
mod footer;
mod source;
mod writer;

pub(crate) use cursor::Cursor;
pub use error::{SegmentError, SegmentFault};
pub(crate) use footer::SegmentState;
pub use source::{FileSource, SegmentInput, SegmentSource};
pub use writer::{SegmentSink, SegmentSummary};
pub(crate) use writer::{SegmentWriter, Stamp};

/// The state number of timers.
pub(crate) const TIMERS: u32 = u32::MAX;

/// What a chunk of an encoded segment has at most, in bytes.
pub const SEGMENT_CHUNK_BYTES: usize = 1024 * 1024;

/// What a block aims at, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// The longest footer, in bytes: some hundred gigabytes of blocks.
const FOOTER_BYTES_MAX: u64 = 256 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"MRSTATE\0";
const END_MAGIC: [u8; 8] = *b"MRSTEND\0";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 12;
const TRAILER_BYTES: u64 = 36;

/// Where an entry belongs: state number and key group.
pub(crate) type Section = (u32, u16);
