//! The segments that make up an operator's keyed state, and when which of them are merged.
//!
//! Invariants:
//! - The segments in order always say all that was sealed, whatever became of the checkpoints in between.
//! - The result of a merge takes the place of exactly the segments that it was made of; segments that came meanwhile stay
//!   behind it. If they are not all there any more, since a base came, the result is void.

use millrace_types::KeyGroupRange;

use crate::merge::MERGE_SEGMENTS_MAX;

/// A segment that is durable, and the caller's handle on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSegment<H> {
    /// Finds its bytes.
    pub handle: H,
    /// What counts of it.
    pub key_groups: KeyGroupRange,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// When segments are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePolicy {
    /// The most changes behind the base that are left alone.
    pub changes_max: usize,
    /// Changes that come to less are not merged because they are larger than the base, in bytes.
    pub small_bytes: u64,
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self { changes_max: 8, small_bytes: 1024 * 1024 }
    }
}

/// A merge that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeTicket<H> {
    /// What to merge, in order: at most [`MERGE_SEGMENTS_MAX`].
    pub segments: Vec<ChainSegment<H>>,
    /// Whether the result is a base: [`crate::MergeOptions::base`].
    pub base: bool,
    numbers: Vec<u64>,
}

/// The segments of one operator's subtask.
#[derive(Debug, Clone)]
pub struct SegmentChain<H> {
    key_groups: KeyGroupRange,
    /// With a number for each, unique in the chain.
    segments: Vec<(u64, ChainSegment<H>)>,
    next_number: u64,
    merging: bool,
}

impl<H: Clone> SegmentChain<H> {
    /// A chain without segments for the key groups of a subtask.
    pub fn new(key_groups: KeyGroupRange) -> Self {
        Self { key_groups, segments: Vec::new(), next_number: 0, merging: false }
    }

    /// What a subtask begins with: the segments of each earlier subtask that had some of its key groups, in order. What
    /// counts of them from now on are the key groups of this subtask.
    pub fn restored(key_groups: KeyGroupRange, earlier: impl IntoIterator<Item = Vec<ChainSegment<H>>>) -> Self {
        let mut chain = Self::new(key_groups);
        for mut segment in earlier.into_iter().flatten() {
            let KeyGroupRange { start, end } = segment.key_groups;
            segment.key_groups = KeyGroupRange { start: start.max(key_groups.start), end: end.min(key_groups.end) };
            if segment.key_groups.start <= segment.key_groups.end {
                chain.append(segment);
            }
        }
        chain
    }

    /// Adds a segment that was sealed behind all others. Of a base nothing before it counts.
    pub fn push(&mut self, handle: H, bytes: u64, base: bool) {
        if base {
            self.segments.clear();
        }
        self.append(ChainSegment { handle, key_groups: self.key_groups, bytes });
    }

    fn append(&mut self, segment: ChainSegment<H>) {
        self.segments.push((self.next_number, segment));
        self.next_number += 1;
    }

    /// The segments in order: what a checkpoint refers to.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &ChainSegment<H>> {
        self.segments.iter().map(|(_, segment)| segment)
    }

    /// All segments together, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.segments().map(|segment| segment.bytes).sum()
    }

    /// What to merge now, if anything. There is one merge at a time: call [`Self::end_merge`] whatever comes of it.
    pub fn begin_merge(&mut self, policy: &MergePolicy) -> Option<MergeTicket<H>> {
        let (_, base) = self.segments.first()?;
        if self.merging || self.segments.len() < 2 {
            return None;
        }
        let changes_bytes = self.total_bytes() - base.bytes;
        let large = changes_bytes > base.bytes.max(policy.small_bytes);
        if !large && self.segments.len() - 1 <= policy.changes_max {
            return None;
        }
        // Many changes that are small beside the base are merged among themselves.
        let with_base = large || base.bytes <= policy.small_bytes || self.segments.len() < 3;
        let first = usize::from(!with_base);
        let chosen = self.segments.iter().skip(first).take(MERGE_SEGMENTS_MAX);
        let (numbers, segments) = chosen.cloned().unzip();
        self.merging = true;
        Some(MergeTicket { segments, base: with_base, numbers })
    }

    /// Ends a merge: puts its result, a handle and its length in bytes, in the place of what it was made of. `None`: it
    /// failed, and all is as before. False: the result is not needed.
    pub fn end_merge(&mut self, ticket: &MergeTicket<H>, result: Option<(H, u64)>) -> bool {
        self.merging = false;
        let Some((handle, bytes)) = result else { return false };
        let at = self.segments.iter().position(|(number, _)| Some(number) == ticket.numbers.first());
        let Some(at) = at else { return false };
        let end = at + ticket.numbers.len();
        let same = self.segments.get(at..end).is_some_and(|run| run.iter().map(|(n, _)| n).eq(&ticket.numbers));
        if !same {
            return false;
        }
        let segment = ChainSegment { handle, key_groups: self.key_groups, bytes };
        self.segments.splice(at..end, [(self.next_number, segment)]);
        self.next_number += 1;
        true
    }
}
