//! Reading the entries of a segment, one after the other.

use bytes::Bytes;
use millrace_types::{KeyGroup, KeyGroupRange};
use xxhash_rust::xxh3::xxh3_64;

use super::error::{SegmentError, SegmentFault};
use super::footer::{Block, Footer, read};
use super::source::{SegmentInput, SegmentSource};
use super::{Section, SegmentState};

/// An entry's place in its block.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: (usize, usize),
    value: Option<(usize, usize)>,
}

/// Walks over the entries of some key groups. Holds one block.
#[derive(Debug)]
pub(crate) struct Cursor<S> {
    source: S,
    states: Vec<SegmentState>,
    /// Those that are still to be read, the next one last.
    blocks: Vec<Block>,
    block: Option<Block>,
    bytes: Bytes,
    at: usize,
    left: u32,
    place: Option<Place>,
}

impl<S: SegmentSource> Cursor<S> {
    /// Opens a segment, in front of its first entry of these key groups and those of the input.
    pub(crate) fn open(
        input: SegmentInput<S>,
        key_groups: KeyGroupRange,
        max_parallelism: u32,
    ) -> Result<Self, SegmentError> {
        let SegmentInput { source, key_groups: own } = input;
        let blame = |fault: SegmentFault| fault.of(source.name());
        let Footer { max_parallelism: found, states, mut blocks, .. } = Footer::read(&source).map_err(blame)?;
        if found != max_parallelism {
            return Err(blame(SegmentFault::MaxParallelism { found, expected: max_parallelism }));
        }
        blocks.retain(|block| {
            let group = KeyGroup(block.section.1);
            key_groups.contains(group) && own.contains(group)
        });
        blocks.reverse();
        Ok(Self { source, states, blocks, block: None, bytes: Bytes::new(), at: 0, left: 0, place: None })
    }

    pub(crate) fn states(&self) -> &[SegmentState] {
        &self.states
    }

    /// Goes to the next entry; false: there is none.
    pub(crate) fn advance(&mut self) -> Result<bool, SegmentError> {
        self.step().map_err(|fault| fault.of(self.source.name()))
    }

    fn step(&mut self) -> Result<bool, SegmentFault> {
        if self.left == 0 {
            let Some(block) = self.blocks.pop() else {
                self.block = None;
                self.place = None;
                return Ok(false);
            };
            let last_key = match (self.block, self.key()) {
                (Some(last), Some(key)) if last.section == block.section => Some(key.to_vec()),
                _ => None,
            };
            self.load(block)?;
            self.place = Some(self.parse(last_key.as_deref())?);
        } else {
            self.place = Some(self.parse(self.key())?);
        }
        if let Some(Place { key, value }) = self.place {
            self.at = value.unwrap_or(key).1;
        }
        self.left -= 1;
        if self.left == 0 && self.at != self.bytes.len() {
            return Err(self.malformed("it has bytes behind its last entry"));
        }
        Ok(true)
    }

    fn load(&mut self, block: Block) -> Result<(), SegmentFault> {
        let bytes = read(&self.source, block.offset, u64::from(block.len))?;
        let found = xxh3_64(&bytes);
        if found != block.checksum {
            let (offset, expected) = (block.offset, block.checksum);
            return Err(SegmentFault::Checksum { part: "block", offset, expected, found });
        }
        (self.bytes, self.at, self.left, self.block) = (bytes, 0, block.entries, Some(block));
        Ok(())
    }

    /// Reads the entry at hand, which comes behind another one.
    fn parse(&self, last_key: Option<&[u8]>) -> Result<Place, SegmentFault> {
        let cut_off = || self.malformed("an entry is cut off");
        let tag = self.bytes.get(self.at).copied();
        let key = self.span(self.at.saturating_add(1)).ok_or_else(cut_off)?;
        let value = match tag {
            Some(0) => None,
            Some(1) => Some(self.span(key.1).ok_or_else(cut_off)?),
            _ => return Err(self.malformed("an entry is neither a set nor a delete")),
        };
        if last_key.is_some_and(|last| last >= self.slice(key)) {
            return Err(self.malformed("its entries are out of order"));
        }
        Ok(Place { key, value })
    }

    /// The bytes behind their length.
    fn span(&self, at: usize) -> Option<(usize, usize)> {
        let len = self.bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)?;
        let start = at.checked_add(4)?;
        let end = start.checked_add(len as usize)?;
        (end <= self.bytes.len()).then_some((start, end))
    }

    fn slice(&self, (start, end): (usize, usize)) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn malformed(&self, reason: &'static str) -> SegmentFault {
        let offset = self.block.map_or(0, |block| block.offset);
        SegmentFault::Malformed { part: "block", offset, reason }
    }

    /// Where the entry at hand belongs; `None`: there is none.
    pub(crate) fn section(&self) -> Option<Section> {
        self.block.map(|block| block.section)
    }

    /// The key of the entry at hand.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.place.map(|place| self.slice(place.key))
    }

    /// The value of the entry at hand; `None`: it is a delete.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.place.and_then(|place| place.value).map(|value| self.slice(value))
    }
}
