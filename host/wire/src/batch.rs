//! Reading batches: checked once, then read without further ado.

use std::fmt;
use std::slice;

use bytes::Bytes;

use crate::error::BatchError;

/// The length of the header, in bytes: where the first row begins.
pub const HEADER_BYTES: usize = 16;

pub(crate) const MAGIC: [u8; 4] = *b"MRB1";
const TIMESTAMPED: u32 = 1;
const KEYED: u32 = 2;

/// What every row of a batch begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BatchFlags {
    /// Rows have a timestamp.
    pub timestamped: bool,
    /// Rows have a key.
    pub keyed: bool,
}

impl BatchFlags {
    pub(crate) const PLAIN: Self = Self { timestamped: false, keyed: false };
    pub(crate) const KEYED: Self = Self { timestamped: false, keyed: true };
    pub(crate) const TIMER: Self = Self { timestamped: true, keyed: true };

    pub(crate) const fn to_bits(self) -> u32 {
        (if self.timestamped { TIMESTAMPED } else { 0 }) | (if self.keyed { KEYED } else { 0 })
    }

    const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !(TIMESTAMPED | KEYED) != 0 {
            return None;
        }
        Some(Self { timestamped: bits & TIMESTAMPED != 0, keyed: bits & KEYED != 0 })
    }

    /// The bytes of a row with neither key bytes nor payload.
    pub(crate) const fn row_bytes_min(self) -> u32 {
        (if self.timestamped { 8 } else { 0 }) + (if self.keyed { 4 } else { 0 })
    }
}

impl fmt::Display for BatchFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.timestamped, self.keyed) {
            (false, false) => "neither TIMESTAMPED nor KEYED",
            (true, false) => "TIMESTAMPED",
            (false, true) => "KEYED",
            (true, true) => "TIMESTAMPED and KEYED",
        })
    }
}

/// One row of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Milliseconds since 1970-01-01T00:00:00Z, if the batch is TIMESTAMPED.
    pub timestamp: Option<i64>,
    /// The key, if the batch is KEYED.
    pub key: Option<&'a [u8]>,
    /// The record, in the format of the edge.
    pub payload: &'a [u8],
    /// The whole row as it is encoded, timestamp and key included.
    pub bytes: &'a [u8],
}

impl<'a> Row<'a> {
    /// Takes a row of a checked batch apart. Of any other bytes it makes some row, and never panics.
    #[inline]
    fn decode(bytes: &'a [u8], flags: BatchFlags) -> Self {
        let mut rest = bytes;
        let timestamp = flags.timestamped.then(|| i64::from_le_bytes(take(&mut rest)));
        let key = flags.keyed.then(|| {
            let len = u32::from_le_bytes(take(&mut rest)) as usize;
            let (key, payload) = rest.split_at_checked(len).unwrap_or_default();
            rest = payload;
            key
        });
        Self { timestamp, key, payload: rest, bytes }
    }
}

/// Cuts the first bytes off; zeros if there are too few, which no checked row has.
#[inline]
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    match bytes.split_first_chunk::<N>() {
        Some((head, tail)) => {
            *bytes = tail;
            *head
        }
        None => [0; N],
    }
}

/// The rows of a batch, in order. See [`BatchView::rows`].
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    ends: slice::Iter<'a, [u8; 4]>,
    rest: &'a [u8],
    offset: u32,
    flags: BatchFlags,
}

