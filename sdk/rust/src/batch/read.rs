//! Reading a batch. Everything is checked once, in front; after that, rows are slices.

use std::fmt;

use super::{HEADER_BYTES, KEYED, MAGIC, NO_TIMESTAMP, TIMESTAMPED};
use crate::data::{Data, DecodeError, Reader};

/// Why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchError {
    /// Shorter than a header.
    Truncated {
        /// How long it is.
        bytes: usize,
    },
    /// The first four bytes are not `MRB1`.
    Magic,
    /// A flag is set that has no meaning.
    Flags(u32),
    /// The header's offset of the row index does not fit the length and the number of rows.
    Index {
        /// The offset of the index.
        offset: u32,
        /// The number of rows.
        rows: u32,
        /// The length of the batch.
        bytes: usize,
    },
    /// The end of a row lies in front of its start or behind the rows.
    RowEnd {
        /// The row, from 0.
        row: u32,
    },
    /// The last row does not end where the row index begins.
    Gap,
    /// A row is too short for its timestamp, or for its key.
    ShortRow {
        /// The row, from 0.
        row: u32,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed batch: ")?;
        match self {
            Self::Truncated { bytes } => write!(f, "{bytes} bytes are fewer than a header's 16"),
            Self::Magic => f.write_str("it does not begin with MRB1"),
            Self::Flags(flags) => write!(f, "unknown flags {flags:#x}"),
            Self::Index { offset, rows, bytes } => {
                write!(f, "an index of {rows} rows at offset {offset} does not end a batch of {bytes} bytes")
            }
            Self::RowEnd { row } => write!(f, "the end of row {row} is out of order or out of bounds"),
            Self::Gap => f.write_str("the last row does not end at the row index"),
            Self::ShortRow { row } => write!(f, "row {row} is too short for its timestamp or key"),
        }
    }
}

impl std::error::Error for BatchError {}

/// A row of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Milliseconds since 1970, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
    /// The key's bytes; empty if the batch has no keys.
    pub key: &'a [u8],
    /// The record, in the format of the edge.
    pub payload: &'a [u8],
    /// Key and payload, and all rows behind them.
    whole: &'a [u8],
}

impl<'a> Row<'a> {
    /// Decodes the key.
    #[inline(always)]
    pub(crate) fn decode_key<T: Data>(&self) -> Result<T, DecodeError> {
        Self::decode(self.whole, self.key.len())
    }

    /// Decodes the payload.
    #[inline(always)]
    pub(crate) fn decode_payload<T: Data>(&self) -> Result<T, DecodeError> {
        Self::decode(self.whole.get(self.key.len()..).unwrap_or_default(), self.payload.len())
    }

    #[inline(always)]
    fn decode<T: Data>(whole: &'a [u8], count: usize) -> Result<T, DecodeError> {
        let mut input = Reader::within(whole, count);
        let value = T::decode(&mut input)?;
        input.end()?;
        Ok(value)
    }

    /// The key and all that stands behind it.
    #[inline(always)]
    pub(crate) fn key_onwards(&self) -> &'a [u8] {
        self.whole
    }
}

/// A checked batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchReader<'a> {
    bytes: &'a [u8],
    index: &'a [u8],
    flags: u32,
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    match bytes.get(offset..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u32::from_le_bytes(*chunk),
        // Callers have checked the bounds; a row that ended nowhere would be refused.
        None => u32::MAX,
    }
}

impl<'a> BatchReader<'a> {
    /// Checks a batch.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated { bytes: bytes.len() });
        }
        if bytes[..4] != MAGIC {
            return Err(BatchError::Magic);
        }
        let flags = u32_at(bytes, 4);
        if flags & !(TIMESTAMPED | KEYED) != 0 {
            return Err(BatchError::Flags(flags));
        }
        let (rows, offset) = (u32_at(bytes, 8), u32_at(bytes, 12));
        let ends_batch = u64::from(offset) + 4 * u64::from(rows) == bytes.len() as u64;
        if !ends_batch || (offset as usize) < HEADER_BYTES {
            return Err(BatchError::Index { offset, rows, bytes: bytes.len() });
        }
        let batch = Self { bytes, index: &bytes[offset as usize..], flags };
        batch.check_rows(offset as usize)?;
        Ok(batch)
    }

    fn check_rows(&self, offset: usize) -> Result<(), BatchError> {
        let timestamp_bytes = if self.is_timestamped() { 8 } else { 0 };
        let mut start = HEADER_BYTES;
        for (row, end) in self.index.as_chunks::<4>().0.iter().enumerate() {
            let end = u32::from_le_bytes(*end) as usize;
            let row = row as u32;
            if end < start || end > offset {
                return Err(BatchError::RowEnd { row });
            }
            let mut needed = timestamp_bytes;
            if self.is_keyed() {
                needed += 4;
                if end - start >= needed {
                    needed = needed.saturating_add(u32_at(self.bytes, start + timestamp_bytes) as usize);
                }
            }
            if end - start < needed {
                return Err(BatchError::ShortRow { row });
            }
            start = end;
        }
        if start == offset { Ok(()) } else { Err(BatchError::Gap) }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.index.len() / 4
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether rows carry timestamps.
    pub fn is_timestamped(&self) -> bool {
        self.flags & TIMESTAMPED != 0
    }

    /// Whether rows carry keys.
    pub fn is_keyed(&self) -> bool {
        self.flags & KEYED != 0
    }

    /// The rows, in order.
    pub fn rows(&self) -> Rows<'a> {
        Rows { batch: *self, ends: self.index.as_chunks::<4>().0.iter(), start: HEADER_BYTES }
    }
}

/// The rows of a batch, in order.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    batch: BatchReader<'a>,
    ends: std::slice::Iter<'a, [u8; 4]>,
    start: usize,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    #[inline]
    fn next(&mut self) -> Option<Row<'a>> {
        let end = u32::from_le_bytes(*self.ends.next()?) as usize;
        let mut rest = &self.batch.bytes[self.start..end];
        let mut start = self.start;
        self.start = end;
        let mut timestamp = NO_TIMESTAMP;
        if self.batch.is_timestamped() {
            let (bytes, behind) = rest.split_first_chunk()?;
            timestamp = i64::from_le_bytes(*bytes);
            rest = behind;
            start += 8;
        }
        let mut key: &[u8] = &[];
        if self.batch.is_keyed() {
            let (length, behind) = rest.split_first_chunk()?;
            (key, rest) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            start += 4;
        }
        Some(Row { timestamp, key, payload: rest, whole: self.batch.bytes.get(start..)? })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for Rows<'_> {}
