//! What can be wrong with a batch.

use crate::batch::{BatchFlags, HEADER_BYTES};

/// Why some bytes are not the batch that they should be. Offsets count from the batch's first byte, rows from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The header is cut off.
    #[error("the batch has {len} bytes, and its header alone has {HEADER_BYTES}")]
    Header {
        /// The batch's length, in bytes.
        len: usize,
    },
    /// It begins otherwise than batches of this version do.
    #[error("the batch begins with {found:02x?} at offset 0 instead of \"MRB1\"")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A flag that no version of the layout has.
    #[error("the batch has the flags {found:#010x} at offset 4, and only TIMESTAMPED (1) and KEYED (2) exist")]
    UnknownFlags {
        /// All flags.
        found: u32,
    },
    /// The row index does not lie between the rows and the end of the batch.
    #[error(
        "the batch has {len} bytes, but by its header (offsets 8 and 12) it has {rows} rows with their index at \
         offset {index}: the index must begin at {HEADER_BYTES} or later, at {HEADER_BYTES} if there are no rows, \
         and end with the batch"
    )]
    Index {
        /// The batch's length, in bytes.
        len: usize,
        /// The number of rows that the header states.
        rows: u32,
        /// The offset of the index that the header states.
        index: u32,
    },
    /// A row ends before it begins, or behind the rows.
    #[error("row {row} begins at offset {start} and ends, by the row index, at {end}; the rows end at {rows_end}")]
    RowEnd {
        /// The row.
        row: usize,
        /// Where it begins.
        start: u32,
        /// Where it ends.
        end: u32,
        /// Where all rows end.
        rows_end: u32,
    },
    /// A row has no room for its timestamp or the length of its key.
    #[error("row {row} at offset {start} has {len} bytes; with the batch's flags it needs at least {needed}")]
    RowTooShort {
        /// The row.
        row: usize,
        /// Where it begins.
        start: u32,
        /// Its length, in bytes.
        len: u32,
        /// The least length, in bytes.
        needed: u32,
    },
    /// A key reaches beyond its row.
    #[error("row {row} at offset {start} states a key of {key_len} bytes and has {room} for it")]
    Key {
        /// The row.
        row: usize,
        /// Where it begins.
        start: u32,
        /// The length of the key that the row states, in bytes.
        key_len: u32,
        /// The bytes that the row has for key and payload.
        room: u32,
    },
    /// Rows lie behind the last row of the index.
    #[error("the last row ends at offset {end} and the row index begins at {index}")]
    LastRow {
        /// Where the last row ends.
        end: u32,
        /// Where the index begins.
        index: u32,
    },
    /// A row is longer than a record may be.
    #[error("row {row} at offset {start} has {len} bytes; a record may have {max}")]
    RecordTooLong {
        /// The row.
        row: usize,
        /// Where it begins.
        start: u32,
        /// Its length, in bytes.
        len: u32,
        /// The limit, in bytes.
        max: u32,
    },
    /// The call takes batches of other flags.
    #[error("the batch is {found}, and {call} takes one that is {expected}")]
    Flags {
        /// The function of the guest contract.
        call: &'static str,
        /// The flags that it takes.
        expected: BatchFlags,
        /// The flags of the batch.
        found: BatchFlags,
    },
    /// The payload of a row is not what the call takes.
    #[error("row {row}: {call} takes {expected}, and the payload {found}")]
    Payload {
        /// The function of the guest contract.
        call: &'static str,
        /// The row.
        row: usize,
        /// What the payload should be.
        expected: &'static str,
        /// What it is, as the end of a sentence.
        found: String,
    },
}
