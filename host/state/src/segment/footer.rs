//! What a segment says of itself: its states and the index of its blocks.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::error::SegmentFault;
use super::source::SegmentSource;
use super::{END_MAGIC, FOOTER_BYTES_MAX, HEADER_BYTES, MAGIC, Section, TIMERS, TRAILER_BYTES, VERSION};

const FOOTER: &str = "footer";
/// The least bytes of a state and of a block in the footer.
const STATE_BYTES_MIN: usize = 5;
const BLOCK_BYTES_MIN: usize = 30;

/// A state that a segment has entries of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentState {
    pub(crate) name: String,
    pub(crate) expires: bool,
}

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) section: Section,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) entries: u32,
    pub(crate) checksum: u64,
}

/// The footer of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) max_parallelism: u32,
    pub(crate) base: bool,
    pub(crate) states: Vec<SegmentState>,
    pub(crate) blocks: Vec<Block>,
}

impl Footer {
    /// The footer and the trailer behind it.
    pub(crate) fn encode(&self, offset: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.blocks.len() * BLOCK_BYTES_MIN);
        bytes.extend_from_slice(&self.max_parallelism.to_le_bytes());
        bytes.push(u8::from(self.base));
        bytes.extend_from_slice(&(self.states.len() as u32).to_le_bytes());
        for state in &self.states {
            bytes.push(u8::from(state.expires));
            bytes.extend_from_slice(&(state.name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(state.name.as_bytes());
        }
        bytes.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        for block in &self.blocks {
            bytes.extend_from_slice(&block.section.0.to_le_bytes());
            bytes.extend_from_slice(&block.section.1.to_le_bytes());
            bytes.extend_from_slice(&block.offset.to_le_bytes());
            bytes.extend_from_slice(&block.len.to_le_bytes());
            bytes.extend_from_slice(&block.entries.to_le_bytes());
            bytes.extend_from_slice(&block.checksum.to_le_bytes());
        }
        let (len, checksum) = (bytes.len() as u64, xxh3_64(&bytes));
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&END_MAGIC);
        bytes
    }

    /// Reads and checks all of a segment but its blocks.
    pub(crate) fn read(source: &impl SegmentSource) -> Result<Self, SegmentFault> {
        let len = source.len();
        let needed = HEADER_BYTES + TRAILER_BYTES;
        if len < needed {
            return Err(SegmentFault::Truncated { part: "header", needed, len });
        }
        let header = read(source, 0, HEADER_BYTES)?;
        let mut rest = Fields { bytes: &header, part: "header", offset: 0 };
        if rest.array::<8>()? != MAGIC {
            return Err(SegmentFault::Magic { part: "header", offset: 0 });
        }
        check_version(rest.u32()?)?;

        let at = len - TRAILER_BYTES;
        let trailer = read(source, at, TRAILER_BYTES)?;
        let mut rest = Fields { bytes: &trailer, part: "trailer", offset: at };
        let (offset, footer_len, checksum) = (rest.u64()?, rest.u64()?, rest.u64()?);
        let version = rest.u32()?;
        if rest.array::<8>()? != END_MAGIC {
            return Err(SegmentFault::Magic { part: "trailer", offset: at });
        }
        check_version(version)?;
        let malformed = |reason| SegmentFault::Malformed { part: "trailer", offset: at, reason };
        if footer_len > FOOTER_BYTES_MAX {
            return Err(malformed("the footer is longer than any"));
        }
        if offset < HEADER_BYTES || offset.checked_add(footer_len) != Some(at) {
            return Err(malformed("the footer does not end where the trailer begins"));
        }
        let bytes = read(source, offset, footer_len)?;
        let found = xxh3_64(&bytes);
        if found != checksum {
            return Err(SegmentFault::Checksum { part: FOOTER, offset, expected: checksum, found });
        }
        let footer = Self::decode(&bytes, offset)?;
        footer.check(offset)?;
        Ok(footer)
    }

