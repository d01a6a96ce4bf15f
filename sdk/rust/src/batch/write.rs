//! Writing a batch, in place, into a buffer that is used again and again.

use super::{HEADER_BYTES, KEYED, MAGIC, TIMESTAMPED};

/// A buffer that has grown beyond this is given back after its batch.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A batch being written.
///
/// A row is written by [`begin_row`](Self::begin_row), what the layout demands, and [`end_row`](Self::end_row).
#[derive(Debug)]
pub struct BatchWriter {
    /// Header and rows; between `finish` and `clear`, the index too.
    bytes: Vec<u8>,
    ends: Vec<u32>,
    flags: u32,
}

impl BatchWriter {
    /// An empty batch.
    pub fn new(is_timestamped: bool, is_keyed: bool) -> Self {
        let mut writer = Self { bytes: Vec::new(), ends: Vec::new(), flags: 0 };
        writer.reset(is_timestamped, is_keyed);
        writer
    }

    /// Empties it, for rows with or without timestamps and keys.
    pub fn reset(&mut self, is_timestamped: bool, is_keyed: bool) {
        self.flags = if is_timestamped { TIMESTAMPED } else { 0 } | if is_keyed { KEYED } else { 0 };
        self.clear();
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
        self.bytes.extend_from_slice(&MAGIC);
        self.bytes.extend_from_slice(&[0; HEADER_BYTES - 4]);
    }

    /// The number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The length of the batch if it ended here.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }

    /// Whether rows carry timestamps.
    #[inline]
    pub fn is_timestamped(&self) -> bool {
        self.flags & TIMESTAMPED != 0
    }

    /// Begins a row; `timestamp` is left out of batches without timestamps. Returns the row's offset.
    #[inline]
    pub fn begin_row(&mut self, timestamp: i64) -> usize {
        if self.is_timestamped() { self.begin_timed_row(timestamp) } else { self.begin_plain_row() }
    }

    /// Begins a row of a batch that has timestamps.
    #[inline]
    pub(crate) fn begin_timed_row(&mut self, timestamp: i64) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&timestamp.to_le_bytes());
        start
    }

    /// Begins a row of a batch that has no timestamps.
    #[inline]
    pub(crate) fn begin_plain_row(&mut self) -> usize {
        self.bytes.len()
    }

    /// Writes the row's key: the first thing in a row of a keyed batch.
    #[inline(always)]
    pub fn key(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - length_at - 4) as u32;
        if let Some(place) = self.bytes.get_mut(length_at..).and_then(<[u8]>::first_chunk_mut) {
            *place = length.to_le_bytes();
        }
    }

    /// Where the row's payload is appended.
    #[inline]
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the row that was begun.
    #[inline]
    pub fn end_row(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    /// Takes back the row that was begun at this offset.
    pub fn cut_row(&mut self, start: usize) -> Vec<u8> {
        self.bytes.split_off(start)
    }

    /// Appends a row that was cut from a batch with the same flags.
    pub fn paste_row(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.end_row();
    }

    /// Appends a whole row.
    pub fn row(&mut self, timestamp: i64, key: &[u8], payload: &[u8]) {
        self.begin_row(timestamp);
        if self.flags & KEYED != 0 {
            self.key(|out| out.extend_from_slice(key));
        }
        self.bytes.extend_from_slice(payload);
        self.end_row();
    }

    /// The finished batch. What must follow is `clear` or `reset`.
    pub fn finish(&mut self) -> &[u8] {
        let offset = self.bytes.len() as u32;
        self.bytes[4..8].copy_from_slice(&self.flags.to_le_bytes());
        self.bytes[8..12].copy_from_slice(&(self.ends.len() as u32).to_le_bytes());
        self.bytes[12..16].copy_from_slice(&offset.to_le_bytes());
        self.bytes.resize(self.bytes.len() + 4 * self.ends.len(), 0);
        let index = &mut self.bytes[offset as usize..];
        for (slot, end) in index.as_chunks_mut::<4>().0.iter_mut().zip(&self.ends) {
            *slot = end.to_le_bytes();
        }
        &self.bytes
    }
}
