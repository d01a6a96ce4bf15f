//! Writing segments.

use std::io;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::error::{SegmentError, SegmentFault};
use super::footer::{Block, Footer, SegmentState};
use super::{BLOCK_BYTES, HEADER_BYTES, MAGIC, SEGMENT_CHUNK_BYTES, Section, VERSION};

/// Takes a segment's chunks, in order, each of [`SEGMENT_CHUNK_BYTES`] at most.
pub type SegmentSink<'a> = dyn FnMut(Bytes) -> io::Result<()> + 'a;

/// What errors call a segment that is being written.
const NAME: &str = "that is being written";

/// What a whole segment comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its `xxh3_64` with seed 0.
    pub checksum: u64,
    /// How many entries it has, deletes and timers included.
    pub entries: u64,
}

/// What a segment is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) max_parallelism: u32,
    pub(crate) base: bool,
    /// In the order of their names.
    pub(crate) states: Vec<SegmentState>,
}

/// Writes a segment whose entries come in order.
pub(crate) struct SegmentWriter<'a> {
    sink: &'a mut SegmentSink<'a>,
    footer: Footer,
    chunk: Vec<u8>,
    block: Vec<u8>,
    block_entries: u32,
    section: Section,
    /// Where the block begins.
    offset: u64,
    entries: u64,
    checksum: Xxh3Default,
}

impl<'a> SegmentWriter<'a> {
    pub(crate) fn new(stamp: Stamp, sink: &'a mut SegmentSink<'a>) -> Self {
        let Stamp { max_parallelism, base, states } = stamp;
        let mut chunk = Vec::with_capacity(BLOCK_BYTES);
        chunk.extend_from_slice(&MAGIC);
        chunk.extend_from_slice(&VERSION.to_le_bytes());
        let mut checksum = Xxh3Default::new();
        checksum.update(&chunk);
        Self {
            sink,
            footer: Footer { max_parallelism, base, states, blocks: Vec::new() },
            chunk,
            block: Vec::new(),
            block_entries: 0,
            section: (0, 0),
            offset: HEADER_BYTES,
            entries: 0,
            checksum,
        }
    }

    /// Appends an entry behind all others; `None`: a delete.
    pub(crate) fn push(&mut self, section: Section, key: &[u8], value: Option<&[u8]>) -> Result<(), SegmentError> {
        debug_assert!(section >= self.section, "entries come in order");
        if section != self.section || self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
            self.section = section;
        }
        self.block.push(u8::from(value.is_some()));
        self.block.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.block.extend_from_slice(key);
        if let Some(value) = value {
            self.block.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.block.extend_from_slice(value);
        }
        self.block_entries += 1;
        self.entries += 1;
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), SegmentError> {
        if self.block_entries == 0 {
            return Ok(());
        }
        let len = self.block.len() as u32;
        self.footer.blocks.push(Block {
            section: self.section,
            offset: self.offset,
            len,
            entries: self.block_entries,
            checksum: xxh3_64(&self.block),
        });
        let mut block = std::mem::take(&mut self.block);
        self.write(&block)?;
        block.clear();
        block.shrink_to(2 * BLOCK_BYTES);
        self.block = block;
        self.offset += u64::from(len);
        self.block_entries = 0;
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), SegmentError> {
        self.checksum.update(bytes);
        while !bytes.is_empty() {
            let room = SEGMENT_CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == SEGMENT_CHUNK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SegmentError> {
        let chunk = std::mem::take(&mut self.chunk);
        let written = (self.sink)(chunk.into());
        written.map_err(|error| SegmentFault::io("writing before", self.offset, &error).of(NAME))
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<SegmentSummary, SegmentError> {
        self.end_block()?;
        let footer = self.footer.encode(self.offset);
        self.write(&footer)?;
        if !self.chunk.is_empty() {
            self.flush()?;
        }
        let bytes = self.offset + footer.len() as u64;
        Ok(SegmentSummary { bytes, checksum: self.checksum.digest(), entries: self.entries })
    }
}
