//! Writing batches.

use bytes::Bytes;

use millrace_types::BATCH_BYTES;

use crate::batch::{BatchFlags, BatchView, HEADER_BYTES, MAGIC};

/// How much memory a builder takes at once for its next batch, at most: what batches aim at, and some.
const RESERVE_BYTES_MAX: usize = 2 * BATCH_BYTES as usize;

/// A row up to this long is copied without regard to its length.
const SHORT_ROW_BYTES: usize = 48;

/// Writes batches of one kind, one after the other.
///
/// An empty builder holds no memory, so that a task can afford one for each of its channels; it takes about what
/// the last batch needed when the next row comes.
#[derive(Debug)]
pub struct BatchBuilder {
    flags: BatchFlags,
    /// The header's room and the rows; empty as long as there is no row.
    buffer: Vec<u8>,
    ends: Vec<u32>,
    reserve_bytes: usize,
    reserve_rows: usize,
}

impl BatchBuilder {
    /// A builder for batches with these flags.
    pub fn new(flags: BatchFlags) -> Self {
        Self { flags, buffer: Vec::new(), ends: Vec::new(), reserve_bytes: 0, reserve_rows: 0 }
    }

    /// A builder that expects its first batch to have so many bytes of rows.
    pub fn with_capacity(flags: BatchFlags, bytes: usize) -> Self {
        Self { reserve_bytes: bytes.min(RESERVE_BYTES_MAX), ..Self::new(flags) }
    }

    /// What every row has.
    pub fn flags(&self) -> BatchFlags {
        self.flags
    }

    /// The number of rows so far.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row so far.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The length of the batch that [`Self::finish`] would give now, in bytes.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.buffer.len().max(HEADER_BYTES) + 4 * self.ends.len()
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If the row has a timestamp or a key and the builder's flags say otherwise, or the other way round, and if the
    /// batch grows beyond 4 GiB: callers finish a batch long before.
    pub fn push(&mut self, timestamp: Option<i64>, key: Option<&[u8]>, payload: &[u8]) {
        self.begin_row(timestamp, key, payload.len());
        self.buffer.extend_from_slice(payload);
        self.end_row();
    }

    /// Appends a row whose payload is one byte and more bytes: what the functions for state and timers take.
    pub(crate) fn push_tagged(&mut self, timestamp: Option<i64>, key: Option<&[u8]>, tag: u8, rest: &[u8]) {
        self.begin_row(timestamp, key, 1 + rest.len());
        self.buffer.push(tag);
        self.buffer.extend_from_slice(rest);
        self.end_row();
    }

    /// Appends a whole row as it is encoded in a batch with the same flags: [`crate::Row::bytes`].
    ///
    /// # Panics
    /// If the batch grows beyond 4 GiB.
    pub fn push_encoded(&mut self, row: &[u8]) {
        debug_assert!(row.len() >= self.flags.row_bytes_min() as usize, "a row of another builder's flags");
        self.make_room(row.len());
        self.buffer.extend_from_slice(row);
        self.end_row();
    }

    /// Appends a whole row that stands at the front of others as they are encoded in a batch with the same flags:
    /// [`crate::Rows::encoded`]. It is read together with what stands behind it, which is cheaper for a short row than to stop
    /// at its end.
    ///
    /// # Panics
    /// If the batch grows beyond 4 GiB.
    #[inline]
    pub fn push_front(&mut self, rows: &[u8], len: usize) {
        match rows.first_chunk::<SHORT_ROW_BYTES>() {
            Some(front) if len <= SHORT_ROW_BYTES => {
                self.make_room(SHORT_ROW_BYTES);
                let end = self.buffer.len() + len;
                self.buffer.extend_from_slice(front);
                self.buffer.truncate(end);
                self.end_row();
            }
            _ => self.push_encoded(rows.get(..len).unwrap_or(rows)),
        }
    }

    /// Appends all rows of a batch, as fast as memory is copied.
    ///
    /// # Panics
    /// If the batch has other flags than the builder (compare [`Self::flags`] first where a guest chose them), and if
    /// the result grows beyond 4 GiB.
    pub fn append(&mut self, batch: &BatchView) {
        assert_eq!(batch.flags(), self.flags, "a batch can only be appended to one of the same flags");
        if batch.is_empty() {
            return;
        }
        self.make_room(batch.row_bytes().len());
        let moved = (self.buffer.len() - HEADER_BYTES) as u32;
        self.buffer.extend_from_slice(batch.row_bytes());
        assert!(u32::try_from(self.buffer.len()).is_ok(), "a batch grew beyond 4 GiB");
        self.ends.extend(batch.row_ends().map(|end| end.wrapping_add(moved)));
    }

    /// Gives the batch and leaves the builder empty. Without rows it is a batch without rows.
    pub fn finish(&mut self) -> Bytes {
        self.finish_view().into_bytes()
    }

    /// Gives the batch as it can be read at once, and leaves the builder empty.
    pub fn finish_view(&mut self) -> BatchView {
        let rows = self.ends.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        let ends = std::mem::take(&mut self.ends);
        buffer.reserve_exact(HEADER_BYTES.saturating_sub(buffer.len()) + 4 * rows);
        if buffer.is_empty() {
            buffer.resize(HEADER_BYTES, 0);
        }
        let index = buffer.len();
        buffer.extend(ends.iter().flat_map(|end| end.to_le_bytes()));

        let words =
            [MAGIC, self.flags.to_bits().to_le_bytes(), (rows as u32).to_le_bytes(), (index as u32).to_le_bytes()];
        for (slot, word) in buffer.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *slot = word;
        }
        self.reserve_bytes = buffer.len().min(RESERVE_BYTES_MAX);
        self.reserve_rows = rows.min(RESERVE_BYTES_MAX / 4);
        BatchView::trusted(Bytes::from(buffer), self.flags, index)
    }

    #[inline]
    fn begin_row(&mut self, timestamp: Option<i64>, key: Option<&[u8]>, payload_len: usize) {
        let found = BatchFlags { timestamped: timestamp.is_some(), keyed: key.is_some() };
        assert_eq!(found, self.flags, "a row must have what its batch's flags say");
        let key_len = key.map_or(0, <[u8]>::len);
        self.make_room(self.flags.row_bytes_min() as usize + key_len + payload_len);
        if let Some(timestamp) = timestamp {
            self.buffer.extend_from_slice(&timestamp.to_le_bytes());
        }
        if let Some(key) = key {
            self.buffer.extend_from_slice(&(key_len as u32).to_le_bytes());
            self.buffer.extend_from_slice(key);
        }
    }

    #[inline]
    fn make_room(&mut self, len: usize) {
        if self.buffer.is_empty() {
            self.buffer.reserve(self.reserve_bytes.max(HEADER_BYTES + len));
            self.buffer.resize(HEADER_BYTES, 0);
            self.ends.reserve(self.reserve_rows);
        } else {
            self.buffer.reserve(len);
        }
    }

    #[inline]
    fn end_row(&mut self) {
        let end = u32::try_from(self.buffer.len());
        assert!(end.is_ok(), "a batch grew beyond 4 GiB");
        self.ends.push(end.unwrap_or(u32::MAX));
    }
}