    fn decode(bytes: &[u8], offset: u64) -> Result<Self, SegmentFault> {
        let mut rest = Fields { bytes, part: FOOTER, offset };
        let max_parallelism = rest.u32()?;
        let base = rest.flag()?;
        let count = rest.count(STATE_BYTES_MIN)?;
        let mut states = Vec::with_capacity(count);
        for _ in 0..count {
            let expires = rest.flag()?;
            let len = rest.u32()? as usize;
            let name = String::from_utf8(rest.take(len)?.to_vec());
            let name = name.map_err(|_| rest.malformed("the name of a state is not UTF-8"))?;
            states.push(SegmentState { name, expires });
        }
        let count = rest.count(BLOCK_BYTES_MIN)?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let section = (rest.u32()?, rest.u16()?);
            let (offset, len, entries, checksum) = (rest.u64()?, rest.u32()?, rest.u32()?, rest.u64()?);
            blocks.push(Block { section, offset, len, entries, checksum });
        }
        if !rest.bytes.is_empty() {
            return Err(rest.malformed("it has bytes too many"));
        }
        Ok(Self { max_parallelism, base, states, blocks })
    }

    /// Checks that what the footer says fits together, for a footer at an offset.
    fn check(&self, offset: u64) -> Result<(), SegmentFault> {
        let malformed = |reason| Err(SegmentFault::Malformed { part: FOOTER, offset, reason });
        if !self.states.is_sorted_by(|a, b| a.name < b.name) {
            return malformed("its states are out of order");
        }
        if !self.blocks.is_sorted_by_key(|block| block.section) {
            return malformed("its blocks are out of order");
        }
        let mut end = HEADER_BYTES;
        for block in &self.blocks {
            let (state, group) = block.section;
            if state != TIMERS && state as usize >= self.states.len() {
                return malformed("a block belongs to no state");
            }
            if u32::from(group) >= self.max_parallelism {
                return malformed("a block belongs to no key group");
            }
            if block.offset != end || block.entries == 0 {
                return malformed("its blocks do not lie back to back");
            }
            end += u64::from(block.len);
        }
        if end == offset { Ok(()) } else { malformed("its blocks do not end where it begins") }
    }
}

fn check_version(found: u32) -> Result<(), SegmentFault> {
    if found == VERSION { Ok(()) } else { Err(SegmentFault::Version { found, known: VERSION }) }
}

/// Reads a range; all callers have checked that it lies within the segment's length.
pub(crate) fn read(source: &impl SegmentSource, offset: u64, len: u64) -> Result<Bytes, SegmentFault> {
    let count = usize::try_from(len).unwrap_or(usize::MAX);
    let bytes = source.read_at(offset, count).map_err(|error| SegmentFault::io("reading", offset, &error))?;
    if bytes.len() != count {
        let (needed, len) = (offset.saturating_add(len), offset.saturating_add(bytes.len() as u64));
        return Err(SegmentFault::Truncated { part: "range that was read", needed, len });
    }
    Ok(bytes)
}

/// The rest of a part, field by field.
struct Fields<'a> {
    bytes: &'a [u8],
    part: &'static str,
    offset: u64,
}

impl<'a> Fields<'a> {
    fn malformed(&self, reason: &'static str) -> SegmentFault {
        SegmentFault::Malformed { part: self.part, offset: self.offset, reason }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SegmentFault> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(|| self.malformed("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentFault> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.malformed("it ends too early"))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn flag(&mut self) -> Result<bool, SegmentFault> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.malformed("a flag is neither 0 nor 1")),
        }
    }

    fn u16(&mut self) -> Result<u16, SegmentFault> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SegmentFault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SegmentFault> {
        self.array().map(u64::from_le_bytes)
    }

    /// The number of things that have so many bytes each, at least.
    fn count(&mut self, bytes_min: usize) -> Result<usize, SegmentFault> {
        let count = self.u32()? as usize;
        if count > self.bytes.len() / bytes_min {
            return Err(self.malformed("a list is longer than what is left"));
        }
        Ok(count)
    }
}