impl<'a> Rows<'a> {
    /// The rows that are left, as they are encoded.
    #[inline]
    pub fn encoded(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    #[inline]
    fn next(&mut self) -> Option<Row<'a>> {
        let end = u32::from_le_bytes(*self.ends.next()?);
        let len = end.wrapping_sub(self.offset) as usize;
        let (row, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.offset = end;
        self.rest = rest;
        Some(Row::decode(row, self.flags))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for Rows<'_> {}

/// A batch that was checked. Cloning it copies no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchView {
    bytes: Bytes,
    flags: BatchFlags,
    /// The offset of the row index.
    index: usize,
}

impl BatchView {
    /// Checks a batch, all of it. Errors name the first thing that is wrong, with its offset.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let len = bytes.len();
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(BatchError::Header { len })?;
        let mut header = header.as_slice();
        let magic = take::<4>(&mut header);
        if magic != MAGIC {
            return Err(BatchError::Magic { found: magic });
        }
        let bits = u32::from_le_bytes(take(&mut header));
        let flags = BatchFlags::from_bits(bits).ok_or(BatchError::UnknownFlags { found: bits })?;
        let rows = u32::from_le_bytes(take(&mut header));
        let index = u32::from_le_bytes(take(&mut header));
        let misplaced = u64::from(index) + 4 * u64::from(rows) != len as u64
            || (index as usize) < HEADER_BYTES
            || (rows == 0 && index as usize != HEADER_BYTES);
        if misplaced {
            return Err(BatchError::Index { len, rows, index });
        }
        let view = Self { bytes, flags, index: index as usize };
        view.check_rows(index)?;
        Ok(view)
    }

    /// A batch that the builder of this crate wrote.
    pub(crate) fn trusted(bytes: Bytes, flags: BatchFlags, index: usize) -> Self {
        Self { bytes, flags, index }
    }

    fn check_rows(&self, rows_end: u32) -> Result<(), BatchError> {
        let needed = self.flags.row_bytes_min();
        let mut start = HEADER_BYTES as u32;
        for (row, end) in self.ends().iter().enumerate() {
            let end = u32::from_le_bytes(*end);
            if end < start || end > rows_end {
                return Err(BatchError::RowEnd { row, start, end, rows_end });
            }
            let len = end - start;
            if len < needed {
                return Err(BatchError::RowTooShort { row, start, len, needed });
            }
            if self.flags.keyed {
                // The length of the key is the last thing that a row must have.
                let mut rest = self.bytes.get((start + needed - 4) as usize..).unwrap_or_default();
                let key_len = u32::from_le_bytes(take(&mut rest));
                let room = len - needed;
                if key_len > room {
                    return Err(BatchError::Key { row, start, key_len, room });
                }
            }
            start = end;
        }
        if start != rows_end {
            return Err(BatchError::LastRow { end: start, index: rows_end });
        }
        Ok(())
    }

    /// The offsets at which rows end.
    #[inline]
    fn ends(&self) -> &[[u8; 4]] {
        self.bytes.get(self.index..).unwrap_or_default().as_chunks().0
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ends().len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends().is_empty()
    }

    /// The length of the encoded batch, header and index included, in bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// What every row has.
    pub fn flags(&self) -> BatchFlags {
        self.flags
    }

    /// The batch as it is encoded.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The batch as it is encoded.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The bytes of all rows, back to back.
    pub(crate) fn row_bytes(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..self.index).unwrap_or_default()
    }

    /// The offsets at which rows end, counted from the batch's first byte.
    pub(crate) fn row_ends(&self) -> impl ExactSizeIterator<Item = u32> {
        self.ends().iter().map(|end| u32::from_le_bytes(*end))
    }

    /// The row at a position.
    ///
    /// # Panics
    /// If there is no such row, as a slice does.
    pub fn row(&self, at: usize) -> Row<'_> {
        let ends = self.ends();
        let end = u32::from_le_bytes(ends[at]) as usize;
        let start = at.checked_sub(1).map_or(HEADER_BYTES, |before| u32::from_le_bytes(ends[before]) as usize);
        Row::decode(self.bytes.get(start..end).unwrap_or_default(), self.flags)
    }

    /// The rows, in order. This is the fast way: a row costs a few compares.
    #[inline]
    pub fn rows(&self) -> Rows<'_> {
        Rows { ends: self.ends().iter(), rest: self.row_bytes(), offset: HEADER_BYTES as u32, flags: self.flags }
    }

    /// Refuses a batch with a row longer than `bytes_max`, timestamp and key included.
    pub fn check_record_limit(&self, bytes_max: u32) -> Result<(), BatchError> {
        // A batch that fits has no row that does not: the common case costs nothing.
        if self.row_bytes().len() <= bytes_max as usize {
            return Ok(());
        }
        let mut start = HEADER_BYTES as u32;
        for (row, end) in self.row_ends().enumerate() {
            let len = end.wrapping_sub(start);
            if len > bytes_max {
                return Err(BatchError::RecordTooLong { row, start, len, max: bytes_max });
            }
            start = end;
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a BatchView {
    type Item = Row<'a>;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.rows()
    }
}
